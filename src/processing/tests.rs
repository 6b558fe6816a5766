//! The schedule against a plain model of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::schedule::{Holds, Job, Schedule, Shared, WorkerId};
use super::worker::work;
use super::{ProcessingConfig, ProcessingOrder};
use crate::client::consumer::OwnedConsumerRecord;
use crate::types::{Offset, OffsetAndMetadata, TopicPartition};
use crate::util::testing::cases;

const PARTITIONS: i32 = 3;

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

#[derive(Clone, Debug)]
enum Step {
    /// What a poll brings, if the schedule has it poll: partitions and keys.
    Poll(Vec<(i32, Option<u8>)>),
    Start,
    /// The so-manieth of the running records is complete.
    Complete(usize),
    Commit,
    /// Revokes a partition; waits for its handlers or cancels them.
    Revoke(i32, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = proptest::option::weighted(0.9, 0..4u8);
    let step = prop_oneof![
        3 => proptest::collection::vec((0..PARTITIONS, key), 1..8).prop_map(Step::Poll),
        6 => Just(Step::Start),
        6 => any::<usize>().prop_map(Step::Complete),
        2 => Just(Step::Commit),
        1 => (0..PARTITIONS, any::<bool>()).prop_map(|(partition, waits)| Step::Revoke(partition, waits)),
    ];
    proptest::collection::vec(step, 0..120)
}

fn order() -> impl Strategy<Value = ProcessingOrder> {
    proptest::sample::select(vec![ProcessingOrder::Partition, ProcessingOrder::Key, ProcessingOrder::Unordered])
}

/// Drives a schedule as the loop does, and knows what it should do.
struct Model {
    order: ProcessingOrder,
    max_in_flight: usize,
    max_poll: usize,
    schedule: Schedule,
    holds: Holds,
    running: Vec<(WorkerId, Job)>,
    /// Of each partition, the offsets taken since it was assigned, and whether they are complete.
    taken: BTreeMap<i32, BTreeMap<Offset, bool>>,
    /// What the next poll of each partition returns.
    positions: HashMap<i32, Offset>,
    committed: HashMap<i32, Offset>,
    /// The last offset of each lane that got to a handler since its partition was assigned.
    started: HashMap<(i32, Option<Bytes>), Offset>,
    processed: u64,
}

impl Model {
    fn new(order: ProcessingOrder, max_concurrency: usize, max_in_flight: usize) -> Self {
        let config =
            ProcessingConfig::default().order(order).max_concurrency(max_concurrency).max_in_flight(max_in_flight);
        Self {
            order,
            max_in_flight,
            max_poll: config.max_poll_records(),
            schedule: Schedule::new(&config),
            holds: Holds::Only(BTreeSet::new()),
            running: Vec::new(),
            taken: BTreeMap::new(),
            positions: HashMap::new(),
            committed: HashMap::new(),
            started: HashMap::new(),
            processed: 0,
        }
    }

    fn lane(&self, record: &OwnedConsumerRecord) -> Option<(i32, Option<Bytes>)> {
        match (self.order, record.key_bytes()) {
            (ProcessingOrder::Partition, _) => Some((record.partition(), None)),
            (ProcessingOrder::Key, Some(key)) => Some((record.partition(), Some(key.clone()))),
            _ => None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Poll(records) => {
                for (index, key) in records.into_iter().take(self.max_poll) {
                    if self.holds == Holds::All
                        || matches!(&self.holds, Holds::Only(held) if held.contains(&partition(index)))
                    {
                        continue;
                    }
                    let position = self.positions.entry(index).or_default();
                    let key = key.map(|key| Bytes::from(vec![key]));
                    self.schedule.take(OwnedConsumerRecord::new(partition(index), *position).with_key(key));
                    self.taken.entry(index).or_default().insert(*position, false);
                    *position += 1;
                }
            }
            Step::Start => {
                if let Some((worker, job)) = self.schedule.start() {
                    self.at_handler(worker, job);
                }
            }
            Step::Complete(index) if !self.running.is_empty() => {
                let (worker, job) = self.running.swap_remove(index % self.running.len());
                self.complete(worker, &job);
            }
            Step::Complete(_) => {}
            Step::Commit => {
                self.schedule.advance(self.consumed());
                let offsets = self.schedule.uncommitted();
                for (partition, position) in &offsets {
                    self.commit(partition.partition(), position.offset());
                }
                self.schedule.committed(&offsets);
                assert!(self.schedule.uncommitted().is_empty());
            }
            Step::Revoke(index, waits) => {
                self.schedule.advance(self.consumed());
                let windows = self.schedule.revoke(&[partition(index)]);
                self.assert_says_nothing_of(index);
                while waits && !self.schedule.is_idle(&windows) {
                    let at = self.running.iter().position(|(_, job)| job.record.partition() == index).unwrap();
                    let (worker, job) = self.running.swap_remove(at);
                    self.complete(worker, &job);
                }
                let (late, rest) =
                    self.running.drain(..).partition(|(_, job): &(_, Job)| job.record.partition() == index);
                self.running = rest;
                let (offsets, _) = self.schedule.end(&windows);
                for (partition, position) in offsets {
                    self.commit(partition.partition(), position.offset());
                }
                // Handlers that are cancelled may have got to their end all the same.
                for (worker, job) in late {
                    assert!(self.schedule.complete(worker, &job, false).is_none());
                }
                self.assert_says_nothing_of(index);
                let strangers = self.schedule.assign(&[partition(index)]);
                assert!(strangers.is_empty());
                self.taken.remove(&index);
                self.started.retain(|(of, _), _| *of != index);
                self.positions.insert(index, self.committed.get(&index).copied().unwrap_or(0));
            }
        }
        if let Some(holds) = self.schedule.holds() {
            self.holds = holds;
        }
        assert!(self.unready() <= self.max_in_flight);
    }

