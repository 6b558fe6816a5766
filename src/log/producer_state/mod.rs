//! [`ProducerStateManager`]: what a partition knows of each idempotent or transactional producer.
//!
//! Per producer id: the epoch, the last five batches and the open transaction. That is what tells a retry from a new
//! batch, finds gaps, fences old incarnations, and bounds the last stable offset.
//!
//! Invariants
//! 1. A batch of (producer id, epoch, sequences) that is among the producer's last five is never appended again: its
//!    offsets are returned instead.
//! 2. Sequences of one epoch are contiguous; 0 follows 2^31-1, and a new epoch begins at 0. A producer without state
//!    (new, expired) may begin anywhere.
//! 3. A transaction is open from its first record until its marker, and unstable until the marker is below the high
//!    watermark. The first unstable offset is the smallest such first record's.
//!
//! Bounded by `producer.id.expiration.ms` of inactivity only, as in Kafka.

mod active;
mod entry;
mod error;
mod manager;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub(crate) use active::ActiveProducer;
pub(crate) use entry::{BatchMetadata, ProducerStateEntry};
pub(crate) use error::ProducerStateError;
pub(crate) use manager::{CompletedTxn, LastRecord, ProducerStateManager, end_txn_marker};
