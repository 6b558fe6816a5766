//! Retention: what is removed from the front of the log.

use crate::log::LogError;
use crate::log::log::Log;
use crate::log::segment::Segment;
use crate::log::store::SegmentStore;
use crate::types::Offset;

impl<S: SegmentStore> Log<S> {
    /// Deletes the segments that retention no longer wants: those below the log start, and with `cleanup.policy=delete`
    /// the oldest while the log keeps `retention.bytes` without them or their records are older than `retention.ms`.
    /// Never one that reaches past the high watermark. If all of them go, the active one included, a new one is opened
    /// at the log end. Returns how many went.
    pub(crate) fn delete_old_segments(&mut self, now_ms: i64) -> Result<usize, LogError> {
        let mut deleted = self.delete_below_log_start(now_ms)?;
        if self.config.cleanup_policy.delete {
            deleted += self.delete_by_size(now_ms)?;
            deleted += self.delete_by_time(now_ms)?;
        }
        self.reclaim()?;
        Ok(deleted)
    }

    /// Raises the log start to `before`; what lies below can no longer be read, and whole segments of it are freed.
    ///
    /// Errors: `OFFSET_OUT_OF_RANGE` beyond the high watermark, and for a negative offset.
    pub(crate) fn delete_records(&mut self, before: Offset, now_ms: i64) -> Result<(), LogError> {
        if before < 0 {
            return Err(self.out_of_range(before));
        }
        if before > self.high_watermark {
            let (topic_partition, high_watermark) = (self.topic_partition.clone(), self.high_watermark);
            return Err(LogError::BeyondHighWatermark { topic_partition, offset: before, high_watermark });
        }
        self.increment_log_start(before);
        self.delete_below_log_start(now_ms)?;
        self.reclaim()
    }

    /// Forgets the producers that have been idle for `producer.id.expiration.ms`. What they last wrote being deleted is
    /// no reason to forget them (KIP-360).
    pub(crate) fn remove_expired_producers(&mut self, now_ms: i64) {
        self.producers.remove_expired(now_ms, self.config.producer_id_expiration_ms);
    }

    /// Size retention at each roll: Kafka looks every five minutes (`log.retention.check.interval.ms`), which a disk can
    /// wait for; memory cannot.
    pub(super) fn on_rolled(&mut self, now_ms: i64) -> Result<(), LogError> {
        if self.config.cleanup_policy.delete && self.config.retention_bytes.is_some() {
            self.delete_by_size(now_ms)?;
        }
        Ok(())
    }

    /// Frees what deleted segments still hold.
    pub(crate) fn reclaim(&mut self) -> Result<(), LogError> {
        self.store.reclaim().map_err(LogError::storage(&self.topic_partition))
    }

    fn delete_below_log_start(&mut self, now_ms: i64) -> Result<usize, LogError> {
        let log_start = self.log_start;
        self.delete_while(now_ms, |_, end| end <= log_start)
    }

    fn delete_by_size(&mut self, now_ms: i64) -> Result<usize, LogError> {
        let Some(mut excess) = self.config.retention_bytes.and_then(|bytes| self.size_in_bytes.checked_sub(bytes))
        else {
            return Ok(0);
        };
        self.delete_while(now_ms, |segment, _| match excess.checked_sub(u64::from(segment.size_in_bytes())) {
            Some(rest) => {
                excess = rest;
                true
            }
            None => false,
        })
    }

    fn delete_by_time(&mut self, now_ms: i64) -> Result<usize, LogError> {
        let Some(retention_ms) = self.config.retention_ms else {
            return Ok(0);
        };
        self.delete_while(now_ms, |segment, _| now_ms.saturating_sub(segment.largest_timestamp()) > retention_ms)
    }

    /// Deletes segments from the oldest on while `breached` holds of them and of the offset at which they end.
    pub(super) fn delete_while(
        &mut self,
        now_ms: i64,
        mut breached: impl FnMut(&Segment<S::Segment>, Offset) -> bool,
    ) -> Result<usize, LogError> {
        let ends = self.segments.iter().skip(1).map(Segment::base_offset).chain([self.log_end]);
        let count = self
            .segments
            .iter()
            .zip(ends)
            .take_while(|(segment, end)| {
                // A segment without records is the active one: there is nothing to delete.
                *end <= self.high_watermark && !segment.is_empty() && breached(segment, *end)
            })
            .count();
        if count == 0 {
            return Ok(0);
        }
        if count == self.segments.len() {
            self.open_segment(self.log_end, now_ms)?;
        }
        self.increment_log_start(self.segments[count].base_offset());
        for _ in 0..count {
            let segment = self.segments.pop_front().expect("one more than is deleted");
            self.dispose(segment)?;
        }
        self.debug_assert_invariants();
        Ok(count)
    }

