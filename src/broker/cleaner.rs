//! [`Cleaner`]: compacts the logs of one broker, one at a time, the dirtiest first.
//!
//! The cluster's background task calls [`Cleaner::run_due`], which does a small piece of work each time, so that timers are
//! not kept waiting and no thread is needed. A partition's lock is held to begin and to end a run, not in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::broker::{Clock, PartitionHandle, ReplicaManager};
use crate::config::CleanerConfig;
use crate::controller::MetadataImage;
use crate::log::{Compaction, CompactionLimits, LogError};
use crate::types::TopicPartition;
use crate::util::trace;
use crate::util::wake_list::WakeList;

/// Compacts the logs of one broker.
#[derive(Debug)]
pub(crate) struct Cleaner {
    clock: Clock,
    hash_seed: u64,
    state: Mutex<State>,
    /// What the last run left, in percent of the bytes that it rewrote.
    recopy_percent: AtomicU64,
}

/// What became of a run, for those who watch it from outside.
#[derive(Debug)]
struct Ended {
    topic_partition: TopicPartition,
    bytes_before: u64,
    /// The error took the log out of compaction.
    bytes_after: Result<u64, LogError>,
}

#[derive(Debug)]
struct State {
    run: Option<Run>,
    /// When `log.cleaner.backoff.ms` is over, or as much of it as `log.cleaner.io.max.bytes.per.second` asks for.
    next_ms: i64,
}

/// A log that is being compacted. It is held weakly enough: a deleted topic's handle has no log.
#[derive(Debug)]
struct Run {
    partition: Arc<PartitionHandle>,
    compaction: Compaction,
    /// The log has its new segments, or will not get any: the old batches are being freed.
    is_over: bool,
}

impl Cleaner {
    /// Bytes of batches to one piece of work: about a millisecond's.
    const PIECE_BYTES: usize = 2 << 20;

    /// `config` is what the broker is started with; later the image says.
    pub(crate) fn new(clock: Clock, config: &CleanerConfig, hash_seed: u64) -> Self {
        let next_ms = clock.now_ms().saturating_add(config.backoff_ms());
        Self { clock, hash_seed, state: Mutex::new(State { run: None, next_ms }), recopy_percent: AtomicU64::new(0) }
    }

    /// Does a piece of work if one is due. Returns when the next is: at once, as long as there is something to do.
    pub(crate) fn run_due(&self, replicas: &ReplicaManager, image: &MetadataImage) -> i64 {
        let (mut wakes, mut ended) = (WakeList::new(), None);
        let next_ms = self.run_due_collecting(replicas, image, &mut wakes, &mut ended);
        wakes.wake_all();
        if let Some(ended) = ended {
            self.tell(&ended);
        }
        next_ms
    }

    /// Percent of the bytes that the last run rewrote which it left: 0 before the first run.
    pub(crate) fn recopy_percent(&self) -> u64 {
        self.recopy_percent.load(Ordering::Relaxed)
    }

    /// Counts and traces what became of a run. Call with no lock held.
    fn tell(&self, ended: &Ended) {
        let Ended { topic_partition, bytes_before, bytes_after } = ended;
        let (topic, partition) = (topic_partition.topic(), topic_partition.partition());
        match bytes_after {
            Ok(bytes_after) => {
                self.recopy_percent.store(bytes_after * 100 / bytes_before.max(&1), Ordering::Relaxed);
                trace::event!(
                    INFO,
                    "log compacted",
                    topic = topic,
                    partition = partition,
                    bytes_before = *bytes_before,
                    bytes_after = *bytes_after
                );
            }
            Err(error) => trace::event!(
                WARN,
                "log cannot be compacted",
                topic = topic,
                partition = partition,
                error = trace::display(error)
            ),
        }
    }

    fn run_due_collecting(
        &self,
        replicas: &ReplicaManager,
        image: &MetadataImage,
        wakes: &mut WakeList,
        ended: &mut Option<Ended>,
    ) -> i64 {
        let config = &image.config.cleaner;
        if !config.enable {
            return i64::MAX;
        }
        let mut state = self.state.lock();
        let now_ms = self.clock.now_ms();
        if state.next_ms > now_ms {
            return state.next_ms;
        }
        let run = match state.run.take() {
            Some(run) => Some(run),
            None => self.begin(replicas, image, wakes),
        };
        state.next_ms = match run {
            Some(run) => {
                state.run = Self::go_on(run, image, wakes, ended);
                match &state.run {
                    // What the log has let go of does not count any more, and so must not be held any longer than it takes.
                    // The pause that the last piece asked for comes after it.
                    Some(run) if run.is_over => now_ms,
                    _ => now_ms.saturating_add(config.ms_for(Self::PIECE_BYTES)),
                }
            }
            None => now_ms.saturating_add(config.backoff_ms()),
        };
        state.next_ms
    }

