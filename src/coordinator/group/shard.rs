//! [`GroupShard`]: the groups and offsets of one partition of `__consumer_offsets`, and what members ask of them.

use std::sync::Arc;

use super::classic::{ClassicGroup, Context, Environment, GroupState, Staged, StagedChange};
use super::config::GroupConfig;
use super::expiry::Expiry;
use super::groups::{GroupCount, Groups};
use super::note::Note;
use super::offsets::Offsets;
use super::outcome::Outcome;
use super::record::{GroupMetadata, MAX_STRING_BYTES};
use super::request::*;
use super::timers::{Timer, Timers};
use crate::error::ErrorCode;
use crate::types::Offset;

/// A dash and a UUID, which follow the client's or instance's id in a member id.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

/// The groups that live in one partition of `__consumer_offsets`. What it promises is in the [module](super).
///
/// * Events in: `handle_*`, [`handle_timeout`](Self::handle_timeout), [`cancel`](Self::cancel),
///   [`on_topics_deleted`](Self::on_topics_deleted).
/// * The log: [`replay`](Self::replay), [`on_loaded`](Self::on_loaded), [`on_append_failed`](Self::on_append_failed),
///   [`unload`](Self::unload).
/// * Getters: [`fetch_offsets`](Self::fetch_offsets), [`list`](Self::list), [`describe`](Self::describe),
///   [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub(crate) struct GroupShard {
    pub(super) environment: Environment,
    pub(super) groups: Groups,
    pub(super) offsets: Offsets,
    pub(super) expiry: Expiry,
    /// The change that the last outcome's record is about to make.
    pub(super) staged: Option<Staged>,
    pub(super) last_replayed: Option<Offset>,
}

impl GroupShard {
    /// A shard without groups. `seed` makes its member ids: another one each time a partition is loaded, so that ids of
    /// members long gone do not come back.
    /// `count` is shared by all shards of the cluster.
    pub(crate) fn new(config: GroupConfig, seed: u64, count: GroupCount) -> Self {
        Self {
            environment: Environment {
                config,
                timers: Timers::default(),
                rng: fastrand::Rng::with_seed(seed),
                notes: Vec::new(),
            },
            groups: Groups::new(count),
            offsets: Offsets::default(),
            expiry: Expiry::new(),
            staged: None,
            last_replayed: None,
        }
    }

    /// Every group, ordered by id.
    pub(crate) fn list(&self) -> Vec<ListedGroup> {
        self.groups.values().map(ClassicGroup::list).collect()
    }

