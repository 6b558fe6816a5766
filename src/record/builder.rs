//! [`BatchBuilder`]: an open batch that records are appended to.

use crate::record::{RecordBatch, RecordError};
use crate::types::{CompressionType, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;

/// An open batch. Records are encoded straight into the block that becomes the batch's body: the one payload copy.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    block: Block,
    count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// What is decided only when a batch is sealed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SealOptions {
    pub(crate) compression: CompressionType,
    /// The codec's level; `None` for Kafka's default.
    pub(crate) compression_level: Option<i32>,
    /// Producer id, epoch and base sequence; `None` without idempotence.
    pub(crate) producer: Option<(ProducerId, ProducerEpoch, i32)>,
    pub(crate) transactional: bool,
    pub(crate) control: bool,
}

impl BatchBuilder {
    pub(crate) fn new(block: Block) -> Self {
        Self { block, count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Bytes that a lone record would take in the body (an upper bound: as if its deltas were as large as they get).
    pub(crate) fn upper_bound<'h>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> usize {
        let _ = (key, value, headers);
        todo!()
    }

    /// Encodes one record behind the others. `None` when the block has no room for it, and nothing was written;
    /// otherwise the record's index in the batch.
    #[inline]
    pub(crate) fn try_append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Option<u32> {
        let _ =
            (timestamp, key, value, headers, &mut self.block, &mut self.count, self.base_timestamp, self.max_timestamp);
        todo!()
    }

    /// Records so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, header included.
    pub(crate) fn size_in_bytes(&self) -> usize {
        todo!()
    }

    /// Ends the batch. Base offset 0 and leader epoch -1 until a leader assigns them.
    pub(crate) fn seal(self, options: SealOptions) -> Result<RecordBatch, RecordError> {
        let _ = options;
        todo!()
    }
}
