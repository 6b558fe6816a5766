//! Consumer interceptors: what they see, drop, add and change.

use std::sync::Arc;
use std::time::Duration;

use brokerless::consumer::ConsumerInterceptor;
use brokerless::typed::{
    BoxError, DeadLetter, DeserializeContext, Deserializer, OnUnparsable, Plain, TypedConsumer, TypedConsumerRecords,
};
use brokerless::types::OffsetAndMetadata;
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ConsumerRecords, OwnedConsumerRecord, ProducerRecord,
    TopicPartition,
};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;

use crate::consumer::{cluster, produce, producer, t};

const POLL: Duration = Duration::from_millis(100);

fn config() -> ConsumerConfig {
    ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest).enable_auto_commit(false)
}

fn reader(cluster: &Cluster, config: ConsumerConfig) -> Consumer {
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([t(0), t(1)]).unwrap();
    consumer
}

/// A cluster with the numbers from 0 to 9 in each of two partitions.
async fn filled() -> Cluster {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    for partition in 0..2 {
        produce(&producer, t(partition), 0..10).await;
    }
    cluster
}

fn offsets(records: &ConsumerRecords, partition: i32) -> Vec<i64> {
    records.records(t(partition)).map(|record| record.offset()).collect()
}

/// Notes all calls.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl ConsumerInterceptor for Log {
    fn on_consume(&self, records: ConsumerRecords) -> ConsumerRecords {
        self.0.lock().push(format!("consume {}", records.len()));
        records
    }

    fn on_commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) {
        let offsets = offsets.iter().map(|(partition, position)| format!("{partition}@{}", position.offset()));
        self.0.lock().push(format!("commit {}", offsets.collect::<Vec<_>>().join(" ")));
    }

    fn on_close(&self) {
        self.0.lock().push("close".into());
    }
}

/// What to do with records, as a function.
struct Change<F>(F);

impl<F: Fn(ConsumerRecords) -> ConsumerRecords + Send + Sync> ConsumerInterceptor for Change<F> {
    fn on_consume(&self, records: ConsumerRecords) -> ConsumerRecords {
        self.0(records)
    }
}

fn keep(keep: impl Fn(i64) -> bool + Send + Sync) -> impl ConsumerInterceptor {
    Change(move |mut records: ConsumerRecords| {
        records.retain(|record| keep(record.offset()));
        records
    })
}

struct Panics;

impl ConsumerInterceptor for Panics {
    fn on_consume(&self, records: ConsumerRecords) -> ConsumerRecords {
        panic!("with {} records", records.len());
    }

    fn on_commit(&self, _: &[(TopicPartition, OffsetAndMetadata)]) {
        panic!("at a commit");
    }

