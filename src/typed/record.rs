//! [`TypedRecord`]: what a typed producer sends.

use std::borrow::Cow;
use std::fmt;

use crate::client::producer::{Payload, RecordHeader};

/// A record to send, with a key and a value that are borrowed: see [`TypedProducer::send`](super::TypedProducer::send).
///
/// ```
/// use brokerless::typed::TypedRecord;
/// let record: TypedRecord<'_, str, i64> = TypedRecord::to("scores").key("ada").value(&42).header("trace", "7f");
/// assert_eq!(record.key, Some("ada"));
/// ```
#[must_use = "a record goes nowhere until it is sent"]
pub struct TypedRecord<'a, K: ?Sized, V: ?Sized> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition; `None` lets the partitioner choose.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` for the time of the send.
    pub timestamp: Option<i64>,
    /// The key; `None` is Kafka's null.
    pub key: Option<&'a K>,
    /// The value; `None` is Kafka's null: a tombstone.
    pub value: Option<&'a V>,
    pub(super) headers: Vec<RecordHeader<'a>>,
}

impl<'a, K: ?Sized, V: ?Sized> TypedRecord<'a, K, V> {
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

    /// Sets the timestamp, in ms since 1970.
    #[inline]
    pub fn timestamp(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = Some(timestamp_ms);
        self
    }

    /// Sets the key.
    #[inline]
    pub fn key(mut self, key: &'a K) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the value. Without one, the record is a tombstone.
    #[inline]
    pub fn value(mut self, value: &'a V) -> Self {
        self.value = Some(value);
        self
    }

    /// Adds a header behind those there are.
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push(RecordHeader { name: name.into(), value: Some(value.into()) });
        self
    }

    /// The headers, in order.
    pub fn headers(&self) -> &[RecordHeader<'a>] {
        &self.headers
    }
}

impl<K: ?Sized, V: ?Sized> Clone for TypedRecord<'_, K, V> {
    fn clone(&self) -> Self {
        Self { headers: self.headers.clone(), ..*self }
    }
}

impl<K: fmt::Debug + ?Sized, V: fmt::Debug + ?Sized> fmt::Debug for TypedRecord<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .field("key", &self.key)
            .field("value", &self.value)
            .field("headers", &self.headers)
            .finish()
    }
}
