//! [`Record`]: one parsed record, borrowed from its batch's body.

use bytes::Bytes;

use crate::types::Offset;
use crate::util::varint::{self, ShortReader};

/// The least that a record takes: length, attributes, two deltas, null key, null value, no headers; one byte each.
pub(crate) const MIN_RECORD_SIZE: usize = 7;

/// One record: a view into its batch's body. Nothing is copied; `*_bytes` methods share the body.
///
/// A record that exists is well-formed: lengths were checked when it was parsed, and so were its headers.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) body: &'a Bytes,
    pub(super) offset: Offset,
    pub(super) timestamp: i64,
    pub(super) fields: Fields<'a>,
}

impl<'a> Record<'a> {
    /// Position in the partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Milliseconds since 1970.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.fields.key
    }

    /// The value; `None` is a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.fields.value
    }

    /// The key, sharing the batch's memory.
    #[inline]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.fields.key.map(|key| self.body.slice_ref(key))
    }

    /// The value, sharing the batch's memory.
    #[inline]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.fields.value.map(|value| self.body.slice_ref(value))
    }

    /// The headers, in order.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers { body: self.body, bytes: self.fields.headers, remaining: self.fields.headers_count }
    }
}

/// One record's fields as they stand in the body, deltas not yet added to the batch's bases.
///
/// ```text
/// length varint, attributes i8 (unused), timestamp delta varlong, offset delta varint,
/// key length varint (-1: null), key, value length varint (-1: null), value, header count varint, headers
/// header: key length varint, key, value length varint (-1: null), value
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// The encoded headers, validated.
    headers: &'a [u8],
    headers_count: u32,
}

impl<'a> Fields<'a> {
    /// The common case, for speed: no headers, less than 8 KiB, deltas of one or two bytes, more records behind it.
    /// `None` for all others, malformed ones among them. Agrees with [`Fields::parse`] wherever it returns something.
    #[inline(always)]
    pub(super) fn parse_common(input: &'a [u8]) -> Option<(Self, usize)> {
        let mut prefix = ShortReader::new(input)?;
        let length = prefix.read_length()?;
        let size = prefix.size() + length;
        prefix.skip_byte();
        let timestamp_delta = prefix.read()?;
        let offset_delta = prefix.read()?;
        let mut record = input.get(prefix.size()..size)?;
        let key = nullable_bytes(&mut record)?;
        let value = nullable_bytes(&mut record)?;
        if !matches!(*record, [0]) {
            return None;
        }
        let fields = Self {
            timestamp_delta: i64::from(varint::unzigzag32(timestamp_delta)),
            offset_delta: varint::unzigzag32(offset_delta),
            key,
            value,
            headers: &[],
            headers_count: 0,
        };
        Some((fields, size))
    }

    /// Parses the record at the front of `input` and moves past it. The error says what is wrong with the record.
    pub(super) fn parse(input: &mut &'a [u8]) -> Result<Self, &'static str> {
        let mut record = split_record(input)?;
        let (timestamp_delta, offset_delta) = parse_deltas(&mut record)?;
        let key = nullable_bytes(&mut record).ok_or("record key exceeds the record")?;
        let value = nullable_bytes(&mut record).ok_or("record value exceeds the record")?;
        let headers_count = parse_headers_count(&mut record)?;
        Ok(Self { timestamp_delta, offset_delta, key, value, headers: record, headers_count })
    }
}

/// Takes one record, less its length field, off the front of `input`.
#[inline]
pub(super) fn split_record<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let length = varint::read_i32(input).ok_or("record length is cut short")?;
    let (record, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| input.split_at_checked(length))
        .ok_or("record length exceeds the batch")?;
    *input = rest;
    Ok(record)
}

/// Timestamp delta and offset delta, which stand behind the attributes.
#[inline]
pub(super) fn parse_deltas(record: &mut &[u8]) -> Result<(i64, i32), &'static str> {
    let [_attributes, rest @ ..] = *record else {
        return Err("record is empty");
    };
    *record = rest;
    let timestamp_delta = varint::read_i64(record).ok_or("record timestamp is cut short")?;
    let offset_delta = varint::read_i32(record).ok_or("record offset is cut short")?;
    Ok((timestamp_delta, offset_delta))
}

/// A length, and as many bytes. As in Kafka any negative length, which zig-zag makes odd, is null.
#[inline(always)]
fn nullable_bytes<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::read_u32(input)?;
    if length & 1 != 0 {
        return Some(None);
    }
    let (bytes, rest) = input.split_at_checked((length >> 1) as usize)?;
    *input = rest;
    Some(Some(bytes))
}

/// Reads the count of headers and checks that `record` then holds exactly as many, each with a key in UTF-8.
fn parse_headers_count(record: &mut &[u8]) -> Result<u32, &'static str> {
    let count = varint::read_i32(record).ok_or("record header count is cut short")?;
    let count = u32::try_from(count).map_err(|_| "record header count is negative")?;
    let mut rest = *record;
    for _ in 0..count {
        let key = nullable_bytes(&mut rest).ok_or("header key exceeds the record")?.ok_or("header key is null")?;
        std::str::from_utf8(key).map_err(|_| "header key is not UTF-8")?;
        nullable_bytes(&mut rest).ok_or("header value exceeds the record")?;
    }
    if rest.is_empty() { Ok(count) } else { Err("record is longer than its fields") }
}

/// The headers of one record, parsed as the iterator advances.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    body: &'a Bytes,
    bytes: &'a [u8],
    remaining: u32,
}

impl<'a> Headers<'a> {
    fn parse_next(&mut self) -> Option<Header<'a>> {
        let key = std::str::from_utf8(nullable_bytes(&mut self.bytes)??).ok()?;
        let value = nullable_bytes(&mut self.bytes)?;
        Some(Header { body: self.body, key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let header = self.parse_next();
        debug_assert!(header.is_some(), "headers are validated before a record is handed out");
        header
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining as usize, Some(self.remaining as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// One header: a key, and a value that may be null.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    body: &'a Bytes,
    key: &'a str,
    value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The value.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The value, sharing the batch's memory.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.map(|value| self.body.slice_ref(value))
    }
}
