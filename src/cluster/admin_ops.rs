//! What administrators ask of the cluster.

use std::sync::Arc;

use crate::broker::OFFSETS_TOPIC;
use crate::cluster::Cluster;
use crate::controller::{CreatableTopic, TopicImage, is_internal_topic};
use crate::coordinator::group::partition_for;
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
        let count = topics.len();
        self.inner
            .command(|controller, _| controller.create_topics(topics, validate_only))
            .unwrap_or_else(|error| vec![Err(error); count])
    }

    /// Deletes topics on the controller; one answer a topic, in order, with the topics that were. When it returns, the
    /// partitions' handles are gone from the image and those who wait on them are woken with
    /// `UNKNOWN_TOPIC_OR_PARTITION`. Deleting `__consumer_offsets` is allowed, as in Kafka. Closed: that error for each.
    pub(crate) fn delete_topics(&self, topics: Vec<TopicSelector>) -> Vec<Result<Arc<TopicImage>, Error>> {
        self.inner
            .command(|controller, _| controller.delete_topics(&topics))
            .unwrap_or_else(|error| vec![Err(error); topics.len()])
    }

    /// Raises a topic's number of partitions to `total` on the controller; answers with the topic as it is then.
    pub(crate) fn create_partitions(
        &self,
        name: &str,
        total: i32,
        validate_only: bool,
    ) -> Result<Arc<TopicImage>, Error> {
        self.inner.command(|controller, _| controller.create_partitions(name, total, validate_only))?
    }

    /// The broker whose shard coordinates this group: the leader of the group's partition of `__consumer_offsets`.
    pub(crate) fn group_coordinator(&self, group_id: &str) -> BrokerId {
        let image = self.image();
        let coordinator = image.topic(OFFSETS_TOPIC).and_then(|topic| {
            let partition = partition_for(group_id, topic.partitions.len() as i32);
            topic.partitions.get(partition as usize)
        });
        coordinator.map_or(self.inner.broker.id, |partition| partition.leader)
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
        let refuse = |code: ErrorCode, message: String| {
            Err(Error::new(code, message).with_topic_partition(topic_partition.clone()))
        };
        if is_internal_topic(name) {
            return refuse(ErrorCode::InvalidTopic, format!("Cannot delete records of internal topic {name}"));
        }
        let leader = self.leader(topic_partition)?;
        leader.delete_records(before_offset)
    }

    /// The broker that clients are told is the controller: as in a KRaft cluster, one that may lead, because only the
    /// brokers know where the real one is.
    pub(crate) fn controller_id(&self) -> Option<BrokerId> {
        self.image().brokers.values().find(|broker| !broker.fenced).map(|broker| broker.id)
    }
}
