//! [`MetadataImage`]: the cluster's metadata at one offset of the metadata log, immutable.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{BrokerConfig, LogConfig};
use crate::types::{BrokerId, LeaderEpoch, NO_OFFSET, Offset, TopicId, TopicPartition};
use crate::util::chunk_map::ChunkMap;

/// Everything that replaying the metadata log up to `offset` says. Readers load one image per request and pass it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataImage {
    /// Offset of the last replayed metadata record; -1 for the empty image.
    pub(crate) offset: Offset,
    pub(crate) brokers: BTreeMap<BrokerId, BrokerImage>,
    /// By name, in order of name.
    pub(crate) topics: ChunkMap<Arc<str>, Arc<TopicImage>>,
    pub(crate) topic_names: ChunkMap<TopicId, Arc<str>>,
    /// The topics with a `.` or `_` in their name, by that name with `_` only. One for each, unless one request created
    /// several.
    pub(crate) collidable: ChunkMap<Arc<str>, Vec<Arc<str>>>,
    /// Of all topics together.
    pub(crate) partition_count: usize,
    /// What was set while brokers run: by broker, and under `None` for all of them.
    pub(crate) broker_configs: BTreeMap<Option<BrokerId>, BTreeMap<String, String>>,
    /// What the broker beside this controller was started with and what was set since amount to.
    pub(crate) config: Arc<BrokerConfig>,
    /// The first producer id that no block has been handed out for.
    pub(crate) next_producer_id: i64,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerImage {
    pub(crate) id: BrokerId,
    pub(crate) epoch: i64,
    /// A random id of this run of the broker.
    pub(crate) incarnation_id: u128,
    /// A fenced broker leads nothing.
    pub(crate) fenced: bool,
    pub(crate) rack: Option<String>,
}

/// A topic: its identity, its partitions by index, its overrides and what they amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicImage {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    /// Dense: partition `n` at index `n`.
    pub(crate) partitions: Vec<PartitionImage>,
    /// The overrides, in Kafka's property names.
    pub(crate) configs: BTreeMap<String, String>,
    /// The overrides over the defaults.
    pub(crate) log_config: Arc<LogConfig>,
}

/// Where a partition lives and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionImage {
    pub(crate) replicas: Vec<BrokerId>,
    pub(crate) isr: Vec<BrokerId>,
    /// [`BrokerId::NONE`] while no replica can lead.
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: LeaderEpoch,
    /// Counts every change of this partition's registration.
    pub(crate) partition_epoch: i32,
}

impl Default for MetadataImage {
    /// The image before the first record.
    fn default() -> Self {
        Self {
            offset: NO_OFFSET,
            brokers: BTreeMap::new(),
            topics: ChunkMap::default(),
            topic_names: ChunkMap::default(),
            collidable: ChunkMap::default(),
            partition_count: 0,
            broker_configs: BTreeMap::new(),
            config: Arc::default(),
            next_producer_id: 0,
        }
    }
}

impl MetadataImage {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    pub(crate) fn has_partition(&self, topic_partition: &TopicPartition) -> bool {
        let partitions = self.topic(topic_partition.topic()).map_or(0, |topic| topic.partitions.len());
        usize::try_from(topic_partition.partition()).is_ok_and(|index| index < partitions)
    }

    pub(crate) fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_names.get(&id)?)
    }

    /// What was set while brokers run, for one of them or, with `None`, for all.
    pub(crate) fn broker_config(&self, broker: Option<BrokerId>) -> &BTreeMap<String, String> {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        self.broker_configs.get(&broker).unwrap_or(&NOTHING)
    }

    /// Whether the broker may lead: it is registered and not fenced.
    pub(crate) fn is_active(&self, id: BrokerId) -> bool {
        self.brokers.get(&id).is_some_and(|broker| !broker.fenced)
    }
}

impl TopicImage {
    /// Whether Kafka flags the topic as internal.
    pub(crate) fn is_internal(&self) -> bool {
        is_internal_topic(&self.name)
    }
}

/// The topics that Kafka flags as internal.
pub(super) const INTERNAL_TOPICS: [&str; 4] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];

pub(crate) fn is_internal_topic(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}
