//! [`Records`]: the lazy iterator over a batch's records.

use bytes::Bytes;

use crate::record::record::{Fields, parse_deltas, split_record};
use crate::record::{BatchHeader, Record, RecordError};
use crate::types::{Offset, TimestampType};

const WRONG_DELTA: RecordError = RecordError::Malformed("record offset does not ascend or is outside the batch");

/// The records of one batch. Yields an error and ends where the body does not hold what the header says.
///
/// It is a cursor over shared bytes, not borrowed from the batch: clone it or keep it to go on later.
///
/// Offsets ascend strictly and stay within the header's range, whatever the body says.
#[derive(Clone, Debug)]
pub struct Records {
    /// Uncompressed.
    body: Bytes,
    /// Apart from the body, so that one can advance while a record borrows the other.
    cursor: Cursor,
}

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

impl Records {
    /// The records of a body that is not, or no longer, compressed.
    pub(super) fn new(header: &BatchHeader, body: Bytes) -> Self {
        let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        let cursor = Cursor {
            position: 0,
            remaining: header.records_count() as u32,
            base_offset: header.base_offset(),
            last_delta: -1,
            max_delta: header.last_offset_delta(),
            base_timestamp: header.base_timestamp(),
            append_timestamp: append_time.then(|| header.max_timestamp()),
        };
        Self { body, cursor }
    }

    /// Records not yet yielded.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.cursor.remaining as usize
    }

    /// The next record, borrowing from the shared body: the form that consumers use, with no reference count touched.
    #[inline(always)]
    pub fn next_record(&mut self) -> Option<Result<Record<'_>, RecordError>> {
        match self.cursor.next_common(&self.body) {
            Some(record) => Some(Ok(record)),
            None => self.cursor.next_any(&self.body),
        }
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
            if !cursor.is_next(delta) {
                return Err(WRONG_DELTA);
            }
            cursor.advance(body.len() - rest.len(), delta);
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
        // Deltas ascend by at least one a record.
        cursor.last_delta = cursor.last_delta.saturating_add(count as i32);
        Ok(front)
    }

    /// Where the next record begins in the uncompressed body.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.cursor.position
    }

    /// The uncompressed body.
    pub(super) fn body(&self) -> &Bytes {
        &self.body
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

    /// The records not yet yielded, again from here each time. They borrow from this cursor instead of using it up, and
    /// touch no reference count.
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

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self.cursor.next_common(self.body) {
            Some(record) => Some(Ok(record)),
            None => self.cursor.next_any(self.body),
        }
    }
}

impl Cursor {
    /// The next record, if it is of the common kind, for speed: see [`Fields::parse_common`].
    #[inline(always)]
    fn next_common<'a>(&mut self, body: &'a Bytes) -> Option<Record<'a>> {
        let (fields, size) = Fields::parse_common(body.get(self.position..)?)?;
        if self.remaining == 0 || !self.is_next(fields.offset_delta) {
            return None;
        }
        self.advance(self.position + size, fields.offset_delta);
        Some(self.record(body, fields))
    }

    /// The next record of any kind, the end, or the error.
    #[inline(never)]
    fn next_any<'a>(&mut self, body: &'a Bytes) -> Option<Result<Record<'a>, RecordError>> {
        let mut rest = &body[self.position..];
        let parsed = match self.remaining {
            0 if rest.is_empty() => return None,
            0 => Err(RecordError::Malformed("bytes after the last record")),
            _ => Fields::parse(&mut rest).map_err(RecordError::Malformed),
        };
        match parsed {
            Ok(fields) if self.is_next(fields.offset_delta) => {
                self.advance(body.len() - rest.len(), fields.offset_delta);
                Some(Ok(self.record(body, fields)))
            }
            parsed => {
                self.position = body.len();
                self.remaining = 0;
                Some(Err(parsed.err().unwrap_or(WRONG_DELTA)))
            }
        }
    }

    #[inline]
    fn is_next(&self, delta: i32) -> bool {
        delta > self.last_delta && delta <= self.max_delta
    }

    /// Behind a record that ends at `position`.
    #[inline]
    fn advance(&mut self, position: usize, delta: i32) {
        self.position = position;
        self.remaining -= 1;
        self.last_delta = delta;
    }

    #[inline]
    fn record<'a>(&self, body: &'a Bytes, fields: Fields<'a>) -> Record<'a> {
        let timestamp = match self.append_timestamp {
            None => self.base_timestamp.wrapping_add(fields.timestamp_delta),
            Some(timestamp) => timestamp,
        };
        Record { body, offset: self.base_offset + i64::from(fields.offset_delta), timestamp, fields }
    }
}
