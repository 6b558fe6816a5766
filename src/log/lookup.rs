//! Finding records by time: ListOffsets.

use std::ops::ControlFlow;

use crate::log::LogError;
use crate::log::log::Log;
use crate::log::store::SegmentStore;
use crate::record::RecordBatch;
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset};

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimestampAndOffset {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    /// Epoch of the leader that appended the record.
    pub(crate) leader_epoch: LeaderEpoch,
}

impl<S: SegmentStore> Log<S> {
    /// The first record before `end` whose timestamp is at least `timestamp`.
    pub(crate) fn offset_for_timestamp(
        &self,
        timestamp: i64,
        end: Offset,
    ) -> Result<Option<TimestampAndOffset>, LogError> {
        let range = self.log_start..end;
        let mut found = Ok(None);
        for segment in self.segments.range(self.segment_index(self.log_start)..) {
            if segment.max_timestamp() < timestamp {
                continue;
            }
            segment
                .scan_from_timestamp(&self.store, timestamp, self.log_start, |batch| {
                    let header = batch.header();
                    if header.base_offset() >= end {
                        return ControlFlow::Break(());
                    }
                    if header.max_timestamp() < timestamp {
                        return ControlFlow::Continue(());
                    }
                    found = self.first_record(batch, |offset, time| range.contains(&offset) && time >= timestamp);
                    if matches!(found, Ok(None)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .map_err(LogError::storage(&self.topic_partition))?;
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        found
    }

    /// The record before `end` with the largest timestamp, the first of equals. Records without a timestamp do not count.
    pub(crate) fn max_timestamp(&self, end: Offset) -> Result<Option<TimestampAndOffset>, LogError> {
        let range = self.log_start..end;
        let mut max: Option<TimestampAndOffset> = None;
        for segment in self.segments.range(self.segment_index(self.log_start)..) {
            let beaten = |timestamp: i64| timestamp <= max.map_or(NO_TIMESTAMP, |max| max.timestamp);
            if beaten(segment.max_timestamp()) {
                continue;
            }
            // A segment that lies in the range has its maximum where its time index says; in one across an end of the range
            // that record may be out of range.
            let inside = segment.base_offset() >= range.start && segment.max_timestamp_offset() < end;
            let from = if inside { segment.max_timestamp_offset() } else { range.start };
            let mut found = Ok(None);
            segment
                .scan_from(&self.store, from, |batch| {
                    let header = batch.header();
                    if header.base_offset() >= end {
                        return ControlFlow::Break(());
                    }
                    let so_far = match &found {
                        Ok(found) => found.or(max).map_or(NO_TIMESTAMP, |max: TimestampAndOffset| max.timestamp),
                        Err(_) => return ControlFlow::Break(()),
                    };
                    if header.max_timestamp() > so_far {
                        match self.max_record(batch, so_far, |offset| range.contains(&offset)) {
                            Ok(None) => {}
                            other => found = other,
                        }
                    }
                    ControlFlow::Continue(())
                })
                .map_err(LogError::storage(&self.topic_partition))?;
            max = found?.or(max);
        }
        Ok(max)
    }

    fn first_record(
        &self,
        batch: &RecordBatch,
        wanted: impl Fn(Offset, i64) -> bool,
    ) -> Result<Option<TimestampAndOffset>, LogError> {
        self.fold_records(batch, None, |found, record| {
            found.or_else(|| wanted(record.offset, record.timestamp).then_some(record))
        })
    }

    /// The first of the records with the largest timestamp, if that is later than `later_than`.
    fn max_record(
        &self,
        batch: &RecordBatch,
        later_than: i64,
        wanted: impl Fn(Offset) -> bool,
    ) -> Result<Option<TimestampAndOffset>, LogError> {
        self.fold_records(batch, None, |max: Option<TimestampAndOffset>, record| {
            let so_far = max.map_or(later_than, |max| max.timestamp);
            if wanted(record.offset) && record.timestamp > so_far { Some(record) } else { max }
        })
    }

    fn fold_records<T>(
        &self,
        batch: &RecordBatch,
        init: T,
        mut fold: impl FnMut(T, TimestampAndOffset) -> T,
    ) -> Result<T, LogError> {
        let unreadable = |reason| LogError::Unreadable {
            topic_partition: self.topic_partition.clone(),
            base_offset: batch.header().base_offset(),
            reason,
        };
        let leader_epoch = batch.header().partition_leader_epoch();
        let mut records = batch.records().map_err(unreadable)?;
        let mut state = init;
        while let Some(record) = records.next_record() {
            let record = record.map_err(unreadable)?;
            let (offset, timestamp) = (record.offset(), record.timestamp());
            state = fold(state, TimestampAndOffset { offset, timestamp, leader_epoch });
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{EPOCH, NOW_MS, batch_at, log_with};

    fn found(offset: Offset, timestamp: i64) -> Option<TimestampAndOffset> {
        Some(TimestampAndOffset { offset, timestamp, leader_epoch: EPOCH })
    }

    /// Timestamps that do not ascend, over several segments, with an index entry for nearly every batch and with none.
    fn logs() -> [Log; 2] {
        [1, u32::MAX].map(|index_interval_bytes| {
            let mut log = log_with(|config| {
                (config.segment_bytes, config.index_interval_bytes) = (330, index_interval_bytes);
            });
            for timestamps in [&[50, 40, 60][..], &[10, 20], &[60, 5], &[70, 90, 80], &[30], &[90, 85], &[-1], &[95, 1]]
            {
                log.append(batch_at(timestamps)).unwrap();
            }
            assert!(log.segment_bases().len() > 2, "{:?}", log.segment_bases());
            log.replicate_all();
            log
        })
    }

    #[test]
    fn invariant_39_the_first_record_at_or_after_a_timestamp() {
        for log in logs() {
            let at = |timestamp| log.offset_for_timestamp(timestamp, log.log_end()).unwrap();
            assert_eq!([0, 45, 50].map(at), [found(0, 50); 3]);
            assert_eq!([51, 60].map(at), [found(2, 60); 2]);
            assert_eq!([61, 70].map(at), [found(7, 70); 2]);
            assert_eq!([71, 90].map(at), [found(8, 90); 2]);
            assert_eq!([91, 95].map(at), [found(14, 95); 2]);
            assert_eq!(at(96), None);
        }
    }

    #[test]
    fn invariant_39_deleted_and_invisible_records_do_not_count() {
        for mut log in logs() {
            // In the middle of the batch 7..10, and its record at 90 is gone.
            log.delete_records(9, NOW_MS).unwrap();
            let at = |timestamp, end| log.offset_for_timestamp(timestamp, end).unwrap();
            assert_eq!(at(0, 16), found(9, 80));
            assert_eq!(at(81, 16), found(11, 90));
            assert_eq!(at(81, 11), None);
            assert_eq!(log.max_timestamp(16).unwrap(), found(14, 95));
            assert_eq!(log.max_timestamp(14).unwrap(), found(11, 90));
            assert_eq!(log.max_timestamp(11).unwrap(), found(9, 80));
            assert_eq!(log.max_timestamp(9).unwrap(), None);
        }
    }

    #[test]
    fn invariant_39_the_first_of_the_latest_records() {
        for log in logs() {
            assert_eq!(log.max_timestamp(16).unwrap(), found(14, 95));
            assert_eq!(log.max_timestamp(14).unwrap(), found(8, 90));
            assert_eq!(log.max_timestamp(7).unwrap(), found(2, 60));
            assert_eq!(log.max_timestamp(2).unwrap(), found(0, 50));
        }
        let mut log = log_with(|_| {});
        assert_eq!(log.max_timestamp(0).unwrap(), None);
        log.append(batch_at(&[-1, -1])).unwrap();
        assert_eq!(log.max_timestamp(2).unwrap(), None);
        assert_eq!(log.offset_for_timestamp(0, 2).unwrap(), None);
    }
}
