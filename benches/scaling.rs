//! Whether cost stays linear: records over 1 to 10,000 partitions, 1 to 64 consumers in groups of their own, and what
//! 10,000 partitions cost that stand still. Through the public API, on one thread.
//!
//! `cargo bench --bench scaling` prints ns for each record, ratios, time and bytes, and ends with one line a goal.
//! `-- partitions|consumers|idle` runs one part, for profilers.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use counting::{Counting, live_bytes};
use support::{Payloads, RUNS, goal_at_most, runtime, touch};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of a record.
const SIZE: usize = 100;

/// Records sent before they are read: a batch of 20 to each of 10,000 partitions. Every count of partitions fills batches to
/// the same extent, so that what is compared is the partitions' cost and not that of smaller batches.
const CHUNK: u64 = 200_000;
const PER_BATCH: u64 = 20;

/// Chunks a run, after one to warm up.
const CHUNKS: u64 = 5;

async fn topic(cluster: &Cluster, partitions: i32) {
    cluster.admin().create_topic(NewTopic::new("t").partitions(partitions)).await.unwrap();
}

fn producer(cluster: &Cluster) -> Producer {
    let config = ProducerConfig::default().batch_size(PER_BATCH as u32 * (SIZE as u32 + 12)).buffer_memory(256 << 20);
    cluster.producer(config).unwrap()
}

fn config() -> ConsumerConfig {
    ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)
}

async fn drain(consumer: &mut Consumer, mut records: u64) -> u64 {
    let mut sum = 0;
    while records > 0 {
        let polled = consumer.poll(Duration::from_secs(10)).await.unwrap();
        assert!(!polled.is_empty(), "{records} records did not come");
        for record in &polled {
            sum += touch(record.value().unwrap()) & 1;
        }
        records -= polled.len() as u64;
    }
    sum
}

/// ns for each record to send and to read, medians of the chunks. Partitions take turns, a batch each, so that batches are
/// full whatever the number of partitions. Nothing is deleted: all of them write to fresh memory.
fn over_partitions(payloads: &Payloads, partitions: i32) -> (f64, f64) {
    runtime().block_on(async {
        let cluster = Cluster::in_memory();
        topic(&cluster, partitions).await;
        let producer = producer(&cluster);
        let mut consumer = cluster.consumer(config()).unwrap();
        consumer.assign((0..partitions).map(|index| ("t", index))).unwrap();
        let (mut sending, mut reading) = (Vec::new(), Vec::new());
        for chunk in 0..=CHUNKS {
            let start = Instant::now();
            for index in 0..CHUNK {
                let partition = (index / PER_BATCH % partitions as u64) as i32;
                let record = ProducerRecord::to("t").partition(partition).value(payloads.get(index));
                drop(producer.send(record).await.unwrap());
            }
            producer.flush().await.unwrap();
            let sent = start.elapsed();
            let start = Instant::now();
            drain(&mut consumer, CHUNK).await;
            let read = start.elapsed();
            if chunk > 0 {
                sending.push(sent.as_nanos() as f64 / CHUNK as f64);
                reading.push(read.as_nanos() as f64 / CHUNK as f64);
            }
        }
        (median(&mut sending), median(&mut reading))
    })
}

/// ns for each record that one of several consumers, each in a group of its own, gets from one partition.
fn over_consumers(payloads: &Payloads, consumers: usize) -> f64 {
    const RECORDS: u64 = 20_000;
    runtime().block_on(async {
        let cluster = Cluster::in_memory();
        topic(&cluster, 1).await;
        let producer = producer(&cluster);
        let mut readers = Vec::new();
        for group in 0..consumers {
            let config = ConsumerConfig::group(format!("g{group}")).auto_offset_reset(AutoOffsetReset::Earliest);
            let mut consumer = cluster.consumer(config).unwrap();
            consumer.subscribe(["t"]).unwrap();
            while consumer.assignment().is_empty() {
                consumer.poll(Duration::from_millis(1)).await.unwrap();
            }
            readers.push(consumer);
        }
        let mut samples = Vec::new();
        for run in 0..=RUNS {
            for index in 0..RECORDS {
                drop(producer.send(ProducerRecord::to("t").value(payloads.get(index))).await.unwrap());
            }
            producer.flush().await.unwrap();
            let start = Instant::now();
            for reader in &mut readers {
                drain(reader, RECORDS).await;
            }
            if run > 0 {
                samples.push(start.elapsed().as_nanos() as f64 / (RECORDS * consumers as u64) as f64);
            }
        }
        median(&mut samples)
    })
}

/// What partitions cost that stand still.
struct Idle {
    create: Duration,
    /// Of the cluster, for each partition.
    bytes: f64,
    assign: Duration,
    /// Of a consumer of all of them that waits, for each partition.
    consumer_bytes: f64,
    /// From the send of one record, to one of the partitions, to its poll's return, the consumer waiting before it.
    wake: Duration,
}

