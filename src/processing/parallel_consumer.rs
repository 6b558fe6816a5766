//! [`ParallelConsumer`]: the loop around a consumer.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::listener::{Revoker, keep_existing};
use super::schedule::{Holds, Offsets, Shared};
use super::worker::work;
use super::{FailedRecord, ProcessingConfig, ProcessingError};
use crate::client::consumer::{CommitHandle, Consumer, ConsumerConfig, ConsumerRecords, OwnedConsumerRecord};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;

/// A member of a consumer group that processes many records at a time, in the order that is asked for, and commits what
/// is complete.
///
/// Every record is processed at least once: what is committed of a partition is never past a record that is not
/// complete. A record is processed again only if its partition changes hands, or the process ends, while it or one in
/// front of it is not complete and committed; ordered by partition, and as long as rebalances find the handlers done
/// within `revoke_timeout`, none is.
///
/// ```
/// use std::convert::Infallible;
///
/// use brokerless::processing::{ParallelConsumer, ProcessingConfig};
/// use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::in_memory();
/// cluster.admin().create_topic(NewTopic::new("orders").partitions(6)).await?;
/// let producer = cluster.producer(ProducerConfig::default())?;
/// producer.send(ProducerRecord::to("orders").key("ada").value("12.50")).await?.await?;
///
/// let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
/// let mut consumer = ParallelConsumer::new(&cluster, config, ProcessingConfig::default())?;
/// consumer.subscribe(["orders"])?;
/// let shutdown = consumer.shutdown_handle();
/// let summary = consumer
///     .run(move |record| {
///         let shutdown = shutdown.clone();
///         async move {
///             println!("{:?} {:?}", record.key(), record.value());
///             shutdown.shutdown();
///             Ok::<_, Infallible>(())
///         }
///     })
///     .await?;
/// assert_eq!(summary.processed(), 1);
/// # Ok(()) }
/// ```
pub struct ParallelConsumer {
    cluster: Cluster,
    consumer: Consumer,
    config: Arc<ProcessingConfig>,
    shared: Arc<Shared>,
}

impl ParallelConsumer {
    /// A consumer of `cluster` with these settings; of the consumer's, `enable.auto.commit` and `max.poll.records` are
    /// replaced. Nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` without a group; `INVALID_CONFIG` for settings that contradict each other.
    pub fn new(cluster: &Cluster, consumer: ConsumerConfig, config: ProcessingConfig) -> Result<Self> {
        config.validate()?;
        let consumer = consumer.enable_auto_commit(false).max_poll_records(config.max_poll_records());
        let consumer = cluster.consumer(consumer)?;
        consumer.group_metadata()?;
        let shared = Arc::new(Shared::new(&config));
        Ok(Self { cluster: cluster.clone(), consumer, config: Arc::new(config), shared })
    }

