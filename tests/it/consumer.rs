//! One consumer: reading, seeking, waiting, committing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brokerless::types::{OffsetAndMetadata, TimestampType};
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ErrorCode, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) const POLL: Duration = Duration::from_millis(100);

/// A cluster with topic `t` of so many partitions.
pub(crate) async fn cluster(partitions: i32) -> Cluster {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(partitions)).await.unwrap();
    cluster
}

pub(crate) fn t(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Sends the numbers `values` to one partition, each acknowledged before this returns.
pub(crate) async fn produce(producer: &Producer, partition: TopicPartition, values: std::ops::Range<i64>) {
    for value in values {
        let record = ProducerRecord::to(partition.topic()).partition(partition.partition()).value(value.to_string());
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
}

pub(crate) fn producer(cluster: &Cluster) -> Producer {
    cluster.producer(ProducerConfig::default()).unwrap()
}

fn earliest() -> ConsumerConfig {
    ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)
}

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig::group(name).auto_offset_reset(AutoOffsetReset::Earliest)
}

/// A consumer of these settings that reads the first `partitions` partitions of `t`.
fn reader(cluster: &Cluster, config: ConsumerConfig, partitions: i32) -> Consumer {
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign((0..partitions).map(t)).unwrap();
    consumer
}

/// Polls until `count` records came. The value of each must be its offset. Returns the offsets by partition.
pub(crate) async fn read(consumer: &mut Consumer, count: usize) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut left = count;
    while left > 0 {
        let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert!(!records.is_empty(), "{left} of {count} records did not come");
        for record in &records {
            assert_eq!(record.value().unwrap(), record.offset().to_string().as_bytes());
            offsets.entry(record.partition()).or_default().push(record.offset());
        }
        left = left.checked_sub(records.len()).expect("more records than were sent");
    }
    offsets
}

