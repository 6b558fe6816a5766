//! Two members share a topic, one leaves, the other takes over where it stopped: `cargo run --example consumer_group`.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::time::Duration;

use brokerless::{AutoOffsetReset, Cluster, Consumer, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

const POLL: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("jobs").partitions(4)).await?;

    let join = || -> brokerless::Result<_> {
        let config = ConsumerConfig::group("workers")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false)
            .max_poll_records(10)
            // Members hear from their heartbeats that somebody came or went. Kafka's default is every 3 s.
            .heartbeat_interval(Duration::from_millis(20));
        let mut consumer = cluster.consumer(config)?;
        consumer.subscribe(["jobs"])?;
        Ok(consumer)
    };
    let (mut first, mut second) = (join()?, join()?);
    while first.assignment().len() != 2 || second.assignment().len() != 2 {
        // Each takes part in the rebalance from its own poll, so both have to poll.
        let (one, two) = tokio::join!(first.poll(POLL), second.poll(POLL));
        assert!(one?.is_empty() && two?.is_empty());
    }
    println!("first  has {}", list(&first));
    println!("second has {}", list(&second));

    let producer = cluster.producer(ProducerConfig::default())?;
    for job in 0..100 {
        producer.send(ProducerRecord::to("jobs").partition(job % 4).value(job.to_string())).await?;
    }
    producer.flush().await?;

    // The second does some of its jobs, commits, and goes.
    let mut done = BTreeSet::new();
    work(&mut second, 30, &mut done).await?;
    let by_second = done.len();
    second.close().await?;
    println!("second did {by_second} jobs and left");

    // The first does its own, and what the second left of its partitions.
    work(&mut first, 100 - by_second, &mut done).await?;
    println!("first  did {} jobs, and has {} now", done.len() - by_second, list(&first));
    assert_eq!(done, (0..100).collect(), "each job once");
    assert_eq!(first.assignment().len(), 4);
    first.close().await
}

/// Does at least `count` jobs, and commits after each poll: whoever gets the partitions next goes on from there.
async fn work(consumer: &mut Consumer, count: usize, done: &mut BTreeSet<i32>) -> brokerless::Result<()> {
    let target = done.len() + count;
    while done.len() < target {
        for record in &consumer.poll(POLL).await? {
            let job = String::from_utf8_lossy(record.value().unwrap_or_default()).parse().expect("a number");
            assert!(done.insert(job), "job {job} came twice");
        }
        consumer.commit().await?;
    }
    Ok(())
}

fn list(consumer: &Consumer) -> String {
    let mut partitions: Vec<_> = consumer.assignment().iter().map(ToString::to_string).collect();
    partitions.sort();
    partitions.join(" ")
}
