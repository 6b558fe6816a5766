//! A consumer's membership in its group: the classic protocol, as Kafka's `ConsumerCoordinator` runs it.
//!
//! ```text
//!            poll: rejoin wanted                      task: JoinGroup answered, SyncGroup answered
//! Unjoined ----------------------> Joining ------------------------------------------------> Stable
//!    ^                                |                                                        |
//!    |   the coordinator does not know the member or its generation; max.poll.interval.ms;     |
//!    +-- leave ----------------------+---------------------------------------------------------+
//! ```
//!
//! Two sides share a [`Member`]:
//!
//! * the consumer's own task, inside poll ([`rebalance`]): auto-commits, calls the rebalance listener, gives partitions
//!   up and takes new ones;
//! * one background task ([`task`]), started by each join and ended by the next, by leaving or by dropping the consumer:
//!   it joins and syncs, runs the assignor if the member is the leader, then sends heartbeats and enforces
//!   `max.poll.interval.ms`. So a rebalance goes on, and a session lives, while the user processes records.
//!
//! Invariants:
//! 1. Only the task of the current session writes to the state; a task that was replaced finds that out under the lock.
//! 2. The assignment changes only inside poll, unsubscribe or close, and the listener hears of it first.
//! 3. A generation is used for commits only while it is stable: between JoinGroup and SyncGroup there is none.
//! 4. The state's lock is never held over a call to the cluster, an assignor or a listener.

mod member;
mod rebalance;
mod task;

pub(super) use member::Member;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::consumer::answer::Answer;
use crate::client::consumer::assignor::{Assignor, RebalanceProtocol};
use crate::client::consumer::metrics::GroupMetrics;
use crate::client::consumer::wakeup::Signal;
use crate::client::consumer::{ConsumerConfig, ConsumerGroupMetadata};
use crate::cluster::Cluster;
use crate::cluster::group::{LeaveGroupMember, LeaveGroupRequest, LeaveGroupResponse};

/// The consumer's side of its membership.
pub(super) struct Group {
    pub(super) member: Arc<Member>,
    pub(super) metrics: GroupMetrics,
    assignors: Arc<[Box<dyn Assignor>]>,
    protocol: RebalanceProtocol,
    rebalance: rebalance::Rebalance,
    /// What the last join asked for. `None`: not joined yet.
    joined_topics: Option<Vec<String>>,
    /// The generation that the current assignment came with.
    assigned_generation: i32,
    /// When the join under way began.
    joining_since: Option<Instant>,
    task: Option<JoinHandle<()>>,
    /// A static member does not leave when it is closed: it may come back within its session (KIP-345).
    is_static: bool,
}

impl Group {
    pub(super) fn new(group_id: &str, config: &ConsumerConfig, signal: Arc<Signal>, metrics: GroupMetrics) -> Self {
        let assignors: Arc<[Box<dyn Assignor>]> =
            config.partition_assignment_strategy.iter().map(|it| it.build()).collect();
        let cooperative = assignors.iter().all(|it| it.protocols().contains(&RebalanceProtocol::Cooperative));
        let protocol = if cooperative { RebalanceProtocol::Cooperative } else { RebalanceProtocol::Eager };
        Self {
            member: Arc::new(Member::new(group_id, signal)),
            metrics,
            joining_since: None,
            assignors,
            protocol,
            rebalance: rebalance::Rebalance::Idle,
            joined_topics: None,
            assigned_generation: -1,
            task: None,
            is_static: config.group_instance_id.is_some(),
        }
    }

    fn join_failed(&mut self) {
        self.joining_since = None;
        self.metrics.coordinator.rebalance_failed();
    }

    /// Whether a rebalance is waiting for an answer that its future has to be polled for.
    pub(super) fn is_waiting(&self) -> bool {
        self.rebalance.is_waiting()
    }

    /// Ends the background task and, unless the member is static, leaves the group. The request has been
    /// handled when this returns; the future is its answer.
    pub(super) fn leave(&mut self, cluster: &Cluster, reason: &str) -> Option<Answer<LeaveGroupResponse>> {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.rebalance = rebalance::Rebalance::Idle;
        self.joined_topics = None;
        let member_id = self.member.leave().filter(|_| !self.is_static)?;
        let request = leave_request(&self.member, member_id, reason);
        Some(Answer::new(cluster.leave_group(request)))
    }

    pub(super) fn metadata(&self, config: &ConsumerConfig) -> ConsumerGroupMetadata {
        let (generation_id, member_id) = self.member.generation();
        ConsumerGroupMetadata {
            group_id: self.member.group_id().to_owned(),
            generation_id,
            member_id,
            group_instance_id: config.group_instance_id.clone(),
        }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("member", &self.member)
            .field("rebalance", &self.rebalance)
            .finish_non_exhaustive()
    }
}

fn leave_request(member: &Member, member_id: String, reason: &str) -> LeaveGroupRequest {
    let leaving = LeaveGroupMember { member_id, group_instance_id: None, reason: Some(reason.to_owned()) };
    LeaveGroupRequest { group_id: member.group_id().to_owned(), members: vec![leaving] }
}
