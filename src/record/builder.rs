//! [`BatchBuilder`]: an open batch that records are appended to.

use crate::record::{BatchHeader, RecordBatch, RecordError, compression};
use crate::types::{CompressionType, LeaderEpoch, NO_SEQUENCE, NO_TIMESTAMP, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;
use crate::util::varint;

/// The largest body whose batch length (bytes after the length field) fits the format's `i32`.
const MAX_BODY_SIZE: usize = i32::MAX as usize - (BatchHeader::SIZE - BatchHeader::LOG_OVERHEAD);

/// Keys and values together up to which a record's length fits a varint of two bytes.
const MAX_COMMON_PAYLOAD: usize = 8_000;

/// The most that such a record takes beside key and value: length, attributes, deltas, lengths of key and value, count of
/// headers.
const MAX_COMMON_OVERHEAD: usize = 2 + 1 + 2 + 2 + 2 + 2 + 1;

/// Values from here on take more than two bytes as a varint.
const SHORT_LIMIT: u32 = 1 << 14;

/// By how much the writable part of a block grows. It is zeroed first, so it should still be in the nearest cache when
/// the records arrive.
const GROWTH: usize = 4 << 10;

/// An open batch. Records are encoded straight into the block that becomes the batch's body: the one payload copy.
///
/// The first record's timestamp becomes the batch's base timestamp; the others are deltas from it, and may be negative.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Its buffer is longer than what was written, so that records are written to plain slices: see
    /// [`BatchBuilder::window`].
    block: Block,
    /// Bytes of the body so far.
    written: usize,
    /// Bytes that the body may take.
    limit: usize,
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
    /// An empty batch whose body may take up the block's capacity.
    pub(crate) fn new(block: Block) -> Self {
        let limit = block.capacity().min(MAX_BODY_SIZE);
        Self { block, written: 0, limit, count: 0, base_timestamp: NO_TIMESTAMP, max_timestamp: NO_TIMESTAMP }
    }

    /// Bytes that a lone record would take in the body (an upper bound: as if its deltas were as large as they get).
    pub(crate) fn upper_bound<'h>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> usize {
        let mut count = 0;
        let headers_size: usize = headers.inspect(|_| count += 1).map(size_of_header).sum();
        let fields = size_of_nullable(key) + size_of_nullable(value) + size_of_length(count) + headers_size;
        let record = 1 + 10 + 5 + fields;
        size_of_length(record) + record
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
        let index = self.count;
        let base_timestamp = if index == 0 { timestamp } else { self.base_timestamp };
        // Wrapping, as in Kafka: the reader adds the delta the same way, so even the extremes round-trip.
        let timestamp_delta = varint::zigzag64(timestamp.wrapping_sub(base_timestamp));
        let offset_delta = index << 1;
        let payload = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let common = headers.len() == 0
            && payload <= MAX_COMMON_PAYLOAD
            && timestamp_delta | u64::from(offset_delta) < u64::from(SHORT_LIMIT)
            && payload + MAX_COMMON_OVERHEAD <= self.limit - self.written;
        self.written += if common {
            let window = self.window(payload + MAX_COMMON_OVERHEAD);
            append_common(window, timestamp_delta, offset_delta, key, value)
        } else {
            self.append_any(timestamp_delta, offset_delta, key, value, headers)?
        };

        self.base_timestamp = base_timestamp;
        self.max_timestamp = if index == 0 { timestamp } else { self.max_timestamp.max(timestamp) };
        self.count = index + 1;
        Some(index)
    }

    /// Encodes any record, and returns its size. `None` where there is no room for it.
    #[inline(never)]
    fn append_any<'h>(
        &mut self,
        timestamp_delta: u64,
        offset_delta: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Option<usize> {
        let headers_count = headers.len();
        let record = 1
            + varint::size_of_u64(timestamp_delta)
            + varint::size_of_u32(offset_delta)
            + size_of_nullable(key)
            + size_of_nullable(value)
            + size_of_length(headers_count)
            + headers.clone().map(size_of_header).sum::<usize>();
        let size = size_of_length(record) + record;
        // The limit fits an i32, so past this check every length in the record does.
        if size > self.limit - self.written {
            return None;
        }
        let mut window = self.window(size);
        window.varint(zigzag_length(record).into());
        window.byte(0);
        window.varint(timestamp_delta);
        window.varint(offset_delta.into());
        window.nullable(key);
        window.nullable(value);
        window.varint(zigzag_length(headers_count).into());
        for (key, value) in headers {
            window.nullable(Some(key.as_bytes()));
            window.nullable(value);
        }
        debug_assert_eq!(window.written, size);
        Some(size)
    }

    /// The next bytes of the block, at least as many as asked for, which the caller has made sure to be there.
    #[inline(always)]
    fn window(&mut self, size: usize) -> Window<'_> {
        let buffer = self.block.buffer();
        let needed = self.written + size;
        if needed > buffer.len() {
            grow(buffer, needed, self.limit);
        }
        Window { bytes: &mut buffer[self.written..], written: 0 }
    }

    /// Records so far.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, header included.
    #[inline]
    pub(crate) fn size_in_bytes(&self) -> usize {
        BatchHeader::SIZE + self.written
    }

    /// Ends the batch. Base offset 0 and leader epoch -1 until a leader assigns them.
    ///
    /// Fails where the codec is not compiled in, and for a batch without records, which Kafka does not take either.
    pub(crate) fn seal(mut self, options: SealOptions) -> Result<RecordBatch, RecordError> {
        if self.count == 0 {
            return Err(RecordError::Malformed("batch without records"));
        }
        self.block.set_filled(self.written);
        let body = match options.compression {
            CompressionType::None => self.block.freeze(),
            codec => compression::compress(codec, options.compression_level, self.block.as_slice())?,
        };
        let (producer_id, producer_epoch, base_sequence) =
            options.producer.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE, NO_SEQUENCE));
        let mut header = BatchHeader::from_bytes([0; BatchHeader::SIZE]);
        header.set_partition_leader_epoch(LeaderEpoch::NONE);
        header.set_magic(BatchHeader::MAGIC);
        let mut attributes = options.compression.id();
        if options.transactional {
            attributes |= BatchHeader::TRANSACTIONAL;
        }
        if options.control {
            attributes |= BatchHeader::CONTROL;
        }
        header.set_attributes(attributes);
        header.set_last_offset_delta(self.count as i32 - 1);
        header.set_base_timestamp(self.base_timestamp);
        header.set_max_timestamp(self.max_timestamp);
        header.set_producer(producer_id, producer_epoch, base_sequence);
        header.set_records_count(self.count as i32);
        header.set_body_size(body.len())?;
        Ok(RecordBatch::from_parts(header, body))
    }
}

