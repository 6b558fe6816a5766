//! What the differential test against Apache Kafka 4.3.0 (`tests/oracle.rs`) found, kept without a Kafka: each test asserts
//! what Kafka answered, or where the two differ on purpose, what is answered here and why.
//!
//! Found at the level of requests and batches, where no public call reaches, and kept beside the code:
//! `a_pending_member_that_claims_an_instance_is_an_unknown_error` (`coordinator::group`),
//! `a_producers_mark_of_log_append_time_is_refused_where_the_leader_stamps`,
//! `elsewhere_a_producers_mark_of_log_append_time_is_taken_away`,
//! `of_two_faults_in_a_batch_the_timestamp_is_told` (`log::validate`).

use std::time::Duration;

use brokerless::admin::OffsetSpec;
use brokerless::types::{IsolationLevel, LeaderEpoch};
use brokerless::{Cluster, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord, TopicPartition};

use crate::consumer::{cluster, t};

/// Some day in 2023, in ms since 1970.
const THEN: i64 = 1_700_000_000_000;

/// Offset and timestamp that a question about `t-0` is answered with; -1 for none, as in the protocol.
async fn offset(cluster: &Cluster, spec: OffsetSpec) -> (i64, i64) {
    let listed = cluster.admin().list_offsets([(t(0), spec)], IsolationLevel::ReadUncommitted).await.remove(0).unwrap();
    (listed.offset().unwrap_or(-1), listed.timestamp().unwrap_or(-1))
}

async fn send(cluster: &Cluster, records: impl IntoIterator<Item = ProducerRecord<'static>>) -> Vec<ErrorCode> {
    let config = ProducerConfig::default().linger(Duration::from_secs(60));
    let producer = cluster.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for record in records {
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut codes = Vec::new();
    for delivery in deliveries {
        codes.push(delivery.await.map_or_else(|error| error.code(), |_| ErrorCode::None));
    }
    codes
}

fn record(timestamp: i64) -> ProducerRecord<'static> {
    ProducerRecord::to("t").partition(0).timestamp(timestamp).key("k").value("v")
}

/// Symptom: the earliest offset came without a leader epoch, where Kafka's answer to ListOffsets -2 has one, even of a
/// partition that never held a record. Cause: only lookups that end at a record, and the latest offset, looked for an
/// epoch. Fix: the first entry of the epoch cache, as far as it covers the log start.
#[tokio::test(start_paused = true)]
async fn the_earliest_offset_comes_with_its_leader_epoch() {
    let cluster = cluster(1).await;
    let admin = cluster.admin();
    let asked = [(t(0), OffsetSpec::Earliest)];
    let listed = admin.list_offsets(asked.clone(), IsolationLevel::ReadUncommitted).await.remove(0).unwrap();
    assert_eq!((listed.offset(), listed.leader_epoch()), (Some(0), Some(LeaderEpoch(0))));
    assert_eq!(send(&cluster, [record(THEN), record(THEN)]).await, [ErrorCode::None; 2]);
    admin.delete_records([(t(0), 1)]).await.remove(0).unwrap();
    let listed = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await.remove(0).unwrap();
    assert_eq!((listed.offset(), listed.leader_epoch()), (Some(1), Some(LeaderEpoch(0))));
}

/// Symptom: `cleanup.policy=delete,delete` was `INVALID_CONFIG`; Kafka 4.3 takes it, and shows it as `delete`. Cause: the
/// check of KIP-1161 that its text announces for a later version. Fix: a word that is there twice counts once, in what is
/// applied and in what is described.
#[tokio::test(start_paused = true)]
async fn a_cleanup_policy_may_be_named_twice() {
    let admin = Cluster::in_memory().admin();
    admin.create_topic(NewTopic::new("t").config("cleanup.policy", "delete,delete")).await.unwrap();
    assert_eq!(described(&admin, "cleanup.policy").await, "delete");
}

async fn described(admin: &brokerless::Admin, name: &str) -> String {
    let entries = admin.describe_topic_config("t").await.unwrap();
    entries.iter().find(|entry| entry.name() == name).unwrap().value().unwrap().to_owned()
}

