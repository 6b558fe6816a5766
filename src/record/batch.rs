//! [`RecordBatch`] and its lazy iterator [`Records`].

use bytes::Bytes;

use crate::record::{BatchHeader, Record, RecordError};
use crate::types::{LeaderEpoch, Offset};

/// One batch: a header value and shared body bytes (the records, compressed if the header says so).
#[derive(Clone, Debug)]
pub struct RecordBatch {
    header: BatchHeader,
    /// Whether `header.crc` is still to be computed: batches made in this process are summed only when they leave it.
    crc_pending: bool,
    body: Bytes,
}

impl RecordBatch {
    /// Splits one batch off the front of `input`, after checking length, magic and CRC and that header fields agree.
    /// `input` then starts after it. Nothing is copied: the body is a slice of `input`.
    pub fn parse(input: &mut Bytes) -> Result<Self, RecordError> {
        let _ = input;
        todo!()
    }

    /// A batch from parts made in this process; the CRC is computed when the batch leaves it.
    pub(crate) fn from_parts(header: BatchHeader, body: Bytes) -> Self {
        Self { header, crc_pending: true, body }
    }

    /// The header. Its CRC field may be pending: see [`RecordBatch::to_bytes`].
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records' bytes, compressed if the header says so.
    #[inline]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes of the whole batch, header included.
    #[inline]
    pub fn size_in_bytes(&self) -> usize {
        self.header.size_in_bytes()
    }

    /// What a leader assigns on append; neither is covered by the CRC.
    #[inline]
    pub(crate) fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.set_base_offset(base_offset);
        self.header.set_partition_leader_epoch(leader_epoch);
    }

    /// Stamps every record with `now_ms`: `message.timestamp.type=LogAppendTime`.
    pub(crate) fn set_log_append_time(&mut self, now_ms: i64) {
        let _ = now_ms;
        todo!()
    }

    /// The header with its CRC computed.
    pub fn header_with_crc(&self) -> BatchHeader {
        todo!()
    }

    /// Header and body as one contiguous piece, CRC computed: byte for byte what Kafka stores and sends.
    pub fn to_bytes(&self) -> Bytes {
        todo!()
    }

    /// The body with its records uncompressed; shares the body where it is not compressed.
    /// Refuses to produce more than `limit` bytes.
    pub(crate) fn decompressed_body(&self, limit: usize) -> Result<Bytes, RecordError> {
        let _ = limit;
        todo!()
    }

    /// Checks every record: lengths, offset deltas 0, 1, 2 ..., header keys in UTF-8. What a leader does for batches from
    /// outside.
    pub fn validate_records(&self) -> Result<(), RecordError> {
        todo!()
    }

    /// The records, parsed one by one as the iterator advances. Decompresses first, if need be.
    pub fn records(&self) -> Result<Records, RecordError> {
        todo!()
    }
}

/// The records of one batch. Yields an error and ends where the body does not hold what the header says.
///
/// It is a cursor over shared bytes, not borrowed from the batch: clone it or keep it to go on later.
#[derive(Clone, Debug)]
pub struct Records {
    /// Uncompressed.
    body: Bytes,
    position: usize,
    /// Records not yet yielded.
    remaining: u32,
    base_offset: Offset,
    base_timestamp: i64,
    /// `Some` with `LogAppendTime`: the timestamp of every record.
    append_timestamp: Option<i64>,
}

impl Records {
    /// Records not yet yielded.
    pub fn remaining(&self) -> usize {
        self.remaining as usize
    }

    /// Passes over records below `offset` without parsing more than their lengths and offset deltas.
    pub(crate) fn skip_to(&mut self, offset: Offset) -> Result<(), RecordError> {
        let _ = offset;
        todo!()
    }

    /// Splits off up to `count` records: returns a cursor that ends after them, while `self` goes on behind them.
    pub(crate) fn split_off_front(&mut self, count: usize) -> Result<Self, RecordError> {
        let _ = count;
        todo!()
    }

    /// The next record, borrowing from the shared body: the form that consumers use, with no reference count touched.
    #[inline]
    pub fn next_record(&mut self) -> Option<Result<Record<'_>, RecordError>> {
        todo!()
    }
}
