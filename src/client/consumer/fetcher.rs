//! [`Fetcher`]: the read path. From the logs into per-partition buffers, and out of those into a poll's records.
//!
//! Reading takes batch references under the partition's lock; handing out parses nothing but, where `max.poll.records`
//! ends within a batch, the lengths of the records in front of the cut.
//!
//! 1. A partition is read only when what was read of it before has been handed out (or is held for `fetch.min.bytes`),
//!    so a consumer holds at most `max.partition.fetch.bytes` and one batch of each, `fetch.max.bytes` in all.
//! 2. Fairness: rounds of reading begin at the next hot partition each time, and partitions are drained in the order in
//!    which they were read.
//! 3. Positions move as records go out, by exactly the records that do (invariant 25).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::consumer::metrics::FetchMetrics;
use crate::client::consumer::partition_state::{Current, PartitionState, Phase, Reset};
use crate::client::consumer::records::{BatchInfo, FetchedBatch};
use crate::client::consumer::subscription_state::SubscriptionState;
use crate::client::consumer::{AutoOffsetReset, ConsumerConfig, ConsumerRecords};
use crate::cluster::{Clock, Cluster, FetchWaiter, Token};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{RecordBatch, RecordError};
use crate::types::{IsolationLevel, Offset, TopicPartition};

/// What is read ahead, in which order it goes out, and the bounds of both.
#[derive(Debug)]
pub(super) struct Fetcher {
    clock: Clock,
    isolation: IsolationLevel,
    max_poll_records: usize,
    min_bytes: usize,
    max_wait: Duration,
    max_bytes: usize,
    max_partition_bytes: usize,
    reset: AutoOffsetReset,
    /// Partitions with something buffered, in the order in which they were read. Indexes of `epoch`.
    queue: VecDeque<usize>,
    /// The assignment that `queue` speaks of.
    epoch: u64,
    /// With a minimum to wait for, the place in the hot list that the next round of reading begins with.
    next: usize,
    /// Carries batches from the log to a partition's buffer; empty in between.
    scratch: Vec<RecordBatch>,
    /// What the last poll took: one producer without linger makes a batch of each record, and there may be many.
    expected_batches: usize,
    /// Until when less than `fetch.min.bytes` is held back.
    held_until: Option<Instant>,
    /// Bytes read and held back.
    held_bytes: usize,
    waiter: Arc<FetchWaiter>,
    metrics: FetchMetrics,
}

/// How many partitions a poll looks at one by one, two loads each. Of more, those that stand still are left to report by
/// themselves, which costs a few locks whenever one of them moves.
const MANY_HOT: usize = 64;

impl Fetcher {
    pub(super) fn new(cluster: &Cluster, config: &ConsumerConfig, waiter: Arc<FetchWaiter>) -> Self {
        Self {
            clock: *cluster.clock(),
            metrics: FetchMetrics::new(cluster, config),
            waiter,
            isolation: config.isolation_level,
            max_poll_records: config.max_poll_records,
            min_bytes: config.fetch_min_bytes,
            max_wait: config.fetch_max_wait,
            max_bytes: config.fetch_max_bytes,
            max_partition_bytes: config.max_partition_fetch_bytes,
            reset: config.auto_offset_reset,
            queue: VecDeque::new(),
            epoch: 0,
            next: 0,
            scratch: Vec::new(),
            expected_batches: 0,
            held_until: None,
            held_bytes: 0,
        }
    }

    pub(super) fn metrics(&self) -> &FetchMetrics {
        &self.metrics
    }

    pub(super) fn isolation(&self) -> IsolationLevel {
        self.isolation
    }

    /// When to look again although nothing happened.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Takes up to `max.poll.records` records, and moves the positions behind them. What stands in the way of a
    /// partition is an error only if there is nothing else to return; otherwise the next poll meets it.
    #[inline]
    pub(super) fn collect(&mut self, subscriptions: &mut SubscriptionState) -> Result<ConsumerRecords> {
        if self.epoch != subscriptions.epoch() {
            self.requeue(subscriptions);
        }
        let mut records = ConsumerRecords::with_capacity(self.expected_batches);
        if self.held_until.is_none() {
            self.drain(subscriptions, &mut records)?;
        }
        // With a minimum to wait for, a round of reading stands for a whole fetch: it waits until the last is drained.
        if records.len() < self.max_poll_records && (self.min_bytes <= 1 || self.queue.is_empty() || self.is_holding())
        {
            let read = self.read_round(subscriptions);
            if subscriptions.hot.len() > MANY_HOT {
                self.cool(subscriptions);
            }
            if records.is_empty() {
                read?;
            }
            if !self.is_holding() {
                self.drain(subscriptions, &mut records)?;
            }
        }
        self.expected_batches = records.batches_count();
        if !records.is_empty() {
            self.metrics.consumed(records.len());
        }
        Ok(records)
    }

    /// Whether another [`Fetcher::collect`] could find something. No lock is taken.
    pub(super) fn has_news(&self, subscriptions: &SubscriptionState) -> bool {
        let state = |index: &usize| &subscriptions.partitions()[*index];
        let to_drain = || !self.is_holding() && self.queue.iter().any(|index| state(index).is_fetchable());
        to_drain() || subscriptions.hot.iter().any(|index| self.is_readable(state(index)))
    }

