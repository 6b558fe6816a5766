//! A table whose changelog is a compacted topic: the log shrinks to about the table's size, and the table can be rebuilt
//! from what is left of it: `cargo run --example compaction`.
//!
//! Time is virtual, so that the pauses of the background task take no time at all.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::time::Duration;

use brokerless::typed::{Plain, TypedProducer, TypedRecord};
use brokerless::{Cluster, ConsumerConfig, NewTopic, ProducerConfig, TableView, TopicPartition};

const ACCOUNTS: i64 = 200;
const ROUNDS: i64 = 50;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    let topic = NewTopic::new("balances")
        .partitions(2)
        .config("cleanup.policy", "compact")
        // The segment that is written to is never compacted. Kafka's smallest is 1 MiB; its own tests use this.
        .config("internal.segment.bytes", "16384")
        .config("min.cleanable.dirty.ratio", "0.1")
        .config("delete.retention.ms", "60000");
    cluster.admin().create_topic(topic).await?;

    // The live table follows the changelog from its beginning.
    let live = TableView::<i64, i64>::open(&cluster, "balances", Plain, Plain).await?;
    let producer = TypedProducer::<i64, i64>::new(cluster.producer(ProducerConfig::default())?, Plain, Plain);
    let mut expected = HashMap::new();
    for round in 0..ROUNDS {
        for account in 0..ACCOUNTS {
            let balance = round * 100 + account;
            producer.send(TypedRecord::to("balances").key(&account).value(&balance)).await?;
            expected.insert(account, balance);
        }
    }
    // Every fourth account is closed: a record without value, the tombstone.
    for account in (0..ACCOUNTS).step_by(4) {
        producer.send(TypedRecord::to("balances").key(&account)).await?;
        expected.remove(&account);
    }
    producer.flush().await?;
    live.caught_up().await?;
    assert_eq!(balances(&live), expected);
    let (written, tombstones) = records(&cluster).await?;
    assert_eq!((written, tombstones), (ROUNDS * ACCOUNTS + ACCOUNTS / 4, ACCOUNTS / 4));

    // The cleaner looks every 15 s.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (compacted, _) = records(&cluster).await?;
    assert!(compacted < written / 10, "{compacted} of {written}");

    // Tombstones stay for `delete.retention.ms` after the compaction that met them first, and that comes once their
    // segment is full. A log to which nothing was written is not compacted again.
    for round in 0..10 {
        for account in (1..ACCOUNTS).step_by(2) {
            producer.send(TypedRecord::to("balances").key(&account).value(&round)).await?;
            expected.insert(account, round);
            // Every record a batch of its own: the segments fill up sooner.
            producer.flush().await?;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    let (left, tombstones) = records(&cluster).await?;
    assert_eq!(tombstones, 0);
    println!("{written} records written, {compacted} left after compaction, {left} at last, no tombstone among them");

    // Whoever starts now reads what is left, and gets the same table.
    let rebuilt = TableView::<i64, i64>::open(&cluster, "balances", Plain, Plain).await?;
    rebuilt.caught_up().await?;
    live.caught_up().await?;
    assert_eq!(balances(&rebuilt), expected);
    assert_eq!(balances(&live), expected);
    println!("{} accounts, the same in the live table and in the rebuilt one", rebuilt.len());
    Ok(())
}

fn balances(table: &TableView<i64, i64>) -> HashMap<i64, i64> {
    table.snapshot().into_iter().map(|(account, balance)| (account, *balance)).collect()
}

/// How many records the log holds, and how many of them are tombstones.
async fn records(cluster: &Cluster) -> brokerless::Result<(i64, i64)> {
    let mut consumer = cluster.consumer(ConsumerConfig::default())?;
    let partitions = [TopicPartition::new("balances", 0), TopicPartition::new("balances", 1)];
    consumer.assign(&partitions)?;
    consumer.seek_to_beginning(&partitions)?;
    let ends = consumer.end_offsets(&partitions).await?;
    let (mut count, mut tombstones) = (0, 0);
    for (partition, end) in &ends {
        while consumer.position(partition).await? < *end {
            for record in &consumer.poll(Duration::from_millis(10)).await? {
                count += 1;
                tombstones += i64::from(record.value().is_none());
            }
        }
    }
    Ok((count, tombstones))
}
