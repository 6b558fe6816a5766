//! The background task: joins, syncs, then heartbeats until the membership or the session ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::leave_request;
use super::member::{Joined, Member, Outcome};
use crate::client::consumer::ConsumerConfig;
use crate::client::consumer::assignor::{Assignor, MemberSubscription};
use crate::client::consumer::metrics::CoordinatorMetrics;
use crate::cluster::Cluster;
use crate::cluster::group::{HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition};
use crate::util::race::{Either, race};

const PROTOCOL_TYPE: &str = "consumer";

/// One session: a join and, if it succeeds, the membership that follows from it.
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) member: Arc<Member>,
    pub(super) metrics: Arc<CoordinatorMetrics>,
    pub(super) cluster: Cluster,
    pub(super) assignors: Arc<[Box<dyn Assignor>]>,
    pub(super) settings: Settings,
    pub(super) reason: String,
    pub(super) topics: Vec<String>,
    /// What the member keeps while it joins.
    pub(super) owned: Vec<TopicPartition>,
    /// The generation that `owned` comes from.
    pub(super) owned_generation: i32,
}

/// What of the configuration concerns the membership.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    group_instance_id: Option<String>,
    client_id: String,
    session_timeout: Duration,
    max_poll_interval: Duration,
    heartbeat_interval: Duration,
    retry_backoff: Duration,
    retry_backoff_max: Duration,
}

impl Settings {
    pub(super) fn new(config: &ConsumerConfig) -> Self {
        Self {
            group_instance_id: config.group_instance_id.clone(),
            client_id: if config.client_id.is_empty() { "consumer".to_owned() } else { config.client_id.clone() },
            session_timeout: config.session_timeout,
            max_poll_interval: config.max_poll_interval,
            heartbeat_interval: config.heartbeat_interval,
            retry_backoff: config.retry_backoff,
            retry_backoff_max: config.retry_backoff_max,
        }
    }
}

/// What came of one JoinGroup and SyncGroup.
enum Attempt {
    Ended(Outcome),
    /// The group has begun another rebalance.
    JoinAgain,
    SessionOver,
}

impl Session {
    pub(super) async fn run(self) {
        let Some(outcome) = self.join().await else { return };
        let joined = match &outcome {
            Outcome::Joined(joined) => Some(joined.generation_id),
            Outcome::Reset | Outcome::Refused(_) => None,
        };
        self.member.ended(self.id, outcome);
        if let Some(generation_id) = joined {
            self.heartbeat(generation_id).await;
        }
    }

    /// Joins until that succeeds or is refused for good; `None` if the session is over.
    async fn join(&self) -> Option<Outcome> {
        let mut backoff = self.settings.retry_backoff;
        loop {
            let member_id = self.member.joining_as(self.id)?;
            let start = self.metrics.start();
            let response = self.cluster.join_group(self.join_request(member_id)).await;
            self.metrics.joined(start);
            if !self.member.is_current(self.id) {
                return None;
            }
            match response.error {
                ErrorCode::None => match self.sync(response).await {
                    Attempt::Ended(outcome) => return Some(outcome),
                    Attempt::JoinAgain => continue,
                    Attempt::SessionOver => return None,
                },
                // KIP-394: the coordinator names members first, so that retried joins leave no ghosts.
                ErrorCode::MemberIdRequired => {
                    self.member.named(self.id, response.member_id);
                    continue;
                }
                ErrorCode::UnknownMemberId => {
                    self.member.lost(self.id, true);
                    return Some(Outcome::Reset);
                }
                ErrorCode::RebalanceInProgress => {}
                code if code.is_retriable() => {}
                code => return Some(Outcome::Refused(self.refused("joining", code))),
            }
            // Polls find out by themselves that the cluster was shut down.
            self.cluster.check_open().ok()?;
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(self.settings.retry_backoff_max);
        }
    }

