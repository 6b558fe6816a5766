//! JoinGroup.
//!
//! A first request without member id gets one, with `MEMBER_ID_REQUIRED`, and joins with it (KIP-394): a client that
//! gives up in between leaves no member behind. A joining member waits for the others, except that a member of the
//! present generation who changes nothing is told about it at once.

use std::sync::Arc;

use super::context::Context;
use super::group::ClassicGroup;
use super::member::Member;
use super::rebalance::NEW_MEMBER_JOIN_TIMEOUT_MS;
use super::state::GroupState;
use crate::coordinator::group::Note;
use crate::coordinator::group::{JoinGroupRequest, Reply, Token};
use crate::error::ErrorCode;

/// How many member ids a group may have handed out that nobody has joined with yet. Kafka has no limit; clients come back
/// with their id at once, so that more than a few mean that something is wrong.
pub(super) const MAX_PENDING_MEMBER_IDS: usize = 10_000;

impl ClassicGroup {
    pub(crate) fn join(&mut self, cx: &mut Context<'_>, token: Token, request: JoinGroupRequest) {
        let member_id: Arc<str> = request.member_id.as_str().into();
        if self.state == GroupState::Dead {
            cx.reply(token, Reply::join_error(&member_id, ErrorCode::CoordinatorNotAvailable));
        } else if !self.has_room_for(&member_id, cx.config().max_size) {
            self.remove_member(cx, &member_id);
            cx.reply(token, Reply::join_error("", ErrorCode::GroupMaxSizeReached));
        } else if !self.supports_protocols(&request.protocol_type, &request.protocols) {
            cx.reply(token, Reply::join_error(&member_id, ErrorCode::InconsistentGroupProtocol));
        } else if member_id.is_empty() {
            self.join_without_member_id(cx, token, request);
        } else if !self.pending_joins.contains(&member_id) {
            self.rejoin(cx, token, &member_id, &request);
        } else if request.group_instance_id.is_some() {
            // Static members get no pending ids: no client of Kafka's does this.
            cx.reply(token, Reply::join_error("", ErrorCode::UnknownServerError));
        } else {
            self.add_member(cx, token, member_id, request);
        }
    }

    /// Whether the next generation may include this member. One that waits already, or belongs to the present
    /// generation while no rebalance is under way, keeps its place.
    fn has_room_for(&self, member_id: &str, max_size: usize) -> bool {
        // Counting who has joined takes a look at every member: not for each of those who join one after another.
        if self.members.len() < max_size {
            return true;
        }
        let member = self.members.get(member_id);
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|member| member.awaiting_join.is_some()) || self.joined_count() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => member.is_some() || self.members.len() < max_size,
        }
    }

    fn join_without_member_id(&mut self, cx: &mut Context<'_>, token: Token, request: JoinGroupRequest) {
        let member_id = self.unused_member_id(cx, request.group_instance_id.as_deref().unwrap_or(&request.client_id));
        let known = request.group_instance_id.as_deref().and_then(|instance_id| self.static_members.get(instance_id));
        if let Some(known) = known.cloned() {
            self.rejoin_as_static(cx, token, known, member_id, &request);
        } else if request.group_instance_id.is_none() && request.require_known_member_id {
            if self.pending_joins.len() >= MAX_PENDING_MEMBER_IDS {
                cx.reply(token, Reply::join_error("", ErrorCode::GroupMaxSizeReached));
                return;
            }
            cx.schedule_session(&self.id, &member_id, request.session_timeout_ms);
            cx.reply(token, Reply::join_error(&member_id, ErrorCode::MemberIdRequired));
            self.pending_joins.insert(member_id);
        } else {
            self.add_member(cx, token, member_id, request);
        }
    }

    /// A shard that was loaded with the seed of the one before it draws the same ids once more.
    fn unused_member_id(&self, cx: &mut Context<'_>, prefix: &str) -> Arc<str> {
        loop {
            let member_id = cx.new_member_id(prefix);
            if !self.members.contains_key(&member_id) && !self.pending_joins.contains(&member_id) {
                return member_id;
            }
        }
    }

    fn add_member(&mut self, cx: &mut Context<'_>, token: Token, member_id: Arc<str>, request: JoinGroupRequest) {
        if let Some(initial) = &mut self.initial_delay {
            initial.member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        cx.schedule_session(&self.id, &member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        cx.note(Note::MemberJoined { group_id: self.id.clone(), member_id: member_id.clone() });
        self.insert_member(Member::joining(member_id, token, request));
        self.rebalance(cx);
    }

    fn rejoin(&mut self, cx: &mut Context<'_>, token: Token, member_id: &Arc<str>, request: &JoinGroupRequest) {
        if let Err(error) = self.validate_member(member_id, request.group_instance_id.as_deref()) {
            cx.reply(token, Reply::join_error(member_id, error));
            return;
        }
        let is_leader = self.is_leader(member_id);
        let member = self.members.get_mut(member_id).expect("validated above");
        let changes = member.protocols != request.protocols;
        // A leader that comes back to a stable group wants another assignment: partitions may have been added.
        let rebalances = match self.state {
            GroupState::PreparingRebalance => true,
            GroupState::CompletingRebalance => changes,
            GroupState::Stable => changes || is_leader,
            GroupState::Empty | GroupState::Dead => unreachable!("{member_id} is a member of an empty group"),
        };
        if rebalances {
            member.update(request);
            // A client sends one JoinGroup at a time: one that still waits comes from a connection that is gone.
            if let Some(replaced) = member.awaiting_join.replace(token) {
                cx.reply(replaced, Reply::join_error(member_id, ErrorCode::RebalanceInProgress));
            }
            self.rebalance(cx);
        } else {
            // The answer to its first request of this generation was lost.
            let response = self.join_response(member_id);
            cx.reply(token, Reply::Join(response));
        }
    }
}
