//! [`Context`]: what a group needs while it handles one event.

use std::sync::Arc;

use super::member::Member;
use super::staged::{Staged, StagedChange};
use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::Note;
use crate::coordinator::group::config::GroupConfig;
use crate::coordinator::group::timers::{Timer, Timers};
use crate::coordinator::group::{Outcome, Reply, Token};

/// What the groups of a shard share.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) config: GroupConfig,
    pub(crate) timers: Timers,
    pub(crate) rng: fastrand::Rng,
    /// Of the present event and those before it, until somebody takes them.
    pub(crate) notes: Vec<Note>,
}

/// One event's time, and what it leads to.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    pub(crate) environment: &'a mut Environment,
    pub(crate) outcome: Outcome,
    pub(crate) staged: Option<Staged>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(now_ms: i64, environment: &'a mut Environment) -> Self {
        Self { now_ms, environment, outcome: Outcome::default(), staged: None }
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.environment.config
    }

    pub(super) fn note(&mut self, note: Note) {
        self.environment.notes.push(note);
    }

    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.outcome.replies.push((token, reply));
    }

    /// Asks for a change of a group's hard state: `record` is to be appended, and its replay makes the change.
    pub(crate) fn stage(&mut self, group_id: &Arc<str>, change: StagedChange, record: CoordinatorRecord) {
        assert!(self.staged.is_none(), "one event changed the hard state of {group_id} twice");
        self.outcome.records.push(record);
        self.staged = Some(Staged { group_id: group_id.clone(), at_ms: self.now_ms, change });
    }

    pub(super) fn schedule(&mut self, timer: Timer, delay_ms: i32) {
        self.environment.timers.schedule(timer, self.now_ms + i64::from(delay_ms));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        self.environment.timers.cancel(timer);
    }

    /// Starts a member's session anew.
    pub(super) fn renew_session(&mut self, group_id: &Arc<str>, member: &Member) {
        self.schedule_session(group_id, &member.id, member.session_timeout_ms);
    }

    pub(super) fn schedule_session(&mut self, group_id: &Arc<str>, member_id: &Arc<str>, delay_ms: i32) {
        let timer = Timer::Session { group_id: group_id.clone(), member_id: member_id.clone() };
        self.schedule(timer, delay_ms);
    }

    pub(super) fn cancel_session(&mut self, group_id: &Arc<str>, member_id: &Arc<str>) {
        self.cancel(&Timer::Session { group_id: group_id.clone(), member_id: member_id.clone() });
    }

    /// `<prefix>-<random UUID>`.
    pub(super) fn new_member_id(&mut self, prefix: &str) -> Arc<str> {
        let bits = self.environment.rng.u128(..);
        let uuid = bits & !(0xf000 << 64) & !(0xc << 60) | 0x4000 << 64 | 0x8 << 60;
        let hex = format!("{uuid:032x}");
        format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
    }
}
