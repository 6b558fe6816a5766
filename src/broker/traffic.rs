//! [`Traffic`]: what came in and went out of a partition.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ErrorCode;

/// Totals of one partition. Written under its lock, so without read-modify-write; read without it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    produce_requests: AtomicU64,
    failed_produce_requests: AtomicU64,
    fetch_requests: AtomicU64,
    failed_fetch_requests: AtomicU64,
}

/// The totals of one or more partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficCounts {
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) produce_requests: u64,
    pub(crate) failed_produce_requests: u64,
    pub(crate) fetch_requests: u64,
    pub(crate) failed_fetch_requests: u64,
}

impl Traffic {
    /// A batch came in; a duplicate of an earlier one brought no messages.
    #[inline]
    pub(super) fn on_append(&self, messages: u64, bytes: u64) {
        add(&self.produce_requests, 1);
        if messages > 0 {
            add(&self.messages_in, messages);
            add(&self.bytes_in, bytes);
        }
    }

    /// A batch was refused. As in Kafka, what may happen to any broker and any client does not count as failed.
    pub(super) fn on_append_failed(&self, code: ErrorCode) {
        add(&self.produce_requests, 1);
        let is_known = matches!(
            code,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
                | ErrorCode::CorruptMessage
                | ErrorCode::KafkaStorageError
        );
        add(&self.failed_produce_requests, u64::from(!is_known));
    }

    #[inline]
    pub(super) fn on_read(&self, bytes: u64) {
        add(&self.fetch_requests, 1);
        add(&self.bytes_out, bytes);
    }

    /// A read was refused. As in Kafka, what may happen to any broker and any client does not count as failed.
    pub(super) fn on_read_failed(&self, code: ErrorCode) {
        add(&self.fetch_requests, 1);
        let is_known = matches!(
            code,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::ReplicaNotAvailable
                | ErrorCode::KafkaStorageError
                | ErrorCode::OffsetOutOfRange
        );
        add(&self.failed_fetch_requests, u64::from(!is_known));
    }

    pub(crate) fn counts(&self) -> TrafficCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficCounts {
            messages_in: get(&self.messages_in),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            produce_requests: get(&self.produce_requests),
            failed_produce_requests: get(&self.failed_produce_requests),
            fetch_requests: get(&self.fetch_requests),
            failed_fetch_requests: get(&self.failed_fetch_requests),
        }
    }
}

/// The caller holds the partition's lock: nobody else writes.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

impl AddAssign for TrafficCounts {
    fn add_assign(&mut self, other: Self) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.produce_requests += other.produce_requests;
        self.failed_produce_requests += other.failed_produce_requests;
        self.fetch_requests += other.fetch_requests;
        self.failed_fetch_requests += other.failed_fetch_requests;
    }
}
