//! [`RecordMetadata`]: where a record ended up.

use crate::types::{NO_OFFSET, NO_TIMESTAMP, Offset, TopicPartition};

/// Where a record ended up: topic, partition, offset and timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    topic_partition: TopicPartition,
    offset: Offset,
    timestamp: i64,
}

impl RecordMetadata {
    pub(super) fn new(topic_partition: TopicPartition, offset: Offset, timestamp: i64) -> Self {
        Self { topic_partition, offset, timestamp }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.topic_partition.topic()
    }

    /// The partition's index, from 0.
    pub fn partition(&self) -> i32 {
        self.topic_partition.partition()
    }

    /// Topic and partition in one.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The record's offset; -1 where it is not known: with `acks=0`, and for a repeated batch whose original is so far
    /// back that the leader no longer knows its offset.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Whether the offset is known.
    pub fn has_offset(&self) -> bool {
        self.offset != NO_OFFSET
    }

    /// The record's timestamp, in ms since 1970: the producer's, or the leader's with
    /// `message.timestamp.type=LogAppendTime`.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Whether there is a timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp != NO_TIMESTAMP
    }
}
