//! [`MemoryStore`]: segments as vectors of batches that share their bodies with whoever made them.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::log::store::SegmentStore;
use crate::record::RecordBatch;
use crate::types::Offset;

/// Batches in memory. Nothing fails.
///
/// A deleted segment is not freed at once, but each append frees as many of its bytes as are appended: bodies return to
/// their producers' pool at the pace at which producers draw new ones. So a log under size retention neither overflows
/// the pool (blocks that it has no room for go back to the operating system, and fresh pages cost more than the copy
/// into them) nor stalls an append for as long as it takes to drop a segment. At most one deleted segment is held that
/// way, and none after [`SegmentStore::reclaim`], which periodic retention ends with.
///
/// The vectors of a freed segment serve the next one, unless they are large.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    /// Deleted and not quite freed.
    dead: Option<Batches>,
    /// Bytes that were appended since the last batch was freed.
    appended: usize,
    /// Empty, with capacity: a roll needs one at a time, and retention at each roll returns one at a time.
    spare: Option<Batches>,
}

/// One segment's batches.
#[derive(Debug)]
pub(crate) enum MemorySegment {
    Own(Batches),
    /// With the cleaner, which reads them outside of the partition's lock.
    Shared(Arc<Batches>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    batches: Vec<RecordBatch>,
    /// Where each batch begins.
    positions: Vec<u32>,
    size: u32,
}

impl MemorySegment {
    #[inline]
    fn batches(&self) -> &Batches {
        match self {
            Self::Own(batches) => batches,
            Self::Shared(batches) => batches,
        }
    }

    #[inline]
    fn batches_mut(&mut self) -> &mut Batches {
        if let Self::Shared(_) = self {
            self.unshare();
        }
        match self {
            Self::Own(batches) => batches,
            Self::Shared(_) => unreachable!("just unshared"),
        }
    }

    /// Only rolled segments are shared, and only truncation changes one again.
    #[cold]
    fn unshare(&mut self) {
        if let Self::Shared(batches) = self {
            *self = Self::Own(Arc::unwrap_or_clone(std::mem::take(batches)));
        }
    }
}

impl MemoryStore {
    /// Batches that a spare may have room for: about half a MiB. A segment with more has cost so much more to fill that
    /// its vectors are no matter, while they would stay with each log that never grows so large again.
    const LARGEST_SPARE: usize = 4096;

    /// Frees as much of the deleted segment as was appended meanwhile.
    fn free_some(&mut self, appended: usize) {
        let Some(dead) = &mut self.dead else {
            return;
        };
        self.appended += appended;
        while let Some(batch) = dead.batches.pop_if(|batch| batch.size_in_bytes() <= self.appended) {
            self.appended -= batch.size_in_bytes();
        }
        if dead.batches.is_empty() {
            self.free_all();
        }
    }

    fn free_all(&mut self) {
        self.appended = 0;
        if let Some(mut dead) = self.dead.take() {
            dead.batches.clear();
            self.keep_spare(dead);
        }
    }

    fn keep_spare(&mut self, mut empty: Batches) {
        if empty.batches.capacity() > Self::LARGEST_SPARE {
            return;
        }
        empty.positions.clear();
        empty.size = 0;
        if self.spare.as_ref().is_none_or(|spare| spare.batches.capacity() < empty.batches.capacity()) {
            self.spare = Some(empty);
        }
    }
}

impl SegmentStore for MemoryStore {
    type Segment = MemorySegment;

    fn create(&mut self, _base_offset: Offset) -> io::Result<MemorySegment> {
        Ok(MemorySegment::Own(self.spare.take().unwrap_or_default()))
    }

    #[inline]
    fn append(&mut self, segment: &mut MemorySegment, batch: RecordBatch) -> io::Result<()> {
        if self.dead.is_some() {
            self.free_some(batch.size_in_bytes());
        }
        let Batches { batches, positions, size } = segment.batches_mut();
        positions.push(*size);
        *size += batch.size_in_bytes() as u32;
        batches.push(batch);
        Ok(())
    }

