//! [`Consumer::poll`]: from what is at hand to parking until something happens.
//!
//! While data flows, a poll is one atomic load for everything that is not data, one for the metadata, one for partitions
//! that stood still and moved, and one per partition that is hot and has nothing read ahead; a group member also reads the clock once. All else is behind
//! [`Consumer::attend`], which runs only when something asks for it.
//!
//! What a poll waits for lives in the consumer, not in the poll's future. So dropping the future loses nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::client::consumer::answer::Answer;
use crate::client::consumer::wakeup::Signal;
use crate::client::consumer::{Consumer, ConsumerRecords};
use crate::error::{Error, Result};

/// How often a poll that has nothing to return lets other tasks run before it parks, if the poll before it returned
/// records. A producer that feeds the consumer needs well under a microsecond for its next record, while parking a
/// thread and waking it again costs both sides several. Sixteen yields take about as long as one such wake.
const YIELDS_IN_A_STREAM: u8 = 16;

/// The same if the poll before it returned a good part of a batch or more: there is a stream of batches, and the next one
/// is some ten microseconds away. Waking a parked thread costs its producer about as much, for every batch, so a
/// consumer that keeps up would slow its producer down by half. All but the last sixteen let other threads of the processor
/// run, too: about 30 us in all.
const YIELDS_IN_A_TORRENT: u8 = 80;

/// From how many records a poll counts as a good part of a batch.
const TORRENT: usize = 64;

/// The same if the poll before it returned none: once, so that a loop of polls without timeout lets a rebalance proceed.
const YIELDS: u8 = 1;

/// How a consumer waits.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// Whether the waiter is registered with the partitions.
    armed: bool,
    /// How many records the last poll returned.
    streaming: usize,
    /// Whether the last look at everything but data was cut short.
    attention: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Resolves when there is newer metadata than that of this version.
    metadata: Option<(i64, Answer<()>)>,
}

/// How long a poll waits, and how far it is with that.
#[derive(Debug)]
pub(super) struct Wait {
    timeout: Option<Duration>,
    /// Known once there turns out to be something to wait for.
    deadline: Option<Instant>,
    yields: Option<u8>,
}

impl Wait {
    pub(super) fn no_longer_than(timeout: Duration) -> Self {
        Self { timeout: Some(timeout), deadline: None, yields: None }
    }

    pub(super) fn forever() -> Self {
        Self { timeout: None, deadline: None, yields: None }
    }

