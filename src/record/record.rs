//! [`Record`]: one parsed record, borrowed from its batch's body.

use bytes::Bytes;

use crate::types::Offset;

/// One record: a view into its batch's body. Nothing is copied; `*_bytes` methods share the body.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    body: &'a Bytes,
    offset: Offset,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// The encoded headers, validated.
    headers: &'a [u8],
    headers_count: u32,
}

impl<'a> Record<'a> {
    /// Position in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }
    /// Milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }
    /// The key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }
    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }
    /// The key, sharing the batch's memory.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.map(|key| self.body.slice_ref(key))
    }
    /// The value, sharing the batch's memory.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.map(|value| self.body.slice_ref(value))
    }
    /// The headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        todo!()
    }
}

/// The headers of one record, parsed as the iterator advances.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    body: &'a Bytes,
    bytes: &'a [u8],
    remaining: u32,
}

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

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;
    fn next(&mut self) -> Option<Header<'a>> {
        let _ = (self.bytes, self.remaining);
        todo!()
    }
}