    /// Leaves in the hot list only partitions with something to read. With the leaders of the others the waiter is
    /// registered, unless they could not be read anyway.
    pub(super) fn cool(&self, subscriptions: &mut SubscriptionState) {
        let mut hot = std::mem::take(&mut subscriptions.hot);
        let epoch = subscriptions.epoch() as u32;
        hot.retain(|index| {
            let state = &mut subscriptions.partitions_mut()[*index];
            if state.is_fetchable() {
                state.register(&self.waiter, Token { epoch, index: *index as u32 });
            }
            // Looked at once more after that.
            state.is_hot = self.is_readable(state) || self.stays_hot(state);
            state.is_hot
        });
        subscriptions.hot = hot;
    }

    /// With a minimum to wait for, more is read of partitions that have something buffered.
    fn stays_hot(&self, state: &PartitionState) -> bool {
        self.min_bytes > 1 && state.is_fetchable() && state.has_buffered()
    }

    fn is_holding(&self) -> bool {
        self.held_until.is_some()
    }

    #[inline]
    fn is_readable(&self, state: &PartitionState) -> bool {
        state.is_fetchable()
            && (!state.has_buffered() || (self.is_holding() && buffered_bytes(state) < self.max_partition_bytes))
            && state.has_news(self.isolation)
    }

    /// After a new assignment: partitions have new indexes, some are gone.
    fn requeue(&mut self, subscriptions: &mut SubscriptionState) {
        self.epoch = subscriptions.epoch();
        self.next = 0;
        self.queue.clear();
        self.held_bytes = 0;
        self.metrics.assigned(subscriptions.partitions_mut());
        for (index, state) in subscriptions.partitions_mut().iter_mut().enumerate() {
            state.queued = state.has_buffered();
            if state.queued {
                self.queue.push_back(index);
                self.held_bytes += if self.held_until.is_some() { buffered_bytes(state) } else { 0 };
            }
        }
    }
}

// Out of the logs.
impl Fetcher {
    /// Reads what is new of every partition that has nothing buffered.
    fn read_round(&mut self, subscriptions: &mut SubscriptionState) -> Result<()> {
        let mut hot = std::mem::take(&mut subscriptions.hot);
        let count = hot.len();
        let mut budget = self.max_bytes.saturating_sub(self.held_bytes);
        let mut out_of_range: Vec<(TopicPartition, Offset)> = Vec::new();
        let mut failure = None;
        let (mut bytes_read, mut records_read) = (0, 0);
        // Partitions that are read go to the end of the list, by way of the queue, unless there is a minimum to wait for.
        let first = if self.min_bytes > 1 && self.next < count { self.next } else { 0 };
        self.next = if first + 1 >= count { 0 } else { first + 1 };
        for step in 0..count {
            let at = if first + step < count { first + step } else { first + step - count };
            let index = hot[at];
            let state = &mut subscriptions.partitions_mut()[index];
            if !state.queued && state.is_fetchable() && state.has_buffered() {
                // It was paused when its turn to be drained came.
                state.queued = true;
                self.queue.push_back(index);
            }
            state.is_hot = !state.queued || self.stays_hot(state);
            if !self.is_readable(state) {
                continue;
            }
            if budget == 0 && self.held_bytes > 0 {
                self.next = at;
                break;
            }
            let Some(handle) = &state.handle else { continue };
            let max_bytes = budget.min(self.max_partition_bytes);
            match handle.read(state.read_position(), max_bytes, self.isolation, &mut self.scratch) {
                Ok(bytes) => {
                    budget = budget.saturating_sub(bytes);
                    self.held_bytes += bytes;
                    bytes_read += bytes;
                    records_read +=
                        self.scratch.iter().map(|batch| batch.header().records_count()).sum::<i32>() as usize;
                    if let Some(metrics) = &state.metrics {
                        metrics.fetched(bytes);
                    }
                    state.buffered.extend(self.scratch.drain(..));
                    if !state.queued {
                        state.queued = true;
                        self.queue.push_back(index);
                    }
                    state.is_hot = self.min_bytes > 1;
                }
                // What was read before is still good, and the position is still in front of it.
                Err(error) if error.code() == ErrorCode::OffsetOutOfRange && state.has_buffered() => {}
                Err(error) if error.code() == ErrorCode::OffsetOutOfRange => match Reset::from_policy(self.reset) {
                    Some(reset) => state.request_reset(reset),
                    None => out_of_range.push((state.topic_partition.clone(), state.position)),
                },
                Err(error) if error.is_closed() => failure = Some(error),
                // The replica leads no more, or is gone: wait for a leader.
                Err(_) => {
                    state.set_handle(None);
                    subscriptions.leaderless = true;
                }
            }
            let state = &subscriptions.partitions()[index];
            subscriptions.unsettled |= state.phase != Phase::Fetching;
        }
        if !self.queue.is_empty() {
            hot.retain(|index| subscriptions.partitions()[*index].is_hot);
        }
        subscriptions.hot = hot;
        self.scratch.clear();
        if bytes_read > 0 {
            self.metrics.fetched(bytes_read, records_read);
        }
        self.hold_or_release();
        match (failure, out_of_range.first()) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(()),
            (None, Some((first, _))) => Err(no_reset_policy(&out_of_range).with_topic_partition(first.clone())),
        }
    }

    /// `fetch.min.bytes` and `fetch.max.wait.ms`: what a broker does with a fetch request that it cannot fill yet. The
    /// wait counts from the first byte, so that an idle consumer need not wake up.
    fn hold_or_release(&mut self) {
        if (1..self.min_bytes.min(self.max_bytes)).contains(&self.held_bytes) && !self.max_wait.is_zero() {
            let now = self.clock.now();
            if *self.held_until.get_or_insert(now + self.max_wait) > now {
                return;
            }
        }
        self.held_until = None;
        self.held_bytes = 0;
    }
}

