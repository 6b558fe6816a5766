//! [`TopicPartition`] and [`TopicId`].

use std::fmt;
use std::sync::Arc;

/// One partition of one topic, by name.
///
/// ```
/// use brokerless::TopicPartition;
/// let partition = TopicPartition::new("orders", 3);
/// assert_eq!(partition.to_string(), "orders-3");
/// ```
///
/// Whatever takes partitions takes them in any of these forms: `impl Into<TopicPartition>` for one,
/// `impl IntoIterator<Item: Into<TopicPartition>>` for many.
///
/// ```
/// # fn example(consumer: &mut brokerless::Consumer, partition: brokerless::TopicPartition) -> brokerless::Result<()> {
/// consumer.seek(&partition, 42)?;
/// consumer.seek(("orders", 3), 42)?;
/// consumer.pause([&partition])?;
/// consumer.pause([("orders", 0), ("orders", 1)])?;
/// consumer.resume(consumer.assignment())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: i32,
}

impl TopicPartition {
    /// Names a partition; nothing is looked up.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's index, from 0.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The topic's name, to share without a copy.
    pub(crate) fn topic_arc(&self) -> &Arc<str> {
        &self.topic
    }
}

impl From<&TopicPartition> for TopicPartition {
    fn from(topic_partition: &TopicPartition) -> Self {
        topic_partition.clone()
    }
}

impl<T: Into<Arc<str>>> From<(T, i32)> for TopicPartition {
    fn from((topic, partition): (T, i32)) -> Self {
        Self::new(topic, partition)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic's identity: a random UUID, fresh each time a topic of that name is created (KIP-516).
///
/// Displayed as Kafka does: 22 characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TopicId(u128);

impl TopicId {
    /// Kafka's zero UUID: no id.
    pub const ZERO: Self = Self(0);

    /// A version 4 UUID from 128 random bits. Kafka never hands out an id whose text starts with a dash, so that bit
    /// pattern is moved out of the way.
    pub(crate) fn from_random(bits: u128) -> Self {
        let mut value = bits & !(0xf000 << 64) & !(0xc << 60) | 0x4000 << 64 | 0x8 << 60;
        if value >> 122 == 0b11_1110 {
            value ^= 1 << 127;
        }
        Self(value)
    }

    /// The 128 bits, most significant first.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id with these bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for shift in (0..21).map(|index| 122 - 6 * index) {
            write!(f, "{}", char::from(ALPHABET[(self.0 >> shift) as usize & 63]))?;
        }
        write!(f, "{}", char::from(ALPHABET[(self.0 << 4) as usize & 63]))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_read_as_kafka_prints_them() {
        // java.util.UUID 00010203-0405-4607-8809-0a0b0c0d0e0f through org.apache.kafka.common.Uuid.
        let id = TopicId::from_u128(0x0001_0203_0405_4607_8809_0a0b_0c0d_0e0f);
        assert_eq!(id.to_string(), "AAECAwQFRgeICQoLDA0ODw");
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn random_ids_are_version_4_and_never_start_with_a_dash() {
        for seed in 0..64u128 {
            let id = TopicId::from_random(seed << 122 | seed);
            assert_eq!(id.as_u128() >> 76 & 0xf, 4);
            assert_eq!(id.as_u128() >> 62 & 0b11, 0b10);
            assert!(!id.to_string().starts_with('-'));
        }
    }
}
