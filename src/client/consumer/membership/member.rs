//! [`Member`]: what a consumer and its background task both know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::client::consumer::wakeup::Signal;
use crate::error::{Error, ErrorCode, Result};
use crate::types::ConsumerProtocolAssignment;

/// What a consumer and its background task both know of the membership.
#[derive(Debug)]
pub(in crate::client::consumer) struct Member {
    group_id: String,
    signal: Arc<Signal>,
    /// When the user last polled, in ms of the cluster's clock; [`Member::POLLING`] while a poll waits.
    polled_ms: AtomicI64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// -1 without one.
    generation_id: i32,
    /// Empty without one.
    member_id: String,
    /// Why the next poll has to join; `None` if it need not.
    rejoin: Option<String>,
    /// How the last join ended, until a poll takes it.
    outcome: Option<Outcome>,
    /// What no rejoin can mend: every poll reports it.
    failure: Option<Error>,
    /// As the group's leader: the partition counts that the assignment was made for.
    snapshot: Option<BTreeMap<String, i32>>,
    /// Counts background tasks.
    session: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unjoined,
    Joining,
    Stable,
}

/// How a join ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Joined(Joined),
    /// The coordinator does not know the member or its generation: what it owned is lost, and it starts over.
    Reset,
    /// The join was refused for good.
    Refused(Error),
}

/// A generation and this member's part in it.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) generation_id: i32,
    /// Name of the assignor.
    pub(super) assignor: String,
    pub(super) assignment: ConsumerProtocolAssignment,
}

impl Member {
    /// Stands for the time of the last poll while a poll is waiting.
    const POLLING: i64 = i64::MAX;

    pub(super) fn new(group_id: &str, signal: Arc<Signal>) -> Self {
        let state = State {
            phase: Phase::Unjoined,
            generation_id: -1,
            member_id: String::new(),
            rejoin: Some(String::new()),
            outcome: None,
            failure: None,
            snapshot: None,
            session: 0,
        };
        Self {
            group_id: group_id.to_owned(),
            signal,
            polled_ms: AtomicI64::new(Self::POLLING),
            state: Mutex::new(state),
        }
    }

