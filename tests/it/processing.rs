//! Parallel processing: order, commits, hand-over, failures, endings.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use brokerless::consumer::ConsumerInterceptor;
use brokerless::processing::{
    FailurePolicy, ParallelConsumer, ProcessingConfig, ProcessingError, ProcessingOrder, ProcessingSummary,
    ShutdownHandle,
};
use brokerless::types::OffsetAndMetadata;
use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, ConsumerRecords, ErrorCode, NewTopic, OwnedConsumerRecord,
    PartitionAssignor, Producer, ProducerConfig, ProducerRecord, RebalanceContext, RebalanceListener, TopicPartition,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::consumer::{cluster, t};
use crate::testing::cases;

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig::group(name)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .heartbeat_interval(Duration::from_millis(100))
}

/// What came of processing, in the order in which it did.
#[derive(Debug, Default)]
struct Ledger {
    begun: Vec<(i32, i64)>,
    ended: Vec<(i32, i64)>,
    keys: BTreeMap<(i32, i64), Option<Vec<u8>>>,
    running: usize,
    most_running: usize,
}

impl Ledger {
    fn begin(&mut self, record: &OwnedConsumerRecord) {
        self.begun.push((record.partition(), record.offset()));
        self.keys.insert((record.partition(), record.offset()), record.key().map(<[u8]>::to_vec));
        self.running += 1;
        self.most_running = self.most_running.max(self.running);
    }

    fn end(&mut self, record: &OwnedConsumerRecord) {
        self.ended.push((record.partition(), record.offset()));
        self.running -= 1;
    }

    /// The offset up to which everything of a partition is processed.
    fn prefix(&self, partition: i32) -> i64 {
        let ended: BTreeSet<_> =
            self.ended.iter().filter(|(of, _)| *of == partition).map(|(_, offset)| *offset).collect();
        (0..).find(|offset| !ended.contains(offset)).unwrap()
    }

    /// Records of a lane began one after the other, each after the end of the one before it.
    fn assert_order(&self, order: ProcessingOrder) {
        let lane = |at: &(i32, i64)| match order {
            ProcessingOrder::Partition => Some((at.0, None)),
            _ => self.keys[at].clone().map(|key| (at.0, Some(key))),
        };
        for events in [&self.begun, &self.ended] {
            let mut last = BTreeMap::new();
            for at in events {
                if let (Some(lane), true) = (lane(at), order != ProcessingOrder::Unordered) {
                    let before = last.insert(lane, at.1);
                    assert!(before.is_none_or(|before| before < at.1), "{at:?} after {before:?}");
                }
            }
        }
    }

    fn assert_each_once(&self, counts: &[i64]) {
        let expected: BTreeSet<_> = counts
            .iter()
            .enumerate()
            .flat_map(|(index, count)| (0..*count).map(move |offset| (index as i32, offset)))
            .collect();
        assert_eq!(self.ended.iter().copied().collect::<BTreeSet<_>>(), expected);
        assert_eq!(self.ended.len(), expected.len(), "processed twice");
    }
}

type Shared = Arc<Mutex<Ledger>>;
type Outcome = Result<ProcessingSummary, ProcessingError<Infallible>>;

/// Sends records with keys drawn from the seed, a few in each partition; returns how many.
async fn fill(producer: &Producer, random: &mut fastrand::Rng, partitions: i32, keys: u32, records: usize) -> Vec<i64> {
    let mut counts = vec![0; partitions as usize];
    for _ in 0..records {
        let partition = random.i32(0..partitions);
        counts[partition as usize] += 1;
        let record = ProducerRecord::to("t").partition(partition).value("");
        let record = match random.u32(0..=keys) {
            0 => record,
            key => record.key(key.to_string()),
        };
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    counts
}

/// How long a record takes; a tenth of them takes long.
fn delay(seed: u64, record: &OwnedConsumerRecord) -> Duration {
    let seed = seed ^ (record.partition() as u64) << 32 ^ record.offset() as u64;
    let mut random = fastrand::Rng::with_seed(seed);
    Duration::from_millis(if random.u8(0..10) == 0 { random.u64(50..500) } else { random.u64(0..20) })
}

/// A processor of `t` that notes what it does; each record takes a time that the seed says.
fn processor(
    cluster: &Cluster,
    consumer: ConsumerConfig,
    config: ProcessingConfig,
    ledger: &Shared,
    seed: u64,
) -> (ShutdownHandle, JoinHandle<Outcome>) {
    let mut consumer = ParallelConsumer::new(cluster, consumer, config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let shutdown = consumer.shutdown_handle();
    let ledger = Arc::clone(ledger);
    let run = consumer.run(move |record| {
        let ledger = Arc::clone(&ledger);
        async move {
            ledger.lock().begin(&record);
            sleep(delay(seed, &record)).await;
            ledger.lock().end(&record);
            Ok(())
        }
    });
    (shutdown, tokio::spawn(run))
}

async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(600), "it did not come to that");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn committed(cluster: &Cluster, group_id: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let observer = cluster.consumer(ConsumerConfig::group(group_id)).unwrap();
    let committed = observer.committed((0..partitions).map(t)).await.unwrap();
    committed.into_iter().map(|(partition, position)| (partition.partition(), position.offset())).collect()
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test)
}

