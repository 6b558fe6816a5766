//! The invariants of a classic group, for tests to check after every event.

use super::group::ClassicGroup;
use super::state::GroupState;
use crate::coordinator::group::timers::{Timer, Timers};

impl ClassicGroup {
    pub(crate) fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// Panics if the group is not in order between two events.
    pub(crate) fn assert_invariants(&self, timers: &Timers) {
        let session = |member_id: &std::sync::Arc<str>| {
            timers.is_scheduled(&Timer::Session { group_id: self.id.clone(), member_id: member_id.clone() })
        };
        if self.state == GroupState::Dead {
            return;
        }
        match &self.leader {
            Some(leader) => assert!(self.members.contains_key(leader), "a stranger leads: {self:?}"),
            None => assert!(self.members.is_empty(), "nobody leads: {self:?}"),
        }
        if let Some(first) = self.members.values().next() {
            let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
            assert!(first.protocols.iter().any(|(name, _)| is_common(name)), "nothing to agree on: {self:?}");
        }
        for member in self.members.values() {
            assert!(session(&member.id) || member.has_satisfied_heartbeat(), "{} cannot expire: {self:?}", member.id);
            assert!(member.awaiting_join.is_none() || self.state == GroupState::PreparingRebalance, "{self:?}");
            assert!(member.awaiting_sync.is_none() || self.state == GroupState::CompletingRebalance, "{self:?}");
            let is_settled = matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable);
            assert!(member.watching.is_none() || is_settled, "a watch missed the rebalance: {self:?}");
            assert_eq!(
                member.instance_id.as_ref().map(|instance_id| &self.static_members[instance_id]),
                member.is_static().then_some(&member.id)
            );
        }
        let static_members = self.members.values().filter(|member| member.is_static()).count();
        assert_eq!(self.static_members.len(), static_members, "{self:?}");
        for member_id in &self.pending_joins {
            assert!(!self.members.contains_key(member_id) && session(member_id), "{member_id} is pending: {self:?}");
        }
        assert!(self.pending_syncs.iter().all(|member_id| self.members.contains_key(member_id)), "{self:?}");

        let is_preparing = self.state == GroupState::PreparingRebalance;
        assert_eq!(timers.is_scheduled(&self.join_timer()), is_preparing, "{self:?}");
        assert_eq!(timers.is_scheduled(&self.sync_timer()), !self.pending_syncs.is_empty(), "{self:?}");
        assert!(self.initial_delay.is_none() || is_preparing, "{self:?}");
        match self.state {
            GroupState::Empty => assert!(self.members.is_empty() && self.pending_syncs.is_empty(), "{self:?}"),
            GroupState::PreparingRebalance => assert!(self.pending_syncs.is_empty(), "{self:?}"),
            GroupState::CompletingRebalance => {
                assert!(self.leader.as_ref().is_some_and(|leader| self.pending_syncs.contains(leader)), "{self:?}");
            }
            GroupState::Stable => assert!(!self.members.is_empty(), "{self:?}"),
            GroupState::Dead => unreachable!("returned above"),
        }
        for (_, timer) in timers.iter() {
            if let Timer::Session { group_id, member_id } = timer
                && *group_id == self.id
            {
                let is_known = self.members.contains_key(member_id) || self.pending_joins.contains(member_id);
                assert!(is_known, "a session of nobody: {member_id} in {self:?}");
            }
        }
    }

    /// Panics unless `restored`, made from this group's records, has its hard state.
    pub(crate) fn assert_restored_as(&self, restored: &Self) {
        match self.state {
            GroupState::Stable => {
                let metadata = |group: &Self| {
                    let members = group.members.values();
                    let mut metadata =
                        group.metadata(group.leader.as_deref(), members, |member| member.assignment.clone());
                    // The record was written just before the group became stable.
                    metadata.state_timestamp_ms = 0;
                    metadata
                };
                assert_eq!(restored.state, self.state);
                assert_eq!(metadata(restored), metadata(self));
            }
            GroupState::Empty => {
                assert_eq!((restored.state, restored.generation_id), (GroupState::Empty, self.generation_id));
            }
            _ => assert!(restored.generation_id <= self.generation_id, "{restored:?} is ahead of {self:?}"),
        }
    }
}