    /// Sets the deadline, if there is one, and tells whether it has passed.
    fn is_over(&mut self, now: Instant) -> bool {
        if self.deadline.is_none() {
            // A deadline that no clock can show is none.
            self.deadline = self.timeout.and_then(|timeout| now.checked_add(timeout));
        }
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Consumer {
    /// Returns records as soon as there are any, at most `max.poll.records`; none if `timeout` passes first, or if the
    /// interceptors leave none. Joins the
    /// group, takes part in its rebalances, calls the listener and commits, where that is configured.
    ///
    /// # Errors
    /// [`Error::is_wakeup`] after [`ConsumerWaker::wakeup`](crate::ConsumerWaker::wakeup). An illegal state without
    /// subscription or assignment. `OFFSET_OUT_OF_RANGE`, naming the partitions, where there is no usable position and
    /// `auto.offset.reset=none`. What the coordinator refuses, such as `INVALID_SESSION_TIMEOUT`,
    /// `INCONSISTENT_GROUP_PROTOCOL`, `GROUP_MAX_SIZE_REACHED`, or `FENCED_INSTANCE_ID`, which ends the membership for
    /// good. `CORRUPT_MESSAGE` and the like for a batch that cannot be read; seek past it to go on. What a rebalance
    /// listener committed in vain.
    pub async fn poll(&mut self, timeout: Duration) -> Result<ConsumerRecords> {
        tokio::task::coop::consume_budget().await;
        let mut wait = Wait::no_longer_than(timeout);
        let polling = Polling(self);
        poll_fn(|cx| polling.0.poll_records(cx, &mut wait)).await
    }

    /// The poll itself. Whoever calls it sees to it that [`Consumer::disarm`] is called in the end.
    #[inline]
    pub(super) fn poll_records(&mut self, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Result<ConsumerRecords>> {
        self.disarm();
        let records = self.collect(cx, wait.yields.is_none())?;
        if records.is_empty() {
            return self.wait_for_records(cx, wait);
        }
        self.parking.streaming = records.len();
        Poll::Ready(Ok(self.intercepted(records)))
    }

    /// What interceptors leave of records, and make of them.
    #[inline]
    fn intercepted(&self, records: ConsumerRecords) -> ConsumerRecords {
        if self.config.interceptors.is_empty() { records } else { self.config.interceptors.on_consume(records) }
    }

    /// What can be had without waiting.
    #[inline]
    fn collect(&mut self, cx: &mut Context<'_>, is_first_look: bool) -> Result<ConsumerRecords> {
        let mut auto_commit_due = false;
        if let Some(group) = &mut self.group {
            let now = self.cluster.clock().now();
            let now_ms = self.cluster.clock().ms_at(now);
            group.member.polled_at(now_ms);
            if is_first_look {
                group.metrics.polls.begin(now_ms);
            }
            auto_commit_due = self.auto_commit.as_ref().is_some_and(|auto_commit| auto_commit.next <= now);
        }
        if auto_commit_due || self.needs_attention() {
            self.attend(cx)?;
        }
        if self.signal.waiter.has_ready() {
            self.heat_ready();
        }
        self.fetcher.collect(&mut self.subscriptions)
    }

    /// Looks at the partitions that moved since the consumer registered with them.
    #[cold]
    fn heat_ready(&mut self) {
        for token in self.signal.waiter.take_ready() {
            self.subscriptions.heat_ready(token);
        }
    }

    #[cold]
    fn wait_for_records(&mut self, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Result<ConsumerRecords>> {
        let streaming = std::mem::take(&mut self.parking.streaming);
        let yields = wait.yields.get_or_insert(match streaming {
            0 => YIELDS,
            1..TORRENT => YIELDS_IN_A_STREAM,
            _ => YIELDS_IN_A_TORRENT,
        });
        if *yields > 0 {
            *yields -= 1;
            if *yields >= YIELDS_IN_A_STREAM {
                std::thread::yield_now();
            }
            // One poll of it has the task run again after the others; that is all it is for.
            if pin!(tokio::task::yield_now()).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let mut looked = false;
        loop {
            let now = self.now();
            if wait.is_over(now) {
                self.waited(now);
                return Poll::Ready(Ok(ConsumerRecords::default()));
            }
            self.schedule_retry(now);
            self.arm(cx);
            if !self.has_news() && self.poll_events(cx, wait.deadline).is_pending() {
                return Poll::Pending;
            }
            // A look that brought nothing and left something to do: others run before the next, so that whatever keeps it
            // so can change.
            if std::mem::replace(&mut looked, true) && pin!(tokio::task::yield_now()).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.disarm();
            let records = self.collect(cx, false)?;
            if !records.is_empty() {
                self.parking.streaming = records.len();
                self.waited(self.now());
                return Poll::Ready(Ok(self.intercepted(records)));
            }
        }
    }

    /// A poll that had to wait is over.
    fn waited(&mut self, now: Instant) {
        let now_ms = self.cluster.clock().ms_at(now);
        self.fetcher.metrics().put_in(now_ms);
        if let Some(group) = &mut self.group {
            group.metrics.polls.waited(now_ms);
        }
    }

    /// Whether there is anything to do besides handing out data.
    #[inline]
    fn needs_attention(&self) -> bool {
        self.signal.is_raised()
            || self.metadata_version != self.cluster.metadata_version()
            || self.subscriptions.unsettled
            || self.parking.attention
            || self.offset_fetch.is_some()
            || !self.pending_commits.is_empty()
            || self.group.as_ref().is_some_and(|group| group.is_waiting())
    }

    /// Sees to everything but data: wakeups, commits, metadata, the group, positions.
    #[cold]
    fn attend(&mut self, cx: &mut Context<'_>) -> Result<()> {
        // Until it is all done: an error leaves the rest to the next poll.
        self.parking.attention = true;
        if self.signal.take(Signal::WAKEUP) {
            return Err(Error::wakeup());
        }
        if self.subscriptions.is_none() {
            return Err(Error::illegal_state("Consumer is not subscribed to any topics or assigned any partitions"));
        }
        self.cluster.check_open()?;
        self.signal.take(Signal::GROUP);
        self.create_missing_topics()?;
        let version = self.cluster.metadata_version();
        if self.metadata_version != version {
            self.metadata_version = version;
            self.subscriptions.match_topics(&self.cluster.image(), self.config.exclude_internal_topics);
            self.subscriptions.unsettled = true;
        }
        self.coordinate(cx)?;
        let now = self.now();
        self.retry_when_due(now);
        self.settle_positions(cx)?;
        self.auto_commit_when_due(now);
        // Last, so that the answers to what was sent on the way wake this task.
        let _pending = self.poll_pending_commits(cx);
        self.parking.attention = false;
        Ok(())
    }

    /// Registers for everything that may end the wait: first the waker, then the hot partitions, since with the others it
    /// is registered; the caller then looks again.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let waiter = &self.signal.waiter;
        waiter.set_waker(cx.waker());
        self.fetcher.cool(&mut self.subscriptions);
        if let Some(group) = &self.group {
            group.member.polling();
        }
        self.parking.armed = true;
    }

    /// Takes back the waker. The waiter stays registered with partitions that stand still.
    #[inline]
    pub(super) fn disarm(&mut self) {
        if self.parking.armed {
            self.disarm_slowly();
        }
    }

    fn disarm_slowly(&mut self) {
        self.parking.armed = false;
        drop(self.signal.waiter.take_waker());
        if let Some(group) = &self.group {
            group.member.polled_at(self.cluster.clock().now_ms());
        }
    }

    fn has_news(&self) -> bool {
        self.signal.is_raised()
            || self.subscriptions.unsettled
            || self.metadata_version != self.cluster.metadata_version()
            || self.signal.waiter.has_ready()
            || self.fetcher.has_news(&self.subscriptions)
    }

    /// Newer metadata, or the next point in time at which there is something to do.
    fn poll_events(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let version = self.metadata_version;
        if self.parking.metadata.as_ref().is_none_or(|(awaited, _)| *awaited != version) {
            let cluster = self.cluster.clone();
            let changed = Answer::new(async move { cluster.metadata_changed(version).await });
            self.parking.metadata = Some((version, changed));
        }
        if let Some((_, changed)) = &mut self.parking.metadata
            && changed.poll_answer(cx).is_ready()
        {
            self.parking.metadata = None;
            // Newer metadata, or the cluster was shut down.
            self.parking.attention = true;
            return Poll::Ready(());
        }
        // Positions that are committed already leave the auto-commit nothing to do.
        let auto_commit = self.auto_commit.as_ref().filter(|_| self.subscriptions.moved);
        let deadlines = [deadline, self.fetcher.held_until(), self.retry_at, auto_commit.map(|it| it.next)];
        let Some(next) = deadlines.into_iter().flatten().min() else { return Poll::Pending };
        let sleep = self.parking.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if sleep.deadline() != next {
            sleep.as_mut().reset(next);
        }
        let slept = sleep.as_mut().poll(cx);
        self.parking.attention |= slept.is_ready();
        slept
    }
}

/// A poll under way. However it ends, nobody is left to be woken.
struct Polling<'a>(&'a mut Consumer);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.disarm();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicPartition;
    use crate::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

    /// A position that the partition refuses, and a reset that leads to the same: with each look there is something to do.
    #[tokio::test(start_paused = true)]
    async fn a_poll_that_gets_nowhere_lets_others_run() {
        let cluster = Cluster::in_memory();
        cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
        let producer = cluster.producer(ProducerConfig::default()).unwrap();
        for _ in 0..3 {
            producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
        }
        let handle = cluster.leader(&TopicPartition::new("t", 0)).unwrap();
        handle.delete_records(2).unwrap();
        handle.offsets().store(0, 3, 3, 3);
        let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
        let mut consumer = cluster.consumer(config).unwrap();
        consumer.assign([("t", 0)]).unwrap();
        {
            let mut poll = pin!(consumer.poll(Duration::from_secs(1)));
            for _ in 0..20 {
                assert!(futures::poll!(&mut poll).is_pending());
            }
        }
        assert!(consumer.subscriptions.unsettled, "there is nothing in the way");
        handle.offsets().store(2, 3, 3, 3);
        let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
        assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [2]);
    }
}
