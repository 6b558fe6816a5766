//! Elections that an administrator asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::{Controller, MetadataRecord, Outcome, PartitionImage, TopicImage};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, TopicId, TopicPartition};

/// Who is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElectionType {
    /// The first of the partition's replicas, provided that it is in sync.
    Preferred,
    /// Any replica, in sync or not, where the partition has no leader. Records may be lost.
    Unclean,
}

/// Each partition with what came of its election.
pub(crate) type Elections = Vec<(TopicPartition, Result<(), Error>)>;

impl Controller {
    /// Elects leaders, of each partition on its own; answers in the order of the request. Without partitions: of all that
    /// need it, and only those are in the answer.
    ///
    /// `ELECTION_NOT_NEEDED`, `PREFERRED_LEADER_NOT_AVAILABLE`, `ELIGIBLE_LEADERS_NOT_AVAILABLE`,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub(crate) fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Outcome<Elections> {
        let all = partitions.is_none();
        let (mut records, mut response, mut elected) = (Vec::new(), Vec::new(), BTreeSet::new());
        for topic_partition in partitions.unwrap_or_else(|| self.every_partition()) {
            let result = self.elect_leader(election, &topic_partition);
            if all && matches!(&result, Err(error) if error.code() == ErrorCode::ElectionNotNeeded) {
                continue;
            }
            // Naming a partition twice does not elect twice.
            let result = result.map(|record| {
                if elected.insert(topic_partition.clone()) {
                    records.push(record);
                }
            });
            let result = result.map_err(|error| error.with_topic_partition(topic_partition.clone()));
            response.push((topic_partition, result));
        }
        Outcome { records, response }
    }

    fn every_partition(&self) -> Vec<TopicPartition> {
        let of_topic = |topic: &Arc<TopicImage>| {
            let name = topic.name.clone();
            (0..topic.partitions.len() as i32).map(move |index| TopicPartition::new(name.clone(), index))
        };
        self.image.topics.values().flat_map(of_topic).collect()
    }

    fn elect_leader(&self, election: ElectionType, of: &TopicPartition) -> Result<MetadataRecord, Error> {
        let unknown = |message: String| Error::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = self.image.topic(of.topic()).ok_or_else(|| unknown(format!("No such topic as {}", of.topic())))?;
        let partition = usize::try_from(of.partition()).ok().and_then(|index| topic.partitions.get(index));
        let partition = partition.ok_or_else(|| unknown(format!("No such partition as {of}")))?;
        self.elect(election, partition, topic.id, of.partition())
    }

    fn elect(
        &self,
        election: ElectionType,
        partition: &PartitionImage,
        topic_id: TopicId,
        index: i32,
    ) -> Result<MetadataRecord, Error> {
        let preferred = partition.replicas.first().copied();
        let is_done = match election {
            ElectionType::Preferred => Some(partition.leader) == preferred,
            ElectionType::Unclean => partition.leader != BrokerId::NONE,
        };
        if is_done {
            return Err(ErrorCode::ElectionNotNeeded.into());
        }
        let is_active = |id: &BrokerId| self.image.is_active(*id);
        let in_sync = |id: &BrokerId| partition.isr.contains(id) && is_active(id);
        let anybody_in_sync = || partition.replicas.iter().copied().find(in_sync);
        let (leader, isr) = match election {
            ElectionType::Preferred => {
                // Where nobody leads, any replica that is in sync is better than none.
                let leader = preferred.filter(in_sync).or_else(|| match partition.leader {
                    BrokerId::NONE => anybody_in_sync(),
                    _ => None,
                });
                (leader.ok_or(ErrorCode::PreferredLeaderNotAvailable)?, None)
            }
            ElectionType::Unclean => match anybody_in_sync() {
                Some(leader) => (leader, None),
                None => {
                    let leader = partition.replicas.iter().copied().find(is_active);
                    let leader = leader.ok_or(ErrorCode::EligibleLeadersNotAvailable)?;
                    (leader, Some(vec![leader]))
                }
            },
        };
        Ok(MetadataRecord::PartitionChange { topic_id, partition: index, isr, leader: Some(leader) })
    }
}
