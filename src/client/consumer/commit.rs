//! Commits: sync, async, by themselves.
//!
//! A commit is handled by the coordinator before the call that sends it returns; only its answer is waited for. So
//! commits take effect in the order of the calls, whatever becomes of their futures.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::consumer::answer::Answer;
use crate::client::consumer::membership::Member;
use crate::client::consumer::metrics::CoordinatorMetrics;
use crate::client::consumer::{Consumer, ConsumerConfig};
use crate::cluster::Cluster;
use crate::cluster::group::OffsetCommitRequest;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};
use crate::util::trace;

pub(super) type Offsets = Vec<(TopicPartition, OffsetAndMetadata)>;

/// The answer to an asynchronous commit, to be awaited or dropped: the commit itself has been handled already.
#[must_use = "an answer that nobody looks at hides a refused commit; drop it explicitly if that is meant"]
pub struct CommitHandle(Answer<Result<()>>);

impl Future for CommitHandle {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_answer(cx)
    }
}

impl fmt::Debug for CommitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitHandle").finish_non_exhaustive()
    }
}

/// Commits whose answers the consumer itself takes: those with a callback, and automatic ones. In order of sending.
#[derive(Debug, Default)]
pub(super) struct PendingCommits(VecDeque<PendingCommit>);

#[derive(Debug)]
struct PendingCommit {
    /// Runs the callback, if there is one.
    answer: Answer<Result<()>>,
    offsets: Offsets,
    automatic: bool,
}

/// When to commit without being asked: `enable.auto.commit`.
#[derive(Debug)]
pub(super) struct AutoCommit {
    interval: Duration,
    pub(super) next: Instant,
}

impl AutoCommit {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now + interval }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.next = now + self.interval;
    }
}

// What users call.
impl Consumer {
    /// The positions of everything returned so far: what [`Consumer::commit`] commits.
    pub(crate) fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.subscriptions.consumed()
    }

    /// Commits the positions of everything returned so far, and waits until that is accepted: Kafka's `commitSync()`.
    ///
    /// Retriable errors are retried for `default.api.timeout.ms`. Callbacks of earlier asynchronous commits have run
    /// when this returns.
    ///
    /// # Errors
    /// `ILLEGAL_GENERATION` or `UNKNOWN_MEMBER_ID` if the group went on without this member: its partitions may belong to
    /// others, poll to rejoin. `REBALANCE_IN_PROGRESS` during a rebalance: poll, then try again. `INVALID_GROUP_ID` without
    /// a group.
    pub async fn commit(&mut self) -> Result<()> {
        let offsets = self.subscriptions.consumed();
        self.commit_and_wait(offsets).await
    }

    /// Commits these positions (each the offset of the *next* record to read), and waits until that is accepted. Errors
    /// as for [`Consumer::commit`]; `UNKNOWN_TOPIC_OR_PARTITION` for a partition that does not exist,
    /// `OFFSET_METADATA_TOO_LARGE` for a note of more than `offset.metadata.max.bytes` (4,096; UTF-16 code units, as Kafka
    /// counts) or 32,767 bytes.
    pub async fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetAndMetadata)>,
    ) -> Result<()> {
        self.commit_and_wait(named(offsets)).await
    }

    /// Commits the positions of everything returned so far. The answer comes with the handle; nothing is retried.
    pub fn commit_async(&mut self) -> CommitHandle {
        CommitHandle(self.send_commit(self.subscriptions.consumed()))
    }

    /// Commits these positions. The answer comes with the handle; nothing is retried.
    pub fn commit_offsets_async(
        &mut self,
        offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetAndMetadata)>,
    ) -> CommitHandle {
        CommitHandle(self.send_commit(named(offsets)))
    }

    /// Commits the positions of everything returned so far. The callback runs within a later poll, commit or close, in
    /// the order of the calls: Kafka's `commitAsync(callback)`.
    pub fn commit_async_with(&mut self, callback: impl FnOnce(Result<()>) + Send + 'static) {
        let offsets = self.subscriptions.consumed();
        let answer = self.send_commit(offsets.clone());
        let answer = Answer::new(async move {
            let result = answer.await;
            callback(result.clone());
            result
        });
        self.pending_commits.0.push_back(PendingCommit { answer, offsets, automatic: false });
    }
}

