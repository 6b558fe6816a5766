//! [`LeaderEpochCache`]: which leader epoch begins where.

use crate::types::{LeaderEpoch, Offset};

/// The start offset of each leader epoch in the log (KIP-101, KIP-279), strictly ascending in both.
///
/// Grows by one entry an election; entries behind the log start are merged into one.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochCache {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl LeaderEpochCache {
    /// Notes that `epoch` begins at `start_offset`, unless it is known. Entries that contradict it are dropped.
    #[inline]
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        if self.entries.last().is_none_or(|&(last, _)| last != epoch) && epoch > LeaderEpoch::NONE {
            self.insert(epoch, start_offset);
        }
    }

    fn insert(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        let kept = self.entries.partition_point(|&(known, start)| known < epoch && start < start_offset);
        self.entries.truncate(kept);
        self.entries.push((epoch, start_offset));
    }

    /// The epoch of the last entry.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    /// The epoch of the record at `log_start`, or of the next one to come there.
    pub(crate) fn earliest(&self, log_start: Offset) -> Option<LeaderEpoch> {
        self.entries.first().filter(|&&(_, start)| start <= log_start).map(|&(epoch, _)| epoch)
    }

    /// OffsetForLeaderEpoch: the largest known epoch up to `epoch`, and where it ends. `None` for an epoch that is not
    /// known to have begun. For an epoch before all that are left, itself and where the first begins.
    pub(crate) fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch == LeaderEpoch::NONE {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|&(known, _)| known <= epoch);
        let &(_, end) = self.entries.get(higher)?;
        let floor = higher.checked_sub(1).map_or(epoch, |index| self.entries[index].0);
        Some((floor, end))
    }

    /// Drops the epochs that begin at `end_offset` or behind.
    pub(crate) fn truncate_from_end(&mut self, end_offset: Offset) {
        self.entries.truncate(self.entries.partition_point(|&(_, start)| start < end_offset));
    }

    /// Drops the epochs that end at or before `start_offset`, and lets the one that holds it begin there.
    pub(crate) fn truncate_from_start(&mut self, start_offset: Offset) {
        let behind = self.entries.partition_point(|&(_, start)| start <= start_offset);
        if let Some(holder) = behind.checked_sub(1) {
            self.entries[holder].1 = start_offset;
            self.entries.drain(..holder);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Epochs and where they begin.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, Offset)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for &(epoch, start) in entries {
            cache.assign(LeaderEpoch(epoch), start);
        }
        cache
    }

    fn entries(cache: &LeaderEpochCache) -> Vec<(i32, Offset)> {
        cache.entries().iter().map(|&(epoch, start)| (epoch.0, start)).collect()
    }

    #[test]
    fn an_epoch_is_noted_once_and_drops_what_contradicts_it() {
        assert_eq!(entries(&cache(&[(-1, 0), (0, 0), (0, 5), (2, 10)])), [(0, 0), (2, 10)]);
        assert_eq!(entries(&cache(&[(0, 0), (2, 10), (3, 10)])), [(0, 0), (3, 10)]);
        assert_eq!(entries(&cache(&[(0, 0), (2, 10), (1, 7)])), [(0, 0), (1, 7)]);
    }

    #[test]
    fn end_offsets_are_where_the_next_known_epoch_begins() {
        let cache = cache(&[(1, 4), (3, 10), (5, 20)]);
        let end = |epoch| cache.end_offset_for(LeaderEpoch(epoch), 33).map(|(epoch, end)| (epoch.0, end));
        assert_eq!(
            [-1, 0, 1, 2, 3, 4, 5, 6].map(end),
            [None, Some((0, 4)), Some((1, 10)), Some((1, 10)), Some((3, 20)), Some((3, 20)), Some((5, 33)), None]
        );
    }

    #[test]
    fn truncation_from_either_end() {
        let mut cache = cache(&[(1, 4), (3, 10), (5, 20)]);
        cache.truncate_from_start(12);
        assert_eq!(entries(&cache), [(3, 12), (5, 20)]);
        cache.truncate_from_end(20);
        assert_eq!(entries(&cache), [(3, 12)]);
        cache.truncate_from_start(11);
        assert_eq!(entries(&cache), [(3, 12)]);
    }
}
