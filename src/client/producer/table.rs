//! [`Table`]: grows, never shrinks, and is read without a lock.

use std::array;

use crate::util::sync::OnceLock;

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
    /// In place, because most tables never grow past it.
    first: [OnceLock<T>; FIRST_CHUNK],
    /// The chunks behind it.
    chunks: [OnceLock<Chunk<T>>; CHUNKS - 1],
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { first: array::from_fn(|_| OnceLock::new()), chunks: array::from_fn(|_| OnceLock::new()) }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match self.first.get(index) {
            Some(entry) => entry.get(),
            None => {
                let (chunk, at) = Self::position(index);
                self.chunks[chunk - 1].get()?[at].get()
            }
        }
    }

    pub(super) fn get_or_init(&self, index: usize, make: impl FnOnce() -> T) -> &T {
        if let Some(entry) = self.first.get(index) {
            return entry.get_or_init(make);
        }
        let (chunk, at) = Self::position(index);
        let new_chunk = || (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect();
        self.chunks[chunk - 1].get_or_init(new_chunk)[at].get_or_init(make)
    }

    /// Every entry there is, in order of index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.enumerate().map(|(_, entry)| entry)
    }

    /// Every entry there is, with its index, in order.
    pub(super) fn enumerate(&self) -> impl Iterator<Item = (usize, &T)> {
        let first_of = |chunk: usize| (FIRST_CHUNK << chunk) - FIRST_CHUNK;
        let further =
            (1..).zip(&self.chunks).filter_map(move |(chunk, entries)| Some((first_of(chunk), entries.get()?)));
        let all = (0..).zip(&self.first).chain(further.flat_map(|(first, entries)| (first..).zip(entries)));
        all.filter_map(|(index, entry)| Some((index, entry.get()?)))
    }

    /// The chunk, counting the first one, and the place in it.
    #[inline]
    fn position(index: usize) -> (usize, usize) {
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
        assert!(table.enumerate().all(|(index, entry)| index == *entry));
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
