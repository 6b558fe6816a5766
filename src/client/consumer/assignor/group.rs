//! [`Group`]: members and topics of one rebalance, by index instead of by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::MemberSubscription;
use crate::types::{ConsumerProtocolAssignment, TopicPartition};

/// A topic that exists and that someone reads.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) partitions: usize,
    /// Who subscribes to it: ascending indexes into [`Group::members`], never empty.
    pub(super) consumers: Vec<usize>,
}

/// The members in the order that the assignor wants, and the topics by name.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) members: Vec<&'a MemberSubscription>,
    pub(super) topics: Vec<Topic>,
}

/// Who gets each partition of each topic: indexes into [`Group::members`]; `None` where it is withheld.
pub(super) type Placement = Vec<Vec<Option<usize>>>;

impl<'a> Group<'a> {
    /// Static members first, then by id: what range and round-robin deal to.
    pub(super) fn in_kafka_order(partition_counts: &BTreeMap<String, i32>, members: &'a [MemberSubscription]) -> Self {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|left, right| left.kafka_order(right));
        Self::new(partition_counts, sorted)
    }

    /// By member id alone: the order of the sticky assignors.
    pub(super) fn by_member_id(partition_counts: &BTreeMap<String, i32>, members: &'a [MemberSubscription]) -> Self {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|left, right| left.member_id.cmp(&right.member_id));
        Self::new(partition_counts, sorted)
    }

    fn new(partition_counts: &BTreeMap<String, i32>, members: Vec<&'a MemberSubscription>) -> Self {
        let mut topics: Vec<_> = (partition_counts.iter())
            .filter(|(_, partitions)| **partitions > 0)
            .map(|(name, partitions)| Topic {
                name: name.as_str().into(),
                partitions: *partitions as usize,
                consumers: Vec::new(),
            })
            .collect();
        let index_of: HashMap<Arc<str>, usize> =
            topics.iter().enumerate().map(|(index, topic)| (topic.name.clone(), index)).collect();
        // Members mostly subscribe alike: names are looked up once a run of equal subscriptions.
        let mut names: &[String] = &[];
        let mut indexes = Vec::new();
        for (member, subscriber) in members.iter().enumerate() {
            if subscriber.subscription.topics != names {
                names = &subscriber.subscription.topics;
                indexes = names.iter().filter_map(|name| index_of.get(name.as_str()).copied()).collect();
                indexes.sort_unstable();
                indexes.dedup();
            }
            for &topic in &indexes {
                topics[topic].consumers.push(member);
            }
        }
        topics.retain(|topic| !topic.consumers.is_empty());
        Self { members, topics }
    }

    /// Where a partition stands: indexes of its topic and within it. `None` if nobody reads it or it does not exist.
    pub(super) fn locate(&self, partition: &TopicPartition) -> Option<(usize, usize)> {
        let topic = self.topics.binary_search_by(|topic| (*topic.name).cmp(partition.topic())).ok()?;
        let index = usize::try_from(partition.partition()).ok()?;
        (index < self.topics[topic].partitions).then_some((topic, index))
    }

    /// Whether each topic is read by every member.
    pub(super) fn subscribes_alike(&self) -> bool {
        self.topics.iter().all(|topic| topic.consumers.len() == self.members.len())
    }

    /// A placement to fill in.
    pub(super) fn empty_placement(&self) -> Placement {
        self.topics.iter().map(|topic| vec![None; topic.partitions]).collect()
    }

    /// The answer, by member id.
    pub(super) fn assignments(&self, placement: &Placement) -> HashMap<String, ConsumerProtocolAssignment> {
        let mut assignments = vec![ConsumerProtocolAssignment::default(); self.members.len()];
        for (topic, members) in self.topics.iter().zip(placement) {
            for (partition, member) in members.iter().enumerate() {
                if let Some(member) = member {
                    let partition = TopicPartition::new(topic.name.clone(), partition as i32);
                    assignments[*member].partitions.push(partition);
                }
            }
        }
        self.members.iter().map(|member| member.member_id.clone()).zip(assignments).collect()
    }
}