fn idle(payloads: &Payloads, partitions: i32) -> Idle {
    const WAKES: u32 = 2000;
    counting::start();
    let idle = runtime().block_on(async {
        let before = live_bytes();
        let start = Instant::now();
        let cluster = Cluster::in_memory();
        topic(&cluster, partitions).await;
        let create = start.elapsed();
        let bytes = (live_bytes() - before) as f64 / f64::from(partitions);

        let before = live_bytes();
        let start = Instant::now();
        let mut consumer = cluster.consumer(config()).unwrap();
        consumer.assign((0..partitions).map(|index| ("t", index))).unwrap();
        assert!(consumer.poll(Duration::from_millis(1)).await.unwrap().is_empty());
        let assign = start.elapsed();
        let consumer_bytes = (live_bytes() - before) as f64 / f64::from(partitions);

        let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
        let mut took = Duration::ZERO;
        for round in 0..WAKES + 100 {
            let partition = (round.wrapping_mul(7919) % partitions as u32) as i32;
            let send = async {
                // After the consumer has begun to wait: it yields a few times first.
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                let start = Instant::now();
                let record = ProducerRecord::to("t").partition(partition).value(payloads.get(round.into()));
                producer.send(record).await.unwrap();
                start
            };
            let (polled, start) = tokio::join!(consumer.poll(Duration::from_secs(10)), send);
            assert_eq!(polled.unwrap().len(), 1);
            if round >= 100 {
                took += start.elapsed();
            }
        }
        Idle { create, bytes, assign, consumer_bytes, wake: took / WAKES }
    });
    counting::stop();
    idle
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runs = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let payloads = Payloads::new(SIZE);
    let mut goals = Vec::new();

    if runs("partitions") {
        println!(
            "\n{SIZE} B records in batches of {PER_BATCH}, one producer, one consumer, one thread (median of {CHUNKS})"
        );
        println!("{:>12} {:>14} {:>14} {:>10}", "partitions", "send ns/record", "read ns/record", "ratio");
        // The process's first memory comes page by page from the system.
        over_partitions(&payloads, 100);
        let mut first = None;
        let mut last = 0.0;
        for partitions in [1, 10, 100, 1000, 10_000] {
            let (send, read) = over_partitions(&payloads, partitions);
            let base = *first.get_or_insert(send + read);
            last = (send + read) / base;
            println!("{partitions:>12} {send:>14.1} {read:>14.1} {last:>10.2}");
        }
        // The instructions for a record are nearly the same (callgrind: 1.2 times as many to send, as many to read). But
        // what is touched once a batch of 20 records, the slot, the leader, its log, the position, is in the nearest
        // cache for one partition, and comes from memory for 10,000.
        goals.push(goal_at_most("record_over_10000_partitions_vs_1", last, 4.0));
    }
    if runs("consumers") {
        println!("\nconsumers in groups of their own, one partition, one thread (median of {RUNS})");
        println!("{:>12} {:>22} {:>10}", "consumers", "ns/delivered record", "ratio");
        let mut first = None;
        let mut last = 0.0;
        for consumers in [1, 4, 16, 64] {
            let ns = over_consumers(&payloads, consumers);
            last = ns / *first.get_or_insert(ns);
            println!("{consumers:>12} {ns:>22.1} {last:>10.2}");
        }
        // Each takes the same instructions. With one reader the records are in the second-level cache still.
        goals.push(goal_at_most("record_to_each_of_64_consumers_vs_1", last, 2.0));
    }
    if runs("idle") {
        println!("\npartitions that stand still");
        println!(
            "{:>12} {:>12} {:>14} {:>12} {:>18} {:>16}",
            "partitions", "create ms", "B/partition", "assign ms", "reader B/partition", "wake to poll us"
        );
        idle(&payloads, 100);
        let mut wakes = Vec::new();
        let mut large = None;
        for partitions in [1, 100, 10_000] {
            let of = idle(&payloads, partitions);
            println!(
                "{partitions:>12} {:>12.2} {:>14.0} {:>12.2} {:>18.0} {:>16.2}",
                of.create.as_secs_f64() * 1e3,
                of.bytes,
                of.assign.as_secs_f64() * 1e3,
                of.consumer_bytes,
                of.wake.as_secs_f64() * 1e6,
            );
            wakes.push(of.wake.as_secs_f64());
            large = Some(of);
        }
        let large = large.unwrap();
        let total_mib = (large.bytes + large.consumer_bytes) * 10_000.0 / f64::from(1 << 20);
        let ratio = wakes[2] / wakes[0];
        goals.push(goal_at_most("create_10000_partitions_ms", large.create.as_secs_f64() * 1e3, 200.0));
        goals.push(goal_at_most("idle_10000_partitions_and_reader_MiB", total_mib, 64.0));
        // The same instructions again; the partition was touched long ago.
        goals.push(goal_at_most("wake_of_reader_of_10000_partitions_vs_1", ratio, 4.0));
    }
    println!();
    goals.iter().for_each(|line| println!("{line}"));
}
