//! [`ClusterBuilder`].

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::broker::{Clock, Memory, MemoryPolicy};
use crate::cluster::{Cluster, Startup};
use crate::config::BrokerConfig;
use crate::controller::Controller;
use crate::coordinator::group::GroupConfig;
use crate::error::Result;

/// Sets up a [`Cluster`] before it starts.
///
/// ```
/// use brokerless::Cluster;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::builder().broker_property("num.partitions", "3").seed(7).start().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ClusterBuilder {
    properties: BTreeMap<String, String>,
    seed: Option<u64>,
    wall_time: Option<SystemTime>,
    recycled_bytes: usize,
    max_partitions: usize,
    memory_limit: Option<u64>,
    memory_policy: MemoryPolicy,
    max_groups: usize,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            properties: BTreeMap::new(),
            seed: None,
            wall_time: None,
            recycled_bytes: Self::DEFAULT_RECYCLED_BYTES,
            max_partitions: Controller::DEFAULT_MAX_PARTITIONS,
            memory_limit: None,
            memory_policy: MemoryPolicy::default(),
            max_groups: GroupConfig::DEFAULT_MAX_GROUPS,
        }
    }
}

impl ClusterBuilder {
    /// Enough to keep what retention frees at gigabytes a second until producers need it again.
    const DEFAULT_RECYCLED_BYTES: usize = 256 << 20;

    /// Sets one of Kafka's broker properties, as in `server.properties`. It is checked by [`ClusterBuilder::start`]:
    /// an unknown name or a bad value is `INVALID_CONFIG`.
    pub fn broker_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Makes the random choices of the cluster and its clients (topic ids, member ids, replica placement, sticky
    /// partitions) repeatable. Default: a fresh seed.
    ///
    /// With a [`wall_time`](Self::wall_time), on one thread and under `tokio::time::pause()`, the same calls then give the
    /// same bytes in every log.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The wall time at which the cluster's clock starts; from there it goes on with tokio's. Default: the system's.
    pub fn wall_time(mut self, time: SystemTime) -> Self {
        self.wall_time = Some(time);
        self
    }

    /// How many bytes of freed batch memory are kept for reuse, for each `batch.size` in use. Default 256 MiB; the
    /// memory is only ever what a log held before, nothing is allocated ahead.
    pub fn recycled_memory(mut self, bytes: usize) -> Self {
        self.recycled_bytes = bytes;
        self
    }

    /// How many partitions the cluster may hold, beside those of Kafka's own topics (50 once there is a group).
    /// Creating more is `POLICY_VIOLATION`. Default 200,000, about what Kafka recommends as a cluster's most; an empty
    /// partition takes a few kilobytes.
    pub fn max_partitions(mut self, partitions: usize) -> Self {
        self.max_partitions = partitions;
        self
    }

    /// How many bytes the logs of all topics may hold together, batches as they are stored. Default: no limit.
    /// What happens when they are full: [`ClusterBuilder::memory_policy`]. `__consumer_offsets` and the metadata log do
    /// not count: a full cluster still takes commits.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// How many bytes the partitions of a topic may hold together, for each topic that does not say otherwise
    /// (`brokerless.memory.max.bytes`). Default: no limit. The same as the broker property
    /// `brokerless.topic.memory.max.bytes`.
    pub fn topic_memory_limit(self, bytes: u64) -> Self {
        self.broker_property("brokerless.topic.memory.max.bytes", bytes.to_string())
    }

    /// What happens when a memory limit, of the cluster or of a topic, is reached. Default: [`MemoryPolicy::Block`].
    pub fn memory_policy(mut self, policy: MemoryPolicy) -> Self {
        self.memory_policy = policy;
        self
    }

    /// How many groups the cluster may have, counting all that have members or committed offsets. A member that would
    /// found one more, and a commit that would, is refused with `POLICY_VIOLATION`; groups go when they are deleted, or
    /// empty and their offsets expired. Requests that found groups at the same moment may exceed the limit by their
    /// number. Kafka has no such setting. Default 100,000.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.max_groups = groups;
        self
    }

    /// Starts the cluster.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for a property that Kafka, or this crate, does not accept.
    pub async fn start(self) -> Result<Cluster> {
        self.build()
    }

    pub(crate) fn build(self) -> Result<Cluster> {
        let mut config = BrokerConfig::default();
        for (name, value) in &self.properties {
            config.set(name, value)?;
        }
        config.validate()?;
        Cluster::start(Startup {
            config,
            clock: self.wall_time.map_or_else(Clock::start, Clock::start_at),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            recycled_bytes: self.recycled_bytes,
            memory: Memory::new(self.memory_limit, self.memory_policy),
            max_groups: self.max_groups,
            max_partitions: self.max_partitions,
        })
    }
}
