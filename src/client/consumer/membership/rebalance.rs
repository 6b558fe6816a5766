//! The consumer's own part in a rebalance: what happens inside poll.
//!
//! ```text
//! Idle -> Committing -> Revoking -> Joining -> Completing -> Idle
//! ```
//!
//! Committing waits for the auto-commit before partitions are given up, Revoking and Completing for the commits that
//! the listener sent; Joining for the background task. Each waits without blocking the poll: partitions that stay
//! go on being read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::member::{Joined, Outcome};
use super::task::{Session, Settings, find_assignor};
use crate::client::consumer::answer::Answer;
use crate::client::consumer::assignor::RebalanceProtocol;
use crate::client::consumer::listener::Event;
use crate::client::consumer::{Consumer, Group};
use crate::error::Result;
use crate::types::TopicPartition;

/// How far the consumer is in a rebalance.
#[derive(Default)]
pub(super) enum Rebalance {
    #[default]
    Idle,
    Committing(Answer<Result<()>>),
    Revoking(Answer<Result<()>>),
    Joining,
    Completing(Joined, Answer<Result<()>>),
}

impl Rebalance {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Committing(_) | Self::Revoking(_) | Self::Completing(..))
    }
}

impl fmt::Debug for Rebalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Committing(_) => "Committing",
            Self::Revoking(_) => "Revoking",
            Self::Joining => "Joining",
            Self::Completing(..) => "Completing",
        })
    }
}

impl Consumer {
    /// Takes the rebalance, if there is one, as far as it goes without waiting.
    ///
    /// An error does not stop it: what the listener's commits or the join met is reported once, and the next poll goes
    /// on. Only a fenced member reports the same error at each poll.
    pub(in crate::client::consumer) fn coordinate(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if !self.subscriptions.is_group_managed() {
            return Ok(());
        }
        loop {
            let Some(group) = &mut self.group else { return Ok(()) };
            match std::mem::take(&mut group.rebalance) {
                Rebalance::Idle => {
                    if let Some(error) = group.member.failure() {
                        self.lose_assignment();
                        return Err(error);
                    }
                    self.notice_changes();
                    if !self.group.as_ref().is_some_and(|group| group.member.wants_rejoin()) {
                        return Ok(());
                    }
                    let committed = self.commit_before_revoking();
                    self.set_rebalance(Rebalance::Committing(committed));
                }
                Rebalance::Committing(mut committed) => match committed.poll_answer(cx) {
                    Poll::Pending => return self.wait_in(Rebalance::Committing(committed)),
                    // A refused auto-commit does not hold the group up; the records will be read again.
                    Poll::Ready(_) => {
                        let commits = self.give_up_partitions();
                        self.set_rebalance(Rebalance::Revoking(commits));
                    }
                },
                Rebalance::Revoking(mut commits) => match commits.poll_answer(cx) {
                    Poll::Pending => return self.wait_in(Rebalance::Revoking(commits)),
                    Poll::Ready(committed) => {
                        self.start_session()?;
                        self.set_rebalance(Rebalance::Joining);
                        committed?;
                    }
                },
                Rebalance::Joining => match group.member.take_outcome() {
                    None => return self.wait_in(Rebalance::Joining),
                    Some(Outcome::Joined(joined)) => {
                        let commits = self.revoke_unassigned(&joined);
                        self.set_rebalance(Rebalance::Completing(joined, commits));
                    }
                    Some(Outcome::Reset) => group.join_failed(),
                    Some(Outcome::Refused(error)) => {
                        group.join_failed();
                        return Err(error);
                    }
                },
                Rebalance::Completing(joined, mut commits) => match commits.poll_answer(cx) {
                    Poll::Pending => return self.wait_in(Rebalance::Completing(joined, commits)),
                    Poll::Ready(committed) => {
                        self.take_partitions(joined);
                        committed?;
                    }
                },
            }
        }
    }

    fn set_rebalance(&mut self, rebalance: Rebalance) {
        if let Some(group) = &mut self.group {
            group.rebalance = rebalance;
        }
    }

