//! Topics and their partitions.

use crate::client::admin::{Admin, NewPartitions, NewTopic, TopicDescription, TopicListing};
use crate::cluster::{TopicSelector, validate_topic_name};
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicId;

impl Admin {
    /// Creates a topic and returns it. It can be written and read at once.
    ///
    /// # Errors
    /// `TOPIC_ALREADY_EXISTS`; `INVALID_TOPIC_EXCEPTION` for a name against the rules, or one that differs from
    /// another topic's in `.` against `_` only; `INVALID_PARTITIONS`; `INVALID_REPLICATION_FACTOR`; `INVALID_CONFIG`;
    /// `INVALID_REPLICA_ASSIGNMENT`; `INVALID_REQUEST` for assignments beside a number of partitions or of replicas;
    /// `POLICY_VIOLATION` past 10,000 partitions at once or, in all, `ClusterBuilder::max_partitions`.
    pub async fn create_topic(&self, topic: impl Into<NewTopic>) -> Result<TopicDescription> {
        only(self.create([topic.into()], false))
    }

    /// Creates topics, each on its own: one that fails keeps none of the others back. Errors as for
    /// [`Admin::create_topic`], and `INVALID_REQUEST` for a name that is there twice.
    pub async fn create_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Vec<Result<TopicDescription>> {
        self.create(topics, false)
    }

    /// Checks whether [`Admin::create_topic`] would succeed, and how the topic would look (but for its id); creates
    /// nothing. Kafka's `validateOnly`.
    pub async fn validate_topic(&self, topic: impl Into<NewTopic>) -> Result<TopicDescription> {
        only(self.create([topic.into()], true))
    }

    /// Checks topics as [`Admin::validate_topic`] does, each on its own, but as one request: a name that is there twice is
    /// `INVALID_REQUEST`.
    pub async fn validate_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Vec<Result<TopicDescription>> {
        self.create(topics, true)
    }

    fn create(&self, topics: impl IntoIterator<Item = NewTopic>, validate_only: bool) -> Vec<Result<TopicDescription>> {
        let topics = topics.into_iter().map(NewTopic::into_creatable).collect();
        let created = self.cluster.create_topics(topics, validate_only);
        created.into_iter().map(|topic| topic.map(TopicDescription::new)).collect()
    }

    /// Deletes a topic with all its records, and what groups committed for it.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `TOPIC_DELETION_DISABLED` with `delete.topic.enable=false`.
    pub async fn delete_topic(&self, name: impl Into<String>) -> Result<()> {
        only(self.delete([TopicSelector::Name(name.into())]))
    }

    /// Deletes topics, each on its own. Errors as for [`Admin::delete_topic`], and `INVALID_REQUEST` for a name that is
    /// there twice.
    pub async fn delete_topics<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Vec<Result<()>> {
        self.delete(names.into_iter().map(|name| TopicSelector::Name(name.into())))
    }

    /// Deletes the topic with this id, whatever it is called, and no later one of the same name.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_ID`; `INVALID_REQUEST` for the zero id; `TOPIC_DELETION_DISABLED`.
    pub async fn delete_topic_by_id(&self, id: TopicId) -> Result<()> {
        only(self.delete([TopicSelector::Id(id)]))
    }

    fn delete(&self, topics: impl IntoIterator<Item = TopicSelector>) -> Vec<Result<()>> {
        let deleted = self.cluster.delete_topics(topics.into_iter().collect());
        deleted.into_iter().map(|topic| topic.map(drop)).collect()
    }

    /// Raises a topic's number of partitions: to a number, or as [`NewPartitions`] says. Records stay where they are; keys
    /// may go elsewhere from now on.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_PARTITIONS` unless it is an increase; `INVALID_REPLICA_ASSIGNMENT` for
    /// assignments that are not one for each new partition, or name a broker that is not there or one twice;
    /// `POLICY_VIOLATION` past the bounds of [`Admin::create_topic`].
    pub async fn create_partitions(
        &self,
        topic: impl AsRef<str>,
        partitions: impl Into<NewPartitions>,
    ) -> Result<TopicDescription> {
        self.grow(topic.as_ref(), &partitions.into(), false)
    }

    /// Checks whether [`Admin::create_partitions`] would succeed, and how the topic would look; creates nothing. Kafka's
    /// `validateOnly`.
    pub async fn validate_partitions(
        &self,
        topic: impl AsRef<str>,
        partitions: impl Into<NewPartitions>,
    ) -> Result<TopicDescription> {
        self.grow(topic.as_ref(), &partitions.into(), true)
    }

    fn grow(&self, topic: &str, partitions: &NewPartitions, validate_only: bool) -> Result<TopicDescription> {
        let NewPartitions { total, assignments } = partitions;
        let grown = self.cluster.create_partitions(topic, *total, assignments.as_deref(), validate_only);
        grown.map(TopicDescription::new)
    }

    /// All topics in order of name, without Kafka's own.
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        let mut topics = self.list_all_topics().await?;
        topics.retain(|topic| !topic.is_internal());
        Ok(topics)
    }

    /// All topics in order of name, Kafka's own among them: its `listInternal`.
    pub async fn list_all_topics(&self) -> Result<Vec<TopicListing>> {
        self.cluster.check_open()?;
        Ok(self.cluster.image().topics.values().map(|topic| TopicListing::new(topic)).collect())
    }

    /// A topic and its partitions.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_TOPIC_EXCEPTION` for what cannot be a topic's name.
    pub async fn describe_topic(&self, name: impl AsRef<str>) -> Result<TopicDescription> {
        self.cluster.check_open()?;
        let name = name.as_ref();
        match self.cluster.image().topic(name) {
            Some(topic) => Ok(TopicDescription::new(topic.clone())),
            None => {
                validate_topic_name(name)?;
                Err(unknown_topic(ErrorCode::UnknownTopicOrPartition, name))
            }
        }
    }

    /// Topics and their partitions. Errors as for [`Admin::describe_topic`].
    pub async fn describe_topics<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Vec<Result<TopicDescription>> {
        let mut topics = Vec::new();
        for name in names {
            topics.push(self.describe_topic(name).await);
        }
        topics
    }

    /// The topic with this id, and its partitions.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_ID`.
    pub async fn describe_topic_by_id(&self, id: TopicId) -> Result<TopicDescription> {
        self.cluster.check_open()?;
        let image = self.cluster.image();
        let topic = image.topic_by_id(id).ok_or_else(|| unknown_topic(ErrorCode::UnknownTopicId, &id.to_string()))?;
        Ok(TopicDescription::new(topic.clone()))
    }
}

fn unknown_topic(code: ErrorCode, topic: &str) -> Error {
    Error::new(code, format!("topic {topic}: {}", code.message()))
}

/// The answer to a request for one thing.
pub(super) fn only<T>(mut answers: Vec<Result<T>>) -> Result<T> {
    debug_assert_eq!(answers.len(), 1);
    answers.pop().unwrap_or_else(|| Err(ErrorCode::UnknownServerError.into()))
}
