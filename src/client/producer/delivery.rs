//! [`Delivery`]: the future of one record, and the [`BatchCell`] that it shares with its batch.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::client::producer::RecordMetadata;
use crate::cluster::AppendInfo;
use crate::error::{Error, Result};
use crate::types::{NO_OFFSET, NO_TIMESTAMP, Offset, TopicPartition};

/// Resolves once the record was acknowledged, or has failed for good.
///
/// It is small, and dropping it is cheap: the record is sent all the same. Records of one batch resolve together, so
/// awaiting the last of many costs one wake.
pub struct Delivery {
    cell: Arc<BatchCell>,
    timestamp: i64,
    index: u32,
    /// Where in the cell's list of wakers this delivery's was last found.
    waker_at: u32,
}

const NO_WAKER: u32 = u32::MAX;

impl Delivery {
    #[inline]
    pub(super) fn new(cell: Arc<BatchCell>, index: u32, timestamp: i64) -> Self {
        Self { cell, timestamp, index, waker_at: NO_WAKER }
    }

    /// Resolves, to nothing that matters, when the whole batch is complete.
    pub(super) fn last_of(cell: Arc<BatchCell>) -> Self {
        Self::new(cell, u32::MAX, NO_TIMESTAMP)
    }

    /// The result, if there is one already; `None` while the record is on its way.
    pub fn try_result(&self) -> Option<Result<RecordMetadata>> {
        let (mut cell, mut index) = (&self.cell, self.index);
        loop {
            match cell.outcome.get()? {
                Outcome::Split(parts) => (cell, index) = part_of(parts, index),
                outcome => return Some(outcome.of_record(&cell.topic_partition, index, self.timestamp)),
            }
        }
    }

    /// Whether there is a result.
    pub fn is_done(&self) -> bool {
        self.try_result().is_some()
    }

    /// The partition that the record was put into.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.cell.topic_partition
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if this.cell.outcome.get().is_none() && this.cell.register(cx.waker(), &mut this.waker_at) {
                return Poll::Pending;
            }
            match this.cell.outcome.get() {
                None => {}
                Some(Outcome::Split(parts)) => {
                    let (cell, index) = part_of(parts, this.index);
                    *this = Self::new(Arc::clone(cell), index, this.timestamp);
                }
                Some(outcome) => {
                    return Poll::Ready(outcome.of_record(&this.cell.topic_partition, this.index, this.timestamp));
                }
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic_partition", &self.cell.topic_partition)
            .field("index", &self.index)
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

    /// What it means for the record at `index`. Only for outcomes that are not `Split`.
    fn of_record(&self, topic_partition: &TopicPartition, index: u32, timestamp: i64) -> Result<RecordMetadata> {
        match self {
            Self::Stored { base_offset, log_append_time } => {
                let offset = if *base_offset == NO_OFFSET { NO_OFFSET } else { base_offset + Offset::from(index) };
                Ok(RecordMetadata::new(topic_partition.clone(), offset, log_append_time.unwrap_or(timestamp)))
            }
            Self::Failed(error) => Err(error.clone()),
            Self::Split(_) => unreachable!("the records of a split batch are looked up in its parts"),
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
    outcome: OnceLock<Outcome>,
    wakers: Mutex<Vec<Waker>>,
}

impl BatchCell {
    pub(super) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { topic_partition, outcome: OnceLock::new(), wakers: Mutex::new(Vec::new()) })
    }

    pub(super) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Publishes the outcome and wakes everyone who waits for it. Call with no lock held; only the first call counts.
    pub(super) fn complete(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock());
            for waker in wakers {
                waker.wake();
            }
        }
    }

    /// Registers a waker, unless the outcome is there: returns whether there is something to wait for.
    ///
    /// Deliveries that one task polls share an entry: the last one, or the one at `at` that they used before. An entry is
    /// never replaced, because another delivery may count on it; so the list grows only as deliveries change tasks.
    fn register(&self, waker: &Waker, at: &mut u32) -> bool {
        let mut wakers = self.wakers.lock();
        if self.is_done() {
            return false;
        }
        if !wakers.get(*at as usize).is_some_and(|known| known.will_wake(waker)) {
            if !wakers.last().is_some_and(|last| last.will_wake(waker)) {
                wakers.push(waker.clone());
            }
            *at = wakers.len() as u32 - 1;
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
    pub(super) fn complete(&self, outcome: Outcome, callbacks: Callbacks) {
        for (index, timestamp, callback) in callbacks {
            let result = outcome.of_record(&self.0.topic_partition, index, timestamp);
            drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || callback(result))));
        }
        self.0.complete(outcome);
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if !self.0.is_done() {
            self.0.complete(Outcome::Failed(producer_closed()));
        }
    }
}

/// What a closed producer answers.
pub(super) fn producer_closed() -> Error {
    Error::closed("the producer")
}

/// What `send_with` takes.
pub(super) type Callback = Box<dyn FnOnce(Result<RecordMetadata>) + Send>;

