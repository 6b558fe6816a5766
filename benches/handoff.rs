//! One producer to one consumer, and to four, through the public API, against the channels people use instead.
//!
//! `cargo bench --bench handoff` prints records/s, ns/record and ratios, and ends with one line a goal. All peers move
//! the same payloads: each record is copied afresh by the sender, and the receiver reads every byte of it. Senders and
//! receivers run on threads of their own, each with a single-threaded tokio runtime where one is needed.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use counting::Counting;
use support::{Contestant, Line, Payloads, compare, goal_at_least, goal_at_most, runtime, touch};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CAPACITY: usize = 1024;
/// Records that `send_all` is given at a time.
const SLICE: usize = 64;

/// Runs a sender and `receivers` receivers; checks what every receiver read; returns the wall time.
fn race<R: FnOnce() -> u64 + Send>(sender: impl FnOnce() + Send, receivers: Vec<R>, expected: u64) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let receivers: Vec<_> = receivers.into_iter().map(|receiver| scope.spawn(receiver)).collect();
        scope.spawn(sender);
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), expected, "a receiver lost or changed data");
        }
    });
    start.elapsed()
}

fn crossbeam(payloads: &Payloads, records: u64) -> Duration {
    let (sender, receiver) = crossbeam_channel::bounded::<Box<[u8]>>(CAPACITY);
    race(
        move || (0..records).for_each(|index| sender.send(payloads.get(index).into()).unwrap()),
        vec![move || receiver.iter().fold(0u64, |sum, value| sum.wrapping_add(touch(&value)))],
        payloads.sum(records),
    )
}

fn flume(payloads: &Payloads, records: u64) -> Duration {
    let (sender, receiver) = flume::bounded::<Box<[u8]>>(CAPACITY);
    race(
        move || (0..records).for_each(|index| sender.send(payloads.get(index).into()).unwrap()),
        vec![move || receiver.iter().fold(0u64, |sum, value| sum.wrapping_add(touch(&value)))],
        payloads.sum(records),
    )
}

fn tokio_mpsc(payloads: &Payloads, records: u64) -> Duration {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Box<[u8]>>(CAPACITY);
    race(
        move || {
            runtime().block_on(async {
                for index in 0..records {
                    sender.send(payloads.get(index).into()).await.unwrap();
                }
            });
        },
        vec![move || {
            runtime().block_on(async {
                let (mut sum, mut values) = (0u64, Vec::with_capacity(CAPACITY));
                while receiver.recv_many(&mut values, CAPACITY).await != 0 {
                    sum = values.drain(..).fold(sum, |sum, value| sum.wrapping_add(touch(&value)));
                }
                sum
            })
        }],
        payloads.sum(records),
    )
}

/// Lossless: the sender waits while the slowest receiver is a whole channel behind.
fn tokio_broadcast(payloads: &Payloads, records: u64, receivers: usize) -> Duration {
    let (sender, receiver) = tokio::sync::broadcast::channel::<Arc<[u8]>>(CAPACITY);
    let receivers: Vec<_> = (0..receivers).map(|_| receiver.resubscribe()).collect();
    drop(receiver);
    race(
        move || {
            for index in 0..records {
                if index % 64 == 0 {
                    while sender.len() > CAPACITY - 64 {
                        std::thread::yield_now();
                    }
                }
                sender.send(payloads.get(index).into()).unwrap();
            }
        },
        receivers
            .into_iter()
            .map(|mut receiver| {
                move || {
                    runtime().block_on(async {
                        let mut sum = 0u64;
                        while let Ok(value) = receiver.recv().await {
                            sum = sum.wrapping_add(touch(&value));
                        }
                        sum
                    })
                }
            })
            .collect(),
        payloads.sum(records),
    )
}

