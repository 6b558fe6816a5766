//! [`ProducerStateError`].

use std::fmt;

use crate::error::ErrorCode;
use crate::types::{Offset, ProducerEpoch};

/// Why a producer's batch does not follow what the partition knows of the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProducerStateError {
    /// A newer incarnation of the producer has written here.
    Fenced { epoch: ProducerEpoch, current: ProducerEpoch },
    /// Sequences are missing before this batch, or it overlaps known ones without repeating a batch.
    OutOfOrder { first: i32, last_known: i32 },
    /// The first batch of a new epoch does not begin at 0.
    NewEpochNotFromZero { first: i32, epoch: ProducerEpoch, current: ProducerEpoch },
    /// The batch was appended before, but its offset is no longer known. Clients take this code as success without an
    /// offset, so it is given only where the log knows that nothing is missing; Apache Kafka's own brokers answer even
    /// then as for a gap.
    Duplicate { first: i32, last: i32, first_known: i32 },
    /// A batch outside the transaction that the producer has open.
    TransactionOpen { first_offset: Offset },
    /// A marker of a transaction coordinator that has been replaced.
    CoordinatorFenced { epoch: i32, current: i32 },
}

impl ProducerStateError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Fenced { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrder { .. } | Self::NewEpochNotFromZero { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::Duplicate { .. } => ErrorCode::DuplicateSequenceNumber,
            Self::TransactionOpen { .. } => ErrorCode::InvalidTxnState,
            Self::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

impl fmt::Display for ProducerStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { epoch, current } => write!(f, "epoch {epoch} is fenced by epoch {current}"),
            Self::OutOfOrder { first, last_known } => {
                write!(f, "sequence {first} does not follow the last known sequence {last_known}")
            }
            Self::NewEpochNotFromZero { first, epoch, current } => {
                write!(f, "epoch {epoch} begins with sequence {first} instead of 0; the last known epoch is {current}")
            }
            Self::Duplicate { first, last, first_known } => write!(
                f,
                "sequences {first} to {last} were appended before, and batches are known only from sequence \
                 {first_known} on"
            ),
            Self::TransactionOpen { first_offset } => {
                write!(f, "batch is not transactional, but a transaction is open since offset {first_offset}")
            }
            Self::CoordinatorFenced { epoch, current } => {
                write!(f, "transaction marker has coordinator epoch {epoch}; the last known is {current}")
            }
        }
    }
}
