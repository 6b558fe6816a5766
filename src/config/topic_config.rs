//! [`TopicConfig`]: a topic's overrides, as a user states them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{CompressionType, TimestampType};

/// A topic's own settings, in Kafka's property names. What is not set here comes from the broker's defaults.
///
/// Values are checked when a topic is created with them; a bad name or value is `INVALID_CONFIG` then, with Kafka's
/// text. Every topic setting of Kafka 4.3 is known; one whose behaviour is not built yet (`remote.storage.enable=true`,
/// `unclean.leader.election.enable=true`, throttled replicas) is refused.
///
/// ```
/// use std::time::Duration;
/// use brokerless::{NewTopic, TopicConfig};
///
/// let config = TopicConfig::new().retention(Duration::from_secs(3600)).set("segment.bytes", "1048576");
/// let topic = NewTopic::new("clicks").partitions(3).configs(config);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicConfig {
    properties: BTreeMap<String, String>,
}

impl TopicConfig {
    /// No overrides.
    pub fn new() -> Self {
        Self::default()
    }

    /// Overrides from pairs of property name and value.
    pub fn from_properties<N: Into<String>, V: Into<String>>(properties: impl IntoIterator<Item = (N, V)>) -> Self {
        properties.into_iter().fold(Self::new(), |config, (name, value)| config.set(name, value))
    }

    /// Sets a property by Kafka's name; a later value replaces an earlier one.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// `retention.ms`: how long records are kept at least, in whole milliseconds. Default 7 days.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set("retention.ms", millis(retention))
    }

    /// `retention.ms=-1`: records are kept for ever, as far as their age goes.
    #[must_use]
    pub fn retain_forever(self) -> Self {
        self.set("retention.ms", "-1")
    }

    /// `retention.bytes`: how many bytes a partition keeps at least before old segments go. Default: no bound.
    #[must_use]
    pub fn retention_bytes(self, bytes: u64) -> Self {
        self.set("retention.bytes", bytes.to_string())
    }

    /// `segment.bytes`: the size at which a new segment begins, from 1 MiB. Default 1 GiB.
    #[must_use]
    pub fn segment_bytes(self, bytes: u32) -> Self {
        self.set("segment.bytes", bytes.to_string())
    }

    /// `segment.ms`: the age at which a new segment begins, even if the old one is not full. Default 7 days.
    #[must_use]
    pub fn segment_age(self, age: Duration) -> Self {
        self.set("segment.ms", millis(age))
    }

    /// `max.message.bytes`: the largest batch, its header included, after compression. Default 1,048,588.
    #[must_use]
    pub fn max_message_bytes(self, bytes: u32) -> Self {
        self.set("max.message.bytes", bytes.to_string())
    }

    /// `compression.type`: how the broker stores batches, whatever the producer chose. Default `producer`, as they come.
    #[must_use]
    pub fn compression(self, compression: CompressionType) -> Self {
        let name = match compression {
            CompressionType::None => "uncompressed",
            codec => codec.name(),
        };
        self.set("compression.type", name)
    }

    /// `message.timestamp.type`: whose clock stamps the records. Default `CreateTime`, the producer's.
    #[must_use]
    pub fn timestamp_type(self, timestamp_type: TimestampType) -> Self {
        let name = match timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        self.set("message.timestamp.type", name)
    }

    /// `min.insync.replicas`: how many replicas must be in sync for `acks=all` to be accepted. Default 1.
    #[must_use]
    pub fn min_insync_replicas(self, replicas: i32) -> Self {
        self.set("min.insync.replicas", replicas.to_string())
    }

    /// `brokerless.memory.max.bytes`, which Kafka does not have: how many bytes the topic's partitions may hold
    /// together; what happens then is the cluster's [`MemoryPolicy`](crate::MemoryPolicy). Default: no bound, or what
    /// [`ClusterBuilder::topic_memory_limit`](crate::ClusterBuilder::topic_memory_limit) says.
    #[must_use]
    pub fn memory_limit(self, bytes: u64) -> Self {
        self.set("brokerless.memory.max.bytes", bytes.to_string())
    }

    /// The overrides, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Kafka's `LONG` ms; a longer span is as good as the longest.
fn millis(duration: Duration) -> String {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BrokerConfig, topic_property};

    #[test]
    fn setters_write_kafkas_names() {
        let config = TopicConfig::new()
            .retention(Duration::from_secs(1))
            .retention_bytes(5)
            .segment_bytes(1 << 20)
            .segment_age(Duration::from_millis(7))
            .max_message_bytes(9)
            .compression(CompressionType::None)
            .timestamp_type(TimestampType::LogAppendTime)
            .min_insync_replicas(1)
            .set("flush.ms", "10");
        let pairs: Vec<_> = config.iter().collect();
        assert_eq!(
            pairs,
            [
                ("compression.type", "uncompressed"),
                ("flush.ms", "10"),
                ("max.message.bytes", "9"),
                ("message.timestamp.type", "LogAppendTime"),
                ("min.insync.replicas", "1"),
                ("retention.bytes", "5"),
                ("retention.ms", "1000"),
                ("segment.bytes", "1048576"),
                ("segment.ms", "7"),
            ]
        );
        topic_property::validate(&BrokerConfig::default(), &config.properties).unwrap();
    }

    #[test]
    fn later_values_replace_earlier_ones() {
        let config = TopicConfig::from_properties([("retention.ms", "1")]).retain_forever();
        assert_eq!(config.iter().collect::<Vec<_>>(), [("retention.ms", "-1")]);
        assert_eq!(
            TopicConfig::new().retention(Duration::MAX).iter().next(),
            Some(("retention.ms", &*i64::MAX.to_string()))
        );
    }
}
