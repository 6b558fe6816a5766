//! The group coordinator: who reads which partitions, and how far they got.
//!
//! One [`GroupShard`] for each partition of `__consumer_offsets` keeps the groups whose id falls there
//! ([`partition_for()`]): their members by the classic protocol, drawn as a state machine in [`classic`], and their
//! committed offsets.
//!
//! ```text
//!   request, token --> handle_* ---> Outcome { records, replies }
//!   now --> handle_timeout -/              |          |
//!                                  appended as one    | released
//!                                  batch, then        v
//!                                  replay ------> hard state: offsets, generations, assignments
//!                                  or on_append_failed --> replies instead
//! ```
//!
//! Invariants
//!
//! 1. Hard state changes in `replay` only, so a shard rebuilt from its log has the offsets, generations and assignments
//!    of the one that wrote it.
//! 2. An outcome's records are replayed, or reported as lost, before the next event.
//! 3. Every token is answered exactly once: at once, or in a later outcome when what it waits for has happened, has
//!    timed out or never will.
//! 4. A commit is accepted from the present generation only; what is committed for a partition is what the last accepted
//!    commit said.
//! 5. What happens to one group concerns no other.
//! 6. An offset goes with its group or its topic, on request, or when it has expired; the last two never while a member
//!    subscribes to its topic.
//!
//! Clients see what Kafka 4's coordinator shows them, except that a request replaced by a later one of its member is
//! answered too, ties in electing leaders and protocols are broken in a fixed order, and a static member that returns
//! with other topics rebalances its group (KAFKA-12759). Offsets are not committed in transactions.
//!
//! Time is an argument, in milliseconds that never go back. Randomness, for member ids, comes from a seed.

mod classic;
mod commit;
mod config;
mod delete;
mod expiry;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod groups;
mod note;
mod offsets;
mod outcome;
mod partition_for;
mod record;
mod replay;
mod request;
mod shard;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use config::GroupConfig;
pub(crate) use groups::GroupCount;
pub(crate) use note::Note;
pub(crate) use outcome::Outcome;
pub(crate) use partition_for::partition_for;
pub(crate) use request::*;
pub(crate) use shard::GroupShard;
