//! [`RecordBatch`] and its lazy iterator [`Records`].

use bytes::{Buf, Bytes};

use crate::record::record::{Fields, MIN_RECORD_SIZE, parse_deltas, split_record};
use crate::record::{BatchHeader, Record, RecordError, compression};
use crate::types::{CompressionType, LeaderEpoch, Offset, TimestampType};

/// Bytes up to and including the magic, which say how to read the rest.
const SIZE_UP_TO_MAGIC: usize = 17;

const WRONG_DELTA: &str = "record offset does not ascend or is outside the batch";

/// One batch: a header value and shared body bytes (the records, compressed if the header says so).
#[derive(Clone, Debug)]
pub struct RecordBatch {
    header: BatchHeader,
    /// Whether `header.crc` is still to be computed: batches made in this process are summed only when they leave it.
    crc_pending: bool,
    body: Bytes,
}

impl RecordBatch {
    /// The most that the records of one batch may take uncompressed before they are refused as a decompression bomb:
    /// 128 MiB, more than a hundred times the default `max.message.bytes`.
    pub const MAX_DECOMPRESSED_SIZE: usize = 128 << 20;

    /// Splits one batch off the front of `input`, after checking length, magic and CRC and that header fields agree.
    /// `input` then starts after it, and is untouched on an error. Nothing is copied: the body is a slice of `input`.
    pub fn parse(input: &mut Bytes) -> Result<Self, RecordError> {
        let available = input.len();
        if available < SIZE_UP_TO_MAGIC {
            return Err(RecordError::Truncated { needed: BatchHeader::SIZE, available });
        }
        let magic = input[SIZE_UP_TO_MAGIC - 1] as i8;
        if magic != BatchHeader::MAGIC {
            return Err(RecordError::UnsupportedMagic(magic));
        }
        let Some(header) = input.first_chunk() else {
            return Err(RecordError::Truncated { needed: BatchHeader::SIZE, available });
        };
        let header = BatchHeader::from_bytes(*header);
        if header.batch_length() < (BatchHeader::SIZE - BatchHeader::LOG_OVERHEAD) as i32 {
            return Err(RecordError::Malformed("batch length is less than a header"));
        }
        let needed = header.size_in_bytes();
        if available < needed {
            return Err(RecordError::Truncated { needed, available });
        }
        let body = input.slice(BatchHeader::SIZE..needed);
        let (computed, stored) = (compute_crc(&header, &body), header.crc());
        if computed != stored {
            return Err(RecordError::CrcMismatch { computed, stored });
        }
        check_header(&header, body.len())?;
        input.advance(needed);
        Ok(Self { header, crc_pending: false, body })
    }

    /// A batch from parts made in this process; the CRC is computed when the batch leaves it.
    pub(crate) fn from_parts(header: BatchHeader, body: Bytes) -> Self {
        debug_assert_eq!(header.size_in_bytes(), BatchHeader::SIZE + body.len());
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
        self.header.set_attributes(self.header.attributes() | BatchHeader::LOG_APPEND_TIME);
        self.header.set_max_timestamp(now_ms);
        self.crc_pending = true;
    }

    /// The header with its CRC computed.
    pub fn header_with_crc(&self) -> BatchHeader {
        let mut header = self.header;
        if self.crc_pending {
            header.set_crc(compute_crc(&header, &self.body));
        }
        header
    }

    /// Header and body as one contiguous piece, CRC computed: byte for byte what Kafka stores and sends.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.size_in_bytes());
        bytes.extend_from_slice(self.header_with_crc().as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes.into()
    }

    /// The body with its records uncompressed; shares the body where it is not compressed.
    /// Refuses to produce more than `limit` bytes.
    pub(crate) fn decompressed_body(&self, limit: usize) -> Result<Bytes, RecordError> {
        match self.compression()? {
            CompressionType::None => Ok(self.body.clone()),
            codec => compression::decompress(codec, &self.body, limit),
        }
    }

    fn compression(&self) -> Result<CompressionType, RecordError> {
        self.header.compression().ok_or(RecordError::UnknownCompression(self.header.attributes() & 0x07))
    }

