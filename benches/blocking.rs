//! The blocking clients against the asynchronous ones: the same hand-off, the same round trip, in one run.
//!
//! `cargo bench --bench blocking` prints records/s of both and ends with one line a goal.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brokerless::blocking;
use brokerless::{AutoOffsetReset, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord, TopicPartition};
use support::{Contestant, Payloads, compare, goal_at_least, runtime, touch};

/// One topic of one partition under retention, so that after the warm-up runs reuse memory, as a long-lived stream does.
struct Stream {
    cluster: blocking::Cluster,
    payloads: Payloads,
    written: AtomicU64,
}

impl Stream {
    /// How far the sender may run ahead, in records.
    const AHEAD: u64 = 80_000;

    fn new() -> Self {
        let cluster = blocking::Cluster::in_memory();
        let topic = NewTopic::new("t").config("segment.bytes", "2097152").config("retention.bytes", "33554432");
        cluster.admin().create_topic(topic).unwrap();
        Self { cluster, payloads: Payloads::new(100), written: AtomicU64::new(0) }
    }

    /// Runs a sender and a receiver on a thread each; both get the run's first offset and a counter of what was read.
    fn run(
        &self,
        records: u64,
        send: impl FnOnce(&AtomicU64) + Send,
        receive: impl FnOnce(i64, &AtomicU64) -> u64 + Send,
    ) -> Duration {
        let first = self.written.fetch_add(records, Ordering::Relaxed) as i64;
        let read = &AtomicU64::new(0);
        let start = Instant::now();
        std::thread::scope(|scope| {
            let receiver = scope.spawn(move || receive(first, read));
            scope.spawn(move || send(read));
            assert_eq!(receiver.join().unwrap(), self.payloads.sum(records), "records were lost or changed");
        });
        start.elapsed()
    }

    fn wait_for_reader(index: u64, read: &AtomicU64) {
        if index.is_multiple_of(1024) {
            while index.saturating_sub(read.load(Ordering::Acquire)) > Self::AHEAD {
                std::thread::yield_now();
            }
        }
    }

    fn blocking(&self, records: u64) -> Duration {
        let send = |read: &AtomicU64| {
            let producer = self.cluster.producer(ProducerConfig::default()).unwrap();
            for index in 0..records {
                Self::wait_for_reader(index, read);
                producer.send(ProducerRecord::to("t").value(self.payloads.get(index))).unwrap();
            }
            producer.flush().unwrap();
        };
        let receive = |first, read: &AtomicU64| {
            let mut consumer = self.cluster.consumer(config()).unwrap();
            consumer.assign([("t", 0)]).unwrap();
            consumer.seek(TopicPartition::new("t", 0), first).unwrap();
            let (mut sum, mut count) = (0u64, 0u64);
            while count < records {
                let polled = consumer.poll(Duration::from_secs(10)).unwrap();
                sum = polled.iter().fold(sum, |sum, record| sum.wrapping_add(touch(record.value().unwrap())));
                count += polled.len() as u64;
                read.store(count, Ordering::Release);
            }
            sum
        };
        self.run(records, send, receive)
    }

    fn asynchronous(&self, records: u64) -> Duration {
        let cluster = self.cluster.as_async();
        let send = |read: &AtomicU64| {
            runtime().block_on(async {
                let producer = cluster.producer(ProducerConfig::default()).unwrap();
                for index in 0..records {
                    Self::wait_for_reader(index, read);
                    producer.send(ProducerRecord::to("t").value(self.payloads.get(index))).await.unwrap();
                }
                producer.flush().await.unwrap();
            });
        };
        let receive = |first, read: &AtomicU64| {
            runtime().block_on(async {
                let mut consumer = cluster.consumer(config()).unwrap();
                consumer.assign([("t", 0)]).unwrap();
                consumer.seek(TopicPartition::new("t", 0), first).unwrap();
                let (mut sum, mut count) = (0u64, 0u64);
                while count < records {
                    let polled = consumer.poll(Duration::from_secs(10)).await.unwrap();
                    sum = polled.iter().fold(sum, |sum, record| sum.wrapping_add(touch(record.value().unwrap())));
                    count += polled.len() as u64;
                    read.store(count, Ordering::Release);
                }
                sum
            })
        };
        self.run(records, send, receive)
    }
}

fn config() -> ConsumerConfig {
    ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)
}

/// Send, wait for the acknowledgement, poll, one record at a time on one thread.
fn round_trips_blocking(cluster: &blocking::Cluster, rounds: u64) -> Duration {
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let mut consumer = cluster.consumer(config()).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let start = Instant::now();
    for round in 0..rounds {
        let value = round.to_le_bytes();
        producer.send(ProducerRecord::to("t").value(&value[..])).unwrap().wait().unwrap();
        assert_eq!(consumer.poll(Duration::from_secs(10)).unwrap().len(), 1);
    }
    start.elapsed()
}

fn round_trips_asynchronous(cluster: &brokerless::Cluster, rounds: u64) -> Duration {
    runtime().block_on(async {
        let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
        let mut consumer = cluster.consumer(config()).unwrap();
        consumer.assign([("t", 0)]).unwrap();
        let start = Instant::now();
        for round in 0..rounds {
            let value = round.to_le_bytes();
            producer.send(ProducerRecord::to("t").value(&value[..])).await.unwrap().await.unwrap();
            assert_eq!(consumer.poll(Duration::from_secs(10)).await.unwrap().len(), 1);
        }
        start.elapsed()
    })
}

fn main() {
    let stream = Stream::new();
    let contestants: Vec<Contestant<'_>> = vec![
        ("blocking", Box::new(|records| stream.blocking(records))),
        ("asynchronous", Box::new(|records| stream.asynchronous(records))),
    ];
    let hand_off = compare("one producer to one consumer, 100 B", 10_000_000, &contestants);

    let fresh = || {
        let cluster = blocking::Cluster::in_memory();
        cluster.admin().create_topic(NewTopic::new("t")).unwrap();
        cluster
    };
    let contestants: Vec<Contestant<'_>> = vec![
        ("blocking", Box::new(|rounds| round_trips_blocking(&fresh(), rounds))),
        ("asynchronous", Box::new(|rounds| round_trips_asynchronous(fresh().as_async(), rounds))),
    ];
    let round_trip = compare("send, acknowledgement, poll, one record at a time", 200_000, &contestants);

    println!();
    for (name, lines) in [("blocking_vs_async_handoff", hand_off), ("blocking_vs_async_round_trip", round_trip)] {
        println!("{}", goal_at_least(name, lines[0].rate / lines[1].rate, 0.8));
    }
}