    /// What is taken and not part of a completed prefix.
    fn unready(&self) -> usize {
        self.taken.values().map(|offsets| offsets.values().skip_while(|complete| **complete).count()).sum()
    }

    fn at_handler(&mut self, worker: WorkerId, job: Job) {
        if let Some(lane) = self.lane(&job.record) {
            for (_, other) in &self.running {
                assert_ne!(self.lane(&other.record).as_ref(), Some(&lane), "two of a lane at once");
            }
            let before = self.started.insert(lane, job.record.offset());
            assert!(before.is_none_or(|before| before < job.record.offset()), "not in order");
        }
        self.running.push((worker, job));
    }

    fn complete(&mut self, worker: WorkerId, job: &Job) {
        let offsets = self.taken.get_mut(&job.record.partition()).unwrap();
        assert_eq!(offsets.insert(job.record.offset(), true), Some(false), "processed twice");
        self.processed += 1;
        if let Some(next) = self.schedule.complete(worker, job, false) {
            self.at_handler(worker, next);
        }
    }

    /// The consumer's positions. Those of partitions that stand still are among them.
    fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let position = |index| self.positions.get(&index).copied().unwrap_or(0);
        (0..PARTITIONS).map(|index| (partition(index), OffsetAndMetadata::new(position(index)))).collect()
    }

    /// A revoked partition stays among the positions until the rebalance is over: they are not to be committed.
    fn assert_says_nothing_of(&mut self, index: i32) {
        self.schedule.advance(self.consumed());
        assert!(self.schedule.uncommitted().iter().all(|(it, _)| *it != partition(index)));
    }

