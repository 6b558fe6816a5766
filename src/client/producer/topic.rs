//! [`Topics`]: routes to partitions, found without a lock and checked against the metadata with one atomic load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::client::producer::dues::{Dues, NEVER};
use crate::client::producer::metrics::{ProducerMetrics, TopicMetrics};
use crate::client::producer::slot::Slot;
use crate::client::producer::table::Table;
use crate::cluster::{Cluster, TopicImage};
use crate::types::{BrokerId, TopicPartition};

/// The topics that a producer has written to. Like Kafka's accumulator it remembers them until it goes away.
#[derive(Debug)]
pub(super) struct Topics {
    table: Table<Topic>,
    /// The index that the last send used: a producer mostly writes to one topic, and then nothing is hashed.
    last: AtomicUsize,
    by_name: RwLock<HashMap<Arc<str>, usize>>,
    /// Kafka's `partitioner.adaptive.partitioning.enable`.
    adaptive: bool,
    /// What the topics' choices of sticky partitions begin with.
    seed: u64,
}

impl Topics {
    pub(super) fn new(adaptive: bool, seed: u64) -> Self {
        Self { table: Table::new(), last: AtomicUsize::new(0), by_name: RwLock::default(), adaptive, seed }
    }

    /// The topic, its partition count up to date; `None` if the producer has not seen it yet.
    #[inline(always)]
    pub(super) fn find(&self, name: &str, cluster: &Cluster) -> Option<&Topic> {
        let topic = match self.table.get(self.last.load(Ordering::Relaxed)) {
            Some(topic) if is_same(topic.name.as_bytes(), name.as_bytes()) => topic,
            _ => self.find_other(name)?,
        };
        if topic.version() != cluster.metadata_version() {
            topic.refresh(cluster);
        }
        Some(topic)
    }

    #[cold]
    fn find_other(&self, name: &str) -> Option<&Topic> {
        let index = *self.by_name.read().get(name)?;
        self.last.store(index, Ordering::Relaxed);
        self.table.get(index)
    }

    /// Remembers a topic that the metadata knows.
    pub(super) fn add(&self, image: &TopicImage, metrics: &ProducerMetrics) {
        let mut by_name = self.by_name.write();
        let index = by_name.len();
        let index = *by_name.entry(Arc::clone(&image.name)).or_insert(index);
        let seed = self.seed.wrapping_add(index as u64);
        self.table.get_or_init(index, || {
            Topic::new(Arc::clone(&image.name), self.adaptive, seed, metrics.topic(&image.name))
        });
    }

    /// The slots of every partition written to so far.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.table.iter().flat_map(|topic| topic.slots.iter())
    }

    /// Calls `visit` with each slot whose time has come. Returns the earliest time of all others.
    pub(super) fn visit_due(&self, now: u64, mut visit: impl FnMut(&Arc<Slot>)) -> u64 {
        let mut earliest = NEVER;
        for topic in self.table.iter() {
            for (partition, due) in topic.dues.iter() {
                if due > now {
                    earliest = earliest.min(due);
                } else if let Some(slot) = topic.slots.get(partition) {
                    visit(slot);
                }
            }
        }
        earliest
    }
}

/// Equality of names, most of which are short: without the call that comparing slices of unknown length is.
#[inline]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match (left.first_chunk::<8>(), right.first_chunk::<8>()) {
        // Of up to sixteen bytes the first eight and the last eight are all, though they may overlap.
        (Some(first), Some(other)) if left.len() <= 16 => {
            first == other && left.last_chunk::<8>() == right.last_chunk()
        }
        (Some(_), Some(_)) => left == right,
        _ => left.iter().zip(right).all(|(byte, other)| byte == other),
    }
}

/// One topic's route.
#[derive(Debug)]
pub(super) struct Topic {
    name: Arc<str>,
    /// The version of the metadata that `partitions` is from.
    version: AtomicI64,
    /// 0 while the topic does not exist.
    partitions: AtomicI32,
    /// Partitions that have a leader. Its lock also orders refreshes.
    led: Mutex<Vec<i32>>,
    rng: Mutex<fastrand::Rng>,
    sticky: Arc<Sticky>,
    dues: Arc<Dues>,
    metrics: Arc<TopicMetrics>,
    round_robin: AtomicU32,
    slots: Table<Arc<Slot>>,
}

