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
pub(crate) trait SegmentStore: fmt::Debug + Sized {
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

    /// The segment's batches once more, as they are now, whatever becomes of it afterwards. Costs the same however many
    /// they are. To be read through any store of this kind.
    fn share(&mut self, segment: &mut Self::Segment) -> io::Result<Self::Segment>;

    /// A store beside this one: to read shared segments with, and to make new ones for [`SegmentStore::replace`], without
    /// keeping this one waiting.
    fn scratch(&self) -> Self;

    /// Takes `new`, segments made by a scratch store, over in place of `old`, all at once: who opens the store after a
    /// crash finds either those or these.
    fn replace(&mut self, old: Vec<Self::Segment>, new: Vec<&mut Self::Segment>) -> io::Result<()>;

    /// Frees all that deleted segments still hold.
    fn reclaim(&mut self) -> io::Result<()>;

    /// Frees about so many bytes of that. True once nothing is left.
    fn reclaim_some(&mut self, bytes: usize) -> io::Result<bool>;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::LogConfig;
    use crate::error::ErrorCode;
    use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, orders};
    use crate::log::{Log, LogError};

    /// Memory with room for so many batches.
    #[derive(Debug)]
    struct SmallStore(MemoryStore, usize);

    impl SegmentStore for SmallStore {
        type Segment = <MemoryStore as SegmentStore>::Segment;

        fn create(&mut self, base_offset: Offset) -> io::Result<Self::Segment> {
            self.0.create(base_offset)
        }
        fn append(&mut self, segment: &mut Self::Segment, batch: RecordBatch) -> io::Result<()> {
            self.1 = self.1.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            self.0.append(segment, batch)
        }
        fn scan(
            &self,
            segment: &Self::Segment,
            position: u32,
            visit: impl FnMut(u32, &RecordBatch) -> ControlFlow<()>,
        ) -> io::Result<()> {
            self.0.scan(segment, position, visit)
        }
        fn truncate(&mut self, segment: &mut Self::Segment, position: u32) -> io::Result<()> {
            self.0.truncate(segment, position)
        }
        fn delete(&mut self, segment: Self::Segment) -> io::Result<()> {
            self.0.delete(segment)
        }
        fn reclaim_some(&mut self, bytes: usize) -> io::Result<bool> {
            self.0.reclaim_some(bytes)
        }
        fn share(&mut self, segment: &mut Self::Segment) -> io::Result<Self::Segment> {
            self.0.share(segment)
        }
        fn scratch(&self) -> Self {
            Self(self.0.scratch(), self.1)
        }
        fn replace(&mut self, old: Vec<Self::Segment>, new: Vec<&mut Self::Segment>) -> io::Result<()> {
            self.0.replace(old, new)
        }
        fn reclaim(&mut self) -> io::Result<()> {
            self.0.reclaim()
        }
    }

    #[test]
    fn a_store_that_fails_is_a_storage_error() {
        let store = SmallStore(MemoryStore::default(), 2);
        let mut log = Log::open(orders(), Arc::new(LogConfig::default()), store, NOW_MS).unwrap();
        for _ in 0..2 {
            log.append_as_leader(batch(1), EPOCH, CLIENT, NOW_MS).unwrap();
        }
        let error = log.append_as_leader(batch(1), EPOCH, CLIENT, NOW_MS).unwrap_err();
        assert_eq!(error, LogError::Storage { topic_partition: orders(), kind: io::ErrorKind::StorageFull });
        assert_eq!((error.code(), log.log_end()), (ErrorCode::KafkaStorageError, 2));
    }
}
