//! LeaveGroup: any number of members at once, by member id or, for static ones, by instance id.
//!
//! A static member that only restarts does not leave; an administrator removes one by its instance id.

use std::sync::Arc;

use super::context::Context;
use super::group::ClassicGroup;
use super::state::GroupState;
use crate::coordinator::group::{LeaveGroupMember, LeaveGroupRequest, LeaveGroupResponse};
use crate::error::ErrorCode;

impl ClassicGroup {
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        if self.state == GroupState::Dead {
            return LeaveGroupResponse { error: ErrorCode::CoordinatorNotAvailable, members: Vec::new() };
        }
        let mut members = Vec::with_capacity(request.members.len());
        for leaving in &request.members {
            let result = self.leaving_member_id(leaving);
            members.push(result.as_ref().err().copied().unwrap_or(ErrorCode::None));
            if let Ok(member_id) = result {
                self.remove_member(cx, &member_id);
            }
        }
        if members.contains(&ErrorCode::None) && self.state != GroupState::Empty {
            self.rebalance(cx);
        }
        LeaveGroupResponse { error: ErrorCode::None, members }
    }

    fn leaving_member_id(&self, leaving: &LeaveGroupMember) -> Result<Arc<str>, ErrorCode> {
        let LeaveGroupMember { member_id, group_instance_id, reason: _ } = leaving;
        if member_id.is_empty() {
            let known = group_instance_id.as_deref().and_then(|instance_id| self.static_members.get(instance_id));
            return known.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.pending_joins.contains(member_id.as_str()) {
            self.validate_member(member_id, group_instance_id.as_deref())?;
        }
        Ok(member_id.as_str().into())
    }
}