fn orders() -> impl Strategy<Value = ProcessingOrder> {
    proptest::sample::select(vec![ProcessingOrder::Partition, ProcessingOrder::Key, ProcessingOrder::Unordered])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..cases(16) })]

    /// Without a rebalance: order holds, nothing is lost and nothing processed twice, commits are never ahead.
    #[test]
    fn order_bounds_and_commits_hold_under_random_delays(
        seed: u64, order in orders(), partitions in 1..5i32, keys in 1..8u32, records in 0..300usize,
        concurrency in 1..20usize, in_flight in 1..60usize,
    ) {
        in_virtual_time(async {
            let cluster = cluster(partitions).await;
            let producer = cluster.producer(ProducerConfig::default()).unwrap();
            let counts = fill(&producer, &mut fastrand::Rng::with_seed(seed), partitions, keys, records).await;
            let ledger = Shared::default();
            let config = ProcessingConfig::default()
                .order(order)
                .max_concurrency(concurrency)
                .max_in_flight(in_flight)
                .commit_interval(Duration::from_millis(7));
            let (shutdown, running) = processor(&cluster, group("g"), config, &ledger, seed);
            let mut seen = BTreeMap::new();
            while ledger.lock().ended.len() < records {
                sleep(Duration::from_millis(11)).await;
                let committed = committed(&cluster, "g", partitions).await;
                for (partition, offset) in &committed {
                    assert!(*offset <= ledger.lock().prefix(*partition), "{partition} committed at {offset}");
                }
                seen.extend(committed);
            }
            shutdown.shutdown();
            let summary = running.await.unwrap().unwrap();
            let ledger = std::mem::take(&mut *ledger.lock());
            ledger.assert_each_once(&counts);
            ledger.assert_order(order);
            assert!(ledger.most_running <= concurrency);
            assert_eq!((summary.processed(), summary.skipped(), summary.unfinished()), (records as u64, 0, 0));
            for (partition, offset) in committed(&cluster, "g", partitions).await {
                assert_eq!(offset, counts[partition as usize]);
            }
        });
    }

    /// Members come and go: nothing is lost, order holds, and where partitions are the order, nothing is processed twice.
    #[test]
    fn handing_over_loses_nothing(
        seed: u64, order in orders(), cooperative: bool, concurrency in 1..10usize, join_after in 0..400u64,
        leave_after in 0..400u64,
    ) {
        in_virtual_time(async {
            let cluster = cluster(4).await;
            let producer = cluster.producer(ProducerConfig::default()).unwrap();
            let counts = fill(&producer, &mut fastrand::Rng::with_seed(seed), 4, 5, 400).await;
            let assignor = if cooperative { PartitionAssignor::CooperativeSticky } else { PartitionAssignor::Range };
            let consumer = group("g").partition_assignment_strategy([assignor]);
            let config = ProcessingConfig::default()
                .order(order)
                .max_concurrency(concurrency)
                .max_in_flight(40)
                .commit_interval(Duration::from_millis(50));
            let ledger = Shared::default();
            let (first, first_run) = processor(&cluster, consumer.clone(), config.clone(), &ledger, seed);
            sleep(Duration::from_millis(join_after)).await;
            let (second, second_run) = processor(&cluster, consumer, config, &ledger, seed);
            sleep(Duration::from_millis(leave_after)).await;
            first.shutdown();
            let first = first_run.await.unwrap().unwrap();
            let all = |ledger: &Ledger| (0..4).all(|index| ledger.prefix(index) == counts[index as usize]);
            until(|| ledger.lock().ended.len() >= 400 && all(&ledger.lock())).await;
            second.shutdown();
            let second = second_run.await.unwrap().unwrap();
            let ledger = std::mem::take(&mut *ledger.lock());
            assert_eq!((first.unfinished(), second.unfinished()), (0, 0));
            if order == ProcessingOrder::Partition {
                ledger.assert_each_once(&counts);
                ledger.assert_order(order);
                assert_eq!(first.processed() + second.processed(), 400);
            }
            for (partition, offset) in committed(&cluster, "g", 4).await {
                assert_eq!(offset, counts[partition as usize]);
            }
        });
    }
}

