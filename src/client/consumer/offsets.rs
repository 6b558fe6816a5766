//! Questions about offsets and topics.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use crate::client::consumer::Consumer;
use crate::client::consumer::commit::no_group_id;
use crate::client::partition_info::PartitionInfo;
use crate::cluster::PartitionHandle;
use crate::cluster::group::OffsetFetchRequest;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{LeaderEpoch, Offset, OffsetAndMetadata, TopicPartition};

impl Consumer {
    /// The offset of the next record that a poll would return of this partition. Looks up what is committed, if need be.
    ///
    /// # Errors
    /// An illegal state if the partition is not assigned; `OFFSET_OUT_OF_RANGE` without a committed offset and with
    /// `auto.offset.reset=none`; a timeout after `default.api.timeout.ms`.
    pub async fn position(&mut self, topic_partition: impl Into<TopicPartition>) -> Result<Offset> {
        let topic_partition = topic_partition.into();
        let deadline = self.now() + self.config.default_api_timeout;
        self.create_missing_topic(topic_partition.topic())?;
        loop {
            let version = self.cluster.metadata_version();
            if let Some(position) = self.subscriptions.assigned(&topic_partition)?.known_position() {
                return Ok(position);
            }
            self.subscriptions.unsettled = true;
            let settled = poll_fn(|cx| match self.settle_positions(cx) {
                Ok(()) if self.offset_fetch.is_some() => Poll::Pending,
                settled => Poll::Ready(settled),
            });
            let late = || {
                let message = "position could not be determined within default.api.timeout.ms";
                Error::timeout(message).with_topic_partition(topic_partition.clone())
            };
            tokio::time::timeout_at(deadline, settled).await.map_err(|_| late())??;
            // Without a leader there is none until there is one.
            if self.subscriptions.assigned(&topic_partition)?.known_position().is_none() {
                let retry_at = self.now() + self.config.retry_backoff;
                let _newer =
                    tokio::time::timeout_at(retry_at.min(deadline), self.cluster.metadata_changed(version)).await;
                if self.now() >= deadline {
                    return Err(late());
                }
            }
        }
    }

    /// What the group has committed for these partitions; no entry where there is nothing.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` without a group; a timeout after `default.api.timeout.ms`.
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let partitions: Vec<_> = partitions.into_iter().map(Into::into).collect();
        let start = self.now();
        let deadline = start + self.config.default_api_timeout;
        let committed = self.committed_until(deadline, partitions).await;
        if let Some(group) = &self.group {
            group.metrics.polls.waited_for_committed(self.now() - start);
        }
        committed
    }

    async fn committed_until(
        &self,
        deadline: Instant,
        partitions: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let group_id = self.config.group_id.as_ref().ok_or_else(no_group_id)?;
        let mut backoff = self.config.retry_backoff;
        loop {
            let request = OffsetFetchRequest {
                group_id: group_id.clone(),
                partitions: Some(partitions.clone()),
                require_stable: true,
            };
            let late = || Error::timeout("committed offsets could not be fetched within default.api.timeout.ms");
            let answer = tokio::time::timeout_at(deadline, self.cluster.fetch_offsets(request));
            let response = answer.await.map_err(|_| late())?;
            match response.error {
                ErrorCode::None => {
                    let committed = response.partitions.into_iter();
                    return Ok(committed.filter_map(|(partition, offset)| Some((partition, offset?))).collect());
                }
                code if code.is_retriable() && self.now() + backoff < deadline => {
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(self.config.retry_backoff_max);
                }
                code if code.is_retriable() => return Err(late().with_source(Error::from(code))),
                code => return Err(code.into()),
            }
        }
    }

    /// The log start of these partitions: the offset of the first record that there still is.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` for a partition that does not exist.
    pub async fn beginning_offsets(
        &self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        self.ask_leaders(partitions, |handle| handle.offsets().log_start()).await
    }

    /// The end of these partitions: the high watermark, or the last stable offset if `isolation.level=read_committed`.
    /// Errors as [`Consumer::beginning_offsets`].
    pub async fn end_offsets(
        &self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        let isolation = self.fetcher.isolation();
        self.ask_leaders(partitions, |handle| handle.offsets().visible_end(isolation)).await
    }

    async fn ask_leaders<T>(
        &self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
        ask: impl Fn(&PartitionHandle) -> T,
    ) -> Result<BTreeMap<TopicPartition, T>> {
        let mut answers = BTreeMap::new();
        for topic_partition in partitions {
            let topic_partition = topic_partition.into();
            let leader = self.leader(&topic_partition).await?;
            answers.insert(topic_partition, ask(&leader));
        }
        Ok(answers)
    }

    /// For each partition the first record with a timestamp of at least the given one (ms since 1970); `None` where there
    /// is none.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` for a partition that does not exist; `INVALID_REQUEST` for a negative timestamp.
    pub async fn offsets_for_times(
        &self,
        timestamps: impl IntoIterator<Item = (impl Into<TopicPartition>, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let mut found = BTreeMap::new();
        for (topic_partition, timestamp) in timestamps {
            let topic_partition = topic_partition.into();
            if timestamp < 0 {
                let message = format!("the target time must not be negative: {timestamp}");
                return Err(Error::new(ErrorCode::InvalidRequest, message).with_topic_partition(topic_partition));
            }
            let leader = self.leader(&topic_partition).await?;
            let first = leader.offset_for_timestamp(timestamp, self.fetcher.isolation())?;
            let first =
                first.map(|(offset, timestamp, leader_epoch)| OffsetAndTimestamp { offset, timestamp, leader_epoch });
            found.insert(topic_partition, first);
        }
        Ok(found)
    }

    /// How many records the position of this partition is behind its end, at this moment; `None` while position or leader
    /// are unknown.
    ///
    /// # Errors
    /// An illegal state if the partition is not assigned.
    pub fn current_lag(&self, topic_partition: impl Into<TopicPartition>) -> Result<Option<i64>> {
        let state = self.subscriptions.assigned(&topic_partition.into())?;
        let (Some(position), Some(handle)) = (state.known_position(), &state.handle) else { return Ok(None) };
        Ok(Some((handle.offsets().visible_end(self.fetcher.isolation()) - position).max(0)))
    }

    /// The partitions of a topic, in order.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` if there is no such topic.
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>> {
        self.create_missing_topic(topic)?;
        let image = self.cluster.image();
        let Some(topic_image) = image.topic(topic) else {
            return Err(Error::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {topic}")));
        };
        Ok(PartitionInfo::of_topic(topic_image))
    }

    /// All topics but Kafka's internal ones, with their partitions.
    pub async fn list_topics(&self) -> Result<BTreeMap<String, Vec<PartitionInfo>>> {
        let image = self.cluster.image();
        let topics = image.topics.iter().filter(|(_, topic)| !topic.is_internal());
        Ok(topics.map(|(name, topic)| (name.to_string(), PartitionInfo::of_topic(topic))).collect())
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    offset: Offset,
    timestamp: i64,
    leader_epoch: LeaderEpoch,
}

impl OffsetAndTimestamp {
    /// The record's offset.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The record's timestamp, in ms since 1970.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Epoch of the leader that appended the record.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }
}
