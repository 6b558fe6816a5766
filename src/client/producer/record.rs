//! [`ProducerRecord`]: what a producer sends.

use std::borrow::Cow;

use bytes::Bytes;

/// A record to send: a topic, and whatever else is known about it.
///
/// Key, value and headers may be borrowed: `send` copies them once, straight into the batch.
///
/// ```
/// use brokerless::ProducerRecord;
/// let payload = vec![1, 2, 3];
/// let record = ProducerRecord::to("orders").key("42").value(&payload).header("trace", "7f");
/// assert_eq!(record.key_bytes(), Some(&b"42"[..]));
/// assert_eq!(record.partition, None);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a record goes nowhere until it is sent"]
pub struct ProducerRecord<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition; `None` lets the partitioner choose.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` for the time of the send.
    pub timestamp: Option<i64>,
    /// A borrowed key or value. What the record owns is in `brought`, so that a record which only borrows is small to
    /// move and nothing to drop: `send` does both for every record.
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    brought: Option<Box<Brought<'a>>>,
}

/// What a record brings along.
#[derive(Clone, Debug, Default)]
struct Brought<'a> {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<RecordHeader<'a>>,
}

impl<'a> ProducerRecord<'a> {
    /// A record for this topic, with neither key nor value.
    #[inline]
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, brought: None }
    }

    /// Names the partition, from 0.
    #[inline]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in ms since 1970. A topic with `message.timestamp.type=LogAppendTime` overwrites it.
    #[inline]
    pub fn timestamp(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = Some(timestamp_ms);
        self
    }

    /// Sets the key. By default, records of one key go to one partition.
    #[inline]
    pub fn key(mut self, key: impl Into<Payload<'a>>) -> Self {
        match key.into() {
            Payload::Borrowed(key) => self.key = Some(key),
            Payload::Owned(key) => {
                self.key = None;
                self.brought_mut().key = Some(key);
            }
        }
        self
    }

    /// Sets the value.
    #[inline]
    pub fn value(mut self, value: impl Into<Payload<'a>>) -> Self {
        match value.into() {
            Payload::Borrowed(value) => self.value = Some(value),
            Payload::Owned(value) => {
                self.value = None;
                self.brought_mut().value = Some(value);
            }
        }
        self
    }

    /// Takes the value away: in a compacted topic, such a record deletes its key.
    pub fn tombstone(mut self) -> Self {
        self.value = None;
        if let Some(brought) = &mut self.brought {
            brought.value = None;
        }
        self
    }

    /// Adds a header behind those there are.
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Payload<'a>>) -> Self {
        self.brought_mut().headers.push(RecordHeader { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.brought_mut().headers.push(RecordHeader { name: name.into(), value: None });
        self
    }

    /// Takes all headers of this name away.
    pub fn remove_headers(mut self, name: &str) -> Self {
        if let Some(brought) = &mut self.brought {
            brought.headers.retain(|header| header.name != name);
        }
        self
    }

    /// The key's bytes; `None` is Kafka's null.
    #[inline]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.or_else(|| self.brought.as_ref()?.key.as_deref())
    }

    /// The value's bytes; `None` is Kafka's null: a tombstone.
    #[inline]
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.value.or_else(|| self.brought.as_ref()?.value.as_deref())
    }

    /// The headers, in order; a name may occur more than once.
    #[inline]
    pub fn headers(&self) -> &[RecordHeader<'a>] {
        self.brought.as_ref().map_or(&[], |brought| &brought.headers)
    }

    /// The headers as the batch builder takes them.
    #[inline]
    pub(super) fn header_pairs(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers().iter().map(|header| (header.name.as_ref(), header.value.as_deref()))
    }

    fn brought_mut(&mut self) -> &mut Brought<'a> {
        self.brought.get_or_insert_default()
    }
}

impl PartialEq for ProducerRecord<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.topic, self.partition, self.timestamp) == (other.topic, other.partition, other.timestamp)
            && self.key_bytes() == other.key_bytes()
            && self.value_bytes() == other.value_bytes()
            && self.headers() == other.headers()
    }
}

impl Eq for ProducerRecord<'_> {}

/// Larger values are moved by calls to `memcpy`, which `send` would feel.
const _: () = assert!(size_of::<ProducerRecord<'_>>() <= 80);

/// A header of a [`ProducerRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordHeader<'a> {
    /// The name; Kafka calls it the header's key.
    pub name: Cow<'a, str>,
    /// The value; `None` is Kafka's null.
    pub value: Option<Payload<'a>>,
}

/// Bytes of a key, a value or a header: borrowed, or brought along.
///
/// Made by `into()` from anything that holds bytes. Borrowed bytes cost the one copy into the batch; owned ones a small
/// allocation beside it.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Somebody else's bytes.
    Borrowed(&'a [u8]),
    /// Bytes that the record keeps.
    Owned(Bytes),
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

impl<'a> From<&'a [u8]> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a Bytes> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a Bytes) -> Self {
        Self::Borrowed(bytes)
    }
}

impl From<Bytes> for Payload<'_> {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Self::Owned(bytes)
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_from_anything_that_holds_bytes() {
        let (text, bytes, shared) = (String::from("ab"), vec![b'a', b'b'], Bytes::from_static(b"ab"));
        let payloads: [Payload<'_>; 9] = [
            (&b"ab"[..]).into(),
            b"ab".into(),
            "ab".into(),
            (&text).into(),
            (&bytes).into(),
            (&shared).into(),
            text.clone().into(),
            bytes.clone().into(),
            shared.clone().into(),
        ];
        for payload in payloads {
            assert_eq!(&*payload, b"ab");
        }
    }

    #[test]
    fn headers_keep_their_order_and_may_be_null() {
        let record = ProducerRecord::to("t").header("a", "1").null_header(String::from("b")).header("a", vec![2]);
        let pairs: Vec<_> = record.header_pairs().collect();
        assert_eq!(pairs, [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&[2][..]))]);
        let without = record.clone().remove_headers("a").remove_headers("c");
        assert_eq!(without.header_pairs().collect::<Vec<_>>(), [("b", None)]);
    }
}