impl Consumer {
    async fn commit_and_wait(&mut self, offsets: Offsets) -> Result<()> {
        let start = self.now();
        let committed = self.commit_until_answered(offsets).await;
        if let Some(group) = &self.group {
            group.metrics.polls.waited_for_commit(self.now() - start);
        }
        committed
    }

    async fn commit_until_answered(&mut self, offsets: Offsets) -> Result<()> {
        let deadline = self.now() + self.config.default_api_timeout;
        let mut backoff = self.config.retry_backoff;
        loop {
            let answer = self.send_commit(offsets.clone());
            self.finish_pending_commits(deadline).await;
            let timeout = deadline.min(self.now() + self.config.request_timeout);
            let error = match tokio::time::timeout_at(timeout, answer).await {
                Ok(Ok(())) => {
                    self.subscriptions.mark_committed(&offsets);
                    return Ok(());
                }
                // The metadata is not behind, so a partition that it does not have is not worth waiting for.
                Ok(Err(error)) if !error.is_retriable() || error.code() == ErrorCode::UnknownTopicOrPartition => {
                    return Err(error);
                }
                Ok(Err(error)) => error,
                Err(_) => Error::timeout("the coordinator did not answer the commit in time"),
            };
            if self.now() + backoff >= deadline {
                return Err(
                    Error::timeout("offsets could not be committed within default.api.timeout.ms").with_source(error)
                );
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(self.config.retry_backoff_max);
        }
    }

    /// Has the coordinator handle a commit, now. The future is its answer.
    pub(super) fn send_commit(&self, offsets: Offsets) -> Answer<Result<()>> {
        match self.committer() {
            Ok(committer) => committer.send(offsets),
            Err(error) => Answer::ready(Err(error)),
        }
    }

    /// Has the coordinator handle a commit once it is known what to commit.
    pub(super) fn send_commit_when(
        &self,
        offsets: impl Future<Output = Offsets> + Send + 'static,
    ) -> Answer<Result<()>> {
        let committer = self.committer();
        Answer::new(async move {
            let offsets = offsets.await;
            committer?.send(offsets).await
        })
    }

    fn committer(&self) -> Result<Committer> {
        let group = self.group.as_ref().ok_or_else(no_group_id)?;
        Ok(Committer {
            cluster: self.cluster.clone(),
            member: Arc::clone(&group.member),
            metrics: Arc::clone(&group.metrics.coordinator),
            is_group_managed: self.subscriptions.is_group_managed(),
            config: Arc::clone(&self.config),
        })
    }

    /// Sends what `enable.auto.commit` commits now; its answer is taken by a later poll.
    pub(super) fn auto_commit_when_due(&mut self, now: Instant) {
        if self.auto_commit.as_ref().is_some_and(|auto_commit| auto_commit.next <= now) {
            self.commit_automatically(now);
        }
    }

    /// Does so whether it is due or not.
    pub(super) fn commit_automatically(&mut self, now: Instant) {
        let Some(auto_commit) = &mut self.auto_commit else { return };
        auto_commit.restart(now);
        // A position that is committed already needs no record in the offsets topic.
        let offsets = self.subscriptions.uncommitted();
        if !offsets.is_empty() {
            let answer = self.send_commit(offsets.clone());
            self.pending_commits.0.push_back(PendingCommit { answer, offsets, automatic: true });
        } else {
            self.subscriptions.moved = false;
        }
    }

    /// Takes the answers that are there, in order, and runs their callbacks.
    pub(super) fn poll_pending_commits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(pending) = self.pending_commits.0.front_mut() {
            let Poll::Ready(answer) = pending.answer.poll_answer(cx) else { return Poll::Pending };
            let Some(PendingCommit { offsets, automatic, .. }) = self.pending_commits.0.pop_front() else { break };
            match answer {
                Ok(()) => self.subscriptions.mark_committed(&offsets),
                Err(error) if automatic && error.is_retriable() => {
                    // An automatic commit is tried again sooner than the next one is due.
                    let soon = self.now() + self.config.retry_backoff;
                    if let Some(auto_commit) = &mut self.auto_commit {
                        auto_commit.next = auto_commit.next.min(soon);
                    }
                }
                Err(_) => {}
            }
        }
        Poll::Ready(())
    }

