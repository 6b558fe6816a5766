//! Parallel processing: a [`ParallelConsumer`] hands a group member's records to many tasks at a time, keeps the order
//! that was asked for, and commits what is complete.
//!
//! ```text
//! poll -> Schedule: windows (per partition) + lanes (per partition or key) -> ready -> workers (tasks) -> handler
//!   ^                      |                                                               |
//!   +-- pause / resume ----+---- commit: the completed prefix of each window <----- done --+
//! ```
//!
//! | file | what |
//! |---|---|
//! | `parallel_consumer` | the type, and its loop: polls, commits, back-pressure, shutdown |
//! | `schedule`, `window` | what runs next, what is complete: sync, no time, no randomness |
//! | `worker` | a task that runs handlers, and retries |
//! | `listener` | rebalances |
//! | `config`, `error` | options; how it ends |
//!
//! Invariants:
//! 1. Of a lane (a partition's records, or those of one key in a partition) at most one record is at a handler, and the
//!    records get there in the order of their offsets.
//! 2. What is committed of a partition is never past a record that was taken and is not complete.
//! 3. At most `max_in_flight` records are taken and not part of their partition's completed prefix; at most
//!    `max_concurrency` are at handlers.
//! 4. A record that was processed while its partition was revoked does not count: completions name their window, and a
//!    window ends with the assignment.
//! 5. All tasks belong to the future of [`ParallelConsumer::run`]: when that ends or is dropped, they are cancelled.
//!
//! Time is tokio's. The schedule's lock is a leaf: held for one step, over no call to anything else.

mod config;
mod error;
mod listener;
mod parallel_consumer;
mod schedule;
#[cfg(test)]
mod tests;
mod window;
mod worker;

pub use config::{FailurePolicy, ProcessingConfig, ProcessingOrder};
pub use error::{FailedRecord, ProcessingError};
pub use parallel_consumer::{ParallelConsumer, ProcessingSummary, ShutdownHandle};
