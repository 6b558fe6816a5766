//! What a consumer counts, under Kafka's names.

use std::time::Duration;

use brokerless::types::OffsetAndMetadata;
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, NewTopic, RebalanceContext, RebalanceListener, TopicPartition,
};
use futures::FutureExt;
use tokio::time::sleep;

use crate::consumer::{cluster, produce, producer, t};

const POLL: Duration = Duration::from_millis(100);
const FETCH: &str = "consumer-fetch-manager-metrics";
const COORDINATOR: &str = "consumer-coordinator-metrics";

fn value(consumer: &Consumer, name: &str, group: &str, more: &[(&str, &str)]) -> f64 {
    let tags: Vec<_> = [("client-id", "c")].iter().chain(more).copied().collect();
    consumer.metrics().value(name, group, &tags).unwrap_or_else(|| panic!("no {group} {name} {tags:?}"))
}

#[tokio::test(start_paused = true)]
async fn what_is_read_is_counted() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..10).await;
    produce(&producer, t(1), 0..6).await;
    let config = ConsumerConfig::default().client_id("c").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config.max_poll_records(12)).unwrap();
    assert!(value(&consumer, "records-lag-max", FETCH, &[]).is_nan());
    assert!(value(&consumer, "fetch-size-avg", FETCH, &[]).is_nan());
    consumer.assign([t(0), t(1)]).unwrap();
    assert_eq!(consumer.poll(POLL).await.unwrap().len(), 12);

    let of = |name| value(&consumer, name, FETCH, &[]);
    assert_eq!((of("records-consumed-total"), of("fetch-total"), of("records-per-request-avg")), (12.0, 1.0, 16.0));
    let bytes = of("bytes-consumed-total");
    assert_eq!((of("fetch-size-avg"), of("fetch-size-max")), (bytes, bytes));
    // Of the first 30 s.
    assert_eq!((of("records-consumed-rate"), of("fetch-rate")), (12.0 / 30.0, 1.0 / 30.0));
    assert_eq!(of("bytes-consumed-rate"), bytes / 30.0);
    let topic = [("topic", "t")];
    assert_eq!(value(&consumer, "records-consumed-rate", FETCH, &topic), 12.0 / 30.0);
    assert_eq!(value(&consumer, "bytes-consumed-rate", FETCH, &topic), bytes / 30.0);
    assert_eq!(value(&consumer, "records-consumed-total", FETCH, &topic), 12.0);
    assert_eq!(value(&consumer, "bytes-consumed-total", FETCH, &topic), bytes);

    // Lag and lead are those of the moment.
    let of_partition = |consumer: &Consumer, name, partition| {
        value(consumer, name, FETCH, &[("topic", "t"), ("partition", partition)])
    };
    let lags = [of_partition(&consumer, "records-lag", "0"), of_partition(&consumer, "records-lag", "1")];
    assert_eq!(lags.iter().sum::<f64>(), 4.0);
    produce(&producer, t(1), 6..106).await;
    consumer.seek(t(0), 7).unwrap();
    consumer.seek(t(1), 3).unwrap();
    assert_eq!((of_partition(&consumer, "records-lag", "0"), of_partition(&consumer, "records-lead", "0")), (3.0, 7.0));
    let of = |name| value(&consumer, name, FETCH, &[]);
    assert_eq!((of("records-lag-max"), of("records-lead-min")), (103.0, 3.0));

    // Averages and maxima are of what polls left behind, and maxima of the moment, too.
    let windowed = |name, partition| of_partition(&consumer, name, partition);
    let left = if lags[0] == 0.0 { ["0", "1"] } else { ["1", "0"] };
    assert_eq!((windowed("records-lag-avg", left[0]), windowed("records-lag-avg", left[1])), (0.0, 4.0));
    assert_eq!((windowed("records-lag-max", "0"), windowed("records-lag-max", "1")), (3.0f64.max(lags[0]), 103.0));
    while consumer.current_lag(t(0)).unwrap() != Some(0) || consumer.current_lag(t(1)).unwrap() != Some(0) {
        consumer.poll(POLL).await.unwrap();
    }
    let of = |name| value(&consumer, name, FETCH, &[]);
    assert_eq!(of_partition(&consumer, "records-lag", "1"), 0.0);
    // The first poll of these left 91 behind, or, had it begun with the other partition, 100.
    let caught_up = of("records-lag-max");
    assert!((91.0..=100.0).contains(&caught_up), "{caught_up}");
    assert_eq!(of_partition(&consumer, "records-lag-max", "1"), caught_up);
    let average = of_partition(&consumer, "records-lag-avg", "1");
    assert!((1.0..caught_up).contains(&average), "{average}");
    // Once the windows are over, only the moment counts.
    sleep(Duration::from_secs(61)).await;
    assert!(of_partition(&consumer, "records-lag-avg", "1").is_nan());
    assert_eq!((of("records-lag-max"), of_partition(&consumer, "records-lag-max", "1")), (0.0, 0.0));

    // The cluster has them, too, and only those of what is there.
    let all = cluster.metrics();
    assert_eq!(all.named("records-lag", FETCH).len(), 2);
    consumer.assign([t(1)]).unwrap();
    consumer.poll(POLL).await.unwrap();
    assert_eq!(cluster.metrics().named("records-lag", FETCH).len(), 1);
    drop(consumer);
    assert!(cluster.metrics().named("records-lag", FETCH).is_empty());
    assert!(cluster.metrics().named("fetch-total", FETCH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn polls_are_timed_for_members_of_a_group() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let config = ConsumerConfig::group("g").client_id("c").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config.enable_auto_commit(false)).unwrap();
    consumer.assign([t(0)]).unwrap();
    let of = |consumer: &Consumer, name| value(consumer, name, "consumer-metrics", &[]);
    assert_eq!(of(&consumer, "last-poll-seconds-ago"), -1.0);
    assert!(of(&consumer, "time-between-poll-avg").is_nan());
    // Waits 3 s, then processes 1 s; then finds records, and processes 6 s.
    assert!(consumer.poll(Duration::from_secs(3)).await.unwrap().is_empty());
    sleep(Duration::from_secs(1)).await;
    produce(&producer, t(0), 0..5).await;
    assert_eq!(consumer.poll(POLL).await.unwrap().len(), 5);
    assert_eq!(of(&consumer, "poll-idle-ratio-avg"), 0.75);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(of(&consumer, "last-poll-seconds-ago"), 6.0);
    consumer.poll(Duration::ZERO).await.unwrap();
    assert_eq!((of(&consumer, "time-between-poll-avg"), of(&consumer, "time-between-poll-max")), (5000.0, 6000.0));
    assert_eq!(of(&consumer, "poll-idle-ratio-avg"), 0.375);
    // Polls that never wait are not forgotten either.
    for _ in 0..200 {
        produce(&producer, t(0), 0..1).await;
        consumer.poll(POLL).await.unwrap();
    }
    assert_eq!(value(&consumer, "records-consumed-total", FETCH, &[]), 205.0);
    assert_eq!(value(&consumer, "fetch-total", FETCH, &[]), 201.0);
    let all = cluster.metrics();
    assert!(all.value("time-between-poll-avg", "consumer-metrics", &[("client-id", "c")]).unwrap() < 100.0);
}

