//! Reading and writing the primitive types of Kafka's message formats (`STRING`, `COMPACT_ARRAY`, tagged fields …),
//! as the group coordinator's and the controller's records use them.

use crate::util::varint;

/// The bytes do not hold what the schema asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeError {
    /// What was being read.
    pub(crate) what: &'static str,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot decode {}", self.what)
    }
}

impl std::error::Error for DecodeError {}

type Result<T> = std::result::Result<T, DecodeError>;

/// A cursor over the bytes of one message. Every method either returns a whole value or an error; none panics, and no
/// allocation is larger than the bytes that are left.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError { what: "bytes: cut short" })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError { what: "number: cut short" })?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        self.i8().map(|byte| byte != 0)
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<u128> {
        self.array().map(u128::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u32> {
        varint::read_u32(&mut self.bytes).ok_or(DecodeError { what: "varint" })
    }

    fn text(bytes: &[u8]) -> Result<String> {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError { what: "string: not UTF-8" })
    }

    /// `NULLABLE_STRING` of the classic encoding: an `i16` length, -1 for null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>> {
        match self.i16()? {
            -1 => Ok(None),
            length @ 0.. => Self::text(self.take(length as usize)?).map(Some),
            _ => Err(DecodeError { what: "string: negative length" }),
        }
    }

    /// `STRING` of the classic encoding.
    pub(crate) fn string(&mut self) -> Result<String> {
        self.nullable_string()?.ok_or(DecodeError { what: "string: null" })
    }

    /// `NULLABLE_BYTES` of the classic encoding: an `i32` length, -1 for null.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Ok(None),
            length @ 0.. => self.take(length as usize).map(Some),
            _ => Err(DecodeError { what: "bytes: negative length" }),
        }
    }

    /// The length of a classic `ARRAY`; null counts as empty. Refuses a length that the bytes left cannot hold.
    pub(crate) fn array_length(&mut self) -> Result<usize> {
        let length = self.i32()?;
        self.checked_length(i64::from(length))
    }

    /// The length of a `COMPACT_ARRAY`; null counts as empty. Refuses a length that the bytes left cannot hold.
    pub(crate) fn compact_array_length(&mut self) -> Result<usize> {
        let length = i64::from(self.uvarint()?) - 1;
        self.checked_length(length)
    }

    fn checked_length(&self, length: i64) -> Result<usize> {
        match length {
            -1 => Ok(0),
            0.. if length as u64 <= self.bytes.len() as u64 => Ok(length as usize),
            _ => Err(DecodeError { what: "array: impossible length" }),
        }
    }

    /// `COMPACT_NULLABLE_STRING`.
    pub(crate) fn compact_nullable_string(&mut self) -> Result<Option<String>> {
        match self.uvarint()? {
            0 => Ok(None),
            length => Self::text(self.take(length as usize - 1)?).map(Some),
        }
    }

    /// `COMPACT_STRING`.
    pub(crate) fn compact_string(&mut self) -> Result<String> {
        self.compact_nullable_string()?.ok_or(DecodeError { what: "string: null" })
    }

    /// The tagged fields that end a flexible struct, handed to `field` one by one.
    pub(crate) fn tagged_fields(&mut self, mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<()>) -> Result<()> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            field(tag, &mut Reader::new(self.take(size)?))?;
        }
        Ok(())
    }

    /// Passes over the tagged fields that end a flexible struct.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<()> {
        self.tagged_fields(|_, _| Ok(()))
    }
}

/// Builds the bytes of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What has been written.
    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        self.bytes.into()
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.i8(i8::from(value))
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn uuid(&mut self, value: u128) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn uvarint(&mut self, value: u32) -> &mut Self {
        varint::write_u32(&mut self.bytes, value);
        self
    }

    /// `STRING` of the classic encoding. Kafka's schemas bound such strings to 32,767 bytes; callers have checked.
    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        assert!(value.len() <= i16::MAX as usize, "a string of {} bytes does not fit STRING", value.len());
        self.i16(value.len() as i16).raw(value.as_bytes())
    }

    /// `NULLABLE_STRING` of the classic encoding.
    pub(crate) fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// `NULLABLE_BYTES` of the classic encoding.
    pub(crate) fn nullable_bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.i32(value.len() as i32).raw(value),
            None => self.i32(-1),
        }
    }

    /// The length of a classic `ARRAY`.
    pub(crate) fn array_length(&mut self, length: usize) -> &mut Self {
        self.i32(length as i32)
    }

    /// The length of a `COMPACT_ARRAY`.
    pub(crate) fn compact_array_length(&mut self, length: usize) -> &mut Self {
        self.uvarint(length as u32 + 1)
    }

    /// `COMPACT_STRING`.
    pub(crate) fn compact_string(&mut self, value: &str) -> &mut Self {
        self.uvarint(value.len() as u32 + 1).raw(value.as_bytes())
    }

    /// `COMPACT_NULLABLE_STRING`.
    pub(crate) fn compact_nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.compact_string(value),
            None => self.uvarint(0),
        }
    }

    /// The end of a flexible struct that has no tagged fields.
    pub(crate) fn no_tagged_fields(&mut self) -> &mut Self {
        self.uvarint(0)
    }
}
