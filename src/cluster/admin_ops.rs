//! What administrators ask of the cluster.

use std::sync::Arc;

use crate::broker::{OFFSETS_TOPIC, PartitionHandle};
use crate::cluster::Cluster;
use crate::config::describe::{describe_broker, describe_broker_default, describe_topic};
use crate::config::{AlterConfigOp, ConfigEntry, ConfigResource};
use crate::controller::{CreatableTopic, ElectionType, Elections, TopicImage, is_internal_topic};
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
        assignments: Option<&[Vec<BrokerId>]>,
        validate_only: bool,
    ) -> Result<Arc<TopicImage>, Error> {
        self.inner.command(|controller, _| controller.create_partitions(name, total, assignments, validate_only))?
    }

    /// Alters settings on the controller; one answer a resource, in order. When it returns the partitions work with them.
    pub(crate) fn incremental_alter_configs(
        &self,
        resources: &[(ConfigResource, Vec<AlterConfigOp>)],
        validate_only: bool,
    ) -> Vec<Result<(), Error>> {
        self.inner
            .command(|controller, _| controller.incremental_alter_configs(resources, validate_only))
            .unwrap_or_else(|error| vec![Err(error); resources.len()])
    }

    /// The settings of one resource. `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_TOPIC_EXCEPTION`, `INVALID_REQUEST` for a
    /// broker that is not here and for what has no settings.
    pub(crate) fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, Error> {
        self.check_open()?;
        let image = self.image();
        let invalid = |message: String| Err(Error::new(ErrorCode::InvalidRequest, message));
        match resource {
            ConfigResource::Topic(name) => {
                validate_topic_name(name)?;
                let topic = image.topic(name).ok_or_else(|| {
                    let code = ErrorCode::UnknownTopicOrPartition;
                    Error::new(code, format!("topic {name}: {}", code.message()))
                })?;
                Ok(describe_topic(&image.config, &topic.configs))
            }
            ConfigResource::Broker(id) if *id == self.inner.broker.id => Ok(describe_broker(&image.config)),
            ConfigResource::Broker(id) => {
                let here = self.inner.broker.id;
                invalid(format!("Unexpected broker id, expected {here} or empty string, but received {id}"))
            }
            ConfigResource::BrokerDefault => Ok(describe_broker_default(&image.config)),
            ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) | ConfigResource::BrokerLogger(_) => {
                let kind = resource.kind();
                invalid(format!("Unsupported resource type: {kind}: brokerless has not built settings of it yet"))
            }
        }
    }

    /// Elects leaders on the controller; one answer a partition, in order. Without partitions: of all that need it.
    pub(crate) fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Result<Elections, Error> {
        self.inner.command(|controller, _| controller.elect_leaders(election, partitions))
    }

    /// The replicas on a broker, in no order; `None` for a broker that is not here. Closed: that error.
    pub(crate) fn logs(&self, broker: BrokerId) -> Result<Option<Vec<Arc<PartitionHandle>>>, Error> {
        self.check_open()?;
        Ok((broker == self.inner.broker.id).then(|| self.inner.broker.replicas.partitions()))
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