    fn join_request(&self, member_id: String) -> JoinGroupRequest {
        let settings = &self.settings;
        let protocols = self.assignors.iter().map(|assignor| {
            let subscription = ConsumerProtocolSubscription {
                topics: self.topics.clone(),
                user_data: assignor.subscription_user_data(&self.topics),
                owned_partitions: self.owned.clone(),
                generation_id: self.owned_generation,
                rack_id: None,
            };
            (assignor.name().to_owned(), subscription.encode())
        });
        JoinGroupRequest {
            group_id: self.member.group_id().to_owned(),
            session_timeout_ms: millis(settings.session_timeout),
            rebalance_timeout_ms: millis(settings.max_poll_interval),
            member_id,
            group_instance_id: settings.group_instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: protocols.collect(),
            client_id: settings.client_id.clone(),
            client_host: "/in-process".to_owned(),
            require_known_member_id: true,
            supports_skipping_assignment: true,
            reason: Some(self.reason.clone()).filter(|reason| !reason.is_empty()),
        }
    }

    /// SyncGroup, after the assignment if the member is the leader.
    async fn sync(&self, join: JoinGroupResponse) -> Attempt {
        self.member.entered(self.id, join.generation_id, join.member_id.clone());
        let assignor = join.protocol_name.clone().unwrap_or_default();
        let assignments = if join.leader == join.member_id {
            match self.lead(&join, &assignor) {
                Ok(assignments) => assignments,
                Err(error) => return Attempt::Ended(Outcome::Refused(error)),
            }
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest {
            group_id: self.member.group_id().to_owned(),
            generation_id: join.generation_id,
            member_id: join.member_id,
            group_instance_id: self.settings.group_instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(assignor.clone()),
            assignments,
        };
        let start = self.metrics.start();
        let response = self.cluster.sync_group(request).await;
        self.metrics.synced(start);
        if !self.member.is_current(self.id) {
            return Attempt::SessionOver;
        }
        Attempt::Ended(match response.error {
            ErrorCode::None => match ConsumerProtocolAssignment::decode(&response.assignment) {
                Ok(assignment) => Outcome::Joined(Joined { generation_id: join.generation_id, assignor, assignment }),
                Err(error) => Outcome::Refused(undecodable("assignment", error)),
            },
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                // The member id may still be good where only the generation is old.
                self.member.lost(self.id, response.error == ErrorCode::UnknownMemberId);
                Outcome::Reset
            }
            code if code == ErrorCode::RebalanceInProgress || code.is_retriable() => return Attempt::JoinAgain,
            code => Outcome::Refused(self.refused("syncing with", code)),
        })
    }

    /// The leader's part: an assignment for everybody.
    fn lead(&self, join: &JoinGroupResponse, assignor: &str) -> Result<Vec<(String, bytes::Bytes)>> {
        let members = join.members.iter().map(|member| {
            let subscription = ConsumerProtocolSubscription::decode(&member.metadata);
            Ok(MemberSubscription {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                subscription: subscription.map_err(|error| undecodable("subscription", error))?,
            })
        });
        let members: Vec<_> = members.collect::<Result<_>>()?;
        let image = self.cluster.image();
        let topics = members.iter().flat_map(|member| &member.subscription.topics);
        // Topics that do not exist count as 0 partitions: their creation changes the snapshot.
        let snapshot: BTreeMap<String, i32> = topics
            .map(|name| (name.clone(), image.topic(name).map_or(0, |topic| topic.partitions.len() as i32)))
            .collect();
        self.member.led(self.id, snapshot.clone());
        // KIP-814: a static leader came back, and the group goes on as it was.
        if join.skip_assignment {
            return Ok(Vec::new());
        }
        let chosen = find_assignor(&self.assignors, assignor)
            .ok_or_else(|| self.refused("assigning for", ErrorCode::InconsistentGroupProtocol))?;
        let counts = snapshot.into_iter().filter(|(_, count)| *count > 0).collect();
        let assignments = chosen.assign(&counts, &members);
        Ok(assignments.into_iter().map(|(member_id, assignment)| (member_id, assignment.encode())).collect())
    }