    /// Subscribes to topics: see [`Consumer::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item: Into<String>>) -> Result<()> {
        let revoker = self.revoker();
        self.consumer.subscribe_with_listener(topics, revoker)
    }

    /// Subscribes to the topics whose names a regular expression matches: see [`Consumer::subscribe_pattern`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        let revoker = self.revoker();
        self.consumer.subscribe_pattern_with_listener(pattern, revoker)
    }

    /// Processes these partitions, whatever the group does, and commits for the group: see [`Consumer::assign`].
    ///
    /// # Errors
    /// As there.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.consumer.assign(partitions)
    }

    fn revoker(&self) -> Revoker {
        let (shared, cluster) = (Arc::clone(&self.shared), self.cluster.clone());
        Revoker { shared, cluster, timeout: self.config.revoke_timeout }
    }

    /// Something to end [`run`](Self::run) with, from anywhere.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.shared))
    }

    /// Processes records until it is shut down, or a record or the consumer fails. Then it finishes what is to be
    /// finished, within `shutdown_timeout`, commits, and leaves the group.
    ///
    /// `handler` gets each record in one of at most `max_concurrency` tasks, on the runtime that
    /// this is called on. They are cancelled when this future is dropped, which neither commits nor waits, and none of
    /// them is left when it ends.
    ///
    /// # Errors
    /// [`ProcessingError::Handler`] with the record that the handler failed on, if the policy is to stop;
    /// [`ProcessingError::Consumer`] for what [`Consumer::poll`] cannot recover from, and for the last commit.
    ///
    /// # Panics
    /// If the handler does: nothing more is committed then.
    pub async fn run<H, F, E>(self, handler: H) -> Result<ProcessingSummary, ProcessingError<E>>
    where
        H: Fn(OwnedConsumerRecord) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
    {
        let Self { cluster, consumer, config, shared } = self;
        let mut workers = JoinSet::new();
        let mut reading = Reading { cluster, consumer, shared: Arc::clone(&shared), commit: None };
        let handler = Arc::new(handler);
        let mut ticks = tokio::time::interval(config.commit_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mut deadline = None;
        let mut outcome = Ok(());
        let mut can_poll = true;
        loop {
            // Before the look at the schedule, so that no change falls between the two.
            let mut changed = pin!(shared.changed());
            if reading.commit.is_none() && shared.lock().has_begun() {
                reading.commit();
            }
            loop {
                let started = shared.lock().start();
                let Some((id, job)) = started else { break };
                let (shared_, config, handler) = (Arc::clone(&shared), Arc::clone(&config), Arc::clone(&handler));
                let abort = workers.spawn(work(shared_, config, handler, id, job));
                shared.lock().attach(id, abort);
            }
            reading.hold();
            if shared.lock().is_draining() {
                // A worker that failed has its record to return.
                if shared.lock().is_drained() && workers.is_empty() {
                    break;
                }
                deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(config.shutdown_timeout)));
            }
            let event = {
                let Reading { consumer, commit, .. } = &mut reading;
                let mut poll = pin!(consumer.poll(Duration::MAX));
                poll_fn(|cx| {
                    if changed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Changed);
                    }
                    if deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                        return Poll::Ready(Event::Late);
                    }
                    if let Some((_, answer)) = commit
                        && let Poll::Ready(result) = Pin::new(answer).poll(cx)
                    {
                        return Poll::Ready(Event::Committed(result));
                    }
                    if ticks.poll_tick(cx).is_ready() {
                        return Poll::Ready(Event::Tick);
                    }
                    if let Poll::Ready(Some(ended)) = workers.poll_join_next(cx) {
                        return Poll::Ready(Event::Worker(ended));
                    }
                    if can_poll { poll.as_mut().poll(cx).map(Event::Polled) } else { Poll::Pending }
                })
                .await
            };
            match event {
                Event::Polled(Ok(records)) => {
                    let positions: Offsets =
                        records.next_offsets().map(|(partition, next)| (partition.clone(), next)).collect();
                    let mut schedule = shared.lock();
                    records.into_iter().for_each(|record| schedule.take(record));
                    schedule.advance(positions);
                }
                Event::Polled(Err(error)) if is_passing(error.code()) => {}
                Event::Polled(Err(error)) => {
                    (can_poll, outcome) = (false, outcome.and(Err(error.into())));
                    shared.lock().stop();
                }
                Event::Worker(Ok(None)) => {}
                Event::Worker(Ok(Some(failed))) => {
                    outcome = outcome.and(Err(ProcessingError::Handler(Box::new(failed))));
                }
                Event::Worker(Err(error)) if error.is_panic() => {
                    workers.shutdown().await;
                    resume_unwind(error.into_panic());
                }
                // Cancelled, together with its partition.
                Event::Worker(Err(_)) | Event::Changed => {}
                Event::Tick => reading.commit(),
                Event::Committed(result) => reading.committed(result),
                Event::Late => break,
            }
        }
        workers.abort_all();
        while let Some(ended) = workers.join_next().await {
            match ended {
                Ok(Some(failed)) => outcome = outcome.and(Err(ProcessingError::Handler(Box::new(failed)))),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // Complete, or cancelled.
                Ok(None) | Err(_) => {}
            }
        }
        reading.advance();
        let summary = shared.change(|schedule| schedule.cancel());
        let ended = reading.end(config.shutdown_timeout, can_poll).await;
        outcome.and(ended.map_err(Into::into)).map(|()| summary)
    }
}

impl fmt::Debug for ParallelConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelConsumer").field("consumer", &self.consumer).field("config", &self.config).finish()
    }
}

/// What the loop waits for.
enum Event<E> {
    Polled(Result<ConsumerRecords>),
    Worker(Result<Option<FailedRecord<E>>, JoinError>),
    Committed(Result<()>),
    /// The schedule.
    Changed,
    Tick,
    /// The shutdown takes too long.
    Late,
}

/// The loop's consumer.
struct Reading {
    cluster: Cluster,
    consumer: Consumer,
    shared: Arc<Shared>,
    /// The commit under way.
    commit: Option<(Offsets, CommitHandle)>,
}

