//! [`Staged`]: a change of a group's hard state between the event that asked for it and the replay of its record.

use std::sync::Arc;

use super::context::Context;
use super::group::ClassicGroup;
use super::member::Member;
use super::state::GroupState;
use crate::coordinator::group::record::GroupMetadata;
use crate::coordinator::group::{Reply, Token};
use crate::error::ErrorCode;

/// A change that waits for its record.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) group_id: Arc<str>,
    /// When the event came.
    pub(crate) at_ms: i64,
    pub(crate) change: StagedChange,
}

#[derive(Debug)]
pub(crate) enum StagedChange {
    /// The group came into being. A lost append undoes that.
    Created,
    /// The last member has gone. A lost append loses only a generation that nobody has seen.
    Emptied,
    /// The leader's assignment. A lost append begins another rebalance.
    Assignment,
    /// A static member came back under a new member id (KIP-345). After a lost append the old id stays in force.
    StaticMember { old_member_id: Arc<str>, member: Box<Member> },
}

impl ClassicGroup {
    /// Replay has reached the record of `staged`: the change is made.
    pub(crate) fn apply_staged(&mut self, staged: Staged, metadata: GroupMetadata) {
        assert_eq!(metadata.generation_id, self.generation_id, "the record of {} is of another generation", self.id);
        match staged.change {
            StagedChange::Created | StagedChange::Emptied => {}
            StagedChange::Assignment => {
                for member in metadata.members {
                    if let Some(known) = self.members.get_mut(member.member_id.as_str()) {
                        known.assignment = member.assignment;
                    }
                }
                self.transition(GroupState::Stable, staged.at_ms);
            }
            StagedChange::StaticMember { old_member_id, member } => self.replace_member(&old_member_id, *member),
        }
    }

    /// The record of a staged change could not be appended. The outcome's own replies are the caller's.
    pub(crate) fn undo_staged(&mut self, cx: &mut Context<'_>, change: StagedChange, error: ErrorCode) {
        match change {
            StagedChange::Created => self.disband(error, &mut cx.outcome.replies),
            StagedChange::Emptied => {}
            StagedChange::Assignment => {
                self.reset_assignments(cx, error);
                self.prepare_rebalance(cx);
            }
            StagedChange::StaticMember { old_member_id, member } => {
                cx.cancel_session(&self.id, &member.id);
                if let Some(member) = self.members.get(&old_member_id) {
                    cx.renew_session(&self.id, member);
                }
            }
        }
    }

    /// Answers every request that waits and ends the group.
    pub(crate) fn disband(&mut self, error: ErrorCode, replies: &mut Vec<(Token, Reply)>) {
        for member in self.members.values_mut() {
            if let Some(token) = member.awaiting_join.take() {
                replies.push((token, Reply::join_error(&member.id, error)));
            }
            if let Some(token) = member.awaiting_sync.take() {
                replies.push((token, Reply::sync_error(error)));
            }
            if let Some(token) = member.watching.take() {
                replies.push((token, Reply::Watch));
            }
        }
        self.state = GroupState::Dead;
    }
}
