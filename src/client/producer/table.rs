//! [`Table`]: grows, never shrinks, and is read without a lock.

use std::sync::OnceLock;

/// Entries in the first chunk; each further chunk holds as many as all before it, and this many more.
const FIRST_CHUNK: usize = 8;
const FIRST_CHUNK_BITS: u32 = FIRST_CHUNK.trailing_zeros();
/// Enough for any index that fits an `i32`.
const CHUNKS: usize = 31 - FIRST_CHUNK_BITS as usize + 1;

type Chunk<T> = Box<[OnceLock<T>]>;

/// A sparse array whose entries are made once and stay where they are, so that `send` finds a topic or a partition with
/// two loads.
#[derive(Debug)]
pub(super) struct Table<T> {
    chunks: [OnceLock<Chunk<T>>; CHUNKS],
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, at) = Self::position(index);
        self.chunks[chunk].get()?[at].get()
    }

    pub(super) fn get_or_init(&self, index: usize, make: impl FnOnce() -> T) -> &T {
        let (chunk, at) = Self::position(index);
        let entries = self.chunks[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect());
        entries[at].get_or_init(make)
    }

    /// Every entry there is, in order of index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().filter_map(OnceLock::get).flatten().filter_map(OnceLock::get)
    }

    #[inline]
    fn position(index: usize) -> (usize, usize) {
        // Most tables never grow past their first chunk.
        if index < FIRST_CHUNK {
            return (0, index);
        }
        let shifted = index + FIRST_CHUNK;
        let chunk = shifted.ilog2() - FIRST_CHUNK_BITS;
        (chunk as usize, shifted - (FIRST_CHUNK << chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_made_once_and_found_again() {
        let table = Table::new();
        let indexes = [0, 7, 8, 23, 24, 1_000_003];
        for index in indexes {
            assert_eq!(table.get(index), None);
            assert_eq!(*table.get_or_init(index, || index), index);
            assert_eq!(*table.get_or_init(index, || 0), index);
            assert_eq!(table.get(index), Some(&index));
        }
        assert_eq!(table.iter().copied().collect::<Vec<_>>(), indexes);
    }

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(Table::<()>::position(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(Table::<()>::position(i32::MAX as usize).0 < CHUNKS);
    }
}
