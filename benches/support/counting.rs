//! A global allocator that counts, for benches and for tests in binaries of their own.

#![allow(dead_code, reason = "each user asks for its part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The system's allocator. It counts from [`start`] on; until then that costs a load and a branch a call.
pub(crate) struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
/// Not 0: what was allocated before the start may be freed after it.
pub(crate) const BASE: usize = 1 << 40;
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(BASE);
static LARGE_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Bodies of batches are 16 KiB; nothing else in a steady stream comes near.
const LARGE: usize = 8 << 10;

// SAFETY: every call is passed on to the system's allocator unchanged; only counters are kept beside it.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Ordering::Relaxed) {
            LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
            if layout.size() >= LARGE {
                LARGE_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            }
        }
        // SAFETY: the caller's obligations are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if COUNTING.load(Ordering::Relaxed) {
            LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's obligations are those of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

pub(crate) fn start() {
    COUNTING.store(true, Ordering::Relaxed);
}

pub(crate) fn stop() {
    COUNTING.store(false, Ordering::Relaxed);
}

/// [`BASE`] and the bytes that have come to the heap since the start.
pub(crate) fn live_bytes() -> usize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

/// How many allocations there were of 8 KiB or more.
pub(crate) fn large_allocations() -> usize {
    LARGE_ALLOCATIONS.load(Ordering::Relaxed)
}
