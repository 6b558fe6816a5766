//! [`TableView`]: a topic as a table, the latest value of each key.
//!
//! | file | |
//! |---|---|
//! | `table_view` | the handle: reading, waiting |
//! | `updater` | the background task that reads the topic |
//! | `shared` | what the two share: the entries, and how far they reach |
//! | `changes` | the subscription |
//!
//! Invariants:
//! 1. A partition's records are applied in order, and progress is published after them: who sees an offset reached sees
//!    what lies before it.
//! 2. The task ends when the last handle is dropped, when the topic is deleted, or with the error that it shows.
//! 3. The entries are locked for one look-up, for a subscription, or to apply one poll (`max.poll.records`, 500); nothing is
//!    dropped, woken or awaited under that lock.
//! 4. A change that a subscriber is not told of was made before it subscribed. Both happen under that lock.
//!
//! There is no group and no commit: a table is built from the log's start each time. Time is the cluster's clock's, and
//! only for looking around.

mod changes;
mod shared;
#[expect(clippy::module_inception, reason = "the noun is table view")]
mod table_view;
mod updater;

pub use changes::{Change, Changes};
pub use table_view::TableView;