/// Encodes a record without headers whose varints have one or two bytes each, which a processor predicts better than it
/// computes. Returns its size. There must be room for [`MAX_COMMON_OVERHEAD`] beside key and value.
#[inline(always)]
fn append_common(
    mut window: Window<'_>,
    timestamp_delta: u64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> usize {
    let timestamp_delta = timestamp_delta as u32;
    let (key_length, value_length) = (zigzag_nullable_length(key), zigzag_nullable_length(value));
    let size_of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let lengths = size_of_short(timestamp_delta)
        + size_of_short(offset_delta)
        + size_of_short(key_length)
        + size_of_short(value_length);
    let record = 1 + lengths + size_of(key) + size_of(value) + 1;
    window.short(zigzag_length(record));
    window.byte(0);
    window.short(timestamp_delta);
    window.short(offset_delta);
    window.short(key_length);
    // A copy of nothing is a call all the same.
    if let Some(key) = key {
        window.slice(key);
    }
    window.short(value_length);
    if let Some(value) = value {
        window.slice(value);
    }
    window.byte(0);
    window.written
}

/// Bytes of a varint that has one or two.
#[inline(always)]
fn size_of_short(value: u32) -> usize {
    1 + usize::from(value >= 0x80)
}

#[cold]
fn grow(buffer: &mut Vec<u8>, needed: usize, limit: usize) {
    let length = (buffer.len() + GROWTH).max(needed).min(limit);
    debug_assert!(needed <= length && length <= buffer.capacity());
    buffer.resize(length, 0);
}

/// Where the next record goes.
struct Window<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl Window<'_> {
    #[inline(always)]
    fn slice(&mut self, bytes: &[u8]) {
        self.bytes[self.written..][..bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.written] = byte;
        self.written += 1;
    }

    /// A varint of one or two bytes.
    #[inline(always)]
    fn short(&mut self, value: u32) {
        debug_assert!(value < SHORT_LIMIT);
        if value < 0x80 {
            self.byte(value as u8);
        } else {
            self.bytes[self.written..][..2].copy_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
            self.written += 2;
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    fn nullable(&mut self, bytes: Option<&[u8]>) {
        self.varint(zigzag_nullable_length(bytes).into());
        self.slice(bytes.unwrap_or_default());
    }
}

#[inline]
fn size_of_length(length: usize) -> usize {
    varint::size_of_u32(zigzag_length(length))
}

/// A length field's zig-zag value; only right for lengths that fit an `i32`.
#[inline]
fn zigzag_length(length: usize) -> u32 {
    (length as u32) << 1
}

/// The same where null is -1, which zig-zag encodes as 1.
#[inline]
fn zigzag_nullable_length(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(1, |bytes| zigzag_length(bytes.len()))
}

#[inline]
fn size_of_nullable(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| size_of_length(bytes.len()) + bytes.len())
}

#[inline]
fn size_of_header((key, value): (&str, Option<&[u8]>)) -> usize {
    size_of_length(key.len()) + key.len() + size_of_nullable(value)
}