/// The ceiling: recycled 16 KiB blocks of length-prefixed values through a channel, and nothing else.
fn bare_batches(payloads: &Payloads, records: u64) -> Duration {
    const BLOCK: usize = 16 << 10;
    let (sender, receiver) = crossbeam_channel::bounded::<Vec<u8>>(64);
    let (give_back, recycled) = crossbeam_channel::bounded::<Vec<u8>>(128);
    race(
        move || {
            let mut block = Vec::with_capacity(BLOCK);
            for index in 0..records {
                let value = payloads.get(index);
                if block.len() + 4 + value.len() > BLOCK {
                    let empty = recycled.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
                    sender.send(std::mem::replace(&mut block, empty)).unwrap();
                }
                block.extend_from_slice(&(value.len() as u32).to_le_bytes());
                block.extend_from_slice(value);
            }
            sender.send(block).unwrap();
        },
        vec![move || {
            let mut sum = 0u64;
            for mut block in receiver {
                let mut rest = &block[..];
                while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                    let (value, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
                    sum = sum.wrapping_add(touch(value));
                    rest = tail;
                }
                block.clear();
                drop(give_back.try_send(block));
            }
            sum
        }],
        payloads.sum(records),
    )
}

/// A topic of one partition under retention that all runs share, so that after the warm-up a run reuses memory, as any
/// long-lived stream does. The sender waits while the slowest receiver is far behind, as in front of a full channel.
struct Stream {
    cluster: Cluster,
    written: AtomicU64,
}

impl Stream {
    const AHEAD_BYTES: u64 = 8 << 20;

    fn new() -> Self {
        let cluster = runtime().block_on(async {
            let cluster = Cluster::in_memory();
            let topic = NewTopic::new("t").config("segment.bytes", "2097152").config("retention.bytes", "33554432");
            cluster.admin().create_topic(topic).await.unwrap();
            cluster
        });
        Self { cluster, written: AtomicU64::new(0) }
    }

    /// Record by record, as through the channels.
    fn run(&self, payloads: &Payloads, records: u64, receivers: usize) -> Duration {
        self.race(payloads, records, receivers, |read| {
            runtime().block_on(async {
                let producer = self.cluster.producer(ProducerConfig::default()).unwrap();
                for index in 0..records {
                    if index % 1024 == 0 {
                        wait_for_readers(read, index, payloads);
                    }
                    producer.send(ProducerRecord::to("t").value(payloads.get(index))).await.unwrap();
                }
                producer.flush().await.unwrap();
            });
        })
    }

    /// The same with `send_all`, a slice of records a call. In a function of its own, as in an application: next to it
    /// in one async block the loop above took 1.5 ns a record longer.
    fn run_in_slices(&self, payloads: &Payloads, records: u64, receivers: usize) -> Duration {
        self.race(payloads, records, receivers, |read| {
            runtime().block_on(async {
                let producer = self.cluster.producer(ProducerConfig::default()).unwrap();
                let mut all = (0..records).map(|index| ProducerRecord::to("t").value(payloads.get(index)));
                let mut slice = Vec::with_capacity(SLICE);
                for index in 0.. {
                    slice.clear();
                    slice.extend(all.by_ref().take(SLICE));
                    if slice.is_empty() {
                        break;
                    }
                    wait_for_readers(read, index * SLICE as u64, payloads);
                    drop(producer.send_all(&slice).await.unwrap());
                }
                producer.flush().await.unwrap();
            });
        })
    }

    fn race(
        &self,
        payloads: &Payloads,
        records: u64,
        receivers: usize,
        send: impl FnOnce(&[AtomicU64]) + Send,
    ) -> Duration {
        let read: Vec<AtomicU64> = (0..receivers).map(|_| AtomicU64::new(0)).collect();
        let (cluster, read) = (&self.cluster, &read);
        let start = self.written.fetch_add(records, Ordering::Relaxed) as i64;
        race(
            move || send(read),
            (0..receivers)
                .map(|receiver| {
                    move || {
                        runtime().block_on(async {
                            let mut consumer = reader(cluster);
                            consumer.seek(TopicPartition::new("t", 0), start).unwrap();
                            let (mut sum, mut count) = (0u64, 0u64);
                            while count < records {
                                let polled = consumer.poll(Duration::from_secs(10)).await.unwrap();
                                for record in polled.iter() {
                                    sum = sum.wrapping_add(touch(record.value().unwrap()));
                                }
                                count += polled.len() as u64;
                                read[receiver].store(count, Ordering::Release);
                            }
                            sum
                        })
                    }
                })
                .collect(),
            payloads.sum(records),
        )
    }
}

