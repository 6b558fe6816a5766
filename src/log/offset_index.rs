//! [`OffsetIndex`]: from an offset to a place in the segment not far before it.

use crate::types::Offset;

/// A sparse, ascending map from offsets to positions in a segment, as in Kafka's `.index` files: an entry holds the last
/// offset of a batch and where that batch begins.
#[derive(Debug, Default)]
pub(crate) struct OffsetIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Offset less the segment's base offset.
    relative_offset: u32,
    position: u32,
}

impl OffsetIndex {
    /// Bytes of an entry in Kafka's files.
    const ENTRY_SIZE: u32 = 8;

    pub(crate) fn reset(&mut self, base_offset: Offset) {
        self.base_offset = base_offset;
        self.entries.clear();
    }

    /// Notes that the batch that ends with `last_offset` begins at `position`. Both ascend from call to call.
    pub(crate) fn append(&mut self, last_offset: Offset, position: u32) {
        let entry = Entry { relative_offset: (last_offset - self.base_offset) as u32, position };
        debug_assert!(
            self.entries
                .last()
                .is_none_or(|last| { last.relative_offset < entry.relative_offset && last.position < entry.position })
        );
        self.entries.push(entry);
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn lookup(&self, offset: Offset) -> u32 {
        let behind =
            self.entries.partition_point(|entry| self.base_offset + i64::from(entry.relative_offset) <= offset);
        match behind.checked_sub(1) {
            Some(index) => self.entries[index].position,
            None => 0,
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

    #[inline]
    pub(crate) fn is_full(&self, max_bytes: u32) -> bool {
        self.entries.len() >= (max_bytes / Self::ENTRY_SIZE) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_find_the_last_entry_at_or_before() {
        let mut index = OffsetIndex::default();
        index.reset(100);
        assert_eq!(index.lookup(100), 0);
        index.append(109, 50);
        index.append(119, 150);
        let found: Vec<_> = [100, 108, 109, 110, 118, 119, 500].map(|offset| index.lookup(offset)).into();
        assert_eq!(found, [0, 0, 50, 50, 50, 150, 150]);
        index.truncate_to(119);
        assert_eq!(index.lookup(119), 50);
        index.reset(7);
        assert_eq!(index.lookup(119), 0);
    }

    #[test]
    fn is_full_after_as_many_entries_as_fit_a_file() {
        let mut index = OffsetIndex::default();
        index.append(1, 10);
        assert!(!index.is_full(23));
        index.append(2, 20);
        assert!(index.is_full(23));
    }
}
