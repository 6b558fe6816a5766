//! The producer, through the public API. Time is paused unless a test is about threads.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerless::producer::{Partitioning, Payload, SendError};
use brokerless::types::{Acks, CompressionType};
use brokerless::{
    Cluster, ConsumerConfig, Delivery, Error, ErrorCode, NewTopic, Producer, ProducerConfig, ProducerRecord,
    RecordMetadata, TopicPartition,
};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// The first `count` records of a partition.
async fn read(cluster: &Cluster, topic: &str, partition: i32, count: usize) -> Vec<Stored> {
    let config = ConsumerConfig::from_properties([("auto.offset.reset", "earliest")]).unwrap();
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([TopicPartition::new(topic, partition)]).unwrap();
    let mut stored = Vec::new();
    while stored.len() < count {
        let records = consumer.poll(SECOND).await.unwrap();
        assert!(!records.is_empty(), "{topic}-{partition} holds {} records, not {count}", stored.len());
        for record in records.iter() {
            let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), text(value));
            stored.push(Stored {
                offset: record.offset(),
                timestamp: record.timestamp(),
                key: text(record.key()),
                value: text(record.value()),
                headers: record.headers().map(|found| header(found.key(), found.value())).collect(),
            });
        }
    }
    assert_eq!(stored.len(), count, "{topic}-{partition}");
    stored
}

async fn read_values(cluster: &Cluster, topic: &str, partition: i32, count: usize) -> Vec<String> {
    read(cluster, topic, partition, count).await.into_iter().map(|record| record.value.unwrap()).collect()
}

async fn cluster_with(topic: NewTopic) -> Cluster {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(topic).await.unwrap();
    cluster
}

/// Takes a topic away from its producers, who keep looking for it as long as they may.
async fn delete(cluster: &Cluster, topic: &str) {
    cluster.admin().delete_topic(topic).await.unwrap();
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn send(producer: &Producer, topic: &str, value: &str) -> Delivery {
    producer.send(ProducerRecord::to(topic).value(value)).await.unwrap()
}

#[test]
fn everything_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Producer>();
    check::<ProducerConfig>();
    check::<ProducerRecord<'_>>();
    check::<Payload<'_>>();
    check::<SendError<'_>>();
    check::<Delivery>();
    check::<RecordMetadata>();
    check::<Partitioning>();
}