async fn assert_nothing_comes(consumer: &mut Consumer) {
    assert_eq!(consumer.poll(POLL).await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn invariant_25_polls_neither_skip_nor_repeat() {
    let cluster = cluster(3).await;
    let producer = producer(&cluster);
    for partition in 0..3 {
        produce(&producer, t(partition), 0..1000).await;
    }
    for max_poll_records in [1, 7, 500, 10_000] {
        let mut consumer = reader(&cluster, earliest().max_poll_records(max_poll_records), 3);
        let mut next = [0; 3];
        while next != [1000; 3] {
            let records = consumer.poll(POLL).await.unwrap();
            assert!((1..=max_poll_records).contains(&records.len()));
            for record in &records {
                let next = &mut next[record.partition() as usize];
                assert_eq!(record.offset(), *next);
                *next += 1;
            }
            for (partition, next) in next.iter().enumerate() {
                assert_eq!(consumer.position(t(partition as i32)).await.unwrap(), *next);
            }
        }
        assert_nothing_comes(&mut consumer).await;
    }
}

/// Real threads and real time: the producer appends while the consumer reads, parks and is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_26_everything_acked_is_polled() {
    const COUNT: i64 = 20_000;
    let cluster = cluster(2).await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let producing = tokio::spawn(async move {
        for value in 0..COUNT {
            for partition in 0..2 {
                producer.send(ProducerRecord::to("t").partition(partition).value(value.to_string())).await.unwrap();
            }
            if value % 1000 == 0 {
                producer.flush().await.unwrap();
            }
        }
        producer.flush().await.unwrap();
    });
    let mut consumer = reader(&cluster, earliest(), 2);
    let offsets = read(&mut consumer, 2 * COUNT as usize).await;
    producing.await.unwrap();
    for partition in 0..2 {
        assert_eq!(offsets[&partition], (0..COUNT).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn every_field_of_a_record_arrives() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let full = ProducerRecord::to("t").partition(0).key("k").value("v").timestamp(42).header("h", "1").null_header("h");
    producer.send(full).await.unwrap();
    producer.send(ProducerRecord::to("t").partition(0).tombstone().timestamp(43)).await.unwrap();
    producer.flush().await.unwrap();
    let mut consumer = reader(&cluster, earliest(), 1);
    let records = consumer.poll(POLL).await.unwrap();
    let [first, second] = records.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((first.topic(), first.partition(), first.offset(), first.timestamp()), ("t", 0, 0, 42));
    assert_eq!((first.key(), first.value()), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!((first.serialized_key_size(), first.serialized_value_size()), (Some(1), Some(1)));
    assert_eq!(first.timestamp_type(), TimestampType::CreateTime);
    let headers: Vec<_> = first.headers().map(|header| (header.key(), header.value())).collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", None)]);
    assert_eq!((second.key(), second.value(), second.timestamp(), second.offset()), (None, None, 43, 1));
    assert_eq!(records.records(t(0)).count(), 2);
    assert_eq!(records.records(t(1)).count(), 0);
    assert_eq!(records.partitions().collect::<Vec<_>>(), [&t(0)]);
    let next: Vec<_> = records.next_offsets().map(|(partition, next)| (partition.clone(), next.offset())).collect();
    assert_eq!(next, [(t(0), 2)]);
    let owned: Vec<_> = records.into_iter().collect();
    assert_eq!((owned[0].key(), owned[0].value(), owned[0].offset()), (Some(&b"k"[..]), Some(&b"v"[..]), 0));
    assert_eq!(owned[0].headers().collect::<Vec<_>>(), [("h", Some(&b"1"[..])), ("h", None)]);
}

#[tokio::test(start_paused = true)]
async fn latest_is_the_default_and_sees_only_what_comes_after() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..5).await;
    let mut consumer = reader(&cluster, ConsumerConfig::default(), 1);
    assert_nothing_comes(&mut consumer).await;
    assert_eq!(consumer.position(t(0)).await.unwrap(), 5);
    produce(&producer, t(0), 5..8).await;
    assert_eq!(read(&mut consumer, 3).await[&0], [5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn by_duration_begins_that_long_ago() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    for value in 0..10 {
        produce(&producer, t(0), value..value + 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let reset = AutoOffsetReset::ByDuration(Duration::from_secs(150));
    let mut consumer = reader(&cluster, ConsumerConfig::default().auto_offset_reset(reset), 1);
    assert_eq!(read(&mut consumer, 2).await[&0], [8, 9]);
    let reset = AutoOffsetReset::ByDuration(Duration::from_secs(10));
    let mut consumer = reader(&cluster, ConsumerConfig::default().auto_offset_reset(reset), 1);
    assert_nothing_comes(&mut consumer).await;
    assert_eq!(consumer.position(t(0)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn without_a_reset_policy_poll_names_the_partitions() {
    let cluster = cluster(2).await;
    produce(&producer(&cluster), t(0), 0..5).await;
    let mut consumer = reader(&cluster, ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::None), 2);
    let error = consumer.poll(POLL).await.unwrap_err();
    assert_eq!((error.code(), error.topic_partition()), (ErrorCode::OffsetOutOfRange, Some(&t(0))));
    assert!(error.to_string().contains("no reset policy for partitions: [t-0, t-1]"), "{error}");
    consumer.seek(t(0), 3).unwrap();
    consumer.seek(t(1), 0).unwrap();
    assert_eq!(read(&mut consumer, 2).await[&0], [3, 4]);
    consumer.seek(t(0), 6).unwrap();
    let error = consumer.poll(POLL).await.unwrap_err();
    assert_eq!((error.code(), error.topic_partition()), (ErrorCode::OffsetOutOfRange, Some(&t(0))));
    assert!(error.to_string().contains("t-0: 6"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn invariant_34_a_position_out_of_range_is_reset_and_no_other() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..10).await;
    produce(&producer, t(1), 0..10).await;
    let mut consumer = reader(&cluster, earliest().max_poll_records(1), 2);
    consumer.seek(t(0), 2).unwrap();
    consumer.seek(t(1), 2).unwrap();
    cluster.admin().delete_records([(t(0), 5)]).await.remove(0).unwrap();
    let offsets = read(&mut consumer, 13).await;
    assert_eq!(offsets[&0], (5..10).collect::<Vec<_>>());
    assert_eq!(offsets[&1], (2..10).collect::<Vec<_>>());
    // Beyond the end is out of range as well; the end itself is not.
    consumer.seek(t(0), 11).unwrap();
    consumer.seek(t(1), 10).unwrap();
    assert_eq!(read(&mut consumer, 5).await[&0], (5..10).collect::<Vec<_>>());
    assert_nothing_comes(&mut consumer).await;
}

#[tokio::test(start_paused = true)]
async fn records_deleted_under_a_parked_consumer_are_passed_over() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let mut consumer = reader(&cluster, earliest(), 1);
    assert_nothing_comes(&mut consumer).await;
    consumer.pause([t(0)]).unwrap();
    produce(&producer, t(0), 0..10).await;
    cluster.admin().delete_records([(t(0), -1)]).await.remove(0).unwrap();
    consumer.resume([t(0)]).unwrap();
    assert_nothing_comes(&mut consumer).await;
    assert_eq!(consumer.position(t(0)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn seeking() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    for value in 0..10 {
        let record = ProducerRecord::to("t").partition(0).value(value.to_string()).timestamp(1000 * (value + 1));
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut consumer = reader(&cluster, earliest().max_poll_records(4), 1);
    assert_eq!(read(&mut consumer, 4).await[&0], [0, 1, 2, 3]);
    // What was read ahead is forgotten.
    consumer.seek(t(0), 8).unwrap();
    assert_eq!(read(&mut consumer, 2).await[&0], [8, 9]);
    consumer.seek_to_beginning([t(0)]).unwrap();
    assert_eq!(consumer.position(t(0)).await.unwrap(), 0);
    consumer.seek_to_end(consumer.assignment()).unwrap();
    assert_eq!(consumer.position(t(0)).await.unwrap(), 10);
    consumer.seek_to_timestamp([t(0)], 6500).unwrap();
    assert_eq!(read(&mut consumer, 4).await[&0], [6, 7, 8, 9]);
    consumer.seek_to_timestamp([t(0)], 10_001).unwrap();
    assert_eq!(consumer.position(t(0)).await.unwrap(), 10);
    consumer.seek_with_metadata(t(0), OffsetAndMetadata::new(9).metadata_text("note")).unwrap();
    assert_eq!(read(&mut consumer, 1).await[&0], [9]);

    assert_eq!(consumer.seek(t(0), -1).unwrap_err().code(), ErrorCode::InvalidRequest);
    let error = consumer.seek(t(7), 0).unwrap_err();
    assert!(error.is_illegal_state());
    assert_eq!(error.topic_partition(), Some(&t(7)));
    assert!(consumer.seek_to_end([t(0), t(7)]).unwrap_err().is_illegal_state());
    assert!(consumer.position(t(7)).await.unwrap_err().is_illegal_state());
    assert!(consumer.pause([t(7)]).unwrap_err().is_illegal_state());
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_keeps_what_was_read_ahead() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..10).await;
    produce(&producer, t(1), 0..10).await;
    let mut consumer = reader(&cluster, earliest().max_poll_records(3), 2);
    let first = read(&mut consumer, 3).await;
    let (&reading, offsets) = first.first_key_value().unwrap();
    assert_eq!(offsets, &[0, 1, 2]);
    consumer.pause([t(reading)]).unwrap();
    assert_eq!(consumer.paused().into_iter().collect::<Vec<_>>(), [t(reading)]);
    assert_eq!(read(&mut consumer, 10).await[&(1 - reading)], (0..10).collect::<Vec<_>>());
    assert_nothing_comes(&mut consumer).await;
    assert_eq!(consumer.current_lag(t(reading)).unwrap(), Some(7));
    consumer.resume([t(reading)]).unwrap();
    assert!(consumer.paused().is_empty());
    assert_eq!(read(&mut consumer, 7).await[&reading], (3..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_parked_poll_wakes_for_data_and_ends_at_its_timeout() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    let mut consumer = reader(&cluster, earliest(), 2);
    let started = Instant::now();
    assert!(consumer.poll(Duration::from_secs(7)).await.unwrap().is_empty());
    assert_eq!(started.elapsed().as_secs(), 7);
    assert!(consumer.poll(Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(started.elapsed().as_secs(), 7);
    let (records, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        produce(&producer, t(1), 0..1).await;
    });
    assert_eq!(records.unwrap().len(), 1);
    assert_eq!(started.elapsed().as_secs(), 3607);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_poll_loses_nothing() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    let mut consumer = reader(&cluster, earliest().max_poll_records(1), 1);
    for round in 0..20 {
        let cancelled = tokio::time::timeout(Duration::from_millis(round), consumer.poll(Duration::MAX)).await;
        assert!(cancelled.is_err());
    }
    produce(&producer, t(0), 0..3).await;
    assert_eq!(read(&mut consumer, 3).await[&0], [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn wakeup_ends_the_current_poll_or_the_next() {
    let cluster = cluster(1).await;
    let mut consumer = reader(&cluster, earliest(), 1);
    let waker = consumer.wakeup_handle();
    waker.wakeup();
    waker.wakeup();
    assert!(consumer.poll(POLL).await.unwrap_err().is_wakeup());
    assert_nothing_comes(&mut consumer).await;
    let (polled, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        waker.wakeup();
    });
    let error = polled.unwrap_err();
    assert!(error.is_wakeup() && !error.is_fatal());
    produce(&producer(&cluster), t(0), 0..1).await;
    read(&mut consumer, 1).await;
}

#[tokio::test(start_paused = true)]
async fn fetch_min_bytes_waits_for_bytes_or_fetch_max_wait() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    let config = earliest().fetch_min_bytes(1000).fetch_max_wait(Duration::from_secs(10));
    let mut consumer = reader(&cluster, config, 2);
    produce(&producer, t(0), 0..1).await;
    let started = Instant::now();
    // Too few bytes: they come when the wait is over, however often the consumer polls meanwhile.
    for _ in 0..9 {
        assert!(consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty());
    }
    assert_eq!(consumer.poll(Duration::from_secs(60)).await.unwrap().len(), 1);
    assert_eq!(started.elapsed().as_secs(), 10);
    // Enough bytes, over both partitions: at once.
    let (records, ()) = tokio::join!(consumer.poll(Duration::from_secs(60)), async {
        for partition in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let value = vec![7; 500];
            producer.send(ProducerRecord::to("t").partition(partition).value(value)).await.unwrap();
            producer.flush().await.unwrap();
        }
    });
    assert_eq!(records.unwrap().len(), 2);
    assert_eq!(started.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_large_partition_does_not_starve_the_others() {
    let cluster = cluster(3).await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for value in 0..30 {
        produce(&producer, t(0), value..value + 1).await;
    }
    for partition in 1..3 {
        produce(&producer, t(partition), 0..1).await;
    }
    // One batch at a time of each, and of all together.
    for config in [earliest().max_partition_fetch_bytes(0), earliest().fetch_max_bytes(0)] {
        let mut consumer = reader(&cluster, config.max_poll_records(1), 3);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(read(&mut consumer, 1).await.into_keys());
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        read(&mut consumer, 29).await;
    }
}

#[tokio::test(start_paused = true)]
async fn questions_about_offsets_and_topics() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    for value in 0..10 {
        let record = ProducerRecord::to("t").partition(0).value(value.to_string()).timestamp(1000 * value);
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    cluster.admin().delete_records([(t(0), 2)]).await.remove(0).unwrap();
    let consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    assert_eq!(consumer.beginning_offsets([t(0), t(1)]).await.unwrap(), BTreeMap::from([(t(0), 2), (t(1), 0)]));
    assert_eq!(consumer.end_offsets([t(0), t(1)]).await.unwrap(), BTreeMap::from([(t(0), 10), (t(1), 0)]));
    let found = consumer.offsets_for_times([(t(0), 4500), (t(1), 0)]).await.unwrap();
    let first = found[&t(0)].unwrap();
    assert_eq!((first.offset(), first.timestamp()), (5, 5000));
    assert_eq!(found[&t(1)], None);
    assert_eq!(consumer.offsets_for_times([(t(0), -1)]).await.unwrap_err().code(), ErrorCode::InvalidRequest);
    let unknown = TopicPartition::new("u", 0);
    assert_eq!(consumer.end_offsets([unknown]).await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    let partitions = consumer.partitions_for("t").await.unwrap();
    let names: Vec<_> = partitions.iter().map(|it| it.topic_partition().clone()).collect();
    assert_eq!(names, [t(0), t(1)]);
    assert_eq!(partitions[0].leader(), Some(partitions[0].replicas()[0]));
    assert_eq!(partitions[0].in_sync_replicas(), partitions[0].replicas());
    assert_eq!(consumer.partitions_for("u").await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(consumer.list_topics().await.unwrap().into_keys().collect::<Vec<_>>(), ["t"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_later_is_waited_for() {
    let cluster = Cluster::in_memory();
    let mut consumer = reader(&cluster, earliest(), 1);
    let (records, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
        produce(&producer(&cluster), t(0), 0..1).await;
    });
    assert_eq!(records.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_fit_are_refused() {
    let cluster = cluster(1).await;
    let mut consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    assert!(consumer.poll(POLL).await.unwrap_err().is_illegal_state());
    assert_eq!(consumer.subscribe(["t"]).unwrap_err().code(), ErrorCode::InvalidGroupId);
    assert_eq!(consumer.commit().await.unwrap_err().code(), ErrorCode::InvalidGroupId);
    assert_eq!(consumer.committed([t(0)]).await.unwrap_err().code(), ErrorCode::InvalidGroupId);
    assert_eq!(consumer.group_metadata().unwrap_err().code(), ErrorCode::InvalidGroupId);
    assert!(consumer.enforce_rebalance("").unwrap_err().is_illegal_state());
    let mut consumer = cluster.consumer(group("g")).unwrap();
    assert_eq!(consumer.subscribe([" "]).unwrap_err().code(), ErrorCode::InvalidTopic);
    assert_eq!(consumer.subscribe_pattern("(").unwrap_err().code(), ErrorCode::InvalidRegularExpression);
    consumer.assign([("t", 0)]).unwrap();
    assert!(consumer.subscribe(["t"]).unwrap_err().is_illegal_state());
    consumer.unsubscribe();
    consumer.subscribe(["t"]).unwrap();
    assert!(consumer.assign([("t", 0)]).unwrap_err().is_illegal_state());
    assert!(consumer.subscribe_pattern("t").unwrap_err().is_illegal_state());
    let refused = cluster.consumer(ConsumerConfig::group("g").max_poll_records(0)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidConfig);
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_cluster_ends_a_parked_poll() {
    let cluster = cluster(1).await;
    let mut consumer = reader(&cluster, earliest(), 1);
    let (polled, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.shutdown().await;
    });
    assert!(polled.unwrap_err().is_closed());
    assert!(consumer.poll(Duration::MAX).await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_yields_everything_and_hands_back_what_it_did_not() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..100).await;
    produce(&producer, t(1), 0..100).await;
    let mut consumer = reader(&cluster, group("g").enable_auto_commit(false), 2);
    let mut next = [0, 0];
    for taken in [1, 30, 90, 79] {
        let mut stream = consumer.stream();
        for _ in 0..taken {
            let record = stream.next().await.unwrap().unwrap();
            let next = &mut next[record.partition() as usize];
            assert_eq!(record.offset(), *next);
            *next += 1;
        }
        stream.consumer().commit().await.unwrap();
        drop(stream);
        let committed = consumer.committed([t(0), t(1)]).await.unwrap();
        for partition in 0..2 {
            assert_eq!(consumer.position(t(partition)).await.unwrap(), next[partition as usize]);
            assert_eq!(committed[&t(partition)].offset(), next[partition as usize]);
        }
    }
    assert_eq!(next, [100, 100]);
    let waker = consumer.wakeup_handle();
    let mut stream = consumer.stream();
    let (woken, record, ()) = tokio::join!(
        async {
            let woken = stream.next().await.unwrap().unwrap_err();
            (woken, stream.next().await.unwrap().unwrap())
        },
        async {},
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            waker.wakeup();
            tokio::time::sleep(Duration::from_secs(1)).await;
            produce(&producer, t(1), 100..101).await;
        }
    );
    let ((woken, after), ()) = (woken, record);
    assert!(woken.is_wakeup());
    assert_eq!((after.partition(), after.offset()), (1, 100));
}

#[tokio::test(start_paused = true)]
async fn commits_say_where_the_next_consumer_begins() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..10).await;
    let config = group("g").enable_auto_commit(false);
    let mut consumer = reader(&cluster, config.clone().max_poll_records(4), 1);
    assert!(consumer.committed([t(0)]).await.unwrap().is_empty());
    read(&mut consumer, 4).await;
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed([t(0), t(1)]).await.unwrap()[&t(0)].offset(), 4);
    // invariant 34: what is committed goes before auto.offset.reset.
    let mut other = reader(&cluster, config.clone().auto_offset_reset(AutoOffsetReset::None), 1);
    assert_eq!(read(&mut other, 6).await[&0], (4..10).collect::<Vec<_>>());
    let noted = OffsetAndMetadata::new(7).metadata_text("half of it");
    other.commit_offsets([(t(0), noted.clone()), (t(1), 3.into())]).await.unwrap();
    let committed = consumer.committed([t(0), t(1)]).await.unwrap();
    assert_eq!((committed[&t(0)].offset(), committed[&t(0)].metadata()), (7, "half of it"));
    assert_eq!(committed[&t(1)].offset(), 3);

    let refused = |offsets: Vec<(TopicPartition, OffsetAndMetadata)>| consumer.commit_offsets_async(offsets);
    let mut refused = refused;
    let too_long = OffsetAndMetadata::new(1).metadata_text("x".repeat(4097));
    assert_eq!(refused(vec![(t(0), too_long)]).await.unwrap_err().code(), ErrorCode::OffsetMetadataTooLarge);
    let negative = refused(vec![(t(0), OffsetAndMetadata::new(-1))]).await.unwrap_err();
    assert_eq!(negative.code(), ErrorCode::InvalidRequest);
    let unknown = vec![(t(9), OffsetAndMetadata::new(1))];
    assert_eq!(refused(unknown.clone()).await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(consumer.commit_offsets(unknown).await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 7);
}

#[tokio::test(start_paused = true)]
async fn asynchronous_commits_take_effect_in_order_and_are_not_lost() {
    let cluster = cluster(1).await;
    let mut consumer = reader(&cluster, group("g").enable_auto_commit(false), 1);
    let calls = Arc::new(Mutex::new(Vec::new()));
    for offset in 1..=3 {
        consumer.seek(t(0), offset).unwrap();
        let calls = Arc::clone(&calls);
        consumer.commit_async_with(move |result| calls.lock().push((offset, result.is_ok())));
    }
    drop(consumer.commit_offsets_async([(t(0), 4.into())]));
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 4);
    assert!(calls.lock().is_empty());
    consumer.commit_offsets([(t(0), 5.into())]).await.unwrap();
    assert_eq!(*calls.lock(), [(1, true), (2, true), (3, true)]);
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 5);
    consumer.commit_async().await.unwrap();
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 3);
}

#[tokio::test(start_paused = true)]
async fn invariant_35_auto_commit_says_what_an_earlier_poll_returned() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..10).await;
    let mut consumer = reader(&cluster, group("g").max_poll_records(3), 1);
    let observer = cluster.consumer(group("g")).unwrap();
    let committed = async || observer.committed([t(0)]).await.unwrap().get(&t(0)).map(|it| it.offset());
    assert_eq!(read(&mut consumer, 3).await[&0], [0, 1, 2]);
    assert_eq!(committed().await, None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(committed().await, None, "nothing is committed behind the consumer's back");
    // The interval is over: this poll commits the earlier one's records, not its own.
    assert_eq!(read(&mut consumer, 3).await[&0], [3, 4, 5]);
    assert_eq!(committed().await, Some(3));
    assert_eq!(read(&mut consumer, 3).await[&0], [6, 7, 8]);
    assert_eq!(committed().await, Some(3));
    // A parked poll commits, too, once the interval is over.
    assert_eq!(read(&mut consumer, 1).await[&0], [9]);
    assert_eq!(consumer.poll(Duration::from_secs(6)).await.unwrap().len(), 0);
    assert_eq!(committed().await, Some(10));
    produce(&producer, t(0), 10..12).await;
    read(&mut consumer, 2).await;
    consumer.close().await.unwrap();
    assert_eq!(committed().await, Some(12));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_consumer_does_not_commit() {
    let cluster = cluster(1).await;
    produce(&producer(&cluster), t(0), 0..10).await;
    let mut consumer = reader(&cluster, group("g"), 1);
    read(&mut consumer, 10).await;
    drop(consumer);
    let observer = cluster.consumer(group("g")).unwrap();
    assert!(observer.committed([t(0)]).await.unwrap().is_empty());
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Consumer>();
    check::<ConsumerConfig>();
    check::<brokerless::ConsumerRecords>();
    check::<brokerless::ConsumerRecord<'_>>();
    check::<brokerless::OwnedConsumerRecord>();
    check::<brokerless::ConsumerWaker>();
    check::<brokerless::consumer::CommitHandle>();
    check::<brokerless::consumer::ConsumerStream<'_>>();
}

/// A partition is named by value, by reference or by its parts, alone and among others; text needs no detour.
#[tokio::test(start_paused = true)]
async fn partitions_are_named_in_any_form() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    produce(&producer, t(0), 0..3).await;
    let mut consumer = cluster.consumer(group("g").enable_auto_commit(false)).unwrap();
    consumer.assign([("t", 0), ("t", 1)]).unwrap();
    consumer.assign(consumer.assignment()).unwrap();
    consumer.seek(("t", 0), 1).unwrap();
    consumer.seek(t(0), 2).unwrap();
    consumer.pause(["t"].map(|topic| (topic, 1))).unwrap();
    consumer.resume(vec![t(1)]).unwrap();
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!(records.records(("t", 0)).map(|record| record.value_str().unwrap()).collect::<Vec<_>>(), [Some("2")]);
    assert_eq!(records.iter().map(|record| record.key_str().unwrap()).collect::<Vec<_>>(), [None]);
    consumer.commit_offsets(records.next_offsets()).await.unwrap();
    assert_eq!(consumer.committed([("t", 0)]).await.unwrap()[&t(0)].offset(), 3);
    assert_eq!(consumer.end_offsets(records.partitions()).await.unwrap(), BTreeMap::from([(t(0), 3)]));
    assert_eq!(consumer.offsets_for_times([(&t(1), 0)]).await.unwrap(), BTreeMap::from([(t(1), None)]));
    let owned = records.into_iter().next().unwrap();
    assert_eq!((owned.key_str(), owned.value_str()), (Ok(None), Ok(Some("2"))));
}

/// "For ever" did not fit an instant, and panicked. `poll` took it all along.
#[tokio::test(start_paused = true)]
async fn every_timeout_may_be_for_ever() {
    let cluster = cluster(1).await;
    produce(&producer(&cluster), t(0), 0..3).await;
    let ever = Duration::MAX;
    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest).auto_commit_interval(ever);
    let config = config.default_api_timeout(ever).request_timeout(ever).retry_backoff(ever, ever);
    let mut consumer = cluster.consumer(config.fetch_max_wait(ever).fetch_min_bytes(1 << 20)).unwrap();
    consumer.subscribe(["t"]).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(POLL).await.unwrap();
    }
    assert_eq!(consumer.position(t(0)).await.unwrap(), 0);
    assert_eq!(consumer.end_offsets([t(0)]).await.unwrap()[&t(0)], 3);
    assert!(consumer.poll(POLL).await.unwrap().is_empty());
    consumer.seek(t(0), 2).unwrap();
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 2);
    consumer.close_timeout(ever).await.unwrap();
    let properties = [("retry.backoff.ms", "9223372036854775807"), ("retry.backoff.max.ms", "9223372036854775807")];
    drop(ConsumerConfig::from_properties(properties).unwrap());
}
