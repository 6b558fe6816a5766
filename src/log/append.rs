//! Appending: offsets, producer state, rolling.

use crate::log::log::Log;
use crate::log::producer_state::{CompletedTxn, end_txn_marker};
use crate::log::segment::RollParams;
use crate::log::store::SegmentStore;
use crate::log::txn_index::AbortedTxn;
use crate::log::validate::{check_size, recompresses_with, validate};
use crate::log::{LogError, Rejection};
use crate::record::{BatchHeader, EndTxnMarker, RecordBatch};
use crate::types::{CompressionType, LeaderEpoch, Offset, ProducerId, TimestampType};

/// Who made a batch, and so how much of it must be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendOrigin {
    /// A producer. `trusted` if the batch was made by this library in this process: its header and records agree, and
    /// its records are looked at one by one only where a setting of the topic asks for it.
    Client { trusted: bool },
    /// A coordinator of this process: trusted, without sequences, and the only one to write control batches.
    Coordinator,
}

/// What an append brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogAppendInfo {
    /// Offset of the first record; for a duplicate, the original's.
    pub(crate) base_offset: Offset,
    /// Offset of the last record; for a duplicate, the original's.
    pub(crate) last_offset: Offset,
    /// `Some` with `message.timestamp.type=LogAppendTime`: every record's timestamp.
    pub(crate) log_append_time: Option<i64>,
    /// Whether the batch had been appended before, and was not now.
    pub(crate) duplicate: bool,
}

