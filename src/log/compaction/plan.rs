//! Whether a log needs compaction, and the beginning of a run.

use std::sync::Arc;

use crate::log::LogError;
use crate::log::compaction::compaction::{Progress, Source};
use crate::log::compaction::filter::Filter;
use crate::log::compaction::key_index::KeyIndex;
use crate::log::compaction::transactions::Transactions;
use crate::log::compaction::{Compaction, CompactionLimits};
use crate::log::log::Log;
use crate::log::segment::Segment;
use crate::log::store::SegmentStore;
use crate::types::Offset;

/// How a log that is to be compacted stands, for those who measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CompactionState {
    /// It was taken out of compaction, because a batch of it cannot be read.
    pub(crate) is_uncleanable: bool,
    /// How much of what a run would take in is dirty, from 0 to 1, whether that is enough for a run or not.
    pub(crate) dirty_ratio: f64,
}

/// The part of a log that a run would take in.
struct Cleanable {
    first_dirty: Offset,
    /// How many segments lie below the bound, and the bound.
    segments: usize,
    bound: Offset,
    clean_bytes: u64,
    dirty_bytes: u64,
}

impl Cleanable {
    /// From 0 to 1; there is something dirty.
    fn dirty_ratio(&self) -> f64 {
        self.dirty_bytes as f64 / (self.clean_bytes + self.dirty_bytes) as f64
    }
}

impl<S: SegmentStore> Log<S> {
    /// How dirty the log is, from 0 to 1, if it is dirty enough for a run: more than `min.cleanable.dirty.ratio` of what a
    /// run would take in is dirty, or some of it has been for longer than `max.compaction.lag.ms`. `None` for a log
    /// without `cleanup.policy=compact`, and one that turned out not to be readable.
    ///
    /// With `wants_room`, batches are refused for want of memory: whatever is dirty is dirty enough.
    ///
    /// An active segment that has become too old for `max.compaction.lag.ms` is rolled (Kafka waits for an append to do
    /// it, and so for ever where there is none), and so is any if room is wanted, for then there is no append that could:
    /// this is why the log is changed.
    pub(crate) fn compaction_need(&mut self, now_ms: i64, wants_room: bool) -> Result<Option<f64>, LogError> {
        if !self.config.cleanup_policy.compact || self.is_uncleanable() {
            return Ok(None);
        }
        let dirty_until = now_ms.saturating_sub(self.config.max_compaction_lag_ms);
        let active = self.segments.back().expect("there is always an active segment");
        if !active.is_empty() && (wants_room || active.first_timestamp() < dirty_until) {
            self.roll(self.log_end, now_ms)?;
        }
        let cleanable = self.cleanable(now_ms);
        if cleanable.dirty_bytes == 0 {
            return Ok(None);
        }
        let ratio = cleanable.dirty_ratio();
        let overdue = || {
            let dirty = self.segments.range(self.segment_index(cleanable.first_dirty)..cleanable.segments);
            dirty.map(Segment::first_timestamp).min().is_some_and(|earliest| earliest < dirty_until)
        };
        Ok((wants_room || ratio > self.config.min_cleanable_dirty_ratio || overdue()).then_some(ratio))
    }

    /// Begins a run; `None` if there is nothing to do. The log is not held: [`Log::finish_compaction`] finds out whether
    /// what comes of the run still fits. Takes time in proportion to the segments, not to the batches in them.
    pub(crate) fn begin_compaction(
        &mut self,
        limits: CompactionLimits,
        now_ms: i64,
    ) -> Result<Option<Compaction<S>>, LogError> {
        let Cleanable { first_dirty, segments, bound, dirty_bytes, .. } = self.cleanable(now_ms);
        if dirty_bytes == 0 {
            return Ok(None);
        }
        let aborted = self.aborted_transactions(self.segments[0].base_offset(), bound);
        let mut sources = Vec::with_capacity(segments);
        for segment in self.segments.iter_mut().take(segments) {
            sources.push(Source {
                base_offset: segment.base_offset(),
                last_modified_ms: segment.last_modified_ms(),
                size_in_bytes: segment.size_in_bytes(),
                aborted: segment.transactions().entries().to_vec(),
                batches: self.store.share(segment.batches_mut()).map_err(LogError::storage(&self.topic_partition))?,
            });
        }
        let filter = Filter::new(
            (self.log_start, first_dirty, bound),
            (now_ms, self.config.delete_retention_ms),
            self.producers.last_records(),
            Transactions::new(aborted),
            KeyIndex::new(limits.dedupe_buffer_size, limits.hash_seed),
        );
        Ok(Some(Compaction {
            topic_partition: self.topic_partition.clone(),
            config: Arc::clone(&self.config),
            truncations: self.truncations,
            sources,
            scratch: self.store.scratch(),
            filter,
            progress: Progress::default(),
            unreadable_to: None,
        }))
    }

    /// The run has failed, because a batch of the log cannot be read: the log is left alone until that batch is gone, be it
    /// by deletion or by truncation. False if the log was truncated since the run began: then nothing happens.
    pub(crate) fn give_up_compaction(&mut self, compaction: &Compaction<S>) -> bool {
        let is_same = compaction.truncations == self.truncations;
        if is_same {
            self.unreadable_to = compaction.unreadable_to.unwrap_or(compaction.filter.end);
        }
        is_same
    }

    /// How a log with `cleanup.policy=compact` stands; `None` for another. Takes time in proportion to its segments.
    pub(crate) fn compaction_state(&self, now_ms: i64) -> Option<CompactionState> {
        if !self.config.cleanup_policy.compact {
            return None;
        }
        let is_uncleanable = self.is_uncleanable();
        let cleanable = self.cleanable(now_ms);
        let has_dirt = !is_uncleanable && cleanable.dirty_bytes > 0;
        Some(CompactionState { is_uncleanable, dirty_ratio: if has_dirt { cleanable.dirty_ratio() } else { 0.0 } })
    }

    /// A run has failed, and the batch that could not be read is still there.
    fn is_uncleanable(&self) -> bool {
        self.log_start < self.unreadable_to
    }

    fn cleanable(&self, now_ms: i64) -> Cleanable {
        let first_dirty = self.cleaned_to.max(self.log_start);
        // The active segment is never cleaned, nor one that holds an offset of which it is not decided what becomes of it.
        let active = self.segments.len() - 1;
        let mut segments = active.min(self.segment_index(self.last_stable_offset()));
        if self.config.min_compaction_lag_ms > 0 {
            let young = now_ms.saturating_sub(self.config.min_compaction_lag_ms);
            let from = self.segment_index(first_dirty).min(segments);
            let lagging =
                self.segments.range(from..segments).take_while(|segment| segment.largest_timestamp() <= young);
            segments = from + lagging.count();
        }
        let bound = self.segments[segments].base_offset();
        let first = self.segment_index(first_dirty).min(segments);
        let bytes = |range: std::ops::Range<usize>| -> u64 {
            self.segments.range(range).map(|segment| u64::from(segment.size_in_bytes())).sum()
        };
        let dirty_bytes = if first_dirty < bound { bytes(first..segments) } else { 0 };
        let clean_bytes = bytes(0..segments) - dirty_bytes;
        Cleanable { first_dirty, segments, bound, clean_bytes, dirty_bytes }
    }
}