    /// A commit says what the first record is that is not complete, or else where the consumer is.
    fn commit(&mut self, index: i32, offset: Offset) {
        let mut offsets = self.taken.get(&index).into_iter().flatten();
        let first = offsets.find(|(_, complete)| !**complete).map(|(offset, _)| *offset);
        assert_eq!(first.unwrap_or_else(|| self.positions.get(&index).copied().unwrap_or(0)), offset);
        self.committed.insert(index, offset);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    /// Invariants 1 to 4 of the module.
    #[test]
    fn the_schedule_keeps_order_and_bounds(
        order in order(),
        max_concurrency in 1..5usize,
        max_in_flight in 1..40usize,
        steps in steps(),
    ) {
        let mut model = Model::new(order, max_concurrency, max_in_flight);
        for step in steps {
            model.step(step);
            prop_assert!(model.running.len() <= max_concurrency);
        }
        // Nothing is stuck: what was taken gets to a handler, and room comes back.
        while !model.schedule.is_drained() {
            model.step(Step::Start);
            model.step(Step::Complete(0));
        }
        prop_assert_eq!(model.unready(), 0);
        prop_assert_eq!(&model.holds, &Holds::Only(BTreeSet::new()));
        let summary = model.schedule.summary();
        prop_assert_eq!((summary.processed, summary.unfinished), (model.processed, 0));
    }
}

fn take(schedule: &mut Schedule, index: i32, offsets: std::ops::Range<Offset>) {
    for offset in offsets {
        let key = Some(Bytes::from(offset.to_string()));
        schedule.take(OwnedConsumerRecord::new(partition(index), offset).with_key(key));
    }
}

#[test]
fn a_partition_that_stands_still_is_paused_and_no_other() {
    let config = ProcessingConfig::default().max_in_flight(16);
    let mut schedule = Schedule::new(&config);
    take(&mut schedule, 0, 0..1);
    take(&mut schedule, 1, 0..1);
    take(&mut schedule, 0, 1..5);
    let (_, stuck) = schedule.start().unwrap();
    assert_eq!((stuck.record.partition(), stuck.record.offset()), (0, 0));
    let (worker, job) = schedule.start().unwrap();
    complete_all(&mut schedule, worker, job);
    assert_eq!(schedule.holds(), Some(Holds::Only(BTreeSet::from([partition(0)]))));
    assert_eq!(schedule.holds(), None);
    let committed: Vec<_> =
        schedule.uncommitted().into_iter().map(|(partition, it)| (partition, it.offset())).collect();
    assert_eq!(
        committed.into_iter().collect::<BTreeMap<_, _>>(),
        BTreeMap::from([(partition(0), 0), (partition(1), 1)])
    );
}

/// Completes what is at a handler and what comes after it.
fn complete_all(schedule: &mut Schedule, worker: WorkerId, mut job: Job) {
    while let Some(next) = schedule.complete(worker, &job, false) {
        job = next;
    }
}

/// The first partition gets ahead of the others while its share is everything.
#[test]
fn one_record_that_stands_still_leaves_the_other_partitions_room() {
    let config = ProcessingConfig::default();
    let (share, poll) = (5000, config.max_poll_records() as Offset);
    let mut schedule = Schedule::new(&config);
    take(&mut schedule, 0, 0..share - 1);
    take(&mut schedule, 0, share - 1..share - 1 + poll);
    let (_, stuck) = schedule.start().unwrap();
    assert_eq!((stuck.record.partition(), stuck.record.offset()), (0, 0));
    for round in 0..3 {
        take(&mut schedule, 1, round * poll..(round + 1) * poll);
        assert_eq!(schedule.holds(), Some(Holds::All));
        let (worker, job) = schedule.start().unwrap();
        complete_all(&mut schedule, worker, job);
        assert_eq!(schedule.holds(), Some(Holds::Only(BTreeSet::from([partition(0)]))));
    }
}

#[test]
fn shares_get_smaller_when_partitions_come() {
    let config = ProcessingConfig::default().max_in_flight(16);
    let mut schedule = Schedule::new(&config);
    take(&mut schedule, 0, 0..4);
    assert_eq!(schedule.holds(), None);
    take(&mut schedule, 1, 0..1);
    assert_eq!(schedule.holds(), Some(Holds::Only(BTreeSet::from([partition(0)]))));
}

#[test]
fn partitions_that_stand_still_have_no_share() {
    let mut schedule = Schedule::new(&ProcessingConfig::default().max_in_flight(16));
    schedule.advance((0..PARTITIONS).map(|index| (partition(index), OffsetAndMetadata::new(0))).collect());
    take(&mut schedule, 0, 0..7);
    assert_eq!(schedule.holds(), None);
    take(&mut schedule, 0, 7..8);
    assert_eq!(schedule.holds(), Some(Holds::Only(BTreeSet::from([partition(0)]))));
}

#[test]
fn a_failure_after_the_window_ended_is_none() {
    let mut schedule = Schedule::new(&ProcessingConfig::default());
    take(&mut schedule, 0, 0..1);
    let (worker, _) = schedule.start().unwrap();
    let windows = schedule.revoke(&[partition(0)]);
    schedule.end(&windows);
    assert!(!schedule.fail(worker));
    assert!(!schedule.is_draining());
}

/// A handler fails in the same step in which its partition goes: nobody may hear of it.
#[tokio::test]
async fn a_worker_whose_window_ended_returns_no_failure() {
    let config = Arc::new(ProcessingConfig::default());
    let shared = Arc::new(Shared::new(&config));
    take(&mut shared.lock(), 0, 0..1);
    let (worker, job) = shared.lock().start().unwrap();
    let ending = Arc::clone(&shared);
    let handler = Arc::new(move |_| {
        let windows = ending.lock().revoke(&[partition(0)]);
        assert_eq!(ending.end(&windows), [(partition(0), OffsetAndMetadata::new(0))]);
        std::future::ready(Err::<(), _>("late"))
    });
    assert!(work(Arc::clone(&shared), config, handler, worker, job).await.is_none());
    assert!(!shared.lock().is_draining());
}

#[test]
fn stopping_gives_back_what_has_not_been_started() {
    let mut schedule = Schedule::new(&ProcessingConfig::default().order(ProcessingOrder::Partition));
    take(&mut schedule, 0, 0..3);
    take(&mut schedule, 1, 0..3);
    let (first, _) = schedule.start().unwrap();
    let (second, job) = schedule.start().unwrap();
    assert!(schedule.fail(first));
    assert!(schedule.start().is_none() && schedule.is_draining() && !schedule.is_drained());
    assert!(schedule.complete(second, &job, true).is_none());
    assert!(schedule.is_drained());
    assert_eq!(schedule.holds(), Some(Holds::All));
    let summary = schedule.summary();
    assert_eq!((summary.processed, summary.skipped, summary.unfinished), (0, 1, 5));
}

/// `uncommitted` in the order of partitions.
fn uncommitted(schedule: &Schedule) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    let mut offsets = schedule.uncommitted();
    offsets.sort_by_key(|(partition, _)| partition.partition());
    offsets
}

