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
        ("ReplicaManager", "AtMinIsrPartitionCount", 0.0),
        ("ReplicaManager", "OfflineReplicaCount", 0.0),
        ("LogCleanerManager", "max-dirty-percent", 0.0),
        ("LogCleaner", "cleaner-recopy-percent", 0.0),
        ("BrokerTopicMetrics", "MessagesInPerSec", 0.0),
        ("BrokerTopicMetrics", "MessagesInTotal", 0.0),
        ("GroupMetadataManager", "NumGroups", 0.0),
        ("GroupMetadataManager", "NumOffsets", 0.0),
        ("GroupMetadataManager", "NumGroupsPreparingRebalance", 0.0),
        ("GroupMetadataManager", "NumGroupsCompletingRebalance", 0.0),
        ("GroupMetadataManager", "NumGroupsDead", 0.0),
        ("group-coordinator-metrics", "group-completed-rebalance-count", 0.0),
        ("brokerless-memory", "log-bytes", 0.0),
    ] {
        assert_eq!(value(&metrics, group, name, &[]), expected, "{group}:{name}");
    }
    let directory = [("logDirectory", "memory")];
    assert_eq!(value(&metrics, "LogCleanerManager", "uncleanable-partitions-count", &directory), 0.0);
    assert!(metrics.get("used-bytes", "brokerless-memory", &[]).is_none(), "there is no limit");
    assert!(metrics.iter().all(|metric| !metric.name().description().is_empty()));
    for metric in &metrics {
        let is_total = ["Total", "-total", "-count"].iter().any(|end| metric.name().name().ends_with(end));
        let is_total = is_total && metric.name().name() != "uncleanable-partitions-count";
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
    // A read that is refused; then the position is reset.
    consumer.seek(("t", 2), 99).unwrap();
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
    assert_eq!(["t", "u", ""].map(|topic| of_traffic("BytesOutTotal", topic)), [10.0 * batch, 0.0, 10.0 * batch]);
    let of_topics = |name| ["t", "u", "v", ""].map(|topic| of_traffic(name, topic));
    assert_eq!(of_topics("TotalProduceRequestsTotal"), [7.0, 1.0, 1.0, 9.0]);
    // MESSAGE_TOO_LARGE and OFFSET_OUT_OF_RANGE are no failures of the broker's, as in Kafka.
    assert_eq!(of_topics("FailedProduceRequestsTotal"), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(of_topics("TotalFetchRequestsTotal"), [3.0, 0.0, 0.0, 3.0]);
    assert_eq!(of_topics("FailedFetchRequestsTotal"), [0.0; 4]);
    for (rate, total) in [
        ("MessagesInPerSec", "MessagesInTotal"),
        ("BytesInPerSec", "BytesInTotal"),
        ("BytesOutPerSec", "BytesOutTotal"),
        ("TotalProduceRequestsPerSec", "TotalProduceRequestsTotal"),
        ("FailedProduceRequestsPerSec", "FailedProduceRequestsTotal"),
        ("TotalFetchRequestsPerSec", "TotalFetchRequestsTotal"),
        ("FailedFetchRequestsPerSec", "FailedFetchRequestsTotal"),
    ] {
        for topic in ["t", "u", "v", ""] {
            // 10 s since the start, and an assumed window of 30 s.
            assert_eq!(of_traffic(rate, topic), of_traffic(total, topic) / 40.0, "{rate} of {topic:?}");
        }
    }
    assert_eq!(value(&metrics, "ReplicaManager", "AtMinIsrPartitionCount", &[]), 5.0);
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
    // Those that end without members do not count.
    let completed = value(&metrics, "group-coordinator-metrics", "group-completed-rebalance-count", &[]);
    assert_eq!(completed, 3.0);
    // The internal topic counts as Kafka counts it.
    assert_eq!(value(&metrics, "KafkaController", "GlobalPartitionCount", &[]), 5.0);
}

#[tokio::test(start_paused = true)]
async fn groups_that_rebalance() {
    let builder = Cluster::builder().broker_property("group.initial.rebalance.delay.ms", "3000");
    let cluster = builder.start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    let count = |name: &str| value(&cluster.metrics(), "GroupMetadataManager", name, &[]);
    let states = || {
        ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead"].map(|state| count(&format!("NumGroups{state}")))
    };
    let completed = || value(&cluster.metrics(), "group-coordinator-metrics", "group-completed-rebalance-count", &[]);
    let member = || {
        let config = ConsumerConfig::group("g").group_instance_id("i").enable_auto_commit(false);
        let mut consumer = cluster.consumer(config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    // It waits for more members.
    let mut leader = member();
    leader.poll(Duration::from_secs(1)).await.unwrap();
    assert_eq!((states(), completed()), ([1.0, 0.0, 0.0, 0.0], 0.0));
    // A static member does not leave, so the group waits for the assignment of a leader that is gone.
    drop(leader);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((states(), completed()), ([0.0, 1.0, 0.0, 0.0], 0.0));
    let mut leader = member();
    while leader.assignment().is_empty() {
        leader.poll(Duration::from_secs(1)).await.unwrap();
    }
    assert_eq!((states(), completed()), ([0.0, 0.0, 1.0, 0.0], 1.0));
    // What is deleted is gone at once, and never counted as dead.
    drop(leader);
    cluster.admin().remove_all_group_members("g", "").await.unwrap();
    cluster.admin().delete_group("g").await.unwrap();
    assert_eq!((states(), count("NumGroups"), completed()), ([0.0; 4], 0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn compaction_is_measured() {
    let cluster = Cluster::in_memory();
    let topic = NewTopic::new("t").config("cleanup.policy", "compact").config("internal.segment.bytes", "500");
    cluster.admin().create_topic(topic).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let dirty = || value(&cluster.metrics(), "LogCleanerManager", "max-dirty-percent", &[]);
    let recopied = || value(&cluster.metrics(), "LogCleaner", "cleaner-recopy-percent", &[]);
    let put = async |key: &str| {
        let record = ProducerRecord::to("t").key(key).value("0123456789");
        producer.send(record).await.unwrap().await.unwrap();
    };
    for _ in 0..50 {
        put("k").await;
    }
    // The active segment does not count.
    assert_eq!((dirty(), recopied()), (100.0, 0.0));
    let size = || value(&cluster.metrics(), "Log", "Size", &[("topic", "t"), ("partition", "0")]);
    let before = size();
    tokio::time::sleep(Duration::from_secs(16)).await;
    let freed = before - size();
    assert!(freed > 0.0 && dirty() == 0.0, "{freed}, {}", dirty());
    // Of 45 batches in nine segments the last is left.
    assert_eq!(recopied(), (100.0f64 / 45.0).floor());
}
