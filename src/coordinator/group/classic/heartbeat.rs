//! Heartbeats, and what happens when they stay away.

use std::sync::Arc;

use super::context::Context;
use super::group::ClassicGroup;
use super::state::GroupState;
use crate::coordinator::group::HeartbeatRequest;
use crate::coordinator::group::Note;
use crate::error::ErrorCode;

impl ClassicGroup {
    pub(crate) fn heartbeat(&mut self, cx: &mut Context<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let answer = self.validate_heartbeat(request);
        // A member that has to join again is alive all the same.
        if matches!(answer, Ok(()) | Err(ErrorCode::RebalanceInProgress)) {
            self.touch_member(cx, &request.member_id);
        }
        answer
    }

    /// What a heartbeat is answered.
    pub(super) fn validate_heartbeat(&self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        self.validate_generation(request.generation_id)?;
        if self.state == GroupState::PreparingRebalance { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// The member has shown that it is alive.
    pub(crate) fn touch_member(&self, cx: &mut Context<'_>, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            cx.renew_session(&self.id, member);
        }
    }

    /// The sessions of a group that has just been loaded begin now. One with more members than `group.max.size` allows,
    /// because that has been lowered, begins a rebalance that will not take all of them back.
    pub(crate) fn on_loaded(&mut self, cx: &mut Context<'_>) {
        for member in self.members.values() {
            cx.renew_session(&self.id, member);
        }
        if self.members.len() > cx.config().max_size {
            self.prepare_rebalance(cx);
        }
    }

    /// Nothing was heard of the member, or of the owner of a pending member id, for its session timeout.
    pub(crate) fn on_session_timeout(&mut self, cx: &mut Context<'_>, member_id: &Arc<str>) {
        if self.members.get(member_id).is_some_and(|member| member.has_satisfied_heartbeat()) {
            // The coordinator owes it an answer, which will start its session again.
            return;
        }
        let was_member = self.members.contains_key(member_id);
        if was_member {
            cx.note(Note::SessionExpired { group_id: self.id.clone(), member_id: member_id.clone() });
        }
        self.remove_member(cx, member_id);
        match self.state {
            GroupState::PreparingRebalance if self.has_all_joined() => self.complete_join(cx),
            GroupState::CompletingRebalance | GroupState::Stable if was_member => self.prepare_rebalance(cx),
            _ => {}
        }
    }
}
