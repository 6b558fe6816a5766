//! What a cluster measures: under Kafka's names, read as values, and with the feature `prometheus` as the text that a
//! Prometheus server scrapes.
//!
//! ```sh
//! cargo run --example metrics                          # a table of the most telling ones
//! cargo run --example metrics --features prometheus    # and the exposition text
//! ```
#![allow(clippy::print_stdout)]

use std::time::Duration;

use brokerless::metrics::Metrics;
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, MemoryPolicy, NewTopic, ProducerConfig, ProducerRecord};

const LIMIT: u64 = 4 << 20;
const ORDERS: u64 = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> brokerless::Result<()> {
    // All logs together may hold 4 MiB; the oldest segments make room for what is new.
    let cluster = Cluster::builder().memory_limit(LIMIT).memory_policy(MemoryPolicy::Retain).start().await?;
    cluster.admin().create_topic(NewTopic::new("orders").partitions(4)).await?;

    let producer = cluster.producer(ProducerConfig::default().client_id("shop"))?;
    let value = "x".repeat(500);
    for order in 0..ORDERS {
        drop(producer.send(ProducerRecord::to("orders").key(order.to_string()).value(&value)).await?);
    }
    producer.flush().await?;

    let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config)?;
    consumer.subscribe(["orders"])?;
    let mut read = 0;
    while read < 1_000 {
        read += consumer.poll(Duration::from_secs(1)).await?.len() as u64;
    }
    consumer.commit().await?;

    let metrics = cluster.metrics();
    print(&metrics);

    // A metric is found by its name, its group and its tags.
    let value = |name, group, tags: &[_]| metrics.value(name, group, tags).expect("it is measured");
    let orders = [("topic", "orders")];
    assert_eq!(value("MessagesInTotal", "BrokerTopicMetrics", &orders), ORDERS as f64);
    assert_eq!(value("UnderReplicatedPartitions", "ReplicaManager", &[]), 0.0);
    assert_eq!(value("OfflinePartitionsCount", "KafkaController", &[]), 0.0);
    assert_eq!(value("NumGroupsStable", "GroupMetadataManager", &[]), 1.0);
    assert_eq!(value("NumOffsets", "GroupMetadataManager", &[]), 4.0);

    // 10 MB went into 4 MiB.
    let used = value("used-bytes", "brokerless-memory", &[]);
    let evicted = value("evicted-bytes-total", "brokerless-memory", &[]);
    let stored = value("BytesInTotal", "BrokerTopicMetrics", &orders);
    assert!(used <= LIMIT as f64, "{used} bytes are used");
    assert_eq!(used + evicted, stored);

    // Those with one name, whatever their tags: a value for each partition.
    let of_orders =
        |name| metrics.named(name, "Log").iter().filter(|metric| metric.name().tag("topic") == Some("orders"));
    let sum = |name| of_orders(name).map(|metric| metric.value()).sum::<f64>();
    assert_eq!(of_orders("Size").count(), 4);
    assert_eq!((sum("Size"), sum("LogEndOffset")), (used, ORDERS as f64));
    assert!(sum("LogStartOffset") > 0.0, "the oldest orders are gone");

    #[cfg(feature = "prometheus")]
    {
        let text = metrics.prometheus();
        println!("\n{text}");
        let line = format!("kafka_broker_topic_metrics_messages_in_total{{topic=\"orders\"}} {ORDERS}\n");
        assert!(text.contains(&line));
    }
    consumer.close().await
}

/// What somebody on call would look at first.
fn print(metrics: &Metrics) {
    let telling =
        ["BrokerTopicMetrics", "GroupMetadataManager", "KafkaController", "ReplicaManager", "brokerless-memory"];
    for metric in metrics {
        let name = metric.name();
        if telling.contains(&name.group()) && metric.value() != 0.0 {
            println!("{:>14.1}  {:<60} {}", metric.value(), name.to_string(), name.description());
        }
    }
}
