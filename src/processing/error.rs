//! [`ProcessingError`]: why processing ended by itself.

use std::fmt;

use crate::client::consumer::OwnedConsumerRecord;
use crate::error::Error;

/// Why a [`ParallelConsumer`](crate::processing::ParallelConsumer) ended by itself; `E` is the handler's error.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessingError<E> {
    /// The handler failed on a record, after its retries.
    Handler(Box<FailedRecord<E>>),
    /// The consumer cannot go on, or its last commit was refused.
    Consumer(Error),
}

/// A record that the handler failed on.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedRecord<E> {
    /// The record.
    pub record: OwnedConsumerRecord,
    /// What the handler returned at the last attempt.
    pub error: E,
}

impl<E> From<Error> for ProcessingError<E> {
    fn from(error: Error) -> Self {
        Self::Consumer(error)
    }
}

impl<E> fmt::Display for ProcessingError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(failed) => {
                write!(f, "processing offset {} of {}", failed.record.offset(), failed.record.topic_partition())
            }
            Self::Consumer(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ProcessingError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Handler(failed) => Some(&failed.error),
            Self::Consumer(error) => error.source(),
        }
    }
}
