//! Reading whole batches.

use std::ops::ControlFlow;

use crate::log::LogError;
use crate::log::log::Log;
use crate::log::store::SegmentStore;
use crate::log::txn_index::AbortedTxn;
use crate::record::RecordBatch;
use crate::types::Offset;

impl<S: SegmentStore> Log<S> {
    /// Pushes the batches from the one that holds `start` on, as long as they end at or before `end` and take no more
    /// than `max_bytes` together; with `min_one` the first even if it is larger (KIP-74). Returns the bytes pushed.
    ///
    /// A batch is pushed whole, so its first records may lie before `start`. Bodies are shared, not copied.
    ///
    /// Errors: `OFFSET_OUT_OF_RANGE` for a start before the log start or behind the log end.
    pub(crate) fn read(
        &self,
        start: Offset,
        max_bytes: usize,
        end: Offset,
        min_one: bool,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<usize, LogError> {
        if start < self.log_start || start > self.log_end {
            return Err(self.out_of_range(start));
        }
        if start >= end {
            return Ok(0);
        }
        let mut bytes = 0;
        let mut go_on = ControlFlow::Continue(());
        for segment in self.segments.range(self.segment_index(start)..) {
            if go_on.is_break() {
                break;
            }
            segment
                .scan_from(&self.store, start, |batch| {
                    let size = batch.size_in_bytes();
                    let fits = bytes + size <= max_bytes || min_one && bytes == 0;
                    if batch.header().next_offset() > end || !fits {
                        go_on = ControlFlow::Break(());
                        return go_on;
                    }
                    bytes += size;
                    batches.push(batch.clone());
                    ControlFlow::Continue(())
                })
                .map_err(LogError::storage(&self.topic_partition))?;
        }
        Ok(bytes)
    }

    /// The aborted transactions that a `read_committed` reader of the records in `start..end` must know.
    pub(crate) fn aborted_transactions(&self, start: Offset, end: Offset) -> Vec<AbortedTxn> {
        let mut aborted = Vec::new();
        for segment in self.segments.range(self.segment_index(start)..) {
            for transaction in segment.transactions().entries() {
                if transaction.last_offset >= start && transaction.first_offset < end {
                    aborted.push(*transaction);
                }
                if transaction.last_stable_offset >= end {
                    return aborted;
                }
            }
        }
        aborted
    }

    pub(super) fn out_of_range(&self, offset: Offset) -> LogError {
        let topic_partition = self.topic_partition.clone();
        LogError::OffsetOutOfRange { topic_partition, offset, log: self.log_start..self.log_end }
    }

    /// The segment that holds `offset`, or would.
    #[inline]
    pub(super) fn segment_index(&self, offset: Offset) -> usize {
        // Readers mostly follow the end.
        let last = self.segments.len() - 1;
        if self.segments[last].base_offset() <= offset {
            return last;
        }
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }
}
