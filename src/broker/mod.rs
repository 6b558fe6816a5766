//! A broker: handles on its replicas, the coordinators that it hosts, the clock. Async from here up.
//!
//! Lock order: a coordinator shard, then one `Partition`. Nothing is awaited and nobody is woken under either.

pub(crate) mod clock;
mod group_coordinator;
mod partition_handle;
mod published_offsets;
mod replica_manager;
mod waiters;

pub(crate) use clock::Clock;
pub(crate) use group_coordinator::{GroupCoordinator, OFFSETS_TOPIC};
pub(crate) use partition_handle::{AppendInfo, PartitionHandle};
pub(crate) use published_offsets::PublishedOffsets;
pub(crate) use replica_manager::{REPLICA_LAG_TIME_MAX_MS, ReplicaManager};
pub(crate) use waiters::{FetchWaiter, Waiters};

pub(crate) use crate::log::ActiveProducer;

use crate::types::BrokerId;

/// One broker: the replicas that live on it and the groups that it coordinates.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: BrokerId,
    pub(crate) replicas: ReplicaManager,
    pub(crate) groups: GroupCoordinator,
}
