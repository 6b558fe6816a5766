//! A topic, a producer and a consumer, in one process: `cargo run --example quickstart`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

#[tokio::main]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("orders").partitions(6)).await?;

    let producer = cluster.producer(ProducerConfig::default())?;
    let mut deliveries = Vec::new();
    for (customer, amount) in [("ada", "12.50"), ("bob", "7.00"), ("ada", "3.20")] {
        // Waits only for space in the producer's buffer; the delivery resolves when the record is in the log.
        deliveries.push(producer.send(ProducerRecord::to("orders").key(customer).value(amount)).await?);
    }
    for delivery in deliveries {
        let metadata = delivery.await?;
        println!("delivered to {} at offset {}", metadata.topic_partition(), metadata.offset());
    }

    let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config)?;
    consumer.subscribe(["orders"])?;
    let mut orders = Vec::new();
    while orders.len() < 3 {
        for record in &consumer.poll(Duration::from_millis(100)).await? {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            println!("consumed {} = {} (offset {})", text(record.key()), text(record.value()), record.offset());
            orders.push((text(record.key()), text(record.value())));
        }
    }
    consumer.commit().await?;
    consumer.close().await?;

    // One customer is one partition, so her orders come in the order in which they were sent.
    orders.retain(|(customer, _)| customer == "ada");
    assert_eq!(orders, [("ada".into(), "12.50".into()), ("ada".into(), "3.20".into())]);
    Ok(())
}
