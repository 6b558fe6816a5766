//! Plain threads, no runtime: a thread that takes orders and two that bill them, in one consumer group.
//!
//! cargo run --release --example blocking

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use brokerless::blocking::Cluster;
use brokerless::{AutoOffsetReset, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord, Result};

const ORDERS: u64 = 100_000;
const CUSTOMERS: u64 = 50;
const PARTITIONS: i32 = 4;
const BILLERS: i32 = 2;

fn main() -> Result<()> {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("orders").partitions(PARTITIONS))?;

    // Orders come in once every biller has its share of the partitions.
    let ready = Arc::new(Barrier::new(BILLERS as usize + 1));
    let billers: Vec<_> = (0..BILLERS)
        .map(|_| {
            let (cluster, ready) = (cluster.clone(), Arc::clone(&ready));
            thread::spawn(move || bill(&cluster, &ready))
        })
        .collect();
    ready.wait();

    let producer = cluster.producer(ProducerConfig::default())?;
    for order in 0..ORDERS {
        let (customer, amount) = ((order % CUSTOMERS).to_string(), order.to_string());
        producer.send(ProducerRecord::to("orders").key(customer.as_str()).value(amount.as_str()))?;
    }
    // Whoever reads this from its partition knows that nothing follows there.
    for partition in 0..PARTITIONS {
        producer.send(ProducerRecord::to("orders").partition(partition).value("end"))?.wait()?;
    }
    producer.close()?;

    let mut bills = BTreeMap::<u64, u64>::new();
    for biller in billers {
        for (customer, amount) in biller.join().expect("a biller does not panic")? {
            assert!(bills.insert(customer, amount).is_none(), "customer {customer} was billed by two threads");
        }
    }
    for (customer, amount) in &bills {
        let orders = ORDERS / CUSTOMERS;
        assert_eq!(*amount, customer * orders + CUSTOMERS * (orders * (orders - 1) / 2));
    }
    assert_eq!(bills.len() as u64, CUSTOMERS);
    println!("{ORDERS} orders, {} bills, total {}", bills.len(), bills.values().sum::<u64>());
    Ok(())
}

/// Sums up the orders of each customer in this thread's partitions until all of them have ended.
fn bill(cluster: &Cluster, ready: &Barrier) -> Result<BTreeMap<u64, u64>> {
    let mut bills = BTreeMap::new();
    let config = ConsumerConfig::group("billing")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .heartbeat_interval(Duration::from_millis(50));
    let mut consumer = cluster.consumer(config)?;
    consumer.subscribe(["orders"])?;
    let share = (PARTITIONS / BILLERS) as usize;
    while consumer.assignment().len() != share {
        consumer.poll(Duration::from_millis(10))?;
    }
    ready.wait();
    let mut open = share;
    while open > 0 {
        for record in &consumer.poll(Duration::from_secs(1))? {
            let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<u64>().ok();
            match (record.key().and_then(number), record.value().and_then(number)) {
                (Some(customer), Some(amount)) => *bills.entry(customer).or_default() += amount,
                _ => open -= 1,
            }
        }
        consumer.commit()?;
    }
    consumer.close()?;
    Ok(bills)
}
