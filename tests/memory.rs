//! Memory in steady state: what retention frees is recycled, so a steady stream neither grows nor allocates blocks.
//!
//! A binary of its own, because it counts every allocation of the process.

#[path = "../benches/support/counting.rs"]
mod counting;

use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};
use counting::{Counting, large_allocations, live_bytes};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn a_steady_stream_under_retention_neither_grows_nor_allocates_blocks() {
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
