//! A soak: mixed load under retention and compaction, with clients that come and go, for as long as one likes; memory
//! stays flat, and no consumer sees a record twice, late or out of order.
//!
//! `cargo test --test soak` runs for a few seconds; `BROKERLESS_SOAK_SECONDS=600 cargo test --release --test soak --
//! --nocapture` is the long form. A binary of its own, because it counts every allocation of the process.

#![allow(clippy::print_stdout)]

#[path = "../benches/support/counting.rs"]
mod counting;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, ConsumerRecords, ErrorCode, NewTopic, ProducerConfig, ProducerRecord,
};
use counting::{Counting, live_bytes};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EVENTS: &str = "events";
const CHANGELOG: &str = "changelog";
const PARTITIONS: i32 = 8;
const KEYS: u64 = 1_000;
const REPORT: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_millis(100);
/// What a run may gain from its second third to its last, in bytes: the noise of who is where in its round.
const SLACK: usize = 4 << 20;

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    read: AtomicU64,
    members: AtomicU64,
    producers: AtomicU64,
    topics: AtomicU64,
    /// Deliveries that came to nothing: none should.
    failed: AtomicU64,
    stop: AtomicBool,
}

impl Counters {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The records of each producer in each partition come in the order in which it sent them, each once.
#[derive(Default)]
struct Order(HashMap<(i32, u64), u64>);

impl Order {
    fn check(&mut self, records: &ConsumerRecords, counters: &Counters) {
        for record in records {
            let value = record.value().unwrap();
            let word = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
            let (producer, sequence) = (word(0), word(8));
            let last = self.0.insert((record.partition(), producer), sequence);
            assert!(
                last.is_none_or(|last| last < sequence),
                "producer {producer}: {sequence} after {last:?} at {}-{} offset {}",
                record.topic(),
                record.partition(),
                record.offset()
            );
        }
        counters.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        // Producers come and go; those of long ago send nothing any more.
        if self.0.len() > 10_000 {
            self.0.clear();
        }
    }
}

/// A producer for a while, then the next one, closed or just dropped.
async fn produce(cluster: Cluster, counters: Arc<Counters>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut value = vec![0u8; 4096];
    while !counters.stopped() {
        let id = counters.producers.fetch_add(1, Ordering::Relaxed);
        value[..8].copy_from_slice(&id.to_le_bytes());
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        for sequence in 0..rng.u64(100..5_000) {
            value[8..16].copy_from_slice(&sequence.to_le_bytes());
            let size = if rng.u8(..) < 8 { rng.usize(16..4096) } else { rng.usize(16..200) };
            let key = (sequence % KEYS).to_le_bytes();
            let record = if rng.u8(..) < 64 {
                ProducerRecord::to(CHANGELOG).key(&key[..]).value(&value[..size])
            } else {
                ProducerRecord::to(EVENTS).value(&value[..size])
            };
            let heard = Arc::clone(&counters);
            let callback = move |delivered: brokerless::Result<_>| {
                if let Err(error) = delivered
                    && heard.failed.fetch_add(1, Ordering::Relaxed) == 0
                {
                    println!("the first delivery that failed: {error}");
                }
            };
            drop(producer.send_with(record, callback).await.unwrap());
            counters.sent.fetch_add(1, Ordering::Relaxed);
        }
        if rng.bool() {
            producer.close().await.unwrap();
        }
    }
}

/// A member of a group for a while, then the next one: closed, or just dropped.
async fn consume(cluster: Cluster, counters: Arc<Counters>, group: &'static str, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    while !counters.stopped() {
        counters.members.fetch_add(1, Ordering::Relaxed);
        let config = ConsumerConfig::group(group).auto_offset_reset(AutoOffsetReset::Earliest);
        let mut consumer = cluster.consumer(config).unwrap();
        consumer.subscribe([EVENTS]).unwrap();
        for _ in 0..rng.u32(10..300) {
            let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
            counters.read.fetch_add(records.len() as u64, Ordering::Relaxed);
            if rng.u8(..) < 16 {
                match consumer.commit().await {
                    Ok(()) => {}
                    // The group went on without this member, as groups do here all the time.
                    Err(error) => assert!(
                        matches!(
                            error.code(),
                            ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration
                        ),
                        "{error}"
                    ),
                }
            }
            if counters.stopped() {
                break;
            }
        }
        if rng.bool() {
            consumer.close().await.unwrap();
        }
    }
}

/// Reads everything of a topic from wherever the log begins, all the time, and checks the order.
async fn follow(cluster: Cluster, counters: Arc<Counters>, topic: &'static str) {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign((0..PARTITIONS).map(|partition| (topic, partition))).unwrap();
    let mut order = Order::default();
    while !counters.stopped() {
        order.check(&consumer.poll(Duration::from_millis(20)).await.unwrap(), &counters);
    }
}