struct FromTheStart;

impl RebalanceListener for FromTheStart {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        for partition in partitions {
            context.seek(partition, 0).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_membership_and_its_commits_are_counted() {
    let cluster = cluster(4).await;
    let config = || ConsumerConfig::group("g").client_id("c").enable_auto_commit(false);
    let mut consumer = cluster.consumer(config()).unwrap();
    consumer.subscribe_with_listener(["t"], FromTheStart).unwrap();
    let of = |consumer: &Consumer, name| value(consumer, name, COORDINATOR, &[]);
    assert_eq!(
        (of(&consumer, "last-rebalance-seconds-ago"), of(&consumer, "last-heartbeat-seconds-ago")),
        (-1.0, -1.0)
    );
    assert_eq!((of(&consumer, "rebalance-total"), of(&consumer, "assigned-partitions")), (0.0, 0.0));
    consumer.poll(POLL).await.unwrap();
    assert_eq!((of(&consumer, "rebalance-total"), of(&consumer, "assigned-partitions")), (1.0, 4.0));
    // Once without and once with a member id.
    assert_eq!((of(&consumer, "join-total"), of(&consumer, "sync-total")), (2.0, 1.0));
    assert_eq!(of(&consumer, "partition-assigned-latency-max"), 0.0);
    assert!(of(&consumer, "partition-revoked-latency-avg").is_nan());
    assert!(of(&consumer, "partition-lost-latency-avg").is_nan());

    assert!(consumer.poll(Duration::from_secs(10)).await.unwrap().is_empty());
    assert_eq!((of(&consumer, "heartbeat-total"), of(&consumer, "heartbeat-response-time-max")), (3.0, 0.0));
    assert_eq!((of(&consumer, "last-heartbeat-seconds-ago"), of(&consumer, "last-rebalance-seconds-ago")), (1.0, 10.0));

    consumer.commit_offsets([(t(0), OffsetAndMetadata::new(0))]).await.unwrap();
    consumer.commit_offsets_async([(t(0), OffsetAndMetadata::new(0))]).await.unwrap();
    assert_eq!((of(&consumer, "commit-total"), of(&consumer, "commit-rate")), (2.0, 2.0 / 40.1));
    assert_eq!((of(&consumer, "commit-latency-avg"), of(&consumer, "commit-latency-max")), (0.0, 0.0));

    // A second member of the same client id is told apart.
    let mut second = cluster.consumer(config()).unwrap();
    second.subscribe(["t"]).unwrap();
    while second.assignment().len() != 2 || consumer.assignment().len() != 2 {
        let (one, two) = tokio::join!(consumer.poll(POLL), second.poll(POLL));
        one.unwrap();
        two.unwrap();
    }
    assert_eq!((of(&consumer, "rebalance-total"), of(&consumer, "assigned-partitions")), (2.0, 2.0));
    assert_eq!(of(&consumer, "partition-revoked-latency-avg"), 0.0);
    let instance = [("client-id", "c"), ("instance", "2")];
    assert_eq!(second.metrics().value("rebalance-total", COORDINATOR, &instance), Some(1.0));
    assert_eq!(second.metrics().value("failed-rebalance-total", COORDINATOR, &instance), Some(0.0));
    assert_eq!(cluster.metrics().named("assigned-partitions", COORDINATOR).len(), 2);
    consumer.unsubscribe();
    assert_eq!(of(&consumer, "assigned-partitions"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_refused_counts_as_failed() {
    let cluster = cluster(1).await;
    let config = ConsumerConfig::group("g").session_timeout(Duration::from_secs(4));
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(POLL).await.unwrap_err();
    let metrics = consumer.metrics();
    let tags = [("client-id", "consumer-g")];
    assert_eq!(metrics.value("failed-rebalance-total", COORDINATOR, &tags), Some(1.0));
    // One in 30 s.
    assert_eq!(metrics.value("failed-rebalance-rate-per-hour", COORDINATOR, &tags), Some(120.0));
    assert_eq!(metrics.value("rebalance-rate-per-hour", COORDINATOR, &tags), Some(0.0));
    assert_eq!(metrics.value("rebalance-total", COORDINATOR, &tags), Some(0.0));
}

/// Its callbacks take time: as many seconds as they are called for.
struct Slow {
    assigned: u64,
    revoked: u64,
    lost: u64,
}

fn pass(seconds: u64) {
    // The first poll moves the clock; the rest would only let others run.
    assert!(tokio::time::advance(Duration::from_secs(seconds)).now_or_never().is_none());
}

impl RebalanceListener for Slow {
    fn on_partitions_assigned(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
        pass(self.assigned);
    }

    fn on_partitions_revoked(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
        pass(self.revoked);
    }

    fn on_partitions_lost(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
        pass(self.lost);
    }
}

#[tokio::test(start_paused = true)]
async fn rebalances_and_their_listeners_are_timed() {
    let builder = Cluster::builder().broker_property("group.initial.rebalance.delay.ms", "3000");
    let cluster = builder.start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    let config = ConsumerConfig::group("g").client_id("c").enable_auto_commit(false);
    let mut consumer = cluster.consumer(config).unwrap();
    let listener = Slow { assigned: 2, revoked: 1, lost: 4 };
    consumer.subscribe_with_listener(["t"], listener).unwrap();
    let check = |consumer: &Consumer, expected: &[(&str, f64)]| {
        for (name, expected) in expected {
            let found = value(consumer, name, COORDINATOR, &[]);
            assert!(found == *expected || (found.is_nan() && expected.is_nan()), "{name} is {found}, not {expected}");
        }
    };
    check(
        &consumer,
        &[
            ("join-time-avg", f64::NAN),
            ("join-time-max", f64::NAN),
            ("sync-time-avg", f64::NAN),
            ("sync-time-max", f64::NAN),
            ("rebalance-latency-avg", f64::NAN),
            ("rebalance-latency-max", f64::NAN),
            ("rebalance-latency-total", 0.0),
            ("rebalance-rate-per-hour", 0.0),
        ],
    );
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_secs(60)).await.unwrap();
    }
    // The first join is told a member id at once, the second waits for others; the leader's sync does not.
    check(
        &consumer,
        &[
            ("join-time-avg", 1_500.0),
            ("join-time-max", 3_000.0),
            ("sync-time-avg", 0.0),
            ("sync-time-max", 0.0),
            ("rebalance-latency-avg", 3_000.0),
            ("rebalance-latency-max", 3_000.0),
            ("rebalance-latency-total", 3_000.0),
            ("partition-assigned-latency-avg", 2_000.0),
            ("partition-assigned-latency-max", 2_000.0),
            ("partition-revoked-latency-avg", f64::NAN),
            ("partition-revoked-latency-max", f64::NAN),
            ("partition-lost-latency-max", f64::NAN),
        ],
    );
    let began = tokio::time::Instant::now();
    let per_hour = |passed: f64, count: f64| count * 3_600.0 / passed;
    let rate = value(&consumer, "rebalance-rate-per-hour", COORDINATOR, &[]);
    assert!(rate <= 120.0 && rate > per_hour(100.0, 1.0), "{rate} at {began:?}");

    // Thrown out, it hears of it in a poll, and comes back.
    cluster.admin().remove_all_group_members("g", "maintenance").await.unwrap();
    while value(&consumer, "rebalance-total", COORDINATOR, &[]) != 2.0 {
        consumer.poll(Duration::from_secs(1)).await.unwrap();
    }
    check(
        &consumer,
        &[
            ("partition-lost-latency-avg", 4_000.0),
            ("partition-lost-latency-max", 4_000.0),
            ("partition-assigned-latency-avg", 2_000.0),
            ("partition-revoked-latency-max", f64::NAN),
        ],
    );
    // To leave is to have everything revoked.
    consumer.unsubscribe();
    check(&consumer, &[("partition-revoked-latency-avg", 1_000.0), ("partition-revoked-latency-max", 1_000.0)]);
}

#[tokio::test(start_paused = true)]
async fn time_spent_in_commits_adds_up() {
    let cluster = cluster(1).await;
    let mut consumer = cluster.consumer(ConsumerConfig::group("g").client_id("c").enable_auto_commit(false)).unwrap();
    consumer.assign([t(0)]).unwrap();
    let of = |consumer: &Consumer, name| value(consumer, name, "consumer-metrics", &[]);
    // A callback of an earlier commit is part of the next one that waits.
    consumer.seek(t(0), 0).unwrap();
    consumer.commit_async_with(|_| pass(2));
    consumer.commit_offsets([(t(0), OffsetAndMetadata::new(0))]).await.unwrap();
    assert_eq!(of(&consumer, "commit-sync-time-ns-total"), 2e9);
    assert_eq!(of(&consumer, "committed-time-ns-total"), 0.0);
    // One that fails in the end counts, too.
    cluster.shutdown().await;
    consumer.commit().await.unwrap_err();
    let began = tokio::time::Instant::now();
    consumer.committed([t(0)]).await.unwrap_err();
    let spent = began.elapsed().as_nanos() as f64;
    assert_eq!(of(&consumer, "committed-time-ns-total"), spent);
}
