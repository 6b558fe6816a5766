//! Typed JSON records against what they are made of: serde_json alone on the same structs, and the same bytes sent raw.
//!
//! `cargo bench --bench typed` prints ns/record of each and ends with one line a goal. Everything runs on one thread, in
//! turns of sending and polling, so that times add up: what typed records cost beyond the sum is their overhead.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use brokerless::typed::{Json, Plain, TypedConsumer, TypedProducer, TypedRecord};
use brokerless::{AutoOffsetReset, Cluster, Consumer, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
use serde::{Deserialize, Serialize};
use support::{Contestant, compare, goal_at_most, runtime};

/// How many records are sent before they are polled.
const TURN: usize = 1000;
const POLL: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    items: Vec<Item>,
    express: bool,
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    sku: String,
    quantity: u32,
    price: f64,
}

fn orders() -> Vec<Order> {
    let order = |id: u64| Order {
        id,
        customer: format!("customer-{:05}", id * 7919 % 100_000),
        items: (0..2)
            .map(|line| Item {
                sku: format!("SKU-{:06}", id * 31 + line),
                quantity: 1 + (id % 9) as u32,
                price: 0.25 * (id % 400) as f64,
            })
            .collect(),
        express: id.is_multiple_of(3),
        note: id.is_multiple_of(4).then(|| "leave it at the door".into()),
    };
    (0..TURN as u64).map(order).collect()
}

/// A topic under retention, so that runs reuse memory, as a long-lived stream does.
async fn cluster() -> Cluster {
    let cluster = Cluster::in_memory();
    let topic = NewTopic::new("orders").config("segment.bytes", "2097152").config("retention.bytes", "33554432");
    cluster.admin().create_topic(topic).await.unwrap();
    cluster
}

/// Reads what is sent from now on.
async fn reader(cluster: &Cluster) -> Consumer {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    consumer.seek_to_end([("orders", 0)]).unwrap();
    consumer.position(("orders", 0)).await.unwrap();
    consumer
}

fn serde_json_alone(orders: &[Order], records: u64) -> Duration {
    let start = Instant::now();
    let mut buffer = Vec::new();
    for index in 0..records as usize {
        buffer.clear();
        serde_json::to_writer(&mut buffer, black_box(&orders[index % TURN])).unwrap();
        let order: Order = serde_json::from_slice(black_box(&buffer)).unwrap();
        black_box(order);
    }
    start.elapsed()
}

fn raw_bytes(cluster: &Cluster, payloads: &[Vec<u8>], records: u64) -> Duration {
    runtime().block_on(async {
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        let mut consumer = reader(cluster).await;
        let start = Instant::now();
        for _ in 0..records as usize / TURN {
            for payload in payloads {
                producer.send(ProducerRecord::to("orders").key("key").value(black_box(payload))).await.unwrap();
            }
            producer.flush().await.unwrap();
            let mut left = TURN;
            while left > 0 {
                let polled = consumer.poll(POLL).await.unwrap();
                polled.iter().for_each(|record| {
                    black_box((record.key(), record.value()));
                });
                left -= polled.len();
            }
        }
        start.elapsed()
    })
}

fn typed(cluster: &Cluster, orders: &[Order], records: u64) -> Duration {
    runtime().block_on(async {
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        let producer = TypedProducer::<str, Order>::new(producer, Plain, Json);
        let mut consumer = TypedConsumer::<Vec<u8>, Order>::new(reader(cluster).await, Plain, Json);
        let start = Instant::now();
        for _ in 0..records as usize / TURN {
            for order in orders {
                producer.send(TypedRecord::to("orders").key("key").value(black_box(order))).await.unwrap();
            }
            producer.flush().await.unwrap();
            let mut left = TURN;
            while left > 0 {
                let polled = consumer.poll(POLL).await.unwrap();
                polled.iter().for_each(|record| {
                    black_box((record.key(), record.value()));
                });
                left -= polled.len();
            }
        }
        start.elapsed()
    })
}

fn main() {
    let orders = &orders();
    let payloads: &Vec<Vec<u8>> = &orders.iter().map(|order| serde_json::to_vec(order).unwrap()).collect();
    let bytes = payloads.iter().map(Vec::len).sum::<usize>() / TURN;
    let cluster = &runtime().block_on(cluster());
    let contestants: Vec<Contestant<'_>> = vec![
        ("serde_json alone", Box::new(move |records| serde_json_alone(orders, records))),
        ("raw bytes, send and poll", Box::new(move |records| raw_bytes(cluster, payloads, records))),
        ("typed JSON, send and poll", Box::new(move |records| typed(cluster, orders, records))),
    ];
    let lines = compare(&format!("orders of {bytes} B of JSON, one thread"), 500_000, &contestants);
    let [json, raw, typed] = [0, 1, 2].map(|index| 1e9 / lines[index].rate);
    println!("typed JSON takes {:.2} x serde_json alone", typed / json);
    println!("its own overhead is {:.0} ns a record\n", typed - json - raw);
    println!("{}", goal_at_most("typed_json_vs_serde_json_plus_raw", typed / (json + raw), 1.25));
}
