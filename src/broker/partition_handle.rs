//! [`PartitionHandle`]: one partition's replica on one broker, locked and shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Waker;

use crate::error::Error;
use crate::record::RecordBatch;
use crate::types::{Acks, IsolationLevel, LeaderEpoch, Offset, TopicId, TopicPartition};

/// The offsets that readers check without a lock.
#[derive(Debug, Default)]
pub(crate) struct PublishedOffsets {
    log_start: AtomicI64,
    last_stable: AtomicI64,
    high_watermark: AtomicI64,
    log_end: AtomicI64,
}

impl PublishedOffsets {
    pub(crate) fn log_start(&self) -> Offset {
        self.log_start.load(Ordering::Acquire)
    }
    pub(crate) fn last_stable(&self) -> Offset {
        self.last_stable.load(Ordering::Acquire)
    }
    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }
    pub(crate) fn log_end(&self) -> Offset {
        self.log_end.load(Ordering::Acquire)
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

/// What an append brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendInfo {
    /// Offset of the batch's first record. For a duplicate of an idempotent producer, the original's.
    pub(crate) base_offset: Offset,
    /// `Some` with `message.timestamp.type=LogAppendTime`: every record's timestamp.
    pub(crate) log_append_time: Option<i64>,
    /// Whether the requested acks are already reached; if not, wait for the high watermark to pass the batch.
    pub(crate) acked: bool,
    /// The offset that the high watermark must reach for `acks=all`.
    pub(crate) required_offset: Offset,
}

/// A parked reader. One per consumer, registered with every partition that it waits for.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiter {
    waker: parking_lot::Mutex<Option<Waker>>,
}

impl FetchWaiter {
    /// Remembers whom to wake; registering again replaces the earlier waker.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Takes the waker, if the reader is parked.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().take()
    }

    /// Wakes the reader, if it is parked.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }
}

/// One partition's replica on one broker: what both doors call.
#[derive(Debug)]
pub(crate) struct PartitionHandle {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    offsets: PublishedOffsets,
}

impl PartitionHandle {
    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }
    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }
    #[inline]
    pub(crate) fn offsets(&self) -> &PublishedOffsets {
        &self.offsets
    }

    /// Appends one batch as leader. Errors carry Kafka's code and the partition.
    pub(crate) fn append(&self, batch: RecordBatch, acks: Acks) -> Result<AppendInfo, Error> {
        let _ = (batch, acks);
        todo!()
    }

    /// Waits until the high watermark reaches `required_offset` (see [`AppendInfo`]).
    /// `NOT_LEADER_OR_FOLLOWER` or `UNKNOWN_TOPIC_OR_PARTITION` if the replica stops leading meanwhile.
    pub(crate) async fn wait_for_high_watermark(&self, required_offset: Offset) -> Result<(), Error> {
        let _ = required_offset;
        todo!()
    }

    /// Pushes whole batches from the one that holds `position` on, up to the visible end, onto `batches`, until
    /// `max_bytes` are reached; at least one batch if there is any (KIP-74). Returns the bytes pushed.
    /// `OFFSET_OUT_OF_RANGE` outside log start and log end.
    pub(crate) fn read(
        &self,
        position: Offset,
        max_bytes: usize,
        isolation: IsolationLevel,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<usize, Error> {
        let _ = (position, max_bytes, isolation, batches);
        todo!()
    }

    /// Registers a parked reader: it is woken once by the next change that readers care about (data visible, log start
    /// moved, replica gone), and must register again after that. Check, register, check again.
    pub(crate) fn register(&self, waiter: &Arc<FetchWaiter>) {
        let _ = waiter;
        todo!()
    }

    /// Removes a waiter that gives up waiting.
    pub(crate) fn unregister(&self, waiter: &Arc<FetchWaiter>) {
        let _ = waiter;
        todo!()
    }

    /// First offset whose record has a timestamp of at least `timestamp`, with that timestamp and its leader epoch;
    /// only visible records count.
    pub(crate) fn offset_for_timestamp(
        &self,
        timestamp: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<(Offset, i64, LeaderEpoch)>, Error> {
        let _ = (timestamp, isolation);
        todo!()
    }

    /// The record with the largest timestamp (the first of equals): ListOffsets -3.
    pub(crate) fn max_timestamp(&self, isolation: IsolationLevel) -> Result<Option<(Offset, i64, LeaderEpoch)>, Error> {
        let _ = isolation;
        todo!()
    }

    /// Raises the log start to `before_offset` (-1: the high watermark) and returns the new log start.
    pub(crate) fn delete_records(&self, before_offset: Offset) -> Result<Offset, Error> {
        let _ = before_offset;
        todo!()
    }

    /// The epoch of the current leader.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        todo!()
    }

    /// Bytes of all segments.
    pub(crate) fn size_in_bytes(&self) -> u64 {
        todo!()
    }
}