#[test]
fn positions_are_committed_up_to_records_that_are_not_complete() {
    let mut schedule = Schedule::new(&ProcessingConfig::default());
    let at = |index, offset| (partition(index), OffsetAndMetadata::new(offset));
    take(&mut schedule, 0, 0..1);
    schedule.advance(vec![at(0, 1), at(1, 4)]);
    assert_eq!(uncommitted(&schedule), [at(0, 0), at(1, 4)]);
    let (worker, job) = schedule.start().unwrap();
    complete_all(&mut schedule, worker, job);
    // A marker behind the record; one more partition, of which nothing came.
    schedule.advance(vec![at(0, 2), at(2, 7)]);
    let offsets = uncommitted(&schedule);
    assert_eq!(offsets, [at(0, 2), at(1, 4), at(2, 7)]);
    schedule.committed(&offsets);
    schedule.stop();
    // What comes then is refused, and read again.
    take(&mut schedule, 0, 2..3);
    take(&mut schedule, 1, 4..6);
    take(&mut schedule, 3, 8..9);
    schedule.advance(vec![at(0, 3), at(1, 6), at(2, 9), at(3, 9)]);
    assert!(schedule.start().is_none());
    assert_eq!(uncommitted(&schedule), [at(2, 9), at(3, 8)]);
}

/// In a cooperative rebalance the consumer has a position of what was revoked until the rebalance is over, past what was
/// cancelled: committing that loses records.
#[test]
fn a_revoked_partition_gets_no_window_from_its_position() {
    let mut schedule = Schedule::new(&ProcessingConfig::default());
    let at = |index, offset| (partition(index), OffsetAndMetadata::new(offset));
    take(&mut schedule, 0, 3..5);
    schedule.start().unwrap();
    let windows = schedule.revoke(&[partition(0), partition(1)]);
    for _ in 0..2 {
        schedule.advance(vec![at(0, 5), at(1, 7), at(2, 9)]);
        assert_eq!(schedule.uncommitted(), [at(2, 9)]);
        if !schedule.is_idle(&windows) {
            assert_eq!(schedule.end(&windows).0, [at(0, 3)]);
        }
    }
    schedule.assign(&[]);
    // It comes back in another rebalance.
    schedule.assign(&[partition(0)]);
    schedule.advance(vec![at(0, 3)]);
    assert_eq!(uncommitted(&schedule), [at(0, 3), at(2, 9)]);
}

/// An interceptor brought a record of a partition that was another's. Once it is this consumer's, that must not be taken
/// for a position.
#[test]
fn what_was_known_of_a_partition_before_it_came_is_forgotten() {
    let mut schedule = Schedule::new(&ProcessingConfig::default());
    take(&mut schedule, 0, 5..6);
    let (worker, job) = schedule.start().unwrap();
    complete_all(&mut schedule, worker, job);
    let strangers = schedule.assign(&[partition(0)]);
    schedule.end(&strangers);
    assert_eq!(schedule.uncommitted(), []);
}
