//! From one generation to the next: `PreparingRebalance` begins, waits and ends.

use super::context::Context;
use super::group::{ClassicGroup, InitialDelay};
use super::staged::StagedChange;
use super::state::GroupState;
use crate::coordinator::group::Note;
use crate::coordinator::group::{JoinGroupResponse, Reply};
use crate::error::ErrorCode;

/// How long a new member may wait for its first generation before it is taken for a client that has gone. Kafka's
/// constant: long enough for the longest usual rebalance, because such a member sends no heartbeats.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

/// How long a group waits at least for one of its absent static members to come back and lead: longer than any rebalance
/// timeout that would have the coordinator look again without pause.
const MIN_WAIT_FOR_LEADER_MS: i32 = 1_000;

impl ClassicGroup {
    /// Membership has changed: begins a rebalance, or ends the one under way if nobody is missing any more.
    pub(super) fn rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state.can_rebalance() {
            self.prepare_rebalance(cx);
        } else {
            self.maybe_complete_join(cx);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.reset_assignments(cx, ErrorCode::RebalanceInProgress);
        }
        self.answer_watches(cx);
        self.pending_syncs.clear();
        cx.cancel(&self.sync_timer());
        cx.note(Note::RebalanceBegan { group_id: self.id.clone(), generation_id: self.generation_id });
        let was_empty = self.state == GroupState::Empty;
        self.transition(GroupState::PreparingRebalance, cx.now_ms);
        if was_empty {
            let delay_ms = cx.config().initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms, member_added: false });
            cx.schedule(self.join_timer(), delay_ms);
        } else if self.has_all_joined() {
            self.complete_join(cx);
        } else {
            cx.schedule(self.join_timer(), self.rebalance_timeout_ms());
        }
    }

    /// Ends `PreparingRebalance` early if everybody is there; a group that was empty keeps waiting for more.
    pub(super) fn maybe_complete_join(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance && self.initial_delay.is_none() && self.has_all_joined() {
            self.complete_join(cx);
        }
    }

    pub(crate) fn on_join_timeout(&mut self, cx: &mut Context<'_>) {
        assert_eq!(self.state, GroupState::PreparingRebalance, "a join timer of {} ran on", self.id);
        match &mut self.initial_delay {
            Some(initial) if initial.member_added && initial.remaining_ms != 0 => {
                let delay_ms = cx.config().initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                *initial = InitialDelay { delay_ms, remaining_ms, member_added: false };
                cx.schedule(self.join_timer(), delay_ms);
            }
            _ => self.complete_join(cx),
        }
    }

    /// Begins the next generation with those who have joined. Static members stay even if they have not.
    pub(super) fn complete_join(&mut self, cx: &mut Context<'_>) {
        cx.cancel(&self.join_timer());
        let missing = self.members.values().filter(|member| member.awaiting_join.is_none() && !member.is_static());
        for member_id in missing.map(|member| member.id.clone()).collect::<Vec<_>>() {
            self.remove_member(cx, &member_id);
        }
        if self.members.is_empty() {
            self.begin_generation(cx, GroupState::Empty);
            let metadata = self.metadata(None, std::iter::empty(), |_| unreachable!("there are no members"));
            cx.stage(&self.id, StagedChange::Emptied, metadata.to_record(&self.id));
        } else if self.elect_joined_leader() {
            self.begin_generation(cx, GroupState::CompletingRebalance);
            self.answer_joins(cx);
            cx.schedule(self.sync_timer(), self.rebalance_timeout_ms());
        } else {
            // Only static members are left, and none of them is here to lead.
            cx.schedule(self.join_timer(), self.rebalance_timeout_ms().max(MIN_WAIT_FOR_LEADER_MS));
        }
    }

    /// Makes sure that the leader is somebody who has joined; `false` if nobody has.
    fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(|leader| leader.awaiting_join.is_some()) {
            return true;
        }
        let Some(elected) = self.members.values().find(|member| member.awaiting_join.is_some()) else { return false };
        self.leader = Some(elected.id.clone());
        true
    }

    fn begin_generation(&mut self, cx: &mut Context<'_>, state: GroupState) {
        // The bytes of a file may hold any generation, even the last one.
        self.generation_id = self.generation_id.checked_add(1).unwrap_or(1);
        self.protocol_name = self.select_protocol(self.members.values());
        self.subscriptions = Some(self.current_subscriptions());
        self.initial_delay = None;
        self.pending_syncs = self.members.keys().cloned().collect();
        cx.note(Note::GenerationBegan {
            group_id: self.id.clone(),
            generation_id: self.generation_id,
            members: self.members.len(),
            protocol: self.protocol_name.clone().unwrap_or_default(),
        });
        self.transition(state, cx.now_ms);
    }

    fn answer_joins(&mut self, cx: &mut Context<'_>) {
        let mut joined = Vec::new();
        for member in self.members.values_mut() {
            cx.renew_session(&self.id, member);
            member.is_new = false;
            if let Some(token) = member.awaiting_join.take() {
                joined.push((token, member.id.clone()));
            }
        }
        for (token, member_id) in joined {
            let response = self.join_response(&member_id);
            cx.reply(token, Reply::Join(response));
        }
    }

    /// The current generation, with everybody's subscription for the leader.
    pub(super) fn join_response(&self, member_id: &str) -> JoinGroupResponse {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members.values().map(|member| member.for_leader(protocol_name)).collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse {
            error: ErrorCode::None,
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }
}
