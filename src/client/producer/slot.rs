//! [`Slot`]: the batches of one partition, from the open one to those that wait for acknowledgement.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use std::time::Duration;

use tokio::time::Instant;

use crate::client::producer::batch::{Batch, OpenBatch};
use crate::client::producer::delivery::{BatchCell, Delivery, Outcome};
use crate::client::producer::dues::Dues;
use crate::client::producer::identity::Sequences;
use crate::client::producer::metrics::{SlotMetrics, TopicMetrics};
use crate::client::producer::send_clock::SendClock;
use crate::client::producer::topic::Sticky;
use crate::cluster::PartitionHandle;
use crate::error::Error;
use crate::types::{Offset, TopicPartition};
use crate::util::sync::atomic::{AtomicUsize, Ordering};
use crate::util::sync::{Mutex, MutexGuard};

/// One partition's batches.
pub(super) struct Slot {
    topic_partition: TopicPartition,
    sticky: Arc<Sticky>,
    dues: Arc<Dues>,
    /// Batches that are closed and not complete.
    queued: AtomicUsize,
    metrics: SlotMetrics,
    state: Mutex<SlotState>,
}

/// What the slot's lock protects. Nothing is awaited, sent, woken or called back while it is held.
#[derive(Default)]
pub(super) struct SlotState {
    pub(super) clock: SendClock,
    /// Takes records.
    pub(super) open: Option<OpenBatch>,
    /// Closed, in order; none of them is on its way.
    pub(super) ready: VecDeque<Batch>,
    /// Whether a thread is sending; it alone pops `ready`, and pushes onto `in_flight`.
    pub(super) draining: bool,
    /// The batch that this thread has in hand.
    pub(super) current: Option<Arc<BatchCell>>,
    /// Appended, in order, but not acknowledged.
    pub(super) in_flight: VecDeque<InFlight>,
    /// Whether a task waits for acknowledgements; it alone pops the front of `in_flight`.
    pub(super) awaiting_acks: bool,
    /// The batch that this task is completing.
    pub(super) acknowledging: Option<Arc<BatchCell>>,
    /// Why what is in flight will never be acknowledged; whoever drains next takes it back.
    pub(super) lost: Option<Error>,
    /// Nothing is sent before this: a retry backs off.
    pub(super) blocked_until: Option<Instant>,
    pub(super) sequences: Sequences,
    pub(super) leader: Option<Leader>,
}

/// The partition's leader, and the version of the metadata that named it.
pub(super) struct Leader {
    pub(super) version: i64,
    pub(super) handle: Arc<PartitionHandle>,
}

/// A batch in hand, and how things stood when it was taken.
pub(super) struct InHand {
    pub(super) batch: Batch,
    pub(super) now: Instant,
    pub(super) is_expired: bool,
    /// Whether the producer sends no more.
    pub(super) is_too_late: bool,
    /// Whether batches before it are not acknowledged yet; it must not complete before them.
    pub(super) is_behind: bool,
}

/// A batch that its leader has taken.
pub(super) struct InFlight {
    pub(super) batch: Batch,
    pub(super) ack: Ack,
}

pub(super) enum Ack {
    /// Complete once the high watermark is there.
    Waiting { handle: Arc<PartitionHandle>, required_offset: Offset, sent: Instant, outcome: Outcome },
    /// Complete once those before it are.
    Done(Outcome),
}

impl Slot {
    pub(super) fn new(
        topic_partition: TopicPartition,
        sticky: Arc<Sticky>,
        dues: Arc<Dues>,
        metrics: Arc<TopicMetrics>,
    ) -> Self {
        let metrics = SlotMetrics::new(metrics);
        Self { topic_partition, sticky, dues, queued: AtomicUsize::new(0), metrics, state: Mutex::default() }
    }

    pub(super) fn metrics(&self) -> &SlotMetrics {
        &self.metrics
    }

