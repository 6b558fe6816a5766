//! [`Consumer`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::background::Background;
use crate::blocking::methods::blocking_methods;
use crate::client::consumer::{
    ConsumerGroupMetadata, ConsumerRecords, ConsumerWaker, OffsetAndTimestamp, PartitionInfo, RebalanceListener,
};
use crate::error::Result;
use crate::metrics::Metrics;
use crate::types::{Offset, OffsetAndMetadata, TopicPartition};

/// A [`Consumer`](crate::Consumer) for plain threads: it belongs to one at a time, and works inside of its
/// [`poll`](Self::poll). Dropped without [`close`](Self::close) it leaves its group and commits nothing.
#[derive(Debug)]
pub struct Consumer {
    // Before the background thread, which its drop needs.
    inner: crate::client::consumer::Consumer,
    background: Arc<Background>,
}

impl Consumer {
    pub(super) fn new(inner: crate::client::consumer::Consumer, background: Arc<Background>) -> Self {
        Self { inner, background }
    }

    /// Commits, if that is automatic, and leaves the group, within 30 s: see
    /// [`Consumer::close`](crate::Consumer::close).
    ///
    /// # Errors
    /// Those of the last commit. The consumer is closed all the same.
    pub fn close(self) -> Result<()> {
        self.background.block_on(self.inner.close())
    }

    /// The same, within `timeout`.
    ///
    /// # Errors
    /// Those of the last commit. The consumer is closed all the same.
    pub fn close_timeout(self, timeout: Duration) -> Result<()> {
        self.background.block_on(self.inner.close_timeout(timeout))
    }

    /// Commits the positions of everything returned so far; the callback runs within a later poll, commit or close: see
    /// [`Consumer::commit_async_with`](crate::Consumer::commit_async_with).
    pub fn commit_async(&mut self, callback: impl FnOnce(Result<()>) + Send + 'static) {
        self.inner.commit_async_with(callback);
    }
}

impl Consumer {
    blocking_methods! {
        "Consumer";
        waits {
            /// Returns records as soon as there are any; none if `timeout` passes first.
            fn poll(self: &mut Self, timeout: Duration) -> Result<ConsumerRecords>;
            /// Commits the positions of everything returned so far.
            fn commit(self: &mut Self) -> Result<()>;
            /// Commits these positions.
            fn commit_offsets(
                self: &mut Self,
                offsets: impl IntoIterator<Item = (impl Into<TopicPartition>, OffsetAndMetadata)>,
            ) -> Result<()>;
            /// The offset of the next record to be returned.
            fn position(self: &mut Self, topic_partition: impl Into<TopicPartition>) -> Result<Offset>;
            /// What the group has committed.
            fn committed(
                self: &Self,
                partitions: impl IntoIterator<Item: Into<TopicPartition>>,
            ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>>;
            /// The log start of these partitions.
            fn beginning_offsets(
                self: &Self,
                partitions: impl IntoIterator<Item: Into<TopicPartition>>,
            ) -> Result<BTreeMap<TopicPartition, Offset>>;
            /// The end of these partitions.
            fn end_offsets(
                self: &Self,
                partitions: impl IntoIterator<Item: Into<TopicPartition>>,
            ) -> Result<BTreeMap<TopicPartition, Offset>>;
            /// For each partition the first record at or after a timestamp.
            fn offsets_for_times(
                self: &Self,
                timestamps: impl IntoIterator<Item = (impl Into<TopicPartition>, i64)>,
            ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>>;
            /// The partitions of a topic.
            fn partitions_for(self: &Self, topic: &str) -> Result<Vec<PartitionInfo>>;
            /// All topics but Kafka's own, with their partitions.
            fn list_topics(self: &Self) -> Result<BTreeMap<String, Vec<PartitionInfo>>>;
        }
        calls {
            /// Subscribes to topics.
            fn subscribe(self: &mut Self, topics: impl IntoIterator<Item = impl Into<String>>) -> Result<()>;
            /// Subscribes to topics, with somebody to hear of the partitions that come and go.
            fn subscribe_with_listener(
                self: &mut Self,
                topics: impl IntoIterator<Item = impl Into<String>>,
                listener: impl RebalanceListener + 'static,
            ) -> Result<()>;
            /// Subscribes to all topics that match a regular expression.
            fn subscribe_pattern(self: &mut Self, pattern: &str) -> Result<()>;
            /// Subscribes to all topics that match a regular expression, with somebody to hear of the partitions that
            /// come and go.
            fn subscribe_pattern_with_listener(
                self: &mut Self,
                pattern: &str,
                listener: impl RebalanceListener + 'static,
            ) -> Result<()>;
            /// The topics subscribed to.
            fn subscription(self: &Self) -> BTreeSet<String>;
            /// Reads these partitions, whatever a group does.
            fn assign(self: &mut Self, partitions: impl IntoIterator<Item = impl Into<TopicPartition>>) -> Result<()>;
            /// The partitions that the consumer has.
            fn assignment(self: &Self) -> BTreeSet<TopicPartition>;
            /// Gives up all topics and partitions, and leaves the group.
            fn unsubscribe(self: &mut Self);
            /// Has the group rebalance.
            fn enforce_rebalance(self: &mut Self, reason: &str) -> Result<()>;
            /// Has the next poll go on at `offset`.
            fn seek(self: &mut Self, topic_partition: impl Into<TopicPartition>, offset: Offset) -> Result<()>;
            /// Has the next poll go on at a committed position.
            fn seek_with_metadata(
                self: &mut Self,
                topic_partition: impl Into<TopicPartition>,
                to: OffsetAndMetadata,
            ) -> Result<()>;
            /// Has the next poll go on at the first record at or after a timestamp.
            fn seek_to_timestamp(
                self: &mut Self,
                partitions: impl IntoIterator<Item: Into<TopicPartition>>,
                timestamp: i64,
            ) -> Result<()>;
            /// Has the next poll go on at the log start.
            fn seek_to_beginning(self: &mut Self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()>;
            /// Has the next poll go on at the end.
            fn seek_to_end(self: &mut Self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()>;
            /// Stops reading these partitions until they are resumed or revoked.
            fn pause(self: &mut Self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()>;
            /// Undoes `pause`.
            fn resume(self: &mut Self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()>;
            /// The partitions that are paused.
            fn paused(self: &Self) -> BTreeSet<TopicPartition>;
            /// How many records the position is behind the end.
            fn current_lag(self: &Self, topic_partition: impl Into<TopicPartition>) -> Result<Option<i64>>;
            /// What the consumer measures, as of now.
            fn metrics(self: &Self) -> Metrics;
            /// The consumer's part in its group.
            fn group_metadata(self: &Self) -> Result<ConsumerGroupMetadata>;
            /// Something to end a poll with, from any thread.
            fn wakeup_handle(self: &Self) -> ConsumerWaker;
        }
    }
}