    fn increment_log_start(&mut self, log_start: Offset) {
        if log_start > self.log_start {
            self.log_start = log_start;
            self.epochs.truncate_from_start(log_start);
            self.producers.on_log_start_incremented(log_start);
            self.update_first_unstable();
            self.debug_assert_invariants();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::CleanupPolicy;
    use crate::error::ErrorCode;
    use crate::log::segment::Indexes;
    use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, batch_at, log_with, orders, sequenced};
    use crate::log::{Log, LogError};
    use crate::record::{BatchBuilder, SealOptions};
    use crate::util::block_pool::BlockPool;

    fn segment_of(batches: u32) -> u32 {
        batches * batch(1).size_in_bytes() as u32
    }

    fn fill(log: &mut Log, batches: usize) {
        for _ in 0..batches {
            log.append(batch(1)).unwrap();
            log.replicate_all();
        }
    }

    #[test]
    fn invariant_38_time_retention_deletes_a_prefix_of_whole_segments() {
        let mut log = log_with(|config| {
            (config.segment_bytes, config.retention_ms) = (segment_of(2), Some(100));
        });
        for timestamp in [1_000, 1_010, 1_020, 1_005, 1_001, 1_002, 1_090] {
            log.append(batch_at(&[timestamp])).unwrap();
        }
        log.replicate_all();
        assert_eq!(log.segment_bases(), [0, 2, 4, 6]);
        assert_eq!(log.delete_old_segments(1_110), Ok(0));
        assert_eq!(log.delete_old_segments(1_111), Ok(1));
        assert_eq!((log.log_start(), log.segment_bases()), (2, vec![2, 4, 6]));
        // The third is old enough as well, but not before the second.
        assert_eq!(log.delete_old_segments(1_120), Ok(0));
        assert_eq!(log.delete_old_segments(1_121), Ok(2));
        assert_eq!((log.log_start(), log.all_bases()), (6, vec![6]));
        assert_eq!(log.delete_old_segments(1_190), Ok(0));
        // The active segment goes when all of it is too old, and offsets go on.
        assert_eq!(log.delete_old_segments(1_191), Ok(1));
        assert_eq!((log.log_start(), log.log_end(), log.size_in_bytes()), (7, 7, 0));
        assert_eq!(log.delete_old_segments(i64::MAX), Ok(0));
        assert_eq!(log.append(batch(1)).unwrap().base_offset, 7);
        assert_eq!(log.segment_bases(), [7]);
    }

    #[test]
    fn records_without_a_timestamp_age_from_their_append() {
        let mut log = log_with(|config| config.retention_ms = Some(100));
        log.append_as_leader(batch_at(&[-1]), EPOCH, CLIENT, NOW_MS + 50).unwrap();
        log.replicate_all();
        assert_eq!(log.delete_old_segments(NOW_MS + 150), Ok(0));
        assert_eq!(log.delete_old_segments(NOW_MS + 151), Ok(1));
    }

    #[test]
    fn invariant_38_nothing_at_or_behind_the_high_watermark_is_deleted() {
        let mut log = log_with(|config| {
            (config.segment_bytes, config.retention_ms) = (segment_of(2), Some(0));
        });
        for _ in 0..5 {
            log.append(batch(1)).unwrap();
        }
        log.maybe_increment_high_watermark(3);
        assert_eq!(log.delete_old_segments(i64::MAX), Ok(1));
        assert_eq!((log.log_start(), log.high_watermark(), log.log_end()), (2, 3, 5));
        assert_eq!(log.all_bases(), [2, 3, 4]);
    }

    #[test]
    fn size_retention_acts_at_each_roll_and_keeps_at_least_its_bytes() {
        let mut log = log_with(|config| {
            (config.segment_bytes, config.retention_bytes) = (segment_of(2), Some(u64::from(segment_of(3))));
        });
        fill(&mut log, 6);
        // Without the oldest segment less would have been left.
        assert_eq!((log.segment_bases(), log.log_start()), (vec![0, 2, 4], 0));
        fill(&mut log, 1);
        assert_eq!((log.segment_bases(), log.log_start()), (vec![2, 4, 6], 2));
        assert_eq!(log.size_in_bytes(), u64::from(segment_of(5)));
        // Now just as much is left as is to be kept.
        assert_eq!(log.delete_old_segments(NOW_MS), Ok(1));
        assert_eq!((log.size_in_bytes(), log.log_start()), (u64::from(segment_of(3)), 4));
    }

    #[test]
    fn a_large_segments_indexes_are_not_kept() {
        let batches = Indexes::MOST_SPARE_ENTRIES;
        for (batches, is_kept) in [(batches / 2, true), (2 * batches, false)] {
            let mut log = log_with(|config| config.index_interval_bytes = 1);
            fill(&mut log, batches);
            log.delete_records(batches as i64, NOW_MS).unwrap();
            assert_eq!(log.spare_indexes.is_some(), is_kept, "{batches} batches");
        }
    }

    #[test]
    fn a_compacted_topic_keeps_what_is_old() {
        let mut log = log_with(|config| {
            config.cleanup_policy = CleanupPolicy { delete: false, compact: true };
            (config.segment_bytes, config.retention_ms, config.retention_bytes) = (segment_of(1), Some(0), Some(0));
        });
        fill(&mut log, 4);
        assert_eq!(log.delete_old_segments(i64::MAX), Ok(0));
        assert_eq!(log.all_bases(), [0, 1, 2, 3]);
    }

    #[test]
    fn invariant_38_delete_records_raises_the_log_start() {
        let mut log = log_with(|config| config.segment_bytes = segment_of(2));
        for _ in 0..5 {
            log.append(batch(1)).unwrap();
        }
        log.maybe_increment_high_watermark(4);
        log.delete_records(3, NOW_MS).unwrap();
        assert_eq!((log.log_start(), log.segment_bases(), log.all_bases()), (3, vec![2, 4], vec![3, 4]));
        log.delete_records(1, NOW_MS).unwrap();
        assert_eq!(log.log_start(), 3);
        let error = log.delete_records(5, NOW_MS).unwrap_err();
        assert_eq!(error, LogError::BeyondHighWatermark { topic_partition: orders(), offset: 5, high_watermark: 4 });
        assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
        log.replicate_all();
        log.delete_records(5, NOW_MS).unwrap();
        assert_eq!((log.log_start(), log.size_in_bytes(), log.segment_bases()), (5, 0, vec![5]));
    }

    #[test]
    fn producers_outlive_their_records_but_not_their_expiry() {
        let mut log = log_with(|config| (config.retention_ms, config.producer_id_expiration_ms) = (Some(0), 1_000));
        log.append(sequenced(7, 0, 0, 3)).unwrap();
        log.replicate_all();
        assert_eq!(log.delete_old_segments(NOW_MS + 1), Ok(1));
        assert!(log.append(sequenced(7, 0, 0, 3)).unwrap().duplicate);
        log.remove_expired_producers(NOW_MS + 999);
        assert_eq!(log.producer_count(), 1);
        log.remove_expired_producers(NOW_MS + 1_000);
        assert_eq!(log.producer_count(), 0);
        let info = log.append(sequenced(7, 0, 40, 1)).unwrap();
        assert_eq!((info.base_offset, info.duplicate), (3, false));
    }

    #[test]
    fn a_steady_stream_under_retention_draws_its_memory_from_what_it_frees() {
        const BLOCK: usize = 1024;
        // Room for far fewer blocks than a segment holds: a segment that was dropped at once would overflow it.
        let pool = BlockPool::new(BLOCK, 8);
        let fill_block = |options| {
            let mut builder = BatchBuilder::new(pool.take());
            while builder.try_append(NOW_MS, None, Some(&[7; 100]), std::iter::empty()).is_some() {}
            builder.seal(options).unwrap()
        };
        let batch_size = fill_block(SealOptions::default()).size_in_bytes() as u32;
        let mut log = log_with(|config| {
            (config.segment_bytes, config.retention_bytes) = (50 * batch_size, Some(u64::from(100 * batch_size)));
        });
        let mut blocks = std::collections::HashSet::new();
        for round in 0..2_000 {
            let batch = fill_block(SealOptions::default());
            let is_new = blocks.insert(batch.body().as_ptr());
            assert!(!is_new || round < 300, "fresh memory in round {round}");
            log.append(batch).unwrap();
            log.replicate_all();
        }
        assert!(blocks.len() < 220, "{} blocks", blocks.len());
    }
}
