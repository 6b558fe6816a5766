//! `sticky`: balanced, and a rebalance moves as little as it can. Eager: members carry what they had in their user data.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use parking_lot::Mutex;

use super::claims::{Claims, Owned};
use super::group::{Group, Placement};
use super::{Assignor, MemberSubscription, RebalanceProtocol, constrained, general};
use crate::types::{ConsumerProtocolAssignment, TopicPartition};
use crate::util::codec::{DecodeError, Reader, Writer};

pub(super) const NAME: &str = "sticky";

/// A generation that nobody was in.
pub(super) const NO_GENERATION: i32 = -1;

/// Remembers its member's last assignment, because an eager member owns nothing by the time it rejoins.
#[derive(Debug, Default)]
pub(super) struct StickyAssignor {
    last: Mutex<Option<Owned>>,
}

impl Assignor for StickyAssignor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn protocols(&self) -> &'static [RebalanceProtocol] {
        &[RebalanceProtocol::Eager]
    }

    fn subscription_user_data(&self, _topics: &[String]) -> Option<Bytes> {
        self.last.lock().as_ref().map(encode)
    }

    fn on_assignment(&self, assignment: &ConsumerProtocolAssignment, generation: i32) {
        *self.last.lock() = Some(Owned { partitions: assignment.partitions.clone(), generation });
    }

    fn assign(
        &self,
        partition_counts: &BTreeMap<String, i32>,
        members: &[MemberSubscription],
    ) -> HashMap<String, ConsumerProtocolAssignment> {
        let group = Group::by_member_id(partition_counts, members);
        let owned: Vec<_> =
            group.members.iter().map(|member| decode(member.subscription.user_data.as_deref())).collect();
        let placement = balanced_placement(&group, &Claims::new(&group, &owned));
        group.assignments(&placement)
    }
}

/// What both sticky assignors aim at.
pub(super) fn balanced_placement(group: &Group<'_>, claims: &Claims) -> Placement {
    if group.subscribes_alike() { constrained::assign(group, claims) } else { general::assign(group, claims) }
}

/// Java's `StickyAssignorUserData` version 1: partitions by topic, then the generation.
fn encode(owned: &Owned) -> Bytes {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &owned.partitions {
        by_topic.entry(partition.topic()).or_default().push(partition.partition());
    }
    let mut writer = Writer::new();
    writer.array_length(by_topic.len());
    for (topic, partitions) in by_topic {
        writer.string(topic).array_length(partitions.len());
        for partition in partitions {
            writer.i32(partition);
        }
    }
    writer.i32(owned.generation);
    writer.into_bytes()
}

/// Reads versions 0, without a generation, and 1. As in Kafka, what does not parse counts as nothing.
fn decode(user_data: Option<&[u8]>) -> Owned {
    fn partitions(reader: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
        let mut partitions = Vec::new();
        for _ in 0..reader.array_length()? {
            let topic: std::sync::Arc<str> = reader.string()?.into();
            for _ in 0..reader.array_length()? {
                partitions.push(TopicPartition::new(topic.clone(), reader.i32()?));
            }
        }
        Ok(partitions)
    }
    let mut reader = Reader::new(user_data.unwrap_or_default());
    let partitions = partitions(&mut reader).unwrap_or_default();
    Owned { partitions, generation: reader.i32().unwrap_or(NO_GENERATION) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_that_of_javas_sticky_assignor() {
        let assignor = StickyAssignor::default();
        assert_eq!(assignor.subscription_user_data(&[]), None);
        let partitions = vec![("t", 1).into(), ("a", 0).into(), ("t", 2).into()];
        assignor.on_assignment(&ConsumerProtocolAssignment { partitions, user_data: None }, 7);
        let bytes = assignor.subscription_user_data(&["t".into()]).unwrap();
        let expected = b"\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\0\0\x01t\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x07";
        assert_eq!(bytes[..], expected[..]);

        let owned = decode(Some(&bytes));
        assert_eq!(owned.partitions, [("a", 0).into(), ("t", 1).into(), ("t", 2).into()]);
        assert_eq!(owned.generation, 7);
    }

    #[test]
    fn user_data_of_version_0_has_no_generation() {
        let owned = decode(Some(b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x05"));
        assert_eq!((owned.partitions, owned.generation), (vec![("t", 5).into()], NO_GENERATION));
    }

    #[test]
    fn user_data_that_does_not_parse_claims_nothing() {
        for bytes in [None, Some(&b""[..]), Some(b"\0\0"), Some(b"\x7f\xff\xff\xff"), Some(b"\0\0\0\x01\0\x09t")] {
            let owned = decode(bytes);
            assert_eq!(owned.partitions, [], "{bytes:?}");
        }
    }
}
