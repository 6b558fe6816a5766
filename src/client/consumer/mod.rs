//! The consumer: Kafka's Java consumer, classic group protocol, as a library.
//!
//! | file | what |
//! |---|---|
//! | `consumer` | the type: subscriptions, assignment, closing |
//! | `poll`, `stream` | the ways to records; waiting |
//! | `fetcher` | the read path: logs to buffers to records |
//! | `records`, `record` | what a poll returns |
//! | `interceptor` | who may change that |
//! | `metrics` | what is counted |
//! | `subscription_state`, `partition_state` | what is wanted and given; where each partition stands |
//! | `positions`, `seek`, `offsets` | placing positions, moving them, asking about offsets |
//! | `commit` | commits, sync, async and automatic |
//! | `membership/`, `assignor/`, `listener` | the group |
//!
//! Invariants:
//! 1. A position moves only when records are handed out, sought or reset; so polls of a partition neither skip nor
//!    repeat (invariant 25 of the reference), and a commit never goes beyond what polls returned (35).
//! 2. A position is reset only where nothing is committed, or where it lies outside of the log (34).
//! 3. Everything that waits is kept in the consumer, so any future of it may be dropped.
//! 4. Time comes from tokio, wall time from the cluster's clock. There is no randomness.

mod answer;
mod assignor;
mod auto_create;
mod commit;
mod config;
#[expect(clippy::module_inception, reason = "the noun is consumer")]
mod consumer;
mod fetcher;
mod interceptor;
mod listener;
mod membership;
mod metrics;
mod offsets;
mod partition_state;
mod poll;
mod positions;
mod properties;
mod record;
mod records;
mod seek;
mod stream;
mod subscription_state;
mod wakeup;

pub use crate::client::partition_info::PartitionInfo;
pub use assignor::PartitionAssignor;
pub use commit::CommitHandle;
pub use config::{AutoOffsetReset, ConsumerConfig};
pub use consumer::{Consumer, ConsumerGroupMetadata};
pub use interceptor::ConsumerInterceptor;
pub use listener::{RebalanceContext, RebalanceListener};
pub use offsets::OffsetAndTimestamp;
pub use record::{ConsumerRecord, OwnedConsumerRecord};
pub use records::{ConsumerRecords, IntoIter, Iter};
pub use stream::ConsumerStream;
pub use wakeup::ConsumerWaker;

use membership::Group;