async fn send(cluster: &Cluster, partition: i32, values: std::ops::Range<i64>) {
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for value in values {
        producer.send(ProducerRecord::to("t").partition(partition).key("k").value(value.to_string())).await.unwrap();
    }
    producer.flush().await.unwrap();
}

fn parallel(cluster: &Cluster, config: ProcessingConfig) -> ParallelConsumer {
    let mut consumer = ParallelConsumer::new(cluster, group("g"), config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_in_front_of_its_record() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..10).await;
    let consumer = parallel(&cluster, ProcessingConfig::default().order(ProcessingOrder::Partition));
    let error = consumer.run(async |record| if record.offset() == 4 { Err("four") } else { Ok(()) }).await.unwrap_err();
    assert_eq!(error.to_string(), "processing offset 4 of t-0");
    let ProcessingError::Handler(failed) = error else { panic!("{error:?}") };
    assert_eq!((failed.record.offset(), failed.record.value_str().unwrap(), failed.error), (4, Some("4"), "four"));
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 4)]));
    // The next one goes on with the record that failed.
    let consumer = parallel(&cluster, ProcessingConfig::default());
    let error = consumer.run(async |record| Err::<(), _>(record.offset())).await.unwrap_err();
    assert!(matches!(error, ProcessingError::Handler(failed) if failed.error == 4));
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_and_then_the_record_is_skipped() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..3).await;
    let config = ProcessingConfig::default()
        .retries(3, Duration::from_millis(100), Duration::from_millis(250))
        .on_failure(FailurePolicy::Skip);
    let consumer = parallel(&cluster, config);
    let shutdown = consumer.shutdown_handle();
    let attempts: Arc<Mutex<Vec<(i64, Duration)>>> = Arc::default();
    let log = Arc::clone(&attempts);
    let start = Instant::now();
    let run = consumer.run(move |record| {
        log.lock().push((record.offset(), start.elapsed()));
        if record.offset() == 2 {
            shutdown.shutdown();
        }
        std::future::ready(if record.offset() == 1 { Err("no") } else { Ok(()) })
    });
    let summary = run.await.unwrap();
    assert_eq!((summary.processed(), summary.skipped(), summary.unfinished()), (2, 1, 0));
    let attempts = std::mem::take(&mut *attempts.lock());
    assert_eq!(attempts.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 2]);
    let pauses: Vec<_> = attempts[1..5].windows(2).map(|pair| (pair[1].1 - pair[0].1).as_millis()).collect();
    assert_eq!(pauses, [100, 200, 250]);
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 3)]));
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_what_was_taken() {
    let cluster = cluster(2).await;
    send(&cluster, 0, 0..5).await;
    let ledger = Shared::default();
    let config = ProcessingConfig::default().order(ProcessingOrder::Partition);
    let (shutdown, running) = processor(&cluster, group("g"), config, &ledger, 1);
    until(|| !ledger.lock().begun.is_empty()).await;
    shutdown.shutdown();
    // Too late to be taken.
    send(&cluster, 1, 0..5).await;
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.processed(), summary.unfinished()), (5, 0));
    ledger.lock().assert_each_once(&[5, 0]);
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 5), (1, 0)]));
    assert!(cluster.admin().describe_group("g").await.unwrap().members().is_empty());
}

/// Counts what is alive: handlers that are cancelled are dropped.
struct Alive(Arc<()>);

