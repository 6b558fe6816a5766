//! A static member comes back without its member id: its client has been restarted (KIP-345).
//!
//! It gets a new member id, which fences the old one, and in a stable group it keeps its assignment without a
//! rebalance. Beyond Kafka 4, a changed subscription does rebalance (KAFKA-12759): else the topics that are new to it
//! would stay without a reader until something else stirs the group.

use std::sync::Arc;

use super::context::Context;
use super::group::ClassicGroup;
use super::member::Member;
use super::staged::StagedChange;
use super::state::GroupState;
use crate::coordinator::group::{JoinGroupRequest, Reply, Token};
use crate::error::ErrorCode;
use crate::types::ConsumerProtocolSubscription;

impl ClassicGroup {
    pub(super) fn rejoin_as_static(
        &mut self,
        cx: &mut Context<'_>,
        token: Token,
        old_member_id: Arc<str>,
        new_member_id: Arc<str>,
        request: &JoinGroupRequest,
    ) {
        // Whoever goes by the old id is fenced from here on.
        if let Some(token) = self.members.get_mut(&old_member_id).and_then(|old| old.watching.take()) {
            cx.reply(token, Reply::Watch);
        }
        let old = &self.members[&old_member_id];
        let mut member = Member { id: new_member_id.clone(), is_new: false, ..old.clone() };
        member.update(request);
        if self.state == GroupState::Stable && self.keeps_assignment(old, &member) {
            self.stage_replacement(cx, token, old_member_id, member, request.supports_skipping_assignment);
            return;
        }
        if let Some(fenced) = member.awaiting_join.replace(token) {
            cx.reply(fenced, Reply::join_error(&old_member_id, ErrorCode::FencedInstanceId));
        }
        if let Some(fenced) = member.awaiting_sync.take() {
            cx.reply(fenced, Reply::sync_error(ErrorCode::FencedInstanceId));
        }
        cx.cancel_session(&self.id, &old_member_id);
        cx.renew_session(&self.id, &member);
        self.replace_member(&old_member_id, member);
        self.rebalance(cx);
    }

    /// Whether the group would agree on the same protocol and the member still asks for the same.
    fn keeps_assignment(&self, old: &Member, member: &Member) -> bool {
        // Under its old id, so that a leader keeps the casting vote.
        let member = &Member { id: old.id.clone(), ..member.clone() };
        let selected =
            self.select_protocol(self.members.values().map(|known| if known.id == old.id { member } else { known }));
        let Some(protocol_name) = selected.filter(|name| self.protocol_name.as_ref() == Some(name)) else {
            return false;
        };
        if !self.is_of_consumers() {
            return true;
        }
        // Only the topics count: what a member owned, or its generation, differs from one join to the next anyway.
        let topics = |member: &Member| {
            let subscription = ConsumerProtocolSubscription::decode(&member.subscription(&protocol_name)).ok()?;
            let mut topics = subscription.topics;
            topics.sort_unstable();
            Some(topics)
        };
        topics(old) == topics(member)
    }

    fn stage_replacement(
        &self,
        cx: &mut Context<'_>,
        token: Token,
        old_member_id: Arc<str>,
        member: Member,
        supports_skipping_assignment: bool,
    ) {
        debug_assert!(member.awaiting_join.is_none() && member.awaiting_sync.is_none(), "{old_member_id} still waits");
        let is_leader = self.is_leader(&old_member_id);
        let leader = if is_leader { Some(&member.id) } else { self.leader.as_ref() };
        let members = || self.members.values().map(|known| if known.id == old_member_id { &member } else { known });
        let metadata = self.metadata(leader.map(|id| &**id), members(), |member| member.assignment.clone());

        let mut response = self.join_response(&member.id);
        if supports_skipping_assignment {
            // A leader told of its rank, but to skip the assignment, watches for metadata changes again (KIP-814).
            response.leader = leader.map(|id| id.to_string()).unwrap_or_default();
            response.skip_assignment = is_leader;
            if is_leader {
                let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
                response.members = members().map(|member| member.for_leader(protocol_name)).collect();
            }
        }
        // An older leader sees its former id as the leader's, takes itself for a follower and asks for its assignment.
        cx.reply(token, Reply::Join(response));
        cx.cancel_session(&self.id, &old_member_id);
        cx.renew_session(&self.id, &member);
        cx.stage(
            &self.id,
            StagedChange::StaticMember { old_member_id, member: Box::new(member) },
            metadata.to_record(&self.id),
        );
    }
}