#[tokio::test(start_paused = true)]
async fn futures_can_be_spawned() {
    fn check<F: Future + Send>(_: &F) {}
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    check(&producer.send(ProducerRecord::to("t")));
    check(&producer.send_with(ProducerRecord::to("t"), drop));
    check(&producer.flush());
    check(&producer.close());
    check(&producer.close_timeout(SECOND));
    check(&producer.partitions_for("t"));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_tells_where_the_record_is() {
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    let producer = cluster.producer(ProducerConfig::default().client_id("me")).unwrap();
    for offset in 0..3 {
        let record = ProducerRecord::to("t").partition(2).timestamp(1_000 + offset).key("k").value("v");
        let metadata = producer.send(record).await.unwrap().await.unwrap();
        assert_eq!((metadata.topic(), metadata.partition()), ("t", 2));
        assert_eq!(metadata.topic_partition(), &TopicPartition::new("t", 2));
        assert_eq!((metadata.offset(), metadata.timestamp()), (offset, 1_000 + offset));
        assert!(metadata.has_offset() && metadata.has_timestamp());
    }
    assert_eq!(producer.client_id(), "me");
    let partitions = producer.partitions_for("t").await.unwrap();
    let found: Vec<_> = partitions.iter().map(|info| (info.topic_partition().partition(), info.leader())).collect();
    let leader = cluster.admin().describe_cluster().await.unwrap().nodes()[0].id();
    assert_eq!(found, [0, 1, 2].map(|partition| (partition, Some(leader))));
    assert_eq!((partitions[2].topic_partition().topic(), partitions[2].in_sync_replicas()), ("t", &[leader][..]));
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_payload_arrives() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let (borrowed_text, borrowed_bytes) = (String::from("b"), b"c".to_vec());
    let records = [
        ProducerRecord::to("t").value("a").header("h", "1").null_header("n").header(String::from("h"), vec![b'2']),
        ProducerRecord::to("t").key(&borrowed_text).value(&borrowed_bytes),
        ProducerRecord::to("t").key(String::from("d")).value(bytes::Bytes::from_static(b"e")),
        ProducerRecord::to("t").key(b"gone").value("x").tombstone(),
        ProducerRecord::to("t").key("").value(""),
    ];
    for record in records {
        drop(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    let stored = read(&cluster, "t", 0, 5).await;
    let fields: Vec<_> = stored.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    let expected =
        [(None, Some("a")), (Some("b"), Some("c")), (Some("d"), Some("e")), (Some("gone"), None), (Some(""), Some(""))];
    assert_eq!(fields, expected);
    let headers = [("h", Some("1")), ("n", None), ("h", Some("2"))];
    assert_eq!(stored[0].headers, headers.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    assert!(stored[1].headers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn acks_decide_what_a_delivery_knows() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let mut next = 0;
    for (acks, knows_offset) in [(Acks::None, false), (Acks::Leader, true), (Acks::All, true)] {
        let producer = cluster.producer(ProducerConfig::default().acks(acks)).unwrap();
        for _ in 0..2 {
            let metadata = send(&producer, "t", &next.to_string()).await.await.unwrap();
            assert_eq!(metadata.offset(), if knows_offset { next } else { -1 }, "{acks:?}");
            assert_eq!(metadata.has_offset(), knows_offset);
            next += 1;
        }
    }
    assert_eq!(read_values(&cluster, "t", 0, 6).await, numbers(0..6));
}

/// Records of every size around the batch's, over several partitions: what was acknowledged lies in the order of the
/// sends, at the offsets that the deliveries told.
#[tokio::test(start_paused = true)]
async fn invariant_16_acked_order_is_send_order() {
    const RECORDS: usize = 3_000;
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    for linger in [Duration::ZERO, Duration::from_millis(5)] {
        let config = ProducerConfig::default().batch_size(1_000).linger(linger);
        let producer = cluster.producer(config).unwrap();
        let topic = format!("t{}", linger.as_millis());
        cluster.admin().create_topic(NewTopic::new(&topic).partitions(3)).await.unwrap();
        let mut deliveries = Vec::new();
        for number in 0..RECORDS {
            let value = format!("{number:0width$}", width = 1 + number * 37 % 1_500);
            let record = ProducerRecord::to(&topic).key(number.to_string()).value(value);
            deliveries.push(producer.send(record).await.unwrap());
        }
        let mut sent = [const { Vec::new() }; 3];
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let metadata = delivery.await.unwrap();
            assert_eq!(metadata.offset(), sent[metadata.partition() as usize].len() as i64);
            sent[metadata.partition() as usize].push(number.to_string());
        }
        for (partition, sent) in (0..).zip(sent) {
            let stored = read(&cluster, &topic, partition, sent.len()).await;
            let keys: Vec<_> = stored.into_iter().map(|record| record.key.unwrap()).collect();
            assert_eq!(keys, sent);
        }
    }
}

/// Without idempotence, and even without acknowledgements, nothing overtakes.
#[tokio::test(start_paused = true)]
async fn invariant_7_acks_1_and_0_never_reorder() {
    for acks in [Acks::Leader, Acks::None] {
        let cluster = cluster_with(NewTopic::new("t")).await;
        let producer = cluster.producer(ProducerConfig::default().acks(acks).batch_size(200)).unwrap();
        for number in 0..2_000 {
            drop(send(&producer, "t", &number.to_string()).await);
            if number == 1_000 {
                tokio::time::sleep(SECOND).await;
            }
        }
        producer.flush().await.unwrap();
        assert_eq!(read_values(&cluster, "t", 0, 2_000).await, numbers(0..2_000));
    }
}

/// Many tasks on several threads share a producer, and each finds its own records in its own order, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_concurrent_senders_keep_their_own_order() {
    const SENDERS: usize = 8;
    const RECORDS: usize = 5_000;
    for linger in [Duration::ZERO, Duration::from_millis(1)] {
        let cluster = cluster_with(NewTopic::new("t").partitions(2)).await;
        let config = ProducerConfig::default().batch_size(2_000).linger(linger).buffer_memory(20_000);
        let producer = cluster.producer(config).unwrap();
        let tasks: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let producer = producer.clone();
                tokio::spawn(async move {
                    let mut last = None;
                    for number in 0..RECORDS {
                        let record = ProducerRecord::to("t")
                            .partition(number as i32 % 2)
                            .key(sender.to_string())
                            .value(number.to_string());
                        last = Some(producer.send(record).await.unwrap());
                    }
                    last.unwrap().await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        producer.close().await.unwrap();
        for partition in 0..2 {
            let mut next = [partition; SENDERS];
            for record in read(&cluster, "t", partition, SENDERS * RECORDS / 2).await {
                let sender: usize = record.key.unwrap().parse().unwrap();
                assert_eq!(record.value.unwrap(), next[sender].to_string(), "sender {sender}");
                next[sender] += 2;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_lingers_exactly_as_long_as_it_should() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    for linger_ms in [2, 6, 250] {
        let linger = Duration::from_millis(linger_ms);
        let producer = cluster.producer(ProducerConfig::default().linger(linger)).unwrap();
        let start = Instant::now();
        let first = send(&producer, "t", "first").await;
        tokio::time::advance(linger / 2).await;
        let second = send(&producer, "t", "second").await;
        assert!(first.try_result().is_none() && !second.is_done());
        let first = first.await.unwrap();
        assert_eq!(start.elapsed(), linger);
        // They share a batch, so they are done together.
        let second = second.try_result().unwrap().unwrap();
        assert_eq!(second.offset(), first.offset() + 1);
        assert_eq!(second.timestamp() - first.timestamp(), linger_ms as i64 / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_linger_a_record_is_sent_at_once() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for offset in 0..3 {
        let delivery = send(&producer, "t", "v").await;
        assert_eq!(delivery.try_result().unwrap().unwrap().offset(), offset);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_linger() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().linger(HOUR)).unwrap();
    let value = "v".repeat(10_000);
    let first = send(&producer, "t", &value).await;
    assert!(!first.is_done());
    let second = send(&producer, "t", &value).await;
    assert!(first.is_done() && !second.is_done());
    // A record larger than a batch has one of its own, which is full at once, behind those before it.
    let third = send(&producer, "t", &value.repeat(3)).await;
    assert!(second.is_done());
    assert_eq!(third.try_result().unwrap().unwrap().offset(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_size_of_zero_turns_batching_off() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().batch_size(0).linger(HOUR)).unwrap();
    assert!(send(&producer, "t", "v").await.is_done());
}

#[tokio::test(start_paused = true)]
async fn flush_sends_what_lingers_and_waits_for_it() {
    let cluster = cluster_with(NewTopic::new("t").partitions(4)).await;
    let producer = cluster.producer(ProducerConfig::default().linger(HOUR)).unwrap();
    producer.flush().await.unwrap();
    let mut deliveries = Vec::new();
    for partition in 0..4 {
        deliveries.push(producer.send(ProducerRecord::to("t").partition(partition).value("v")).await.unwrap());
    }
    let start = Instant::now();
    producer.flush().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(deliveries.iter().all(Delivery::is_done));
}

#[tokio::test(start_paused = true)]
async fn close_delivers_everything_and_refuses_more() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().linger(HOUR)).unwrap();
    let clone = producer.clone();
    let delivery = send(&producer, "t", "v").await;
    producer.close().await.unwrap();
    assert_eq!(delivery.try_result().unwrap().unwrap().offset(), 0);
    let refused = clone.send(ProducerRecord::to("t").value("late")).await.unwrap_err();
    assert!(refused.error().is_closed());
    assert_eq!(refused.into_record().value_bytes(), Some(&b"late"[..]));
    assert!(clone.flush().await.unwrap_err().is_closed());
    assert!(clone.partitions_for("t").await.unwrap_err().is_closed());
    clone.close().await.unwrap();
    read(&cluster, "t", 0, 1).await;
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_after_its_timeout() {
    let cluster = cluster_with(NewTopic::new("t").partitions(2)).await;
    let producer = cluster.producer(ProducerConfig::default().linger(SECOND)).unwrap();
    let first = producer.send(ProducerRecord::to("t").partition(0)).await.unwrap();
    let second = producer.send(ProducerRecord::to("t").partition(1)).await.unwrap();
    delete(&cluster, "t").await;
    tokio::time::sleep(10 * SECOND).await;
    let start = Instant::now();
    let error = producer.close_timeout(2 * SECOND).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(start.elapsed(), 2 * SECOND);
    for delivery in [first, second] {
        assert!(delivery.try_result().unwrap().unwrap_err().is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn close_calls_back_those_who_wait_in_send() {
    let cluster = Cluster::in_memory();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(ProducerRecord::to("missing")).await.map(drop).map_err(Error::from) }
    });
    tokio::task::yield_now().await;
    producer.close().await.unwrap();
    assert!(waiting.await.unwrap().unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_sends_what_is_open() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().linger(HOUR)).unwrap();
    let clone = producer.clone();
    let delivery = send(&producer, "t", "v").await;
    drop(producer);
    assert!(!delivery.is_done());
    drop(clone);
    assert_eq!(delivery.try_result().unwrap().unwrap().offset(), 0);
    // What is not taken at once is lost, and says so.
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let delivery = send(&producer, "t", "v").await;
    delete(&cluster, "t").await;
    drop(producer);
    assert!(delivery.await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_sends_nothing() {
    let cluster = Cluster::in_memory();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let send = producer.send(ProducerRecord::to("t").value("v"));
    assert!(tokio::time::timeout(SECOND, send).await.is_err());
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!(self::send(&producer, "t", "other").await.await.unwrap().offset(), 0);
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_delivery_timeout() {
    let cluster = cluster_with(NewTopic::new("orders").partitions(2)).await;
    let config = ProducerConfig::default()
        .linger(2 * SECOND)
        .request_timeout(SECOND)
        .delivery_timeout(Duration::from_millis(3_456));
    let producer = cluster.producer(config).unwrap();
    let start = Instant::now();
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(producer.send(ProducerRecord::to("orders").partition(0)).await.unwrap());
    }
    tokio::time::sleep(SECOND).await;
    let later = producer.send(ProducerRecord::to("orders").partition(1)).await.unwrap();
    delete(&cluster, "orders").await;
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert_eq!(start.elapsed(), Duration::from_millis(3_456));
        assert!(error.is_timeout());
        assert_eq!(error.topic_partition(), Some(&TopicPartition::new("orders", 0)));
        let text = "expiring 3 record(s) for orders-0: 3456 ms has passed since batch creation";
        assert!(error.to_string().contains(text), "{error}");
        let cause = std::error::Error::source(&error).unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(cause.code(), ErrorCode::UnknownTopicOrPartition);
    }
    // Time counts from each batch's own beginning.
    assert!(later.await.unwrap_err().to_string().contains("expiring 1 record(s) for orders-1"));
    assert_eq!(start.elapsed(), Duration::from_millis(4_456));
}

/// What is on its way while a topic is away is stored when it is back: by `linger.ms` and the backoff, no later.
#[tokio::test(start_paused = true)]
async fn a_topic_that_comes_back_is_found_again() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let start = Instant::now();
    let mut deliveries = Vec::new();
    for number in 0..100 {
        deliveries.push(send(&producer, "t", &number.to_string()).await);
    }
    delete(&cluster, "t").await;
    tokio::time::sleep(10 * SECOND).await;
    assert!(deliveries.iter().all(|delivery| !delivery.is_done()));
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    for (offset, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.await.unwrap().offset(), offset);
    }
    // 5 ms of linger; backoffs of 100, 200, 400, 800 and then 1,000 ms.
    assert_eq!(start.elapsed(), Duration::from_millis(5 + 1_500 + 9 * 1_000));
    assert_eq!(read_values(&cluster, "t", 0, 100).await, numbers(0..100));
}

#[tokio::test(start_paused = true)]
async fn after_a_batch_expired_the_partition_goes_on() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    send(&producer, "t", "v").await.await.unwrap();
    let expired = send(&producer, "t", "v").await;
    delete(&cluster, "t").await;
    let error = expired.await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let error = producer.send(ProducerRecord::to("t").value("v")).await.unwrap_err();
    assert!(error.error().is_timeout());
    assert!(error.to_string().contains("topic t not present in metadata after 60000 ms"), "{error}");
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    for offset in 0..3 {
        assert_eq!(send(&producer, "t", "v").await.await.unwrap().offset(), offset);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_send_wait_and_then_gives_the_record_back() {
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    cluster.admin().create_topic(NewTopic::new("other")).await.unwrap();
    let config = ProducerConfig::default().batch_size(1_000).buffer_memory(3_000).max_block(2 * SECOND);
    let producer = cluster.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for partition in 0..3 {
        deliveries.push(producer.send(ProducerRecord::to("t").partition(partition)).await.unwrap());
    }
    delete(&cluster, "t").await;
    let start = Instant::now();
    let refused = producer.send(ProducerRecord::to("other").value("v")).await.unwrap_err();
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert!(refused.error().is_timeout());
    let text = "within the configured max blocking time 2000 ms (total memory: 3000 bytes";
    assert!(refused.to_string().contains(text), "{refused}");

    // The record goes again as it came back, and is sent once there is room.
    let recovery = async {
        tokio::time::sleep(SECOND).await;
        cluster.admin().create_topic(NewTopic::new("t").partitions(3)).await.unwrap();
    };
    let (delivery, ()) = tokio::join!(producer.send(refused.into_record()), recovery);
    assert_eq!(delivery.unwrap().await.unwrap().offset(), 0);
    for delivery in deliveries {
        assert_eq!(delivery.await.unwrap().offset(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_ends_lingering() {
    let cluster = cluster_with(NewTopic::new("t").partitions(50)).await;
    let config = ProducerConfig::default().batch_size(1_000).buffer_memory(3_000).linger(HOUR);
    let producer = cluster.producer(config).unwrap();
    let start = Instant::now();
    for number in 0..500 {
        drop(producer.send(ProducerRecord::to("t").partition(number % 50).value("v")).await.unwrap());
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    producer.close().await.unwrap();
    for partition in 0..50 {
        read(&cluster, "t", partition, 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_comes_back() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let value = vec![b'v'; 1 << 20];
    let refused = producer.send(ProducerRecord::to("t").key("k").value(value)).await.unwrap_err();
    assert_eq!(refused.error().code(), ErrorCode::MessageTooLarge);
    assert!(
        refused.to_string().contains("larger than 1048576, which is the value of the max.request.size"),
        "{refused}"
    );
    assert_eq!(refused.record().value_bytes().unwrap().len(), 1 << 20);
    // It fits with a higher limit, and then the buffer is what is too small.
    let config = ProducerConfig::default().max_request_size(2 << 20);
    let producer = cluster.producer(config.clone().buffer_memory(1 << 20)).unwrap();
    let refused = producer.send(refused.into_record()).await.unwrap_err();
    assert!(refused.to_string().contains("larger than 1048576, the total memory buffer"), "{refused}");
    // And then the topic, which takes a MiB and a bit.
    let producer = cluster.producer(config).unwrap();
    let error = producer.send(refused.into_record()).await.unwrap().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    assert_eq!(error.topic_partition(), Some(&TopicPartition::new("t", 0)));
    assert_eq!(send(&producer, "t", "v").await.await.unwrap().offset(), 0);
}

/// A batch above the topic's `max.message.bytes` is split until its parts fit; offsets, order and callbacks stay right.
#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_for_its_topic_is_split() {
    for idempotence in [true, false] {
        let cluster = cluster_with(NewTopic::new("t").config("max.message.bytes", "400")).await;
        let producer = cluster.producer(ProducerConfig::default().enable_idempotence(idempotence)).unwrap();
        let (mut deliveries, called) = (Vec::new(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..21 {
            let value = format!("{number:0100}");
            let called = called.clone();
            let callback =
                move |result: Result<RecordMetadata, Error>| called.lock().unwrap().push(result.unwrap().offset());
            let record = ProducerRecord::to("t").value(&value).header("n", "1");
            deliveries.push(producer.send_with(record, callback).await.unwrap());
        }
        let too_large = send(&producer, "t", &"x".repeat(500)).await;
        let behind = send(&producer, "t", "behind").await;
        for (offset, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.unwrap().offset(), offset);
        }
        assert_eq!(too_large.await.unwrap_err().code(), ErrorCode::MessageTooLarge);
        assert_eq!(behind.await.unwrap().offset(), 21);
        assert_eq!(*called.lock().unwrap(), (0..21).collect::<Vec<_>>());
        let stored = read(&cluster, "t", 0, 22).await;
        for (number, record) in stored[..21].iter().enumerate() {
            assert_eq!(record.value, Some(format!("{number:0100}")));
            assert_eq!(record.headers, [("n".to_owned(), Some("1".to_owned()))]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_waited_for() {
    let cluster = Cluster::in_memory();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let start = Instant::now();
    let refused = producer.send(ProducerRecord::to("missing").key("k")).await.unwrap_err();
    assert_eq!(start.elapsed(), 60 * SECOND);
    assert!(refused.error().is_timeout());
    assert!(refused.to_string().contains("topic missing not present in metadata after 60000 ms"), "{refused}");
    assert_eq!(refused.into_record().key_bytes(), Some(&b"k"[..]));

    let creation = async {
        tokio::time::sleep(SECOND).await;
        cluster.admin().create_topic(NewTopic::new("other")).await.unwrap();
        tokio::time::sleep(SECOND).await;
        cluster.admin().create_topic(NewTopic::new("missing").partitions(2)).await.unwrap();
    };
    let start = Instant::now();
    let send = producer.send(ProducerRecord::to("missing").value("v"));
    let (delivery, partitions, ()) = tokio::join!(send, producer.partitions_for("missing"), creation);
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(delivery.unwrap().await.unwrap().offset(), 0);
    assert_eq!(partitions.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_partition_is_waited_for() {
    let cluster = cluster_with(NewTopic::new("t").partitions(2)).await;
    let producer = cluster.producer(ProducerConfig::default().max_block(3 * SECOND)).unwrap();
    let refused = producer.send(ProducerRecord::to("t").partition(2)).await.unwrap_err();
    let text = "partition 2 of topic t with partition count 2 is not present in metadata after 3000 ms";
    assert!(refused.error().is_timeout() && refused.to_string().contains(text), "{refused}");
    let growth = async {
        tokio::time::sleep(SECOND).await;
        cluster.admin().create_partitions("t", 3).await.unwrap();
    };
    let (delivery, _) = tokio::join!(producer.send(refused.into_record()), growth);
    assert_eq!(delivery.unwrap().await.unwrap().partition(), 2);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_right_are_refused_at_once() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let cases = [
        (ProducerRecord::to("no/such/topic"), ErrorCode::InvalidTopic),
        (ProducerRecord::to(""), ErrorCode::InvalidTopic),
        (ProducerRecord::to("t").partition(-1), ErrorCode::InvalidRequest),
        (ProducerRecord::to("t").timestamp(-1), ErrorCode::InvalidTimestamp),
    ];
    let start = Instant::now();
    for (record, code) in cases {
        let refused = producer.send(record.clone()).await.unwrap_err();
        assert_eq!(refused.error().code(), code, "{refused}");
        assert_eq!(refused.into_record(), record);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn records_are_stamped_when_they_are_sent() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().linger(HOUR)).unwrap();
    let first = send(&producer, "t", "v").await;
    let given = producer.send(ProducerRecord::to("t").timestamp(77).value("v")).await.unwrap();
    tokio::time::advance(1_234 * Duration::from_millis(1)).await;
    let last = send(&producer, "t", "v").await;
    producer.flush().await.unwrap();
    let [first, given, last] = [first, given, last].map(|delivery| delivery.try_result().unwrap().unwrap().timestamp());
    assert_eq!((given, last - first), (77, 1_234));
    let stored: Vec<_> = read(&cluster, "t", 0, 3).await.iter().map(|record| record.timestamp).collect();
    assert_eq!(stored, [first, given, last]);
}

#[tokio::test(start_paused = true)]
async fn log_append_time_overrules_the_producer() {
    let cluster = cluster_with(NewTopic::new("t").config("message.timestamp.type", "LogAppendTime")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let record = || ProducerRecord::to("t").value("v");
    let now = producer.send(record()).await.unwrap();
    let given = producer.send(record().timestamp(77)).await.unwrap();
    let (now, given) = (now.await.unwrap().timestamp(), given.await.unwrap().timestamp());
    assert_eq!(now, given);
    assert!(now > 1_700_000_000_000);
    let stored: Vec<_> = read(&cluster, "t", 0, 2).await.iter().map(|record| record.timestamp).collect();
    assert_eq!(stored, [now, now]);
}

#[tokio::test(start_paused = true)]
async fn callbacks_run_in_order_and_before_flush_returns() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().batch_size(500)).unwrap();
    let called = Arc::new(Mutex::new(Vec::new()));
    for number in 0..100_i64 {
        let called = called.clone();
        let callback = move |result: Result<RecordMetadata, Error>| {
            called.lock().unwrap().push((number, result.unwrap().offset()));
        };
        let record = ProducerRecord::to("t").value("v");
        drop(producer.send_with(record, callback).await.unwrap());
    }
    producer.flush().await.unwrap();
    assert_eq!(*called.lock().unwrap(), (0..100).map(|number| (number, number)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_callback_hears_of_failure_and_may_send() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    cluster.admin().create_topic(NewTopic::new("dead-letters")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let (failures, sender) = (Arc::new(AtomicUsize::new(0)), producer.clone());
    let callback = {
        let failures = failures.clone();
        move |result: Result<RecordMetadata, Error>| {
            assert!(result.unwrap_err().is_timeout());
            failures.fetch_add(1, Ordering::Relaxed);
            // There is room and the topic exists, so this does not wait.
            let mut send = Box::pin(sender.send(ProducerRecord::to("dead-letters").value("v")));
            assert!(futures::FutureExt::now_or_never(send.as_mut()).unwrap().is_ok());
        }
    };
    drop(producer.send_with(ProducerRecord::to("t").value("v"), callback).await.unwrap());
    delete(&cluster, "t").await;
    producer.flush().await.unwrap();
    assert_eq!(failures.load(Ordering::Relaxed), 1);
    producer.flush().await.unwrap();
    read(&cluster, "dead-letters", 0, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_harms_nobody() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let record = || ProducerRecord::to("t").value("v");
    let panicking = producer.send_with(record(), |_| panic!("on purpose")).await.unwrap();
    let after = producer.send(record()).await.unwrap();
    assert_eq!(panicking.await.unwrap().offset(), 0);
    assert_eq!(after.await.unwrap().offset(), 1);
    assert_eq!(send(&producer, "t", "v").await.await.unwrap().offset(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_codec_arrives() {
    let codecs = [
        CompressionType::None,
        #[cfg(feature = "gzip")]
        CompressionType::Gzip,
        #[cfg(feature = "snappy")]
        CompressionType::Snappy,
        #[cfg(feature = "lz4")]
        CompressionType::Lz4,
        #[cfg(feature = "zstd")]
        CompressionType::Zstd,
    ];
    for codec in codecs {
        // A split has to take compressed batches apart, too.
        let cluster = cluster_with(NewTopic::new("t").config("max.message.bytes", "1000")).await;
        let producer = cluster.producer(ProducerConfig::default().compression_type(codec)).unwrap();
        for number in 0..1_000 {
            drop(send(&producer, "t", &number.to_string()).await);
        }
        producer.flush().await.unwrap();
        assert_eq!(read_values(&cluster, "t", 0, 1_000).await, numbers(0..1_000), "{codec}");
    }
}

/// The partitions of Kafka's own murmur2 vectors, modulo 7.
#[tokio::test(start_paused = true)]
async fn invariant_40_keys_go_where_kafkas_partitioner_puts_them() {
    let vectors = [
        ("21", 3),
        ("foobar", 0),
        ("a-little-bit-long-string", 1),
        ("a-little-bit-longer-string", 0),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 3),
        ("abc", 4),
        ("", 2),
    ];
    let cluster = cluster_with(NewTopic::new("t").partitions(7)).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for (key, partition) in vectors {
        let delivery = producer.send(ProducerRecord::to("t").key(key).value("v")).await.unwrap();
        assert_eq!(delivery.topic_partition().partition(), partition, "{key:?}");
        // Whoever names a partition gets it.
        let named = producer.send(ProducerRecord::to("t").key(key).partition(3).value("v")).await.unwrap();
        assert_eq!(named.await.unwrap().partition(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_stick_to_a_partition_for_a_batch() {
    const RECORDS: usize = 20_000;
    let cluster = cluster_with(NewTopic::new("t").partitions(5)).await;
    for keyed in [false, true] {
        let producer = cluster.producer(ProducerConfig::default().partitioner_ignore_keys(keyed)).unwrap();
        let (mut runs, mut last, mut counts) = (0, -1, [0; 5]);
        let value = "v".repeat(100);
        for _ in 0..RECORDS {
            let record = ProducerRecord::to("t").value(&value);
            let record = if keyed { record.key("always the same") } else { record };
            let partition = producer.send(record).await.unwrap().topic_partition().partition();
            counts[partition as usize] += 1;
            runs += usize::from(partition != last);
            last = partition;
        }
        // Some 150 records fill a batch; one time out of five the next partition is the same one.
        assert!((70..160).contains(&runs), "{runs} runs");
        assert!(counts.iter().all(|count| *count > RECORDS / 15), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_takes_turns_whatever_the_key() {
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    // Batches that are full now and then must not skip a turn.
    let config = ProducerConfig::default().partitioner_class(Partitioning::RoundRobin).batch_size(300);
    let producer = cluster.producer(config).unwrap();
    let mut partitions = Vec::new();
    for _ in 0..300 {
        let delivery = producer.send(ProducerRecord::to("t").key("k").value("0123456789")).await.unwrap();
        partitions.push(delivery.topic_partition().partition());
    }
    assert_eq!(partitions, [0, 1, 2].repeat(100));
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_of_ones_own_decides() {
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    let by_length = |record: &ProducerRecord<'_>, partitions: i32| {
        assert_eq!(partitions, 3);
        record.value_bytes().map_or(-1, |value| value.len() as i32)
    };
    let config = ProducerConfig::default().partitioner_class(Partitioning::custom(by_length));
    let producer = cluster.producer(config).unwrap();
    for (value, partition) in [("", 0), ("v", 1), ("vv", 2)] {
        assert_eq!(send(&producer, "t", value).await.await.unwrap().partition(), partition);
    }
    for record in [ProducerRecord::to("t"), ProducerRecord::to("t").value("vvv")] {
        let refused = producer.send(record).await.unwrap_err();
        assert_eq!(refused.error().code(), ErrorCode::InvalidRequest);
        assert!(refused.to_string().contains("there are 3 partitions"), "{refused}");
    }
}

/// A loop that only sends never has to wait, on a thread that others need, too.
#[tokio::test]
async fn a_tight_loop_of_sends_lets_others_run() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    for linger in [Duration::ZERO, Duration::from_millis(5)] {
        let producer = cluster.producer(ProducerConfig::default().linger(linger).batch_size(100)).unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let other = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..10_000 {
            drop(send(&producer, "t", "0123456789").await);
        }
        assert!(turns.load(Ordering::Relaxed) > 10);
        other.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_do_not_go_together_are_refused() {
    let cluster = Cluster::in_memory();
    let config = ProducerConfig::default().acks(Acks::Leader).enable_idempotence(true);
    let error = cluster.producer(config).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig);
    assert!(error.to_string().contains("Must set acks to all"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn many_records_are_sent_as_if_one_by_one() {
    let cluster = cluster_with(NewTopic::new("t").partitions(3)).await;
    cluster.admin().create_topic(NewTopic::new("u")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let values = numbers(0..10_000);
    let records: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| match index % 1_000 {
            999 => ProducerRecord::to("u").header("h", "x").value(value),
            500.. => ProducerRecord::to("t").partition(1).timestamp(index as i64).value(value),
            _ => ProducerRecord::to("t").partition(0).key("k").value(value),
        })
        .collect();
    let deliveries = producer.send_all(&records).await.unwrap();
    assert_eq!((deliveries.len(), deliveries.is_empty()), (10_000, false));
    producer.flush().await.unwrap();
    let mut next = std::collections::HashMap::new();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        let metadata = delivery.await.unwrap();
        let expected = match index % 1_000 {
            999 => ("u", 0),
            500.. => ("t", 1),
            _ => ("t", 0),
        };
        assert_eq!((metadata.topic(), metadata.partition()), expected);
        let offset = next.entry(expected).or_insert(0);
        assert_eq!(metadata.offset(), *offset);
        *offset += 1;
        if expected == ("t", 1) {
            assert_eq!(metadata.timestamp(), index as i64);
        }
    }
    let stored = read(&cluster, "u", 0, 10).await;
    assert_eq!(stored[9].headers, [("h".to_owned(), Some("x".to_owned()))]);
    let expected: Vec<_> = values.iter().enumerate().filter(|(index, _)| index % 1_000 < 500).collect();
    let found = read_values(&cluster, "t", 0, 5_000).await;
    assert!(found.iter().eq(expected.iter().map(|(_, value)| *value)));
    assert!(producer.send_all(&[]).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_records_end_at_the_first_that_cannot_be_sent() {
    let cluster = cluster_with(NewTopic::new("t")).await;
    let producer = cluster.producer(ProducerConfig::default().max_request_size(1_000)).unwrap();
    let large = "x".repeat(1_000);
    let mut records = vec![ProducerRecord::to("t").value("v"); 5];
    records[3] = ProducerRecord::to("t").value(&large);
    let error = producer.send_all(&records).await.unwrap_err();
    assert_eq!((error.sent(), error.error().code()), (3, ErrorCode::MessageTooLarge));
    assert!(error.to_string().starts_with("record 3 was not sent: the message is "), "{error}");
    error.into_deliveries().all().await.unwrap();
    assert_eq!(read_values(&cluster, "t", 0, 3).await, ["v", "v", "v"]);
    producer.close().await.unwrap();
    let error = producer.send_all(&records).await.unwrap_err();
    assert!(error.error().is_closed());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_many_tells_of_the_first_failure_even_in_parts_of_a_batch() {
    let cluster = cluster_with(NewTopic::new("t").config("max.message.bytes", "200")).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    // Both halves of the batch are small enough, but for the record that is too large by itself.
    let large = "x".repeat(190);
    let records: Vec<_> = ["v", "v", "v", &large].map(|value| ProducerRecord::to("t").value(value)).into();
    let error = producer.send_all(&records).await.unwrap().all().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    assert_eq!(read_values(&cluster, "t", 0, 3).await, ["v", "v", "v"]);
    let fine = producer.send_all(&records[..3]).await.unwrap();
    fine.all().await.unwrap();
}