    /// Checks every record: lengths, offset deltas 0, 1, 2 ..., header keys in UTF-8. What a leader does for batches from
    /// outside.
    pub fn validate_records(&self) -> Result<(), RecordError> {
        if self.header.records_count() < 1 || self.header.last_offset_delta() != self.header.records_count() - 1 {
            return Err(RecordError::Malformed("record count and last offset delta disagree"));
        }
        // Deltas that ascend strictly, from 0 or more, to at most count - 1 can only be 0, 1, 2 ...
        let mut records = self.records()?;
        while let Some(record) = records.next_record() {
            record?;
        }
        Ok(())
    }

    /// The records, parsed one by one as the iterator advances. Decompresses first, if need be, to at most
    /// [`RecordBatch::MAX_DECOMPRESSED_SIZE`] bytes.
    pub fn records(&self) -> Result<Records, RecordError> {
        let body = self.decompressed_body(Self::MAX_DECOMPRESSED_SIZE)?;
        check_count(&self.header, body.len())?;
        Ok(Records { body, cursor: Cursor::new(&self.header) })
    }
}

fn compute_crc(header: &BatchHeader, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header.as_bytes()[BatchHeader::CRC_START..]), body)
}

/// What must hold in a header beyond its CRC. Compaction leaves fewer records than offsets, and may leave none.
fn check_header(header: &BatchHeader, body_size: usize) -> Result<(), RecordError> {
    let Some(compression) = header.compression() else {
        return Err(RecordError::UnknownCompression(header.attributes() & 0x07));
    };
    if header.last_offset_delta() < 0 {
        return Err(RecordError::Malformed("last offset delta is negative"));
    }
    if header.base_offset().checked_add(i64::from(header.last_offset_delta()) + 1).is_none() {
        return Err(RecordError::Malformed("last offset does not fit 64 bits"));
    }
    if i64::from(header.records_count()) > i64::from(header.last_offset_delta()) + 1 {
        return Err(RecordError::Malformed("more records than offsets"));
    }
    match compression {
        CompressionType::None => check_count(header, body_size),
        _ if header.records_count() < 0 => Err(RecordError::Malformed("record count is negative")),
        _ => Ok(()),
    }
}

/// A count that the body cannot hold must not make anybody allocate or loop.
fn check_count(header: &BatchHeader, body_size: usize) -> Result<(), RecordError> {
    match usize::try_from(header.records_count()) {
        Err(_) => Err(RecordError::Malformed("record count is negative")),
        Ok(count) if count > body_size / MIN_RECORD_SIZE => Err(RecordError::Malformed("more records than bytes hold")),
        Ok(_) => Ok(()),
    }
}

/// The records of one batch. Yields an error and ends where the body does not hold what the header says.
///
/// It is a cursor over shared bytes, not borrowed from the batch: clone it or keep it to go on later.
///
/// Offsets ascend strictly and stay within the header's range, whatever the body says.
#[derive(Clone, Debug)]
pub struct Records {
    /// Uncompressed.
    body: Bytes,
    cursor: Cursor,
}

