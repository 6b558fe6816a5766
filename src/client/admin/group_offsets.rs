//! Committed offsets, as an administrator sees and changes them.

use std::collections::BTreeMap;

use crate::client::admin::Admin;
use crate::cluster::group::{OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

impl Admin {
    /// Everything that a group has committed. A group that does not exist has committed nothing.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE`.
    pub async fn list_group_offsets(
        &self,
        group_id: impl AsRef<str>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let committed = self.fetch_group_offsets(group_id.as_ref(), None).await?;
        Ok(committed.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect())
    }

    /// What a group has committed for these partitions, in their order; `None` where that is nothing. Partitions that
    /// do not exist have no offset either.
    ///
    /// # Errors
    /// As for [`Admin::list_group_offsets`].
    pub async fn list_group_offsets_for<P: Into<TopicPartition>>(
        &self,
        group_id: impl AsRef<str>,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Vec<(TopicPartition, Option<OffsetAndMetadata>)>> {
        let partitions = partitions.into_iter().map(Into::into).collect();
        self.fetch_group_offsets(group_id.as_ref(), Some(partitions)).await
    }

    async fn fetch_group_offsets(
        &self,
        group_id: &str,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Result<Vec<(TopicPartition, Option<OffsetAndMetadata>)>> {
        self.cluster.check_open()?;
        let request = OffsetFetchRequest { group_id: group_id.to_owned(), partitions, require_stable: false };
        let OffsetFetchResponse { error, partitions } = self.cluster.fetch_offsets(request).await;
        if error.is_none() { Ok(partitions) } else { Err(refusal(error, group_id)) }
    }

    /// Sets the offsets that a group without members goes on from, each on its own: Kafka's way to rewind or skip. A
    /// group that does not exist comes into being by it, as one that only keeps offsets.
    ///
    /// ```
    /// use brokerless::{Cluster, NewTopic, TopicPartition};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// let admin = Cluster::in_memory().admin();
    /// admin.create_topic(NewTopic::new("orders")).await?;
    /// let altered = admin.alter_group_offsets("billing", [(("orders", 0), 42)]).await;
    /// altered.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(admin.list_group_offsets("billing").await?[&TopicPartition::new("orders", 0)].offset(), 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID` while the group has members, which is Kafka's answer; `UNKNOWN_TOPIC_OR_PARTITION`;
    /// `OFFSET_METADATA_TOO_LARGE`; `POLICY_VIOLATION` if the group would be one too many for
    /// [`ClusterBuilder::max_groups`](crate::ClusterBuilder::max_groups).
    pub async fn alter_group_offsets<P: Into<TopicPartition>, O: Into<OffsetAndMetadata>>(
        &self,
        group_id: impl AsRef<str>,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Vec<Result<()>> {
        let group_id = group_id.as_ref();
        let offsets: Vec<_> =
            offsets.into_iter().map(|(partition, offset)| (partition.into(), offset.into())).collect();
        if let Err(closed) = self.cluster.check_open() {
            return vec![Err(closed); offsets.len()];
        }
        let request = OffsetCommitRequest {
            group_id: group_id.to_owned(),
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
            offsets,
        };
        let response = self.cluster.commit_offsets(request).await;
        response.partitions.into_iter().map(|(partition, code)| check(code, group_id, partition)).collect()
    }

    /// Forgets what a group has committed for these partitions, each on its own. Where nothing is committed, nothing has
    /// to be forgotten.
    ///
    /// # Errors
    /// `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic; `UNKNOWN_TOPIC_OR_PARTITION`. For all of them:
    /// `GROUP_ID_NOT_FOUND`; `INVALID_GROUP_ID` for the empty id; `NON_EMPTY_GROUP` if the group has members that are
    /// not consumers.
    pub async fn delete_group_offsets<P: Into<TopicPartition>>(
        &self,
        group_id: impl AsRef<str>,
        partitions: impl IntoIterator<Item = P>,
    ) -> Vec<Result<()>> {
        let group_id = group_id.as_ref();
        let partitions: Vec<_> = partitions.into_iter().map(Into::into).collect();
        let asked = partitions.len();
        if let Err(closed) = self.cluster.check_open() {
            return vec![Err(closed); asked];
        }
        let request = OffsetDeleteRequest { group_id: group_id.to_owned(), partitions };
        let response = self.cluster.delete_offsets(request).await;
        if !response.error.is_none() {
            return vec![Err(refusal(response.error, group_id)); asked];
        }
        response.partitions.into_iter().map(|(partition, code)| check(code, group_id, partition)).collect()
    }
}

fn check(code: ErrorCode, group_id: &str, partition: TopicPartition) -> Result<()> {
    if code.is_none() { Ok(()) } else { Err(refusal(code, group_id).with_topic_partition(partition)) }
}

fn refusal(code: ErrorCode, group_id: &str) -> Error {
    Error::new(code, format!("group {group_id}: {}", code.message()))
}