/// Returns when the slowest reader is no more than [`Stream::AHEAD_BYTES`] behind.
fn wait_for_readers(read: &[AtomicU64], index: u64, payloads: &Payloads) {
    let ahead = Stream::AHEAD_BYTES / payloads.size as u64;
    while index.saturating_sub(slowest(read)) > ahead {
        std::thread::yield_now();
    }
}

fn slowest(read: &[AtomicU64]) -> u64 {
    read.iter().map(|count| count.load(Ordering::Acquire)).min().unwrap_or(0)
}

fn reader(cluster: &Cluster) -> Consumer {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn rate(lines: &[Line], name: &str) -> f64 {
    lines.iter().find(|line| line.name == name).map_or(f64::NAN, |line| line.rate)
}

/// Median and 99th percentile of sends that are each polled before the next one leaves, in ns.
fn latency(mut samples: Vec<u64>) -> (u64, u64) {
    samples.sort_unstable();
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}

fn brokerless_latency(rounds: u64) -> (u64, u64) {
    let keeper = runtime();
    let cluster = keeper.block_on(async {
        let cluster = Cluster::in_memory();
        cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
        cluster
    });
    let (cluster, origin, seen) = (&cluster, Instant::now(), &AtomicU64::new(0));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            runtime().block_on(async {
                let mut consumer = reader(cluster);
                let mut samples = Vec::with_capacity(rounds as usize);
                while (samples.len() as u64) < rounds {
                    for record in consumer.poll(Duration::from_secs(10)).await.unwrap().iter() {
                        let sent = u64::from_le_bytes(record.value().unwrap()[..8].try_into().unwrap());
                        samples.push(origin.elapsed().as_nanos() as u64 - sent);
                    }
                    seen.store(samples.len() as u64, Ordering::Release);
                }
                samples
            })
        });
        runtime().block_on(async {
            let producer: Producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
            for round in 0..rounds {
                while seen.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                }
                let value = (origin.elapsed().as_nanos() as u64).to_le_bytes();
                producer.send(ProducerRecord::to("t").value(&value[..])).await.unwrap();
            }
        });
        latency(receiver.join().unwrap())
    })
}

fn mpsc_latency(rounds: u64) -> (u64, u64) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<u64>(CAPACITY);
    let (origin, seen) = (Instant::now(), &AtomicU64::new(0));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            runtime().block_on(async {
                let mut samples = Vec::with_capacity(rounds as usize);
                while let Some(sent) = receiver.recv().await {
                    samples.push(origin.elapsed().as_nanos() as u64 - sent);
                    seen.store(samples.len() as u64, Ordering::Release);
                }
                samples
            })
        });
        runtime().block_on(async move {
            for round in 0..rounds {
                while seen.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                }
                sender.send(origin.elapsed().as_nanos() as u64).await.unwrap();
            }
        });
        latency(receiver.join().unwrap())
    })
}

/// Median time to start a cluster, in µs.
fn start_time() -> f64 {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut samples: Vec<_> = (0..201)
        .map(|_| {
            let start = Instant::now();
            let cluster = black_box(Cluster::in_memory());
            let elapsed = start.elapsed();
            drop(cluster);
            elapsed.as_nanos() as u64
        })
        .collect();
    samples.sort_unstable();
    samples[samples.len() / 2] as f64 / 1e3
}

