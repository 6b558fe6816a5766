//! [`Consumer`]: what it is made of, what it subscribes to, how it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regex_lite::Regex;
use tokio::time::Instant;

use crate::client::consumer::answer::Answer;
use crate::client::consumer::commit::{AutoCommit, PendingCommits, no_group_id};
use crate::client::consumer::fetcher::Fetcher;
use crate::client::consumer::membership::Group;
use crate::client::consumer::metrics::GroupMetrics;
use crate::client::consumer::poll::Parking;
use crate::client::consumer::subscription_state::SubscriptionState;
use crate::client::consumer::wakeup::Signal;
use crate::client::consumer::{ConsumerConfig, ConsumerWaker, RebalanceListener};
use crate::cluster::Cluster;
use crate::cluster::group::OffsetFetchResponse;
use crate::config::property::bounded;
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;

/// Reads records, alone or as a member of a consumer group.
///
/// A consumer belongs to one task at a time: its methods take `&mut self`, and it is `Send`. It works inside its
/// [`poll`](Self::poll); in the background there is only the heartbeat of its group membership.
///
/// ```no_run
/// # async fn example(cluster: brokerless::Cluster) -> brokerless::Result<()> {
/// use brokerless::ConsumerConfig;
/// use std::time::Duration;
///
/// let mut consumer = cluster.consumer(ConsumerConfig::group("billing"))?;
/// consumer.subscribe(["orders"])?;
/// loop {
///     for record in &consumer.poll(Duration::from_secs(1)).await? {
///         println!("{} {:?}", record.offset(), record.value());
///     }
/// }
/// # }
/// ```
///
/// Every method may be cancelled by dropping its future; no record is lost by that, and the next call goes on.
///
/// [`close`](Self::close) commits, if that is automatic, and leaves the group. A consumer that is just dropped leaves its
/// group too, but does not commit.
pub struct Consumer {
    pub(super) cluster: Cluster,
    pub(super) config: Arc<ConsumerConfig>,
    pub(super) subscriptions: SubscriptionState,
    pub(super) fetcher: Fetcher,
    pub(super) signal: Arc<Signal>,
    pub(super) group: Option<Group>,
    pub(super) auto_commit: Option<AutoCommit>,
    pub(super) pending_commits: PendingCommits,
    /// Never locked: the mutex makes the consumer `Sync` although a listener need not be.
    pub(super) listener: Option<Mutex<Box<dyn RebalanceListener>>>,
    /// Answers to what the listener committed in the callback that runs or ran last.
    pub(super) listener_commits: Vec<Answer<Result<()>>>,
    /// The question what is committed of newly assigned partitions.
    pub(super) offset_fetch: Option<Answer<OffsetFetchResponse>>,
    /// When to look again for leaders that are missing.
    pub(super) retry_at: Option<Instant>,
    /// The metadata that the subscription was matched with.
    pub(super) metadata_version: i64,
    /// The metadata that the leaders come from.
    pub(super) leaders_version: i64,
    pub(super) parking: Parking,
}

// A group's members are unsettled until their first poll.
const UNKNOWN_VERSION: i64 = i64::MIN;

impl Consumer {
    /// A consumer of `cluster`. Nothing happens before the first poll.
    pub(crate) fn new(cluster: Cluster, config: ConsumerConfig) -> Result<Self> {
        config.validate()?;
        let signal = Arc::new(Signal::default());
        let subscriptions = SubscriptionState::default();
        let fetcher = Fetcher::new(&cluster, &config, Arc::clone(&signal.waiter));
        let group = config.group_id.as_deref().map(|group_id| {
            Group::new(
                group_id,
                &config,
                Arc::clone(&signal),
                GroupMetrics::new(fetcher.metrics(), subscriptions.assigned_count()),
            )
        });
        let auto_commit =
            config.auto_commits().then(|| AutoCommit::new(config.auto_commit_interval, cluster.clock().now()));
        Ok(Self {
            fetcher,
            cluster,
            subscriptions,
            signal,
            group,
            auto_commit,
            pending_commits: PendingCommits::default(),
            listener: None,
            listener_commits: Vec::new(),
            offset_fetch: None,
            retry_at: None,
            metadata_version: UNKNOWN_VERSION,
            leaders_version: UNKNOWN_VERSION,
            parking: Parking::default(),
            config: Arc::new(config),
        })
    }