impl Topic {
    fn new(name: Arc<str>, adaptive: bool, seed: u64, metrics: Arc<TopicMetrics>) -> Self {
        Self {
            name,
            version: AtomicI64::new(i64::MIN),
            partitions: AtomicI32::new(0),
            led: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            sticky: Arc::new(Sticky::new(adaptive)),
            dues: Arc::new(Dues::new()),
            metrics,
            round_robin: AtomicU32::new(0),
            slots: Table::new(),
        }
    }

    /// The version of the metadata that this route is from, or an older one.
    #[inline]
    pub(super) fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// How many partitions there are; 0 for a topic that was deleted.
    #[inline]
    pub(super) fn partitions(&self) -> i32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Where records for this partition gather.
    #[inline]
    pub(super) fn slot(&self, partition: i32) -> &Arc<Slot> {
        match self.slots.get(partition as usize) {
            Some(slot) => slot,
            None => self.slots.get_or_init(partition as usize, || {
                let topic_partition = TopicPartition::new(Arc::clone(&self.name), partition);
                let (sticky, dues) = (Arc::clone(&self.sticky), Arc::clone(&self.dues));
                Arc::new(Slot::new(topic_partition, sticky, dues, Arc::clone(&self.metrics)))
            }),
        }
    }

    /// The partition that records without a key go to at present.
    #[inline]
    pub(super) fn sticky_partition(&self) -> i32 {
        let current = self.sticky.partition.load(Ordering::Relaxed);
        if (0..self.partitions()).contains(&current) { current } else { self.next_sticky_partition(current) }
    }

    /// Moves on to a random partition that has a leader; while batches queue up, short queues are likelier (KIP-794).
    #[cold]
    fn next_sticky_partition(&self, current: i32) -> i32 {
        let led = self.led.lock();
        let mut rng = self.rng.lock();
        let next = if led.is_empty() {
            rng.i32(0..self.partitions().max(1))
        } else if self.sticky.adaptive && self.sticky.queued.load(Ordering::Relaxed) > 0 {
            led[weighted_choice(&mut rng, led.iter().map(|partition| self.queued(*partition)))]
        } else {
            led[rng.usize(..led.len())]
        };
        drop((led, rng));
        match self.sticky.partition.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(chosen) if (0..self.partitions()).contains(&chosen) => chosen,
            Err(_) => next,
        }
    }

    fn queued(&self, partition: i32) -> usize {
        self.slots.get(partition as usize).map_or(0, |slot| slot.queued())
    }

    /// The next partition in turn, among those that have a leader.
    pub(super) fn round_robin_partition(&self) -> i32 {
        let turn = self.round_robin.fetch_add(1, Ordering::Relaxed) & i32::MAX as u32;
        let led = self.led.lock();
        match led.len() {
            0 => turn as i32 % self.partitions().max(1),
            led_count => led[turn as usize % led_count],
        }
    }

    #[cold]
    fn refresh(&self, cluster: &Cluster) {
        let image = cluster.image();
        let mut led = self.led.lock();
        if image.offset <= self.version.load(Ordering::Relaxed) {
            return;
        }
        let partitions = image.topic(&self.name).map_or(&[][..], |topic| &topic.partitions);
        led.clear();
        led.extend((0..).zip(partitions).filter(|(_, image)| image.leader != BrokerId::NONE).map(|(index, _)| index));
        // The count first: whoever sees the version sees a count at least as new.
        self.partitions.store(partitions.len() as i32, Ordering::Relaxed);
        self.version.store(image.offset, Ordering::Release);
    }
}

/// What the slots of a topic tell the choice of the sticky partition.
#[derive(Debug)]
pub(super) struct Sticky {
    /// -1 while the next send is to choose.
    partition: AtomicI32,
    /// Bytes that went to `partition` since it was chosen.
    produced: AtomicUsize,
    /// Batches of the whole topic that are closed and not complete.
    queued: AtomicUsize,
    adaptive: bool,
}

impl Sticky {
    pub(super) fn new(adaptive: bool) -> Self {
        Self { partition: AtomicI32::new(-1), produced: AtomicUsize::new(0), queued: AtomicUsize::new(0), adaptive }
    }

