//! What a leader may answer, and acknowledgements that come late: with one broker they always come at once, so batches
//! are put in flight by hand here, and acknowledged by other producers' appends to the same partition.

use std::time::Duration;

use super::*;
use crate::client::producer::delivery::Delivery;
use crate::client::producer::{Producer, ProducerConfig, ProducerRecord};
use crate::cluster::Cluster;
use crate::{Admin, NewTopic};

const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    cluster: Cluster,
    producer: Producer,
    slot: Arc<Slot>,
}

impl Fixture {
    async fn new(config: ProducerConfig) -> Self {
        let cluster = Cluster::in_memory();
        let admin: Admin = cluster.admin();
        admin.create_topic(NewTopic::new("t")).await.unwrap();
        let producer = cluster.producer(config.linger(3_600 * SECOND)).unwrap();
        drop(producer.send(ProducerRecord::to("t").value("0")).await.unwrap());
        let slot = Arc::clone(producer.shared().topics.slots().next().unwrap());
        producer.flush().await.unwrap();
        Self { cluster, producer, slot }
    }

    fn shared(&self) -> &Shared {
        self.producer.shared()
    }

    /// Records in a batch that is closed.
    async fn ready(&self, records: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for _ in 0..records {
            deliveries.push(self.producer.send(ProducerRecord::to("t").value("v")).await.unwrap());
        }
        self.slot.close_open(&mut self.slot.lock(), false, usize::MAX);
        deliveries
    }

    /// Takes the next batch, as a thread that drains would, and numbers it.
    fn take(&self) -> Batch {
        let mut state = self.slot.lock();
        state.draining = true;
        self.shared().take_next(&self.slot, &mut state).unwrap().batch
    }

    fn settle(&self, fate: Fate, is_behind: bool) {
        self.shared().settle(&self.slot, fate, is_behind).draining = false;
    }

    /// Appends the next batch, and has its acknowledgement wait for the high watermark to reach `required_offset`.
    fn put_in_flight(&self, required_offset: i64) {
        let batch = self.take();
        let mut leader = None;
        match self.shared().send_batch(&self.slot, &mut leader, batch, self.shared().now()) {
            Fate::Done(batch, Outcome::Stored { base_offset, log_append_time }) => {
                let info = AppendInfo { base_offset, log_append_time, acked: false, required_offset };
                self.settle(Fate::Appended(batch, info, leader.unwrap().handle), false);
            }
            _ => panic!("not stored"),
        }
    }

    /// Raises the high watermark.
    async fn append_by_others(&self, records: usize) {
        let other = self.cluster.producer(ProducerConfig::default()).unwrap();
        for _ in 0..records {
            drop(other.send(ProducerRecord::to("t").value("other")).await.unwrap());
        }
        other.close().await.unwrap();
    }

    fn refuse(&self, code: ErrorCode) -> Fate {
        let batch = self.take();
        self.shared().refused(&self.slot, batch, code.into())
    }

    /// Producer epoch and base sequence of a batch.
    fn numbers(batch: &Batch) -> (i16, i32) {
        let sequence = batch.sequence.unwrap();
        (sequence.identity.epoch.0, sequence.base)
    }
}

fn offset(delivery: &Delivery) -> i64 {
    delivery.try_result().unwrap().unwrap().offset()
}