#[tokio::test(start_paused = true)]
async fn shutdown_cancels_what_takes_too_long() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..4).await;
    let config = ProcessingConfig::default().order(ProcessingOrder::Unordered).shutdown_timeout(Duration::from_secs(9));
    let consumer = parallel(&cluster, config);
    let shutdown = consumer.shutdown_handle();
    let alive = Arc::new(());
    let handle = Arc::clone(&alive);
    let running = tokio::spawn(consumer.run(move |record| {
        let alive = Alive(Arc::clone(&handle));
        async move {
            if record.offset() == 2 {
                std::future::pending::<()>().await;
            }
            drop(alive.0);
            Ok::<_, Infallible>(())
        }
    }));
    // Three are done; the test, the handler and the one that hangs.
    until(|| Arc::strong_count(&alive) == 3).await;
    let start = Instant::now();
    shutdown.shutdown();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 9);
    assert_eq!((summary.processed(), summary.unfinished()), (3, 1));
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 2)]));
}

#[tokio::test(start_paused = true)]
async fn dropping_it_cancels_everything() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..4).await;
    let consumer = parallel(&cluster, ProcessingConfig::default().order(ProcessingOrder::Unordered));
    let alive = Arc::new(());
    let handle = Arc::clone(&alive);
    let mut running = Box::pin(consumer.run(move |_| {
        let alive = Alive(Arc::clone(&handle));
        async move {
            std::future::pending::<()>().await;
            drop(alive.0);
            Ok::<_, Infallible>(())
        }
    }));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut running).await.is_err());
    assert_eq!(Arc::strong_count(&alive), 6);
    drop(running);
    until(|| Arc::strong_count(&alive) == 1).await;
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 0)]));
    assert!(cluster.admin().describe_group("g").await.unwrap().members().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_holds_its_partition_back_holds_back_no_other() {
    let cluster = cluster(3).await;
    for partition in 0..3 {
        send(&cluster, partition, 0..200).await;
    }
    let config = ProcessingConfig::default().order(ProcessingOrder::Unordered).max_in_flight(32);
    let consumer = parallel(&cluster, config.shutdown_timeout(Duration::from_secs(1)));
    let shutdown = consumer.shutdown_handle();
    let done: Arc<Mutex<Vec<i64>>> = Arc::new(Mutex::new(vec![0; 3]));
    let log = Arc::clone(&done);
    let running = tokio::spawn(consumer.run(move |record| {
        let log = Arc::clone(&log);
        async move {
            if (record.partition(), record.offset()) == (0, 3) {
                std::future::pending::<()>().await;
            }
            log.lock()[record.partition() as usize] += 1;
            Ok::<_, Infallible>(())
        }
    }));
    until(|| done.lock()[1..] == [200, 200]).await;
    // Of the partition that stands still no more was taken than there is room for.
    assert!(done.lock()[0] <= 3 + 32);
    shutdown.shutdown();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(committed(&cluster, "g", 3).await, BTreeMap::from([(0, 3), (1, 200), (2, 200)]));
    assert_eq!(summary.unfinished(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_waits_for_handlers_and_no_longer_than_it_may() {
    let cluster = cluster(2).await;
    send(&cluster, 0, 0..1).await;
    send(&cluster, 1, 0..1).await;
    let config = ProcessingConfig::default().revoke_timeout(Duration::from_secs(20));
    let begun: Arc<Mutex<Vec<i32>>> = Arc::default();
    let spawn = || {
        let (consumer, log) = (parallel(&cluster, config.clone()), Arc::clone(&begun));
        let shutdown = consumer.shutdown_handle();
        let running = consumer.run(move |record| {
            log.lock().push(record.partition());
            let is_first = log.lock().len() <= 2;
            async move {
                if is_first {
                    // One is done in time, the other never.
                    sleep(if record.partition() == 0 { Duration::from_secs(10) } else { Duration::MAX }).await;
                }
                Ok::<_, Infallible>(())
            }
        });
        (shutdown, tokio::spawn(running))
    };
    let (first, first_run) = spawn();
    until(|| begun.lock().len() == 2).await;
    let start = Instant::now();
    let (second, second_run) = spawn();
    // The record that was cancelled comes again.
    until(|| begun.lock().len() == 3).await;
    let elapsed = start.elapsed();
    assert!((20_000..20_500).contains(&elapsed.as_millis()), "{elapsed:?}");
    assert_eq!(begun.lock()[2], 1);
    assert_eq!(committed(&cluster, "g", 2).await[&0], 1);
    for (shutdown, run) in [(first, first_run), (second, second_run)] {
        shutdown.shutdown();
        run.await.unwrap().unwrap();
    }
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 1), (1, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_handler_is_the_callers() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..1).await;
    let consumer = parallel(&cluster, ProcessingConfig::default());
    let run = tokio::spawn(consumer.run(async |record: OwnedConsumerRecord| -> Result<(), Infallible> {
        panic!("at {}", record.offset());
    }));
    let panic = run.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "at 0");
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 0)]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused() {
    let cluster = cluster(1).await;
    let new = |consumer, config| ParallelConsumer::new(&cluster, consumer, config).unwrap_err().code();
    assert_eq!(new(ConsumerConfig::default(), ProcessingConfig::default()), ErrorCode::InvalidGroupId);
    for config in [
        ProcessingConfig::default().max_concurrency(0),
        ProcessingConfig::default().max_in_flight(0),
        ProcessingConfig::default().commit_interval(Duration::ZERO),
    ] {
        assert_eq!(new(group("g"), config), ErrorCode::InvalidConfig);
    }
    // Neither topics nor partitions.
    let consumer = ParallelConsumer::new(&cluster, group("g"), ProcessingConfig::default()).unwrap();
    let error = consumer.run(async |_| Ok::<_, Infallible>(())).await.unwrap_err();
    assert!(matches!(error, ProcessingError::Consumer(error) if error.is_illegal_state()));
}

#[tokio::test(start_paused = true)]
async fn partitions_assigned_by_hand_are_processed_and_committed() {
    let cluster = cluster(2).await;
    send(&cluster, 1, 0..3).await;
    let mut consumer = ParallelConsumer::new(&cluster, group("g"), ProcessingConfig::default()).unwrap();
    consumer.assign([("t", 1)]).unwrap();
    let shutdown = consumer.shutdown_handle();
    let summary = consumer.run(move |record| {
        if record.offset() == 2 {
            shutdown.shutdown();
        }
        std::future::ready(Ok::<_, Infallible>(()))
    });
    assert_eq!(summary.await.unwrap().processed(), 3);
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(1, 3)]));
}

