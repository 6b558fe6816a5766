//! [`PartitionInfo`]: what clients tell of a partition.

use crate::cluster::TopicImage;
use crate::types::{BrokerId, TopicPartition};

/// Where a partition lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    topic_partition: TopicPartition,
    leader: BrokerId,
    replicas: Vec<BrokerId>,
    in_sync_replicas: Vec<BrokerId>,
}

impl PartitionInfo {
    /// Topic and index.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// `None` while no replica can lead.
    pub fn leader(&self) -> Option<BrokerId> {
        (self.leader != BrokerId::NONE).then_some(self.leader)
    }

    /// The brokers that have a replica, the preferred leader first.
    pub fn replicas(&self) -> &[BrokerId] {
        &self.replicas
    }

    /// Those whose replica is in sync.
    pub fn in_sync_replicas(&self) -> &[BrokerId] {
        &self.in_sync_replicas
    }

    pub(super) fn of_topic(topic: &TopicImage) -> Vec<Self> {
        let partitions = topic.partitions.iter().enumerate();
        let info = partitions.map(|(index, partition)| Self {
            topic_partition: TopicPartition::new(topic.name.clone(), index as i32),
            leader: partition.leader,
            replicas: partition.replicas.clone(),
            in_sync_replicas: partition.isr.clone(),
        });
        info.collect()
    }
}
