//! [`Delivery`]: the future of one record, and the [`BatchCell`] that it shares with its batch.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::client::producer::RecordMetadata;
use crate::client::producer::timestamps::Timestamps;
use crate::cluster::AppendInfo;
use crate::error::{Error, Result};
use crate::types::{NO_OFFSET, Offset, TopicPartition};
use crate::util::sync::{Mutex, OnceLock};

/// Resolves once the record was acknowledged, or has failed for good.
///
/// It is small, and dropping it is cheap: the record is sent all the same. Records of one batch resolve together, so
/// awaiting the last of many costs one wake.
///
/// ```
/// use brokerless::{Cluster, ErrorCode, NewTopic, ProducerConfig, ProducerRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::in_memory();
/// cluster.admin().create_topic(NewTopic::new("orders").config("max.message.bytes", "1000")).await?;
/// let producer = cluster.producer(ProducerConfig::default())?;
/// // `send` has taken both records; what becomes of each its delivery says.
/// let fits = producer.send(ProducerRecord::to("orders").value("12.50")).await?;
/// assert_eq!(fits.await?.offset(), 0);
/// let too_large = producer.send(ProducerRecord::to("orders").value(&[0; 2000])).await?;
/// assert_eq!(too_large.await.unwrap_err().code(), ErrorCode::MessageTooLarge);
/// # Ok(()) }
/// ```
pub struct Delivery {
    /// Taken only when it is dropped.
    cell: Option<Arc<BatchCell>>,
    place: Place,
}

// Loom's threads share one of the system's, and its objects must not outlive the model.
#[cfg(not(brokerless_loom))]
thread_local! {
    /// The reference of the delivery that this thread dropped last, for the next record of the same batch: whoever sends
    /// and drops deliveries at once, as most do, counts references once a batch instead of twice a record.
    static SPARE: Cell<Option<Arc<BatchCell>>> = const { Cell::new(None) };
}

/// The record's index in its batch, in the lower half; and where in the cell's list of wakers this delivery's was last
/// found, in the upper half. In one word: halves that are stored one by one and then moved together stall the processor,
/// which is dear when it happens for every record.
///
/// Never 0, so that the result of a send is no larger than a delivery.
#[derive(Clone, Copy)]
struct Place(NonZeroU64);

impl Place {
    const NO_WAKER: NonZeroU64 = NonZeroU64::new((u32::MAX as u64) << 32).unwrap();

    #[inline]
    fn new(index: u32) -> Self {
        Self(Self::NO_WAKER | u64::from(index))
    }

    fn index(self) -> u32 {
        self.0.get() as u32
    }

    fn waker(self) -> usize {
        (self.0.get() >> 32) as usize - 1
    }

    fn set_waker(&mut self, at: usize) {
        let upper = NonZeroU64::MIN.saturating_add(at as u64).get() << 32;
        self.0 = NonZeroU64::MIN.saturating_add((upper | u64::from(self.index())) - 1);
    }
}

impl Delivery {
    #[inline]
    pub(super) fn new(cell: Arc<BatchCell>, index: u32) -> Self {
        Self { cell: Some(cell), place: Place::new(index) }
    }

    /// The delivery of a record that was just put into the batch of this cell.
    #[inline(always)]
    pub(super) fn of(cell: &Arc<BatchCell>, index: u32) -> Self {
        Self::new(Self::take_spare(cell).unwrap_or_else(|| Arc::clone(cell)), index)
    }

    #[cfg(not(brokerless_loom))]
    #[inline]
    fn take_spare(cell: &Arc<BatchCell>) -> Option<Arc<BatchCell>> {
        let spare = SPARE.try_with(|place| {
            let spare = place.take()?;
            if Arc::ptr_eq(&spare, cell) {
                return Some(spare);
            }
            // Not dropped here, under the slot's lock.
            place.set(Some(spare));
            None
        });
        spare.ok().flatten()
    }

    #[cfg(brokerless_loom)]
    fn take_spare(_: &Arc<BatchCell>) -> Option<Arc<BatchCell>> {
        None
    }

    #[inline]
    fn cell(&self) -> &Arc<BatchCell> {
        self.cell.as_ref().expect("it is there until the drop")
    }

    /// Resolves, to nothing that matters, when the whole batch is complete.
    pub(super) fn last_of(cell: Arc<BatchCell>) -> Self {
        Self::new(cell, u32::MAX)
    }

