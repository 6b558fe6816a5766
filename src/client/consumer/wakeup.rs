//! [`ConsumerWaker`], and the signal by which other tasks get a consumer's attention.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::cluster::FetchWaiter;

/// Ends a consumer's current or next poll from any thread: Kafka's `wakeup()`.
///
/// That poll returns an error for which [`Error::is_wakeup`](crate::Error::is_wakeup) holds; nothing is lost, and the
/// poll after it goes on. It does not outlive its use: two calls before the same poll are one.
#[derive(Clone, Debug)]
pub struct ConsumerWaker(pub(super) Arc<Signal>);

impl ConsumerWaker {
    /// Ends the poll that the consumer is in, or else its next one.
    pub fn wakeup(&self) {
        self.0.raise(Signal::WAKEUP);
    }
}

/// What is to be looked at besides data, in one word that a poll reads with a single load, and the parked consumer.
#[derive(Debug, Default)]
pub(super) struct Signal {
    flags: AtomicU8,
    pub(super) waiter: Arc<FetchWaiter>,
}

impl Signal {
    /// The user called `wakeup`.
    pub(super) const WAKEUP: u8 = 1;
    /// The group wants something: a join ended, a rebalance began, the membership was lost.
    pub(super) const GROUP: u8 = 2;

    /// Sets flags and wakes the consumer, if it is parked.
    pub(super) fn raise(&self, flags: u8) {
        // Before the waker is looked for: a consumer that is about to park leaves its waker first and looks then.
        self.flags.fetch_or(flags, Ordering::AcqRel);
        self.waiter.wake();
    }

    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        self.flags.load(Ordering::Acquire) != 0
    }

    /// Clears a flag and tells whether it was set.
    pub(super) fn take(&self, flag: u8) -> bool {
        self.flags.fetch_and(!flag, Ordering::AcqRel) & flag != 0
    }
}
