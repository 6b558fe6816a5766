//! [`PublishedOffsets`]: what readers check without a lock.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::partition::Partition;
use crate::types::{IsolationLevel, Offset};

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
        self.log_start.store(partition.log_start(), Ordering::Release);
        self.log_end.store(partition.log_end(), Ordering::Release);
        self.high_watermark.store(partition.high_watermark(), Ordering::Release);
        self.last_stable.store(partition.last_stable(), Ordering::Release);
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
