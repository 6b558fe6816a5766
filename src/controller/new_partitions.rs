//! Where new partitions go: placed by the controller or assigned by hand, for a new topic and for one that grows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::placement::place;
use crate::controller::topics::partition_records;
use crate::controller::{Controller, CreatableTopic, Outcome, PartitionImage, TopicImage};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, LeaderEpoch};

impl Controller {
    /// Raises a topic's number of partitions to `total`; answers with the topic as it is then. With `assignments` each
    /// new partition's brokers are given, the preferred leader first.
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_PARTITIONS` unless it is an increase, `INVALID_REPLICA_ASSIGNMENT`,
    /// `INVALID_REPLICATION_FACTOR` while too few brokers are there, `POLICY_VIOLATION` past the bounds of
    /// [`Controller::create_topics`].
    pub(crate) fn create_partitions(
        &mut self,
        name: &str,
        total: i32,
        assignments: Option<&[Vec<BrokerId>]>,
        validate_only: bool,
    ) -> Outcome<Result<Arc<TopicImage>, Error>> {
        let grown = match self.grow(name, total, assignments) {
            Ok(grown) => grown,
            Err(error) => return Outcome::unchanged(Err(error)),
        };
        let old = self.image.topic(name).map_or(0, |topic| topic.partitions.len());
        let records = if validate_only { Vec::new() } else { partition_records(&grown, old).collect() };
        Outcome { records, response: Ok(Arc::new(grown)) }
    }

    fn grow(&mut self, name: &str, total: i32, assignments: Option<&[Vec<BrokerId>]>) -> Result<TopicImage, Error> {
        let topic = self.image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?.clone();
        let old = topic.partitions.len();
        let additional = match i64::from(total) - old as i64 {
            0 => {
                let message = format!("Topic already has {old} partition(s).");
                return Err(Error::new(ErrorCode::InvalidPartitions, message));
            }
            ..0 => {
                let message =
                    format!("The topic {name} currently has {old} partition(s); {total} would not be an increase.");
                return Err(Error::new(ErrorCode::InvalidPartitions, message));
            }
            additional => additional as usize,
        };
        if let Some(assignments) = assignments
            && assignments.len() != additional
        {
            return Err(invalid_assignment(format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            )));
        }
        self.check_partition_bounds(additional)?;
        let replication_factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let new = match assignments {
            Some(assignments) => (old..)
                .zip(assignments)
                .map(|(index, replicas)| self.assign_partition(index as i32, replicas, Some(replication_factor)))
                .collect::<Result<_, _>>()?,
            None => self
                .place_partitions(additional, replication_factor)
                .map_err(|reason| Error::new(ErrorCode::InvalidReplicationFactor, reason))?,
        };
        let mut topic = TopicImage::clone(&topic);
        topic.partitions.extend(new);
        Ok(topic)
    }

    /// New partitions with their leaders elected. `Err` is Kafka's text for `INVALID_REPLICATION_FACTOR`.
    pub(super) fn place_partitions(
        &mut self,
        count: usize,
        replication_factor: usize,
    ) -> Result<Vec<PartitionImage>, String> {
        let placed = place(&self.image.brokers, count, replication_factor, &mut self.rng)?;
        // Whoever leads is not fenced.
        Ok(placed.into_iter().filter_map(|replicas| self.new_partition(replicas)).collect())
    }

    /// The partitions of a new topic whose replicas are given.
    pub(super) fn check_new_topic_is_assigned(&self, topic: &CreatableTopic) -> Result<Vec<PartitionImage>, Error> {
        let given = match topic {
            CreatableTopic { replication_factor, .. } if *replication_factor != -1 => Some("replication factor"),
            CreatableTopic { partitions, .. } if *partitions != -1 => Some("numPartitions"),
            _ => None,
        };
        if let Some(given) = given {
            let message = format!("A manual partition assignment was specified, but {given} was not set to -1.");
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        let (mut assigned, mut replication_factor) = (BTreeMap::new(), None);
        for (index, replicas) in &topic.assignments {
            if assigned.contains_key(index) {
                let message = format!("Found multiple manual partition assignments for partition {index}");
                return Err(invalid_assignment(message));
            }
            assigned.insert(*index, self.assign_partition(*index, replicas, replication_factor)?);
            replication_factor = Some(replicas.len());
        }
        if !assigned.keys().copied().eq(0..assigned.len() as i32) {
            return Err(invalid_assignment("partitions should be a consecutive 0-based integer sequence"));
        }
        Ok(assigned.into_values().collect())
    }

    /// A new partition on these brokers, which must be registered, different, as many as the partitions before have, and
    /// not all fenced.
    fn assign_partition(
        &self,
        index: i32,
        replicas: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<PartitionImage, Error> {
        if replicas.is_empty() {
            return Err(invalid_assignment("The manual partition assignment includes an empty replica list."));
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        for (at, id) in sorted.iter().enumerate() {
            if !self.image.brokers.contains_key(id) {
                return Err(invalid_assignment(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                )));
            }
            if at > 0 && sorted[at - 1] == *id {
                return Err(invalid_assignment(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                )));
            }
        }
        if let Some(expected) = replication_factor
            && sorted.len() != expected
        {
            return Err(invalid_assignment(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {expected} replica(s).",
                sorted.len()
            )));
        }
        self.new_partition(replicas.to_vec()).ok_or_else(|| {
            invalid_assignment(format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            ))
        })
    }

    /// All replicas that are not fenced are in sync, being empty, and the first of them leads; `None` if none is.
    fn new_partition(&self, replicas: Vec<BrokerId>) -> Option<PartitionImage> {
        let isr: Vec<_> = replicas.iter().copied().filter(|id| self.image.is_active(*id)).collect();
        let leader = *isr.first()?;
        Some(PartitionImage { replicas, isr, leader, leader_epoch: LeaderEpoch(0), partition_epoch: 0 })
    }
}

fn invalid_assignment(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidReplicaAssignment, message.into())
}
