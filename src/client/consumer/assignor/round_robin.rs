//! `roundrobin`: all partitions in order, dealt to the members in order.

use std::collections::{BTreeMap, HashMap};

use super::group::Group;
use super::{Assignor, MemberSubscription, RebalanceProtocol};
use crate::types::ConsumerProtocolAssignment;

pub(super) const NAME: &str = "roundrobin";

/// The deal goes on from topic to topic, and skips members that do not subscribe to the topic at hand.
#[derive(Debug)]
pub(super) struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
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
        let mut next = 0;
        for (topic, row) in group.topics.iter().zip(&mut placement) {
            for slot in row {
                let turn = topic.consumers.partition_point(|consumer| *consumer < next) % topic.consumers.len();
                *slot = Some(topic.consumers[turn]);
                next = (topic.consumers[turn] + 1) % group.members.len();
            }
        }
        group.assignments(&placement)
    }
}