    /// Looks for work at once: `log.cleaner.*` has changed, and what was waited for counts no more.
    pub(crate) fn reconfigured(&self) {
        self.state.lock().next_ms = self.clock.now_ms();
    }

    /// Lets go of the log at hand.
    pub(crate) fn stop(&self) {
        let run = self.state.lock().run.take();
        drop(run);
    }

    /// Begins with the dirtiest log of those that need it.
    fn begin(&self, replicas: &ReplicaManager, image: &MetadataImage, wakes: &mut WakeList) -> Option<Run> {
        let compacted = image.topics.values().filter(|topic| topic.log_config.cleanup_policy.compact);
        let partitions = compacted.flat_map(|topic| {
            (0..topic.partitions.len() as i32).map(|index| TopicPartition::new(Arc::clone(&topic.name), index))
        });
        // What is gone, or fails, is somebody else's to report: the next append meets it as well.
        let needs = partitions.filter_map(|topic_partition| {
            let partition = replicas.partition(&topic_partition).ok()?;
            let need = partition.compaction_need(image.config.cleaner.backoff_ms(), wakes).ok().flatten()?;
            Some((partition, need))
        });
        let (partition, _) = needs.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        let dedupe_buffer_size = image.config.cleaner.dedupe_buffer_size;
        let limits = CompactionLimits { dedupe_buffer_size, hash_seed: self.hash_seed };
        let compaction = partition.begin_compaction(limits).ok().flatten()?;
        Some(Run { partition, compaction, is_over: false })
    }

    /// Goes on with a log; `None` once it is done with.
    fn go_on(mut run: Run, image: &MetadataImage, wakes: &mut WakeList, ended: &mut Option<Ended>) -> Option<Run> {
        let topic = image.topics.get(run.partition.topic_partition().topic());
        run.is_over |= topic.is_none_or(|topic| !topic.log_config.cleanup_policy.compact);
        if run.is_over {
            return matches!(run.compaction.release(Self::PIECE_BYTES), Ok(false)).then_some(run);
        }
        let outcome = run.compaction.run(Self::PIECE_BYTES);
        if outcome == Ok(false) {
            return Some(run);
        }
        let (bytes_before, bytes_after) = run.compaction.bytes();
        let bytes_after = match outcome {
            // If the log was truncated, deleted or is not to be compacted any more, there is nothing to add.
            Ok(_) => matches!(run.partition.finish_compaction(&mut run.compaction, wakes), Ok(true))
                .then_some(Ok(bytes_after)),
            Err(error) => run.partition.give_up_compaction(&run.compaction).then_some(Err(error)),
        };
        let topic_partition = run.partition.topic_partition();
        *ended = bytes_after.map(|bytes_after| Ended {
            topic_partition: topic_partition.clone(),
            bytes_before,
            bytes_after,
        });
        run.is_over = true;
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::broker::{GroupCoordinator, Memory, MemoryPolicy};
    use crate::config::{CleanupPolicy, LogConfig};
    use crate::controller::{PartitionImage, TopicImage};
    use crate::coordinator::group::{GroupConfig, OffsetCommitRequest, OffsetFetchRequest};
    use crate::error::ErrorCode;
    use crate::record::{BatchBuilder, RecordBatch, SealOptions};
    use crate::types::{Acks, BrokerId, IsolationLevel, LeaderEpoch, Offset, OffsetAndMetadata, TopicId};
    use crate::util::block_pool::Block;

    const NODE: BrokerId = BrokerId(1);

    struct Broker {
        clock: Clock,
        replicas: ReplicaManager,
        image: MetadataImage,
        cleaner: Arc<Cleaner>,
    }

    impl Broker {
        /// With a compacted topic of one partition for each name.
        fn new(topics: &[&str], segment_bytes: u32) -> Self {
            let clock = Clock::start();
            let replicas = ReplicaManager::new(NODE, clock, Memory::new(Some(1 << 30), MemoryPolicy::Block));
            let mut image = MetadataImage::default();
            for (index, name) in topics.iter().enumerate() {
                let log_config = LogConfig {
                    cleanup_policy: CleanupPolicy { delete: false, compact: true },
                    segment_bytes,
                    ..LogConfig::default()
                };
                let partition = PartitionImage {
                    replicas: vec![NODE],
                    isr: vec![NODE],
                    leader: NODE,
                    leader_epoch: LeaderEpoch(0),
                    partition_epoch: 0,
                };
                let topic = TopicImage {
                    id: TopicId::from_u128(index as u128 + 1),
                    name: Arc::from(*name),
                    partitions: vec![partition],
                    configs: BTreeMap::new(),
                    log_config: Arc::new(log_config),
                };
                image.topics.insert(Arc::clone(&topic.name), Arc::new(topic));
            }
            replicas.apply(&MetadataImage::default(), &image, &mut WakeList::new()).unwrap();
            let cleaner = Arc::new(Cleaner::new(clock, &CleanerConfig::default(), 7));
            Self { clock, replicas, image, cleaner }
        }

        fn partition(&self, name: &str) -> Arc<PartitionHandle> {
            self.replicas.partition(&TopicPartition::new(name, 0)).unwrap()
        }

        /// Lets the cleaner work until it waits for its backoff. How many pieces of work that were.
        fn clean(&self) -> usize {
            let mut pieces = 0;
            while self.cleaner.run_due(&self.replicas, &self.image) <= self.clock.now_ms() {
                pieces += 1;
                assert!(pieces < 10_000, "no end of it");
            }
            pieces
        }
    }

    fn put(partition: &PartitionHandle, key: &str, size: usize) {
        let mut builder = BatchBuilder::new(Block::unpooled(size + 100));
        builder.try_append(0, Some(key.as_bytes()), Some(&vec![b'v'; size]), std::iter::empty()).unwrap();
        partition.append(builder.seal(SealOptions::default()).unwrap(), Acks::All).unwrap();
    }

    fn batches(partition: &PartitionHandle) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        partition.read(0, usize::MAX, IsolationLevel::ReadUncommitted, &mut batches).unwrap();
        batches
    }

