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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a record goes nowhere until it is sent"]
pub struct ProducerRecord<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition; `None` lets the partitioner choose.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` for the time of the send.
    pub timestamp: Option<i64>,
    /// The key; `None` is Kafka's null.
    pub key: Option<Payload<'a>>,
    /// The value; `None` is Kafka's null: a tombstone.
    pub value: Option<Payload<'a>>,
    /// The headers, in order; a name may occur more than once.
    pub headers: Vec<RecordHeader<'a>>,
}

impl<'a> ProducerRecord<'a> {
    /// A record for this topic, with neither key nor value.
    #[inline]
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
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
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    #[inline]
    pub fn value(mut self, value: impl Into<Payload<'a>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Takes the value away: in a compacted topic, such a record deletes its key.
    #[inline]
    pub fn tombstone(mut self) -> Self {
        self.value = None;
        self
    }

    /// Adds a header behind those there are.
    #[inline]
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push(RecordHeader { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    #[inline]
    pub fn null_header(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.headers.push(RecordHeader { name: name.into(), value: None });
        self
    }

    /// The key's bytes.
    #[inline]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value's bytes.
    #[inline]
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The headers as the batch builder takes them.
    #[inline]
    pub(super) fn header_pairs(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers.iter().map(|header| (header.name.as_ref(), header.value.as_deref()))
    }
}

/// Larger values are moved by calls to `memcpy`, which `send` would feel.
const _: () = assert!(size_of::<ProducerRecord<'_>>() <= 128);

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
/// Made by `into()` from anything that holds bytes. Borrowed bytes cost the one copy into the batch; owned ones cost a
/// small allocation beside it, which keeps the records that borrow, and that move through `send`, small.
#[derive(Clone, Debug)]
pub struct Payload<'a>(Holder<'a>);

#[derive(Clone, Debug)]
enum Holder<'a> {
    /// Somebody else's bytes.
    Borrowed(&'a [u8]),
    /// Bytes that the record keeps.
    Owned(Box<Bytes>),
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Holder::Borrowed(bytes) => bytes,
            Holder::Owned(bytes) => bytes,
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
        Self(Holder::Borrowed(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Holder::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self(Holder::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self(Holder::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self(Holder::Borrowed(bytes))
    }
}

impl<'a> From<&'a Bytes> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a Bytes) -> Self {
        Self(Holder::Borrowed(bytes))
    }
}

impl From<Bytes> for Payload<'_> {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Self(Holder::Owned(Box::new(bytes)))
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Holder::Owned(Box::new(bytes.into())))
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Self(Holder::Owned(Box::new(text.into())))
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
    }
}
