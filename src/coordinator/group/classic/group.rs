//! [`ClassicGroup`]: membership, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::context::Context;
use super::member::Member;
use super::state::GroupState;
use crate::coordinator::group::Note;
use crate::coordinator::group::record::GroupMetadata;
use crate::coordinator::group::timers::{Timer, Timers};
use crate::coordinator::group::{DescribedGroup, ListedGroup, Reply, Token};
use crate::error::ErrorCode;
use crate::util::codec::DecodeError;

/// One classic group. The machine and its invariants are described in the [module](super).
///
/// Bounds: `group.max.size` members; [`MAX_PENDING_MEMBER_IDS`](super::join::MAX_PENDING_MEMBER_IDS) entries of
/// `pending_joins`, one for each member id handed out within the last session timeout and not used yet.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(super) id: Arc<str>,
    pub(super) state: GroupState,
    /// When the group entered its state; -1 where unknown.
    pub(super) state_timestamp_ms: i64,
    /// `consumer`, `connect`, ...; none until a member has joined.
    pub(super) protocol_type: Option<String>,
    /// The assignor that this generation has agreed on.
    pub(super) protocol_name: Option<String>,
    pub(super) generation_id: i32,
    /// Always one of the members; none if and only if there are none.
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    /// Member id by instance id, for every static member.
    pub(super) static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Member ids handed out with `MEMBER_ID_REQUIRED` (KIP-394) that have not come back yet.
    pub(super) pending_joins: BTreeSet<Arc<str>>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_syncs: BTreeSet<Arc<str>>,
    /// Present while an empty group waits for its first members.
    pub(super) initial_delay: Option<InitialDelay>,
    /// What the members of this generation subscribed to when it began; none before the first generation.
    pub(super) subscriptions: Option<Vec<Bytes>>,
}

/// How long a group that was empty goes on waiting for first members.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialDelay {
    pub(super) delay_ms: i32,
    /// How much longer than `delay_ms` it may still take.
    pub(super) remaining_ms: i32,
    /// Whether somebody joined since the timer was set.
    pub(super) member_added: bool,
}

