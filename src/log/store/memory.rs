//! [`MemoryStore`]: segments as vectors of batches that share their bodies with whoever made them.

use std::io;
use std::ops::ControlFlow;

use crate::log::store::SegmentStore;
use crate::record::RecordBatch;
use crate::types::Offset;

/// How many batches of a deleted segment each append frees. With 2, a deleted segment is gone before a new one of the
/// same number of batches is half full.
const FREED_PER_APPEND: usize = 2;

/// Batches in memory. Nothing fails.
///
/// A deleted segment is not freed at once but a little with each append: bodies return to their producers' pool at the
/// pace at which producers draw new ones, so a log under size retention neither overflows the pool (blocks that it has
/// no room for go back to the operating system, and fresh pages cost more than the copy into them) nor stalls an
/// append for as long as it takes to drop a segment. At most one deleted segment is held that way.
///
/// The vectors of a freed segment serve the next one.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    /// Deleted and not quite freed.
    dead: Option<MemorySegment>,
    /// Empty, with capacity: a roll needs one at a time, and retention at each roll returns one at a time.
    spare: Option<MemorySegment>,
}

/// One segment's batches.
#[derive(Debug, Default)]
pub(crate) struct MemorySegment {
    batches: Vec<RecordBatch>,
    /// Where each batch begins.
    positions: Vec<u32>,
    size: u32,
}

impl MemoryStore {
    fn free_some(&mut self) {
        if let Some(mut dead) = self.dead.take() {
            let left = dead.batches.len().saturating_sub(FREED_PER_APPEND);
            dead.batches.truncate(left);
            if left > 0 {
                self.dead = Some(dead);
            } else {
                self.keep_spare(dead);
            }
        }
    }

    fn free_all(&mut self) {
        if let Some(mut dead) = self.dead.take() {
            dead.batches.clear();
            self.keep_spare(dead);
        }
    }

    fn keep_spare(&mut self, mut empty: MemorySegment) {
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
        Ok(self.spare.take().unwrap_or_default())
    }

    #[inline]
    fn append(&mut self, segment: &mut MemorySegment, batch: RecordBatch) -> io::Result<()> {
        if self.dead.is_some() {
            self.free_some();
        }
        segment.positions.push(segment.size);
        segment.size += batch.size_in_bytes() as u32;
        segment.batches.push(batch);
        Ok(())
    }

    #[inline]
    fn scan(
        &self,
        segment: &MemorySegment,
        position: u32,
        mut visit: impl FnMut(u32, &RecordBatch) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let first = segment.positions.partition_point(|&begin| begin < position);
        for (&begin, batch) in segment.positions[first..].iter().zip(&segment.batches[first..]) {
            if visit(begin, batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn truncate(&mut self, segment: &mut MemorySegment, position: u32) -> io::Result<()> {
        let kept = segment.positions.partition_point(|&begin| begin < position);
        segment.size = segment.positions.get(kept).copied().unwrap_or(segment.size);
        segment.positions.truncate(kept);
        segment.batches.truncate(kept);
        Ok(())
    }

    fn delete(&mut self, segment: MemorySegment) -> io::Result<()> {
        self.free_all();
        self.dead = Some(segment);
        Ok(())
    }

    fn reclaim(&mut self) -> io::Result<()> {
        self.free_all();
        Ok(())
    }
}