/// A batch's callbacks: record's index, its timestamp, and whom to call.
pub(super) type Callbacks = Vec<(u32, i64, Callback)>;

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

    fn poll(delivery: &mut Delivery, counter: &Arc<Counter>) -> Poll<Result<RecordMetadata>> {
        Pin::new(delivery).poll(&mut Context::from_waker(&Waker::from(Arc::clone(counter))))
    }

    #[test]
    fn a_delivery_is_small() {
        assert_eq!(size_of::<Delivery>(), 24);
        assert_eq!(size_of::<Result<Delivery, crate::client::producer::SendError<'_>>>(), 24);
    }

    #[test]
    fn offsets_count_from_the_batchs_base() {
        let cell = cell();
        let deliveries: Vec<_> =
            (0..3).map(|index| Delivery::new(cell.clone(), index, 100 + i64::from(index))).collect();
        assert!(deliveries[0].try_result().is_none());
        cell.complete(Outcome::Stored { base_offset: 40, log_append_time: None });
        let metadata = deliveries[2].try_result().unwrap().unwrap();
        assert_eq!((metadata.topic(), metadata.partition()), ("t", 3));
        assert_eq!((metadata.offset(), metadata.timestamp()), (42, 102));
    }

    #[test]
    fn the_leaders_time_wins_and_an_unknown_offset_stays_unknown() {
        let stamped = cell();
        stamped.complete(Outcome::Stored { base_offset: 0, log_append_time: Some(7) });
        assert_eq!(Delivery::new(stamped, 1, 100).try_result().unwrap().unwrap().timestamp(), 7);
        let without = cell();
        without.complete(Outcome::WITHOUT_OFFSET);
        let metadata = Delivery::new(without, 5, 100).try_result().unwrap().unwrap();
        assert_eq!((metadata.offset(), metadata.has_offset(), metadata.timestamp()), (-1, false, 100));
    }

    #[test]
    fn a_task_that_waits_for_many_records_is_woken_once() {
        let cell = cell();
        let counter = Arc::new(Counter::default());
        let mut deliveries: Vec<_> = (0..100).map(|index| Delivery::new(cell.clone(), index, 0)).collect();
        for _ in 0..3 {
            for delivery in &mut deliveries {
                assert!(poll(delivery, &counter).is_pending());
            }
        }
        cell.complete(Outcome::Stored { base_offset: 0, log_append_time: None });
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut deliveries[99], &counter).is_ready());
    }

    #[test]
    fn a_delivery_that_moves_to_another_task_wakes_that_task_and_others_keep_theirs() {
        let cell = cell();
        let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let mut moving = Delivery::new(cell.clone(), 0, 0);
        let mut staying = Delivery::new(cell.clone(), 1, 0);
        assert!(poll(&mut moving, &first).is_pending());
        assert!(poll(&mut staying, &first).is_pending());
        assert!(poll(&mut moving, &second).is_pending());
        cell.complete(Outcome::WITHOUT_OFFSET);
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn records_of_a_split_batch_follow_their_part() {
        let (whole, left, right) = (cell(), cell(), cell());
        let counter = Arc::new(Counter::default());
        let mut delivery = Delivery::new(whole.clone(), 5, 9);
        assert!(poll(&mut delivery, &counter).is_pending());
        whole.complete(Outcome::Split(vec![(0, left), (4, right.clone())]));
        assert!(delivery.try_result().is_none());
        assert!(poll(&mut delivery, &counter).is_pending());
        right.complete(Outcome::Stored { base_offset: 70, log_append_time: None });
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert_eq!(delivery.try_result().unwrap().unwrap().offset(), 71);
        let Poll::Ready(Ok(metadata)) = poll(&mut delivery, &counter) else { panic!("not ready") };
        assert_eq!((metadata.offset(), metadata.timestamp()), (71, 9));
    }

    #[test]
    fn callbacks_run_in_order_before_the_delivery_resolves_and_survive_a_panic() {
        let completion = Completion::new(TopicPartition::new("t", 0));
        let delivery = Arc::new(Delivery::new(completion.cell().clone(), 0, 0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let callback = |index: u32| -> (u32, i64, Callback) {
            let (seen, delivery) = (seen.clone(), delivery.clone());
            let run = move |result: Result<RecordMetadata>| {
                assert!(!delivery.is_done());
                seen.lock().push(result.unwrap().offset());
                assert_ne!(index, 0, "the first callback panics, on purpose");
            };
            (index, 0, Box::new(run))
        };
        let callbacks = vec![callback(0), callback(1), callback(4)];
        completion.complete(Outcome::Stored { base_offset: 10, log_append_time: None }, callbacks);
        assert_eq!(*seen.lock(), [10, 11, 14]);
        assert!(delivery.is_done());
    }

    #[test]
    fn a_batch_that_goes_away_fails_its_records() {
        let completion = Completion::new(TopicPartition::new("t", 0));
        let delivery = Delivery::new(completion.cell().clone(), 0, 0);
        drop(completion);
        let error = delivery.try_result().unwrap().unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.code(), ErrorCode::None);
    }
}
