//! Tables: they show what their topic says, to the record, and end when they should.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brokerless::table::Change;
use brokerless::typed::{BoxError, DeserializeContext, Deserializer, OnUnparsable, Plain, UnparsableRecord};
use brokerless::{
    Cluster, ErrorCode, NewTopic, Producer, ProducerConfig, ProducerRecord, RecordMetadata, TableView, TopicPartition,
};
use futures::FutureExt;
use proptest::prelude::*;
use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::consumer::{cluster, producer, t};
use crate::testing::cases;

/// Sends a record, or a tombstone, and waits until it is acknowledged.
async fn put(producer: &Producer, partition: Option<i32>, key: &str, value: Option<i64>) -> RecordMetadata {
    let mut record = ProducerRecord::to("t").key(key);
    record.partition = partition;
    if let Some(value) = value {
        record = record.value(value.to_be_bytes().to_vec());
    }
    let delivery = producer.send(record).await.unwrap();
    producer.flush().await.unwrap();
    delivery.await.unwrap()
}

async fn open(cluster: &Cluster) -> TableView<String, i64> {
    TableView::open(cluster, "t", Plain, Plain).await.unwrap()
}

fn contents(view: &TableView<String, i64>) -> HashMap<String, i64> {
    view.snapshot().into_iter().map(|(key, value)| (key, *value)).collect()
}