impl Records {
    /// Records not yet yielded.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.cursor.remaining as usize
    }

    /// Passes over records below `offset` without parsing more than their lengths and offset deltas.
    pub(crate) fn skip_to(&mut self, offset: Offset) -> Result<(), RecordError> {
        let Self { body, cursor } = self;
        while cursor.remaining > 0 {
            let mut rest = &body[cursor.position..];
            let mut record = split_record(&mut rest).map_err(RecordError::Malformed)?;
            let (_, delta) = parse_deltas(&mut record).map_err(RecordError::Malformed)?;
            if cursor.base_offset + i64::from(delta) >= offset {
                break;
            }
            if delta <= cursor.last_delta || delta > cursor.max_delta {
                return Err(RecordError::Malformed(WRONG_DELTA));
            }
            cursor.last_delta = delta;
            cursor.position = body.len() - rest.len();
            cursor.remaining -= 1;
        }
        Ok(())
    }

    /// Splits off up to `count` records: returns a cursor that ends after them, while `self` goes on behind them.
    pub(crate) fn split_off_front(&mut self, count: usize) -> Result<Self, RecordError> {
        let Self { body, cursor } = self;
        let count = cursor.remaining.min(u32::try_from(count).unwrap_or(u32::MAX));
        let mut rest = &body[cursor.position..];
        for _ in 0..count {
            split_record(&mut rest).map_err(RecordError::Malformed)?;
        }
        // Bytes behind the last record are an error of the cursor that reaches them.
        let end = if count == cursor.remaining { body.len() } else { body.len() - rest.len() };
        let front = Self { body: body.slice(..end), cursor: Cursor { remaining: count, ..*cursor } };
        cursor.position = end;
        cursor.remaining -= count;
        // Ascending deltas: behind `count` records lie only those that are larger by at least as much.
        cursor.last_delta = cursor.last_delta.saturating_add(count as i32);
        Ok(front)
    }

    /// Offset of the next record, if there is one and it is well-formed that far.
    pub(crate) fn next_offset(&self) -> Option<Offset> {
        if self.cursor.remaining == 0 {
            return None;
        }
        let mut record = split_record(&mut &self.body[self.cursor.position..]).ok()?;
        let (_, delta) = parse_deltas(&mut record).ok()?;
        Some(self.cursor.base_offset + i64::from(delta))
    }

    /// The next record, borrowing from the shared body, with no reference count touched.
    #[inline]
    pub fn next_record(&mut self) -> Option<Result<Record<'_>, RecordError>> {
        self.cursor.next(&self.body)
    }

    /// The records not yet yielded, again from here each time: the form that consumers use. No reference count is
    /// touched.
    #[inline]
    pub(crate) fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { body: &self.body, cursor: self.cursor }
    }
}

/// Iterates over [`Records`] without using them up.
#[derive(Clone, Debug)]
pub(crate) struct RecordsIter<'a> {
    body: &'a Bytes,
    cursor: Cursor,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.body)
    }
}

/// Where a reader stands in a body, and what it needs of the header.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    position: usize,
    /// Records not yet yielded.
    remaining: u32,
    base_offset: Offset,
    /// Offset delta of the record before the next one; -1 at the start.
    last_delta: i32,
    /// The largest offset delta there may be: the header's.
    max_delta: i32,
    base_timestamp: i64,
    /// `Some` with `LogAppendTime`: the timestamp of every record.
    append_timestamp: Option<i64>,
}

impl Cursor {
    fn new(header: &BatchHeader) -> Self {
        Self {
            position: 0,
            remaining: header.records_count() as u32,
            base_offset: header.base_offset(),
            last_delta: -1,
            max_delta: header.last_offset_delta(),
            base_timestamp: header.base_timestamp(),
            append_timestamp: (header.timestamp_type() == TimestampType::LogAppendTime).then(|| header.max_timestamp()),
        }
    }

    #[inline]
    fn next<'a>(&mut self, body: &'a Bytes) -> Option<Result<Record<'a>, RecordError>> {
        if self.remaining == 0 && self.position == body.len() {
            return None;
        }
        let mut rest = &body[self.position..];
        let parsed = match self.remaining {
            0 => Err("bytes after the last record"),
            _ => Fields::parse(&mut rest),
        };
        match parsed {
            Ok(fields) if fields.offset_delta > self.last_delta && fields.offset_delta <= self.max_delta => {
                self.position = body.len() - rest.len();
                self.remaining -= 1;
                self.last_delta = fields.offset_delta;
                let timestamp = match self.append_timestamp {
                    None => self.base_timestamp.wrapping_add(fields.timestamp_delta),
                    Some(timestamp) => timestamp,
                };
                Some(Ok(Record { body, offset: self.base_offset + i64::from(fields.offset_delta), timestamp, fields }))
            }
            parsed => {
                self.position = body.len();
                self.remaining = 0;
                Some(Err(RecordError::Malformed(parsed.err().unwrap_or(WRONG_DELTA))))
            }
        }
    }
}