/// Lets every task that can run do so, without time passing.
async fn settle_down() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn batches_in_flight_complete_in_order_when_the_high_watermark_is_there() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let first = fixture.ready(2).await;
    fixture.put_in_flight(6);
    let second = fixture.ready(1).await;
    fixture.put_in_flight(5);
    settle_down().await;
    // Offsets 0 to 3 are taken; the second one has what it needs at 5, but waits for the first one.
    fixture.append_by_others(1).await;
    settle_down().await;
    assert!(!first[1].is_done() && !second[0].is_done());
    let flush = tokio::spawn({
        let producer = fixture.producer.clone();
        async move { producer.flush().await }
    });
    settle_down().await;
    assert!(!flush.is_finished());
    fixture.append_by_others(1).await;
    settle_down().await;
    assert_eq!((offset(&first[0]), offset(&first[1]), offset(&second[0])), (1, 2, 3));
    assert!(flush.is_finished());
    assert!(!fixture.slot.lock().awaiting_acks);
    assert_eq!(fixture.slot.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_in_flight_than_allowed() {
    let config = ProducerConfig::default().max_in_flight_requests_per_connection(2);
    let fixture = Fixture::new(config).await;
    let mut deliveries = Vec::new();
    for _ in 0..2 {
        deliveries.extend(fixture.ready(1).await);
        fixture.put_in_flight(4);
    }
    deliveries.extend(fixture.ready(1).await);
    fixture.shared().drain(&fixture.slot);
    {
        let state = fixture.slot.lock();
        assert_eq!((state.in_flight.len(), state.ready.len()), (2, 1));
    }
    fixture.append_by_others(1).await;
    settle_down().await;
    assert_eq!(deliveries.iter().map(offset).collect::<Vec<_>>(), [1, 2, 4]);
}

/// Without an answer a batch is sent again after `request.timeout.ms`; the leader knows it by its sequence numbers.
#[tokio::test(start_paused = true)]
async fn invariant_12_a_batch_whose_acknowledgement_is_lost_is_stored_once() {
    let fixture = Fixture::new(ProducerConfig::default().request_timeout(2 * SECOND)).await;
    let start = tokio::time::Instant::now();
    let first = fixture.ready(2).await;
    fixture.put_in_flight(1_000);
    let second = fixture.ready(1).await;
    fixture.put_in_flight(1_000);
    let behind = fixture.ready(1).await;
    for (delivery, expected) in first.into_iter().chain(second).chain(behind).zip(1..) {
        assert_eq!(delivery.await.unwrap().offset(), expected);
    }
    // Request timeout and one backoff.
    assert_eq!(start.elapsed(), 2 * SECOND + Duration::from_millis(100));
    fixture.append_by_others(1).await;
    let last = fixture.ready(1).await;
    fixture.producer.flush().await.unwrap();
    assert_eq!(offset(&last[0]), 6, "0 to 4 once, and the other's at 5");
}

/// A batch that was in flight keeps its numbers while it may be stored; one that fails after that starts a new epoch.
#[tokio::test(start_paused = true)]
async fn a_batch_in_doubt_that_expires_bumps_the_epoch() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let doubtful = fixture.ready(1).await;
    fixture.put_in_flight(1_000);
    fixture.cluster.admin().delete_topic("t").await.unwrap();
    assert!(doubtful.into_iter().next().unwrap().await.unwrap_err().is_timeout());
    fixture.cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    fixture.ready(1).await;
    let batch = fixture.take();
    assert_eq!(Fixture::numbers(&batch), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_behind_batches_in_flight_completes_after_them() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let first = fixture.ready(1).await;
    fixture.put_in_flight(3);
    let second = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::InvalidRecord);
    fixture.settle(fate, true);
    settle_down().await;
    assert!(!second[0].is_done());
    // And what comes then needs a new epoch, for which everything in flight has to settle first.
    let third = fixture.ready(1).await;
    fixture.shared().drain(&fixture.slot);
    assert_eq!(fixture.slot.lock().ready.len(), 1);
    fixture.append_by_others(1).await;
    settle_down().await;
    assert_eq!(offset(&first[0]), 1);
    assert_eq!(second[0].try_result().unwrap().unwrap_err().code(), ErrorCode::InvalidRecord);
    assert_eq!(offset(&third[0]), 3);
    fixture.ready(1).await;
    assert_eq!(Fixture::numbers(&fixture.take()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted() {
    for (retries, code) in [(0, ErrorCode::NotEnoughReplicas), (2, ErrorCode::NotLeaderOrFollower)] {
        let fixture = Fixture::new(ProducerConfig::default().retries(retries)).await;
        let delivery = fixture.ready(1).await;
        for attempt in 0..=retries {
            assert!(!delivery[0].is_done());
            let fate = fixture.refuse(code);
            assert_eq!(matches!(fate, Fate::PutOff(_)), attempt < retries);
            fixture.settle(fate, false);
            tokio::time::advance(Duration::from_millis(100 << attempt)).await;
        }
        let error = delivery[0].try_result().unwrap().unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(error.topic_partition(), Some(fixture.slot.topic_partition()));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_a_batch_that_backs_off() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let start = tokio::time::Instant::now();
    let first = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::NotEnoughReplicas);
    fixture.settle(fate, false);
    let second = fixture.ready(1).await;
    fixture.producer.flush().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!((offset(&first[0]), offset(&second[0])), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_gap_fails_its_batch_and_renumbers_those_behind() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let failed = fixture.ready(2).await;
    let behind = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::OutOfOrderSequenceNumber);
    fixture.settle(fate, false);
    assert_eq!(failed[1].try_result().unwrap().unwrap_err().code(), ErrorCode::OutOfOrderSequenceNumber);
    let batch = fixture.take();
    assert_eq!(Fixture::numbers(&batch), (1, 0));
    fixture.settle(Fate::Again(batch), false);
    fixture.producer.flush().await.unwrap();
    assert_eq!(offset(&behind[0]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_producer_starts_over_with_a_new_epoch() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let delivery = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::UnknownProducerId);
    fixture.settle(fate, false);
    fixture.producer.flush().await.unwrap();
    assert_eq!(offset(&delivery[0]), 1);
    fixture.ready(1).await;
    assert_eq!(Fixture::numbers(&fixture.take()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fenced_epoch_is_followed_by_a_new_producer_id() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let before = fixture.shared().identity.current().unwrap();
    let delivery = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::InvalidProducerEpoch);
    fixture.settle(fate, false);
    assert_eq!(delivery[0].try_result().unwrap().unwrap_err().code(), ErrorCode::InvalidProducerEpoch);
    let next = fixture.ready(1).await;
    fixture.producer.flush().await.unwrap();
    assert_eq!(offset(&next[0]), 1);
    assert_ne!(fixture.shared().identity.current().unwrap().id, before.id);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_beyond_the_leaders_memory_is_a_success_without_offset() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let delivery = fixture.ready(1).await;
    let fate = fixture.refuse(ErrorCode::DuplicateSequenceNumber);
    fixture.settle(fate, false);
    assert_eq!(offset(&delivery[0]), -1);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_when_the_producer_ends_fails() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let deliveries = fixture.ready(2).await;
    fixture.put_in_flight(1_000);
    drop(fixture.producer);
    assert!(deliveries.iter().all(|delivery| delivery.try_result().unwrap().unwrap_err().is_closed()));
    settle_down().await;
    // The task that waited for the acknowledgement is gone, too.
    assert_eq!(Arc::strong_count(&fixture.slot), 1);
}

/// Symptom: records of dropped producers failed as closed, now and then. Cause: the thread that was sending a partition's
/// batches when another dropped the producer failed those that it had not come to. A callback is such a moment.
#[tokio::test(start_paused = true)]
async fn who_is_sending_when_the_producer_is_dropped_goes_on_to_the_last_batch() {
    for idempotence in [true, false] {
        let fixture = Fixture::new(ProducerConfig::default().enable_idempotence(idempotence)).await;
        let (shared, slot) = (Arc::clone(fixture.producer.shared()), Arc::clone(&fixture.slot));
        let last_handle = Arc::new(parking_lot::Mutex::new(None));
        let holder = Arc::clone(&last_handle);
        let dropping = move |_: Result<_>| drop(holder.lock().take());
        let first = fixture.producer.send_with(ProducerRecord::to("t").value("first"), dropping).await.unwrap();
        slot.close_open(&mut slot.lock(), false, usize::MAX);
        let second = fixture.ready(1).await.remove(0);
        let open = fixture.producer.send(ProducerRecord::to("t").value("open")).await.unwrap();
        *last_handle.lock() = Some(fixture.producer);
        shared.drain(&slot);
        assert!(shared.is_terminated());
        for (offset, delivery) in [first, second, open].into_iter().enumerate() {
            assert_eq!(delivery.await.unwrap().offset(), offset as i64 + 1);
        }
    }
}

/// What its leader refuses at the last call is not tried again, nor is anything behind it.
#[tokio::test(start_paused = true)]
async fn what_is_put_off_when_the_producer_is_dropped_fails_with_all_behind_it() {
    let fixture = Fixture::new(ProducerConfig::default()).await;
    let (shared, slot) = (Arc::clone(fixture.producer.shared()), Arc::clone(&fixture.slot));
    let last_handle = Arc::new(parking_lot::Mutex::new(None));
    let (holder, admin) = (Arc::clone(&last_handle), fixture.cluster.clone());
    let dropping = move |_: Result<_>| {
        admin.delete_topics(vec![crate::cluster::TopicSelector::Name("t".into())]);
        drop(holder.lock().take());
    };
    let first = fixture.producer.send_with(ProducerRecord::to("t").value("first"), dropping).await.unwrap();
    slot.close_open(&mut slot.lock(), false, usize::MAX);
    let [second, third] = [fixture.ready(1).await.remove(0), fixture.ready(1).await.remove(0)];
    *last_handle.lock() = Some(fixture.producer);
    shared.drain(&slot);
    assert_eq!(first.await.unwrap().offset(), 1);
    for delivery in [second, third] {
        assert!(delivery.await.unwrap_err().is_closed());
    }
    assert_eq!(slot.queued(), 0);
}