    pub(in crate::client::consumer) fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Notes a poll.
    #[inline]
    pub(in crate::client::consumer) fn polled_at(&self, now_ms: i64) {
        self.polled_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Notes that a poll waits: `max.poll.interval.ms` does not run.
    pub(in crate::client::consumer) fn polling(&self) {
        self.polled_ms.store(Self::POLLING, Ordering::Relaxed);
    }

    /// When the user last polled, in ms of the cluster's clock; `None` while a poll waits.
    pub(super) fn polled_ms(&self) -> Option<i64> {
        let polled_ms = self.polled_ms.load(Ordering::Relaxed);
        (polled_ms != Self::POLLING).then_some(polled_ms)
    }

    /// Generation (-1 without one) and member id (empty without one).
    pub(super) fn generation(&self) -> (i32, String) {
        let state = self.state.lock();
        (state.generation_id, state.member_id.clone())
    }

    /// Generation and member id to commit with.
    pub(in crate::client::consumer) fn stable_generation(&self) -> Result<(i32, String)> {
        let state = self.state.lock();
        // Such as that it was fenced: what the coordinator would say, too.
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        match state.phase {
            Phase::Stable => Ok((state.generation_id, state.member_id.clone())),
            Phase::Joining => Err(Error::new(
                ErrorCode::RebalanceInProgress,
                "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition \
                 assignment. You can try completing the rebalance by calling poll() and then retry the operation.",
            )),
            Phase::Unjoined => Err(Error::new(
                ErrorCode::UnknownMemberId,
                "Offset commit cannot be completed since the consumer is not part of an active group for auto partition \
                 assignment; it is likely that the consumer was kicked out of the group.",
            )),
        }
    }

    /// Whether the coordinator still counts on what this member owns.
    pub(super) fn is_in_generation(&self) -> bool {
        let state = self.state.lock();
        state.generation_id != -1 && !state.member_id.is_empty()
    }

    pub(super) fn is_stable(&self) -> bool {
        self.state.lock().phase == Phase::Stable
    }

    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    pub(super) fn wants_rejoin(&self) -> bool {
        self.state.lock().rejoin.is_some()
    }

    /// Has the next poll join again.
    pub(in crate::client::consumer) fn request_rejoin(&self, reason: &str) {
        self.state.lock().rejoin.get_or_insert_with(|| reason.to_owned());
        self.signal.raise(Signal::GROUP);
    }

    /// Whether the partition counts are still those that this member made the group's assignment for.
    pub(super) fn snapshot_differs(
        &self,
        current: impl FnOnce(&BTreeMap<String, i32>) -> BTreeMap<String, i32>,
    ) -> bool {
        let snapshot = self.state.lock().snapshot.clone();
        snapshot.is_some_and(|snapshot| current(&snapshot) != snapshot)
    }

    /// Begins a session: the background task that it is for is the only one to be heard. Returns why it joins.
    pub(super) fn begin_session(&self) -> (u64, String) {
        let mut state = self.state.lock();
        state.session += 1;
        state.phase = Phase::Joining;
        state.outcome = None;
        state.snapshot = None;
        (state.session, state.rejoin.take().unwrap_or_default())
    }

    /// Takes how the join ended; `None` while it goes on.
    pub(super) fn take_outcome(&self) -> Option<Outcome> {
        let mut state = self.state.lock();
        // The membership was lost after the join.
        if state.phase == Phase::Unjoined && state.outcome.is_none() {
            return Some(Outcome::Reset);
        }
        state.outcome.take()
    }

    /// Leaves, or just forgets the membership. Returns the member id, if the coordinator has to be told.
    pub(super) fn leave(&self) -> Option<String> {
        let mut state = self.state.lock();
        state.session += 1;
        let was_member = state.phase != Phase::Unjoined && !state.member_id.is_empty();
        let member_id = std::mem::take(&mut state.member_id);
        state.reset(true);
        state.failure = None;
        was_member.then_some(member_id)
    }

    /// Gives up a generation that the coordinator refused, unless it has been replaced already.
    pub(in crate::client::consumer) fn reset_if(&self, generation_id: i32, with_member_id: bool) {
        let mut state = self.state.lock();
        if state.generation_id == generation_id && state.phase == Phase::Stable {
            state.reset(with_member_id);
            drop(state);
            self.signal.raise(Signal::GROUP);
        }
    }

    /// Ends the membership for good, unless the generation that it is about has been replaced already.
    pub(in crate::client::consumer) fn fail_if(&self, generation_id: i32, error: Error) {
        let mut state = self.state.lock();
        if state.generation_id == generation_id {
            state.reset(true);
            state.failure = Some(error);
            drop(state);
            self.signal.raise(Signal::GROUP);
        }
    }
}

// What the background task says. Every method is without effect once its session is over.
impl Member {
    pub(super) fn is_current(&self, session: u64) -> bool {
        self.state.lock().session == session
    }

    /// The member id to join with.
    pub(super) fn joining_as(&self, session: u64) -> Option<String> {
        let state = self.state.lock();
        (state.session == session).then(|| state.member_id.clone())
    }

    /// The coordinator named the member.
    pub(super) fn named(&self, session: u64, member_id: String) {
        self.write(session, |state| state.member_id = member_id);
    }

    /// JoinGroup succeeded.
    pub(super) fn entered(&self, session: u64, generation_id: i32, member_id: String) {
        self.write(session, |state| {
            state.generation_id = generation_id;
            state.member_id = member_id;
        });
    }

    /// As leader, the member made the assignment for these partition counts.
    pub(super) fn led(&self, session: u64, snapshot: BTreeMap<String, i32>) {
        self.write(session, |state| state.snapshot = Some(snapshot));
    }

