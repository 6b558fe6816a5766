//! SyncGroup: the leader hands in the assignment, everybody gets theirs.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::context::Context;
use super::group::ClassicGroup;
use super::staged::StagedChange;
use super::state::GroupState;
use crate::coordinator::group::{Reply, SyncGroupRequest, SyncGroupResponse, Token};
use crate::error::ErrorCode;

impl ClassicGroup {
    pub(crate) fn sync(&mut self, cx: &mut Context<'_>, token: Token, request: SyncGroupRequest) {
        if let Err(error) = self.validate_sync(&request) {
            cx.reply(token, Reply::sync_error(error));
            return;
        }
        let (member_id, member) = self.members.get_key_value(request.member_id.as_str()).expect("validated above");
        if self.state == GroupState::Stable {
            let reply = self.sync_reply(member.assignment.clone());
            cx.reply(token, reply);
            let member_id = member_id.clone();
            self.synced(cx, &member_id);
            return;
        }
        let member_id = member_id.clone();
        self.synced(cx, &member_id);
        let member = self.members.get_mut(&member_id).expect("looked up above");
        // As with JoinGroup, a request that still waits comes from a connection that is gone.
        if let Some(replaced) = member.awaiting_sync.replace(token) {
            cx.reply(replaced, Reply::sync_error(ErrorCode::RebalanceInProgress));
        }
        if self.is_leader(&member_id) {
            self.stage_assignment(cx, request.assignments);
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Dead => return Err(ErrorCode::CoordinatorNotAvailable),
            GroupState::Empty => return Err(ErrorCode::UnknownMemberId),
            _ => {}
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        self.validate_generation(request.generation_id)?;
        let differs =
            |asked: &Option<String>, agreed: &Option<String>| asked.is_some() && agreed.is_some() && asked != agreed;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.state == GroupState::PreparingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Ticks the member off the list of those that have yet to ask.
    fn synced(&mut self, cx: &mut Context<'_>, member_id: &Arc<str>) {
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            cx.cancel(&self.sync_timer());
        }
    }

    /// Asks for the leader's assignment to be kept, and answers everybody who waits for it. Members that the leader has
    /// left out get nothing; strangers in the assignment are ignored.
    fn stage_assignment(&mut self, cx: &mut Context<'_>, assignments: Vec<(String, Bytes)>) {
        let assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        let assignment_of = |member_id: &str| assignments.get(member_id).cloned().unwrap_or_default();
        let metadata = self.metadata(self.leader.as_deref(), self.members.values(), |member| assignment_of(&member.id));
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            if let Some(token) = member.awaiting_sync.take() {
                cx.renew_session(&self.id, member);
                waiting.push((token, assignment_of(&member.id)));
            }
        }
        for (token, assignment) in waiting {
            let reply = self.sync_reply(assignment);
            cx.reply(token, reply);
        }
        cx.stage(&self.id, StagedChange::Assignment, metadata.to_record(&self.id));
    }

    /// The generation will get no assignment: whoever waits for it gets `error`.
    pub(super) fn reset_assignments(&mut self, cx: &mut Context<'_>, error: ErrorCode) {
        assert_eq!(self.state, GroupState::CompletingRebalance, "{} has an assignment", self.id);
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                cx.renew_session(&self.id, member);
                cx.reply(token, Reply::sync_error(error));
            }
        }
    }

    fn sync_reply(&self, assignment: Bytes) -> Reply {
        Reply::Sync(SyncGroupResponse {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
        })
    }

    /// The rebalance timeout has passed since the generation began: who has not asked for its assignment is evicted.
    pub(crate) fn on_sync_timeout(&mut self, cx: &mut Context<'_>) {
        assert!(!self.pending_syncs.is_empty(), "a sync timer of {} ran on", self.id);
        for member_id in std::mem::take(&mut self.pending_syncs) {
            self.remove_member(cx, &member_id);
        }
        self.prepare_rebalance(cx);
    }
}