/// Live heap bytes per record over payload plus key, at default batching.
fn memory_ratio() -> f64 {
    const RECORDS: u64 = 1_000_000;
    let payloads = Payloads::new(100);
    runtime().block_on(async {
        let cluster = Cluster::in_memory();
        cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        counting::start();
        let before = counting::live_bytes();
        for index in 0..RECORDS {
            let key = format!("{index:010}");
            drop(producer.send(ProducerRecord::to("t").key(&key).value(payloads.get(index))).await.unwrap());
        }
        producer.flush().await.unwrap();
        counting::stop();
        (counting::live_bytes() - before) as f64 / (RECORDS * 110) as f64
    })
}

fn main() {
    let mut goals = Vec::new();
    for (size, records) in [(100, 10_000_000u64), (1024, 2_000_000)] {
        let payloads = &Payloads::new(size);
        let stream = Stream::new();
        let contestants: Vec<Contestant<'_>> = vec![
            ("brokerless", Box::new(|records| stream.run(payloads, records, 1))),
            ("crossbeam-channel bounded(1024)", Box::new(move |records| crossbeam(payloads, records))),
            ("tokio mpsc(1024), recv_many", Box::new(move |records| tokio_mpsc(payloads, records))),
            ("tokio broadcast(1024)", Box::new(move |records| tokio_broadcast(payloads, records, 1))),
            ("flume bounded(1024)", Box::new(move |records| flume(payloads, records))),
            ("bare batched hand-off (ceiling)", Box::new(move |records| bare_batches(payloads, records))),
            ("brokerless, send_all of 64", Box::new(|records| stream.run_in_slices(payloads, records, 1))),
        ];
        let lines = compare(&format!("one producer to one consumer, {size} B"), records, &contestants);
        let ours = rate(&lines, "brokerless");
        let best = lines[1..5].iter().max_by(|left, right| left.rate.total_cmp(&right.rate)).unwrap();
        println!("brokerless is {:.2} x the best channel ({})", ours / best.rate, best.name);
        println!("brokerless reaches {:.0} % of the ceiling", 100.0 * ours / lines[5].rate);
        if size == 100 {
            let ratio = ours / best.rate;
            goals.push(goal_at_least("handoff_100B_vs_best_channel", ratio, 2.0));
            // Record by record, as through the channels. `send_all` is for those who have slices of them.
            goals.push(goal_at_least("handoff_100B_Mrecords_per_s", ours / 1e6, 30.0));
        }
    }

    let payloads = &Payloads::new(100);
    let stream = Stream::new();
    let contestants: Vec<Contestant<'_>> = vec![
        ("brokerless", Box::new(|records| stream.run(payloads, records, 4))),
        ("tokio broadcast(1024)", Box::new(move |records| tokio_broadcast(payloads, records, 4))),
    ];
    let lines = compare("one producer to four consumers, 100 B", 2_000_000, &contestants);
    let ratio = lines[0].rate / lines[1].rate;
    println!("brokerless is {ratio:.2} x tokio broadcast");
    goals.push(goal_at_least("fanout_4_vs_broadcast", ratio, 5.0));

    let (ours, theirs) = (brokerless_latency(20_000), mpsc_latency(20_000));
    println!("\nsend to poll, one record at a time, linger 0: median and 99th percentile in ns");
    println!("{:<34} {:>12} {:>12}", "brokerless", ours.0, ours.1);
    println!("{:<34} {:>12} {:>12}", "tokio mpsc", theirs.0, theirs.1);
    println!("brokerless takes {:.2} x the median of tokio mpsc", ours.0 as f64 / theirs.0 as f64);

    let start_us = start_time();
    println!("\ncluster start: {start_us:.1} us");
    goals.push(goal_at_most("cluster_start_us", start_us, 1000.0));
    let memory = memory_ratio();
    println!("live memory per record over payload plus key: {memory:.3}\n");
    goals.push(goal_at_most("memory_over_payload_and_key", memory, 1.15));
    goals.iter().for_each(|goal| println!("{goal}"));
}