    fn bases(partition: &PartitionHandle) -> Vec<Offset> {
        batches(partition).iter().map(|batch| batch.header().base_offset()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_dirtiest_log_comes_first_and_each_is_done_in_pieces() {
        let broker = Broker::new(&["a", "b", "c"], 1 << 20);
        let [a, b, c] = ["a", "b", "c"].map(|name| broker.partition(name));
        for partition in [&a, &b] {
            (0..9).for_each(|_| put(partition, "k", 1 << 19));
        }
        // Nothing before the first backoff is over.
        assert_eq!(broker.clean(), 0);
        assert_eq!(bases(&a).len(), 9);
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        assert!(broker.clean() > 4);
        // The active segment is not touched.
        assert_eq!((bases(&a), bases(&b), bases(&c)), (vec![7, 8], vec![7, 8], vec![]));
        // Now a is dirtier than b, and both are dirty enough.
        (0..9).for_each(|_| put(&a, "k", 1 << 19));
        (0..5).for_each(|_| put(&b, "k", 1 << 19));
        assert_eq!(broker.clean(), 0);
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        while bases(&a).len() > 3 {
            assert_eq!(bases(&b).len(), 7);
            broker.cleaner.run_due(&broker.replicas, &broker.image);
        }
        broker.clean();
        assert_eq!((bases(&a), bases(&b)), (vec![16, 17], vec![12, 13]));
        assert!(broker.cleaner.state.lock().run.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn old_batches_are_freed_without_the_pauses_that_reading_and_writing_make() {
        let mut broker = Broker::new(&["a"], 1 << 20);
        let config = Arc::make_mut(&mut broker.image.config);
        // A piece a second.
        let bytes_per_second = Cleaner::PIECE_BYTES.to_string();
        assert!(config.cleaner.set("log.cleaner.io.max.bytes.per.second", &bytes_per_second).unwrap());
        (0..20).for_each(|_| put(&broker.partition("a"), "k", 1 << 19));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        let is_over = || broker.cleaner.state.lock().run.as_ref().map(|run| run.is_over);
        let work = || broker.cleaner.run_due(&broker.replicas, &broker.image) - broker.clock.now_ms();
        let mut pieces = 0;
        loop {
            let pause = work();
            if is_over() == Some(true) {
                assert_eq!(pause, 0);
                break;
            }
            assert_eq!((pause, is_over()), (1_000, Some(false)));
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            pieces += 1;
        }
        assert!(pieces > 5, "{pieces}");
        while is_over().is_some() {
            // The last piece of the run is paid for before the next one begins.
            let pause = work();
            assert_eq!(pause, if is_over().is_some() { 0 } else { 1_000 });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_compacted_is_told_of_once_and_shows_until_the_batch_is_gone() {
        let broker = Broker::new(&["a", "b"], 1 << 20);
        let [a, b] = ["a", "b"].map(|name| broker.partition(name));
        let honest = {
            let mut builder = BatchBuilder::new(Block::unpooled(1_000));
            builder.try_append(0, Some(b"k"), Some(b"v"), std::iter::empty()).unwrap();
            builder.seal(SealOptions::default()).unwrap()
        };
        let broken = RecordBatch::from_parts(*honest.header(), vec![0x7f; honest.body().len()].into());
        let image_with = |cleanup_policy| {
            let mut image = broker.image.clone();
            let topic = Arc::make_mut(image.topics.get_mut("a").unwrap());
            Arc::make_mut(&mut topic.log_config).cleanup_policy = cleanup_policy;
            image
        };
        // Taken unread, as long as keys do not matter.
        let image = image_with(CleanupPolicy { delete: true, compact: false });
        broker.replicas.apply(&broker.image, &image, &mut WakeList::new()).unwrap();
        assert_eq!(a.stats().unwrap().compaction, None);
        a.append(broken, Acks::All).unwrap();
        broker.replicas.apply(&image, &broker.image, &mut WakeList::new()).unwrap();
        for partition in [&a, &b] {
            (0..9).for_each(|_| put(partition, "k", 1 << 19));
        }
        let state = |partition: &PartitionHandle| {
            let state = partition.stats().unwrap().compaction.unwrap();
            (state.is_uncleanable, state.dirty_ratio)
        };
        assert_eq!((state(&a), state(&b)), ((false, 1.0), (false, 1.0)));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        let mut told = Vec::new();
        let clean = |told: &mut Vec<Ended>| {
            let (mut wakes, mut next_ms) = (WakeList::new(), 0);
            while next_ms <= broker.clock.now_ms() {
                let mut ended = None;
                next_ms = broker.cleaner.run_due_collecting(&broker.replicas, &broker.image, &mut wakes, &mut ended);
                told.extend(ended);
            }
            wakes.wake_all();
        };
        clean(&mut told);
        told.sort_by_key(|ended| ended.topic_partition.clone());
        let [of_a, of_b] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((of_a.topic_partition.topic(), of_b.topic_partition.topic()), ("a", "b"));
        assert!(matches!(of_a.bytes_after, Err(LogError::Unreadable { base_offset: 0, .. })), "{of_a:?}");
        // Of eight batches one is left.
        assert_eq!(of_b.bytes_after, Ok(of_b.bytes_before / 8));
        assert_eq!((state(&a), state(&b)), ((true, 0.0), (false, 0.0)));
        told.drain(..).for_each(|ended| broker.cleaner.tell(&ended));
        assert_eq!(broker.cleaner.recopy_percent(), 12);
        // It is left alone, until the batch is gone.
        for _ in 0..3 {
            tokio::time::advance(std::time::Duration::from_secs(15)).await;
            clean(&mut told);
        }
        assert!(told.is_empty(), "{told:?}");
        let image = image_with(CleanupPolicy { delete: true, compact: true });
        broker.replicas.apply(&broker.image, &image, &mut WakeList::new()).unwrap();
        assert_eq!(state(&a), (true, 0.0));
        a.delete_records(1).unwrap();
        assert_eq!(state(&a), (false, 1.0));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        clean(&mut told);
        assert!(told.len() == 1 && told[0].bytes_after.is_ok(), "{told:?}");
        assert_eq!(state(&a), (false, 0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_room_are_woken_without_the_cleaners_lock() {
        /// What it found when it was woken: whether the lock was held.
        struct Woken(Arc<Cleaner>, Mutex<Option<bool>>);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                *self.1.lock() = Some(self.0.state.is_locked());
            }
        }
        let broker = Broker::new(&["a"], 1 << 20);
        (0..20).for_each(|_| put(&broker.partition("a"), "k", 1 << 19));
        let memory = broker.replicas.memory();
        let woken = Arc::new(Woken(Arc::clone(&broker.cleaner), Mutex::default()));
        let mut wait = Box::pin(memory.space_freed(memory.space_version()));
        let waker = Arc::clone(&woken).into();
        assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        broker.clean();
        assert_eq!(*woken.1.lock(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_is_deleted_meanwhile_is_let_go() {
        let broker = Broker::new(&["a"], 1 << 20);
        let a = broker.partition("a");
        (0..20).for_each(|_| put(&a, "k", 1 << 19));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        broker.cleaner.run_due(&broker.replicas, &broker.image);
        assert!(broker.cleaner.state.lock().run.is_some());
        broker.replicas.apply(&broker.image, &MetadataImage::default(), &mut WakeList::new()).unwrap();
        broker.clean();
        assert!(broker.cleaner.state.lock().run.is_none());
        // And so is whatever is at hand when the cluster ends.
        let broker = Broker::new(&["a"], 1 << 20);
        (0..20).for_each(|_| put(&broker.partition("a"), "k", 1 << 19));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        broker.cleaner.run_due(&broker.replicas, &broker.image);
        broker.cleaner.stop();
        assert!(broker.cleaner.state.lock().run.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_when_compaction_is_turned_off() {
        let mut broker = Broker::new(&["a"], 1 << 20);
        let a = broker.partition("a");
        (0..20).for_each(|_| put(&a, "k", 1 << 19));
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        broker.cleaner.run_due(&broker.replicas, &broker.image);
        assert!(broker.cleaner.state.lock().run.as_ref().is_some_and(|run| !run.is_over));
        let mut image = broker.image.clone();
        let topic = Arc::make_mut(image.topics.get_mut("a").unwrap());
        Arc::make_mut(&mut topic.log_config).cleanup_policy = CleanupPolicy { delete: true, compact: false };
        broker.replicas.apply(&broker.image, &image, &mut WakeList::new()).unwrap();
        broker.image = image;
        // Not read to its end first.
        broker.cleaner.run_due(&broker.replicas, &broker.image);
        assert!(broker.cleaner.state.lock().run.as_ref().is_none_or(|run| run.is_over));
        broker.clean();
        assert!(broker.cleaner.state.lock().run.is_none());
        assert_eq!(bases(&a), Vec::from_iter(0..20));
    }

    #[tokio::test(start_paused = true)]
    async fn groups_are_replayed_from_a_compacted_log() {
        let broker = Broker::new(&["__consumer_offsets"], 2_000);
        let partition = broker.partition("__consumer_offsets");
        let coordinator = || {
            let changed = Arc::new(tokio::sync::Notify::new());
            let groups = GroupCoordinator::new(broker.clock, GroupConfig::default(), 1, changed);
            groups.load(vec![Arc::clone(&partition)]).unwrap();
            groups
        };
        let groups = coordinator();
        let commit = async |group: &str, index: i32, offset: Offset| {
            let request = OffsetCommitRequest {
                group_id: group.to_owned(),
                generation_id: -1,
                member_id: String::new(),
                group_instance_id: None,
                offsets: vec![(TopicPartition::new("orders", index), OffsetAndMetadata::new(offset))],
            };
            let response = groups.commit_offsets(request).await;
            assert!(response.partitions.iter().all(|(_, code)| *code == ErrorCode::None), "{response:?}");
        };
        for round in 0..100 {
            for index in 0..3 {
                commit("kept", index, round * 10 + Offset::from(index)).await;
            }
            commit("deleted", 0, round).await;
        }
        assert_eq!(groups.delete_group("deleted").await, ErrorCode::None);
        for index in 0..3 {
            commit("late", index, 5).await;
        }
        let before = batches(&partition).len();
        tokio::time::advance(std::time::Duration::from_secs(15)).await;
        broker.clean();
        let after = batches(&partition).len();
        assert!(after * 10 < before, "{after} of {before} batches");
        let replayed = coordinator();
        for group in ["kept", "deleted", "late", "other"] {
            let request = OffsetFetchRequest { group_id: group.to_owned(), partitions: None, require_stable: false };
            assert_eq!(replayed.fetch_offsets(&request), groups.fetch_offsets(&request), "{group}");
        }
        assert_eq!(replayed.list_groups(), groups.list_groups());
    }
}