#[tokio::test]
async fn the_latest_value_of_each_key_and_tombstones_remove() {
    let cluster = cluster(3).await;
    let producer = producer(&cluster);
    put(&producer, None, "before", Some(1)).await;
    let view = open(&cluster).await;
    view.caught_up().await.unwrap();
    assert_eq!((view.get("before").as_deref(), view.len()), (Some(&1), 1));

    put(&producer, None, "a", Some(1)).await;
    let last = put(&producer, None, "a", Some(2)).await;
    view.wait_until_offset(last.topic_partition(), last.offset()).await.unwrap();
    assert_eq!(view.get("a").as_deref(), Some(&2));
    let gone = put(&producer, None, "a", None).await;
    view.wait_until_offset(gone.topic_partition(), gone.offset()).await.unwrap();
    assert_eq!((view.get("a"), view.contains_key("before"), view.is_empty()), (None, true, false));
    // A record without key is nobody's.
    let keyless = producer.send(ProducerRecord::to("t").value(&[0; 8])).await.unwrap();
    producer.flush().await.unwrap();
    let keyless = keyless.await.unwrap();
    view.clone().wait_until_offset(keyless.topic_partition(), keyless.offset()).await.unwrap();
    assert_eq!(contents(&view), HashMap::from([("before".into(), 1)]));

    let raw = TableView::raw(&cluster, "t").await.unwrap();
    raw.caught_up().await.unwrap();
    assert_eq!(raw.get(&b"before"[..]).as_deref(), Some(&vec![0, 0, 0, 0, 0, 0, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn new_partitions_are_taken_up_at_once_where_somebody_waits_and_within_a_second_otherwise() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let view = open(&cluster).await;
    view.caught_up().await.unwrap();
    cluster.admin().create_partitions("t", 3).await.unwrap();
    put(&producer, Some(2), "a", Some(7)).await;
    let start = Instant::now();
    view.caught_up().await.unwrap();
    assert_eq!((view.get("a").as_deref(), start.elapsed().as_millis()), (Some(&7), 0));

    cluster.admin().create_partitions("t", 4).await.unwrap();
    let mut changes = view.changes();
    put(&producer, Some(3), "b", Some(8)).await;
    assert_eq!(changes.next().await.unwrap(), Change::Put("b".into(), Arc::new(8)));
    assert!(start.elapsed().as_millis() <= 1100, "{:?}", start.elapsed());
}

/// Numbers; each 0 that is parsed has one more sent to the same partition, so that it has no end.
struct Endless(Producer);

impl Deserializer<i64> for Endless {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<i64, BoxError> {
        if bytes == [0; 8] {
            let record = ProducerRecord::to("t").partition(0).key("busy").value(bytes);
            let sent = unconstrained(self.0.send(record)).now_or_never();
            drop(sent.ok_or("it waits")?.map_err(|_| "it is refused")?);
        }
        Ok(i64::from_be_bytes(bytes.try_into()?))
    }
}

/// A table of a topic that always had more to read never looked for new partitions, nor at positions behind a
/// partition's last record: it waited for a poll without records to do so.
#[tokio::test(start_paused = true)]
async fn a_busy_topic_keeps_nobody_from_looking_around() {
    let cluster = cluster(2).await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    put(&producer, Some(1), "deleted", Some(1)).await;
    cluster.admin().delete_records([(t(1), 1)]).await;
    put(&producer, Some(0), "busy", Some(0)).await;
    let view = TableView::<String, i64>::open(&cluster, "t", Plain, Endless(producer.clone())).await.unwrap();
    let start = Instant::now();
    view.caught_up().await.unwrap();

    cluster.admin().create_partitions("t", 3).await.unwrap();
    put(&producer, Some(2), "new", Some(3)).await;
    let mut turns = 0;
    while view.get("new").is_none() {
        tokio::task::yield_now().await;
        turns += 1;
        assert!(turns < 1000, "{:?} after {turns} turns of the table's task", contents(&view));
    }
    assert_eq!(view.get("new").as_deref(), Some(&3));
    // A runtime that is never idle does not advance a paused clock.
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(view.failure().is_none());
}

/// Its consumer asked for the topic, and so had the broker create it again.
#[tokio::test(start_paused = true)]
async fn a_table_does_not_bring_its_topic_back() {
    let cluster = Cluster::builder().broker_property("auto.create.topics.enable", "true").start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    let view = open(&cluster).await;
    view.caught_up().await.unwrap();
    let mut changes = view.changes();
    cluster.admin().delete_topic("t").await.unwrap();
    // Nobody wakes it: it hears of it in a poll.
    assert_eq!(changes.next().await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(cluster.admin().list_topics().await.unwrap().len(), 0);
}

#[tokio::test]
async fn changes_come_in_order_and_a_slow_subscriber_hears_how_many_it_missed() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let view = open(&cluster).await;
    let mut changes = view.changes();
    put(&producer, None, "a", Some(1)).await;
    put(&producer, None, "b", Some(2)).await;
    put(&producer, None, "a", None).await;
    assert_eq!(changes.next().await.unwrap(), Change::Put("a".into(), Arc::new(1)));
    assert_eq!(changes.next().await.unwrap(), Change::Put("b".into(), Arc::new(2)));
    assert_eq!(changes.next().await.unwrap(), Change::Removed("a".into()));
    assert_eq!(view.get("a"), None);

    for value in 0..1500i64 {
        producer.send(ProducerRecord::to("t").key("c").value(&value.to_be_bytes())).await.unwrap();
    }
    producer.flush().await.unwrap();
    view.caught_up().await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Change::Missed(476));
    assert_eq!(changes.next().await.unwrap(), Change::Put("c".into(), Arc::new(476)));
    drop(view);
    let mut last = None;
    let error = loop {
        match changes.next().await {
            Ok(change) => last = Some(change),
            Err(error) => break error,
        }
    };
    assert_eq!((last, error.is_closed()), (Some(Change::Put("c".into(), Arc::new(1499))), true));
}

#[tokio::test]
async fn a_record_that_does_not_parse_ends_the_table_or_is_passed_over() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    put(&producer, None, "a", Some(1)).await;
    producer.send(ProducerRecord::to("t").key("b").value("short")).await.unwrap();
    put(&producer, None, "c", Some(3)).await;

    let view = open(&cluster).await;
    let error = view.caught_up().await.unwrap_err();
    assert!(error.is_serialization());
    let unparsable = error.source().unwrap().downcast_ref::<UnparsableRecord>().unwrap();
    assert_eq!((unparsable.topic_partition(), unparsable.offset()), (&t(0), 1));
    assert_eq!(unparsable.cause().to_string(), "8 bytes are expected, not 5");
    assert_eq!(contents(&view), HashMap::from([("a".into(), 1)]));
    assert_eq!(view.failure().unwrap().to_string(), error.to_string());
    assert!(view.changes().next().await.unwrap_err().is_serialization());
    view.wait_until_offset(t(0), 0).await.unwrap();
    assert!(view.wait_until_offset(t(0), 1).await.unwrap_err().is_serialization());

    let view = TableView::<String, i64>::open_with(&cluster, "t", Plain, Plain, OnUnparsable::Skip).await.unwrap();
    view.caught_up().await.unwrap();
    assert_eq!(contents(&view), HashMap::from([("a".into(), 1), ("c".into(), 3)]));
    assert_eq!((view.skipped(), view.dead_lettered()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_table_ends_with_its_last_handle_its_topic_or_its_cluster() {
    let cluster = cluster(1).await;
    let before = Handle::current().metrics().num_alive_tasks();
    let view = open(&cluster).await;
    view.caught_up().await.unwrap();
    let clone = view.clone();
    drop(view);
    clone.caught_up().await.unwrap();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 1);
    drop(clone);
    while Handle::current().metrics().num_alive_tasks() > before {
        tokio::task::yield_now().await;
    }

    let view = open(&cluster).await;
    cluster.admin().delete_topic("t").await.unwrap();
    let error = view.wait_until_offset(t(0), 0).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(view.caught_up().await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    let error = TableView::<String, i64>::open(&cluster, "t", Plain, Plain).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopicOrPartition);

    cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
    let view = open(&cluster).await;
    view.caught_up().await.unwrap();
    cluster.admin().delete_topic("t").await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
    assert_eq!(view.wait_until_offset(t(0), 0).await.unwrap_err().code(), ErrorCode::UnknownTopicId);
    let elsewhere = view.wait_until_offset(TopicPartition::new("other", 0), 0).await.unwrap_err();
    assert_eq!(elsewhere.to_string(), "other-0: a table of t has no such partition [UNKNOWN_TOPIC_OR_PARTITION (3)]");

    let view = open(&cluster).await;
    let waiting = tokio::spawn({
        let view = view.clone();
        async move { view.wait_until_offset(t(0), 0).await }
    });
    tokio::task::yield_now().await;
    cluster.shutdown().await;
    assert!(waiting.await.unwrap().unwrap_err().is_closed());
    assert!(view.failure().unwrap().is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_on_other_threads_never_see_a_value_go_back() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let view = open(&cluster).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (view, done) = (view.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut last = -1;
            while !done.load(Ordering::Acquire) {
                let value = view.get("a").map_or(-1, |value| *value);
                assert!(value >= last, "{value} after {last}");
                last = value;
            }
        })
    };
    let mut last = None;
    for value in 0..5000i64 {
        last = Some(producer.send(ProducerRecord::to("t").key("a").value(&value.to_be_bytes())).await.unwrap());
    }
    producer.flush().await.unwrap();
    let last = last.unwrap().await.unwrap();
    view.wait_until_offset(last.topic_partition(), last.offset()).await.unwrap();
    assert_eq!(view.get("a").as_deref(), Some(&4999));
    done.store(true, Ordering::Release);
    reader.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..cases(256) })]

    /// A table that follows, one that is opened later, and a map that does the same agree after every step, whatever
    /// compaction leaves of the log.
    #[test]
    fn a_table_equals_a_map_and_so_does_one_rebuilt_from_what_compaction_left(
        partitions in 1i32..4,
        compacted: bool,
        steps in prop::collection::vec(prop::collection::vec((0u8..6, prop::option::of(any::<i64>())), 0..10), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cluster = Cluster::in_memory();
            let mut topic = NewTopic::new("t").partitions(partitions);
            if compacted {
                for (name, value) in [
                    ("cleanup.policy", "compact"),
                    ("internal.segment.bytes", "200"),
                    ("min.cleanable.dirty.ratio", "0.01"),
                    ("delete.retention.ms", "1000"),
                ] {
                    topic = topic.config(name, value);
                }
            }
            cluster.admin().create_topic(topic).await.unwrap();
            let producer = producer(&cluster);
            let live = open(&cluster).await;
            let mut model = HashMap::new();
            for step in steps {
                for (key, value) in step {
                    let key = format!("key {key}");
                    put(&producer, None, &key, value).await;
                    match value {
                        Some(value) => model.insert(key, value),
                        None => model.remove(&key),
                    };
                }
                live.caught_up().await.unwrap();
                assert_eq!(contents(&live), model);
                // The cleaner looks every 15 s.
                tokio::time::sleep(Duration::from_secs(40)).await;
                let rebuilt = open(&cluster).await;
                rebuilt.caught_up().await.unwrap();
                assert_eq!(contents(&rebuilt), model);
            }
        });
    }
}
