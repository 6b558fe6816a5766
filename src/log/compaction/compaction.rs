//! [`Compaction`]: one run over one log.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::LogConfig;
use crate::log::LogError;
use crate::log::compaction::filter::{Filter, Left};
use crate::log::segment::{Indexes, RollParams, Segment};
use crate::log::store::{MemoryStore, SegmentStore};
use crate::log::txn_index::AbortedTxn;
use crate::record::{RecordBatch, RecordError};
use crate::types::{Offset, TopicPartition};

/// One run over one log: what [`Log::begin_compaction`](crate::log::Log::begin_compaction) took of it, and what has come
/// of that so far.
#[derive(Debug)]
pub(crate) struct Compaction<S: SegmentStore = MemoryStore> {
    pub(super) topic_partition: TopicPartition,
    pub(super) config: Arc<LogConfig>,
    /// How often the log had been truncated.
    pub(super) truncations: u64,
    /// All segments from the front to the bound.
    pub(super) sources: Vec<Source<S::Segment>>,
    pub(super) scratch: S,
    pub(super) filter: Filter,
    pub(super) progress: Progress<Segment<S::Segment>>,
    /// Behind the batch that could not be read.
    pub(super) unreadable_to: Option<Offset>,
}

/// A segment of the log.
#[derive(Debug)]
pub(super) struct Source<D> {
    pub(super) batches: D,
    pub(super) base_offset: Offset,
    pub(super) last_modified_ms: i64,
    pub(super) size_in_bytes: u32,
    /// Its transaction index.
    pub(super) aborted: Vec<AbortedTxn>,
}

/// How far a run is.
#[derive(Debug)]
pub(super) struct Progress<T> {
    phase: Phase,
    /// The segment to read on in, and where in it.
    source: usize,
    position: u32,
    /// The last batch so far, if nothing is left of it.
    dropped: Option<RecordBatch>,
    /// The new segments.
    pub(super) cleaned: Vec<T>,
}

