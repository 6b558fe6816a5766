//! DeleteGroups, OffsetDelete, and the offsets of deleted topics.

use std::collections::HashSet;

use super::classic::ClassicGroup;
use super::expiry::Tombstones;
use super::outcome::Outcome;
use super::record;
use super::request::{OffsetDeleteRequest, OffsetDeleteResponse, Reply, Token};
use super::shard::{GroupShard, validate_group_id};
use crate::error::ErrorCode;

impl GroupShard {
    /// Forgets a group without members, and what it has committed. `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`.
    pub(crate) fn handle_delete_group(&mut self, _now_ms: i64, token: Token, group_id: &str) -> Outcome {
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound);
        if let Err(error) = group.and_then(ClassicGroup::validate_delete) {
            return Outcome::reply(token, Reply::DeleteGroup(error));
        }
        let offsets = self.offsets.of_group(group_id);
        let tombstones = offsets.map(|(partition, _)| record::offset_tombstone(group_id, partition));
        Outcome {
            records: tombstones.chain([record::group_tombstone(group_id)]).collect(),
            replies: vec![(token, Reply::DeleteGroup(ErrorCode::None))],
        }
    }

    /// Forgets offsets of a group, except for the topics that its members read: those are
    /// `GROUP_SUBSCRIBED_TO_TOPIC`. For the whole request: `INVALID_GROUP_ID`, `GROUP_ID_NOT_FOUND`, and
    /// `NON_EMPTY_GROUP` if the members are not consumers. An offset that is not there counts as forgotten.
    pub(crate) fn handle_offset_delete(&mut self, _now_ms: i64, token: Token, request: OffsetDeleteRequest) -> Outcome {
        let OffsetDeleteRequest { group_id, partitions } = request;
        let group = validate_group_id(&group_id)
            .and_then(|()| self.groups.get(group_id.as_str()).ok_or(ErrorCode::GroupIdNotFound))
            .and_then(|group| group.validate_offset_delete().map(|()| group));
        let group = match group {
            Ok(group) => group,
            Err(error) => {
                let response = OffsetDeleteResponse { error, partitions: Vec::new() };
                return Outcome::reply(token, Reply::OffsetDelete(response));
            }
        };
        let is_subscribed = group.topic_subscriptions();
        let (mut records, mut answers) = (Vec::new(), Vec::with_capacity(partitions.len()));
        for partition in partitions {
            let is_refused = is_subscribed(partition.topic());
            if !is_refused && self.offsets.get(&group_id, &partition).is_some() {
                records.push(record::offset_tombstone(&group_id, &partition));
            }
            answers.push((partition, if is_refused { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None }));
        }
        let response = OffsetDeleteResponse { error: ErrorCode::None, partitions: answers };
        Outcome { records, replies: vec![(token, Reply::OffsetDelete(response))] }
    }

    /// Forgets every group's offsets for these topics, beginning with the group `first`; as many as one batch may hold.
    /// Returns, too, the group to go on with once the records are appended; `None` when that was all.
    pub(crate) fn on_topics_deleted(&mut self, topics: &HashSet<&str>, first: &str) -> (Outcome, Option<String>) {
        let mut tombstones = Tombstones::default();
        let mut next = None;
        for (group_id, partition) in self.offsets.of_topics(first, topics) {
            if tombstones.is_full() {
                next = Some(group_id.to_owned());
                break;
            }
            tombstones.push(record::offset_tombstone(group_id, partition));
        }
        (tombstones.into_outcome(), next)
    }
}