    #[inline]
    fn scan(
        &self,
        segment: &MemorySegment,
        position: u32,
        mut visit: impl FnMut(u32, &RecordBatch) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let Batches { batches, positions, .. } = segment.batches();
        let first = positions.partition_point(|&begin| begin < position);
        for (&begin, batch) in positions[first..].iter().zip(&batches[first..]) {
            if visit(begin, batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn truncate(&mut self, segment: &mut MemorySegment, position: u32) -> io::Result<()> {
        let Batches { batches, positions, size } = segment.batches_mut();
        let kept = positions.partition_point(|&begin| begin < position);
        *size = positions.get(kept).copied().unwrap_or(*size);
        positions.truncate(kept);
        batches.truncate(kept);
        Ok(())
    }

    fn delete(&mut self, segment: MemorySegment) -> io::Result<()> {
        self.free_all();
        self.dead = match segment {
            MemorySegment::Own(batches) => Some(batches),
            // Whoever it is shared with frees it otherwise.
            MemorySegment::Shared(batches) => Arc::into_inner(batches),
        };
        Ok(())
    }

    fn reclaim(&mut self) -> io::Result<()> {
        self.free_all();
        Ok(())
    }

    fn reclaim_some(&mut self, bytes: usize) -> io::Result<bool> {
        self.free_some(bytes);
        Ok(self.dead.is_none())
    }

    fn share(&mut self, segment: &mut MemorySegment) -> io::Result<MemorySegment> {
        if let MemorySegment::Own(batches) = segment {
            *segment = MemorySegment::Shared(Arc::new(std::mem::take(batches)));
        }
        match segment {
            MemorySegment::Shared(batches) => Ok(MemorySegment::Shared(Arc::clone(batches))),
            MemorySegment::Own(_) => unreachable!("just shared"),
        }
    }

    fn scratch(&self) -> Self {
        Self::default()
    }

    fn replace(&mut self, _old: Vec<MemorySegment>, _new: Vec<&mut MemorySegment>) -> io::Result<()> {
        // The new ones are in memory already. Whoever made them shares the old ones, and frees them when it likes.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::batch;

    fn positions(store: &MemoryStore, segment: &MemorySegment, from: u32) -> Vec<u32> {
        let mut found = Vec::new();
        store
            .scan(segment, from, |position, _| {
                found.push(position);
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    #[test]
    fn positions_are_bytes_from_the_segments_start() {
        let mut store = MemoryStore::default();
        let mut segment = store.create(0).unwrap();
        let sizes = [3, 1, 2].map(|count| {
            store.append(&mut segment, batch(count)).unwrap();
            batch(count).size_in_bytes() as u32
        });
        let begins = [0, sizes[0], sizes[0] + sizes[1]];
        assert_eq!(positions(&store, &segment, 0), begins);
        assert_eq!(positions(&store, &segment, begins[1]), begins[1..]);
        assert_eq!(positions(&store, &segment, sizes.iter().sum()), [0u32; 0]);
        store.truncate(&mut segment, begins[1]).unwrap();
        assert_eq!(positions(&store, &segment, 0), begins[..1]);
        store.append(&mut segment, batch(5)).unwrap();
        assert_eq!(positions(&store, &segment, 0), begins[..2]);
    }

    #[test]
    fn a_deleted_segment_is_freed_at_the_pace_of_appends_and_serves_again() {
        let mut store = MemoryStore::default();
        let mut old = store.create(0).unwrap();
        for _ in 0..4 {
            store.append(&mut old, batch(1)).unwrap();
        }
        let memory = old.batches().batches.as_ptr();
        store.delete(old).unwrap();
        let mut new = store.create(4).unwrap();
        let held: Vec<_> = (0..4)
            .map(|_| {
                store.append(&mut new, batch(1)).unwrap();
                store.dead.as_ref().map(|dead| dead.batches.len())
            })
            .collect();
        assert_eq!(held, [Some(3), Some(2), Some(1), None]);
        assert_eq!(store.create(8).unwrap().batches().batches.as_ptr(), memory);
        store.delete(new).unwrap();
        store.reclaim().unwrap();
        assert!(store.dead.is_none());
    }

    #[test]
    fn a_large_segments_vectors_are_not_kept() {
        let mut store = MemoryStore::default();
        let small = batch(1);
        for (batches, is_kept) in [(MemoryStore::LARGEST_SPARE / 2, true), (MemoryStore::LARGEST_SPARE + 1, false)] {
            let mut segment = store.create(0).unwrap();
            for _ in 0..batches {
                store.append(&mut segment, small.clone()).unwrap();
            }
            store.delete(segment).unwrap();
            store.reclaim().unwrap();
            assert_eq!(store.spare.is_some(), is_kept, "{batches} batches");
        }
    }

    #[test]
    fn a_shared_segment_stays_as_it_is() {
        let mut store = MemoryStore::default();
        let mut segment = store.create(0).unwrap();
        for count in [3, 1, 2] {
            store.append(&mut segment, batch(count)).unwrap();
        }
        let begins = positions(&store, &segment, 0);
        let shared = store.share(&mut segment).unwrap();
        let again = store.share(&mut segment).unwrap();
        assert!(std::ptr::eq(shared.batches(), again.batches()) && std::ptr::eq(shared.batches(), segment.batches()));
        store.truncate(&mut segment, begins[1]).unwrap();
        store.append(&mut segment, batch(7)).unwrap();
        let scratch = store.scratch();
        assert_eq!(positions(&scratch, &shared, 0), begins);
        assert_eq!(positions(&store, &segment, 0), begins[..2]);
        drop((shared, segment));
        // The last holder's batches are freed like those of any deleted segment.
        store.delete(again).unwrap();
        assert!(store.dead.is_some());
    }
}
