//! [`ConsumerRecord`], borrowed from what a poll returned, and [`OwnedConsumerRecord`].

use std::str::Utf8Error;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::consumer::records::BatchInfo;
use crate::record::{Headers, Record};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, TimestampType, TopicPartition};

/// One record of a poll, borrowed from its [`ConsumerRecords`](crate::ConsumerRecords): nothing is copied or counted.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerRecord<'a> {
    pub(super) topic_partition: &'a TopicPartition,
    pub(super) info: BatchInfo,
    pub(super) record: Record<'a>,
}

impl<'a> ConsumerRecord<'a> {
    /// The topic's name.
    #[inline]
    pub fn topic(&self) -> &'a str {
        self.topic_partition.topic()
    }

    /// The partition's index.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.topic_partition.partition()
    }

    /// Topic and partition.
    #[inline]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.topic_partition
    }

    /// Position in the partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// Milliseconds since 1970; [`ConsumerRecord::timestamp_type`] says whose.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        self.record.timestamp()
    }

    /// Who set the timestamp.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        self.info.timestamp_type
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key()
    }

    /// The value; `None` is a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value()
    }

    /// The key as text; `None` if it is null.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn key_str(&self) -> Result<Option<&'a str>, Utf8Error> {
        self.key().map(str::from_utf8).transpose()
    }

    /// The value as text; `None` is a tombstone.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn value_str(&self) -> Result<Option<&'a str>, Utf8Error> {
        self.value().map(str::from_utf8).transpose()
    }

    /// The headers, in order.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers()
    }

    /// The key, sharing the batch's memory: a reference count, no copy.
    #[inline]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.record.key_bytes()
    }

    /// The value, sharing the batch's memory: a reference count, no copy.
    #[inline]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.record.value_bytes()
    }

    /// Epoch of the leader that appended the record.
    #[inline]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.info.leader_epoch
    }

    /// Bytes of the key; `None` if it is null.
    #[inline]
    pub fn serialized_key_size(&self) -> Option<usize> {
        self.key().map(<[u8]>::len)
    }

    /// Bytes of the value; `None` if it is null.
    #[inline]
    pub fn serialized_value_size(&self) -> Option<usize> {
        self.value().map(<[u8]>::len)
    }

    /// The record on its own. Key, value and header values share the batch's memory and keep it alive.
    pub fn to_owned(&self) -> OwnedConsumerRecord {
        OwnedConsumerRecord {
            topic_partition: self.topic_partition.clone(),
            offset: self.offset(),
            timestamp: self.timestamp(),
            timestamp_type: self.timestamp_type(),
            leader_epoch: self.leader_epoch(),
            key: self.key_bytes(),
            value: self.value_bytes(),
            headers: self.headers().map(|header| (header.key().into(), header.value_bytes())).collect(),
        }
    }
}

/// One record that stands on its own: what a stream yields.
///
/// Key, value and header values share the memory of the batch that they arrived in; it is recycled when the last of
/// them is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedConsumerRecord {
    topic_partition: TopicPartition,
    offset: Offset,
    timestamp: i64,
    timestamp_type: TimestampType,
    leader_epoch: LeaderEpoch,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(Box<str>, Option<Bytes>)>,
}

impl OwnedConsumerRecord {
    /// A record that no log holds, for interceptors and for tests of what processes records: without key, value,
    /// timestamp (-1) and leader epoch (-1).
    pub fn new(topic_partition: impl Into<TopicPartition>, offset: Offset) -> Self {
        Self {
            topic_partition: topic_partition.into(),
            offset,
            timestamp: NO_TIMESTAMP,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: LeaderEpoch::NONE,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// The same with another key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Option<Bytes>>) -> Self {
        self.key = key.into();
        self
    }

    /// The same with another value; `None` makes it a tombstone.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<Option<Bytes>>) -> Self {
        self.value = value.into();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<Box<str>>, value: impl Into<Option<Bytes>>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// The same with another timestamp, in ms since 1970, as its producer set it.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: i64) -> Self {
        (self.timestamp, self.timestamp_type) = (timestamp, TimestampType::CreateTime);
        self
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.topic_partition.topic()
    }

    /// The topic's name, to share without a copy.
    pub fn topic_arc(&self) -> &Arc<str> {
        self.topic_partition.topic_arc()
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.topic_partition.partition()
    }

    /// Topic and partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Position in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Milliseconds since 1970; [`OwnedConsumerRecord::timestamp_type`] says whose.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Who set the timestamp.
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The key as text; `None` if it is null.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn key_str(&self) -> Result<Option<&str>, Utf8Error> {
        self.key().map(str::from_utf8).transpose()
    }

    /// The value as text; `None` is a tombstone.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn value_str(&self) -> Result<Option<&str>, Utf8Error> {
        self.value().map(str::from_utf8).transpose()
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// The key, to keep without a copy.
    pub fn key_bytes(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// The value, to keep without a copy.
    pub fn value_bytes(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// Epoch of the leader that appended the record.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }
}
