//! Memory limits: what the logs of a cluster and of a topic may hold, under each policy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brokerless::admin::AlterConfigOp;
use brokerless::{
    AutoOffsetReset, Cluster, ClusterBuilder, ConsumerConfig, Delivery, ErrorCode, MemoryPolicy, NewTopic, Producer,
    ProducerConfig, ProducerRecord, TopicConfig,
};
use futures::FutureExt;

const KIB: usize = 1 << 10;
const LIMIT: usize = 1 << 20;

async fn start(builder: ClusterBuilder, topics: &[(&str, i32)]) -> Cluster {
    let cluster = builder.start().await.unwrap();
    for (topic, partitions) in topics {
        cluster.admin().create_topic(NewTopic::new(*topic).partitions(*partitions)).await.unwrap();
    }
    cluster
}

fn limited(policy: MemoryPolicy) -> ClusterBuilder {
    Cluster::builder().memory_limit(LIMIT as u64).memory_policy(policy)
}

/// A batch a record.
fn producer(cluster: &Cluster) -> Producer {
    let config = ProducerConfig::default().batch_size(1 << 10).linger(Duration::ZERO).buffer_memory(64 << 10);
    cluster.producer(config).unwrap()
}

fn kib(topic: &str, partition: i32) -> ProducerRecord<'_> {
    ProducerRecord::to(topic).partition(partition).value(&[7; KIB])
}

fn gauge(cluster: &Cluster, name: &str) -> usize {
    cluster.metrics().value(name, "brokerless-memory", &[]).unwrap() as usize
}

fn used(cluster: &Cluster) -> usize {
    let used = gauge(cluster, "used-bytes");
    assert!(used <= LIMIT, "{used} of {LIMIT} bytes are used");
    used
}

/// Log start, log end and bytes of a partition.
fn log(cluster: &Cluster, topic: &str, partition: i32) -> (i64, i64, usize) {
    let metrics = cluster.metrics();
    let value = |name| metrics.value(name, "Log", &[("topic", topic), ("partition", &partition.to_string())]).unwrap();
    (value("LogStartOffset") as i64, value("LogEndOffset") as i64, value("Size") as usize)
}

/// Sends until a send would have to wait.
async fn send_until_it_blocks(producer: &Producer, topic: &str) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    // Tokio would have it wait now and then, lest it starves others.
    while let Some(sent) = tokio::task::unconstrained(producer.send(kib(topic, 0))).now_or_never() {
        deliveries.push(sent.unwrap());
        assert!(deliveries.len() < 10 * LIMIT / KIB, "nothing ever blocks");
    }
    deliveries
}

/// Retention stands still, and so does the consumer: senders wait in `send`, memory is bounded, nothing is lost. Room
/// that is made is used at once, without waiting for a backoff.
#[tokio::test(start_paused = true)]
async fn invariant_54_block_holds_producers_back_until_there_is_room() {
    let cluster = start(limited(MemoryPolicy::Block), &[("t", 1)]).await;
    let producer = producer(&cluster);
    let mut deliveries = send_until_it_blocks(&producer, "t").await;
    let full = used(&cluster);
    let (log_start, log_end, size) = log(&cluster, "t", 0);
    assert_eq!((log_start, size), (0, full));
    assert!(LIMIT - full < 2 * KIB, "{full} bytes are used");
    // The rest lies in the producer's buffer, at most buffer.memory.
    let waiting = deliveries.len() as i64 - log_end;
    assert!((50..=64).contains(&waiting), "{waiting} batches wait");
    assert!(deliveries.last_mut().unwrap().now_or_never().is_none());

    let began = tokio::time::Instant::now();
    let blocked = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(kib("t", 0)).await.unwrap().await.unwrap().offset() }
    });
    tokio::task::yield_now().await;
    cluster.admin().delete_records([(("t", 0), 500)]).await.pop().unwrap().unwrap();
    used(&cluster);
    // Segments are freed as a whole, and there are sixteen.
    let (log_start, _, size) = log(&cluster, "t", 0);
    assert_eq!(log_start, 500);
    assert!((LIMIT / 3..LIMIT * 2 / 3).contains(&size), "{size} bytes are left");
    for (offset, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.unwrap().offset(), offset as i64);
    }
    assert_eq!(blocked.await.unwrap(), log_end + waiting);
    assert_eq!(began.elapsed(), Duration::ZERO, "somebody waited for a backoff");
    assert_eq!(log(&cluster, "t", 0).1, log_end + waiting + 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_batch_fails_when_its_delivery_timeout_is_over() {
    let cluster = start(limited(MemoryPolicy::Block), &[("t", 1)]).await;
    let producer = producer(&cluster);
    let deliveries = send_until_it_blocks(&producer, "t").await;
    let log_end = log(&cluster, "t", 0).1;
    let began = tokio::time::Instant::now();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        if (index as i64) < log_end {
            assert_eq!(delivery.await.unwrap().offset(), index as i64);
            continue;
        }
        let error = delivery.await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        // The first of them was tried; those behind it never were.
        if index as i64 == log_end {
            let cause = cause.unwrap();
            assert!(cause.contains("for t-0 does not fit: the cluster holds"), "{cause}");
            assert!(cause.ends_with("[KAFKA_STORAGE_ERROR (56)]"), "{cause}");
        }
    }
    assert_eq!(began.elapsed(), Duration::from_secs(120));
    assert_eq!(used(&cluster), log(&cluster, "t", 0).2);
}