    fn wait_in(&mut self, rebalance: Rebalance) -> Result<()> {
        self.set_rebalance(rebalance);
        Ok(())
    }

    /// Rejoins if the subscription changed, or, as leader, if the group's topics did.
    fn notice_changes(&mut self) {
        let (Some(group), Some(topics)) = (&self.group, self.subscriptions.topics()) else { return };
        if group.joined_topics.as_ref().is_some_and(|joined| !joined.iter().eq(topics)) {
            group.member.request_rejoin("subscription has changed");
        }
        let image = self.cluster.image();
        let current = |snapshot: &BTreeMap<String, i32>| {
            let count = |name: &String| image.topic(name).map_or(0, |topic| topic.partitions.len() as i32);
            snapshot.keys().map(|name| (name.clone(), count(name))).collect()
        };
        if group.member.snapshot_differs(current) {
            group.member.request_rejoin("cached metadata has changed");
        }
    }

    /// Commits, if that is automatic, what earlier polls returned, and stops handing out what may have to go: its
    /// position must not move past what was committed.
    fn commit_before_revoking(&mut self) -> Answer<Result<()>> {
        let Some(group) = &self.group else { return done() };
        let (eager, stable) = (group.protocol == RebalanceProtocol::Eager, group.member.is_stable());
        for state in self.subscriptions.partitions_mut() {
            state.revoking = eager;
        }
        if self.auto_commit.is_some() && stable { self.send_commit(self.subscriptions.uncommitted()) } else { done() }
    }

    /// Gives up what does not stay while the member joins: all of it if the generation is lost or the protocol is eager,
    /// else what is no longer subscribed to.
    fn give_up_partitions(&mut self) -> Answer<Result<()>> {
        let Some(group) = &self.group else { return done() };
        if !group.member.is_in_generation() {
            self.lose_assignment();
            return done();
        }
        let eager = group.protocol == RebalanceProtocol::Eager;
        let owned = self.subscriptions.assignment();
        let (revoked, kept): (Vec<_>, Vec<_>) =
            owned.into_iter().partition(|owned| eager || !self.subscriptions.accepts(owned.topic()));
        // An eager member hears of every rebalance, even with nothing to revoke; a cooperative one only of a loss.
        if eager || !revoked.is_empty() {
            self.call_listener(Event::Revoked, &revoked);
            self.subscriptions.set_assignment(kept);
        }
        self.take_listener_commits()
    }

    /// What was owned belongs to others already.
    fn lose_assignment(&mut self) {
        let lost: Vec<_> = self.subscriptions.assignment().into_iter().collect();
        if !lost.is_empty() {
            self.call_listener(Event::Lost, &lost);
            self.subscriptions.set_assignment([]);
            self.forget_listener_commits();
        }
    }

    fn start_session(&mut self) -> Result<()> {
        self.subscriptions.match_topics(&self.cluster.image(), self.config.exclude_internal_topics);
        let topics: Vec<String> = self.subscriptions.topics().into_iter().flatten().cloned().collect();
        let owned = self.subscriptions.assignment().into_iter().collect();
        let Some(group) = &mut self.group else { return Ok(()) };
        if let Some(task) = group.task.take() {
            task.abort();
        }
        group.joined_topics = Some(topics.clone());
        group.joining_since = Some(group.metrics.coordinator.start());
        let (id, reason) = group.member.begin_session();
        let session = Session {
            id,
            member: Arc::clone(&group.member),
            metrics: Arc::clone(&group.metrics.coordinator),
            cluster: self.cluster.clone(),
            assignors: Arc::clone(&group.assignors),
            settings: Settings::new(&self.config),
            reason,
            topics,
            owned,
            owned_generation: group.assigned_generation,
        };
        match self.cluster.spawn(session.run()) {
            Ok(task) => group.task = Some(task),
            Err(error) => {
                group.member.request_rejoin("there was no runtime to join on");
                return Err(error);
            }
        }
        Ok(())
    }