/// Commits at a rebalance what is known only a second later.
struct Late;

impl RebalanceListener for Late {
    fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let partitions = partitions.to_vec();
        context.commit_when(async move {
            sleep(Duration::from_secs(1)).await;
            partitions.into_iter().map(|partition| (partition, OffsetAndMetadata::new(7)))
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_waits_for_what_its_listener_commits_later() {
    let cluster = cluster(2).await;
    let config = group("g").enable_auto_commit(false);
    let mut first = cluster.consumer(config.clone()).unwrap();
    first.subscribe_with_listener(["t"], Late).unwrap();
    first.poll(Duration::from_millis(10)).await.unwrap();
    assert_eq!(first.assignment().len(), 2);
    let mut second = cluster.consumer(config).unwrap();
    second.subscribe(["t"]).unwrap();
    let start = Instant::now();
    let polling = tokio::spawn(async move {
        loop {
            first.poll(Duration::from_millis(10)).await.unwrap();
            if first.assignment().len() == 1 {
                return first;
            }
        }
    });
    while second.assignment().len() != 1 {
        second.poll(Duration::from_millis(10)).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 7), (1, 7)]));
    let first = polling.await.unwrap();
    // Closing waits, too.
    let start = Instant::now();
    first.close().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

/// On several threads, in real time: the same as above, without the seed's say in the interleaving.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_keep_the_order_of_keys() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(8)).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for index in 0..20_000 {
        let record = ProducerRecord::to("t").key((index % 97).to_string()).value(index.to_string());
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let ledger: Arc<Mutex<BTreeMap<Vec<u8>, Vec<usize>>>> = Arc::default();
    let consumer = parallel(&cluster, ProcessingConfig::default());
    let (shutdown, log) = (consumer.shutdown_handle(), Arc::clone(&ledger));
    let running = tokio::spawn(consumer.run(move |record| {
        let log = Arc::clone(&log);
        async move {
            if record.offset() % 7 == 0 {
                tokio::task::yield_now().await;
            }
            let value = record.value_str().unwrap().unwrap().parse().unwrap();
            log.lock().entry(record.key().unwrap().to_vec()).or_default().push(value);
            Ok::<_, Infallible>(())
        }
    }));
    while ledger.lock().values().map(Vec::len).sum::<usize>() < 20_000 {
        tokio::task::yield_now().await;
    }
    shutdown.shutdown();
    assert_eq!(running.await.unwrap().unwrap().processed(), 20_000);
    for (key, values) in ledger.lock().iter() {
        let key: usize = str::from_utf8(key).unwrap().parse().unwrap();
        assert_eq!(*values, (key..20_000).step_by(97).collect::<Vec<_>>());
    }
}