/// Topics and groups come and go.
async fn administrate(cluster: Cluster, counters: Arc<Counters>) {
    let admin = cluster.admin();
    while !counters.stopped() {
        let name = format!("passing-{}", counters.topics.fetch_add(1, Ordering::Relaxed));
        admin.create_topic(NewTopic::new(&name).partitions(3)).await.unwrap();
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        producer.send(ProducerRecord::to(&name).value("v")).await.unwrap().await.unwrap();
        let mut consumer = cluster.consumer(ConsumerConfig::group(&name)).unwrap();
        consumer.subscribe([&name]).unwrap();
        consumer.poll(Duration::from_millis(5)).await.unwrap();
        consumer.close().await.unwrap();
        admin.delete_group(&name).await.unwrap();
        admin.delete_topic(&name).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
}

/// Live bytes, sample by sample.
async fn watch(counters: Arc<Counters>, duration: Duration) -> Vec<usize> {
    let (start, mut ticks, mut samples) = (Instant::now(), interval(SAMPLE), Vec::new());
    samples.reserve(duration.as_millis() as usize / SAMPLE.as_millis() as usize + 16);
    let mut next_report = REPORT;
    while start.elapsed() < duration {
        ticks.tick().await;
        samples.push(live_bytes().saturating_sub(counting::BASE));
        if start.elapsed() > next_report {
            next_report += REPORT;
            report(&counters, start.elapsed(), &samples);
        }
    }
    report(&counters, start.elapsed(), &samples);
    counters.stop.store(true, Ordering::Relaxed);
    samples
}

fn report(counters: &Counters, elapsed: Duration, samples: &[usize]) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{:>4} s: {} records sent, {} read, {} producers, {} members, {} topics; {:.1} MiB live",
        elapsed.as_secs(),
        count(&counters.sent),
        count(&counters.read),
        count(&counters.producers),
        count(&counters.members),
        count(&counters.topics),
        *samples.last().unwrap() as f64 / (1 << 20) as f64,
    );
}

fn median(samples: &[usize]) -> usize {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[test]
fn invariant_54_memory_stays_flat_under_a_mixed_load() {
    let seconds = std::env::var("BROKERLESS_SOAK_SECONDS").map_or(9, |text| text.parse().unwrap());
    counting::start();
    let before = live_bytes();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let counters = Arc::new(Counters::default());
    let samples = runtime.block_on(async {
        // Small enough to be in its steady state within a third of the shortest run.
        let cluster = Cluster::builder()
            .seed(7)
            .broker_property("log.retention.check.interval.ms", "200")
            .broker_property("log.cleaner.backoff.ms", "200")
            .broker_property("producer.id.expiration.ms", "500")
            .broker_property("offsets.topic.num.partitions", "1")
            .broker_property("offsets.topic.segment.bytes", "1048576")
            .recycled_memory(8 << 20)
            .start()
            .await
            .unwrap();
        let events = NewTopic::new(EVENTS)
            .partitions(PARTITIONS)
            .config("internal.segment.bytes", "131072")
            .config("retention.bytes", "524288");
        let changelog = NewTopic::new(CHANGELOG)
            .partitions(PARTITIONS)
            .config("cleanup.policy", "compact")
            .config("internal.segment.bytes", "65536")
            .config("min.cleanable.dirty.ratio", "0.1");
        for created in cluster.admin().create_topics([events, changelog]).await {
            created.unwrap();
        }
        let mut tasks = JoinSet::new();
        for seed in 0..2 {
            tasks.spawn(produce(cluster.clone(), Arc::clone(&counters), seed));
        }
        for (seed, group) in [(1, "churning"), (2, "churning"), (3, "churning"), (4, "alone")] {
            tasks.spawn(consume(cluster.clone(), Arc::clone(&counters), group, seed));
        }
        for topic in [EVENTS, CHANGELOG] {
            tasks.spawn(follow(cluster.clone(), Arc::clone(&counters), topic));
        }
        tasks.spawn(administrate(cluster.clone(), Arc::clone(&counters)));
        let samples = watch(Arc::clone(&counters), Duration::from_secs(seconds)).await;
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        cluster.shutdown().await;
        samples
    });
    drop(runtime);
    assert_eq!(counters.failed.load(Ordering::Relaxed), 0, "deliveries failed");
    assert!(counters.sent.load(Ordering::Relaxed) > 0 && counters.read.load(Ordering::Relaxed) > 0);

    let third = samples.len() / 3;
    let (middle, last) = (median(&samples[third..2 * third]), median(&samples[2 * third..]));
    println!("median live bytes: {middle} in the second third, {last} in the last");
    assert!(last < middle + middle / 10 + SLACK, "live bytes grew from {middle} to {last}");
    let after = live_bytes();
    assert!(after < before + (1 << 20), "{} bytes are left of what the run allocated", after - before);
}
