//! [`TypedConsumerRecords`]: what one typed poll returned.

use std::ops::Deref;

use crate::client::consumer::{self, ConsumerRecord, ConsumerRecords, OwnedConsumerRecord};
use crate::types::{Offset, OffsetAndMetadata, TopicPartition};

/// What one typed poll returned: the raw records, by reference as ever, and beside them what was made of them.
#[derive(Debug)]
pub struct TypedConsumerRecords<K, V> {
    raw: ConsumerRecords,
    /// One for each of the raw records, up to where the poll ended; `None` for one that was passed over.
    parsed: Vec<Option<Parsed<K, V>>>,
    passed_over: usize,
    /// Positions of partitions whose last records were not handed out.
    cut: Vec<(TopicPartition, Offset)>,
}

/// A record's key and value.
#[derive(Debug)]
pub(super) struct Parsed<K, V> {
    pub(super) key: Option<K>,
    pub(super) value: Option<V>,
}

impl<K, V> TypedConsumerRecords<K, V> {
    pub(super) fn new(
        raw: ConsumerRecords,
        parsed: Vec<Option<Parsed<K, V>>>,
        passed_over: usize,
        cut: Vec<(TopicPartition, Offset)>,
    ) -> Self {
        Self { raw, parsed, passed_over, cut }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.parsed.len() - self.passed_over
    }

    /// Whether there are none: the poll's timeout passed, or none of the records that it met parsed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records: one partition after the other, each in order of offset.
    pub fn iter(&self) -> TypedIter<'_, K, V> {
        TypedIter { raw: self.raw.iter(), parsed: self.parsed.iter() }
    }

    /// Keys and values, to keep; nothing else of the records.
    pub fn into_parts(self) -> impl Iterator<Item = (Option<K>, Option<V>)> {
        self.parsed.into_iter().flatten().map(|Parsed { key, value }| (key, value))
    }

    /// The positions to commit once all of these records are processed. Records that were passed over lie before them.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&TopicPartition, OffsetAndMetadata)> {
        self.raw.next_offsets().map(|(topic_partition, next)| {
            match self.cut.iter().find(|(cut, _)| cut == topic_partition) {
                Some((_, offset)) => (topic_partition, OffsetAndMetadata::new(*offset)),
                None => (topic_partition, next),
            }
        })
    }
}

impl<K, V> Default for TypedConsumerRecords<K, V> {
    fn default() -> Self {
        Self { raw: ConsumerRecords::default(), parsed: Vec::new(), passed_over: 0, cut: Vec::new() }
    }
}

impl<'a, K, V> IntoIterator for &'a TypedConsumerRecords<K, V> {
    type Item = TypedConsumerRecord<'a, K, V>;
    type IntoIter = TypedIter<'a, K, V>;

    fn into_iter(self) -> TypedIter<'a, K, V> {
        self.iter()
    }
}

impl<K, V> IntoIterator for TypedConsumerRecords<K, V> {
    type Item = OwnedTypedRecord<K, V>;
    type IntoIter = TypedIntoIter<K, V>;

    fn into_iter(self) -> TypedIntoIter<K, V> {
        TypedIntoIter { raw: self.raw.into_iter(), parsed: self.parsed.into_iter() }
    }
}

/// Iterates over [`TypedConsumerRecords`] by reference.
#[derive(Debug)]
pub struct TypedIter<'a, K, V> {
    raw: consumer::Iter<'a>,
    parsed: std::slice::Iter<'a, Option<Parsed<K, V>>>,
}

impl<'a, K, V> Iterator for TypedIter<'a, K, V> {
    type Item = TypedConsumerRecord<'a, K, V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // What was parsed may end before the raw records do.
            let parsed = self.parsed.next()?;
            let raw = self.raw.next()?;
            if let Some(Parsed { key, value }) = parsed {
                return Some(TypedConsumerRecord { raw, key: key.as_ref(), value: value.as_ref() });
            }
        }
    }
}

/// Iterates over [`TypedConsumerRecords`] by value: yields records that stand on their own.
#[derive(Debug)]
pub struct TypedIntoIter<K, V> {
    raw: consumer::IntoIter,
    parsed: std::vec::IntoIter<Option<Parsed<K, V>>>,
}

impl<K, V> Iterator for TypedIntoIter<K, V> {
    type Item = OwnedTypedRecord<K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let parsed = self.parsed.next()?;
            let raw = self.raw.next()?;
            if let Some(Parsed { key, value }) = parsed {
                return Some(OwnedTypedRecord { raw, key, value });
            }
        }
    }
}

/// One record of a typed poll, borrowed from its [`TypedConsumerRecords`].
///
/// Everything but key and value (topic, partition, offset, timestamp, headers ...) is that of the raw record, by deref.
#[derive(Debug)]
pub struct TypedConsumerRecord<'a, K, V> {
    raw: ConsumerRecord<'a>,
    key: Option<&'a K>,
    value: Option<&'a V>,
}

impl<'a, K, V> TypedConsumerRecord<'a, K, V> {
    /// The key; `None` if it is null.
    #[inline]
    pub fn key(&self) -> Option<&'a K> {
        self.key
    }

    /// The value; `None` is a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a V> {
        self.value
    }

    /// The record as it was before it was parsed: to report it to a [`DeadLetter`](super::DeadLetter), for example.
    #[inline]
    pub fn raw(&self) -> ConsumerRecord<'a> {
        self.raw
    }
}

impl<K, V> Clone for TypedConsumerRecord<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedConsumerRecord<'_, K, V> {}

impl<'a, K, V> Deref for TypedConsumerRecord<'a, K, V> {
    type Target = ConsumerRecord<'a>;

    fn deref(&self) -> &ConsumerRecord<'a> {
        &self.raw
    }
}

/// One record of a typed poll that stands on its own.
///
/// Everything but key and value is that of the raw record, by deref.
#[derive(Clone, Debug)]
pub struct OwnedTypedRecord<K, V> {
    raw: OwnedConsumerRecord,
    key: Option<K>,
    value: Option<V>,
}

impl<K, V> OwnedTypedRecord<K, V> {
    /// The key; `None` if it is null.
    pub fn key(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// The record as it was before it was parsed.
    pub fn raw(&self) -> &OwnedConsumerRecord {
        &self.raw
    }

    /// Key and value, to keep.
    pub fn into_parts(self) -> (Option<K>, Option<V>) {
        (self.key, self.value)
    }
}

impl<K, V> Deref for OwnedTypedRecord<K, V> {
    type Target = OwnedConsumerRecord;

    fn deref(&self) -> &OwnedConsumerRecord {
        &self.raw
    }
}
