//! Loom runs through the interleavings of the delivery cell, and of the hand-over of batches between those who send, those
//! who flush and those who close. What runs is the producer's own code; here are only the threads around it.

use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64 as StdAtomicI64, Ordering as StdOrdering};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;
use tokio::time::Instant;

use crate::client::producer::batch::OpenBatch;
use crate::client::producer::delivery::{Callback, Callbacks, Completion, Delivery, Outcome};
use crate::client::producer::dues::Dues;
use crate::client::producer::metrics::ProducerMetrics;
use crate::client::producer::signal::Signal;
use crate::client::producer::slot::{InHand, Slot};
use crate::client::producer::table::Table;
use crate::client::producer::timestamps::Timestamps;
use crate::client::producer::topic::Sticky;
use crate::types::TopicPartition;
use crate::util::block_pool::Block;
use crate::util::sync::atomic::{AtomicUsize, Ordering};

/// Enough for three threads of some ten steps; without a bound they would take hours.
const PREEMPTIONS: usize = 3;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

/// Counts how often it is woken.
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0)))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn poll(delivery: &mut Delivery, wakes: &Arc<Wakes>) -> Option<i64> {
    let waker = Waker::from(Arc::clone(wakes));
    match Pin::new(delivery).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(result) => Some(result.map_or(-2, |metadata| metadata.offset())),
        Poll::Pending => None,
    }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn stored(base_offset: i64) -> Outcome {
    Outcome::Stored { base_offset, log_append_time: None }
}

/// Polls once; whoever finds nothing then must be woken, by when `end` has run the other threads to their ends.
fn resolves_to(mut delivery: Delivery, expected: i64, end: impl FnOnce()) {
    let wakes = Wakes::new();
    let first = poll(&mut delivery, &wakes);
    end();
    assert_eq!(first.unwrap_or(expected), expected);
    assert_eq!(wakes.count(), usize::from(first.is_none()), "woken once, if it had to wait");
    assert_eq!(poll(&mut delivery, &wakes), Some(expected));
}

#[test]
fn loom_a_delivery_registers_while_its_batch_completes() {
    model(|| {
        let completion = Completion::new(orders());
        let delivery = Delivery::of(completion.cell(), 3);
        let completer = thread::spawn(move || {
            completion.complete(stored(40), Timestamps::default(), Callbacks::new());
        });
        resolves_to(delivery, 43, || completer.join().unwrap());
    });
}

#[test]
fn loom_a_delivery_registers_while_its_batch_is_dropped() {
    model(|| {
        let completion = Completion::new(orders());
        let delivery = Delivery::of(completion.cell(), 0);
        let dropper = thread::spawn(move || drop(completion));
        resolves_to(delivery, -2, || dropper.join().unwrap());
    });
}

#[test]
fn loom_two_tasks_wait_for_one_batch() {
    model(|| {
        let completion = Completion::new(orders());
        let deliveries = [Delivery::of(completion.cell(), 0), Delivery::of(completion.cell(), 1)];
        let waiting: Vec<_> = deliveries
            .into_iter()
            .map(|mut delivery| {
                thread::spawn(move || {
                    let wakes = Wakes::new();
                    let first = poll(&mut delivery, &wakes);
                    (delivery, wakes, first)
                })
            })
            .collect();
        completion.complete(stored(7), Timestamps::default(), Callbacks::new());
        for (index, waiter) in waiting.into_iter().enumerate() {
            let (mut delivery, wakes, first) = waiter.join().unwrap();
            assert_eq!(wakes.count(), usize::from(first.is_none()));
            assert_eq!(poll(&mut delivery, &wakes), Some(7 + index as i64));
        }
    });
}

#[test]
fn loom_a_split_batch_hands_its_deliveries_on() {
    model(|| {
        let whole = Completion::new(orders());
        let parts = [Completion::new(orders()), Completion::new(orders())];
        let delivery = Delivery::of(whole.cell(), 5);
        let splitter = thread::spawn(move || {
            let [first, second] = parts;
            let outcome = Outcome::Split(vec![(0, first.cell().clone()), (4, second.cell().clone())]);
            whole.complete(outcome, Timestamps::default(), Callbacks::new());
            first.complete(stored(0), Timestamps::default(), Callbacks::new());
            second.complete(stored(4), Timestamps::default(), Callbacks::new());
        });
        let wakes = Wakes::new();
        let mut delivery = delivery;
        let mut found = poll(&mut delivery, &wakes);
        splitter.join().unwrap();
        // The first wake may have been for the split.
        assert!(found.is_some() || wakes.count() > 0);
        found = found.or_else(|| poll(&mut delivery, &wakes));
        assert_eq!(found, Some(5));
    });
}

/// A producer with one slot, whose leader takes every batch at once.
struct Producer {
    slots: Table<Arc<Slot>>,
    closed: Signal,
    /// The leader's log end, and how many callbacks ran. Loom need not know of them.
    log_end: StdAtomicI64,
    called_back: Arc<StdAtomicI64>,
    /// Bytes in a block.
    block: usize,
}

