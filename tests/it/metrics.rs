//! The cluster's metrics, as read.

use std::time::Duration;

use brokerless::metrics::{MetricKind, Metrics};
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord};

fn value(metrics: &Metrics, group: &str, name: &str, tags: &[(&str, &str)]) -> f64 {
    metrics.value(name, group, tags).unwrap_or_else(|| panic!("there is no {group}:{name} {tags:?}"))
}

#[tokio::test(start_paused = true)]
async fn an_empty_cluster_has_metrics() {
    let cluster = Cluster::in_memory();
    let metrics = cluster.metrics();
    for (group, name, expected) in [
        ("KafkaController", "ActiveControllerCount", 1.0),
        ("KafkaController", "ActiveBrokerCount", 1.0),
        ("KafkaController", "FencedBrokerCount", 0.0),
        ("KafkaController", "GlobalTopicCount", 0.0),
        ("KafkaController", "GlobalPartitionCount", 0.0),
        ("KafkaController", "OfflinePartitionsCount", 0.0),
        ("KafkaController", "PreferredReplicaImbalanceCount", 0.0),
        ("ReplicaManager", "PartitionCount", 0.0),
        ("ReplicaManager", "LeaderCount", 0.0),
        ("ReplicaManager", "UnderReplicatedPartitions", 0.0),
        ("ReplicaManager", "UnderMinIsrPartitionCount", 0.0),
        ("ReplicaManager", "OfflineReplicaCount", 0.0),
        ("BrokerTopicMetrics", "MessagesInPerSec", 0.0),
        ("BrokerTopicMetrics", "MessagesInTotal", 0.0),
        ("GroupMetadataManager", "NumGroups", 0.0),
        ("GroupMetadataManager", "NumOffsets", 0.0),
        ("brokerless-memory", "log-bytes", 0.0),
    ] {
        assert_eq!(value(&metrics, group, name, &[]), expected, "{group}:{name}");
    }
    assert!(metrics.get("used-bytes", "brokerless-memory", &[]).is_none(), "there is no limit");
    assert!(metrics.iter().all(|metric| !metric.name().description().is_empty()));
    for metric in &metrics {
        let is_total = ["Total", "-total", "-count"].iter().any(|end| metric.name().name().ends_with(end));
        assert_eq!(metric.kind() == MetricKind::Counter, is_total, "{}", metric.name());
    }
}

