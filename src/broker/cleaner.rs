//! [`Cleaner`]: compacts the logs of one broker, one at a time, the dirtiest first.
//!
//! The cluster's background task calls [`Cleaner::run_due`], which does a small piece of work each time, so that timers are
//! not kept waiting and no thread is needed. A partition's lock is held to begin and to end a run, not in between.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::broker::{Clock, PartitionHandle, ReplicaManager};
use crate::config::CleanerConfig;
use crate::controller::MetadataImage;
use crate::log::{Compaction, CompactionLimits};
use crate::types::TopicPartition;

/// Compacts the logs of one broker.
#[derive(Debug)]
pub(crate) struct Cleaner {
    clock: Clock,
    config: CleanerConfig,
    hash_seed: u64,
    state: Mutex<State>,
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

    pub(crate) fn new(clock: Clock, config: CleanerConfig, hash_seed: u64) -> Self {
        let next_ms = clock.now_ms().saturating_add(config.backoff_ms());
        Self { clock, config, hash_seed, state: Mutex::new(State { run: None, next_ms }) }
    }

    /// Does a piece of work if one is due. Returns when the next is: at once, as long as there is something to do.
    pub(crate) fn run_due(&self, replicas: &ReplicaManager, image: &MetadataImage) -> i64 {
        if !self.config.enable {
            return i64::MAX;
        }
        let mut state = self.state.lock();
        let now_ms = self.clock.now_ms();
        if state.next_ms > now_ms {
            return state.next_ms;
        }
        let run = match state.run.take() {
            Some(run) => Some(run),
            None => self.begin(replicas, image),
        };
        state.next_ms = match run {
            Some(run) => {
                state.run = self.go_on(run);
                now_ms.saturating_add(self.config.ms_for(Self::PIECE_BYTES))
            }
            None => now_ms.saturating_add(self.config.backoff_ms()),
        };
        state.next_ms
    }

    /// Lets go of the log at hand.
    pub(crate) fn stop(&self) {
        let run = self.state.lock().run.take();
        drop(run);
    }

    /// Begins with the dirtiest log of those that need it.
    fn begin(&self, replicas: &ReplicaManager, image: &MetadataImage) -> Option<Run> {
        let compacted = image.topics.values().filter(|topic| topic.log_config.cleanup_policy.compact);
        let partitions = compacted.flat_map(|topic| {
            (0..topic.partitions.len() as i32).map(|index| TopicPartition::new(Arc::clone(&topic.name), index))
        });
        // What is gone, or fails, is somebody else's to report: the next append meets it as well.
        let needs = partitions.filter_map(|topic_partition| {
            let partition = replicas.partition(&topic_partition).ok()?;
            let need = partition.compaction_need().ok().flatten()?;
            Some((partition, need))
        });
        let (partition, _) = needs.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        let limits = CompactionLimits { dedupe_buffer_size: self.config.dedupe_buffer_size, hash_seed: self.hash_seed };
        let compaction = partition.begin_compaction(limits).ok().flatten()?;
        Some(Run { partition, compaction, is_over: false })
    }

    /// Goes on with a log; `None` once it is done with.
    fn go_on(&self, mut run: Run) -> Option<Run> {
        if run.is_over {
            return matches!(run.compaction.release(Self::PIECE_BYTES), Ok(false)).then_some(run);
        }
        match run.compaction.run(Self::PIECE_BYTES) {
            Ok(false) => return Some(run),
            // If the log was truncated, or deleted, there is nothing to add.
            Ok(true) => drop(run.partition.finish_compaction(&mut run.compaction)),
            Err(_) => run.partition.give_up_compaction(),
        }
        run.is_over = true;
        Some(run)
    }
}
