//! Giving up segments for their memory, whatever retention says.

use crate::log::LogError;
use crate::log::log::Log;
use crate::log::store::SegmentStore;

impl<S: SegmentStore> Log<S> {
    /// When the oldest segment was last appended to, in ms; `None` if it may not go: `cleanup.policy` does not include
    /// `delete`, or its records are not all replicated.
    pub(crate) fn releasable_since(&self) -> Option<i64> {
        let oldest = self.segments.front().expect("there is always an active segment");
        let end = self.segments.get(1).map_or(self.log_end, |next| next.base_offset());
        let may_go = self.config.cleanup_policy.delete && end <= self.high_watermark && !oldest.is_empty();
        may_go.then(|| oldest.last_modified_ms())
    }

    /// Deletes the oldest segment, if it may go, and frees its memory at once. The active one is rolled before.
    pub(crate) fn release_oldest(&mut self, now_ms: i64) -> Result<(), LogError> {
        if self.releasable_since().is_some() {
            let mut first = true;
            self.delete_while(now_ms, |_, _| std::mem::take(&mut first))?;
        }
        self.reclaim()
    }

    /// Begins a new segment once the active one holds this many bytes, so that they can be released without the ones
    /// that follow.
    pub(crate) fn roll_beyond(&mut self, bytes: u64, now_ms: i64) -> Result<(), LogError> {
        let active = self.segments.back().expect("there is always an active segment");
        if u64::from(active.size_in_bytes()) >= bytes { self.roll(self.log_end, now_ms) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::CleanupPolicy;
    use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, log_with};

    #[test]
    fn invariant_38_the_oldest_segment_is_released_as_a_whole_and_never_above_the_high_watermark() {
        let size = batch(1).size_in_bytes() as u64;
        let mut log = log_with(|_| {});
        assert_eq!(log.releasable_since(), None);
        for later in 0..5 {
            log.append_as_leader(batch(1), EPOCH, CLIENT, NOW_MS + later).unwrap();
            log.roll_beyond(2 * size, NOW_MS + later).unwrap();
        }
        assert_eq!((log.segment_bases(), log.releasable_since()), (vec![0, 2, 4], None));
        log.maybe_increment_high_watermark(3);
        assert_eq!(log.releasable_since(), Some(NOW_MS + 1));
        log.release_oldest(NOW_MS + 9).unwrap();
        assert_eq!((log.log_start(), log.all_bases(), log.releasable_since()), (2, vec![2, 3, 4], None));
        log.release_oldest(NOW_MS + 9).unwrap();
        assert_eq!(log.log_start(), 2);
        log.replicate_all();
        log.release_oldest(NOW_MS + 9).unwrap();
        assert_eq!((log.log_start(), log.size_in_bytes(), log.releasable_since()), (4, size, Some(NOW_MS + 4)));
        // The active segment goes, and offsets go on.
        log.release_oldest(NOW_MS + 9).unwrap();
        assert_eq!((log.log_start(), log.log_end(), log.size_in_bytes(), log.segment_bases()), (5, 5, 0, vec![5]));
        assert_eq!(log.append(batch(1)).unwrap().base_offset, 5);
    }

    #[test]
    fn compacted_topics_release_nothing() {
        let mut log = log_with(|config| config.cleanup_policy = CleanupPolicy { delete: false, compact: true });
        log.append(batch(1)).unwrap();
        log.replicate_all();
        assert_eq!(log.releasable_since(), None);
        log.release_oldest(NOW_MS).unwrap();
        assert_eq!(log.log_start(), 0);
    }
}
