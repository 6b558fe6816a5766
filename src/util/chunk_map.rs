//! [`ChunkMap`]: an ordered map whose clones share what they have in common.
//!
//! Entries lie in order in chunks of at most [`MAX_CHUNK`]; a clone is one reference count, and a change copies the one
//! chunk that it falls into and the list of chunks. With n entries that is n / 64 + 128 reference counts, where a cloned
//! `BTreeMap` takes all n: the cluster's metadata can be republished for each of many thousand topics.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Large enough that the list of chunks stays short, small enough that copying one is cheap.
const MAX_CHUNK: usize = 128;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// See the module's documentation.
pub(crate) struct ChunkMap<K, V> {
    /// None is empty; their keys ascend, within a chunk and from one to the next.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> ChunkMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In order of key.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Box::new(self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value))))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, _)| key))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(_, value)| value))
    }
}

impl<K: Ord, V> ChunkMap<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub(crate) fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let index = position(chunk, key).ok()?;
        chunk.get(index).map(|(key, value)| (key, value))
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The entries of `self` and of `other` that lie in chunks which the two do not share, each in order: whatever
    /// differs is among them, and few others are.
    pub(crate) fn unshared<'a>(&'a self, other: &'a Self) -> (Entries<'a, K, V>, Entries<'a, K, V>) {
        let (mut left, mut right) = (self.chunks.iter().peekable(), other.chunks.iter().peekable());
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        loop {
            // A chunk that both have has the same first key in both, so the two meet there.
            let order = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) => l[0].0.cmp(&r[0].0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return (mine, theirs),
            };
            let l = if order.is_le() { left.next() } else { None };
            let r = if order.is_ge() { right.next() } else { None };
            if let (Some(l), Some(r)) = (l, r)
                && Arc::ptr_eq(l, r)
            {
                continue;
            }
            mine.extend(l.into_iter().flat_map(|chunk| chunk.iter()));
            theirs.extend(r.into_iter().flat_map(|chunk| chunk.iter()));
        }
    }

    /// The chunk that the key is in, if it is anywhere.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key).saturating_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    /// Returns the value that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(index) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let entries = Arc::make_mut(chunk);
        match position(entries, &key) {
            Ok(at) => return Some(std::mem::replace(&mut entries[at].1, value)),
            Err(at) => entries.insert(at, (key, value)),
        }
        self.len += 1;
        if entries.len() > MAX_CHUNK {
            let upper = entries.split_off(MAX_CHUNK / 2);
            chunks.insert(index + 1, Arc::new(upper));
        }
        None
    }

    /// Returns the value that was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let at = position(self.chunks.get(index)?, key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let entries = Arc::make_mut(&mut chunks[index]);
        let (_, value) = entries.remove(at);
        self.len -= 1;
        // Two small neighbours become one, so that the list of chunks shrinks with the map.
        let left = entries.len();
        if left == 0 {
            chunks.remove(index);
        } else if let Some(next) = chunks.get(index + 1)
            && left + next.len() <= MAX_CHUNK / 2
        {
            let next = chunks.remove(index + 1);
            Arc::make_mut(&mut chunks[index]).extend(next.iter().cloned());
        }
        Some(value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let at = position(self.chunks.get(index)?, key).ok()?;
        let chunk = &mut Arc::make_mut(&mut self.chunks)[index];
        Some(&mut Arc::make_mut(chunk)[at].1)
    }
}

pub(crate) type Entries<'a, K, V> = Vec<&'a (K, V)>;
pub(crate) type Iter<'a, K, V> = Box<dyn Iterator<Item = (&'a K, &'a V)> + 'a>;

fn position<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|(probe, _)| probe.borrow().cmp(key))
}

impl<'a, K, V> IntoIterator for &'a ChunkMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> Clone for ChunkMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

/// Where the chunks begin and end is not part of the value.
impl<K: PartialEq, V: PartialEq> PartialEq for ChunkMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks) || self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for ChunkMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ChunkMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::util::testing::cases;

    fn filled(count: u32) -> ChunkMap<u32, u32> {
        let mut map = ChunkMap::default();
        for key in 0..count {
            map.insert(key, key);
        }
        map
    }

    /// What the structure is for: one insertion into a large map touches one chunk and the list of them.
    #[test]
    #[cfg_attr(miri, ignore = "safe code, step by step")]
    fn a_change_shares_all_but_one_chunk() {
        let before = filled(10_000);
        let mut after = before.clone();
        after.insert(20_000, 0);
        let (old, new) = before.unshared(&after);
        assert!(old.len() <= MAX_CHUNK && new.len() <= MAX_CHUNK + 1, "{} and {}", old.len(), new.len());
        assert!(before.chunks.len() <= 10_000 / (MAX_CHUNK / 2) + 1);
        assert_eq!((before.len(), after.len()), (10_000, 10_001));
        assert_eq!(before, filled(10_000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "safe code, step by step")]
    fn emptying_leaves_no_chunk() {
        let mut map = filled(1000);
        for key in 0..1000 {
            assert_eq!(map.remove(&key), Some(key));
            assert!(map.chunks.len() <= 1 + map.len() / (MAX_CHUNK / 4));
        }
        assert!(map.is_empty() && map.chunks.is_empty());
        assert_eq!(map.remove(&0), None);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        #[cfg_attr(miri, ignore = "safe code, step by step")]
        fn it_is_a_btree_map(
            operations in proptest::collection::vec((any::<bool>(), 0..400_u32, any::<u32>()), 0..2000)
        ) {
            let (mut map, mut model) = (ChunkMap::default(), BTreeMap::new());
            let mut snapshots = Vec::new();
            for (step, (insert, key, value)) in operations.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                if let (Some(mine), Some(models)) = (map.get_mut(&(key / 2)), model.get_mut(&(key / 2))) {
                    (*mine, *models) = (value / 2, value / 2);
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.len(), model.len());
                if step % 500 == 0 {
                    snapshots.push((map.clone(), model.clone()));
                }
            }
            snapshots.push((map.clone(), model));
            for (snapshot, model) in &snapshots {
                prop_assert!(snapshot.iter().eq(model.iter()));
                prop_assert!(snapshot.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MAX_CHUNK));
                // Whatever differs is found without looking at what is shared.
                let (old, new) = snapshot.unshared(&map);
                for (key, value) in snapshot.iter().filter(|(key, value)| map.get(key) != Some(value)) {
                    prop_assert!(old.contains(&&(*key, *value)));
                }
                for (key, value) in map.iter().filter(|(key, value)| snapshot.get(key) != Some(value)) {
                    prop_assert!(new.contains(&&(*key, *value)));
                }
            }
        }
    }
}
