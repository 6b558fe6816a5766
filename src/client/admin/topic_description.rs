//! What is known about a topic.

use std::sync::Arc;

use crate::cluster::{PartitionImage, TopicImage};
use crate::types::{BrokerId, LeaderEpoch, TopicId};

/// One line of [`Admin::list_topics`](crate::Admin::list_topics).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    name: Arc<str>,
    topic_id: TopicId,
    is_internal: bool,
}

impl TopicListing {
    pub(super) fn new(topic: &TopicImage) -> Self {
        Self { name: Arc::clone(&topic.name), topic_id: topic.id, is_internal: topic.is_internal() }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic's id, fresh each time a topic of this name is created.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Whether it is one of Kafka's own topics, such as `__consumer_offsets`.
    pub fn is_internal(&self) -> bool {
        self.is_internal
    }
}

/// A topic and its partitions, as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    topic: Arc<TopicImage>,
}

impl TopicDescription {
    pub(super) fn new(topic: Arc<TopicImage>) -> Self {
        Self { topic }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.topic.name
    }

    /// The topic's id, fresh each time a topic of this name is created.
    pub fn topic_id(&self) -> TopicId {
        self.topic.id
    }

    /// Whether it is one of Kafka's own topics, such as `__consumer_offsets`.
    pub fn is_internal(&self) -> bool {
        self.topic.is_internal()
    }

    /// How many replicas each partition has.
    pub fn replication_factor(&self) -> usize {
        self.topic.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    /// The partitions, from 0 on.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = PartitionDescription<'_>> {
        self.topic
            .partitions
            .iter()
            .enumerate()
            .map(|(index, image)| PartitionDescription { partition: index as i32, image })
    }

    /// The topic's own settings, in order of name; what is not here comes from the broker.
    pub fn configs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.topic.configs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Where a partition lives and who leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDescription<'a> {
    partition: i32,
    image: &'a PartitionImage,
}

impl<'a> PartitionDescription<'a> {
    /// The partition's index, from 0.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The broker that leads it; `None` while no replica can.
    pub fn leader(&self) -> Option<BrokerId> {
        Some(self.image.leader).filter(|leader| *leader != BrokerId::NONE)
    }

    /// How often a leader was elected so far.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.image.leader_epoch
    }

    /// The brokers that hold it, the preferred leader first.
    pub fn replicas(&self) -> &'a [BrokerId] {
        &self.image.replicas
    }

    /// The replicas that are in sync, the leader among them.
    pub fn isr(&self) -> &'a [BrokerId] {
        &self.image.isr
    }
}