    /// Subscribes to topics; the group assigns their partitions at the next polls. Replaces an earlier subscription. No
    /// topics at all is [`unsubscribe`](Self::unsubscribe). A topic that does not exist is waited for.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` without a group; `INVALID_TOPIC_EXCEPTION` for a blank name; an illegal state after
    /// `subscribe_pattern` or `assign`.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item: Into<String>>) -> Result<()> {
        self.subscribe_to(topics.into_iter().map(Into::into).collect(), None)
    }

    /// [`subscribe`](Self::subscribe), with somebody to hear of the partitions that come and go.
    pub fn subscribe_with_listener(
        &mut self,
        topics: impl IntoIterator<Item: Into<String>>,
        listener: impl RebalanceListener + 'static,
    ) -> Result<()> {
        self.subscribe_to(topics.into_iter().map(Into::into).collect(), Some(Box::new(listener)))
    }

    /// Subscribes to all topics, present and future, whose names the regular expression matches in some part; anchor it
    /// with `^` and `$` to match whole names. Kafka's internal topics are passed over unless
    /// `exclude.internal.topics=false`.
    ///
    /// # Errors
    /// `INVALID_REGULAR_EXPRESSION`; otherwise as [`subscribe`](Self::subscribe).
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        self.subscribe_to_pattern(pattern, None)
    }

    /// [`subscribe_pattern`](Self::subscribe_pattern), with somebody to hear of the partitions that come and go.
    pub fn subscribe_pattern_with_listener(
        &mut self,
        pattern: &str,
        listener: impl RebalanceListener + 'static,
    ) -> Result<()> {
        self.subscribe_to_pattern(pattern, Some(Box::new(listener)))
    }

    fn subscribe_to(&mut self, topics: BTreeSet<String>, listener: Option<Box<dyn RebalanceListener>>) -> Result<()> {
        if self.group.is_none() {
            return Err(no_group_id());
        }
        if topics.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        if topics.iter().any(|topic| topic.trim().is_empty()) {
            return Err(Error::new(ErrorCode::InvalidTopic, "a topic to subscribe to has an empty or blank name"));
        }
        self.subscriptions.subscribe(topics)?;
        self.subscribed(listener);
        Ok(())
    }

    fn subscribe_to_pattern(&mut self, pattern: &str, listener: Option<Box<dyn RebalanceListener>>) -> Result<()> {
        if self.group.is_none() {
            return Err(no_group_id());
        }
        let pattern = match Regex::new(pattern) {
            Ok(pattern) if !pattern.as_str().is_empty() => pattern,
            Ok(_) => return Err(Error::new(ErrorCode::InvalidRegularExpression, "the pattern is empty")),
            Err(error) => {
                let message = format!("`{pattern}` is not a regular expression");
                return Err(Error::new(ErrorCode::InvalidRegularExpression, message).with_source(error));
            }
        };
        self.subscriptions.subscribe_pattern(pattern)?;
        self.subscriptions.match_topics(&self.cluster.image(), self.config.exclude_internal_topics);
        self.subscribed(listener);
        Ok(())
    }

    fn subscribed(&mut self, listener: Option<Box<dyn RebalanceListener>>) {
        self.listener = listener.map(Mutex::new);
        self.signal.raise(Signal::GROUP);
    }

    /// The topics subscribed to; those that match, with a pattern.
    pub fn subscription(&self) -> BTreeSet<String> {
        self.subscriptions.topics().cloned().unwrap_or_default()
    }

    /// Reads these partitions, whatever a group does. Replaces an earlier assignment; partitions that stay keep their
    /// position. No partitions at all is [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors
    /// An illegal state after `subscribe`.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        if partitions.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        // What the partitions that go were read to is committed now, if that is automatic.
        self.commit_automatically(self.now());
        self.subscriptions.assign_manually(partitions)
    }

    /// The partitions that the consumer has, by hand or from its group.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.subscriptions.assignment()
    }

    /// Gives up all topics and partitions, and leaves the group. The listener hears of it first. Nothing is committed.
    pub fn unsubscribe(&mut self) {
        drop(self.give_up_everything());
        self.leave("the consumer unsubscribed from all topics");
        self.subscriptions.unsubscribe();
        self.listener = None;
    }

    /// Has the group rebalance: this member rejoins at its next poll.
    ///
    /// # Errors
    /// An illegal state without a subscription.
    pub fn enforce_rebalance(&mut self, reason: &str) -> Result<()> {
        match &self.group {
            Some(group) if self.subscriptions.is_group_managed() => {
                group.member.request_rejoin(reason);
                Ok(())
            }
            _ => Err(Error::illegal_state("Tried to force a rebalance but consumer does not have a group.")),
        }
    }

    /// The consumer's part in its group, as transactions ask for it (KIP-447).
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` without a group.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata> {
        Ok(self.group.as_ref().ok_or_else(no_group_id)?.metadata(&self.config))
    }

    /// Something to end a poll with, from any thread.
    pub fn wakeup_handle(&self) -> ConsumerWaker {
        ConsumerWaker(Arc::clone(&self.signal))
    }

    /// [`close_timeout`](Self::close_timeout) with 30 s, as in Kafka.
    pub async fn close(self) -> Result<()> {
        self.close_timeout(Duration::from_secs(30)).await
    }

    /// Commits what polls returned, if that is automatic, tells the listener that everything goes, and leaves the group.
    /// Callbacks of asynchronous commits run before this returns. Waits for answers no longer than `timeout`.
    ///
    /// A static member (`group.instance.id`) does not leave: it can come back within `session.timeout.ms`.
    ///
    /// # Errors
    /// Those of the last commit. The consumer is closed all the same.
    pub async fn close_timeout(mut self, timeout: Duration) -> Result<()> {
        let deadline = self.now() + bounded(timeout);
        let within = async |answer: Answer<Result<()>>| match tokio::time::timeout_at(deadline, answer).await {
            Ok(result) => result,
            Err(_) => Err(Error::timeout("the coordinator did not answer before the consumer was closed")),
        };
        let mut result = Ok(());
        if self.auto_commit.is_some() {
            let committed = self.send_commit(self.subscriptions.uncommitted());
            result = within(committed).await;
        }
        self.finish_pending_commits(deadline).await;
        let rebalance = self.take_rebalance_commits();
        result = result.and(within(rebalance).await);
        let revoked = self.give_up_everything();
        result = result.and(within(revoked).await);
        if let Some(left) = self.leave("the consumer is being closed") {
            result = result.and(within(left).await);
        }
        result
    }

    /// Now, by the cluster's clock.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        self.cluster.clock().now()
    }

    /// Leaves the group, if it has to be left. That has been handled when this returns; the future is the answer.
    fn leave(&mut self, reason: &str) -> Option<Answer<Result<()>>> {
        let answer = self.group.as_mut()?.leave(&self.cluster, reason)?;
        Some(Answer::new(async move {
            // What matters is that the coordinator heard it: a member that it no longer knows has left, too.
            answer.await;
            Ok(())
        }))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        drop(self.leave("the consumer was dropped"));
        self.config.interceptors.on_close();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group)
            .field("subscriptions", &self.subscriptions)
            .field("pending_commits", &self.pending_commits)
            .finish_non_exhaustive()
    }
}

/// A consumer's part in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupMetadata {
    pub(super) group_id: String,
    pub(super) generation_id: i32,
    pub(super) member_id: String,
    pub(super) group_instance_id: Option<String>,
}

impl ConsumerGroupMetadata {
    /// `group.id`.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Counts the group's rebalances; -1 outside of the group.
    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// What the coordinator calls the member; empty outside of the group.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// `group.instance.id` of a static member.
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }
}