    /// Batches at the leader that are not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        let state = self.lock();
        state.in_flight.len() + usize::from(state.current.is_some()) + usize::from(state.acknowledging.is_some())
    }

    pub(super) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Batches that are closed and not complete.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Notes when the driver has to look here next, in ns since its origin. Whoever opens a batch or ends a round of sending
    /// does so before letting go of the lock.
    #[inline]
    pub(super) fn set_due(&self, _state: &mut SlotState, due: u64) {
        self.dues.set(self.topic_partition.partition(), due);
    }

    /// Moves the open batch, if there is one, to the end of the ready ones.
    pub(super) fn close_open(&self, state: &mut SlotState, is_full: bool, sticky_limit: usize) {
        if let Some(open) = state.open.take() {
            let bytes = open.builder.size_in_bytes();
            self.sticky.on_closed(self.topic_partition.partition(), bytes, is_full, sticky_limit);
            self.add_queued(1);
            state.ready.push_back(open.close());
        }
    }

    /// Closes the open batch. Returns a delivery that resolves when everything put into this slot so far is complete.
    pub(super) fn close_all(&self, sticky_limit: usize) -> Option<Delivery> {
        let mut state = self.lock();
        self.close_open(&mut state, false, sticky_limit);
        state.last_closed()
    }

    /// Sends what `take` finds, one batch after the other: `send` is called without the lock, and takes it again. Returns
    /// the lock when there is nothing left, and `None` if another thread is at it already: that thread then sees what is
    /// ready now, too, because it looks under the lock before it leaves.
    pub(super) fn drain<'s>(
        &'s self,
        take: impl Fn(&mut SlotState) -> Option<InHand>,
        send: impl Fn(InHand, &mut Option<Leader>) -> MutexGuard<'s, SlotState>,
    ) -> Option<MutexGuard<'s, SlotState>> {
        let mut state = self.lock();
        if state.draining {
            return None;
        }
        state.draining = true;
        let mut leader = state.leader.take();
        while let Some(in_hand) = take(&mut state) {
            state.current = Some(Arc::clone(in_hand.batch.completion.cell()));
            drop(state);
            state = send(in_hand, &mut leader);
            state.current = None;
        }
        state.draining = false;
        state.leader = leader;
        Some(state)
    }

    pub(super) fn add_queued(&self, batches: usize) {
        self.queued.fetch_add(batches, Ordering::Relaxed);
        self.sticky.add_queued(batches);
    }

    pub(super) fn remove_queued(&self, batches: usize) {
        self.queued.fetch_sub(batches, Ordering::Relaxed);
        self.sticky.remove_queued(batches);
    }
}

impl SlotState {
    /// Whether a retry backs off.
    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        self.blocked_until.is_some_and(|until| now < until)
    }

    /// When the oldest batch that is not on its way was opened.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.ready.front().map(|batch| batch.created).or_else(|| self.open.as_ref().map(|open| open.created))
    }

    /// When this slot needs the driver next, if nobody is sending from it.
    pub(super) fn next_deadline(&self, linger: Duration, delivery_timeout: Duration) -> Option<Instant> {
        let oldest = self.oldest()?;
        let expiry = oldest + delivery_timeout;
        match self.blocked_until {
            Some(until) => Some(until.min(expiry)),
            None if self.ready.is_empty() => Some(oldest + linger),
            // Held back by batches in flight, whose acknowledgement sets it going.
            None => Some(expiry),
        }
    }

    /// A delivery that resolves when everything closed so far is complete; `None` if it is already.
    pub(super) fn last_closed(&self) -> Option<Delivery> {
        let ready = self.ready.back().map(|batch| batch.completion.cell());
        let in_flight = || self.in_flight.back().map(|in_flight| in_flight.batch.completion.cell());
        let cell = ready.or(self.current.as_ref()).or_else(in_flight).or(self.acknowledging.as_ref())?;
        Some(Delivery::last_of(Arc::clone(cell)))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("topic_partition", &self.topic_partition)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
