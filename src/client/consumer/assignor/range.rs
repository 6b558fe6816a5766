//! `range`: each topic by itself, in runs of consecutive partitions.

use std::collections::{BTreeMap, HashMap};

use super::group::Group;
use super::{Assignor, MemberSubscription, RebalanceProtocol};
use crate::types::ConsumerProtocolAssignment;

pub(super) const NAME: &str = "range";

/// Of `n` consumers of a topic with `p` partitions, the first `p % n` get one more than `p / n`.
#[derive(Debug)]
pub(super) struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn protocols(&self) -> &'static [RebalanceProtocol] {
        &[RebalanceProtocol::Eager]
    }

    fn assign(
        &self,
        partition_counts: &BTreeMap<String, i32>,
        members: &[MemberSubscription],
    ) -> HashMap<String, ConsumerProtocolAssignment> {
        let group = Group::in_kafka_order(partition_counts, members);
        let mut placement = group.empty_placement();
        for (topic, row) in group.topics.iter().zip(&mut placement) {
            let each = topic.partitions / topic.consumers.len();
            let extra = topic.partitions % topic.consumers.len();
            let mut rest = &mut row[..];
            for (position, consumer) in topic.consumers.iter().enumerate() {
                let (run, after) = rest.split_at_mut(each + usize::from(position < extra));
                run.fill(Some(*consumer));
                rest = after;
            }
        }
        group.assignments(&placement)
    }
}
