//! One partition's log: segments, indexes, producer state.
//!
//! A [`Log`] is a sequence of batches at strictly ascending offsets, cut into segments. Three offsets bound what is in
//! it, a fourth bounds what is decided:
//!
//! ```text
//!   log start        last stable       high watermark        log end
//!       |                 |                  |                  |
//!  .....[ decided ........[ open transactions[ not replicated ..[  next append
//!       |<- read_committed ->|               |
//!       |<------ read_uncommitted ---------->|
//! ```
//!
//! Invariants
//! 1. Log start <= last stable <= high watermark <= log end.
//! 2. A leader's append begins at the log end; no offset is ever given to a second record, whatever is deleted.
//! 3. Segments ascend, there is always at least one, and only the last one (the active segment) grows.
//! 4. Deletion removes whole segments from the front and never one that reaches past the high watermark. Compaction
//!    removes records below the active segment and below the last stable offset, and leaves gaps in the offsets.
//! 5. An offset index entry points at a batch that begins at or before the entry's offset; time index entries ascend in
//!    both timestamp and offset. Both only speed up a scan: the answer never depends on how sparse they are.
//! 6. Of each idempotent producer the last five batches are known, whatever segments are rolled or deleted.
//!
//! No clock (`now_ms` is an argument), no randomness (the jitter of `segment.jitter.ms` comes from the partition's name
//! and the segment's base offset), no locks. What a segment's batches are kept in is a [`store::SegmentStore`].

mod append;
mod compaction;
mod error;
#[cfg(fuzzing)]
mod fuzz;
mod leader_epoch;
#[expect(clippy::module_inception, reason = "the noun is log")]
mod log;
mod lookup;
#[cfg(any(test, fuzzing))]
mod model;
#[cfg(test)]
mod model_tests;
mod offset_index;
mod producer_state;
mod read;
mod release;
mod retention;
mod segment;
mod store;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzz target needs some of it"))]
pub(crate) mod testing;
mod time_index;
mod truncate;
mod txn_index;
mod validate;

pub(crate) use append::AppendOrigin;
pub(crate) use compaction::{Compaction, CompactionLimits, CompactionState};
pub(crate) use error::LogError;
#[cfg(fuzzing)]
pub(crate) use fuzz::log_ops;
pub(crate) use log::Log;
pub(crate) use lookup::TimestampAndOffset;
pub(crate) use producer_state::{ActiveProducer, ProducerStateError};
pub(crate) use validate::Rejection;
