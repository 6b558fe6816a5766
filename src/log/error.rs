//! [`LogError`].

use std::fmt;
use std::io;
use std::ops::Range;

use crate::error::ErrorCode;
use crate::log::{ProducerStateError, Rejection};
use crate::record::RecordError;
use crate::types::{Offset, ProducerId, TopicPartition};

/// Why a log refuses an append or a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogError {
    /// No record is, or is about to be, at this offset.
    OffsetOutOfRange { topic_partition: TopicPartition, offset: Offset, log: Range<Offset> },
    /// Records cannot be deleted that are not replicated yet.
    BeyondHighWatermark { topic_partition: TopicPartition, offset: Offset, high_watermark: Offset },
    /// The batch breaks a rule of the topic or of the format.
    Rejected { topic_partition: TopicPartition, reason: Rejection },
    /// The batch does not follow what its producer wrote before.
    Producer { topic_partition: TopicPartition, producer_id: ProducerId, reason: ProducerStateError },
    /// Whoever keeps account of memory has no room for a batch of so many bytes.
    NoRoom { topic_partition: TopicPartition, bytes: u64 },
    /// A replicated batch lies before the log end.
    OffsetsNotAscending { topic_partition: TopicPartition, base_offset: Offset, log_end: Offset },
    /// A batch in the log cannot be read.
    Unreadable { topic_partition: TopicPartition, base_offset: Offset, reason: RecordError },
    /// The store failed.
    Storage { topic_partition: TopicPartition, kind: io::ErrorKind },
}

impl LogError {
    /// Names the partition whose store failed.
    pub(crate) fn storage(topic_partition: &TopicPartition) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Storage { topic_partition: topic_partition.clone(), kind: error.kind() }
    }

    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } | Self::BeyondHighWatermark { .. } => ErrorCode::OffsetOutOfRange,
            Self::Rejected { reason, .. } => reason.code(),
            Self::Producer { reason, .. } => reason.code(),
            Self::OffsetsNotAscending { .. } => ErrorCode::UnknownServerError,
            Self::Unreadable { .. } => ErrorCode::CorruptMessage,
            Self::NoRoom { .. } | Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetOutOfRange { topic_partition, offset, log } => {
                write!(f, "offset {offset} is out of range for {topic_partition} (log is {}..{})", log.start, log.end)
            }
            Self::BeyondHighWatermark { topic_partition, offset, high_watermark } => write!(
                f,
                "records of {topic_partition} cannot be deleted up to offset {offset}, beyond the high watermark \
                 {high_watermark}"
            ),
            Self::Rejected { topic_partition, reason } => write!(f, "batch for {topic_partition} is refused: {reason}"),
            Self::Producer { topic_partition, producer_id, reason } => {
                write!(f, "batch of producer {producer_id} for {topic_partition} is refused: {reason}")
            }
            Self::NoRoom { topic_partition, bytes } => {
                write!(f, "there is no room for a batch of {bytes} bytes for {topic_partition}")
            }
            Self::OffsetsNotAscending { topic_partition, base_offset, log_end } => write!(
                f,
                "replicated batch at offset {base_offset} lies before the log end {log_end} of {topic_partition}"
            ),
            Self::Unreadable { topic_partition, base_offset, reason } => {
                write!(f, "batch at offset {base_offset} of {topic_partition} cannot be read: {reason}")
            }
            Self::Storage { topic_partition, kind } => write!(f, "storage of {topic_partition} failed: {kind}"),
        }
    }
}

impl std::error::Error for LogError {}