/// Another topic's deletion makes room, and so does an end of the limit's topic.
#[tokio::test(start_paused = true)]
async fn deleting_a_topic_lets_others_go_on() {
    let cluster = start(limited(MemoryPolicy::Block), &[("old", 3), ("new", 1)]).await;
    let producer = producer(&cluster);
    let old = send_until_it_blocks(&producer, "old").await;
    let other = self::producer(&cluster);
    let delivery = other.send(kib("new", 0)).await.unwrap();
    assert_eq!(log(&cluster, "new", 0).1, 0);
    let began = tokio::time::Instant::now();
    cluster.admin().delete_topic("old").await.unwrap();
    assert_eq!(delivery.await.unwrap().offset(), 0);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(used(&cluster), log(&cluster, "new", 0).2);
    drop(old);
}

#[tokio::test(start_paused = true)]
async fn invariant_54_refuse_fails_a_delivery_at_once() {
    let cluster = start(limited(MemoryPolicy::Refuse), &[("t", 1)]).await;
    let producer = producer(&cluster);
    let began = tokio::time::Instant::now();
    let mut stored = 0;
    let error = loop {
        match producer.send(kib("t", 0)).await.unwrap().await {
            Ok(metadata) => {
                assert_eq!(metadata.offset(), stored);
                stored += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.is_retriable()), (ErrorCode::PolicyViolation, false));
    let size = used(&cluster);
    let batch = size / stored as usize;
    assert_eq!(size, batch * stored as usize);
    assert_eq!(
        error.to_string(),
        format!(
            "a batch of {batch} bytes for t-0 does not fit: the cluster holds {size} of 1048576 bytes [POLICY_VIOLATION (44)]"
        )
    );
    assert_eq!(gauge(&cluster, "refused-batches-total"), 1);
    let traffic = |name| cluster.metrics().value(name, "BrokerTopicMetrics", &[("topic", "t")]).unwrap();
    assert_eq!(traffic("TotalProduceRequestsTotal"), stored as f64 + 1.0);
    assert_eq!(traffic("FailedProduceRequestsTotal"), 1.0);
    // What is in the way is smaller than the limit, so it goes on once that is gone. Nothing was given an offset.
    cluster.admin().delete_records([(("t", 0), -1)]).await.pop().unwrap().unwrap();
    assert_eq!(producer.send(kib("t", 0)).await.unwrap().await.unwrap().offset(), stored);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// The consumer is slow, so what it has not read goes: it is told by the log's start, as with Kafka's retention.
#[tokio::test(start_paused = true)]
async fn invariant_54_retain_lets_the_oldest_segments_go() {
    let cluster = start(limited(MemoryPolicy::Retain), &[("t", 1)]).await;
    let producer = producer(&cluster);
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut slow = cluster.consumer(config).unwrap();
    slow.assign([("t", 0)]).unwrap();
    let records = 5 * LIMIT / KIB;
    for offset in 0..records {
        let metadata = producer.send(kib("t", 0)).await.unwrap().await.unwrap();
        assert_eq!(metadata.offset(), offset as i64);
        let size = used(&cluster);
        assert_eq!(size, log(&cluster, "t", 0).2);
        // What goes is a few hundredths of the limit at a time.
        assert!(offset < LIMIT / KIB || size > LIMIT - LIMIT / 16, "{size} bytes are left at offset {offset}");
    }
    let (log_start, log_end, size) = log(&cluster, "t", 0);
    assert_eq!(log_end, records as i64);
    let batch = size / (log_end - log_start) as usize;
    assert_eq!(gauge(&cluster, "evicted-bytes-total"), batch * log_start as usize);
    assert_eq!(gauge(&cluster, "refused-batches-total"), 0);
    let mut offsets = Vec::new();
    while offsets.last() != Some(&(log_end - 1)) {
        offsets.extend(slow.poll(Duration::from_secs(1)).await.unwrap().iter().map(|record| record.offset()));
    }
    assert_eq!(offsets, (log_start..log_end).collect::<Vec<_>>());
}

/// Of several partitions the ones that were appended to longest ago lose their segments, wherever room is needed.
#[tokio::test(start_paused = true)]
async fn retain_looks_at_all_partitions_and_spares_what_may_not_be_deleted() {
    let builder = limited(MemoryPolicy::Retain).broker_property("offsets.topic.num.partitions", "1");
    let cluster = start(builder, &[("first", 1), ("second", 2)]).await;
    let producer = producer(&cluster);
    let fill = async |topic: &'static str, partition: i32, kilobytes: usize| {
        for _ in 0..kilobytes {
            producer.send(kib(topic, partition)).await.unwrap().await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    };
    fill("second", 1, 300).await;
    fill("first", 0, 300).await;
    fill("second", 0, 300).await;
    assert_eq!(gauge(&cluster, "evicted-bytes-total"), 0);
    fill("second", 0, 200).await;
    let starts = || [("second", 1), ("first", 0), ("second", 0)].map(|(topic, index)| log(&cluster, topic, index).0);
    let [oldest, ..] = starts();
    assert!((100..300).contains(&oldest), "{:?}", starts());
    assert_eq!(starts()[1..], [0, 0]);
    fill("second", 0, 300).await;
    let [oldest, next, newest] = starts();
    assert_eq!((oldest, newest), (300, 0));
    assert!((100..300).contains(&next), "{:?}", starts());
    used(&cluster);
}

/// A consumer that still can commit can catch up; so the offsets topic does not count, and does not stop.
#[tokio::test(start_paused = true)]
async fn a_full_cluster_takes_commits() {
    let builder = limited(MemoryPolicy::Block).broker_property("offsets.topic.num.partitions", "1");
    let cluster = start(builder, &[("t", 1)]).await;
    let producer = producer(&cluster);
    let deliveries = send_until_it_blocks(&producer, "t").await;
    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    while consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty() {}
    consumer.commit().await.unwrap();
    assert_eq!(cluster.metrics().value("NumOffsets", "GroupMetadataManager", &[]), Some(1.0));
    assert!(log(&cluster, "__consumer_offsets", 0).2 > 0);
    drop(deliveries);
}

#[tokio::test(start_paused = true)]
async fn topics_have_limits_of_their_own() {
    let builder = Cluster::builder().topic_memory_limit(100 << 10).memory_policy(MemoryPolicy::Refuse);
    let cluster = start(builder, &[("small", 2)]).await;
    let more = TopicConfig::new().memory_limit(300 << 10);
    cluster.admin().create_topic(NewTopic::new("large").configs(more)).await.unwrap();
    let unlimited = NewTopic::new("unlimited").config("brokerless.memory.max.bytes", "-1");
    cluster.admin().create_topic(unlimited).await.unwrap();
    let producer = producer(&cluster);
    let fill = async |topic: &'static str, partition: i32| {
        for count in 0..500 {
            match producer.send(kib(topic, partition)).await.unwrap().await {
                Ok(_) => {}
                Err(error) => return (count, error.code()),
            }
        }
        (500, ErrorCode::None)
    };
    let of_topic = |name: &str, topic: &str| {
        cluster.metrics().value(name, "brokerless-memory", &[("topic", topic)]).map(|value| value as usize)
    };
    let (stored, code) = fill("small", 0).await;
    assert_eq!((stored, code), (93, ErrorCode::PolicyViolation));
    // Its other partition shares the limit.
    assert_eq!(fill("small", 1).await, (0, ErrorCode::PolicyViolation));
    assert_eq!(fill("large", 0).await, (280, ErrorCode::PolicyViolation));
    assert_eq!(fill("unlimited", 0).await, (500, ErrorCode::None));
    assert_eq!(of_topic("topic-used-bytes", "small"), Some(log(&cluster, "small", 0).2));
    assert_eq!(of_topic("topic-limit-bytes", "large"), Some(300 << 10));
    assert_eq!(of_topic("topic-used-bytes", "unlimited"), None);
    cluster.admin().delete_records([(("small", 0), -1)]).await.pop().unwrap().unwrap();
    assert_eq!(fill("small", 1).await, (93, ErrorCode::PolicyViolation));
    let error =
        cluster.admin().create_topic(NewTopic::new("x").config("brokerless.memory.max.bytes", "-2")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig);
}

/// A limit that is set while records are there counts them; a higher one lets those who wait go on at once.
#[tokio::test(start_paused = true)]
async fn a_topics_limit_may_change_while_it_is_used() {
    let cluster = start(Cluster::builder(), &[("t", 2)]).await;
    let producer = producer(&cluster);
    for partition in [0, 1] {
        for _ in 0..50 {
            producer.send(kib("t", partition)).await.unwrap().await.unwrap();
        }
    }
    let set_limit = async |bytes: u64| {
        let op = AlterConfigOp::set("brokerless.memory.max.bytes", bytes.to_string());
        cluster.admin().alter_topic_config("t", [op]).await.unwrap();
    };
    let of_topic = |name| cluster.metrics().value(name, "brokerless-memory", &[("topic", "t")]).unwrap() as usize;
    set_limit(50 << 10).await;
    let there = log(&cluster, "t", 0).2 + log(&cluster, "t", 1).2;
    assert_eq!((of_topic("topic-used-bytes"), of_topic("topic-limit-bytes")), (there, 50 << 10));
    let began = tokio::time::Instant::now();
    let blocked = producer.send(kib("t", 1)).await.unwrap();
    assert_eq!(log(&cluster, "t", 1).1, 50);
    set_limit(there as u64 + (2 << 10)).await;
    assert_eq!(blocked.await.unwrap().offset(), 50);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(of_topic("topic-used-bytes"), log(&cluster, "t", 0).2 + log(&cluster, "t", 1).2);
}

/// A batch that no eviction can make room for is refused for good, whatever the policy.
#[tokio::test(start_paused = true)]
async fn a_batch_beyond_the_limit_is_a_violation() {
    for policy in [MemoryPolicy::Block, MemoryPolicy::Refuse, MemoryPolicy::Retain] {
        let cluster = start(Cluster::builder().memory_limit(500).memory_policy(policy), &[("t", 1)]).await;
        let error = producer(&cluster).send(kib("t", 0)).await.unwrap().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PolicyViolation, "{policy:?}");
    }
}