    /// A batch of `partition` was closed. After `limit` bytes, or a full batch, it is another partition's turn.
    pub(super) fn on_closed(&self, partition: i32, bytes: usize, is_full: bool, limit: usize) {
        if self.partition.load(Ordering::Relaxed) == partition {
            let produced = self.produced.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if is_full || produced >= limit {
                self.produced.store(0, Ordering::Relaxed);
                self.partition.store(-1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn add_queued(&self, batches: usize) {
        self.queued.fetch_add(batches, Ordering::Relaxed);
    }

    pub(super) fn remove_queued(&self, batches: usize) {
        self.queued.fetch_sub(batches, Ordering::Relaxed);
    }
}

/// An index at random, the likelier the shorter its queue, as in Kafka: the longest queue has weight 1.
fn weighted_choice(rng: &mut fastrand::Rng, queues: impl Iterator<Item = usize> + Clone) -> usize {
    let longest = queues.clone().max().unwrap_or_default();
    let weights = queues.map(|queued| longest + 1 - queued);
    let mut ticket = rng.usize(..weights.clone().sum::<usize>());
    for (index, weight) in weights.enumerate() {
        if ticket < weight {
            return index;
        }
        ticket -= weight;
    }
    unreachable!("the ticket is below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: i32) -> Topic {
        let topic = Topic::new("t".into(), true, 7, ProducerMetrics::detached().topic(&"t".into()));
        topic.partitions.store(partitions, Ordering::Relaxed);
        topic.led.lock().extend(0..partitions);
        topic
    }

    #[test]
    fn round_robin_takes_turns_among_partitions_with_a_leader() {
        let topic = topic(4);
        topic.led.lock().remove(2);
        let turns: Vec<_> = (0..7).map(|_| topic.round_robin_partition()).collect();
        assert_eq!(turns, [0, 1, 3, 0, 1, 3, 0]);
    }

    /// Symptom: a producer that had once written to thousands of partitions took the lock of each, once a linger.
    #[test]
    fn the_driver_visits_the_slots_that_are_due() {
        let topics = Topics::new(true, 7);
        let topic = topics.table.get_or_init(0, || topic(1_000));
        for (partition, due) in [(7, 50), (8, 51), (500, 20), (999, 90)] {
            let slot = topic.slot(partition);
            slot.set_due(&mut slot.lock(), due);
        }
        let visit = |now| {
            let mut visited = Vec::new();
            let earliest = topics.visit_due(now, |slot| visited.push(slot.topic_partition().partition()));
            (visited, earliest)
        };
        assert_eq!(visit(10), (vec![], 20));
        assert_eq!(visit(50), (vec![7, 500], 51));
        let slot = topic.slot(7);
        slot.set_due(&mut slot.lock(), NEVER);
        assert_eq!(visit(90), (vec![8, 500, 999], NEVER));
    }

    #[test]
    fn the_sticky_partition_stays_until_its_bytes_are_used_up() {
        const LIMIT: usize = 16_384;
        let topic = topic(1_000_000);
        let first = topic.sticky_partition();
        topic.sticky.on_closed(first, LIMIT - 1, false, LIMIT);
        topic.sticky.on_closed(first + 1, LIMIT, true, LIMIT);
        assert_eq!(topic.sticky_partition(), first);
        topic.sticky.on_closed(first, 1, false, LIMIT);
        let second = topic.sticky_partition();
        assert_ne!(second, first, "one chance in a million");
        topic.sticky.on_closed(second, LIMIT - 90, true, LIMIT);
        assert_ne!(topic.sticky_partition(), second, "a full batch ends it, too");
    }

    #[test]
    fn the_sticky_partition_has_a_leader_and_exists() {
        let topic = topic(3);
        *topic.led.lock() = vec![1];
        assert_eq!(topic.sticky_partition(), 1);
        topic.partitions.store(1, Ordering::Relaxed);
        *topic.led.lock() = vec![0];
        assert_eq!(topic.sticky_partition(), 0);
    }

    #[test]
    fn short_queues_are_chosen_more_often() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut chosen = [0; 3];
        for _ in 0..6_000 {
            chosen[weighted_choice(&mut rng, [0, 3, 2].into_iter())] += 1;
        }
        // Weights 4, 1, 2 of 7.
        assert!((3_200..3_700).contains(&chosen[0]), "{chosen:?}");
        assert!((700..1_050).contains(&chosen[1]), "{chosen:?}");
        assert_eq!(weighted_choice(&mut rng, [5, 5].into_iter()) / 2, 0);
    }
}
