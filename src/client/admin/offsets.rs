//! Offsets of partitions, and the deletion of records below one.

use crate::client::admin::Admin;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{IsolationLevel, LeaderEpoch, Offset, TopicPartition};

/// Which offset [`Admin::list_offsets`] looks for.
///
/// ```
/// use brokerless::admin::OffsetSpec;
/// use brokerless::types::IsolationLevel;
/// use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::in_memory();
/// cluster.admin().create_topic(NewTopic::new("orders")).await?;
/// let producer = cluster.producer(ProducerConfig::default())?;
/// for timestamp in [1_000, 3_000, 2_000] {
///     let record = ProducerRecord::to("orders").value("12.50").timestamp(timestamp);
///     producer.send(record).await?.await?;
/// }
/// let specs = [OffsetSpec::Earliest, OffsetSpec::MaxTimestamp, OffsetSpec::Latest].map(|spec| (("orders", 0), spec));
/// let listed = cluster.admin().list_offsets(specs, IsolationLevel::ReadUncommitted).await;
/// let offsets: Vec<_> = listed.into_iter().map(|listed| Ok(listed?.offset())).collect::<brokerless::Result<_>>()?;
/// assert_eq!(offsets, [Some(0), Some(1), Some(3)]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first that is there: the log start.
    Earliest,
    /// The next that a reader does not see yet: the high watermark, or with
    /// [`IsolationLevel::ReadCommitted`] the last stable offset.
    Latest,
    /// That of the record with the largest timestamp, the first of equals (KIP-734).
    MaxTimestamp,
    /// The first that is on the broker's own disk, and not only in tiered storage (KIP-405): without tiered storage the
    /// same as [`OffsetSpec::Earliest`].
    EarliestLocal,
    /// The last that is in tiered storage (KIP-1005): without, there is none.
    LatestTiered,
    /// The first that is still to go to tiered storage (KIP-1023): without, there is none.
    EarliestPendingUpload,
    /// That of the first record with at least this timestamp, in ms since 1970. As on the wire, -1 to -6 stand for the
    /// special offsets: latest, earliest, largest timestamp, earliest local, latest tiered, earliest pending upload.
    ForTimestamp(i64),
}

impl OffsetSpec {
    /// The special offset that the protocol has for a negative timestamp.
    fn special(timestamp: i64) -> Option<Self> {
        match timestamp {
            -1 => Some(Self::Latest),
            -2 => Some(Self::Earliest),
            -3 => Some(Self::MaxTimestamp),
            -4 => Some(Self::EarliestLocal),
            -5 => Some(Self::LatestTiered),
            -6 => Some(Self::EarliestPendingUpload),
            _ => None,
        }
    }
}

/// The answer to one [`OffsetSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    topic_partition: TopicPartition,
    offset: Option<Offset>,
    timestamp: Option<i64>,
    leader_epoch: Option<LeaderEpoch>,
}

impl ListedOffset {
    /// The partition asked about.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The offset; `None` where none fits (Kafka's -1): a timestamp past the last record, an empty partition, or a place
    /// that does not exist.
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// The record's timestamp, in ms since 1970; `None` where no record was looked for.
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The epoch of the leader that appended the record, where known; for [`OffsetSpec::Latest`], and for
    /// [`OffsetSpec::Earliest`] of an empty partition, that of the leader who will append it.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epoch
    }
}

/// The answer to a deletion of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    topic_partition: TopicPartition,
    low_watermark: Offset,
}

impl DeletedRecords {
    /// The partition asked about.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The first offset that is there now.
    pub fn low_watermark(&self) -> Offset {
        self.low_watermark
    }
}

impl Admin {
    /// Looks up offsets, each on its own.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `UNSUPPORTED_VERSION` for a timestamp below -6.
    pub async fn list_offsets<P: Into<TopicPartition>>(
        &self,
        specs: impl IntoIterator<Item = (P, OffsetSpec)>,
        isolation: IsolationLevel,
    ) -> Vec<Result<ListedOffset>> {
        let list = |(partition, spec): (P, OffsetSpec)| self.list_offset(partition.into(), spec, isolation);
        specs.into_iter().map(list).collect()
    }

    fn list_offset(
        &self,
        topic_partition: TopicPartition,
        spec: OffsetSpec,
        isolation: IsolationLevel,
    ) -> Result<ListedOffset> {
        let about = |error: Error| error.with_topic_partition(topic_partition.clone());
        let leader = self.cluster.leader(&topic_partition).map_err(about)?;
        let spec = match spec {
            OffsetSpec::ForTimestamp(timestamp @ ..0) => OffsetSpec::special(timestamp).ok_or_else(|| {
                let message = format!("no version of the protocol gives the timestamp {timestamp} a meaning");
                about(Error::new(ErrorCode::UnsupportedVersion, message))
            })?,
            spec => spec,
        };
        let found = match spec {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                let (offset, leader_epoch) = leader.earliest().map_err(about)?;
                return Ok(ListedOffset { topic_partition, offset: Some(offset), timestamp: None, leader_epoch });
            }
            OffsetSpec::Latest => {
                let offset = Some(leader.offsets().visible_end(isolation));
                let leader_epoch = self.leader_epoch(&topic_partition);
                return Ok(ListedOffset { topic_partition, offset, timestamp: None, leader_epoch });
            }
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => None,
            OffsetSpec::MaxTimestamp => leader.max_timestamp(isolation).map_err(about)?,
            OffsetSpec::ForTimestamp(timestamp) => leader.offset_for_timestamp(timestamp, isolation).map_err(about)?,
        };
        Ok(ListedOffset {
            topic_partition,
            offset: found.map(|(offset, _, _)| offset),
            timestamp: found.map(|(_, timestamp, _)| timestamp),
            leader_epoch: found.map(|(_, _, epoch)| epoch).filter(|epoch| *epoch != LeaderEpoch::NONE),
        })
    }

    fn leader_epoch(&self, topic_partition: &TopicPartition) -> Option<LeaderEpoch> {
        let image = self.cluster.image();
        let index = usize::try_from(topic_partition.partition()).ok()?;
        Some(image.topic(topic_partition.topic())?.partitions.get(index)?.leader_epoch)
    }

    /// Deletes the records below an offset, of each partition on its own; -1 stands for the high watermark, which
    /// deletes all that readers can see. What is below the log start already is no error.
    ///
    /// # Errors
    /// `OFFSET_OUT_OF_RANGE` past the high watermark; `UNKNOWN_TOPIC_OR_PARTITION`; `POLICY_VIOLATION` where
    /// `cleanup.policy` does not allow deletion; `INVALID_TOPIC_EXCEPTION` for Kafka's own topics.
    pub async fn delete_records<P: Into<TopicPartition>>(
        &self,
        before: impl IntoIterator<Item = (P, Offset)>,
    ) -> Vec<Result<DeletedRecords>> {
        let delete = |(partition, before_offset): (P, Offset)| {
            let topic_partition = partition.into();
            match self.cluster.delete_records(&topic_partition, before_offset) {
                Ok(low_watermark) => Ok(DeletedRecords { topic_partition, low_watermark }),
                Err(error) => Err(error.with_topic_partition(topic_partition)),
            }
        };
        before.into_iter().map(delete).collect()
    }
}