/// Symptom: described settings showed the text that they were given as. Cause: Kafka prints what it parsed. Fix: so do we.
#[tokio::test(start_paused = true)]
async fn settings_are_shown_as_kafka_prints_them() {
    let admin = Cluster::in_memory().admin();
    let given =
        [("min.cleanable.dirty.ratio", "0"), ("retention.ms", " 5 "), ("preallocate", "False"), ("segment.ms", "+7")];
    let topic = given.iter().fold(NewTopic::new("t"), |topic, (name, value)| topic.config(*name, *value));
    admin.create_topic(topic).await.unwrap();
    for (name, shown) in
        [("min.cleanable.dirty.ratio", "0.0"), ("retention.ms", "5"), ("preallocate", "false"), ("segment.ms", "7")]
    {
        assert_eq!(described(&admin, name).await, shown, "{name}");
    }
}

/// Symptom: a batch for a compacted topic with a record without key and one from the future was `INVALID_RECORD` (87);
/// Kafka says `INVALID_TIMESTAMP` (32). Cause: the first fault ended the check. Fix: all records are looked at, and a bad
/// timestamp is told before a missing key.
#[tokio::test(start_paused = true)]
async fn of_two_faults_in_a_batch_the_timestamp_is_told() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").config("cleanup.policy", "compact")).await.unwrap();
    let keyless = || ProducerRecord::to("t").partition(0).timestamp(THEN).value("v");
    let from_the_future = || record(i64::MAX / 2);
    assert_eq!(send(&cluster, [keyless(), from_the_future()]).await, [ErrorCode::InvalidTimestamp; 2]);
    assert_eq!(send(&cluster, [keyless()]).await, [ErrorCode::InvalidRecord]);
}

/// Different on purpose. A lookup by time in Kafka ends in the first segment whose largest timestamp is late enough. If
/// delete-records has taken all of it, but its file is still there, the answer is -1 although later records fit, and a
/// consumer that seeks by time skips them. Here it is the first record that can be read.
#[tokio::test(start_paused = true)]
async fn a_lookup_by_time_goes_past_what_was_deleted() {
    let cluster = cluster(1).await;
    // More than segment.ms apart: two segments.
    assert_eq!(send(&cluster, [record(5_000_000)]).await, [ErrorCode::None]);
    cluster.admin().delete_records([(t(0), 1)]).await.remove(0).unwrap();
    assert_eq!(offset(&cluster, OffsetSpec::ForTimestamp(0)).await, (-1, -1));
    assert_eq!(send(&cluster, [record(THEN)]).await, [ErrorCode::None]);
    assert_eq!(offset(&cluster, OffsetSpec::ForTimestamp(0)).await, (1, THEN));
}

/// Different on purpose. ListOffsets -3 in Kafka names the record with the largest timestamp even if it was deleted, until
/// its segment's file is gone: (4, THEN + 9) here. What is answered here can be read.
#[tokio::test(start_paused = true)]
async fn the_largest_timestamp_is_that_of_a_record_that_can_be_read() {
    let cluster = cluster(1).await;
    let records = [THEN, THEN + 2, THEN + 1, THEN + 3, THEN + 9, THEN + 4].map(record);
    assert_eq!(send(&cluster, records).await, [ErrorCode::None; 6]);
    assert_eq!(offset(&cluster, OffsetSpec::MaxTimestamp).await, (4, THEN + 9));
    cluster.admin().delete_records([(t(0), 5)]).await.remove(0).unwrap();
    assert_eq!(offset(&cluster, OffsetSpec::MaxTimestamp).await, (5, THEN + 4));
    cluster.admin().delete_records([(t(0), -1)]).await.remove(0).unwrap();
    assert_eq!(offset(&cluster, OffsetSpec::MaxTimestamp).await, (-1, -1));
}

/// Different from librdkafka, as in Java's consumer: to subscribe to the same topics again is nothing to rebalance for.
#[tokio::test(start_paused = true)]
async fn subscribing_to_the_same_topics_again_does_not_rejoin() {
    let cluster = cluster(2).await;
    let mut consumer = cluster.consumer(ConsumerConfig::group("g")).unwrap();
    for _ in 0..2 {
        consumer.subscribe(["t"]).unwrap();
        while consumer.assignment().len() < 2 {
            consumer.poll(Duration::from_millis(10)).await.unwrap();
        }
        consumer.poll(Duration::from_secs(10)).await.unwrap();
        assert_eq!(consumer.group_metadata().unwrap().generation_id(), 1);
    }
    assert_eq!(consumer.assignment(), [TopicPartition::new("t", 0), TopicPartition::new("t", 1)].into());
}