    /// Tells the coordinator that the member lives, and watches that the user polls. The coordinator is asked every
    /// heartbeat interval, and as soon as it has something to tell.
    async fn heartbeat(&self, generation_id: i32) {
        let max_poll_ms = self.settings.max_poll_interval.as_millis() as i64;
        let clock = self.cluster.clock();
        let mut next = clock.now() + self.settings.heartbeat_interval;
        let mut news = Some(self.watch(generation_id));
        loop {
            // A poll that waits now may end and not be followed by another: that can be too late only after the interval.
            let last_polled = self.member.polled_ms();
            let poll_deadline_ms = last_polled.unwrap_or_else(|| clock.now_ms()).saturating_add(max_poll_ms);
            let deadline = tokio::time::sleep_until(next.min(clock.instant_at(poll_deadline_ms)));
            let has_news = match &mut news {
                Some(watch) => race(watch.as_mut(), deadline).await == Either::Left(()),
                None => {
                    deadline.await;
                    false
                }
            };
            if has_news {
                (news, next) = (None, clock.now());
            }
            if !self.member.is_current(self.id) {
                return;
            }
            if self.member.polled_ms().is_some_and(|polled| clock.now_ms() >= polled.saturating_add(max_poll_ms)) {
                return self.poll_timed_out();
            }
            if clock.now() < next {
                continue;
            }
            next = clock.now() + self.settings.heartbeat_interval;
            let start = self.metrics.heartbeat_sent();
            let code = self.cluster.heartbeat(self.heartbeat_request(generation_id)).await;
            self.metrics.heartbeat_answered(start);
            if !self.member.is_current(self.id) {
                return;
            }
            match code {
                // After a false alarm the watch is not renewed at once: whatever raises it could keep raising it.
                ErrorCode::None if news.is_none() && !has_news => news = Some(self.watch(generation_id)),
                ErrorCode::None => {}
                // The user learns of it at the next poll. Until then heartbeats keep the member alive.
                ErrorCode::RebalanceInProgress => self.member.request_rejoin("group is already rebalancing"),
                ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                    return self.member.lost(self.id, code == ErrorCode::UnknownMemberId);
                }
                code if code.is_retriable() && self.cluster.check_open().is_ok() => {
                    next = clock.now() + self.settings.retry_backoff;
                }
                code => return self.member.failed(self.id, self.refused("heartbeating to", code)),
            }
        }
    }

    fn watch(&self, generation_id: i32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.cluster.watch_member(self.heartbeat_request(generation_id)))
    }

    fn heartbeat_request(&self, generation_id: i32) -> HeartbeatRequest {
        let (_, member_id) = self.member.generation();
        HeartbeatRequest {
            group_id: self.member.group_id().to_owned(),
            generation_id,
            member_id,
            group_instance_id: self.settings.group_instance_id.clone(),
        }
    }

    /// `max.poll.interval.ms` is over: the member leaves, so that others take over, and its next poll starts anew.
    /// A static member just stops: its session expires (KIP-345).
    fn poll_timed_out(&self) {
        let (_, member_id) = self.member.generation();
        self.member.lost(self.id, true);
        if self.settings.group_instance_id.is_none() {
            drop(self.cluster.leave_group(leave_request(
                &self.member,
                member_id,
                "consumer poll timeout has expired.",
            )));
        }
    }

    fn refused(&self, attempt: &str, code: ErrorCode) -> Error {
        Error::new(code, format!("{attempt} group {}: {}", self.member.group_id(), code.message()))
    }
}

pub(super) fn find_assignor<'a>(assignors: &'a [Box<dyn Assignor>], name: &str) -> Option<&'a dyn Assignor> {
    assignors.iter().map(|assignor| &**assignor).find(|assignor| assignor.name() == name)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn undecodable(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorCode::InconsistentGroupProtocol, format!("a member's {what} cannot be read")).with_source(error)
}
