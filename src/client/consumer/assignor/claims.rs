//! [`Claims`]: which member each partition belongs to before the rebalance, judged from what the members say.

use super::group::{Group, Placement};
use crate::types::TopicPartition;

/// What one member says it owned, and since which generation; -1 where it does not know.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) generation: i32,
}

/// The strongest claim to one partition.
#[derive(Clone, Copy, Debug)]
struct Claim {
    generation: i32,
    /// `None` if two members make the same claim.
    owner: Option<usize>,
}

/// By topic and partition. The claim of the highest generation wins, because the others are memories of members that
/// missed a rebalance. If two members of that generation claim the same partition, neither is believed.
///
/// Kafka compares claims one after another, so that a third, higher claim to a contested partition loses if it comes
/// last; here the order of members never matters.
#[derive(Debug)]
pub(super) struct Claims {
    claims: Vec<Vec<Option<Claim>>>,
}

impl Claims {
    /// `owned` has one entry a member, in the group's order. Partitions that no longer exist are passed over.
    pub(super) fn new(group: &Group<'_>, owned: &[Owned]) -> Self {
        debug_assert_eq!(owned.len(), group.members.len());
        let mut claims: Vec<_> = group.topics.iter().map(|topic| vec![None; topic.partitions]).collect();
        for (member, Owned { partitions, generation }) in owned.iter().enumerate() {
            for (topic, partition) in partitions.iter().filter_map(|partition| group.locate(partition)) {
                let slot: &mut Option<Claim> = &mut claims[topic][partition];
                match slot {
                    Some(claim) if claim.generation > *generation => {}
                    Some(claim) if claim.generation == *generation => {
                        claim.owner = claim.owner.filter(|owner| *owner == member);
                    }
                    _ => *slot = Some(Claim { generation: *generation, owner: Some(member) }),
                }
            }
        }
        Self { claims }
    }

    /// The undisputed owner.
    pub(super) fn owner(&self, topic: usize, partition: usize) -> Option<usize> {
        self.claims[topic][partition]?.owner
    }

    /// Takes out of the placement what its new owner may not have yet: someone else may still be reading it.
    pub(super) fn withhold_moving(&self, placement: &mut Placement) {
        for (row, claims) in placement.iter_mut().zip(&self.claims) {
            for (slot, claim) in row.iter_mut().zip(claims) {
                if claim.is_some_and(|claim| claim.owner != *slot) {
                    *slot = None;
                }
            }
        }
    }
}
