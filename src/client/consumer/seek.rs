//! Moving positions, pausing and resuming. Nothing here waits: the next poll acts on it.

use std::collections::BTreeSet;

use crate::client::consumer::Consumer;
use crate::client::consumer::partition_state::Reset;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{Offset, OffsetAndMetadata, TopicPartition};

impl Consumer {
    /// Has the next poll go on at `offset`. An offset outside of the log is met by `auto.offset.reset`.
    ///
    /// # Errors
    /// An illegal state if the partition is not assigned; `INVALID_REQUEST` for a negative offset.
    pub fn seek(&mut self, topic_partition: impl Into<TopicPartition>, offset: Offset) -> Result<()> {
        self.seek_with_metadata(topic_partition, OffsetAndMetadata::new(offset))
    }

    /// [`Consumer::seek`] to a committed position: keeps its leader epoch. The note is not looked at.
    pub fn seek_with_metadata(
        &mut self,
        topic_partition: impl Into<TopicPartition>,
        to: OffsetAndMetadata,
    ) -> Result<()> {
        let topic_partition = topic_partition.into();
        if to.offset() < 0 {
            let message = format!("seek offset must not be a negative number: {}", to.offset());
            return Err(Error::new(ErrorCode::InvalidRequest, message).with_topic_partition(topic_partition));
        }
        self.subscriptions.assigned_mut(&topic_partition)?.seek(to.offset(), to.leader_epoch());
        Ok(())
    }

    /// Has the next poll go on at the log start of these partitions; of all assigned ones, if none is named.
    ///
    /// # Errors
    /// An illegal state if one is not assigned; then nothing changes.
    pub fn seek_to_beginning(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.reset_to(partitions, Reset::Earliest)
    }

    /// Has the next poll go on at the end of these partitions (the high watermark, or the last stable offset if
    /// `isolation.level=read_committed`); of all assigned ones, if none is named. Errors as
    /// [`Consumer::seek_to_beginning`].
    pub fn seek_to_end(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.reset_to(partitions, Reset::Latest)
    }

    /// Has the next poll go on at the first record of each of these partitions with a timestamp of at least `timestamp`
    /// (ms since 1970), at the end where there is none; of all assigned ones, if none is named. Errors as
    /// [`Consumer::seek_to_beginning`].
    pub fn seek_to_timestamp(
        &mut self,
        partitions: impl IntoIterator<Item: Into<TopicPartition>>,
        timestamp: i64,
    ) -> Result<()> {
        self.reset_to(partitions, Reset::Timestamp(timestamp))
    }

    fn reset_to(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>, reset: Reset) -> Result<()> {
        let named = partitions.into_iter().map(Into::into).collect();
        for state in self.subscriptions.named_or_all(named)? {
            state.request_reset(reset);
        }
        self.subscriptions.unsettled = true;
        Ok(())
    }

    /// Stops reading these partitions until they are resumed or revoked. The group is not rebalanced.
    ///
    /// # Errors
    /// An illegal state if one is not assigned; then nothing changes.
    pub fn pause(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Undoes [`Consumer::pause`]. Errors as there.
    pub fn resume(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>) -> Result<()> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, partitions: impl IntoIterator<Item: Into<TopicPartition>>, paused: bool) -> Result<()> {
        let named: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        for topic_partition in &named {
            self.subscriptions.assigned(topic_partition)?;
        }
        for topic_partition in &named {
            self.subscriptions.assigned_mut(topic_partition)?.paused = paused;
        }
        Ok(())
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        let paused = self.subscriptions.partitions().iter().filter(|state| state.paused);
        paused.map(|state| state.topic_partition.clone()).collect()
    }
}
