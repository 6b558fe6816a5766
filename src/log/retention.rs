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
    /// Errors: `OFFSET_OUT_OF_RANGE` beyond the high watermark.
    pub(crate) fn delete_records(&mut self, before: Offset, now_ms: i64) -> Result<(), LogError> {
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

    fn reclaim(&mut self) -> Result<(), LogError> {
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
    fn delete_while(
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
