//! The producer: batches records a partition and takes them to their leaders.
//!
//! | file | |
//! |---|---|
//! | `producer`, `sending` | the public handle: `send`, `flush`, `close`, and waiting for memory and metadata |
//! | `shared` | what handles share; the path of a record into its batch, none of which waits |
//! | `topic`, `table` | routes: topic to partition count, sticky partition, slots; read without a lock |
//! | `slot`, `batch` | one partition's batches: open, ready, in flight; who sends them |
//! | `signal` | how those who want all open batches sent, and those who open one, see each other |
//! | `sender`, `acks`, `identity` | taking batches to the leader, retries, splits, expiry; acknowledgements; sequence numbers |
//! | `driver` | the one background task: lingers, backoffs, timeouts |
//! | `delivery`, `deliveries`, `timestamps` | completion: one cell a batch, one future a record |
//! | `interceptor` | the application's hooks on records and acknowledgements |
//! | `metrics` | what is counted, a batch at a time |
//! | `memory`, `send_clock` | the bound on buffered bytes; timestamps |
//!
//! Invariants
//!
//! 1. A partition's records reach its leader in the order in which `send` took them, and complete in that order.
//! 2. Every record that `send` took is completed exactly once, whatever happens to the producer.
//! 3. No lock is held while a leader is called, a waker fired, a callback run or anything awaited. The order of locks is
//!    slot, then one of the leaves: `Sticky`, `ProducerIdentity`, the pools.
//! 4. Bytes of open and unacknowledged batches stay below `buffer.memory`.
//! 5. The background task keeps nothing alive while it sleeps.
//!
//! Time is tokio's, through the cluster's clock for what is stamped; random is only the choice of sticky partitions.

mod acks;
mod batch;
mod config;
mod deliveries;
mod delivery;
mod driver;
mod dues;
mod identity;
mod interceptor;
#[cfg(all(test, brokerless_loom))]
mod loom_tests;
mod memory;
mod metadata;
mod metrics;
mod partitioner;
#[expect(clippy::module_inception, reason = "the noun is producer")]
mod producer;
mod record;
mod send_clock;
mod send_error;
mod sender;
mod sending;
mod shared;
mod signal;
mod slot;
mod starved;
mod table;
mod timestamps;
mod topic;

pub use config::ProducerConfig;
pub use deliveries::{Deliveries, SendAllError};
pub use delivery::Delivery;
pub use interceptor::ProducerInterceptor;
pub use metadata::RecordMetadata;
pub use partitioner::{Partitioner, Partitioning};
pub use producer::Producer;
pub use record::{Payload, ProducerRecord, RecordHeader};
pub use send_error::SendError;
pub use sending::Sending;