#[tokio::test(start_paused = true)]
async fn topics_partitions_and_their_traffic() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(3)).await.unwrap();
    cluster.admin().create_topic(NewTopic::new("u").config("max.message.bytes", "100")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for (partition, count) in [(0, 2), (2, 5)] {
        for _ in 0..count {
            producer.send(ProducerRecord::to("t").partition(partition).value("v")).await.unwrap().await.unwrap();
        }
    }
    let refused = producer.send(ProducerRecord::to("u").value(&[0; 200])).await.unwrap().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::MessageTooLarge);
    cluster.admin().create_topic(NewTopic::new("v").config("cleanup.policy", "compact")).await.unwrap();
    let refused = producer.send(ProducerRecord::to("v").value("no key")).await.unwrap().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidRecord);
    let mut consumer =
        cluster.consumer(ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)).unwrap();
    consumer.assign([("t", 2)]).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(1)).await.unwrap().len(), 5);

    tokio::time::advance(Duration::from_secs(10)).await;
    let metrics = cluster.metrics();
    let of_log = |name, partition| value(&metrics, "Log", name, &[("topic", "t"), ("partition", partition)]);
    assert_eq!(["0", "1", "2"].map(|partition| of_log("LogEndOffset", partition)), [2.0, 0.0, 5.0]);
    assert_eq!(["0", "1", "2"].map(|partition| of_log("NumLogSegments", partition)), [1.0; 3]);
    let batch = of_log("Size", "0") / 2.0;
    assert_eq!(of_log("Size", "2"), 5.0 * batch);
    let of_traffic = |name, topic: &str| {
        let tags: &[_] = if topic.is_empty() { &[] } else { &[("topic", topic)] };
        value(&metrics, "BrokerTopicMetrics", name, tags)
    };
    assert_eq!(["t", "u", ""].map(|topic| of_traffic("MessagesInTotal", topic)), [7.0, 0.0, 7.0]);
    assert_eq!(["t", "u", ""].map(|topic| of_traffic("BytesInTotal", topic)), [7.0 * batch, 0.0, 7.0 * batch]);
    assert_eq!(["t", "u", ""].map(|topic| of_traffic("BytesOutTotal", topic)), [5.0 * batch, 0.0, 5.0 * batch]);
    let produced = |name| ["t", "u", "v", ""].map(|topic| of_traffic(name, topic));
    assert_eq!(produced("TotalProduceRequestsTotal"), [7.0, 1.0, 1.0, 9.0]);
    // MESSAGE_TOO_LARGE is no failure of the broker's, as in Kafka.
    assert_eq!(produced("FailedProduceRequestsTotal"), [0.0, 0.0, 1.0, 1.0]);
    // 10 s since the start, and an assumed window of 30 s.
    assert_eq!(of_traffic("MessagesInPerSec", ""), 7.0 / 40.0);
    assert_eq!(value(&metrics, "KafkaController", "GlobalTopicCount", &[]), 3.0);
    assert_eq!(value(&metrics, "KafkaController", "GlobalPartitionCount", &[]), 5.0);
    assert_eq!(value(&metrics, "ReplicaManager", "LeaderCount", &[]), 5.0);
    assert_eq!(value(&metrics, "brokerless-memory", "log-bytes", &[]), 7.0 * batch);

    // A topic's metrics go with it; what all of them counted stays.
    cluster.admin().delete_topic("t").await.unwrap();
    let metrics = cluster.metrics();
    assert!(metrics.get("MessagesInTotal", "BrokerTopicMetrics", &[("topic", "t")]).is_none());
    assert_eq!(value(&metrics, "BrokerTopicMetrics", "MessagesInTotal", &[]), 7.0);
    assert_eq!(metrics.named("Size", "Log").len(), 2);
}

/// Symptom: totals fell while a topic was being deleted, and to nothing when the cluster was shut down. Cause: what a
/// partition had counted was lost between the end of its data and the end of its handle. Fix: it is the handle that is
/// asked.
#[tokio::test(start_paused = true)]
async fn totals_stay_when_the_cluster_is_shut_down() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(3)).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for partition in 0..3 {
        producer.send(ProducerRecord::to("t").partition(partition).value("v")).await.unwrap().await.unwrap();
    }
    cluster.shutdown().await;
    let metrics = cluster.metrics();
    for tags in [&[][..], &[("topic", "t")]] {
        assert_eq!(value(&metrics, "BrokerTopicMetrics", "MessagesInTotal", tags), 3.0);
    }
}

#[tokio::test(start_paused = true)]
async fn groups_by_state() {
    let builder = Cluster::builder().broker_property("offsets.topic.num.partitions", "2");
    let cluster = builder.start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").partitions(3)).await.unwrap();
    let mut consumers = Vec::new();
    for group in ["a", "b", "c"] {
        let mut consumer = cluster.consumer(ConsumerConfig::group(group).enable_auto_commit(false)).unwrap();
        consumer.subscribe(["t"]).unwrap();
        while consumer.assignment().is_empty() {
            consumer.poll(Duration::from_millis(10)).await.unwrap();
        }
        consumer.commit().await.unwrap();
        consumers.push(consumer);
    }
    consumers.pop().unwrap().close().await.unwrap();
    let metrics = cluster.metrics();
    let count = |name| value(&metrics, "GroupMetadataManager", name, &[]);
    assert_eq!((count("NumGroups"), count("NumGroupsStable"), count("NumGroupsEmpty")), (3.0, 2.0, 1.0));
    assert_eq!(count("NumOffsets"), 9.0);
    // The internal topic counts as Kafka counts it.
    assert_eq!(value(&metrics, "KafkaController", "GlobalPartitionCount", &[]), 5.0);
}
