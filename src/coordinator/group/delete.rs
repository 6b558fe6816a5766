//! DeleteGroups, and the offsets of deleted topics.

use super::classic::ClassicGroup;
use super::outcome::Outcome;
use super::record;
use super::request::{Reply, Token};
use super::shard::GroupShard;
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

    /// Forgets every group's offsets for these topics.
    pub(crate) fn on_topics_deleted(&mut self, _now_ms: i64, topics: &[impl AsRef<str>]) -> Outcome {
        let offsets = self.offsets.of_topics(|topic| topics.iter().any(|deleted| deleted.as_ref() == topic));
        let records = offsets.map(|(group_id, partition)| record::offset_tombstone(group_id, partition)).collect();
        Outcome { records, replies: Vec::new() }
    }
}
