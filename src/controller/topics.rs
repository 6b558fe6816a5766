//! Creating and deleting topics.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::config::{LogConfig, topic_property};
use crate::controller::image::{INTERNAL_TOPICS, is_internal_topic};
use crate::controller::topic_name::{unify, validate_topic_name};
use crate::controller::{Controller, CreatableTopic, MetadataRecord, Outcome, PartitionImage, TopicImage};
use crate::error::{Error, ErrorCode};
use crate::types::TopicId;

/// How many partitions one request may add: Kafka's own bound on the records of one operation.
const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Kafka's topic that brokers read their metadata from; it is none of the topics in the image.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Names a topic in one of two ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicSelector {
    Name(String),
    Id(TopicId),
}

impl Controller {
    /// Creates topics, each on its own: one that fails keeps none of the others back. Answers in the order of the
    /// request; with `validate_only` as if they had been created, but without records.
    ///
    /// `INVALID_REQUEST` (named twice, or `__cluster_metadata`), `INVALID_TOPIC_EXCEPTION`, `TOPIC_ALREADY_EXISTS`,
    /// `INVALID_CONFIG`, `INVALID_REPLICATION_FACTOR`, `INVALID_PARTITIONS`, `INVALID_REPLICA_ASSIGNMENT`, and
    /// `POLICY_VIOLATION` for all of them past 10,000 partitions in one request or the cluster's most.
    pub(crate) fn create_topics(
        &mut self,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Outcome<Vec<Result<Arc<TopicImage>, Error>>> {
        let users = topics.iter().filter(|topic| !is_internal_topic(&topic.name));
        let asked: usize = users.map(|topic| self.partitions_asked(topic)).sum();
        if let Err(error) = self.check_partition_bounds(asked) {
            return Outcome::unchanged(topics.iter().map(|_| Err(error.clone())).collect());
        }
        let times = count(topics.iter().map(|topic| topic.name.clone()));
        let create = |topic: CreatableTopic| {
            if times[&topic.name] > 1 { Err(duplicate("topic name")) } else { self.create_topic(topic) }
        };
        let response: Vec<_> = topics.into_iter().map(create).collect();
        let created = response.iter().flatten().filter(|_| !validate_only);
        let records = created.flat_map(|topic| records_of(topic)).collect();
        Outcome { records, response }
    }

    fn partitions_asked(&self, topic: &CreatableTopic) -> usize {
        match topic.assignments.len() {
            0 => self.partition_count(topic.partitions),
            assigned => assigned,
        }
    }

    fn partition_count(&self, asked: i32) -> usize {
        usize::try_from(if asked == -1 { self.config().num_partitions } else { asked }).unwrap_or(0)
    }

    pub(super) fn check_partition_bounds(&self, additional: usize) -> Result<(), Error> {
        let violation = |message: String| Err(Error::new(ErrorCode::PolicyViolation, message));
        if additional > MAX_PARTITIONS_PER_REQUEST {
            return violation("Excessively large number of partitions per request.".to_owned());
        }
        // Kafka's own topics do not count: a cluster that has no room for them would have no groups.
        let internal = INTERNAL_TOPICS.iter().filter_map(|name| self.image.topic(name));
        let internal: usize = internal.map(|topic| topic.partitions.len()).sum();
        let (present, most) = (self.image.partition_count - internal, self.max_partitions);
        if present.saturating_add(additional) > most {
            return violation(format!(
                "{additional} more partitions would exceed the {most} that a cluster may hold (it has {present})."
            ));
        }
        Ok(())
    }

    fn create_topic(&mut self, topic: CreatableTopic) -> Result<Arc<TopicImage>, Error> {
        if topic.name == CLUSTER_METADATA_TOPIC {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited."),
            ));
        }
        self.check_topic_name(&topic.name)?;
        let log_config = topic_property::validate(self.config(), &topic.configs)?;
        let partitions = if topic.assignments.is_empty() {
            self.place_new_topic(topic.partitions, topic.replication_factor)?
        } else {
            self.check_new_topic_is_assigned(&topic)?
        };
        let CreatableTopic { name, configs, .. } = topic;
        let log_config: Arc<LogConfig> =
            if configs.is_empty() { Arc::clone(self.config().log_config()) } else { Arc::new(log_config) };
        let id = self.fresh_topic_id();
        Ok(Arc::new(TopicImage { id, name: name.into(), partitions, configs, log_config }))
    }

    fn check_topic_name(&self, name: &str) -> Result<(), Error> {
        validate_topic_name(name)?;
        if self.image.topics.contains_key(name) {
            return Err(Error::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        let colliding = unify(name).and_then(|unified| self.image.collidable.get(&*unified)?.first());
        match colliding {
            Some(other) => Err(Error::new(
                ErrorCode::InvalidTopic,
                format!("Topic '{name}' collides with existing topic: {other}"),
            )),
            None => Ok(()),
        }
    }

    fn place_new_topic(&mut self, partitions: i32, replication_factor: i16) -> Result<Vec<PartitionImage>, Error> {
        if replication_factor < -1 || replication_factor == 0 {
            return Err(Error::new(
                ErrorCode::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        if partitions < -1 || partitions == 0 {
            return Err(Error::new(
                ErrorCode::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
        let replication_factor =
            if replication_factor == -1 { self.config().default_replication_factor } else { replication_factor };
        let count = self.partition_count(partitions);
        self.place_partitions(count, replication_factor as usize).map_err(|reason| {
            Error::new(
                ErrorCode::InvalidReplicationFactor,
                format!("Unable to replicate the partition {replication_factor} time(s): {reason}"),
            )
        })
    }

    fn fresh_topic_id(&mut self) -> TopicId {
        loop {
            let id = TopicId::from_random(self.rng.u128(..));
            if !self.image.topic_names.contains_key(&id) {
                return id;
            }
        }
    }

    /// Deletes topics, each on its own; answers in the order of the request with the topics that were.
    ///
    /// Internal topics can be deleted, as in Kafka. `TOPIC_DELETION_DISABLED`, `UNKNOWN_TOPIC_OR_PARTITION` (by name),
    /// `UNKNOWN_TOPIC_ID` (by id), `INVALID_REQUEST` for the zero id and for a topic named twice.
    pub(crate) fn delete_topics(&self, topics: &[TopicSelector]) -> Outcome<Vec<Result<Arc<TopicImage>, Error>>> {
        if !self.config().delete_topic_enable {
            let disabled = Error::from(ErrorCode::TopicDeletionDisabled);
            return Outcome::unchanged(topics.iter().map(|_| Err(disabled.clone())).collect());
        }
        let times = count(topics.iter());
        let ids = count(topics.iter().filter_map(|selector| self.select(selector).ok()).map(|topic| topic.id));
        let delete = |selector: &TopicSelector| {
            if times[selector] > 1 {
                return Err(duplicate(match selector {
                    TopicSelector::Name(_) => "topic name",
                    TopicSelector::Id(_) => "topic id",
                }));
            }
            let topic = self.select(selector)?;
            if ids[&topic.id] > 1 {
                return Err(Error::new(
                    ErrorCode::InvalidRequest,
                    "The provided topic name maps to an ID that was already supplied.",
                ));
            }
            Ok(topic)
        };
        let response: Vec<_> = topics.iter().map(delete).collect();
        let records = response.iter().flatten().map(|topic| MetadataRecord::RemoveTopic { id: topic.id }).collect();
        Outcome { records, response }
    }

    fn select(&self, selector: &TopicSelector) -> Result<Arc<TopicImage>, Error> {
        match selector {
            TopicSelector::Name(name) => {
                self.image.topic(name).cloned().ok_or_else(|| ErrorCode::UnknownTopicOrPartition.into())
            }
            TopicSelector::Id(TopicId::ZERO) => {
                Err(Error::new(ErrorCode::InvalidRequest, "Neither topic name nor id were specified."))
            }
            TopicSelector::Id(id) => {
                self.image.topic_by_id(*id).cloned().ok_or_else(|| ErrorCode::UnknownTopicId.into())
            }
        }
    }
}

fn duplicate(what: &str) -> Error {
    Error::new(ErrorCode::InvalidRequest, format!("Duplicate {what}."))
}

/// How often each is there.
fn count<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut times = HashMap::new();
    for item in items {
        *times.entry(item).or_default() += 1;
    }
    times
}

/// The records that make the topic: itself, its overrides, its partitions.
fn records_of(topic: &TopicImage) -> impl Iterator<Item = MetadataRecord> {
    let configs = topic.configs.iter().map(|(name, value)| MetadataRecord::TopicConfig {
        topic: topic.name.to_string(),
        name: name.clone(),
        value: Some(value.clone()),
    });
    let itself = MetadataRecord::Topic { name: topic.name.to_string(), id: topic.id };
    std::iter::once(itself).chain(configs).chain(partition_records(topic, 0))
}

/// The records of the partitions from index `first` on.
pub(super) fn partition_records(topic: &TopicImage, first: usize) -> impl Iterator<Item = MetadataRecord> {
    let topic_id = topic.id;
    (0..).zip(&topic.partitions).skip(first).map(move |(index, partition)| MetadataRecord::Partition {
        topic_id,
        partition: index,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
    })
}
