//! [`Memory`]: how many bytes the logs of a cluster and of each topic may hold, and what happens when they are full.
//!
//! What counts is what logs hold: batches as they are stored, headers included. A partition *reserves* a batch's bytes
//! before it appends, and *settles* what its log really holds after every change, both under its own lock. So a limit is
//! never passed, whoever appends at the same time, and nothing is counted twice. Partitions without any limit do not
//! count at all.
//!
//! Internal topics (`__consumer_offsets`) are exempt: a full cluster must still take the commits of those who read it.
//!
//! Lock order: the evictor's lock, then one `Partition`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;

use parking_lot::Mutex;

use crate::broker::{PartitionHandle, Waiters};
use crate::types::TopicId;
use crate::util::wake_list::WakeList;

/// What happens to a batch that does not fit into a memory limit.
///
/// ```
/// use brokerless::{Cluster, MemoryPolicy};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// // The newest 64 MiB of all topics together, whoever reads them.
/// let cluster = Cluster::builder().memory_limit(64 << 20).memory_policy(MemoryPolicy::Retain).start().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryPolicy {
    /// It is refused with `KAFKA_STORAGE_ERROR` (56), as by a broker whose disk is full, which is retriable: producers
    /// try again as soon as there is room (retention, compaction, delete-records, a deleted topic, a raised limit), until
    /// `delivery.timeout.ms`. Meanwhile what is sent fills their `buffer.memory`, and `send` waits: back-pressure. The
    /// default.
    #[default]
    Block,
    /// It is refused with `POLICY_VIOLATION` (44), which is not retriable: the delivery fails at once.
    Refuse,
    /// The oldest segments go to make room: whole ones, of those partitions that the limit is for and whose
    /// `cleanup.policy` includes `delete`, by the time of their last append, never above the high watermark. Where
    /// nothing can go, as [`MemoryPolicy::Block`].
    Retain,
}

/// The memory that the logs of one broker hold.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(super) policy: MemoryPolicy,
    cluster: Option<Arc<Budget>>,
    topics: Mutex<HashMap<TopicId, Arc<Budget>>>,
    space: Space,
    /// One evicts at a time: the next one finds the room that the first has made.
    pub(super) evicting: Mutex<()>,
    refused_batches: AtomicU64,
    pub(super) evicted_bytes: AtomicU64,
}

/// A limit, and what is used of it: the sum of what its partitions account for.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    /// `u64::MAX` for none.
    limit: AtomicU64,
    /// The largest batch that was refused for want of room and would fit into the limit; 0 for none.
    wanted: AtomicU64,
    /// Whose segments may go. At most twice as many as there are, and a few: those
    /// that are gone are let go of when it is full.
    pub(super) members: Mutex<Vec<Weak<PartitionHandle>>>,
    /// What was used once retention had been asked for room the last time, and when that was, in ms.
    pub(super) after_retention: Mutex<Option<(u64, i64)>>,
}

impl Budget {
    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            wanted: AtomicU64::new(0),
            members: Mutex::default(),
            after_retention: Mutex::default(),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.raw_limit()).filter(|limit| *limit != u64::MAX)
    }

    #[inline]
    pub(crate) fn raw_limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    fn enroll(&self, partition: &Arc<PartitionHandle>) {
        let mut members = self.members.lock();
        if members.len() == members.capacity() {
            members.retain(|member| member.strong_count() > 0);
            // As many again have to come before the next look, so that a look costs each of them little.
            let more = members.len() + 1;
            members.reserve(more);
        }
        members.push(Arc::downgrade(partition));
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.raw_limit()
    }

    #[inline]
    fn reserve(&self, bytes: u64) -> bool {
        let limit = self.raw_limit();
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).is_ok()
    }

    /// A batch that would fit into the limit was refused.
    pub(super) fn want(&self, bytes: u64) {
        self.wanted.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Whether there still is no room for a batch that was refused.
    fn wants_room(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted == 0 {
            return false;
        }
        let is_short = !self.has_room(wanted) && wanted <= self.raw_limit();
        if !is_short {
            // A larger one that was refused meanwhile is refused again, if it still matters.
            self.wanted.store(0, Ordering::Relaxed);
        }
        is_short
    }

    fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "{bytes} bytes released of {before}");
    }
}