// Into a poll's records.
impl Fetcher {
    fn drain(&mut self, subscriptions: &mut SubscriptionState, records: &mut ConsumerRecords) -> Result<()> {
        // Each partition in the queue gets one turn; one that may not be read now comes back when it may.
        for _ in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else { break };
            let state = &mut subscriptions.partitions_mut()[index];
            if !state.is_fetchable() {
                state.queued = false;
                continue;
            }
            let before = records.len();
            let drained = drain_partition(state, records, self.max_poll_records);
            if let Some(metrics) = &state.metrics {
                let lag = state.handle.as_ref().map(|it| it.offsets().visible_end(self.isolation) - state.position);
                self.metrics.handed_out(metrics, records.len() - before, state.position, lag);
            }
            if state.has_buffered() {
                self.queue.push_front(index);
            } else {
                state.queued = false;
                subscriptions.heat(index);
            }
            subscriptions.moved = true;
            match drained {
                Ok(()) => {}
                Err(_) if !records.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            }
            if records.len() >= self.max_poll_records {
                break;
            }
        }
        Ok(())
    }
}

/// Moves records from a partition's buffer to `records` until those are `limit`.
fn drain_partition(state: &mut PartitionState, records: &mut ConsumerRecords, limit: usize) -> Result<()> {
    while records.len() < limit {
        let mut current = match state.current.take() {
            Some(current) => current,
            None => {
                let Some(batch) = state.buffered.front() else { break };
                let opened = open(batch, state.position);
                let opened = opened.map_err(|error| cannot_read(state, batch.header().base_offset(), error))?;
                let next_offset = batch.header().next_offset();
                state.buffered.pop_front();
                match opened {
                    Some(current) => current,
                    None => {
                        state.position = state.position.max(next_offset);
                        continue;
                    }
                }
            }
        };
        let room = limit - records.len();
        let Current { info, next_offset, .. } = current;
        if current.records.remaining() <= room {
            state.position = next_offset;
            let batch = FetchedBatch { records: current.records, info };
            records.push(&state.topic_partition, batch, next_offset);
        } else {
            match current.records.split_off_front(room) {
                Ok(front) => {
                    state.position = current.records.next_offset().unwrap_or(next_offset);
                    records.push(&state.topic_partition, FetchedBatch { records: front, info }, state.position);
                    state.current = Some(current);
                }
                Err(error) => {
                    state.current = Some(current);
                    return Err(cannot_read(state, state.position, error));
                }
            }
        }
        state.leader_epoch = Some(info.leader_epoch);
    }
    Ok(())
}

/// The records of a batch from `position` on; `None` if it holds none for the user.
///
/// Control batches are for readers of transactions. Once there are aborted transactions, this is where a
/// `read_committed` consumer passes over their batches; until then the last stable offset is bound enough.
fn open(batch: &RecordBatch, position: Offset) -> Result<Option<Current>, RecordError> {
    let header = batch.header();
    if header.is_control() || header.next_offset() <= position {
        return Ok(None);
    }
    let mut records = batch.records()?;
    if header.base_offset() < position {
        records.skip_to(position)?;
    }
    if records.remaining() == 0 {
        return Ok(None);
    }
    let info = BatchInfo { timestamp_type: header.timestamp_type(), leader_epoch: header.partition_leader_epoch() };
    Ok(Some(Current { records, info, next_offset: header.next_offset() }))
}

fn buffered_bytes(state: &PartitionState) -> usize {
    state.buffered.iter().map(RecordBatch::size_in_bytes).sum()
}

fn cannot_read(state: &PartitionState, offset: Offset, error: RecordError) -> Error {
    let message =
        format!("cannot read the batch at offset {offset}: {error}; if needed, seek past it to continue consumption");
    Error::new(error.code(), message).with_source(error).with_topic_partition(state.topic_partition.clone())
}

fn no_reset_policy(positions: &[(TopicPartition, Offset)]) -> Error {
    let positions: Vec<_> = positions.iter().map(|(partition, offset)| format!("{partition}: {offset}")).collect();
    let message =
        format!("fetch positions out of range, and no reset policy (auto.offset.reset) for {}", positions.join(", "));
    Error::new(ErrorCode::OffsetOutOfRange, message)
}