    /// The batch's cell, and the record's index in it.
    pub(super) fn whereabouts(&self) -> (&Arc<BatchCell>, u32) {
        (self.cell(), self.place.index())
    }

    /// The result, if there is one already; `None` while the record is on its way.
    pub fn try_result(&self) -> Option<Result<RecordMetadata>> {
        let (mut cell, mut index) = (self.cell(), self.place.index());
        loop {
            match cell.resolved.get()? {
                Resolved { outcome: Outcome::Split(parts), .. } => (cell, index) = part_of(parts, index),
                resolved => return Some(resolved.record(&cell.topic_partition, index)),
            }
        }
    }

    /// Whether there is a result.
    pub fn is_done(&self) -> bool {
        self.try_result().is_some()
    }

    /// The partition that the record was put into.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.cell().topic_partition
    }
}

#[cfg(not(brokerless_loom))]
impl Drop for Delivery {
    #[inline]
    fn drop(&mut self) {
        let cell = self.cell.take();
        // Where the thread is ending, `cell` is dropped with the closure.
        drop(SPARE.try_with(|spare| spare.replace(cell)));
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let Self { cell, place } = this;
            let cell = cell.as_ref().expect("it is there until the drop");
            if !cell.is_done() && cell.register(cx.waker(), place) {
                return Poll::Pending;
            }
            match cell.resolved.get() {
                None => {}
                Some(Resolved { outcome: Outcome::Split(parts), .. }) => {
                    let (cell, index) = part_of(parts, place.index());
                    *this = Self::new(Arc::clone(cell), index);
                }
                Some(resolved) => {
                    return Poll::Ready(resolved.record(&cell.topic_partition, place.index()));
                }
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic_partition", self.topic_partition())
            .field("index", &self.place.index())
            .field("result", &self.try_result())
            .finish()
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was acknowledged.
    Stored {
        /// -1 where the offset is not known.
        base_offset: Offset,
        /// What the leader stamped every record with, if it did.
        log_append_time: Option<i64>,
    },
    Failed(Error),
    /// It was too large for its leader and goes on in these parts, each with the index of its first record.
    Split(Vec<(u32, Arc<BatchCell>)>),
}

impl Outcome {
    /// Sent with `acks=0`, or stored at an offset that the leader no longer knows.
    pub(super) const WITHOUT_OFFSET: Self = Self::Stored { base_offset: NO_OFFSET, log_append_time: None };

    pub(super) fn stored(info: AppendInfo) -> Self {
        Self::Stored { base_offset: info.base_offset, log_append_time: info.log_append_time }
    }
}

/// A batch's outcome, and what the producer stamped its records with.
#[derive(Debug)]
struct Resolved {
    outcome: Outcome,
    timestamps: Timestamps,
}

impl Resolved {
    /// What it means for the record at `index`. Only for outcomes that are not `Split`.
    fn record(&self, topic_partition: &TopicPartition, index: u32) -> Result<RecordMetadata> {
        match &self.outcome {
            Outcome::Stored { base_offset, log_append_time } => {
                let offset = if *base_offset == NO_OFFSET { NO_OFFSET } else { base_offset + Offset::from(index) };
                let timestamp = log_append_time.unwrap_or_else(|| self.timestamps.at(index));
                Ok(RecordMetadata::new(topic_partition.clone(), offset, timestamp))
            }
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Split(_) => unreachable!("the records of a split batch are looked up in its parts"),
        }
    }
}

/// The part that holds the record at `index`, and the record's index in it.
fn part_of(parts: &[(u32, Arc<BatchCell>)], index: u32) -> (&Arc<BatchCell>, u32) {
    let at = parts.partition_point(|(first, _)| *first <= index) - 1;
    let (first, cell) = &parts[at];
    (cell, index - first)
}

/// Completion of one batch, shared by the deliveries of its records: written once, one list of wakers.
#[derive(Debug)]
pub(super) struct BatchCell {
    topic_partition: TopicPartition,
    resolved: OnceLock<Resolved>,
    wakers: Mutex<Vec<Waker>>,
}

impl BatchCell {
    pub(super) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { topic_partition, resolved: OnceLock::new(), wakers: Mutex::new(Vec::new()) })
    }

    pub(super) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    fn is_done(&self) -> bool {
        self.resolved.get().is_some()
    }

