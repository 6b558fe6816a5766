//! Compacted topics as applications see them. Time is virtual.

use std::collections::BTreeMap;
use std::time::Duration;

use brokerless::admin::OffsetSpec;
use brokerless::types::IsolationLevel;
use brokerless::{
    AutoOffsetReset, Cluster, ClusterBuilder, Consumer, ConsumerConfig, ErrorCode, NewTopic, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};

/// Longer than `log.cleaner.backoff.ms`.
const A_WHILE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Segments of a few batches, compacted as soon as the cleaner looks.
fn table() -> NewTopic {
    NewTopic::new("table")
        .config("cleanup.policy", "compact")
        .config("internal.segment.bytes", "1000")
        .config("min.cleanable.dirty.ratio", "0")
}

async fn cluster_with(builder: ClusterBuilder, topic: NewTopic) -> (Cluster, Producer) {
    let cluster = builder.start().await.unwrap();
    cluster.admin().create_topic(topic).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    (cluster, producer)
}

/// One batch; a tombstone without a value. Returns its offset.
async fn put(producer: &Producer, key: &str, value: Option<&str>) -> i64 {
    let record = ProducerRecord::to("table").key(key.to_owned());
    let record = match value {
        Some(value) => record.value(value.to_owned()),
        None => record.tombstone(),
    };
    producer.send(record).await.unwrap().await.unwrap().offset()
}

fn reader(cluster: &Cluster) -> Consumer {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([TopicPartition::new("table", 0)]).unwrap();
    consumer
}

type Record = (i64, String, Option<String>);

/// All there is, from where the consumer stands.
async fn read(consumer: &mut Consumer) -> Vec<Record> {
    let mut read = Vec::new();
    loop {
        let records = consumer.poll(Duration::from_millis(10)).await.unwrap();
        if records.is_empty() {
            return read;
        }
        for record in &records {
            let value = record.value_str().unwrap().map(str::to_owned);
            read.push((record.offset(), record.key_str().unwrap().unwrap().to_owned(), value));
        }
    }
}

async fn read_all(cluster: &Cluster) -> Vec<Record> {
    read(&mut reader(cluster)).await
}

async fn log_start(cluster: &Cluster) -> i64 {
    let asked = [(TopicPartition::new("table", 0), OffsetSpec::Earliest)];
    let mut listed = cluster.admin().list_offsets(asked, IsolationLevel::ReadUncommitted).await;
    listed.remove(0).unwrap().offset().unwrap()
}

#[tokio::test(start_paused = true)]
async fn invariant_36_a_reader_from_the_start_sees_the_last_value_of_every_key() {
    let (cluster, producer) = cluster_with(Cluster::builder(), table()).await;
    let mut live = reader(&cluster);
    let mut last = BTreeMap::new();
    for round in 0..50 {
        for key in 0..20 {
            if key % 7 == round % 7 {
                continue;
            }
            let (key, value) = (format!("key {key}"), format!("value {round}"));
            let offset = put(&producer, &key, Some(&value)).await;
            last.insert(key, (offset, value));
        }
        if round % 10 == 9 {
            tokio::time::sleep(A_WHILE).await;
            let records = read_all(&cluster).await;
            assert!(records.is_sorted_by(|one, next| one.0 < next.0));
            let table: BTreeMap<_, _> =
                records.iter().map(|(offset, key, value)| (key.clone(), (*offset, value.clone().unwrap()))).collect();
            assert_eq!(table, last);
            assert!(records.len() < 20 + 15, "{} records are left after round {round}", records.len());
        }
        // Whoever keeps up sees all that it would have seen, and ends where the log ends.
        if round == 25 {
            assert!(read(&mut live).await.len() > 50);
        }
    }
    let rest = read(&mut live).await;
    assert_eq!(rest.last().map(|record| record.0), last.values().map(|(offset, _)| *offset).max());
    assert_eq!(log_start(&cluster).await, 0, "compaction does not move it");
}

