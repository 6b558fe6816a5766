//! Memory in steady state: what retention frees is recycled, so a steady stream neither grows nor allocates blocks; and
//! what a slow consumer has read ahead is bounded.
//!
//! A binary of its own, because it counts every allocation of the process.

#[path = "../benches/support/counting.rs"]
mod counting;

use std::time::Duration;

use brokerless::types::TopicPartition;
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
use counting::{Counting, large_allocations, live_bytes};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters are the process's: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn a_steady_stream_under_retention_neither_grows_nor_allocates_blocks() {
    let _alone = ALONE.lock().await;
    counting::start();
    let cluster = Cluster::in_memory();
    let topic = NewTopic::new("t").config("segment.bytes", "1048576").config("retention.bytes", "4194304");
    cluster.admin().create_topic(topic).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let value = [7u8; 1000];
    let stream = async |megabytes: usize| {
        for _ in 0..megabytes * 1000 {
            drop(producer.send(ProducerRecord::to("t").value(&value)).await.unwrap());
        }
        producer.flush().await.unwrap();
    };
    stream(20).await;
    let (live, large) = (live_bytes(), large_allocations());
    stream(200).await;
    let grown = live_bytes().saturating_sub(live);
    let fresh = large_allocations() - large;
    // Where a segment ends moves by a batch or two between the two readings.
    assert!(grown < 256 << 10, "200 MB through a log of 4 MiB grew the heap by {grown} bytes");
    assert_eq!(fresh, 0, "200 MB through a log of 4 MiB allocated {fresh} fresh blocks");
}

#[tokio::test]
async fn invariant_54_what_a_slow_consumer_reads_ahead_is_bounded() {
    const MIB: usize = 1 << 20;
    const PARTITIONS: i32 = 16;
    let _alone = ALONE.lock().await;
    counting::start();
    // Nothing is kept for reuse, so what the log lets go of is either freed or the consumer's.
    let cluster = Cluster::builder().recycled_memory(0).start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").partitions(PARTITIONS)).await.unwrap();
    let config = ConsumerConfig::default()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_bytes(4 * MIB)
        .max_partition_fetch_bytes(MIB)
        .max_poll_records(1);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign((0..PARTITIONS).map(|partition| ("t", partition))).unwrap();
    let before = live_bytes();

    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for index in 0..PARTITIONS * 2_000 {
        let record = ProducerRecord::to("t").partition(index % PARTITIONS).value(&[7u8; 1000]);
        drop(producer.send(record).await.unwrap());
    }
    producer.close().await.unwrap();
    drop(producer);
    assert!(live_bytes() - before > 30 * MIB);
    assert_eq!(consumer.poll(Duration::from_secs(10)).await.unwrap().len(), 1);
    let everything = (0..PARTITIONS).map(|partition| (TopicPartition::new("t", partition), -1));
    assert!(cluster.admin().delete_records(everything).await.into_iter().all(|deleted| deleted.is_ok()));
    // `fetch.max.bytes` in all, give or take a batch; blocks are at most half empty.
    let read_ahead = live_bytes() - before;
    assert!((MIB..6 * MIB).contains(&read_ahead), "a consumer with fetch.max.bytes=4 MiB holds {read_ahead} bytes");
}
