//! The classic rebalance protocol: one group's membership, generations and assignment.
//!
//! ```text
//!               first member joins                      leader's assignment is replayed
//!   +-------+ -----------------> +--------------------+                    +--------+
//!   | Empty |                    | PreparingRebalance | <----------------- | Stable |
//!   +-------+ <----------------- +--------------------+   join, leave,     +--------+
//!               nobody is left       |          ^         session or sync       ^
//!                (generation + 1)    |          |         timeout               |
//!                 everybody joined,  |          | as from Stable, or the        |
//!                 or timeout         v          | assignment is lost            |
//!                (generation + 1)  +----------------------+                     |
//!                                  | CompletingRebalance  | --------------------+
//!                                  +----------------------+
//!   any state -- the shard is unloaded --> Dead
//! ```
//!
//! Invariants
//!
//! 1. The generation goes up by one whenever `PreparingRebalance` ends, and never changes otherwise.
//! 2. A generation has one leader, and every SyncGroup answer of the generation comes from that leader's one assignment.
//! 3. `PreparingRebalance` has a join timer, so it ends even if nobody stirs; `CompletingRebalance` has a sync timer, or
//!    everybody has asked for an assignment already, the leader included.
//! 4. Every member has a session timer, unless it waits for an answer: then its heartbeat counts as satisfied, and the
//!    answer starts the timer again. A new member waits at most [`NEW_MEMBER_JOIN_TIMEOUT_MS`] for its first answer.
//! 5. An instance id belongs to at most one member; who shows an older member id for it is fenced (KIP-345).
//! 6. A request that waits is answered when its phase ends, its member goes, or a later request of the member replaces
//!    it: never twice.
//! 7. Members' assignments, the step to `Stable` and a static member's new id in a stable group come from replayed
//!    records; all else here is soft state, which a restart forgets.
//!
//! Time is an argument of every event; member ids come from the shard's seeded generator.

#[cfg(any(test, fuzzing))]
mod check;
mod context;
mod expiry;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod staged;
mod state;
mod static_member;
mod sync;
mod validate;
mod watch;

pub(super) use context::{Context, Environment};
pub(super) use group::ClassicGroup;
pub(super) use staged::{Staged, StagedChange};
pub(super) use state::GroupState;

#[cfg(doc)]
use rebalance::NEW_MEMBER_JOIN_TIMEOUT_MS;
