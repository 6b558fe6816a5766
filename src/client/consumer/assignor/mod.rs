//! Who reads what: the assignors of the classic group protocol, run by the member that the coordinator chose as leader.
//!
//! They live in the client because that is where Kafka has them: the coordinator carries subscriptions and assignments
//! as opaque bytes, so members in other languages share a group with these. All of them are pure functions of the
//! subscriptions and of the partition counts; only [`sticky`] remembers something, its member's last assignment.
//!
//! Invariants, whatever the input:
//! 1. Every member is in the result, if only with an empty assignment.
//! 2. Every partition of a topic that has a subscriber goes to exactly one of its subscribers. The one exception is
//!    cooperative: a partition that leaves a living owner is withheld until the owner has revoked it.
//! 3. The result does not depend on the order in which members are passed, and lists partitions in order.
//!
//! Racks (KIP-881) are not looked at: replicas of one process have none.

mod claims;
mod constrained;
mod cooperative_sticky;
mod general;
mod group;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::config::property::invalid;
use crate::error::{Error, Result};
use crate::types::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};

/// How a member passes through a rebalance (KIP-429).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RebalanceProtocol {
    /// It revokes everything before it rejoins.
    Eager,
    /// It keeps what it has and revokes, in a second rebalance, only what it loses.
    Cooperative,
}

/// One member, as the leader sees it in the JoinGroup response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberSubscription {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) subscription: ConsumerProtocolSubscription,
}

impl MemberSubscription {
    /// Kafka's order of members: static ones first, by instance id, so that a restart keeps its place; then the dynamic
    /// ones by member id.
    fn kafka_order(&self, other: &Self) -> Ordering {
        match (&self.group_instance_id, &other.group_instance_id) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.member_id.cmp(&other.member_id),
        }
    }
}

/// An assignment strategy: Kafka's `ConsumerPartitionAssignor`.
pub(crate) trait Assignor: Send + Sync {
    /// The protocol name under which members vote for it.
    fn name(&self) -> &'static str;

    /// The rebalance protocols it can serve, the preferred one first.
    fn protocols(&self) -> &'static [RebalanceProtocol];

    /// What the member's subscription carries for this assignor.
    fn subscription_user_data(&self, _topics: &[String]) -> Option<Bytes> {
        None
    }

    /// Called on every member with what it was given.
    fn on_assignment(&self, _assignment: &ConsumerProtocolAssignment, _generation: i32) {}

    /// Called on the leader. Topics without an entry in `partition_counts` do not exist and are passed over.
    fn assign(
        &self,
        partition_counts: &BTreeMap<String, i32>,
        members: &[MemberSubscription],
    ) -> HashMap<String, ConsumerProtocolAssignment>;
}

/// How a group's partitions are divided among its members: Kafka's `partition.assignment.strategy`.
///
/// A consumer names the strategies that it supports, the preferred one first; the group uses one that all members
/// support. Kafka's default is [`Range`](Self::Range), then [`CooperativeSticky`](Self::CooperativeSticky).
///
/// ```
/// use brokerless::PartitionAssignor;
/// let java = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
/// assert_eq!(java.parse::<PartitionAssignor>()?, PartitionAssignor::CooperativeSticky);
/// assert_eq!("range".parse::<PartitionAssignor>()?, PartitionAssignor::Range);
/// # Ok::<(), brokerless::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartitionAssignor {
    /// `range`: topic by topic, each member a run of consecutive partitions. Members that subscribe to the same topics
    /// get the same partition numbers of each, which is what joins of topics with equal partition counts need.
    Range,
    /// `roundrobin`: all partitions of all topics are dealt out like cards.
    RoundRobin,
    /// `sticky`: as balanced as round-robin, but a rebalance moves as little as it can. Members revoke everything
    /// while they rebalance.
    Sticky,
    /// `cooperative-sticky`: as `sticky`, but members keep reading what stays theirs, and a partition that moves is
    /// revoked by its old owner before its new owner gets it (KIP-429).
    CooperativeSticky,
}

impl PartitionAssignor {
    const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// Kafka's protocol name, such as `cooperative-sticky`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => range::NAME,
            Self::RoundRobin => round_robin::NAME,
            Self::Sticky => sticky::NAME,
            Self::CooperativeSticky => cooperative_sticky::NAME,
        }
    }

    const fn java_class(self) -> &'static str {
        match self {
            Self::Range => "org.apache.kafka.clients.consumer.RangeAssignor",
            Self::RoundRobin => "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            Self::Sticky => "org.apache.kafka.clients.consumer.StickyAssignor",
            Self::CooperativeSticky => "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        }
    }

    pub(crate) fn build(self) -> Box<dyn Assignor> {
        match self {
            Self::Range => Box::new(range::RangeAssignor),
            Self::RoundRobin => Box::new(round_robin::RoundRobinAssignor),
            Self::Sticky => Box::new(sticky::StickyAssignor::default()),
            Self::CooperativeSticky => Box::new(cooperative_sticky::CooperativeStickyAssignor::default()),
        }
    }
}

/// Takes the protocol's name (`cooperative-sticky`) and the name of Java's class.
///
/// # Errors
/// [`InvalidConfig`](crate::ErrorCode::InvalidConfig) for any other.
impl FromStr for PartitionAssignor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|it| text == it.name() || text == it.java_class());
        named.ok_or_else(|| invalid("partition.assignment.strategy", text, "no such assignor"))
    }
}

impl fmt::Display for PartitionAssignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
