//! [`Admin`].

use std::sync::Arc;

use crate::admin::{
    ClusterDescription, DeletedRecords, GroupDescription, GroupListing, ListedOffset, OffsetSpec, TopicDescription,
    TopicListing,
};
use crate::blocking::background::Background;
use crate::blocking::methods::blocking_methods;
use crate::client::admin::NewTopic;
use crate::error::Result;
use crate::types::{IsolationLevel, Offset, TopicId, TopicPartition};

/// An [`Admin`](crate::Admin) for plain threads.
#[derive(Clone, Debug)]
pub struct Admin {
    inner: crate::client::admin::Admin,
    background: Arc<Background>,
}

impl Admin {
    pub(super) fn new(inner: crate::client::admin::Admin, background: Arc<Background>) -> Self {
        Self { inner, background }
    }
}

impl Admin {
    blocking_methods! {
        "Admin";
        waits {
            /// Creates a topic.
            fn create_topic(self: &Self, topic: impl Into<NewTopic>) -> Result<TopicDescription>;
            /// Creates topics, each on its own.
            fn create_topics(self: &Self, topics: impl IntoIterator<Item = NewTopic>) -> Vec<Result<TopicDescription>>;
            /// Checks whether a topic could be created.
            fn validate_topic(self: &Self, topic: impl Into<NewTopic>) -> Result<TopicDescription>;
            /// Deletes a topic.
            fn delete_topic(self: &Self, name: impl Into<String>) -> Result<()>;
            /// Deletes topics, each on its own.
            fn delete_topics(self: &Self, names: impl IntoIterator<Item = impl Into<String>>) -> Vec<Result<()>>;
            /// Deletes a topic by its id.
            fn delete_topic_by_id(self: &Self, id: TopicId) -> Result<()>;
            /// Raises a topic's number of partitions.
            fn create_partitions(self: &Self, topic: impl AsRef<str>, total: i32) -> Result<TopicDescription>;
            /// All topics but Kafka's own.
            fn list_topics(self: &Self) -> Result<Vec<TopicListing>>;
            /// All topics.
            fn list_all_topics(self: &Self) -> Result<Vec<TopicListing>>;
            /// A topic and its partitions.
            fn describe_topic(self: &Self, name: impl AsRef<str>) -> Result<TopicDescription>;
            /// Topics and their partitions.
            fn describe_topics(self: &Self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Result<TopicDescription>>;
            /// A topic by its id.
            fn describe_topic_by_id(self: &Self, id: TopicId) -> Result<TopicDescription>;
            /// Looks up offsets, each on its own.
            fn list_offsets(
                self: &Self,
                specs: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetSpec)>,
                isolation: IsolationLevel,
            ) -> Vec<Result<ListedOffset>>;
            /// Deletes the records below an offset, of each partition on its own.
            fn delete_records(
                self: &Self,
                before: impl IntoIterator<Item = (impl Into<TopicPartition>, Offset)>,
            ) -> Vec<Result<DeletedRecords>>;
            /// The cluster and its brokers.
            fn describe_cluster(self: &Self) -> Result<ClusterDescription>;
            /// All groups.
            fn list_groups(self: &Self) -> Result<Vec<GroupListing>>;
            /// A group and its members.
            fn describe_group(self: &Self, group_id: impl AsRef<str>) -> Result<GroupDescription>;
            /// Groups and their members.
            fn describe_groups(
                self: &Self,
                group_ids: impl IntoIterator<Item = impl AsRef<str>>,
            ) -> Vec<Result<GroupDescription>>;
            /// Deletes a group without members, with its committed offsets.
            fn delete_group(self: &Self, group_id: impl AsRef<str>) -> Result<()>;
            /// Deletes groups, each on its own.
            fn delete_groups(self: &Self, group_ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Result<()>>;
        }
        calls {}
    }
}
