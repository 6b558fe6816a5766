//! Truncation: what a follower drops because its new leader does not have it.

use std::ops::ControlFlow;

use crate::log::LogError;
use crate::log::append::concerns_producer;
use crate::log::log::Log;
use crate::log::producer_state::end_txn_marker;
use crate::log::store::SegmentStore;
use crate::types::Offset;

impl<S: SegmentStore> Log<S> {
    /// Drops the records at `offset` and behind, and with them whatever shares a batch with one of them. Returns the new
    /// log end, which is then the first dropped batch's base offset.
    ///
    /// The high watermark falls to the log end if it lay behind. The log start only falls for an offset before it.
    /// Producer state is afterwards what the remaining batches imply; producers that were active only before `offset`
    /// keep theirs.
    pub(crate) fn truncate_to(&mut self, offset: Offset, now_ms: i64) -> Result<Offset, LogError> {
        if offset >= self.log_end {
            // An epoch may have begun here without a record.
            self.epochs.truncate_from_end(self.log_end);
            return Ok(self.log_end);
        }
        if offset < self.segments[0].base_offset() {
            self.truncate_fully_and_start_at(offset, now_ms)?;
            return Ok(offset);
        }
        while self.segments.back().is_some_and(|last| last.base_offset() > offset) {
            let segment = self.segments.pop_back().expect("just seen");
            self.dispose(segment)?;
        }
        let active = self.segments.back_mut().expect("the first segment begins at or before the offset");
        let size_before = active.size_in_bytes();
        let first_dropped =
            active.truncate_to(&mut self.store, offset, now_ms).map_err(LogError::storage(&self.topic_partition))?;
        self.size_in_bytes -= u64::from(size_before - active.size_in_bytes());
        self.store.reclaim().map_err(LogError::storage(&self.topic_partition))?;

        self.log_start = self.log_start.min(offset);
        // No record is left behind the first dropped batch's base, but offsets below the log start are never used again.
        self.log_end = first_dropped.map_or(offset, |base| base.min(offset)).max(self.log_start);
        self.high_watermark = self.high_watermark.min(self.log_end);
        self.epochs.truncate_from_end(self.log_end);
        self.rebuild_producer_state()?;
        self.debug_assert_invariants();
        Ok(self.log_end)
    }

    /// Drops everything; the next record gets `offset`.
    pub(crate) fn truncate_fully_and_start_at(&mut self, offset: Offset, now_ms: i64) -> Result<(), LogError> {
        while let Some(segment) = self.segments.pop_back() {
            self.dispose(segment)?;
        }
        self.store.reclaim().map_err(LogError::storage(&self.topic_partition))?;
        self.log_start = offset;
        self.high_watermark = offset;
        self.log_end = offset;
        self.first_unstable = None;
        self.epochs.clear();
        self.producers.clear();
        self.open_segment(offset, now_ms)?;
        self.debug_assert_invariants();
        Ok(())
    }

    fn rebuild_producer_state(&mut self) -> Result<(), LogError> {
        let rebuild = self.producers.truncate_to(self.log_end);
        if !rebuild.is_empty() {
            let mut unreadable = None;
            for segment in self.segments.range(self.segment_index(self.log_start)..) {
                segment
                    .scan_from(&self.store, self.log_start, |batch| {
                        let header = batch.header();
                        let Some(&last_active_ms) = rebuild.get(&header.producer_id()) else {
                            return ControlFlow::Continue(());
                        };
                        match end_txn_marker(batch) {
                            Ok(marker) if concerns_producer(header, marker) => {
                                self.producers.update(header, marker, last_active_ms);
                                ControlFlow::Continue(())
                            }
                            Ok(_) => ControlFlow::Continue(()),
                            Err(reason) => {
                                unreadable = Some((header.base_offset(), reason));
                                ControlFlow::Break(())
                            }
                        }
                    })
                    .map_err(LogError::storage(&self.topic_partition))?;
            }
            if let Some((base_offset, reason)) = unreadable {
                let topic_partition = self.topic_partition.clone();
                return Err(LogError::Unreadable { topic_partition, base_offset, reason });
            }
        }
        self.producers.on_high_watermark_updated(self.high_watermark);
        self.update_first_unstable();
        Ok(())
    }
}
