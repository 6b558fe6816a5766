//! [`RebalanceListener`] and what it may do: [`RebalanceContext`].

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use parking_lot::Mutex;

use crate::client::consumer::answer::Answer;
use crate::client::consumer::commit::named;
use crate::client::consumer::{Consumer, ConsumerGroupMetadata};
use crate::error::{Error, Result};
use crate::types::{Offset, OffsetAndMetadata, TopicPartition};

/// Hears of partitions that come and go: Kafka's `ConsumerRebalanceListener`.
///
/// The methods run inside `poll`, `unsubscribe` or `close`, on the task that called it, and hold up the rebalance of the
/// whole group while they run. Revocation comes before the partitions are given away, so that what belongs to them can be
/// finished and committed; assignment comes before the first record of a new partition.
///
/// A panic of the listener goes through the call that it runs in. A caller that catches it has a consumer that rejoins its
/// group at the next poll, and tells the listener as before.
///
/// With eager assignors a rebalance revokes everything and then assigns everything anew. With cooperative ones only what
/// moves is revoked, and only what is new is assigned.
///
/// ```
/// use brokerless::{RebalanceContext, RebalanceListener, TopicPartition};
///
/// struct Flush;
/// impl RebalanceListener for Flush {
///     fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
///         // ... write out what was read of `partitions`, then:
///         context.commit();
///     }
/// }
/// ```
pub trait RebalanceListener: Send {
    /// These partitions are new to the consumer. Called after every rebalance, if need be with none. Seeking here takes
    /// the place of the committed position.
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let _ = (context, partitions);
    }

    /// These partitions are about to go to other members.
    fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let _ = (context, partitions);
    }

    /// These partitions are gone: the consumer was out of the group (its session expired, it polled too late), and other
    /// members may be reading them already. Commits for them are refused. As
    /// [`on_partitions_revoked`](Self::on_partitions_revoked), unless it is implemented.
    fn on_partitions_lost(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.on_partitions_revoked(context, partitions);
    }
}

/// What a [`RebalanceListener`] may do with its consumer.
#[derive(Debug)]
pub struct RebalanceContext<'a> {
    consumer: &'a mut Consumer,
}

impl RebalanceContext<'_> {
    /// The partitions that the consumer has at this moment; those being revoked are still among them.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.consumer.assignment()
    }

    /// The membership that is ending, or that has just begun.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The offset of the next record that a poll would return; `None` while it has not been looked up.
    pub fn position(&self, topic_partition: impl Into<TopicPartition>) -> Option<Offset> {
        self.consumer.subscriptions.find(&topic_partition.into())?.known_position()
    }

    /// See [`Consumer::consumed`].
    pub(crate) fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.consumer.consumed()
    }

    /// Commits the positions of everything returned so far. The coordinator has handled it when this returns; the
    /// rebalance waits for its answer, and the poll that it happens in reports a refusal.
    pub fn commit(&mut self) {
        let offsets = self.consumer.subscriptions.consumed();
        let answer = self.consumer.send_commit(offsets);
        self.consumer.listener_commits.push(answer);
    }

    /// Commits these positions, otherwise as [`RebalanceContext::commit`].
    pub fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetAndMetadata)>,
    ) {
        let answer = self.consumer.send_commit(named(offsets));
        self.consumer.listener_commits.push(answer);
    }

    /// Commits what `offsets` says as soon as it is known. The rebalance waits for that, while records of partitions that
    /// stay are returned and heartbeats are sent: the way to finish work in other tasks before partitions go. It must be
    /// over well within `max.poll.interval.ms`, after which the group goes on without this member. `close` waits for it,
    /// too; `unsubscribe` cannot, and drops it.
    ///
    /// ```
    /// # use brokerless::{RebalanceContext, RebalanceListener, TopicPartition};
    /// # struct Writers;
    /// # impl Writers { async fn finish(self, _: Vec<TopicPartition>) -> Vec<(TopicPartition, i64)> { Vec::new() } }
    /// # impl Clone for Writers { fn clone(&self) -> Self { Self } }
    /// # struct Listener { writers: Writers }
    /// use brokerless::types::OffsetAndMetadata;
    /// impl RebalanceListener for Listener {
    ///     fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
    ///         let (writers, partitions) = (self.writers.clone(), partitions.to_vec());
    ///         context.commit_when(async move {
    ///             let written = writers.finish(partitions).await;
    ///             written.into_iter().map(|(partition, next)| (partition, OffsetAndMetadata::new(next)))
    ///         });
    ///     }
    /// }
    /// ```
    pub fn commit_when<O>(&mut self, offsets: impl Future<Output = O> + Send + 'static)
    where
        O: IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    {
        let offsets = async move { offsets.await.into_iter().collect() };
        let answer = self.consumer.send_commit_when(offsets);
        self.consumer.listener_commits.push(answer);
    }

    /// See [`Consumer::seek`].
    pub fn seek(&mut self, topic_partition: impl Into<TopicPartition>, offset: Offset) -> Result<()> {
        self.consumer.seek(topic_partition, offset)
    }

    /// See [`Consumer::seek_to_beginning`].
    pub fn seek_to_beginning(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.consumer.seek_to_beginning(partitions)
    }

    /// See [`Consumer::seek_to_end`].
    pub fn seek_to_end(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.consumer.seek_to_end(partitions)
    }

    /// See [`Consumer::seek_to_timestamp`].
    pub fn seek_to_timestamp(
        &mut self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
        timestamp: i64,
    ) -> Result<()> {
        self.consumer.seek_to_timestamp(partitions, timestamp)
    }

    /// See [`Consumer::pause`].
    pub fn pause(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.consumer.pause(partitions)
    }

    /// See [`Consumer::resume`].
    pub fn resume(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.consumer.resume(partitions)
    }
}

/// Which method of the listener to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    pub(super) fn call_listener(&mut self, event: Event, partitions: &[TopicPartition]) {
        // Out of the consumer while it runs, because it gets at the consumer.
        let Some(listener) = self.listener.take() else { return };
        let mut listener = listener.into_inner();
        let start = self.now();
        let mut context = RebalanceContext { consumer: self };
        let called = catch_unwind(AssertUnwindSafe(|| match event {
            Event::Assigned => listener.on_partitions_assigned(&mut context, partitions),
            Event::Revoked => listener.on_partitions_revoked(&mut context, partitions),
            Event::Lost => listener.on_partitions_lost(&mut context, partitions),
        }));
        self.listener = Some(Mutex::new(listener));
        if let Some(group) = &self.group {
            group.metrics.coordinator.listener_called(event, start);
            if called.is_err() {
                // What the rebalance had come to is lost on the way out.
                group.member.request_rejoin("the rebalance listener panicked");
            }
        }
        if let Err(panic) = called {
            resume_unwind(panic);
        }
    }

    /// The answers to what the listener committed, as one: the first refusal, if there is one.
    pub(super) fn take_listener_commits(&mut self) -> Answer<Result<()>> {
        let answers = std::mem::take(&mut self.listener_commits);
        Answer::new(async move {
            let mut refusal: Option<Error> = None;
            for answer in answers {
                refusal = refusal.or(answer.await.err());
            }
            refusal.map_or(Ok(()), Err)
        })
    }

    /// Leaves the answers to later polls, which drop them.
    pub(super) fn forget_listener_commits(&mut self) {
        for answer in std::mem::take(&mut self.listener_commits) {
            self.pending_commits.push(answer);
        }
    }
}