    /// Waits for the answers to all asynchronous commits, until `deadline`.
    pub(super) async fn finish_pending_commits(&mut self, deadline: Instant) {
        if !self.pending_commits.0.is_empty() {
            let finished = std::future::poll_fn(|cx| self.poll_pending_commits(cx));
            let _late = tokio::time::timeout_at(deadline, finished).await;
        }
    }
}

impl PendingCommits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a commit whose answer nobody waits for.
    pub(super) fn push(&mut self, answer: Answer<Result<()>>) {
        self.0.push_back(PendingCommit { answer, offsets: Vec::new(), automatic: false });
    }
}

pub(super) fn named(offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetAndMetadata)>) -> Offsets {
    offsets.into_iter().map(|(topic_partition, offset)| (topic_partition.into(), offset)).collect()
}

/// What it takes to commit for a consumer, apart from it.
struct Committer {
    cluster: Cluster,
    member: Arc<Member>,
    metrics: Arc<CoordinatorMetrics>,
    config: Arc<ConsumerConfig>,
    is_group_managed: bool,
}

impl Committer {
    /// Has the coordinator handle a commit before this returns. The future is its answer.
    fn send(self, offsets: Offsets) -> Answer<Result<()>> {
        if offsets.is_empty() {
            return Answer::ready(Ok(()));
        }
        if let Some((topic_partition, offset)) = offsets.iter().find(|(_, offset)| offset.offset() < 0) {
            let error = Error::new(ErrorCode::InvalidRequest, format!("Invalid offset: {}", offset.offset()))
                .with_topic_partition(topic_partition.clone());
            return Answer::ready(Err(error));
        }
        let Self { cluster, member, metrics, config, is_group_managed } = self;
        let (generation_id, member_id, group_instance_id) = match is_group_managed.then(|| member.stable_generation()) {
            Some(Ok((generation_id, member_id))) => (generation_id, member_id, config.group_instance_id.clone()),
            Some(Err(error)) => return Answer::ready(Err(error)),
            None => (-1, String::new(), None),
        };
        let group_id = member.group_id().to_owned();
        let told = if config.interceptors.is_empty() { Offsets::new() } else { offsets.clone() };
        let request = OffsetCommitRequest { group_id, generation_id, member_id, group_instance_id, offsets };
        let start = metrics.start();
        let answer = cluster.commit_offsets(request);
        Answer::new(async move {
            let response = answer.await;
            metrics.committed(start);
            let count = response.partitions.len();
            match response.partitions.into_iter().find(|(_, code)| !code.is_none()) {
                None => {
                    trace::event!(
                        DEBUG,
                        "offsets committed",
                        group = member.group_id(),
                        generation = generation_id,
                        partitions = count as u64
                    );
                    config.interceptors.on_commit(&told);
                    Ok(())
                }
                Some((topic_partition, code)) => {
                    trace::event!(
                        DEBUG,
                        "offset commit refused",
                        group = member.group_id(),
                        generation = generation_id,
                        partitions = count as u64,
                        error = trace::display(code)
                    );
                    Err(refused(&member, generation_id, code, topic_partition))
                }
            }
        })
    }
}

/// What Kafka's `groupId` check throws.
pub(super) fn no_group_id() -> Error {
    Error::new(
        ErrorCode::InvalidGroupId,
        "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer configuration.",
    )
}

/// What a refusal says about the membership, and to the user.
fn refused(member: &Member, generation_id: i32, code: ErrorCode, topic_partition: TopicPartition) -> Error {
    let message = match code {
        ErrorCode::RebalanceInProgress => {
            member.request_rejoin("offset commit failed since group is already rebalancing");
            "Offset commit cannot be completed since the consumer group is executing a rebalance at the moment. You can try \
             completing the rebalance by calling poll() and then retry commit again"
        }
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            // The member id may still be good where only the generation is old.
            member.reset_if(generation_id, code == ErrorCode::UnknownMemberId);
            "Commit cannot be completed since the group has already rebalanced and assigned the partitions to another \
             member. This means that the time between subsequent calls to poll() was longer than the configured \
             max.poll.interval.ms, which typically implies that the poll loop is spending too much time processing records"
        }
        ErrorCode::FencedInstanceId => {
            member.fail_if(generation_id, Error::from(code));
            code.message()
        }
        _ => code.message(),
    };
    Error::new(code, message).with_topic_partition(topic_partition)
}