impl Reading {
    /// Pauses and resumes partitions as the schedule has it.
    fn hold(&mut self) {
        let Some(holds) = self.shared.lock().holds() else { return };
        let paused = self.consumer.paused();
        let assigned = self.consumer.assignment();
        let to_pause: BTreeSet<_> = match holds {
            Holds::All => assigned,
            Holds::Only(partitions) => partitions.intersection(&assigned).cloned().collect(),
        };
        let held = self.consumer.resume(paused.difference(&to_pause));
        let held = held.and_then(|()| self.consumer.pause(to_pause.difference(&paused)));
        held.expect("all of these partitions are assigned");
    }

    /// Tells the schedule where the consumer is.
    fn advance(&self) {
        self.shared.lock().advance(self.consumer.consumed());
    }

    /// What may be committed now. Interceptors may return records of any partition; those that this consumer does not own
    /// are not for it to commit.
    fn uncommitted(&self) -> Offsets {
        let assigned = self.consumer.assignment();
        let mut offsets = self.shared.lock().uncommitted();
        offsets.retain(|(topic_partition, _)| assigned.contains(topic_partition));
        keep_existing(&self.cluster, &mut offsets);
        offsets
    }

    /// Commits what is complete, unless a commit is under way.
    fn commit(&mut self) {
        if self.commit.is_none() {
            self.advance();
            let offsets = self.uncommitted();
            if !offsets.is_empty() {
                self.commit = Some((offsets.clone(), self.consumer.commit_offsets_async(offsets)));
            }
        }
    }

    /// What was refused is part of the next commit.
    fn committed(&mut self, result: Result<()>) {
        if let (Some((offsets, _)), Ok(())) = (self.commit.take(), result) {
            self.shared.lock().committed(&offsets);
        }
    }

    /// The last commit; leaves the group.
    async fn end(mut self, timeout: Duration, can_poll: bool) -> Result<()> {
        let committed = tokio::time::timeout(timeout, async {
            loop {
                let offsets = self.uncommitted();
                let committed = match offsets.is_empty() {
                    true => Ok(()),
                    false => self.consumer.commit_offsets(offsets.clone()).await,
                };
                match committed {
                    // The rebalance may end in time; all partitions are paused.
                    Err(error) if error.code() == ErrorCode::RebalanceInProgress && can_poll => {
                        match self.consumer.poll(REBALANCE_STEP).await {
                            // Those of interceptors, which are not processed any more.
                            Ok(records) => records.into_iter().for_each(|record| self.shared.lock().take(record)),
                            Err(error) if is_passing(error.code()) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    // Deleted since it was looked up: what is left is committed.
                    Err(error) if error.code() == ErrorCode::UnknownTopicOrPartition => {}
                    Ok(()) => {
                        self.shared.lock().committed(&offsets);
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        let late = |_| Err(Error::timeout("the last commit was not accepted within the shutdown timeout"));
        let committed = committed.await.unwrap_or_else(late);
        let closed = self.consumer.close_timeout(timeout).await;
        committed.and(closed)
    }
}

/// How long to let a rebalance proceed before the last commit is tried again.
const REBALANCE_STEP: Duration = Duration::from_millis(50);

/// Refused commits that a rebalance explains: what they were for is read again by the partitions' owners, unless it was
/// deleted.
fn is_passing(code: ErrorCode) -> bool {
    use ErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId, UnknownTopicOrPartition};
    matches!(code, RebalanceInProgress | IllegalGeneration | UnknownMemberId | UnknownTopicOrPartition)
}

/// What a [`ParallelConsumer`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessingSummary {
    pub(super) processed: u64,
    pub(super) skipped: u64,
    pub(super) unfinished: u64,
}

impl ProcessingSummary {
    /// How many records the handler succeeded on.
    pub fn processed(&self) -> u64 {
        self.processed
    }

    /// How many records it failed on that were passed over.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many records had been taken when it ended and were not complete: they are read again by their partitions'
    /// next owners.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }
}

/// Ends a [`ParallelConsumer`]: see [`ParallelConsumer::shutdown_handle`].
#[derive(Clone, Debug)]
pub struct ShutdownHandle(Arc<Shared>);

impl ShutdownHandle {
    /// Has it take no more records, finish those that it has taken, commit, and leave the group. Returns at once; it is
    /// over when `run` is.
    pub fn shutdown(&self) {
        self.0.change(|schedule| schedule.drain());
    }
}