    fn on_close(&self) {
        panic!("at the end");
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_called_in_order_and_their_panics_passed_over() {
    let cluster = filled().await;
    let (first, last) = (Log::default(), Log::default());
    let config = config().interceptor(first.clone()).interceptor(keep(|offset| offset % 2 == 0)).interceptor(Panics);
    let mut consumer = reader(&cluster, config.interceptor(last.clone()));
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!((offsets(&records, 0), offsets(&records, 1)), (vec![0, 2, 4, 6, 8], vec![0, 2, 4, 6, 8]));
    assert_eq!((first.take(), last.take()), (vec!["consume 20".to_owned()], vec!["consume 10".to_owned()]));
    // Nothing to consume is nothing to tell.
    assert!(consumer.poll(POLL).await.unwrap().is_empty());
    assert_eq!(first.take(), [""; 0]);

    consumer.commit_offsets([(t(0), OffsetAndMetadata::new(3))]).await.unwrap();
    consumer.commit_offsets_async([(t(1), OffsetAndMetadata::new(4))]).await.unwrap();
    assert!(consumer.commit_offsets([(("u", 0), OffsetAndMetadata::new(3))]).await.is_err());
    assert_eq!(first.take(), ["commit t-0@3", "commit t-1@4"]);
    assert_eq!(last.take(), ["commit t-0@3", "commit t-1@4"]);

    consumer.close().await.unwrap();
    assert_eq!((first.take(), last.take()), (vec!["close".to_owned()], vec!["close".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn automatic_commits_are_told() {
    let cluster = filled().await;
    let log = Log::default();
    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest).interceptor(log.clone());
    let mut consumer = reader(&cluster, config);
    consumer.poll(POLL).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(log.take(), ["consume 20", "commit t-0@10 t-1@10", "close"]);
}

/// What is dropped is passed over: positions, commits and `next_offsets` say so, and the memory of batches is shared.
#[tokio::test(start_paused = true)]
async fn dropped_records_are_consumed_all_the_same() {
    let cluster = filled().await;
    let mut consumer =
        reader(&cluster, config().max_poll_records(6).interceptor(keep(|offset| (2..5).contains(&offset))));
    let mut kept = [Vec::new(), Vec::new()];
    for _ in 0..4 {
        let records = consumer.poll(POLL).await.unwrap();
        for partition in 0..2 {
            let of_partition = offsets(&records, partition);
            assert_eq!(records.partitions().any(|it| *it == t(partition)), !of_partition.is_empty());
            kept[partition as usize].extend(of_partition);
        }
        for (partition, next) in records.next_offsets() {
            assert_eq!(next.offset(), consumer.position(partition).await.unwrap());
        }
    }
    assert_eq!(kept, [[2, 3, 4], [2, 3, 4]]);
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_which_nothing_is_left_returns_nothing() {
    let cluster = filled().await;
    let mut consumer = reader(&cluster, config().interceptor(keep(|_| false)));
    let start = tokio::time::Instant::now();
    let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
    assert_eq!((records.len(), records.iter().count(), records.partitions().count()), (0, 0, 0));
    assert_eq!(records.next_offsets().count(), 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(consumer.position(t(1)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn records_are_replaced_and_added() {
    let cluster = filled().await;
    let config = config().interceptor(Change(|records: ConsumerRecords| {
        let double = |record: OwnedConsumerRecord| {
            let value = record.value_str().unwrap().unwrap().repeat(2);
            record.with_value(Bytes::from(value)).with_header("was", Bytes::from_static(b"single"))
        };
        let mut records: ConsumerRecords = records.into_iter().map(double).collect();
        records.extend([OwnedConsumerRecord::new(("u", 7), 99).with_key(Bytes::from_static(b"k")).with_timestamp(5)]);
        records
    }));
    let mut consumer = reader(&cluster, config);
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!((records.len(), records.iter().count()), (21, 21));
    let values: Vec<_> = records.records(t(1)).map(|record| record.value_str().unwrap().unwrap()).collect();
    assert_eq!(values, ["00", "11", "22", "33", "44", "55", "66", "77", "88", "99"]);
    let first = records.iter().next().unwrap();
    let headers: Vec<_> = first.headers().map(|header| (header.key(), header.value())).collect();
    assert_eq!(headers, [("was", Some(&b"single"[..]))]);
    let added = records.iter().last().unwrap();
    assert_eq!((added.topic(), added.partition(), added.offset(), added.timestamp()), ("u", 7, 99, 5));
    assert_eq!((added.key(), added.value(), added.headers().count()), (Some(&b"k"[..]), None, 0));
    let owned = added.to_owned();
    assert_eq!(records.into_iter().last(), Some(owned));
    assert_eq!(consumer.position(t(0)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn streams_are_intercepted() {
    let cluster = filled().await;
    let mut consumer = reader(&cluster, config().max_poll_records(3).interceptor(keep(|offset| offset >= 8)));
    let records: Vec<_> = consumer.stream().take(4).map(|record| record.unwrap().offset()).collect().await;
    assert_eq!(records.iter().sum::<i64>(), 34);
}

fn reversed() -> impl ConsumerInterceptor {
    Change(|records: ConsumerRecords| {
        let mut records: Vec<_> = records.into_iter().collect();
        records.reverse();
        records.into_iter().collect()
    })
}

/// A stream that was dropped handed back the first record that it had not yielded, and skipped those below it.
#[tokio::test(start_paused = true)]
async fn a_stream_of_reordered_records_hands_back_the_lowest() {
    let cluster = filled().await;
    let mut consumer = reader(&cluster, config().interceptor(reversed()));
    let first: Vec<_> = consumer.stream().take(3).map(|record| record.unwrap().offset()).collect().await;
    assert_eq!(first, [9, 8, 7]);
    assert_eq!((consumer.position(t(0)).await.unwrap(), consumer.position(t(1)).await.unwrap()), (0, 0));
}

/// So did a typed poll that ended at a record that does not parse, or reported one; and the report went on for ever.
#[tokio::test(start_paused = true)]
async fn a_typed_poll_of_reordered_records_goes_back_to_the_lowest() {
    let cluster = cluster(1).await;
    let to = producer(&cluster);
    for value in ["0", "1", "two", "3"] {
        to.send(ProducerRecord::to("t").value(value)).await.unwrap();
    }
    to.flush().await.unwrap();
    let open = |config: ConsumerConfig| {
        let mut consumer = cluster.consumer(config.interceptor(reversed())).unwrap();
        consumer.assign([t(0)]).unwrap();
        TypedConsumer::<Vec<u8>, char>::new(consumer, Plain, Digit)
    };
    let read = |records: &TypedConsumerRecords<Vec<u8>, char>| -> String {
        records.iter().map(|record| *record.value().unwrap()).collect()
    };
    let mut consumer = open(config());
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!(read(&records), "3");
    assert_eq!(records.next_offsets().map(|(_, next)| next.offset()).collect::<Vec<_>>(), [0]);
    assert_eq!(consumer.position(t(0)).await.unwrap(), 0);

    cluster.admin().create_topic("dead").await.unwrap();
    // And one that it made up, of a partition that is not the consumer's.
    let stranger = Change(|mut records: ConsumerRecords| {
        records.extend([OwnedConsumerRecord::new(("u", 7), 99).with_value(Bytes::from_static(b"no digit"))]);
        records
    });
    let dead_letter = OnUnparsable::DeadLetter(DeadLetter::new(to.clone(), "dead"));
    let mut consumer = open(config().interceptor(stranger)).on_unparsable(dead_letter);
    assert_eq!(read(&consumer.poll(POLL).await.unwrap()), "310");
    assert_eq!((consumer.dead_lettered(), consumer.position(t(0)).await.unwrap()), (2, 4));
}

/// One character, which is a digit.
struct Digit;

impl Deserializer<char> for Digit {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<char, BoxError> {
        Ok(char::from(b'0' + std::str::from_utf8(bytes)?.parse::<u8>()?))
    }
}
