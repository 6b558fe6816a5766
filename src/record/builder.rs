//! [`BatchBuilder`]: an open batch that records are appended to.

use crate::record::{BatchHeader, RecordBatch, RecordError, compression};
use crate::types::{CompressionType, LeaderEpoch, NO_SEQUENCE, NO_TIMESTAMP, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;
use crate::util::prefetch::prefetch_two_lines;
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

/// How far ahead of what is written memory is fetched: some ten records of 100 bytes, for which a processor has time
/// while it writes them. Recycled blocks have mostly left its caches.
const AHEAD: usize = 1 << 10;

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
    /// Bytes of the largest record.
    largest_record: usize,
    count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// A timestamp, and its delta as it lies in a record: most records have the same as the one before them.
    last_timestamp: i64,
    last_delta: Short,
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
        Self {
            block,
            written: 0,
            limit,
            largest_record: 0,
            count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            last_timestamp: NO_TIMESTAMP,
            last_delta: Short::new(0),
        }
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
    #[inline(always)]
    pub(crate) fn try_append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Option<u32> {
        let index = self.count;
        let payload = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let common = headers.len() == 0
            && payload <= MAX_COMMON_PAYLOAD
            && index < SHORT_LIMIT / 2
            && payload + MAX_COMMON_OVERHEAD <= self.limit - self.written
            && ((timestamp == self.last_timestamp && index > 0) || self.stamp_short(timestamp));
        let size = if common {
            let (timestamp_delta, offset_delta) = (self.last_delta, Short::new(index << 1));
            append_common(self.window(payload + MAX_COMMON_OVERHEAD), timestamp_delta, offset_delta, key, value)
        } else {
            self.append_any(timestamp, key, value, headers)?
        };
        self.written += size;
        // A branch that is hardly ever taken.
        if size > self.largest_record {
            self.largest_record = size;
        }
        self.count = index + 1;
        Some(index)
    }

    /// Another timestamp, of a record that there is room for. Returns whether its delta has one or two bytes; otherwise
    /// nothing has changed.
    #[inline(never)]
    fn stamp_short(&mut self, timestamp: i64) -> bool {
        let delta = self.timestamp_delta(timestamp);
        if delta >= u64::from(SHORT_LIMIT) {
            return false;
        }
        self.stamp(timestamp);
        (self.last_timestamp, self.last_delta) = (timestamp, Short::new(delta as u32));
        true
    }

    /// Counts the next record's timestamp.
    fn stamp(&mut self, timestamp: i64) {
        if self.count == 0 {
            (self.base_timestamp, self.max_timestamp) = (timestamp, timestamp);
            (self.last_timestamp, self.last_delta) = (timestamp, Short::new(0));
        } else {
            self.max_timestamp = self.max_timestamp.max(timestamp);
        }
    }

    /// The next record's delta, zig-zag encoded. Wrapping, as in Kafka: the reader adds the delta the same way, so even
    /// the extremes round-trip.
    fn timestamp_delta(&self, timestamp: i64) -> u64 {
        let base_timestamp = if self.count == 0 { timestamp } else { self.base_timestamp };
        varint::zigzag64(timestamp.wrapping_sub(base_timestamp))
    }

    /// Encodes any record, and returns its size. `None` where there is no room for it.
    #[inline(never)]
    fn append_any<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Option<usize> {
        let (timestamp_delta, offset_delta) = (self.timestamp_delta(timestamp), self.count << 1);
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
        self.stamp(timestamp);
        let mut window = Window { bytes: self.window(size), written: 0 };
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

    /// The next bytes of the block, which the caller has made sure to be there.
    #[inline(always)]
    fn window(&mut self, size: usize) -> &mut [u8] {
        let buffer = self.block.buffer();
        let needed = self.written + size;
        if needed > buffer.len() {
            grow(buffer, needed, self.limit);
        }
        prefetch_two_lines(buffer, self.written + AHEAD);
        &mut buffer[self.written..needed]
    }

    /// Records so far.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the largest record so far.
    pub(crate) fn largest_record(&self) -> usize {
        self.largest_record
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

/// Encodes a record without headers whose varints have one or two bytes each. Returns its size. There must be room for
/// [`MAX_COMMON_OVERHEAD`] beside key and value: what stands before the payload is put together in a register, and
/// written with a few bytes too many, which the payload then overwrites.
#[inline(always)]
fn append_common(
    window: &mut [u8],
    timestamp_delta: Short,
    offset_delta: Short,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> usize {
    let value_length = Short::new(zigzag_nullable_length(value));
    let value = value.unwrap_or_default();
    // Attributes, of which there are none, and the deltas.
    let start = Run { bytes: 0, size: 1 }.with(timestamp_delta).with(offset_delta);
    let mut at;
    match key {
        None => {
            let start = start.with(Short::new(NULL_LENGTH)).with(value_length);
            at = write_start(window, start, value.len() + 1);
        }
        Some(key) => {
            let start = start.with(Short::new(zigzag_length(key.len())));
            at = write_start(window, start, key.len() + value_length.size as usize + value.len() + 1);
            window[at..][..key.len()].copy_from_slice(key);
            at += key.len();
            window[at..][..2].copy_from_slice(&value_length.bytes.to_le_bytes());
            at += value_length.size as usize;
        }
    }
    // A copy of nothing is a call all the same.
    if !value.is_empty() {
        window[at..][..value.len()].copy_from_slice(value);
        at += value.len();
    }
    // No headers.
    window[at] = 0;
    at + 1
}

/// Writes the record's length and its `start`, behind which come `rest` bytes. Returns where those begin.
#[inline(always)]
fn write_start(window: &mut [u8], start: Run, rest: usize) -> usize {
    let length = Short::new(zigzag_length(start.size as usize + rest));
    let head: &mut [u8; 10] = window.first_chunk_mut().expect("the common overhead is longer");
    head[..2].copy_from_slice(&length.bytes.to_le_bytes());
    // By branch, not by arithmetic: records of one stream are alike, and then the processor need not wait.
    if length.size == 1 {
        head[1..9].copy_from_slice(&start.bytes.to_le_bytes());
        1 + start.size as usize
    } else {
        head[2..10].copy_from_slice(&start.bytes.to_le_bytes());
        2 + start.size as usize
    }
}

/// A varint of one or two bytes.
#[derive(Clone, Copy, Debug)]
struct Short {
    bytes: u16,
    size: u32,
}

impl Short {
    #[inline(always)]
    const fn new(value: u32) -> Self {
        debug_assert!(value < SHORT_LIMIT);
        if value < 0x80 {
            Self { bytes: value as u16, size: 1 }
        } else {
            Self { bytes: (value & 0x7f | 0x80 | (value >> 7) << 8) as u16, size: 2 }
        }
    }
}

/// Up to eight bytes of varints.
#[derive(Clone, Copy)]
struct Run {
    bytes: u64,
    size: u32,
}

impl Run {
    #[inline(always)]
    fn with(self, short: Short) -> Self {
        Self { bytes: self.bytes | u64::from(short.bytes) << (8 * self.size), size: self.size + short.size }
    }
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
    fn slice(&mut self, bytes: &[u8]) {
        self.bytes[self.written..][..bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.written] = byte;
        self.written += 1;
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

/// The length of null, -1, zig-zag encoded.
const NULL_LENGTH: u32 = 1;

#[inline]
fn zigzag_nullable_length(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(NULL_LENGTH, |bytes| zigzag_length(bytes.len()))
}

#[inline]
fn size_of_nullable(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| size_of_length(bytes.len()) + bytes.len())
}

#[inline]
fn size_of_header((key, value): (&str, Option<&[u8]>)) -> usize {
    size_of_length(key.len()) + key.len() + size_of_nullable(value)
}
