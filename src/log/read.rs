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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::log::testing::{EPOCH, NOW_MS, batch, log_with, orders, transactional};
    use crate::log::{AppendOrigin, Log};
    use crate::record::{ControlRecord, EndTxnMarker};
    use crate::types::{ProducerEpoch, ProducerId};

    /// Batches 0..3, 3..4, 4..9, 9..11, two to a segment.
    fn log() -> Log {
        let mut log = log_with(|config| config.segment_bytes = 300);
        for count in [3, 1, 5, 2] {
            log.append(batch(count)).unwrap();
        }
        assert!(log.segment_bases().len() > 1);
        log
    }

    #[test]
    fn a_read_in_the_middle_of_a_batch_returns_all_of_it() {
        let log = log();
        for (start, bases) in [(0, &[0, 3, 4, 9][..]), (2, &[0, 3, 4, 9]), (3, &[3, 4, 9]), (8, &[4, 9]), (10, &[9])] {
            assert_eq!(log.read_bases(start, usize::MAX, 11, false), bases, "from {start}");
        }
        assert_eq!(log.read_bases(11, usize::MAX, 11, true), [0i64; 0]);
    }

    #[test]
    fn batches_across_the_end_are_not_visible() {
        let log = log();
        for (end, bases) in
            [(11, &[0, 3, 4, 9][..]), (10, &[0, 3, 4]), (9, &[0, 3, 4]), (8, &[0, 3]), (3, &[0]), (2, &[])]
        {
            assert_eq!(log.read_bases(0, usize::MAX, end, true), bases, "up to {end}");
        }
    }

    #[test]
    fn max_bytes_bounds_all_but_the_first_batch() {
        let log = log();
        let (first, second) = (batch(3).size_in_bytes(), batch(1).size_in_bytes());
        assert_eq!(log.read_bases(0, 1, 11, true), [0]);
        assert_eq!(log.read_bases(0, 1, 11, false), [0i64; 0]);
        assert_eq!(log.read_bases(0, first, 11, false), [0]);
        assert_eq!(log.read_bases(0, first + second - 1, 11, false), [0]);
        assert_eq!(log.read_bases(0, first + second, 11, false), [0, 3]);
        let mut batches = Vec::new();
        assert_eq!(log.read(0, first + second, 11, false, &mut batches), Ok(first + second));
    }

    #[test]
    fn bodies_are_shared_with_the_producer() {
        let mut log = log_with(|_| {});
        let batch = batch(3);
        let body = batch.body().clone();
        log.append(batch).unwrap();
        let mut batches = Vec::new();
        log.read(0, usize::MAX, 3, false, &mut batches).unwrap();
        assert_eq!(batches[0].body().as_ptr(), body.as_ptr());
    }

    #[test]
    fn offsets_outside_the_log_are_out_of_range() {
        let mut log = log();
        log.replicate_all();
        log.delete_records(4, NOW_MS).unwrap();
        for offset in [3, 12, -1] {
            let error = log.read(offset, 1, 11, true, &mut Vec::new()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
            assert_eq!(error, LogError::OffsetOutOfRange { topic_partition: orders(), offset, log: 4..11 });
            assert_eq!(error.to_string(), format!("offset {offset} is out of range for orders-3 (log is 4..11)"));
        }
    }

    #[test]
    fn aborted_transactions_are_listed_for_the_records_they_concern() {
        let mut log = log_with(|config| config.segment_bytes = 200);
        let end = |log: &mut Log, id, control| {
            let marker = EndTxnMarker { control, coordinator_epoch: 0 };
            let marker = marker.to_batch(NOW_MS, ProducerId(id), ProducerEpoch(0));
            log.append_as_leader(marker, EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
        };
        log.append(transactional(1, 0, 0, 2)).unwrap(); // 0, 1
        log.append(transactional(2, 0, 0, 1)).unwrap(); // 2
        end(&mut log, 1, ControlRecord::Abort); // 3
        log.append(transactional(1, 0, 2, 1)).unwrap(); // 4
        end(&mut log, 2, ControlRecord::Commit); // 5
        end(&mut log, 1, ControlRecord::Abort); // 6
        assert!(log.segment_bases().len() > 2);
        let first = AbortedTxn { producer_id: ProducerId(1), first_offset: 0, last_offset: 3, last_stable_offset: 2 };
        let second = AbortedTxn { producer_id: ProducerId(1), first_offset: 4, last_offset: 6, last_stable_offset: 7 };
        assert_eq!(log.aborted_transactions(0, 7), [first, second]);
        assert_eq!(log.aborted_transactions(0, 2), [first]);
        assert_eq!(log.aborted_transactions(4, 7), [second]);
        assert_eq!(log.aborted_transactions(2, 4), [first]);
    }
}
