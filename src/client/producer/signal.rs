//! [`Signal`]: somebody wants every open batch sent.

use crate::util::sync::atomic::{AtomicUsize, Ordering, fence};

/// Raised by those who are about to look through the slots for open batches, and seen by those who open batches: that the
/// producer is closed, or that senders wait for memory.
///
/// Who raises it does *raise, look at the slots*; who opens a batch does *open, look at the signal*. Each puts a
/// sequentially consistent fence between its two steps, so one of them sees the other, and no batch stays behind.
#[derive(Debug, Default)]
pub(super) struct Signal {
    raised: AtomicUsize,
}

impl Signal {
    /// Raises it once more, before looking through the slots. Returns how often it was raised already.
    pub(super) fn raise(&self) -> usize {
        let before = self.raised.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        before
    }

    /// Takes back one `raise`.
    pub(super) fn lower(&self) {
        self.raised.fetch_sub(1, Ordering::Relaxed);
    }

    /// How often it is raised. Under the lock of a slot that was looked through since: exactly as it was then, or newer.
    #[inline]
    pub(super) fn raised(&self) -> usize {
        self.raised.load(Ordering::Relaxed)
    }

    /// Orders the batch that was just opened before what is then read of any signal.
    pub(super) fn fence_behind_opening() {
        fence(Ordering::SeqCst);
    }
}