impl<S: SegmentStore> Log<S> {
    /// Checks the batch as Kafka's leaders do, gives it the next offsets, and appends it. Nothing changes on an error,
    /// except after a failure of the store.
    ///
    /// Errors: `MESSAGE_TOO_LARGE`, `RECORD_LIST_TOO_LARGE`, `INVALID_TIMESTAMP`, `INVALID_RECORD`, `CORRUPT_MESSAGE`,
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`, `DUPLICATE_SEQUENCE_NUMBER`, `INVALID_PRODUCER_EPOCH`, `INVALID_TXN_STATE`,
    /// `TRANSACTION_COORDINATOR_FENCED`.
    #[cfg_attr(not(test), allow(dead_code, reason = "for tests and benches: partitions always reserve"))]
    pub(crate) fn append_as_leader(
        &mut self,
        batch: RecordBatch,
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<LogAppendInfo, LogError> {
        self.append_as_leader_if(batch, leader_epoch, origin, now_ms, |_| true)
    }

    /// As [`Log::append_as_leader`], but only if `reserve` finds room for the bytes as they are stored, which is asked of
    /// a batch that is right and new, last of all: a duplicate takes no room. `KAFKA_STORAGE_ERROR` if there is none.
    #[inline]
    pub(crate) fn append_as_leader_if(
        &mut self,
        mut batch: RecordBatch,
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        now_ms: i64,
        reserve: impl FnOnce(u64) -> bool,
    ) -> Result<LogAppendInfo, LogError> {
        if let Err(reason) = validate(&mut batch, &self.config, origin, now_ms) {
            return Err(self.rejected(reason));
        }
        let marker = match end_txn_marker(&batch) {
            Ok(marker) => marker,
            Err(reason) => return Err(self.rejected(Rejection::Record(reason))),
        };
        let by_append_time = self.config.timestamp_type == TimestampType::LogAppendTime;
        if concerns_producer(batch.header(), marker) {
            match self.producers.check(batch.header(), marker, origin) {
                Ok(None) => {}
                Ok(Some(original)) => {
                    return Ok(LogAppendInfo {
                        base_offset: original.base_offset(),
                        last_offset: original.last_offset(),
                        log_append_time: by_append_time.then(|| original.timestamp()),
                        duplicate: true,
                    });
                }
                Err(reason) => {
                    let (topic_partition, producer_id) = (self.topic_partition.clone(), batch.header().producer_id());
                    return Err(LogError::Producer { topic_partition, producer_id, reason });
                }
            }
        }
        let bytes = batch.size_in_bytes() as u64;
        if !reserve(bytes) {
            return Err(LogError::NoRoom { topic_partition: self.topic_partition.clone(), bytes });
        }
        let base_offset = self.log_end;
        batch.assign(base_offset, leader_epoch);
        self.push(batch, marker, now_ms)?;
        Ok(LogAppendInfo {
            base_offset,
            last_offset: self.log_end - 1,
            log_append_time: by_append_time.then_some(now_ms),
            duplicate: false,
        })
    }

    /// The codec that an append would recompress the batch with, if it would: work that is better done before, without
    /// whatever lock the log is under.
    #[inline]
    pub(crate) fn recompresses_with(&self, batch: &RecordBatch) -> Option<CompressionType> {
        recompresses_with(batch, &self.config).filter(|_| check_size(batch, &self.config).is_ok())
    }

    /// Appends a batch that a leader has checked and given its offsets, which may leave a gap behind the log end.
    pub(crate) fn append_as_follower(&mut self, batch: RecordBatch, now_ms: i64) -> Result<(), LogError> {
        let base_offset = batch.header().base_offset();
        if base_offset < self.log_end {
            let (topic_partition, log_end) = (self.topic_partition.clone(), self.log_end);
            return Err(LogError::OffsetsNotAscending { topic_partition, base_offset, log_end });
        }
        let marker = end_txn_marker(&batch).map_err(|reason| self.rejected(Rejection::Record(reason)))?;
        self.push(batch, marker, now_ms)
    }

    fn rejected(&self, reason: Rejection) -> LogError {
        LogError::Rejected { topic_partition: self.topic_partition.clone(), reason }
    }

    /// Adds a checked batch behind the others.
    #[inline]
    fn push(&mut self, batch: RecordBatch, marker: Option<EndTxnMarker>, now_ms: i64) -> Result<(), LogError> {
        let header = *batch.header();
        self.maybe_roll(&header, now_ms)?;
        let active = self.segments.back_mut().expect("there is always an active segment");
        active
            .append(&mut self.store, batch, self.config.index_interval_bytes, now_ms)
            .map_err(LogError::storage(&self.topic_partition))?;
        self.size_in_bytes += header.size_in_bytes() as u64;
        self.log_end = header.next_offset();
        self.epochs.assign(header.partition_leader_epoch(), header.base_offset());
        if concerns_producer(&header, marker) {
            if let Some(completed) = self.producers.update(&header, marker, now_ms) {
                self.index_completed(&completed);
            }
            self.update_first_unstable();
        }
        self.debug_assert_invariants();
        Ok(())
    }

    fn index_completed(&mut self, completed: &CompletedTxn) {
        let active = self.segments.back_mut().expect("there is always an active segment");
        if completed.aborted {
            active.transactions_mut().append(AbortedTxn {
                producer_id: completed.producer_id,
                first_offset: completed.first_offset,
                last_offset: completed.last_offset,
                last_stable_offset: self.producers.last_stable_offset_after(completed),
            });
        }
    }

    #[inline]
    fn maybe_roll(&mut self, header: &BatchHeader, now_ms: i64) -> Result<(), LogError> {
        let params = RollParams {
            segment_bytes: self.config.segment_bytes,
            segment_ms: self.config.roll_ms(),
            segment_index_bytes: self.config.segment_index_bytes,
            batch_size: header.size_in_bytes(),
            batch_max_timestamp: header.max_timestamp(),
            batch_last_offset: header.last_offset(),
            now_ms,
        };
        let active = self.segments.back().expect("there is always an active segment");
        if active.should_roll(&params) { self.roll(header.base_offset(), now_ms) } else { Ok(()) }
    }

    pub(super) fn roll(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), LogError> {
        self.open_segment(base_offset, now_ms)?;
        self.on_rolled(now_ms)
    }
}

/// Whether the batch changes what is known of its producer. Control records other than end markers do not.
#[inline]
pub(super) fn concerns_producer(header: &BatchHeader, marker: Option<EndTxnMarker>) -> bool {
    header.producer_id() != ProducerId::NONE && (marker.is_some() || !header.is_control())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::LogConfig;
    use crate::error::ErrorCode;
    use crate::log::ProducerStateError;
    use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, batch_at, log_with, orders, sequenced};
    use crate::types::ProducerEpoch;

    #[test]
    fn invariant_1_offsets_are_dense_and_begin_at_the_log_end() {
        let mut log = log_with(|config| config.segment_bytes = 300);
        let infos: Vec<_> = [3, 1, 5, 2].map(|count| log.append(batch(count)).unwrap()).into();
        let ranges: Vec<_> = infos.iter().map(|info| (info.base_offset, info.last_offset)).collect();
        assert_eq!(ranges, [(0, 2), (3, 3), (4, 8), (9, 10)]);
        assert_eq!(log.log_end(), 11);
        let mut batches = Vec::new();
        log.read(0, usize::MAX, 11, false, &mut batches).unwrap();
        let headers: Vec<_> =
            batches.iter().map(|batch| (batch.header().base_offset(), batch.header().next_offset())).collect();
        assert_eq!(headers, [(0, 3), (3, 4), (4, 9), (9, 11)]);
        assert!(batches.iter().all(|batch| batch.header().partition_leader_epoch() == EPOCH));
    }

    #[test]
    fn a_refused_batch_changes_nothing() {
        let mut log = log_with(|config| config.segment_bytes = 300);
        log.append(sequenced(7, 0, 0, 2)).unwrap();
        let error = log.append(sequenced(7, 0, 5, 2)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
        let reason = ProducerStateError::OutOfOrder { first: 5, last_known: 1 };
        assert_eq!(error, LogError::Producer { topic_partition: orders(), producer_id: ProducerId(7), reason });
        assert_eq!(
            error.to_string(),
            "batch of producer 7 for orders-3 is refused: sequence 5 does not follow the last known sequence 1"
        );
        assert_eq!((log.log_end(), log.segment_bases()), (2, vec![0]));
    }

    #[test]
    fn segments_roll_by_bytes() {
        let size = batch(1).size_in_bytes() as u32;
        let mut log = log_with(|config| config.segment_bytes = 2 * size);
        for _ in 0..5 {
            log.append(batch(1)).unwrap();
        }
        assert_eq!(log.segment_bases(), [0, 2, 4]);
        assert_eq!(log.size_in_bytes(), 5 * u64::from(size));
        assert_eq!(log.all_bases(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn segments_roll_by_the_distance_of_timestamps_from_the_first_batch() {
        let mut log = log_with(|config| config.segment_ms = 100);
        for timestamp in [1_000, 1_100, 1_101, 1_150, 900, 1_202] {
            log.append(batch_at(&[timestamp])).unwrap();
        }
        assert_eq!(log.segment_bases(), [0, 2, 5]);
    }

    #[test]
    fn without_timestamps_segments_roll_by_their_age() {
        let mut log = log_with(|config| config.segment_ms = 100);
        for later in [0, 100, 101] {
            log.append_as_leader(batch_at(&[-1]), EPOCH, CLIENT, NOW_MS + later).unwrap();
        }
        // The first timestamp is absent, so the age counts; an empty segment is never rolled for it.
        assert_eq!(log.segment_bases(), [0, 2]);
    }

    #[test]
    fn jitter_rolls_earlier_and_is_the_same_in_each_run() {
        let bases = || {
            let mut log = log_with(|config| (config.segment_ms, config.segment_jitter_ms) = (100, 100));
            for timestamp in (1_000..2_000).step_by(10) {
                log.append(batch_at(&[timestamp])).unwrap();
            }
            log.segment_bases()
        };
        assert_eq!(bases(), bases());
        assert!(bases().len() > 10, "{:?}", bases());
    }

    /// Jitter was bounded by `segment.ms` where `max.compaction.lag.ms` was the time to roll after, so that there was none
    /// left: each batch came into a segment of its own.
    #[test]
    fn jitter_leaves_time_where_the_compaction_lag_is_what_counts() {
        let compacted = |config: &mut LogConfig| {
            config.cleanup_policy.compact = true;
            config.max_compaction_lag_ms = 1_000;
        };
        let jittery = |config: &mut LogConfig| config.segment_jitter_ms = 60_000;
        let append_five = |log: &mut Log| {
            for _ in 0..5 {
                log.append(batch(1)).unwrap();
            }
        };
        let mut log = log_with(|config| (jittery(config), compacted(config)).1);
        append_five(&mut log);
        assert_eq!(log.segment_bases(), [0]);
        // Nor is there less than none where the lag is set once the segment is open.
        let mut log = log_with(jittery);
        let mut config = (**log.config()).clone();
        compacted(&mut config);
        log.update_config(Arc::new(config));
        append_five(&mut log);
        assert_eq!(log.segment_bases(), [0]);
        log.append(batch_at(&[NOW_MS + 1_001])).unwrap();
        assert_eq!(log.segment_bases(), [0, 5]);
    }

    #[test]
    fn segments_roll_when_an_index_is_full() {
        let bases = |timestamp: fn(i64) -> i64| {
            let mut log = log_with(|config| (config.segment_index_bytes, config.index_interval_bytes) = (48, 1));
            for index in 0..15 {
                log.append(batch_at(&[timestamp(index)])).unwrap();
            }
            log.segment_bases()
        };
        // The first batch of a segment gets no entry. 6 entries of 8 bytes fill the offset index, and 4 of 12 the time
        // index, where one is reserved.
        assert_eq!(bases(|_| 1_000), [0, 7, 14]);
        assert_eq!(bases(|index| 1_000 + index), [0, 4, 8, 12]);
    }

    #[test]
    fn segments_roll_before_a_relative_offset_overflows() {
        let mut log = log_with(|_| {});
        let at = |offset: Offset| {
            let mut batch = batch(1);
            batch.assign(offset, EPOCH);
            batch
        };
        let far = i64::from(i32::MAX);
        for offset in [0, far, far + 1, 3 * far] {
            log.append_as_follower(at(offset), NOW_MS).unwrap();
        }
        assert_eq!(log.segment_bases(), [0, far + 1, 3 * far]);
        assert_eq!(log.all_bases(), [0, far, far + 1, 3 * far]);
        assert_eq!(log.read_bases(1, usize::MAX, Offset::MAX, false), [far, far + 1, 3 * far]);
    }

    #[test]
    fn followers_take_the_offsets_and_epochs_they_are_given() {
        let mut log = log_with(|_| {});
        let mut replicated = sequenced(7, 1, 40, 2);
        replicated.assign(10, LeaderEpoch(5));
        log.append_as_follower(replicated.clone(), NOW_MS).unwrap();
        assert_eq!((log.log_end(), log.high_watermark(), log.latest_epoch()), (12, 0, Some(LeaderEpoch(5))));
        let error = log.append_as_follower(replicated, NOW_MS).unwrap_err();
        assert_eq!(error, LogError::OffsetsNotAscending { topic_partition: orders(), base_offset: 10, log_end: 12 });
        // It knows the producer well enough to lead.
        let info = log.append(sequenced(7, 1, 40, 2)).unwrap();
        assert_eq!((info.base_offset, info.duplicate), (10, true));
        let reason = ProducerStateError::Fenced { epoch: ProducerEpoch(0), current: ProducerEpoch(1) };
        let error = log.append(sequenced(7, 0, 0, 1)).unwrap_err();
        assert_eq!(error, LogError::Producer { topic_partition: orders(), producer_id: ProducerId(7), reason });
    }
}
