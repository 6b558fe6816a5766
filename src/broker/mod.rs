//! A broker: handles on its partitions, the coordinators' runtime, timers. Async from here up.

pub(crate) mod clock;
mod partition_handle;

pub(crate) use clock::Clock;
pub(crate) use partition_handle::{AppendInfo, FetchWaiter, PartitionHandle, PublishedOffsets};
