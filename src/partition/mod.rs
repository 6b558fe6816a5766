//! The state machine of one replica of one partition, on one broker.
//!
//! ```text
//!                 apply(leader = this broker)
//!   Offline ------------------------------------> Leader { isr, remote replicas }
//!      ^  \                                        |    ^
//!      |   \  apply(leader = another broker)       v    |  apply
//!      |    +--------------------------------> Follower { leader }
//!      +------------- apply(no leader) ------------+
//! ```
//!
//! Events come in as method calls with the time; what has to be done elsewhere comes back as values: whether the high
//! watermark moved (wake readers and producers), and ISR changes to propose to the controller. A change of the ISR is
//! not in force when it is proposed but when the controller's answer is [applied](Partition::apply).
//!
//! Invariants
//! 1. Log start <= last stable offset <= high watermark <= log end; all but the last only grow within a leader epoch.
//! 2. A leader's high watermark is the smallest log end of the maximal ISR: the ISR and whoever is proposed to join. It
//!    waits for replicas that are about to rejoin, and stands still below `min.insync.replicas` (KIP-966).
//! 3. Clients read nothing at or behind the high watermark.
//! 4. Leader epoch and partition epoch never fall.
//!
//! No clock, no locks: `now_ms` is an argument, and the owner serialises the calls.

mod error;
mod follower;
mod isr;
mod leader;
#[expect(clippy::module_inception, reason = "the noun is partition")]
mod partition;
#[cfg(test)]
mod tests;

pub(crate) use error::PartitionError;
pub(crate) use partition::{Partition, PartitionRegistration};
