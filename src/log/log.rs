//! [`Log`].

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::config::LogConfig;
use crate::log::LogError;
use crate::log::leader_epoch::LeaderEpochCache;
use crate::log::producer_state::{ActiveProducer, ProducerStateManager};
use crate::log::segment::{Indexes, Segment};
use crate::log::store::{MemoryStore, SegmentStore};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// One partition's log. See the module for its offsets and invariants.
///
/// - getters: the offsets, [`Log::size_in_bytes`], [`Log::config`], [`Log::end_offset_for_epoch`]
/// - appends: [`Log::append_as_leader`], [`Log::append_as_follower`]
/// - reads: [`Log::read`], [`Log::offset_for_timestamp`], [`Log::max_timestamp`], [`Log::aborted_transactions`]
/// - changes from above: [`Log::maybe_increment_high_watermark`], [`Log::assign_epoch_start`], [`Log::update_config`]
/// - removal: [`Log::delete_old_segments`], [`Log::delete_records`], [`Log::remove_expired_producers`],
///   [`Log::truncate_to`], [`Log::truncate_fully_and_start_at`]
/// - compaction: [`Log::compaction_need`], [`Log::begin_compaction`], [`Log::finish_compaction`],
///   [`Log::give_up_compaction`]
///
/// After an error of kind [`LogError::Storage`] the log must not be used any more: its store may hold more or less than
/// its indexes say.
#[derive(Debug)]
pub(crate) struct Log<S: SegmentStore = MemoryStore> {
    pub(super) topic_partition: TopicPartition,
    pub(super) config: Arc<LogConfig>,
    pub(super) store: S,
    /// Ascending and never empty; the last one is active.
    pub(super) segments: VecDeque<Segment<S::Segment>>,
    /// Of the segment that was deleted last, for the next new one, unless they are large.
    pub(super) spare_indexes: Option<Indexes>,
    pub(super) size_in_bytes: u64,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    pub(super) log_end: Offset,
    /// The first offset of a transaction whose outcome consumers may not know yet; not before the log start.
    pub(super) first_unstable: Option<Offset>,
    pub(super) epochs: LeaderEpochCache,
    pub(super) producers: ProducerStateManager,
    /// Up to where compaction has been; what lies behind is its dirty section. May lie before the log start.
    pub(super) cleaned_to: Offset,
    /// Counts truncations, for a compaction to see whether its segments are still the log's.
    pub(super) truncations: u64,
    /// Behind the batch that compaction found not to be readable; at or below the log start if there is none.
    pub(super) unreadable_to: Offset,
}

impl Log {
    /// An empty log in memory.
    pub(crate) fn in_memory(topic_partition: TopicPartition, config: Arc<LogConfig>, now_ms: i64) -> Self {
        Self::open(topic_partition, config, MemoryStore::default(), now_ms).expect("memory does not fail")
    }
}

impl<S: SegmentStore> Log<S> {
    /// An empty log in an empty store.
    pub(crate) fn open(
        topic_partition: TopicPartition,
        config: Arc<LogConfig>,
        store: S,
        now_ms: i64,
    ) -> Result<Self, LogError> {
        let mut log = Self {
            topic_partition,
            config,
            store,
            segments: VecDeque::with_capacity(1),
            spare_indexes: None,
            size_in_bytes: 0,
            log_start: 0,
            high_watermark: 0,
            log_end: 0,
            first_unstable: None,
            epochs: LeaderEpochCache::default(),
            producers: ProducerStateManager::default(),
            cleaned_to: 0,
            truncations: 0,
            unreadable_to: 0,
        };
        log.open_segment(0, now_ms)?;
        Ok(log)
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub(crate) fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// The topic's settings have changed. What is in the log stays as it is; retention acts on it when it next runs.
    pub(crate) fn update_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The first offset that may be read.
    #[inline]
    pub(crate) fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset up to which records are replicated.
    #[inline]
    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset up to which records are replicated and no transaction is undecided.
    #[inline]
    pub(crate) fn last_stable_offset(&self) -> Offset {
        match self.first_unstable {
            Some(unstable) if unstable < self.high_watermark => unstable,
            _ => self.high_watermark,
        }
    }

    /// The offset that the next record gets.
    #[inline]
    pub(crate) fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Bytes of all segments.
    pub(crate) fn size_in_bytes(&self) -> u64 {
        self.size_in_bytes
    }

    /// What is remembered of producers, in order of id.
    pub(crate) fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.active()
    }

    /// How many segments there are: at least one.
    pub(crate) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Raises the high watermark, but not beyond the log end. True if it was raised.
    #[inline]
    pub(crate) fn maybe_increment_high_watermark(&mut self, high_watermark: Offset) -> bool {
        let high_watermark = high_watermark.min(self.log_end);
        if high_watermark <= self.high_watermark {
            return false;
        }
        self.high_watermark = high_watermark;
        if self.producers.on_high_watermark_updated(high_watermark) {
            self.update_first_unstable();
        }
        self.debug_assert_invariants();
        true
    }

    /// A leader of this epoch begins to append at the log end.
    pub(crate) fn assign_epoch_start(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.log_end);
    }

    /// The epoch of the record at the log start, or of the next one to come there.
    pub(crate) fn earliest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.earliest(self.log_start)
    }

    /// OffsetForLeaderEpoch (KIP-101): the largest known epoch up to `epoch`, and the offset behind its last record.
    pub(crate) fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end)
    }

    pub(super) fn update_first_unstable(&mut self) {
        self.first_unstable = self.producers.first_unstable_offset().map(|offset| offset.max(self.log_start));
    }

    /// Invariant 1 of the module.
    #[inline]
    pub(super) fn debug_assert_invariants(&self) {
        debug_assert!(
            self.log_start <= self.last_stable_offset()
                && self.last_stable_offset() <= self.high_watermark
                && self.high_watermark <= self.log_end,
            "log start {} <= last stable {} <= high watermark {} <= log end {} in {}",
            self.log_start,
            self.last_stable_offset(),
            self.high_watermark,
            self.log_end,
            self.topic_partition,
        );
    }

    /// Opens a new active segment.
    pub(super) fn open_segment(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), LogError> {
        let batches = self.store.create(base_offset).map_err(LogError::storage(&self.topic_partition))?;
        let indexes = self.spare_indexes.take().unwrap_or_default();
        let segment = Segment::new(base_offset, batches, indexes, self.roll_jitter_ms(base_offset), now_ms);
        if let Some(active) = self.segments.back_mut() {
            if active.is_empty() {
                // Nothing was ever in it: the new one takes its place.
                let unused = std::mem::replace(active, segment);
                return self.dispose(unused);
            }
            active.become_inactive();
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Gives a segment's memory back: its batches to the store, its indexes to the next segment.
    pub(super) fn dispose(&mut self, segment: Segment<S::Segment>) -> Result<(), LogError> {
        self.size_in_bytes -= u64::from(segment.size_in_bytes());
        let (batches, indexes) = segment.into_parts();
        self.spare_indexes = Some(indexes).filter(Indexes::is_small);
        self.store.delete(batches).map_err(LogError::storage(&self.topic_partition))
    }

    /// A share of `segment.jitter.ms` that differs from partition to partition and from segment to segment. Kafka draws
    /// it at random; here it follows from the names, so that a run can be repeated. Less than what it is taken off.
    fn roll_jitter_ms(&self, base_offset: Offset) -> i64 {
        let bound = self.config.segment_jitter_ms.min(self.config.roll_ms());
        if bound <= 0 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (&self.topic_partition, base_offset).hash(&mut hasher);
        (hasher.finish() % bound as u64) as i64
    }
}