/// Many producers at once, on threads: the limit is never passed, under no policy, and what is accounted for is what is
/// there in the end.
#[test]
fn invariant_54_the_limit_holds_under_concurrent_producers() {
    for policy in [MemoryPolicy::Refuse, MemoryPolicy::Retain] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        runtime.block_on(async {
            let cluster = start(limited(policy), &[("a", 3), ("b", 1)]).await;
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        used(&cluster);
                    }
                });
                let producers: Vec<_> = (0..4)
                    .map(|index| {
                        let (cluster, runtime) = (&cluster, runtime.handle());
                        scope.spawn(move || {
                            runtime.block_on(async {
                                let producer = producer(cluster);
                                let mut stored = 0;
                                for _ in 0..2_000 {
                                    let topic = if index == 3 { "b" } else { "a" };
                                    let record = kib(topic, index % 3);
                                    stored += i32::from(producer.send(record).await.unwrap().await.is_ok());
                                }
                                stored
                            })
                        })
                    })
                    .collect();
                let stored: i32 = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
                done.store(true, Ordering::Relaxed);
                let logs = [("a", 0), ("a", 1), ("a", 2), ("b", 0)].map(|(topic, index)| log(&cluster, topic, index));
                assert_eq!(stored, logs.iter().map(|(_, log_end, _)| *log_end as i32).sum::<i32>());
                assert_eq!(used(&cluster), logs.iter().map(|(_, _, size)| size).sum::<usize>());
                if policy == MemoryPolicy::Retain {
                    assert_eq!(stored, 8_000, "room was made for everybody");
                }
            });
        });
    }
}