/// Tells those whose batches were refused that something was freed.
#[derive(Debug, Default)]
struct Space {
    version: AtomicU64,
    waiters: Waiters,
}

/// One partition's part in its topic's and its cluster's budget. All but the getters are called under its lock.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) memory: Arc<Memory>,
    topic: Arc<Budget>,
    /// What this partition has in both budgets.
    accounted: AtomicU64,
}

impl Memory {
    /// Segments that a limit is cut into: as much as goes at once with [`MemoryPolicy::Retain`]. What is in the active
    /// segment cannot be compacted or deleted, and a full log has no append that could roll it.
    pub(super) const SEGMENTS: u64 = 64;
    /// Segments smaller than this are not worth their indexes, unless the limit itself is small.
    const SMALLEST_SEGMENT: u64 = 64 << 10;
    /// Segments that a small limit is cut into at least.
    const FEWEST_SEGMENTS: u64 = 8;

    pub(crate) fn new(limit: Option<u64>, policy: MemoryPolicy) -> Arc<Self> {
        Arc::new(Self {
            policy,
            cluster: limit.map(Budget::new),
            topics: Mutex::default(),
            space: Space::default(),
            evicting: Mutex::default(),
            refused_batches: AtomicU64::new(0),
            evicted_bytes: AtomicU64::new(0),
        })
    }

    /// The account of a new partition.
    pub(crate) fn open_account(self: &Arc<Self>, topic: TopicId) -> Account {
        let topic = Arc::clone(self.topics.lock().entry(topic).or_insert_with(|| Budget::new(u64::MAX)));
        Account { memory: Arc::clone(self), topic, accounted: AtomicU64::new(0) }
    }

    /// Lets segments of this partition go where its budgets are full.
    pub(crate) fn enroll(&self, partition: &Arc<PartitionHandle>) {
        let Some(account) = partition.account() else { return };
        for budget in [Some(&account.topic), self.cluster.as_ref()].into_iter().flatten() {
            budget.enroll(partition);
        }
    }

    /// The topic is deleted.
    pub(crate) fn forget_topic(&self, topic: TopicId) {
        self.topics.lock().remove(&topic);
    }

    pub(crate) fn cluster(&self) -> Option<&Budget> {
        self.cluster.as_deref()
    }

