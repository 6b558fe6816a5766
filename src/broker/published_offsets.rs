//! [`PublishedOffsets`]: what readers check without a lock.

use crate::partition::Partition;
use crate::types::{IsolationLevel, Offset};
use crate::util::sync::atomic::{AtomicI64, Ordering};

/// The offsets of one replica, published under its lock and read without it.
///
/// Each is a valid value of a recent moment; together they are not a snapshot. Within one replica none goes backward
/// except by truncation.
#[derive(Debug, Default)]
pub(crate) struct PublishedOffsets {
    log_start: AtomicI64,
    last_stable: AtomicI64,
    high_watermark: AtomicI64,
    log_end: AtomicI64,
}

impl PublishedOffsets {
    pub(crate) fn new(partition: &Partition) -> Self {
        let published = Self::default();
        published.publish(partition);
        published
    }

    /// Stores what changed. The caller holds the replica's lock, so there is one writer at a time.
    #[inline]
    pub(crate) fn publish(&self, partition: &Partition) {
        self.store(partition.log_start(), partition.last_stable(), partition.high_watermark(), partition.log_end());
    }

    /// The log end first: whoever sees a high watermark sees at least the log end that it was published with.
    #[inline]
    pub(crate) fn store(&self, log_start: Offset, last_stable: Offset, high_watermark: Offset, log_end: Offset) {
        self.log_start.store(log_start, Ordering::Release);
        self.log_end.store(log_end, Ordering::Release);
        self.high_watermark.store(high_watermark, Ordering::Release);
        self.last_stable.store(last_stable, Ordering::Release);
    }

    pub(crate) fn log_start(&self) -> Offset {
        self.log_start.load(Ordering::Acquire)
    }

    pub(crate) fn last_stable(&self) -> Offset {
        self.last_stable.load(Ordering::Acquire)
    }

    pub(crate) fn log_end(&self) -> Offset {
        self.log_end.load(Ordering::Acquire)
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// The first offset that a consumer of this isolation level does not see yet.
    #[inline]
    pub(crate) fn visible_end(&self, isolation: IsolationLevel) -> Offset {
        match isolation {
            IsolationLevel::ReadUncommitted => self.high_watermark(),
            IsolationLevel::ReadCommitted => self.last_stable(),
        }
    }
}

#[cfg(all(test, brokerless_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    /// Each offset only grows, and none is read before what it was published with: log end before high watermark before
    /// last stable. Against a log start that was read first there is no promise: it may be the newer one.
    #[test]
    fn loom_offsets_are_monotone_and_ordered_as_they_are_read() {
        loom::model(|| {
            let offsets = Arc::new(PublishedOffsets::default());
            let writer = thread::spawn({
                let offsets = Arc::clone(&offsets);
                move || {
                    offsets.store(0, 1, 2, 3);
                    offsets.store(1, 3, 4, 5);
                }
            });
            let mut before = (0, 0, 0, 0);
            for _ in 0..2 {
                let last_stable = offsets.last_stable();
                let high_watermark = offsets.high_watermark();
                let log_end = offsets.log_end();
                let log_start = offsets.log_start();
                assert!(last_stable <= high_watermark, "{last_stable} {high_watermark}");
                assert!(high_watermark <= log_end, "{high_watermark} {log_end}");
                let now = (last_stable, high_watermark, log_end, log_start);
                assert!(before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2 && before.3 <= now.3);
                before = now;
            }
            writer.join().unwrap();
            assert_eq!(
                (offsets.last_stable(), offsets.high_watermark(), offsets.log_end(), offsets.log_start()),
                (3, 4, 5, 1)
            );
        });
    }
}
