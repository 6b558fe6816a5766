//! [`TimeIndex`]: from a timestamp to an offset before which nothing is as late.

use crate::types::{NO_TIMESTAMP, Offset};

/// A sparse, ascending map from timestamps to offsets, as in Kafka's `.timeindex` files: an entry says that the largest
/// timestamp so far was first reached in the batch that ends with that offset.
///
/// Timestamps need not ascend in the log; the largest so far does.
#[derive(Debug, Default)]
pub(crate) struct TimeIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    timestamp: i64,
    /// Offset less the segment's base offset.
    relative_offset: u32,
}

impl TimeIndex {
    /// Bytes of an entry in Kafka's files.
    const ENTRY_SIZE: u32 = 12;

    pub(crate) fn reset(&mut self, base_offset: Offset) {
        self.base_offset = base_offset;
        self.entries.clear();
    }

    /// Notes that `timestamp`, the largest so far, was first reached in the batch that ends with `last_offset`. Nothing
    /// happens if that is no later than the last entry.
    pub(crate) fn maybe_append(&mut self, timestamp: i64, last_offset: Offset) {
        let last = self.entries.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp);
        if timestamp > last {
            self.entries.push(Entry { timestamp, relative_offset: (last_offset - self.base_offset) as u32 });
        }
    }

    /// The offset of the last entry at or before `timestamp`: all records in batches before the one that holds it are
    /// earlier than `timestamp`.
    pub(crate) fn lookup(&self, timestamp: i64) -> Offset {
        let behind = self.entries.partition_point(|entry| entry.timestamp <= timestamp);
        match behind.checked_sub(1) {
            Some(index) => self.base_offset + i64::from(self.entries[index].relative_offset),
            None => self.base_offset,
        }
    }

    /// Entries that it has memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Drops the entries at `offset` and behind.
    pub(crate) fn truncate_to(&mut self, offset: Offset) {
        let base_offset = self.base_offset;
        self.entries
            .truncate(self.entries.partition_point(|entry| base_offset + i64::from(entry.relative_offset) < offset));
    }

    /// One entry is kept free for the one that ends a segment.
    #[inline]
    pub(crate) fn is_full(&self, max_bytes: u32) -> bool {
        self.entries.len() + 1 >= (max_bytes / Self::ENTRY_SIZE) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_later_timestamps_and_finds_the_last_at_or_before() {
        let mut index = TimeIndex::default();
        index.reset(100);
        assert_eq!(index.lookup(5), 100);
        index.maybe_append(1_000, 109);
        index.maybe_append(1_000, 119);
        index.maybe_append(900, 129);
        index.maybe_append(2_000, 139);
        let found: Vec<_> = [999, 1_000, 1_999, 2_000, 9_999].map(|timestamp| index.lookup(timestamp)).into();
        assert_eq!(found, [100, 109, 109, 139, 139]);
        index.truncate_to(139);
        assert_eq!(index.lookup(9_999), 109);
    }
}
