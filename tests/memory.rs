//! Memory in steady state: what retention frees is recycled, so a steady stream neither grows nor allocates blocks.
//!
//! A binary of its own, because it counts every allocation of the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGE_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Batch bodies are 16 KiB; nothing else in a steady stream comes near.
const LARGE: usize = 8 << 10;

// SAFETY: every call is passed on to the system's allocator unchanged; only counters are kept beside it.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        if layout.size() >= LARGE {
            LARGE_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's obligations are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are those of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn a_steady_stream_under_retention_neither_grows_nor_allocates_blocks() {
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
    let (live, large) = (LIVE_BYTES.load(Ordering::Relaxed), LARGE_ALLOCATIONS.load(Ordering::Relaxed));
    stream(200).await;
    let grown = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(live);
    let fresh = LARGE_ALLOCATIONS.load(Ordering::Relaxed) - large;
    // Where a segment ends moves by a batch or two between the two readings.
    assert!(grown < 256 << 10, "200 MB through a log of 4 MiB grew the heap by {grown} bytes");
    assert_eq!(fresh, 0, "200 MB through a log of 4 MiB allocated {fresh} fresh blocks");
}