    /// Whether the batch goes on in parts, which do not resolve together.
    pub(super) fn is_split(&self) -> bool {
        matches!(self.resolved.get(), Some(Resolved { outcome: Outcome::Split(_), .. }))
    }

    /// Publishes what became of the batch and wakes everyone who waits for it. Call with no lock held; only the first
    /// call counts.
    fn resolve(&self, resolved: Resolved) {
        if self.resolved.set(resolved).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock());
            for waker in wakers {
                waker.wake();
            }
        }
    }

    /// Registers a waker, unless the outcome is there: returns whether there is something to wait for.
    ///
    /// Deliveries that one task polls share an entry: the last one, or the one that they used before. An entry is never
    /// replaced, because another delivery may count on it; so the list grows only as deliveries change tasks.
    fn register(&self, waker: &Waker, place: &mut Place) -> bool {
        let mut wakers = self.wakers.lock();
        if self.is_done() {
            return false;
        }
        if !wakers.get(place.waker()).is_some_and(|known| known.will_wake(waker)) {
            if !wakers.last().is_some_and(|last| last.will_wake(waker)) {
                wakers.push(waker.clone());
            }
            place.set_waker(wakers.len() - 1);
        }
        true
    }
}

/// The duty to complete a cell, held by the batch. Dropped undone (a producer that goes away with batches that could not
/// be sent), it fails the batch's records, so that no delivery waits forever.
#[derive(Debug)]
pub(super) struct Completion(Arc<BatchCell>);

impl Completion {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self(BatchCell::new(topic_partition))
    }

    #[inline]
    pub(super) fn cell(&self) -> &Arc<BatchCell> {
        &self.0
    }

    /// Runs the callbacks, in order, and then publishes the outcome. Call with no lock held.
    ///
    /// As in Kafka, whoever saw the delivery resolve can count on the callbacks having run. A callback that panics does
    /// not keep the others from running; the panic hook has reported it.
    pub(super) fn complete(&self, outcome: Outcome, timestamps: Timestamps, callbacks: Callbacks) {
        let resolved = Resolved { outcome, timestamps };
        if !callbacks.is_empty() {
            // One callback may send, and so have another batch's run inside of it.
            let outer = IN_CALLBACK.replace(true);
            for (index, callback) in callbacks {
                let result = resolved.record(&self.0.topic_partition, index);
                drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || callback(result))));
            }
            IN_CALLBACK.set(outer);
        }
        self.0.resolve(resolved);
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if !self.0.is_done() {
            let outcome = Outcome::Failed(producer_closed());
            self.0.resolve(Resolved { outcome, timestamps: Timestamps::default() });
        }
    }
}