/// A compacted topic with Kafka's default `segment.bytes`, of a few keys.
fn compacted(partitions: i32) -> NewTopic {
    NewTopic::new("table").partitions(partitions).config("cleanup.policy", "compact")
}

fn put(partition: i32, key: &str) -> ProducerRecord<'_> {
    ProducerRecord::to("table").partition(partition).key(key).value(&[7; KIB])
}

/// Symptom: every producer timed out once overwritten records had filled the limit, and so for ever. Cause: all of them
/// lay in the active segment, which is never compacted, and which only an append could roll. Fix: segments are sized by
/// the limit under each policy.
#[tokio::test(start_paused = true)]
async fn invariant_54_a_log_full_of_what_is_overwritten_is_compacted() {
    let cluster = start(limited(MemoryPolicy::Block), &[]).await;
    cluster.admin().create_topic(compacted(1)).await.unwrap();
    let producer = producer(&cluster);
    for index in 0..5 * LIMIT / KIB {
        let key = (index % 10).to_string();
        assert_eq!(producer.send(put(0, &key)).await.unwrap().await.unwrap().offset(), index as i64);
        used(&cluster);
    }
}

/// As above, where no partition alone has enough for a segment: then the cleaner rolls.
#[tokio::test(start_paused = true)]
async fn a_full_cluster_rolls_what_is_to_be_compacted() {
    let cluster = start(limited(MemoryPolicy::Block), &[]).await;
    cluster.admin().create_topic(compacted(40)).await.unwrap();
    let producer = producer(&cluster);
    for index in 0..3 * LIMIT / KIB {
        producer.send(put(index as i32 % 40, "k")).await.unwrap().await.unwrap();
        used(&cluster);
    }
}

