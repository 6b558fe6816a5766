//! [`NewTopic`].

use crate::cluster::CreatableTopic;
use crate::config::TopicConfig;
use crate::types::BrokerId;

/// A topic to create: its name, and what differs from the broker's defaults.
///
/// ```
/// use brokerless::NewTopic;
/// let topic = NewTopic::new("orders").partitions(6).replication_factor(1).config("retention.ms", "3600000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    assignments: Vec<(i32, Vec<BrokerId>)>,
    config: TopicConfig,
}

/// What leaves the choice to the broker.
const BROKER_DEFAULT: i16 = -1;

impl NewTopic {
    /// A topic with the broker's `num.partitions` (1), `default.replication.factor` (1) and topic settings. The name is
    /// checked when the topic is created: 1 to 249 of `[a-zA-Z0-9._-]`, but neither `.` nor `..`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: i32::from(BROKER_DEFAULT),
            replication_factor: BROKER_DEFAULT,
            assignments: Vec::new(),
            config: TopicConfig::new(),
        }
    }

    /// How many partitions, 1 to 10,000. Default: the broker's `num.partitions`.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// How many replicas each partition has, up to the number of brokers. Default: the broker's
    /// `default.replication.factor`.
    #[must_use]
    pub fn replication_factor(mut self, replicas: i16) -> Self {
        self.replication_factor = replicas;
        self
    }

    /// Each partition's brokers, the preferred leader first, instead of leaving them to the cluster: pairs of partition,
    /// from 0 without a gap, and brokers. The number of partitions and the replication factor follow from it and may not
    /// be given as well. Without any pair the choice stays with the cluster.
    ///
    /// ```
    /// use brokerless::NewTopic;
    /// use brokerless::types::BrokerId;
    /// let topic = NewTopic::new("orders").assignments([(0, [BrokerId(1)]), (1, [BrokerId(1)])]);
    /// ```
    #[must_use]
    pub fn assignments<B: IntoIterator<Item: Into<BrokerId>>>(
        mut self,
        assignments: impl IntoIterator<Item = (i32, B)>,
    ) -> Self {
        let brokers = |brokers: B| brokers.into_iter().map(Into::into).collect();
        self.assignments = assignments.into_iter().map(|(index, replicas)| (index, brokers(replicas))).collect();
        self
    }

    /// Overrides one topic setting, by Kafka's name; for more at once see [`NewTopic::configs`].
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config = self.config.set(name, value);
        self
    }

    /// Overrides topic settings: those of a [`TopicConfig`], which has typed setters. Like [`NewTopic::config`], each
    /// replaces an earlier one of the same name and leaves the others.
    #[must_use]
    pub fn configs(mut self, config: TopicConfig) -> Self {
        self.config = config.iter().fold(self.config, |config, (name, value)| config.set(name, value));
        self
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_creatable(self) -> CreatableTopic {
        let configs = self.config.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        CreatableTopic {
            name: self.name,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignments: self.assignments,
            configs,
        }
    }
}

impl From<&str> for NewTopic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_left_to_the_broker() {
        let topic = NewTopic::new("t").into_creatable();
        assert_eq!((topic.partitions, topic.replication_factor), (-1, -1));
        assert!(topic.configs.is_empty());
    }

    #[test]
    fn configs_merge() {
        let topic = NewTopic::new("t")
            .config("retention.ms", "1")
            .config("segment.ms", "2")
            .configs(TopicConfig::new().retain_forever())
            .into_creatable();
        let pairs: Vec<_> = topic.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("retention.ms", "-1"), ("segment.ms", "2")]);
    }
}