/// Drops the records that it is told to, and returns the rest from the last to the first, the last one twice.
struct Scrambles;

impl ConsumerInterceptor for Scrambles {
    fn on_consume(&self, mut records: ConsumerRecords) -> ConsumerRecords {
        records.retain(|record| record.partition() == 0 && record.offset() < 4);
        let mut all: Vec<_> = records.iter().map(|record| record.to_owned()).collect();
        all.extend(all.last().cloned());
        records.retain(|_| false);
        records.extend(all.into_iter().rev());
        records
    }
}

/// What interceptors drop is committed, as by any consumer, and no order that they choose does harm.
#[tokio::test(start_paused = true)]
async fn offsets_that_interceptors_drop_are_committed() {
    let cluster = cluster(2).await;
    send(&cluster, 0, 0..6).await;
    send(&cluster, 1, 0..6).await;
    let ledger = Shared::default();
    let config = ProcessingConfig::default().order(ProcessingOrder::Partition).commit_interval(Duration::from_secs(1));
    let (shutdown, running) = processor(&cluster, group("g").interceptor(Scrambles), config, &ledger, 1);
    until(|| ledger.lock().ended.len() == 5).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 6), (1, 6)]));
    shutdown.shutdown();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.processed(), summary.unfinished()), (5, 0));
    assert_eq!(ledger.lock().ended, [(0, 3), (0, 3), (0, 2), (0, 1), (0, 0)]);
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 6), (1, 6)]));
}

/// A new group that begins at the end of its partitions, as by default.
fn latest(name: &str) -> ConsumerConfig {
    group(name).auto_offset_reset(AutoOffsetReset::Latest)
}

async fn all_committed(cluster: &Cluster, group_id: &str) -> BTreeMap<TopicPartition, i64> {
    let offsets = cluster.admin().list_group_offsets(group_id).await.unwrap();
    offsets.into_iter().map(|(partition, position)| (partition, position.offset())).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Fails,
    Panics,
    ShutDownLate,
    Dropped,
}

/// Symptom: a record that did not get complete was never processed, if it was the first of a new group that begins at the
/// end. Cause: nothing was committed of a partition before one of its records was complete, so the next owner began at
/// the end again, behind the record. Fix: the first record that is not complete is committed, complete ones in front of it
/// or not, and the positions of partitions without records as well.
#[tokio::test(start_paused = true)]
async fn the_first_record_of_a_new_group_is_not_lost() {
    for end in [End::Fails, End::Panics, End::ShutDownLate, End::Dropped] {
        let cluster = cluster(2).await;
        send(&cluster, 0, 0..3).await;
        send(&cluster, 1, 0..1).await;
        let config = ProcessingConfig::default().shutdown_timeout(Duration::from_secs(1));
        let mut consumer = ParallelConsumer::new(&cluster, latest("g"), config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let shutdown = consumer.shutdown_handle();
        let running = tokio::spawn(consumer.run(move |record| async move {
            match end {
                End::Fails => Err("no"),
                End::Panics => panic!("at {}", record.offset()),
                End::ShutDownLate | End::Dropped => std::future::pending().await,
            }
        }));
        // It stands at the ends by then.
        sleep(Duration::from_secs(1)).await;
        send(&cluster, 0, 3..4).await;
        sleep(Duration::from_secs(1)).await;
        match end {
            End::Fails => assert!(matches!(running.await.unwrap(), Err(ProcessingError::Handler(_)))),
            End::Panics => assert!(running.await.unwrap_err().is_panic()),
            End::ShutDownLate => {
                shutdown.shutdown();
                assert_eq!(running.await.unwrap().unwrap().unfinished(), 1);
            }
            End::Dropped => {
                running.abort();
                assert!(running.await.unwrap_err().is_cancelled());
            }
        }
        assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 3), (1, 1)]), "{end:?}");
    }
}