#[tokio::test(start_paused = true)]
async fn invariant_37_a_deleted_key_is_seen_deleted_for_a_day_and_then_not_at_all() {
    let (cluster, producer) = cluster_with(Cluster::builder(), table()).await;
    let filler = "x".repeat(600);
    assert_eq!(put(&producer, "gone", Some("1")).await, 0);
    assert_eq!(put(&producer, "gone", None).await, 1);
    put(&producer, "filler", Some(&filler)).await; // 2
    put(&producer, "filler", Some(&filler)).await; // 3
    tokio::time::sleep(A_WHILE).await;
    let tombstone = (1, "gone".to_owned(), None);
    let offsets = |records: &[Record]| records.iter().map(|record| record.0).collect::<Vec<_>>();
    let records = read_all(&cluster).await;
    assert_eq!((&records[0], offsets(&records)), (&tombstone, vec![1, 2, 3]));
    // A run in the meantime leaves it.
    tokio::time::sleep(DAY - 3 * A_WHILE).await;
    put(&producer, "filler", Some(&filler)).await; // 4
    tokio::time::sleep(A_WHILE).await;
    let records = read_all(&cluster).await;
    assert_eq!((&records[0], offsets(&records)), (&tombstone, vec![1, 3, 4]));
    // A run after it takes it away.
    tokio::time::sleep(DAY).await;
    put(&producer, "filler", Some(&filler)).await; // 5
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(offsets(&read_all(&cluster).await), [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_are_refused() {
    let (cluster, producer) = cluster_with(Cluster::builder(), table()).await;
    let error = producer.send(ProducerRecord::to("table").value("v")).await.unwrap().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRecord);
    assert_eq!(put(&producer, "k", Some("v")).await, 0);
    assert_eq!(read_all(&cluster).await, [(0, "k".to_owned(), Some("v".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn positions_in_a_gap_go_on_behind_it() {
    let (cluster, producer) = cluster_with(Cluster::builder(), table()).await;
    for number in 0..100 {
        put(&producer, "a", Some(&number.to_string())).await;
    }
    tokio::time::sleep(A_WHILE).await;
    let records = read_all(&cluster).await;
    let first = records[0].0;
    assert!((1..100).contains(&first), "the first record left is {first}");
    let mut consumer = reader(&cluster);
    for position in [0, 1, first - 1, first] {
        consumer.seek(TopicPartition::new("table", 0), position).unwrap();
        assert_eq!(read(&mut consumer).await, records, "from {position}");
    }
}

#[tokio::test(start_paused = true)]
async fn compact_and_delete_applies_both() {
    let topic = table().config("cleanup.policy", "compact,delete").config("retention.ms", "3600000");
    let (cluster, producer) = cluster_with(Cluster::builder(), topic).await;
    for round in 0..40 {
        for key in ["a", "b"] {
            put(&producer, key, Some(&round.to_string())).await;
        }
    }
    tokio::time::sleep(A_WHILE).await;
    let compacted = read_all(&cluster).await;
    assert!(compacted.len() < 30, "{} records", compacted.len());
    assert_eq!(compacted[compacted.len() - 1], (79, "b".to_owned(), Some("39".to_owned())));
    tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
    assert_eq!(read_all(&cluster).await, []);
    assert_eq!(log_start(&cluster).await, 80);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_topic_is_compacted_once_max_compaction_lag_ms_is_over() {
    let topic = NewTopic::new("table")
        .config("cleanup.policy", "compact")
        .config("min.cleanable.dirty.ratio", "1")
        .config("max.compaction.lag.ms", "60000");
    let (cluster, producer) = cluster_with(Cluster::builder(), topic).await;
    for number in 0..10 {
        put(&producer, "a", Some(&number.to_string())).await;
    }
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(read_all(&cluster).await.len(), 10);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(read_all(&cluster).await, [(9, "a".to_owned(), Some("9".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn the_cleaner_can_be_turned_off_and_paced() {
    let settle = async |builder: ClusterBuilder| {
        let (cluster, producer) = cluster_with(builder, table()).await;
        for number in 0..40 {
            put(&producer, "a", Some(&number.to_string())).await;
        }
        tokio::time::sleep(A_WHILE).await;
        read_all(&cluster).await.len()
    };
    assert_eq!(settle(Cluster::builder().broker_property("log.cleaner.enable", "false")).await, 40);
    assert_eq!(settle(Cluster::builder().broker_property("log.cleaner.backoff.ms", "60000")).await, 40);
    assert!(settle(Cluster::builder()).await < 40);
}