    /// Takes the notes of the events since the last call. To be called after each event, lest they pile up.
    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.environment.notes)
    }

    /// How many offsets are committed, over all groups and partitions.
    pub(crate) fn num_offsets(&self) -> usize {
        self.offsets.len()
    }

    /// The group's members; `GROUP_ID_NOT_FOUND` and state `Dead` if there is no such group (KIP-1043).
    pub(crate) fn describe(&self, group_id: &str) -> DescribedGroup {
        self.groups.get(group_id).map_or_else(
            || DescribedGroup {
                error: ErrorCode::GroupIdNotFound,
                group_id: group_id.to_owned(),
                state: GroupState::Dead.name(),
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            },
            ClassicGroup::describe,
        )
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, in milliseconds; `None` if nothing waits.
    pub(crate) fn poll_timeout(&self) -> Option<i64> {
        // Without groups there is nothing to expire.
        let expiry = (!self.groups.is_empty()).then_some(self.expiry.deadline());
        self.environment.timers.next_deadline().into_iter().chain(expiry).min()
    }

    /// A member joins, or comes back because of a rebalance. The answer waits for the next generation.
    /// `POLICY_VIOLATION` if that would make one group too many.
    pub(crate) fn handle_join(&mut self, now_ms: i64, token: Token, request: JoinGroupRequest) -> Outcome {
        if let Err(error) = self.validate_join(&request) {
            return Outcome::reply(token, Reply::join_error(&request.member_id, error));
        }
        let group_id: Arc<str> = request.group_id.as_str().into();
        let is_new_group = !self.groups.contains_key(&group_id);
        if is_new_group {
            if !request.member_id.is_empty() {
                return Outcome::reply(token, Reply::join_error(&request.member_id, ErrorCode::UnknownMemberId));
            }
            if self.groups.is_full(self.environment.config.max_groups) {
                return Outcome::reply(token, Reply::join_error("", ErrorCode::PolicyViolation));
            }
            self.put_off_expiry(now_ms);
            self.groups.add(ClassicGroup::new(group_id.clone(), now_ms));
        }
        self.with_group(now_ms, &group_id, |cx, group| {
            group.expect("looked up or made above").join(cx, token, request);
            if is_new_group {
                cx.stage(&group_id, StagedChange::Created, GroupMetadata::empty(now_ms).to_record(&group_id));
            }
        })
    }

    fn validate_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let config = &self.environment.config;
        validate_group_id(&request.group_id)?;
        if !(config.min_session_timeout_ms..=config.max_session_timeout_ms).contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let instance_id = request.group_instance_id.as_deref().unwrap_or_default();
        let names = [&request.client_id, instance_id, &request.client_host, &request.protocol_type];
        let mut names = names.into_iter().chain(request.protocols.iter().map(|(name, _)| name.as_str()));
        if names.any(|name| name.len() > MAX_STRING_BYTES - MEMBER_ID_SUFFIX_BYTES) {
            return Err(ErrorCode::InvalidRequest);
        }
        Ok(())
    }

    /// A member asks for its assignment, the leader hands it in. The answer waits for the leader's.
    pub(crate) fn handle_sync(&mut self, now_ms: i64, token: Token, request: SyncGroupRequest) -> Outcome {
        if let Err(error) = validate_group_id(&request.group_id) {
            return Outcome::reply(token, Reply::sync_error(error));
        }
        let group_id = request.group_id.clone();
        self.with_group(now_ms, &group_id, |cx, group| match group {
            Some(group) => group.sync(cx, token, request),
            None => cx.outcome = Outcome::reply(token, Reply::sync_error(ErrorCode::UnknownMemberId)),
        })
    }

    /// A member is alive. `REBALANCE_IN_PROGRESS` tells it to join again.
    pub(crate) fn handle_heartbeat(&mut self, now_ms: i64, token: Token, request: HeartbeatRequest) -> Outcome {
        self.with_group(now_ms, &request.group_id, |cx, group| {
            let result = validate_group_id(&request.group_id).and_then(|()| match group {
                Some(group) => group.heartbeat(cx, &request),
                None => Err(ErrorCode::UnknownMemberId),
            });
            let error = result.err().unwrap_or(ErrorCode::None);
            cx.outcome.replies.push((token, Reply::Heartbeat(error)));
        })
    }

    /// Answers when the member's next heartbeat would be answered with an error; at once if it would be by now.
    pub(crate) fn handle_watch(&mut self, now_ms: i64, token: Token, request: &HeartbeatRequest) -> Outcome {
        self.with_group(now_ms, &request.group_id, |cx, group| match group {
            Some(group) => group.watch(cx, token, request),
            None => cx.outcome.replies.push((token, Reply::Watch)),
        })
    }

    /// Members go.
    pub(crate) fn handle_leave(&mut self, now_ms: i64, token: Token, request: LeaveGroupRequest) -> Outcome {
        self.with_group(now_ms, &request.group_id, |cx, group| {
            let response = match (validate_group_id(&request.group_id), group) {
                (Err(error), _) => LeaveGroupResponse { error, members: Vec::new() },
                (Ok(()), Some(group)) => group.leave(cx, &request),
                (Ok(()), None) => LeaveGroupResponse {
                    error: ErrorCode::None,
                    members: vec![ErrorCode::UnknownMemberId; request.members.len()],
                },
            };
            cx.outcome.replies.push((token, Reply::Leave(response)));
        })
    }

    /// Time has come to `now_ms`. Handles the first deadlines that lead to anything, or a part of one that means much
    /// work: call it again while [`poll_timeout`](Self::poll_timeout) is not in the future.
    pub(crate) fn handle_timeout(&mut self, now_ms: i64) -> Outcome {
        while let Some(timer) = self.environment.timers.pop_due(now_ms) {
            let (Timer::Join { group_id } | Timer::Sync { group_id } | Timer::Session { group_id, .. }) = &timer;
            let outcome = self.with_group(now_ms, group_id, |cx, group| {
                let group = group.expect("a group takes its timers with it");
                match &timer {
                    Timer::Join { .. } => group.on_join_timeout(cx),
                    Timer::Sync { .. } => group.on_sync_timeout(cx),
                    Timer::Session { member_id, .. } => group.on_session_timeout(cx, member_id),
                }
            });
            if !outcome.is_empty() {
                return outcome;
            }
        }
        if self.groups.is_empty() || self.expiry.deadline() > now_ms { Outcome::default() } else { self.expire(now_ms) }
    }

    /// Nobody waits for the answer to this request any more. A JoinGroup is withdrawn: its member has until the join
    /// timeout to come back. Other requests take their course, and their answer may be thrown away.
    #[cfg_attr(
        not(any(test, fuzzing)),
        expect(dead_code, reason = "clients in this process have no connection to close")
    )]
    pub(crate) fn cancel(&mut self, now_ms: i64, token: Token) {
        let mut cx = Context::new(now_ms, &mut self.environment);
        // Closed connections are rare, so there is no index from tokens to members.
        self.groups.values_mut().any(|group| group.cancel_join(&mut cx, token));
    }

    /// While there are no groups no look for expired offsets falls due: the first one comes an interval after the first
    /// group.
    fn put_off_expiry(&mut self, now_ms: i64) {
        if self.groups.is_empty() {
            self.expiry.put_off(now_ms, self.environment.config.offsets_retention_check_interval_ms);
        }
    }

    /// Lets one group handle one event.
    pub(super) fn with_group(
        &mut self,
        now_ms: i64,
        group_id: &str,
        event: impl FnOnce(&mut Context<'_>, Option<&mut ClassicGroup>),
    ) -> Outcome {
        assert!(self.staged.is_none(), "the last outcome's records were neither replayed nor reported as lost");
        self.put_off_expiry(now_ms);
        let mut cx = Context::new(now_ms, &mut self.environment);
        event(&mut cx, self.groups.get_mut(group_id));
        let Context { outcome, staged, .. } = cx;
        self.staged = staged;
        outcome
    }
}

/// Only offsets may be kept under the empty group id.
pub(super) fn validate_group_id(group_id: &str) -> Result<(), ErrorCode> {
    if group_id.is_empty() || group_id.len() > MAX_STRING_BYTES { Err(ErrorCode::InvalidGroupId) } else { Ok(()) }
}
