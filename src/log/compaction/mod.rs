//! Compaction: of each key the last record stays, earlier ones go. `cleanup.policy=compact`, as Kafka's log cleaner does it.
//!
//! ```text
//!  log start      cleaned to                bound                     log end
//!     |  clean section |   dirty section      |  out of reach            |
//!     [ one record a   [ may repeat keys of   [ active segment, open     ]
//!     | key, mostly    | either section       | transactions, lag
//! ```
//!
//! A [`Compaction`] is one run over one log, in three steps: [`Log::begin_compaction`](crate::log::Log::begin_compaction)
//! takes references to the segments below the bound; [`Compaction::run`], which needs no log and so no lock, reads the
//! dirty section into an index of keys, then makes new segments of both sections; and
//! [`Log::finish_compaction`](crate::log::Log::finish_compaction) puts them in the old ones' place, unless the log was
//! truncated, or compaction turned off, in between.
//!
//! Invariants
//! 1. Offsets, order and timestamps stay. For each key the record with the largest offset below the bound stays; nothing at
//!    or above the bound is touched. The bound is the first offset of a segment: that of the active one at the latest, of
//!    the one that holds the last stable offset, or of the first whose records are younger than `min.compaction.lag.ms`.
//! 2. A tombstone stays for `delete.retention.ms` from the run that first sees it as its key's last record: that run
//!    writes the delete horizon into its batch (KIP-534). So does a transaction's marker from the first run that finds
//!    nothing of the transaction left.
//! 3. Records of aborted transactions go, and supersede nothing. Records without a key go (there are some where the
//!    topic was not always compacted).
//! 4. Of each producer the last batch stays, and of each run the last batch, without records if need be: the first for the
//!    producer's sequences (invariant 6 of the log), the second so that a reader gets past the gap.
//! 5. A batch that keeps all of its records is shared, not copied.
//! 6. What a run holds beside the segments is bounded by `log.cleaner.dedupe.buffer.size`, give or take one batch. A
//!    dirty section with more keys than that is cleaned in several runs, each as far as its index reaches.
//!
//! Superseded is what the index says, and that compares keys, not hashes: Kafka keeps an MD5 of each key and takes equal
//! ones for the same key. Here the keys are in memory anyhow, and a fast hash without cryptographic claims is enough.

#[expect(clippy::module_inception, reason = "the noun is compaction")]
mod compaction;
mod filter;
mod key_index;
#[cfg(test)]
mod model_tests;
mod plan;
mod swap;
#[cfg(test)]
mod tests;
mod transactions;

pub(crate) use compaction::Compaction;
pub(crate) use plan::CompactionState;

/// How much a run may hold, and how it hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactionLimits {
    /// `log.cleaner.dedupe.buffer.size`: bytes for the index of keys.
    pub(crate) dedupe_buffer_size: usize,
    /// Mixed into the hashes, so that nobody can prepare keys that collide. What comes out does not depend on it.
    pub(crate) hash_seed: u64,
}