impl ClassicGroup {
    pub(crate) fn new(id: Arc<str>, now_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_timestamp_ms: now_ms,
            protocol_type: None,
            protocol_name: None,
            generation_id: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            initial_delay: None,
            subscriptions: None,
        }
    }

    /// A group as its last record remembers it: empty or stable.
    pub(crate) fn restored(id: Arc<str>, metadata: GroupMetadata) -> Result<Self, DecodeError> {
        let mut group = Self::new(id, metadata.state_timestamp_ms);
        group.generation_id = metadata.generation_id;
        group.protocol_type = Some(metadata.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        if !metadata.members.is_empty() {
            let protocol_name =
                metadata.protocol_name.as_deref().ok_or(DecodeError { what: "group: members without a protocol" })?;
            for member in metadata.members {
                let member = Member::restored(member, protocol_name);
                if let Some(instance_id) = &member.instance_id
                    && group.static_members.insert(instance_id.clone(), member.id.clone()).is_some()
                {
                    return Err(DecodeError { what: "group: two members with one instance id" });
                }
                if group.members.insert(member.id.clone(), member).is_some() {
                    return Err(DecodeError { what: "group: two members with one id" });
                }
            }
            group.state = GroupState::Stable;
            group.leader =
                metadata.leader.map(Arc::from).filter(|leader: &Arc<str>| group.members.contains_key(leader));
            group.elect_if_vacant();
        }
        group.protocol_name = metadata.protocol_name;
        // A group that no member has ever joined has no generation to speak of.
        group.subscriptions = group.protocol_type.is_some().then(|| group.current_subscriptions());
        Ok(group)
    }

    /// What a record says of the group, with the assignment that `assignment_of` gives to each of `members`.
    pub(super) fn metadata<'a>(
        &self,
        leader: Option<&str>,
        members: impl Iterator<Item = &'a Member>,
        assignment_of: impl Fn(&Member) -> Bytes,
    ) -> GroupMetadata {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation_id,
            protocol_name: self.protocol_name.clone(),
            leader: leader.map(str::to_owned),
            state_timestamp_ms: self.state_timestamp_ms,
            members: members.map(|member| member.to_metadata(protocol_name, assignment_of(member))).collect(),
        }
    }

    /// What the members ask for under the group's protocol.
    pub(super) fn current_subscriptions(&self) -> Vec<Bytes> {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        self.members.values().map(|member| member.subscription(protocol_name)).collect()
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
        }
    }

    pub(crate) fn describe(&self) -> DescribedGroup {
        let protocol_name = self.protocol_name.as_deref().filter(|_| self.state == GroupState::Stable);
        DescribedGroup {
            error: ErrorCode::None,
            group_id: self.id.to_string(),
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol_name.unwrap_or_default().to_owned(),
            members: self.members.values().map(|member| member.describe(protocol_name)).collect(),
        }
    }

    pub(super) fn transition(&mut self, next: GroupState, now_ms: i64) {
        assert!(self.state.may_become(next), "{} cannot go from {:?} to {next:?}", self.id, self.state);
        self.state = next;
        self.state_timestamp_ms = now_ms;
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn elect_if_vacant(&mut self) {
        if self.leader.is_none() {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Whether everybody, the owners of pending member ids included, waits for the next generation.
    pub(super) fn has_all_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    pub(super) fn joined_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    /// The longest that a member may take between two polls, and so to come back when a rebalance begins.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    pub(super) fn insert_member(&mut self, member: Member) {
        if self.members.is_empty() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            let previous = self.static_members.insert(instance_id.clone(), member.id.clone());
            assert_eq!(previous, None, "instance {instance_id} of {} already has a member", self.id);
        }
        self.pending_joins.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Forgets a member or a pending member id, answers what it waits for with `UNKNOWN_MEMBER_ID`, and passes
    /// leadership on.
    pub(super) fn remove_member(&mut self, cx: &mut Context<'_>, member_id: &Arc<str>) {
        cx.cancel_session(&self.id, member_id);
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        let Some(member) = self.members.remove(member_id) else { return };
        cx.note(Note::MemberRemoved { group_id: self.id.clone(), member_id: member_id.clone() });
        if let Some(token) = member.awaiting_join {
            cx.reply(token, Reply::join_error("", ErrorCode::UnknownMemberId));
        }
        if let Some(token) = member.awaiting_sync {
            cx.reply(token, Reply::sync_error(ErrorCode::UnknownMemberId));
        }
        if let Some(token) = member.watching {
            cx.reply(token, Reply::Watch);
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = None;
            self.elect_if_vacant();
        }
    }

    /// Puts `member` in the place of the member that had its instance id.
    pub(super) fn replace_member(&mut self, old_member_id: &str, member: Member) {
        let old = self.members.remove(old_member_id);
        let old = old.unwrap_or_else(|| panic!("{} has no member {old_member_id} to replace", self.id));
        assert_eq!(old.instance_id, member.instance_id, "{old_member_id} of {} is another instance", self.id);
        if self.is_leader(old_member_id) {
            self.leader = Some(member.id.clone());
        }
        if self.pending_syncs.remove(old_member_id) {
            self.pending_syncs.insert(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// The assignor that most members prefer, of those that all of them support; of equals, the leader's favourite.
    pub(super) fn select_protocol<'a>(&self, members: impl Iterator<Item = &'a Member> + Clone) -> Option<String> {
        let first = members.clone().next()?;
        let names = |member: &'a Member| member.protocols.iter().map(|(name, _)| name.as_str());
        let candidates: Vec<_> =
            names(first).filter(|name| members.clone().all(|member| member.supports(name))).collect();
        let vote = |member| names(member).find(|name| candidates.contains(name));
        let mut votes = BTreeMap::<&str, usize>::new();
        for choice in members.clone().filter_map(vote) {
            *votes.entry(choice).or_default() += 1;
        }
        let most = *votes.values().max()?;
        let leader = members.clone().find(|member| self.is_leader(&member.id)).unwrap_or(first);
        names(leader).find(|name| votes.get(name) == Some(&most)).map(str::to_owned)
    }

    /// Whether a member with these protocols fits the group.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        if self.protocol_type.as_deref() != Some(protocol_type) {
            return false;
        }
        // There is a protocol that all members support, so whoever supports what one of them does supports that one.
        let is_alike = |member: &Member| {
            let names = member.protocols.iter().map(|(name, _)| name);
            names.eq(protocols.iter().map(|(name, _)| name))
        };
        self.members.values().next().is_some_and(is_alike)
            || protocols.iter().any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    /// Drops the JoinGroup that waits under this token, if there is one: nobody is there to read the answer. The member
    /// then counts as one that has not come back, and its session runs again.
    pub(crate) fn cancel_join(&mut self, cx: &mut Context<'_>, token: Token) -> bool {
        let waiting = self.members.values_mut().find(|member| member.awaiting_join == Some(token));
        let Some(member) = waiting else { return false };
        member.awaiting_join = None;
        cx.renew_session(&self.id, member);
        true
    }

    pub(crate) fn has_waiting_requests(&self) -> bool {
        self.members.values().any(|member| member.awaiting_join.is_some() || member.awaiting_sync.is_some())
    }

    /// Cancels the timers of every member and pending member id, and those of the group.
    pub(crate) fn cancel_timers(&self, timers: &mut Timers) {
        timers.cancel(&self.join_timer());
        timers.cancel(&self.sync_timer());
        for member_id in self.members.keys().chain(&self.pending_joins) {
            timers.cancel(&Timer::Session { group_id: self.id.clone(), member_id: member_id.clone() });
        }
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join { group_id: self.id.clone() }
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync { group_id: self.id.clone() }
    }
}