thread_local! {
    /// Whether this thread is running callbacks.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Refuses, in a callback, to wait for everything that was sent: the callback's own batch resolves after it.
pub(super) fn refuse_in_callback(call: &str) -> Result<()> {
    if IN_CALLBACK.get() {
        let message = format!("{call} inside a callback is not permitted because it may lead to deadlock");
        return Err(Error::illegal_state(message));
    }
    Ok(())
}

/// What a closed producer answers.
pub(super) fn producer_closed() -> Error {
    Error::closed("the producer")
}

/// What `send_with` takes.
pub(super) type Callback = Box<dyn FnOnce(Result<RecordMetadata>) + Send>;

/// A batch's callbacks: the record's index, and whom to call.
pub(super) type Callbacks = Vec<(u32, Callback)>;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::error::ErrorCode;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cell() -> Arc<BatchCell> {
        BatchCell::new(TopicPartition::new("t", 3))
    }

    /// Resolves a cell of records with the timestamps 100, 101 and so on.
    fn resolve(cell: &BatchCell, outcome: Outcome) {
        let mut timestamps = Timestamps::default();
        (0..100).for_each(|index| timestamps.push(index, 100 + i64::from(index)));
        cell.resolve(Resolved { outcome, timestamps });
    }

    fn poll(delivery: &mut Delivery, counter: &Arc<Counter>) -> Poll<Result<RecordMetadata>> {
        Pin::new(delivery).poll(&mut Context::from_waker(&Waker::from(Arc::clone(counter))))
    }

    #[test]
    fn a_delivery_is_small() {
        assert_eq!(size_of::<Delivery>(), 16);
        assert_eq!(size_of::<Result<Delivery, crate::client::producer::SendError<'_>>>(), 16);
    }

    #[test]
    fn offsets_count_from_the_batchs_base() {
        let cell = cell();
        let deliveries: Vec<_> = (0..3).map(|index| Delivery::new(cell.clone(), index)).collect();
        assert!(deliveries[0].try_result().is_none());
        resolve(&cell, Outcome::Stored { base_offset: 40, log_append_time: None });
        let metadata = deliveries[2].try_result().unwrap().unwrap();
        assert_eq!((metadata.topic(), metadata.partition()), ("t", 3));
        assert_eq!((metadata.offset(), metadata.timestamp()), (42, 102));
    }

    #[test]
    fn the_leaders_time_wins_and_an_unknown_offset_stays_unknown() {
        let stamped = cell();
        resolve(&stamped, Outcome::Stored { base_offset: 0, log_append_time: Some(7) });
        assert_eq!(Delivery::new(stamped, 1).try_result().unwrap().unwrap().timestamp(), 7);
        let without = cell();
        resolve(&without, Outcome::WITHOUT_OFFSET);
        let metadata = Delivery::new(without, 5).try_result().unwrap().unwrap();
        assert_eq!((metadata.offset(), metadata.has_offset(), metadata.timestamp()), (-1, false, 105));
    }

    #[test]
    fn a_task_that_waits_for_many_records_is_woken_once() {
        let cell = cell();
        let counter = Arc::new(Counter::default());
        let mut deliveries: Vec<_> = (0..100).map(|index| Delivery::new(cell.clone(), index)).collect();
        for _ in 0..3 {
            for delivery in &mut deliveries {
                assert!(poll(delivery, &counter).is_pending());
            }
        }
        resolve(&cell, Outcome::Stored { base_offset: 0, log_append_time: None });
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut deliveries[99], &counter).is_ready());
    }

    #[test]
    fn a_delivery_that_moves_to_another_task_wakes_that_task_and_others_keep_theirs() {
        let cell = cell();
        let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let mut moving = Delivery::new(cell.clone(), 0);
        let mut staying = Delivery::new(cell.clone(), 1);
        assert!(poll(&mut moving, &first).is_pending());
        assert!(poll(&mut staying, &first).is_pending());
        assert!(poll(&mut moving, &second).is_pending());
        resolve(&cell, Outcome::WITHOUT_OFFSET);
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn records_of_a_split_batch_follow_their_part() {
        let (whole, left, right) = (cell(), cell(), cell());
        let counter = Arc::new(Counter::default());
        let mut delivery = Delivery::new(whole.clone(), 5);
        assert!(poll(&mut delivery, &counter).is_pending());
        resolve(&whole, Outcome::Split(vec![(0, left), (4, right.clone())]));
        assert!(delivery.try_result().is_none());
        assert!(poll(&mut delivery, &counter).is_pending());
        resolve(&right, Outcome::Stored { base_offset: 70, log_append_time: None });
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert_eq!(delivery.try_result().unwrap().unwrap().offset(), 71);
        let Poll::Ready(Ok(metadata)) = poll(&mut delivery, &counter) else { panic!("not ready") };
        assert_eq!((metadata.offset(), metadata.timestamp()), (71, 101));
    }

    #[test]
    fn callbacks_run_in_order_before_the_delivery_resolves_and_survive_a_panic() {
        let completion = Completion::new(TopicPartition::new("t", 0));
        let delivery = Arc::new(Delivery::new(completion.cell().clone(), 0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let callback = |index: u32| -> (u32, Callback) {
            let (seen, delivery) = (seen.clone(), delivery.clone());
            let run = move |result: Result<RecordMetadata>| {
                assert!(!delivery.is_done());
                seen.lock().push(result.unwrap().offset());
                assert_ne!(index, 0, "the first callback panics, on purpose");
            };
            (index, Box::new(run))
        };
        let callbacks = vec![callback(0), callback(1), callback(4)];
        completion.complete(
            Outcome::Stored { base_offset: 10, log_append_time: None },
            Timestamps::default(),
            callbacks,
        );
        assert_eq!(*seen.lock(), [10, 11, 14]);
        assert!(delivery.is_done());
    }

    #[test]
    fn a_batch_that_goes_away_fails_its_records() {
        let completion = Completion::new(TopicPartition::new("t", 0));
        let delivery = Delivery::new(completion.cell().clone(), 0);
        drop(completion);
        let error = delivery.try_result().unwrap().unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.code(), ErrorCode::None);
    }
}
