//! [`Admin`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blocking::background::Background;
use crate::blocking::methods::blocking_methods;
use crate::client::admin::{
    ClusterDescription, DeletedRecords, GroupDescription, GroupFilter, GroupListing, ListedOffset, LogDirDescription,
    MemberToRemove, NewPartitions, NewTopic, OffsetSpec, ProducerState, TopicDescription, TopicListing,
};
use crate::cluster::ElectionType;
use crate::config::{AlterConfigOp, ConfigEntry, ConfigResource};
use crate::error::Result;
use crate::types::{BrokerId, IsolationLevel, Offset, OffsetAndMetadata, TopicId, TopicPartition};

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
            /// Checks whether topics could be created, each on its own.
            fn validate_topics(self: &Self, topics: impl IntoIterator<Item = NewTopic>) -> Vec<Result<TopicDescription>>;
            /// Deletes a topic.
            fn delete_topic(self: &Self, name: impl Into<String>) -> Result<()>;
            /// Deletes topics, each on its own.
            fn delete_topics(self: &Self, names: impl IntoIterator<Item = impl Into<String>>) -> Vec<Result<()>>;
            /// Deletes a topic by its id.
            fn delete_topic_by_id(self: &Self, id: TopicId) -> Result<()>;
            /// Raises a topic's number of partitions.
            fn create_partitions(
                self: &Self,
                topic: impl AsRef<str>,
                partitions: impl Into<NewPartitions>,
            ) -> Result<TopicDescription>;
            /// Checks whether a topic's number of partitions could be raised.
            fn validate_partitions(
                self: &Self,
                topic: impl AsRef<str>,
                partitions: impl Into<NewPartitions>,
            ) -> Result<TopicDescription>;
            /// The settings of resources, with their sources and synonyms.
            fn describe_configs(
                self: &Self,
                resources: impl IntoIterator<Item = ConfigResource>,
            ) -> Vec<Result<Vec<ConfigEntry>>>;
            /// The settings of a topic.
            fn describe_topic_config(self: &Self, topic: impl Into<String>) -> Result<Vec<ConfigEntry>>;
            /// Changes settings of resources, each resource on its own.
            fn incremental_alter_configs(
                self: &Self,
                changes: impl IntoIterator<Item = (ConfigResource, impl IntoIterator<Item = AlterConfigOp>)>,
            ) -> Vec<Result<()>>;
            /// Checks whether settings could be changed.
            fn validate_alter_configs(
                self: &Self,
                changes: impl IntoIterator<Item = (ConfigResource, impl IntoIterator<Item = AlterConfigOp>)>,
            ) -> Vec<Result<()>>;
            /// Changes settings of a topic.
            fn alter_topic_config(
                self: &Self,
                topic: impl Into<String>,
                changes: impl IntoIterator<Item = AlterConfigOp>,
            ) -> Result<()>;
            /// Elects leaders of these partitions.
            fn elect_leaders(
                self: &Self,
                election: ElectionType,
                partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
            ) -> Vec<Result<()>>;
            /// Elects leaders of all partitions that want one.
            fn elect_all_leaders(self: &Self, election: ElectionType) -> Result<Vec<Result<TopicPartition>>>;
            /// The log directories of brokers, with the sizes of their logs.
            fn describe_log_dirs(
                self: &Self,
                brokers: impl IntoIterator<Item = impl Into<BrokerId>>,
            ) -> Vec<Result<Vec<LogDirDescription>>>;
            /// The producers that partitions remember.
            fn describe_producers(
                self: &Self,
                partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
            ) -> Vec<Result<Vec<ProducerState>>>;
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
            /// The groups that a filter lets through.
            fn list_groups_matching(self: &Self, filter: &GroupFilter) -> Result<Vec<GroupListing>>;
            /// A group and its members.
            fn describe_group(self: &Self, group_id: impl AsRef<str>) -> Result<GroupDescription>;
            /// Groups and their members.
            fn describe_groups(
                self: &Self,
                group_ids: impl IntoIterator<Item = impl AsRef<str>>,
            ) -> Vec<Result<GroupDescription>>;
            /// What a group has committed.
            fn list_group_offsets(
                self: &Self,
                group_id: impl AsRef<str>,
            ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>>;
            /// What a group has committed of these partitions.
            fn list_group_offsets_for(
                self: &Self,
                group_id: impl AsRef<str>,
                partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
            ) -> Result<Vec<(TopicPartition, Option<OffsetAndMetadata>)>>;
            /// Commits for a group without members.
            fn alter_group_offsets(
                self: &Self,
                group_id: impl AsRef<str>,
                offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, impl Into<OffsetAndMetadata>)>,
            ) -> Vec<Result<()>>;
            /// Forgets what a group has committed of these partitions.
            fn delete_group_offsets(
                self: &Self,
                group_id: impl AsRef<str>,
                partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
            ) -> Vec<Result<()>>;
            /// Removes members from a group.
            fn remove_group_members(
                self: &Self,
                group_id: impl AsRef<str>,
                members: impl IntoIterator<Item = MemberToRemove>,
                reason: &str,
            ) -> Vec<Result<()>>;
            /// Removes all members from a group.
            fn remove_all_group_members(self: &Self, group_id: impl AsRef<str>, reason: &str) -> Result<usize>;
            /// Deletes a group without members, with its committed offsets.
            fn delete_group(self: &Self, group_id: impl AsRef<str>) -> Result<()>;
            /// Deletes groups, each on its own.
            fn delete_groups(self: &Self, group_ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Result<()>>;
        }
        calls {}
    }
}
