//! [`SegmentStore`]: where the batches of segments are kept.
//!
//! The one storage seam. Whatever is above it (offsets, indexes, rolling, retention) is the same for memory and files,
//! and a test that wants failures implements the trait instead of hooking the log.

mod memory;

use std::fmt;
use std::io;
use std::ops::ControlFlow;

pub(crate) use memory::MemoryStore;

use crate::record::RecordBatch;
use crate::types::Offset;

/// Keeps the batches of one log, segment by segment. Positions are bytes from the segment's start, as if its batches
/// lay one behind the other.
pub(crate) trait SegmentStore: fmt::Debug {
    /// One segment's batches.
    type Segment: fmt::Debug;

    /// An empty segment.
    fn create(&mut self, base_offset: Offset) -> io::Result<Self::Segment>;

    /// Adds a batch behind the others.
    fn append(&mut self, segment: &mut Self::Segment, batch: RecordBatch) -> io::Result<()>;

    /// Visits the batches from `position` on, which is where one of them begins (or the end), until told to stop. The
    /// visitor also gets each batch's position.
    fn scan(
        &self,
        segment: &Self::Segment,
        position: u32,
        visit: impl FnMut(u32, &RecordBatch) -> ControlFlow<()>,
    ) -> io::Result<()>;

    /// Drops the batches from `position` on.
    fn truncate(&mut self, segment: &mut Self::Segment, position: u32) -> io::Result<()>;

    /// Takes a segment that nobody reads any more. Its storage may be freed bit by bit.
    fn delete(&mut self, segment: Self::Segment) -> io::Result<()>;

    /// Frees all that deleted segments still hold.
    fn reclaim(&mut self) -> io::Result<()>;
}