impl Producer {
    fn new(block: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Table::new(),
            closed: Signal::default(),
            log_end: StdAtomicI64::new(0),
            called_back: Arc::default(),
            block,
        })
    }

    fn slot(&self) -> &Arc<Slot> {
        self.slots.get_or_init(0, || {
            let metrics = ProducerMetrics::detached().topic(&"orders".into());
            Arc::new(Slot::new(orders(), Arc::new(Sticky::new(false)), Arc::new(Dues::new()), metrics))
        })
    }

    /// A send without waiting, as `Shared::try_send` has it; `None` once the producer is closed.
    fn send(&self) -> Option<Delivery> {
        let slot = self.slot();
        let mut state = slot.lock();
        if self.closed.raised() > 0 {
            return None;
        }
        let called_back = Arc::clone(&self.called_back);
        let mut callback: Option<Callback> = Some(Box::new(move |_| {
            called_back.fetch_add(1, StdOrdering::Relaxed);
        }));
        if let Some(open) = &mut state.open {
            if let Some(delivery) = open.append(0, None, Some(b"v"), iter::empty(), &mut callback) {
                return Some(delivery);
            }
            slot.close_open(&mut state, true, 1);
        }
        let mut open = OpenBatch::new(orders(), Block::unpooled(self.block), 0, Instant::now());
        let delivery = open.append(0, None, Some(b"v"), iter::empty(), &mut callback).unwrap();
        state.open = Some(open);
        Signal::fence_behind_opening();
        if self.closed.raised() > 0 {
            slot.close_open(&mut state, false, 1);
        }
        drop(state);
        self.drain(slot);
        Some(delivery)
    }

    fn drain(&self, slot: &Arc<Slot>) {
        let now = Instant::now();
        let take = |state: &mut crate::client::producer::slot::SlotState| {
            let batch = state.ready.pop_front()?;
            Some(InHand { batch, now, is_expired: false, is_too_late: false, is_behind: false })
        };
        let send = |InHand { batch, .. }: InHand, _: &mut _| {
            let base_offset = self.log_end.fetch_add(i64::from(batch.count), StdOrdering::Relaxed);
            slot.remove_queued(1);
            batch.completion.complete(stored(base_offset), batch.timestamps, batch.callbacks);
            slot.lock()
        };
        drop(slot.drain(take, send));
    }

    /// As `Shared::send_everything`.
    fn send_everything(&self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for slot in self.slots.iter() {
            deliveries.extend(slot.close_all(1));
            self.drain(slot);
        }
        deliveries
    }

    /// Offsets of records that must be complete; each was called back once, and none shares its offset.
    fn offsets(&self, deliveries: &[Delivery]) -> Vec<i64> {
        let complete = |delivery: &Delivery| delivery.try_result().expect("complete").unwrap().offset();
        let offsets: Vec<_> = deliveries.iter().map(complete).collect();
        let mut distinct = offsets.clone();
        distinct.sort_unstable();
        assert_eq!(distinct, (0..deliveries.len() as i64).collect::<Vec<_>>());
        assert_eq!(self.called_back.load(StdOrdering::Relaxed), deliveries.len() as i64);
        assert_eq!(self.slot().queued(), 0);
        offsets
    }
}

/// Room for one record, so that each closes the batch before it.
const ONE_RECORD: usize = 24;
const MANY_RECORDS: usize = 1_000;

#[test]
fn loom_two_senders_and_a_flusher_lose_nothing() {
    for block in [ONE_RECORD, MANY_RECORDS] {
        model(move || {
            let producer = Producer::new(block);
            producer.slot();
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let producer = Arc::clone(&producer);
                    thread::spawn(move || producer.send().expect("nobody closes it"))
                })
                .collect();
            let flushed = producer.send_everything();
            let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
            assert!(flushed.iter().all(Delivery::is_done), "a flush waits for nothing that nobody sends");
            producer.send_everything();
            producer.offsets(&sent);
        });
    }
}

#[test]
fn loom_one_senders_records_keep_their_order() {
    model(|| {
        let producer = Producer::new(ONE_RECORD);
        producer.slot();
        let other = Arc::clone(&producer);
        let other = thread::spawn(move || other.send().unwrap());
        let mut sent = vec![producer.send().unwrap(), producer.send().unwrap()];
        sent.push(other.join().unwrap());
        producer.send_everything();
        let offsets = producer.offsets(&sent);
        assert!(offsets[0] < offsets[1]);
    });
}

#[test]
fn loom_what_is_taken_while_the_producer_closes_is_sent() {
    model(|| {
        // The slot does not exist yet: the closer may look through the table before it does.
        let producer = Producer::new(MANY_RECORDS);
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let producer = Arc::clone(&producer);
                thread::spawn(move || producer.send())
            })
            .collect();
        producer.closed.raise();
        let _flushed = producer.send_everything();
        // Nobody looks again: whatever was taken is complete once all are through.
        let sent: Vec<_> = senders.into_iter().filter_map(|sender| sender.join().unwrap()).collect();
        producer.offsets(&sent);
    });
}
