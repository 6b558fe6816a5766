//! What administrators ask of the cluster.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::controller::{CreatableTopic, TopicImage, is_internal_topic};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, Offset, TopicPartition};

pub(crate) use crate::controller::{TopicSelector, validate_topic_name};

impl Cluster {
    /// Creates topics on the controller; one answer a topic, in order, once the image that holds them is published.
    /// With `validate_only` nothing changes. Closed: that error for each.
    pub(crate) fn create_topics(
        &self,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Vec<Result<Arc<TopicImage>, Error>> {
        let _ = (topics, validate_only);
        todo!()
    }

    /// Deletes topics on the controller; one answer a topic, in order, with the topics that were. When it returns, the
    /// partitions' handles are gone from the image and those who wait on them are woken with
    /// `UNKNOWN_TOPIC_OR_PARTITION`. Deleting `__consumer_offsets` is allowed, as in Kafka. Closed: that error for each.
    pub(crate) fn delete_topics(&self, topics: Vec<TopicSelector>) -> Vec<Result<Arc<TopicImage>, Error>> {
        let _ = topics;
        todo!()
    }

    /// Raises a topic's number of partitions to `total` on the controller; answers with the topic as it is then.
    pub(crate) fn create_partitions(
        &self,
        name: &str,
        total: i32,
        validate_only: bool,
    ) -> Result<Arc<TopicImage>, Error> {
        let _ = (name, total, validate_only);
        todo!()
    }

    /// The broker whose shard coordinates this group: the leader of the group's partition of `__consumer_offsets`.
    pub(crate) fn group_coordinator(&self, group_id: &str) -> BrokerId {
        let _ = group_id;
        todo!()
    }

    /// Raises the log start of a partition to `before_offset` (-1: the high watermark) and returns the low watermark:
    /// the new log start, and with several replicas the least of theirs. `INVALID_TOPIC_EXCEPTION` for internal topics,
    /// `POLICY_VIOLATION` where `cleanup.policy` does not allow deletion, `OFFSET_OUT_OF_RANGE` past the high watermark,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub(crate) fn delete_records(
        &self,
        topic_partition: &TopicPartition,
        before_offset: Offset,
    ) -> Result<Offset, Error> {
        let name = topic_partition.topic();
        if is_internal_topic(name) {
            let message = format!("Cannot delete records of internal topic {name}");
            return Err(Error::new(ErrorCode::InvalidTopic, message).with_topic_partition(topic_partition.clone()));
        }
        self.leader(topic_partition)?.delete_records(before_offset)
    }

    /// The broker that clients are told is the controller: as in a KRaft cluster, one that may lead, because only the
    /// brokers know where the real one is.
    pub(crate) fn controller_id(&self) -> Option<BrokerId> {
        self.image().brokers.values().find(|broker| !broker.fenced).map(|broker| broker.id)
    }
}
