//! A broker: handles on its replicas, the coordinators that it hosts, the clock. Async from here up.
//!
//! Lock order: a coordinator shard, the cleaner or the evictor, then one `Partition`. Nothing is awaited and nobody is woken
//! under any of them.

mod cleaner;
pub(crate) mod clock;
mod evict;
mod group_coordinator;
mod memory;
mod partition_handle;
mod partition_memory;
mod partition_stats;
mod published_offsets;
mod replica_manager;
mod traffic;
mod waiters;

pub(crate) use cleaner::Cleaner;
pub(crate) use clock::Clock;
pub(crate) use group_coordinator::{GroupCoordinator, OFFSETS_TOPIC};
pub use memory::MemoryPolicy;
pub(crate) use memory::{Account, Memory};
pub(crate) use partition_handle::{AppendInfo, PartitionHandle};
pub(crate) use partition_stats::PartitionStats;
pub(crate) use published_offsets::PublishedOffsets;
pub(crate) use replica_manager::{REPLICA_LAG_TIME_MAX_MS, ReplicaManager, TopicChanges};
pub(crate) use traffic::{Traffic, TrafficCounts};
pub(crate) use waiters::{FetchWaiter, Token, Waiters};

pub(crate) use crate::log::ActiveProducer;

use crate::types::BrokerId;

/// One broker: the replicas that live on it, what compacts them, and the groups that it coordinates.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: BrokerId,
    pub(crate) replicas: ReplicaManager,
    pub(crate) cleaner: Cleaner,
    pub(crate) groups: GroupCoordinator,
}