/// Symptom: with 60 % of the limit clean and the rest overwritten, producers timed out. Cause: the log was not dirty
/// enough for `min.cleanable.dirty.ratio`, and could not become dirtier. Fix: where batches are refused, any dirt is.
#[tokio::test(start_paused = true)]
async fn a_full_log_is_compacted_however_clean_it_is() {
    let cluster = start(limited(MemoryPolicy::Block), &[]).await;
    cluster.admin().create_topic(compacted(1)).await.unwrap();
    let producer = producer(&cluster);
    for index in 0..600 {
        producer.send(put(0, &index.to_string())).await.unwrap().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let began = tokio::time::Instant::now();
    for index in 0..1_000 {
        producer.send(put(0, &(index % 300).to_string())).await.unwrap().await.unwrap();
        used(&cluster);
    }
    // Some four times, and each as soon as `log.cleaner.backoff.ms` is over.
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
}

/// What retention keeps is less than the limit, so nothing is ever refused for long. Its segments were never rolled.
#[tokio::test(start_paused = true)]
async fn invariant_54_retention_by_size_makes_room() {
    for policy in [MemoryPolicy::Block, MemoryPolicy::Refuse] {
        // The second is so small that a segment of the usual least size would be most of it.
        for limit in [LIMIT, 100 * KIB] {
            let builder = Cluster::builder().memory_limit(limit as u64).memory_policy(policy);
            let cluster = start(builder, &[]).await;
            let topic = NewTopic::new("t").config("retention.bytes", (limit / 2).to_string());
            cluster.admin().create_topic(topic).await.unwrap();
            let producer = producer(&cluster);
            let began = tokio::time::Instant::now();
            for offset in 0..5 * limit / KIB {
                let metadata = producer.send(kib("t", 0)).await.unwrap().await.unwrap();
                assert_eq!(metadata.offset(), offset as i64, "{policy:?}");
                let used = gauge(&cluster, "used-bytes");
                assert!(used <= limit);
                assert!(offset < limit / KIB || used >= limit / 2, "{used} bytes are left at offset {offset}");
            }
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
    }
}

/// A batch that is refused does not wait for `log.retention.check.interval.ms`, which is longer than its delivery timeout.
#[tokio::test(start_paused = true)]
async fn retention_by_time_makes_room_as_soon_as_it_can() {
    let cluster = start(limited(MemoryPolicy::Block), &[]).await;
    for topic in ["t", "u"] {
        cluster.admin().create_topic(NewTopic::new(topic).config("retention.ms", "20000")).await.unwrap();
    }
    let producer = producer(&cluster);
    let deliveries = send_until_it_blocks(&producer, "t").await;
    let began = tokio::time::Instant::now();
    let other = self::producer(&cluster);
    other.send(kib("u", 0)).await.unwrap().await.unwrap();
    assert!((20..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    used(&cluster);
}

/// Symptom: a limit of 1 MiB held 10 MiB. Cause: room was taken for a batch as it was sent, and the topic's codec made it
/// larger. Fix: room is taken for what is stored. And so a batch is not refused that fits once the topic's codec is used.
#[cfg(feature = "gzip")]
#[tokio::test(start_paused = true)]
async fn invariant_54_what_counts_is_what_the_topics_codec_makes_of_a_batch() {
    use brokerless::types::CompressionType;
    let cluster = start(limited(MemoryPolicy::Refuse), &[]).await;
    let plain = NewTopic::new("plain").config("compression.type", "uncompressed");
    cluster.admin().create_topic(plain).await.unwrap();
    let packed = NewTopic::new("packed").config("compression.type", "gzip");
    let packed = packed.config("brokerless.memory.max.bytes", "50000");
    cluster.admin().create_topic(packed).await.unwrap();
    let config = ProducerConfig::default().linger(Duration::ZERO);
    let gzip = cluster.producer(config.clone().compression_type(CompressionType::Gzip)).unwrap();
    let value = vec![7; 100 * KIB];
    for _ in 0..10 {
        gzip.send(ProducerRecord::to("plain").value(&value)).await.unwrap().await.unwrap();
        used(&cluster);
    }
    let error = gzip.send(ProducerRecord::to("plain").value(&value)).await.unwrap().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PolicyViolation);
    assert!(used(&cluster) > 10 * value.len());

    cluster.admin().delete_topic("plain").await.unwrap();
    let none = cluster.producer(config).unwrap();
    for _ in 0..10 {
        none.send(ProducerRecord::to("packed").value(&value)).await.unwrap().await.unwrap();
    }
    assert_eq!(used(&cluster), log(&cluster, "packed", 0).2);
    assert!(used(&cluster) < 10_000);
}

/// Metrics count what is refused for memory as Kafka counts it: an attempt, but no failure of the broker's where the
/// error is `KAFKA_STORAGE_ERROR`.
#[tokio::test(start_paused = true)]
async fn blocked_attempts_are_produce_requests_that_did_not_fail() {
    let cluster = start(limited(MemoryPolicy::Block), &[("t", 1)]).await;
    let deliveries = send_until_it_blocks(&producer(&cluster), "t").await;
    let stored = log(&cluster, "t", 0).1;
    let traffic = |name| cluster.metrics().value(name, "BrokerTopicMetrics", &[]).unwrap() as i64;
    assert_eq!(traffic("TotalProduceRequestsTotal"), stored + gauge(&cluster, "refused-batches-total") as i64);
    assert!(traffic("TotalProduceRequestsTotal") > stored);
    assert_eq!(traffic("FailedProduceRequestsTotal"), 0);
    drop(deliveries);
}