    /// The join is over.
    pub(super) fn ended(&self, session: u64, outcome: Outcome) {
        self.write(session, |state| {
            match &outcome {
                Outcome::Joined(_) => state.phase = Phase::Stable,
                Outcome::Reset => {}
                Outcome::Refused(error) => {
                    state.reset(false);
                    if error.code() == ErrorCode::FencedInstanceId {
                        state.failure = Some(error.clone());
                    }
                }
            }
            state.outcome = Some(outcome);
        });
        self.signal.raise(Signal::GROUP);
    }

    /// The coordinator does not know the member or its generation.
    pub(super) fn lost(&self, session: u64, with_member_id: bool) {
        self.write(session, |state| state.reset(with_member_id));
        self.signal.raise(Signal::GROUP);
    }

    /// The coordinator refuses the member for good, as when its instance id belongs to somebody else now.
    pub(super) fn failed(&self, session: u64, error: Error) {
        self.write(session, |state| {
            state.reset(true);
            state.failure = Some(error);
        });
        self.signal.raise(Signal::GROUP);
    }

    fn write(&self, session: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        if state.session == session {
            change(&mut state);
        }
    }
}

impl State {
    /// Forgets the generation, and the member id where that is of no use either; the next poll joins anew.
    fn reset(&mut self, with_member_id: bool) {
        self.phase = Phase::Unjoined;
        self.generation_id = -1;
        if with_member_id {
            self.member_id.clear();
        }
        self.outcome = None;
        self.snapshot = None;
        self.rejoin.get_or_insert_with(|| "the membership was lost".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(generation_id: i32) -> Outcome {
        let assignment = ConsumerProtocolAssignment::default();
        Outcome::Joined(Joined { generation_id, assignor: "range".into(), assignment })
    }

    #[test]
    fn only_the_current_session_is_heard() {
        let member = Member::new("g", Arc::default());
        let (first, _) = member.begin_session();
        let (second, _) = member.begin_session();
        member.entered(first, 1, "old".into());
        member.ended(first, joined(1));
        assert_eq!(member.generation(), (-1, String::new()));
        assert!(member.take_outcome().is_none());
        member.entered(second, 2, "new".into());
        assert_eq!(member.stable_generation().unwrap_err().code(), ErrorCode::RebalanceInProgress);
        member.ended(second, joined(2));
        assert_eq!(member.stable_generation().unwrap(), (2, "new".into()));
        assert!(matches!(member.take_outcome(), Some(Outcome::Joined(_))));
    }

    #[test]
    fn a_membership_lost_before_poll_saw_the_join_starts_over() {
        let member = Member::new("g", Arc::default());
        let (session, _) = member.begin_session();
        member.entered(session, 3, "m".into());
        member.ended(session, joined(3));
        member.lost(session, false);
        assert!(matches!(member.take_outcome(), Some(Outcome::Reset)));
        assert_eq!(member.generation(), (-1, "m".into()));
        assert!(member.wants_rejoin());
        assert_eq!(member.stable_generation().unwrap_err().code(), ErrorCode::UnknownMemberId);
    }

    #[test]
    fn an_old_generations_refusal_does_not_touch_a_newer_one() {
        let member = Member::new("g", Arc::default());
        let (session, _) = member.begin_session();
        member.entered(session, 4, "m".into());
        member.ended(session, joined(4));
        member.reset_if(3, true);
        assert_eq!(member.stable_generation().unwrap(), (4, "m".into()));
        member.reset_if(4, true);
        assert!(!member.is_in_generation());
        assert_eq!(member.leave(), None);
    }

    #[test]
    fn leaving_names_the_member_while_it_is_joining() {
        let member = Member::new("g", Arc::default());
        let (session, reason) = member.begin_session();
        assert_eq!(reason, "");
        member.named(session, "m".into());
        assert_eq!(member.leave(), Some("m".into()));
        assert!(!member.is_current(session));
    }
}