    /// Cooperatively, revokes what is owned and not assigned any more. It is free for others once this member has
    /// rejoined without it.
    fn revoke_unassigned(&mut self, joined: &Joined) -> Answer<Result<()>> {
        if !self.is_meant_for_us(joined) {
            return done();
        }
        let assigned: BTreeSet<_> = joined.assignment.partitions.iter().collect();
        let owned = self.subscriptions.assignment();
        let revoked: Vec<TopicPartition> = owned.into_iter().filter(|owned| !assigned.contains(owned)).collect();
        if revoked.is_empty() {
            return done();
        }
        for topic_partition in &revoked {
            if let Some(state) = self.subscriptions.find_mut(topic_partition) {
                state.revoking = true;
            }
        }
        if self.auto_commit.is_some() {
            let mut uncommitted = self.subscriptions.uncommitted();
            uncommitted.retain(|(topic_partition, _)| revoked.contains(topic_partition));
            let answer = self.send_commit(uncommitted);
            self.pending_commits.push(answer);
        }
        self.call_listener(Event::Revoked, &revoked);
        if let Some(group) = &self.group {
            group.member.request_rejoin("need to revoke partitions and re-join");
        }
        self.take_listener_commits()
    }

    /// Whether the assignment fits the subscription; it does not if that changed during the join.
    fn is_meant_for_us(&self, joined: &Joined) -> bool {
        joined.assignment.partitions.iter().all(|it| self.subscriptions.accepts(it.topic()))
    }

    /// The rebalance is over: takes the new assignment.
    fn take_partitions(&mut self, joined: Joined) {
        let (fits, now) = (self.is_meant_for_us(&joined), self.now());
        let Some(group) = &mut self.group else { return };
        let Group { member, metrics, joining_since, assignors, assigned_generation, .. } = group;
        if !fits {
            member.request_rejoin("received assignment does not match the current subscription");
            return;
        }
        if let Some(start) = joining_since.take() {
            metrics.coordinator.rebalanced(start);
        }
        *assigned_generation = joined.generation_id;
        if let Some(assignor) = find_assignor(assignors, &joined.assignor) {
            assignor.on_assignment(&joined.assignment, joined.generation_id);
        }
        if let Some(auto_commit) = &mut self.auto_commit {
            auto_commit.restart(now);
        }
        let owned = self.subscriptions.assignment();
        let mut assigned = joined.assignment.partitions;
        assigned.sort_unstable();
        self.subscriptions.set_assignment(assigned.iter().cloned());
        let added: Vec<_> = assigned.into_iter().filter(|assigned| !owned.contains(assigned)).collect();
        self.call_listener(Event::Assigned, &added);
        self.forget_listener_commits();
    }

    /// Before leaving: what a rebalance under way was waiting to have committed.
    pub(in crate::client::consumer) fn take_rebalance_commits(&mut self) -> Answer<Result<()>> {
        match self.group.as_mut().map(|group| std::mem::take(&mut group.rebalance)) {
            Some(Rebalance::Committing(commits) | Rebalance::Revoking(commits) | Rebalance::Completing(_, commits)) => {
                commits
            }
            Some(Rebalance::Idle | Rebalance::Joining) | None => done(),
        }
    }

    /// Before leaving: the listener hears that everything goes.
    pub(in crate::client::consumer) fn give_up_everything(&mut self) -> Answer<Result<()>> {
        let Some(group) = &self.group else { return done() };
        let partitions: Vec<_> = self.subscriptions.assignment().into_iter().collect();
        if !self.subscriptions.is_group_managed() || partitions.is_empty() {
            return done();
        }
        let kept = group.member.is_in_generation() && group.member.is_stable();
        self.call_listener(if kept { Event::Revoked } else { Event::Lost }, &partitions);
        self.subscriptions.set_assignment([]);
        self.take_listener_commits()
    }
}

fn done() -> Answer<Result<()>> {
    Answer::ready(Ok(()))
}
