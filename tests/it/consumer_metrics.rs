//! What a consumer counts, under Kafka's names.

use std::time::Duration;

use brokerless::types::OffsetAndMetadata;
use brokerless::{AutoOffsetReset, Consumer, ConsumerConfig, RebalanceContext, RebalanceListener, TopicPartition};
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
    let topic = [("topic", "t")];
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
    assert_eq!(metrics.value("rebalance-total", COORDINATOR, &tags), Some(0.0));
}