impl<T> Default for Progress<T> {
    fn default() -> Self {
        Self { phase: Phase::Index, source: 0, position: 0, dropped: None, cleaned: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Index,
    Rewrite,
    Done,
}

impl<S: SegmentStore> Compaction<S> {
    /// Goes on for about so many bytes of batches. True once the run is through.
    ///
    /// An error means that the log cannot be compacted: a batch in it cannot be read, or the scratch store failed.
    pub(crate) fn run(&mut self, mut budget: usize) -> Result<bool, LogError> {
        while budget > 0 {
            match self.progress.phase {
                Phase::Index => self.index_some(&mut budget)?,
                Phase::Rewrite => self.rewrite_some(&mut budget)?,
                Phase::Done => return Ok(true),
            }
        }
        Ok(self.progress.phase == Phase::Done)
    }

    /// Frees about so many bytes of what the log holds no longer. True once that is all: the batches of a segment of
    /// gigabytes are many, and whoever drops them has other things to do.
    pub(crate) fn release(&mut self, budget: usize) -> Result<bool, LogError> {
        let storage = LogError::storage(&self.topic_partition);
        self.progress.cleaned.clear();
        if !self.scratch.reclaim_some(budget).map_err(&storage)? {
            return Ok(false);
        }
        if let Some(source) = self.sources.pop() {
            self.scratch.delete(source.batches).map_err(&storage)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// How far the log is clean once the run has taken effect.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn end(&self) -> Offset {
        self.filter.end
    }

    /// Bytes of the segments that are rewritten, and of what has become of them so far. Until the run has taken effect.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let before = self.rewritten().iter().map(|source| u64::from(source.size_in_bytes)).sum();
        let after = self.progress.cleaned.iter().map(|segment| u64::from(segment.size_in_bytes())).sum();
        (before, after)
    }

    /// The segments that the new ones replace.
    pub(super) fn rewritten(&self) -> &[Source<S::Segment>] {
        &self.sources[..self.sources.partition_point(|source| source.base_offset < self.filter.end)]
    }

    /// Reads on in the dirty section, in one segment.
    fn index_some(&mut self, budget: &mut usize) -> Result<(), LogError> {
        let Self { filter, progress, .. } = self;
        // The last segment that begins at or before the dirty section holds its first batch.
        let first = self.sources.partition_point(|source| source.base_offset <= filter.first_dirty).saturating_sub(1);
        progress.source = progress.source.max(first);
        let full = self.scan(budget, |filter, batch| match filter.index(batch) {
            Ok(true) => Ok(ControlFlow::Continue(())),
            Ok(false) => Ok(ControlFlow::Break(())),
            Err(reason) => Err(reason),
        })?;
        if full || self.progress.source == self.sources.len() {
            self.filter.begin_rewriting();
            self.progress = Progress { phase: Phase::Rewrite, ..Progress::default() };
        }
        Ok(())
    }

    /// Writes on, from one segment.
    fn rewrite_some(&mut self, budget: &mut usize) -> Result<(), LogError> {
        let source = self.progress.source;
        let (mut left, mut dropped) = (Vec::new(), self.progress.dropped.take());
        self.scan(budget, |filter, batch| {
            if batch.header().base_offset() >= filter.end {
                left.push(Left { batch: batch.clone(), aborted: None });
                dropped = None;
            } else if let Some(some) = filter.left_of(batch)? {
                left.push(some);
                dropped = None;
            } else {
                dropped = Some(batch.clone());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for left in left {
            self.write(left, source)?;
        }
        if self.progress.source == self.rewritten().len() {
            // Whoever reads up to here must get past what is gone, and the end of what was rewritten has to be in a segment.
            if let Some(last) = dropped.take() {
                self.write(Left { batch: last.emptied(), aborted: None }, source)?;
            }
            self.progress.cleaned.iter_mut().for_each(Segment::become_inactive);
            self.progress.phase = Phase::Done;
        }
        self.progress.dropped = dropped;
        Ok(())
    }

    /// Shows batches of the current segment to `visit` while the budget lasts, and moves on behind them. True if `visit`
    /// broke off.
    fn scan(
        &mut self,
        budget: &mut usize,
        mut visit: impl FnMut(&mut Filter, &RecordBatch) -> Result<ControlFlow<()>, RecordError>,
    ) -> Result<bool, LogError> {
        let Self { topic_partition, sources, scratch, filter, progress, unreadable_to, .. } = self;
        let Some(source) = sources.get(progress.source) else {
            return Ok(false);
        };
        let (mut stopped_at, mut outcome) = (None, Ok(ControlFlow::Continue(())));
        scratch
            .scan(&source.batches, progress.position, |position, batch| {
                if *budget == 0 {
                    stopped_at = Some(position);
                    return ControlFlow::Break(());
                }
                *budget = budget.saturating_sub(batch.size_in_bytes());
                outcome = visit(filter, batch).map_err(|reason| {
                    *unreadable_to = Some(batch.header().next_offset());
                    let (topic_partition, base_offset) = (topic_partition.clone(), batch.header().base_offset());
                    LogError::Unreadable { topic_partition, base_offset, reason }
                });
                match outcome {
                    Ok(flow) => flow,
                    Err(_) => ControlFlow::Break(()),
                }
            })
            .map_err(LogError::storage(topic_partition))?;
        match stopped_at {
            Some(position) => progress.position = position,
            None => (progress.source, progress.position) = (progress.source + 1, 0),
        }
        outcome.map(|flow| flow.is_break())
    }

    /// Adds a batch to the new segments.
    fn write(&mut self, Left { batch, aborted }: Left, source: usize) -> Result<(), LogError> {
        let storage = LogError::storage(&self.topic_partition);
        let Self { config, sources, scratch, filter, progress: Progress { cleaned, .. }, .. } = self;
        let source = &sources[source];
        let header = *batch.header();
        // Behind the end transactions are not followed; what the old segment's index says of them still holds.
        let aborted = aborted.or_else(|| {
            let copied = header.is_control() && header.base_offset() >= filter.end;
            source.aborted.iter().find(|aborted| copied && aborted.last_offset == header.last_offset()).copied()
        });
        let params = RollParams {
            segment_bytes: config.segment_bytes,
            segment_ms: i64::MAX,
            segment_index_bytes: config.segment_index_bytes,
            batch_size: header.size_in_bytes(),
            batch_max_timestamp: header.max_timestamp(),
            batch_last_offset: header.last_offset(),
            now_ms: filter.now_ms,
        };
        if cleaned.last().is_none_or(|segment| !segment.is_empty() && segment.should_roll(&params)) {
            // The first begins where the first old one did, so that offsets in front of its first batch are in it.
            let front = sources[0].base_offset;
            let reaches = header.last_offset() - front <= i64::from(i32::MAX);
            let base_offset = if cleaned.is_empty() && reaches { front } else { header.base_offset() };
            let batches = scratch.create(base_offset).map_err(&storage)?;
            cleaned.push(Segment::new(base_offset, batches, Indexes::default(), 0, filter.now_ms));
        }
        let segment = cleaned.last_mut().expect("just made");
        segment.append(scratch, batch, config.index_interval_bytes, source.last_modified_ms).map_err(&storage)?;
        if let Some(aborted) = aborted {
            segment.transactions_mut().append(aborted);
        }
        Ok(())
    }
}