    /// Batches that were refused, and bytes that were evicted to make room.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.refused_batches.load(Ordering::Relaxed), self.evicted_bytes.load(Ordering::Relaxed))
    }

    pub(super) fn on_refused(&self) {
        self.refused_batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the times at which something was freed. Note it before an attempt, then wait for it to change.
    #[inline]
    pub(crate) fn space_version(&self) -> u64 {
        self.space.version.load(Ordering::Acquire)
    }

    /// Resolves when something was freed since `version`.
    pub(crate) async fn space_freed(&self, version: u64) {
        let parked = self.space.waiters.parked();
        std::future::poll_fn(|cx| {
            if self.space_version() != version {
                return Poll::Ready(());
            }
            parked.register(cx.waker());
            if self.space_version() == version { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Who waits for room.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.space.waiters.len()
    }

    /// Something was freed, or the cluster ends: collects those who wait for it.
    pub(crate) fn on_freed(&self, wakes: &mut WakeList) {
        self.space.version.fetch_add(1, Ordering::AcqRel);
        self.space.waiters.drain(wakes);
    }
}

impl Account {
    /// Whether there is a limit at all.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.memory.cluster.is_some() || self.topic.raw_limit() != u64::MAX
    }

    pub(crate) fn topic(&self) -> &Arc<Budget> {
        &self.topic
    }

    /// The topic's limit has been set or changed; `None` for no limit. True if it was raised: tell [`Memory::on_freed`]
    /// once the partition's lock is released.
    pub(crate) fn set_topic_limit(&self, limit: Option<u64>) -> bool {
        let limit = limit.unwrap_or(u64::MAX);
        self.topic.limit.swap(limit, Ordering::AcqRel) < limit
    }

    /// Takes room for a batch. On an error, the budget that is full.
    #[inline]
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Arc<Budget>> {
        if !self.is_limited() {
            return Ok(());
        }
        // Looked at before anything is taken: room of the topic that is given back is missed by whoever looks meanwhile.
        if let Some(cluster) = self.memory.cluster.as_ref().filter(|cluster| !cluster.has_room(bytes)) {
            return Err(Arc::clone(cluster));
        }
        if !self.topic.reserve(bytes) {
            return Err(Arc::clone(&self.topic));
        }
        if let Some(cluster) = &self.memory.cluster
            && !cluster.reserve(bytes)
        {
            self.topic.release(bytes);
            return Err(Arc::clone(cluster));
        }
        self.set_accounted(self.accounted() + bytes);
        Ok(())
    }

    /// Accounts for what the log holds now, whatever was reserved. True if that is less: tell [`Memory::on_freed`] once
    /// the partition's lock is released.
    #[inline]
    pub(crate) fn settle(&self, size_in_bytes: u64) -> bool {
        if !self.is_limited() && size_in_bytes != 0 {
            return false;
        }
        let accounted = self.accounted();
        if size_in_bytes == accounted {
            return false;
        }
        self.set_accounted(size_in_bytes);
        let freed = size_in_bytes < accounted;
        let difference = size_in_bytes.abs_diff(accounted);
        for budget in [Some(&self.topic), self.memory.cluster.as_ref()].into_iter().flatten() {
            if freed { budget.release(difference) } else { budget.add(difference) }
        }
        freed
    }

    /// Whether a batch was refused for want of room in one of the budgets, and there still is none.
    pub(crate) fn wants_room(&self) -> bool {
        self.topic.wants_room() || self.memory.cluster.as_ref().is_some_and(|cluster| cluster.wants_room())
    }

    /// The size at which the active segment is rolled so that it can go, or be compacted, where there is a limit.
    #[inline]
    pub(crate) fn roll_at(&self) -> Option<u64> {
        if !self.is_limited() {
            return None;
        }
        let cluster = self.memory.cluster.as_ref().map_or(u64::MAX, |cluster| cluster.raw_limit());
        let limit = cluster.min(self.topic.raw_limit());
        let smallest = Memory::SMALLEST_SEGMENT.min(limit / Memory::FEWEST_SEGMENTS);
        Some((limit / Memory::SEGMENTS).max(smallest))
    }

    fn accounted(&self) -> u64 {
        self.accounted.load(Ordering::Relaxed)
    }

    fn set_accounted(&self, bytes: u64) {
        self.accounted.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn account(memory: &Arc<Memory>, topic: u128) -> Account {
        memory.open_account(TopicId::from_u128(topic))
    }

    fn used(memory: &Memory) -> u64 {
        memory.cluster().unwrap().used()
    }

    #[test]
    fn reservations_never_pass_a_limit() {
        let memory = Memory::new(Some(100), MemoryPolicy::Block);
        let (a, b) = (account(&memory, 1), account(&memory, 2));
        assert!(!a.set_topic_limit(Some(60)));
        a.reserve(60).unwrap();
        assert!(Arc::ptr_eq(&a.reserve(1).unwrap_err(), a.topic()));
        b.reserve(40).unwrap();
        assert_eq!(b.reserve(1).unwrap_err().limit(), Some(100));
        assert_eq!((used(&memory), a.topic().used(), b.topic().used()), (100, 60, 40));
        // A refused batch, and one that was shorter than expected.
        assert!(a.settle(0));
        assert!(b.settle(39));
        assert!(!b.settle(39));
        assert_eq!((used(&memory), a.topic().used(), b.topic().used()), (39, 0, 39));
    }

    /// Symptom: a batch that fitted was refused, now and then. Cause: another one, for which the topic had room but the
    /// cluster had not, held the topic's room for a moment.
    #[test]
    fn a_batch_that_the_cluster_has_no_room_for_takes_none_from_the_topic_meanwhile() {
        const ROUNDS: usize = 200_000;
        let memory = Memory::new(Some(110), MemoryPolicy::Refuse);
        let [full, large, small] = [1, 1, 1].map(|topic| account(&memory, topic));
        full.set_topic_limit(Some(200));
        full.reserve(100).unwrap();
        let (started, done) = (std::sync::Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                started.wait();
                while !done.load(Ordering::Relaxed) {
                    assert!(large.reserve(100).is_err());
                }
            });
            started.wait();
            let refused = (0..ROUNDS).filter(|_| small.reserve(10).is_err() || !small.settle(0)).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
        assert_eq!((used(&memory), full.topic().used()), (100, 100));
    }

    #[test]
    fn room_is_wanted_until_there_is_some_or_the_limit_forbids_it() {
        let memory = Memory::new(Some(100), MemoryPolicy::Block);
        let (a, b) = (account(&memory, 1), account(&memory, 2));
        a.set_topic_limit(Some(60));
        a.reserve(60).unwrap();
        assert!(!a.wants_room() && !b.wants_room());
        a.topic().want(20);
        a.topic().want(10);
        assert!(a.wants_room() && !b.wants_room());
        memory.cluster().unwrap().want(60);
        assert!(b.wants_room());
        a.settle(45);
        assert!(a.wants_room());
        a.settle(40);
        assert!(!a.topic().wants_room() && !b.wants_room());
        // That is over, however full it is next.
        a.settle(60);
        assert!(!a.wants_room());
        a.topic().want(20);
        a.set_topic_limit(Some(19));
        assert!(!a.wants_room());
    }

    #[test]
    fn a_limit_that_comes_later_finds_what_is_there() {
        let memory = Memory::new(None, MemoryPolicy::Block);
        let (a, b) = (account(&memory, 1), account(&memory, 1));
        for account in [&a, &b] {
            account.reserve(1_000).unwrap();
            assert!(!account.settle(1_000));
        }
        assert_eq!(a.topic().used(), 0, "nothing is counted without a limit");
        for account in [&a, &b] {
            assert!(!account.set_topic_limit(Some(1_500)));
            assert!(!account.settle(1_000));
        }
        assert_eq!(a.topic().used(), 2_000);
        assert!(a.reserve(1).is_err());
        // Segments can go one by one, under each policy.
        assert_eq!(a.roll_at(), Some(1_500 / 8));
        // Without it nothing is counted any more, and the next limit makes up for it.
        assert!(a.set_topic_limit(None));
        a.reserve(9_000).unwrap();
        assert!(!a.settle(10_000));
        assert!(!a.set_topic_limit(Some(20_000)));
        assert!(!a.settle(10_000));
        assert_eq!(a.topic().used(), 11_000);
        assert!(a.settle(0) && b.settle(0));
        assert_eq!(a.topic().used(), 0);
    }

    #[test]
    fn partitions_that_are_gone_are_let_go_of_as_others_come() {
        use crate::broker::Clock;
        use crate::config::LogConfig;
        use crate::partition::Partition;
        use crate::types::{BrokerId, TopicPartition};
        let memory = Memory::new(Some(100), MemoryPolicy::Retain);
        let enrolled = |id: u128| {
            let (topic, topic_partition) = (TopicId::from_u128(id), TopicPartition::new("t", 0));
            let (config, clock) = (Arc::new(LogConfig::default()), Clock::start());
            let partition = Partition::new(topic_partition, topic, BrokerId(1), 0, config, clock.now_ms());
            let handle = Arc::new(PartitionHandle::new(partition, clock, Some(memory.open_account(topic))));
            memory.enroll(&handle);
            handle
        };
        let there: Vec<_> = (0..20).map(enrolled).collect();
        for id in 100..1_100 {
            drop(enrolled(id));
            memory.forget_topic(TopicId::from_u128(id));
        }
        let members = memory.cluster().unwrap().members.lock();
        let alive = members.iter().filter(|member| member.strong_count() > 0).count();
        assert_eq!(alive, there.len());
        assert!(members.len() <= 100, "{} are enrolled", members.len());
    }

    #[tokio::test]
    async fn a_wait_for_space_that_is_given_up_leaves_nothing_behind() {
        let memory = Memory::new(Some(100), MemoryPolicy::Block);
        let version = memory.space_version();
        for _ in 0..100 {
            let mut wait = Box::pin(memory.space_freed(version));
            assert!(futures::poll!(&mut wait).is_pending());
            assert_eq!(memory.waiting(), 1);
            drop(wait);
            assert_eq!(memory.waiting(), 0);
        }
    }

    #[tokio::test]
    async fn freed_space_is_announced_to_those_who_wait() {
        let memory = Memory::new(Some(100), MemoryPolicy::Block);
        let version = memory.space_version();
        let waiting = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { memory.space_freed(version).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let mut wakes = WakeList::new();
        memory.on_freed(&mut wakes);
        wakes.wake_all();
        waiting.await.unwrap();
        // Freed between the attempt and the wait: no wait.
        memory.space_freed(version).await;
    }
}
