//! The shard and its log: replay, loading, lost appends, unloading.

use std::sync::Arc;

use super::classic::{ClassicGroup, Context, StagedChange};
use super::expiry::Expiry;
use super::note::Note;
use super::outcome::{Outcome, append_error};
use super::record::{self, GroupMetadata, GroupRecordKey};
use super::request::{Reply, Token};
use super::shard::GroupShard;
use crate::error::ErrorCode;
use crate::types::Offset;
use crate::util::codec::DecodeError;

/// When a group entered its state, if only its offsets tell of it.
const UNKNOWN_TIMESTAMP_MS: i64 = -1;

impl GroupShard {
    /// Takes in the record at `offset` of the log: the only way in which offsets and the lasting part of groups change.
    /// Kinds of records that this coordinator does not keep are passed over.
    pub(crate) fn replay(&mut self, offset: Offset, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        assert!(self.last_replayed.is_none_or(|last| last < offset), "offset {offset} is replayed out of order");
        self.last_replayed = Some(offset);
        match (GroupRecordKey::decode(key)?, value) {
            (None, _) => {}
            (Some(GroupRecordKey::OffsetCommit { group_id, topic_partition }), Some(value)) => {
                let committed = record::decode_offset_commit(value)?;
                if !self.groups.contains_key(group_id.as_str()) {
                    self.groups.add(ClassicGroup::new(group_id.as_str().into(), UNKNOWN_TIMESTAMP_MS));
                }
                self.offsets.put(group_id, topic_partition, committed);
            }
            (Some(GroupRecordKey::OffsetCommit { group_id, topic_partition }), None) => {
                self.offsets.remove(&group_id, &topic_partition);
            }
            (Some(GroupRecordKey::GroupMetadata { group_id }), Some(value)) => {
                self.replay_group(group_id, GroupMetadata::decode(value)?)?;
            }
            (Some(GroupRecordKey::GroupMetadata { group_id }), None) => self.forget_group(&group_id),
        }
        Ok(())
    }

    fn replay_group(&mut self, group_id: String, metadata: GroupMetadata) -> Result<(), DecodeError> {
        match self.staged.take_if(|staged| *staged.group_id == *group_id) {
            Some(staged) => {
                let group = self.groups.get_mut(&staged.group_id).expect("a staged change has a group");
                if let StagedChange::Assignment = staged.change {
                    let (group_id, generation_id) = (Arc::clone(&staged.group_id), metadata.generation_id);
                    self.environment.notes.push(Note::RebalanceCompleted { group_id, generation_id });
                }
                group.apply_staged(staged, metadata);
            }
            None => {
                let group = ClassicGroup::restored(group_id.as_str().into(), metadata)?;
                self.forget_group(&group_id);
                self.groups.add(group);
            }
        }
        Ok(())
    }

    fn forget_group(&mut self, group_id: &str) {
        if let Some(group) = self.groups.remove(group_id) {
            group.cancel_timers(&mut self.environment.timers);
            debug_assert!(!group.has_waiting_requests(), "{group_id} goes and leaves requests unanswered");
        }
    }

    /// The log has been replayed to its end: sessions begin, and events may come.
    pub(crate) fn on_loaded(&mut self, now_ms: i64) {
        self.expiry.put_off(now_ms, self.environment.config.offsets_retention_check_interval_ms);
        let mut cx = Context::new(now_ms, &mut self.environment);
        for group in self.groups.values_mut() {
            group.on_loaded(&mut cx);
        }
        assert!(cx.outcome.is_empty(), "nobody waits yet");
    }

    /// The records of `outcome`, the last one, could not be appended, for the reason `code`. Takes back what they were
    /// to do, and answers in their stead: also requests that were to wait.
    pub(crate) fn on_append_failed(&mut self, outcome: Outcome, code: ErrorCode) -> Vec<(Token, Reply)> {
        let error = append_error(code);
        self.expiry.give_up(self.environment.config.offsets_retention_check_interval_ms);
        let mut replies: Vec<_> =
            outcome.replies.into_iter().map(|(token, reply)| (token, reply.failed(error))).collect();
        if let Some(staged) = self.staged.take() {
            let group = self.groups.get_mut(&staged.group_id).expect("a staged change has a group");
            let is_created = matches!(staged.change, StagedChange::Created);
            let mut cx = Context::new(staged.at_ms, &mut self.environment);
            group.undo_staged(&mut cx, staged.change, error);
            assert!(cx.outcome.records.is_empty(), "taking back a change of {} asks for another", staged.group_id);
            replies.append(&mut cx.outcome.replies);
            if is_created {
                self.forget_group(&staged.group_id);
            }
        }
        replies
    }

    /// The shard has lost its partition: every request that waits is answered `NOT_COORDINATOR`, every group is dead.
    pub(crate) fn unload(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.environment.timers.clear();
        self.expiry = Expiry::new();
        self.staged = None;
        for group in self.groups.values_mut() {
            group.disband(ErrorCode::NotCoordinator, &mut outcome.replies);
        }
        outcome
    }
}