/// The position of a partition that stands still is handed over: its next owner reads what comes before it looks.
#[tokio::test(start_paused = true)]
async fn idle_partitions_are_handed_over_at_their_positions() {
    for assignor in [PartitionAssignor::Range, PartitionAssignor::CooperativeSticky] {
        let cluster = cluster(2).await;
        send(&cluster, 0, 0..3).await;
        let consumer = latest("g").partition_assignment_strategy([assignor]);
        // Only the rebalance commits.
        let config = ProcessingConfig::default().commit_interval(Duration::from_secs(3600));
        let ledger = Shared::default();
        let (first, first_run) = processor(&cluster, consumer.clone(), config.clone(), &ledger, 1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::new());
        let (second, second_run) = processor(&cluster, consumer, config, &ledger, 1);
        let handed_over = async {
            while committed(&cluster, "g", 2).await.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), handed_over).await.expect("the rebalance commits the positions");
        send(&cluster, 0, 3..4).await;
        send(&cluster, 1, 0..1).await;
        until(|| ledger.lock().ended.len() == 2).await;
        for (shutdown, run) in [(first, first_run), (second, second_run)] {
            shutdown.shutdown();
            run.await.unwrap().unwrap();
        }
        assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 4), (1, 1)]));
    }
}

/// A cooperative member has positions of what was revoked until the rebalance is over, past a record that was cancelled:
/// the commits that go on meanwhile must not say them.
#[tokio::test(start_paused = true)]
async fn commits_during_a_cooperative_rebalance_lose_nothing() {
    let cluster = cluster(2).await;
    send(&cluster, 0, 0..1).await;
    send(&cluster, 1, 0..1).await;
    let consumer = group("g").partition_assignment_strategy([PartitionAssignor::CooperativeSticky]);
    let config =
        ProcessingConfig::default().revoke_timeout(Duration::from_secs(2)).commit_interval(Duration::from_millis(7));
    let begun: Arc<Mutex<Vec<i32>>> = Arc::default();
    let spawn = || {
        let mut consumer = ParallelConsumer::new(&cluster, consumer.clone(), config.clone()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let (shutdown, log) = (consumer.shutdown_handle(), Arc::clone(&begun));
        let running = consumer.run(move |record| {
            log.lock().push(record.partition());
            let is_first = log.lock().len() <= 2;
            async move {
                if is_first {
                    sleep(Duration::from_secs(10)).await;
                }
                Ok::<_, Infallible>(())
            }
        });
        (shutdown, tokio::spawn(running))
    };
    let (first, first_run) = spawn();
    until(|| begun.lock().len() == 2).await;
    let (second, second_run) = spawn();
    // The one that was cancelled comes again.
    until(|| begun.lock().len() == 3).await;
    for (shutdown, run) in [(first, first_run), (second, second_run)] {
        shutdown.shutdown();
        run.await.unwrap().unwrap();
    }
    assert_eq!(committed(&cluster, "g", 2).await, BTreeMap::from([(0, 1), (1, 1)]));
}

/// Symptom: deleting one of its topics ended a consumer that had others. Cause: the broker refuses to commit partitions
/// that it does not have, and the refusal was taken for the consumer's end. Fix: they are not committed.
#[tokio::test(start_paused = true)]
async fn a_deleted_topic_ends_nothing() {
    for is_subscribed in [true, false] {
        let cluster = cluster(1).await;
        cluster.admin().create_topic(NewTopic::new("doomed")).await.unwrap();
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        producer.send(ProducerRecord::to("doomed").value("")).await.unwrap().await.unwrap();
        send(&cluster, 0, 0..1).await;
        let mut consumer = ParallelConsumer::new(&cluster, group("g"), ProcessingConfig::default()).unwrap();
        if is_subscribed {
            consumer.subscribe(["t", "doomed"]).unwrap();
        } else {
            consumer.assign([("t", 0), ("doomed", 0)]).unwrap();
        }
        let shutdown = consumer.shutdown_handle();
        let done: Arc<Mutex<usize>> = Arc::default();
        let log = Arc::clone(&done);
        let running = tokio::spawn(consumer.run(move |_| {
            *log.lock() += 1;
            std::future::ready(Ok::<_, Infallible>(()))
        }));
        until(|| *done.lock() == 2).await;
        cluster.admin().delete_topic("doomed").await.unwrap();
        sleep(Duration::from_secs(20)).await;
        send(&cluster, 0, 1..2).await;
        until(|| *done.lock() == 3).await;
        shutdown.shutdown();
        assert_eq!(running.await.unwrap().unwrap().processed(), 3);
        assert_eq!(all_committed(&cluster, "g").await, BTreeMap::from([(t(0), 2)]));
    }
}

/// Deleted with no commit in between: the last one leaves it out.
#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_at_the_end_is_no_error() {
    let cluster = cluster(1).await;
    cluster.admin().create_topic(NewTopic::new("doomed")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::to("doomed").value("")).await.unwrap().await.unwrap();
    send(&cluster, 0, 0..1).await;
    let mut consumer = ParallelConsumer::new(&cluster, group("g"), ProcessingConfig::default()).unwrap();
    consumer.assign([("t", 0), ("doomed", 0)]).unwrap();
    let shutdown = consumer.shutdown_handle();
    let admin = cluster.admin();
    let running = consumer.run(move |record| {
        let (shutdown, admin) = (shutdown.clone(), admin.clone());
        async move {
            if record.topic() == "doomed" {
                sleep(Duration::from_secs(1)).await;
                admin.delete_topic("doomed").await.unwrap();
                shutdown.shutdown();
            }
            Ok::<_, Infallible>(())
        }
    });
    assert_eq!(running.await.unwrap().processed(), 2);
    assert_eq!(all_committed(&cluster, "g").await, BTreeMap::from([(t(0), 1)]));
}

/// Adds a record of a partition that the consumer does not own, and one of a topic that there is not.
struct Adds;

impl ConsumerInterceptor for Adds {
    fn on_consume(&self, mut records: ConsumerRecords) -> ConsumerRecords {
        records.extend([OwnedConsumerRecord::new(t(1), 40), OwnedConsumerRecord::new(("elsewhere", 0), 7)]);
        records
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_interceptors_add_are_processed_and_no_partition_of_others_is_committed() {
    let cluster = cluster(2).await;
    cluster.admin().create_topic(NewTopic::new("elsewhere")).await.unwrap();
    send(&cluster, 0, 0..1).await;
    let mut consumer =
        ParallelConsumer::new(&cluster, group("g").interceptor(Adds), ProcessingConfig::default()).unwrap();
    consumer.assign([t(0)]).unwrap();
    let (shutdown, done) = (consumer.shutdown_handle(), Arc::new(Mutex::new(0)));
    let log = Arc::clone(&done);
    let running = tokio::spawn(consumer.run(move |_| {
        *log.lock() += 1;
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    until(|| *done.lock() == 3).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(all_committed(&cluster, "g").await, BTreeMap::from([(t(0), 1)]));
    shutdown.shutdown();
    assert_eq!(running.await.unwrap().unwrap().processed(), 3);
    assert_eq!(all_committed(&cluster, "g").await, BTreeMap::from([(t(0), 1)]));
}

/// Panics when it is dropped, as a handler may when it is cancelled.
struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        panic!("cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_handler_that_is_late_is_the_callers() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..1).await;
    let consumer = parallel(&cluster, ProcessingConfig::default().shutdown_timeout(Duration::from_secs(1)));
    let shutdown = consumer.shutdown_handle();
    let run = tokio::spawn(consumer.run(move |_| {
        shutdown.shutdown();
        async {
            let _fuse = Fuse;
            std::future::pending::<Result<(), Infallible>>().await
        }
    }));
    let panic = run.await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "cancelled");
}

/// A handler fails in the moment in which the shutdown has taken long enough: the failure is in its task, and the loop
/// looks at the time first.
#[tokio::test(start_paused = true)]
async fn a_failure_in_the_last_moment_is_returned() {
    let cluster = cluster(1).await;
    send(&cluster, 0, 0..2).await;
    let config = ProcessingConfig::default().order(ProcessingOrder::Unordered).shutdown_timeout(Duration::from_secs(1));
    let consumer = parallel(&cluster, config);
    let shutdown = consumer.shutdown_handle();
    let fails = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&fails);
    let running = consumer.run(move |record| {
        let gate = Arc::clone(&gate);
        async move {
            if record.offset() == 0 {
                return std::future::pending().await;
            }
            gate.notified().await;
            Err("late")
        }
    });
    // Woken by hand, so that the handler runs between the deadline and the loop.
    let mut running = Box::pin(running);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut running).await.is_err());
    shutdown.shutdown();
    assert!(futures::poll!(&mut running).is_pending());
    tokio::time::advance(Duration::from_secs(2)).await;
    fails.notify_one();
    tokio::task::yield_now().await;
    let error = running.await.unwrap_err();
    assert!(matches!(error, ProcessingError::Handler(failed) if failed.error == "late"));
    assert_eq!(committed(&cluster, "g", 1).await, BTreeMap::from([(0, 0)]));
}
