//! Where logs lie, and how large they are.

use std::sync::Arc;

use crate::client::admin::Admin;
use crate::cluster::{LOG_DIRECTORY, PartitionHandle};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{BrokerId, Offset, TopicPartition};

/// A directory of a broker for logs. A cluster in memory has one, that is none: [`LogDirDescription::log_dir`] is
/// `memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirDescription {
    log_dir: &'static str,
    replicas: Vec<ReplicaInfo>,
}

impl LogDirDescription {
    /// The directory's absolute path, or `memory`.
    pub fn log_dir(&self) -> &str {
        self.log_dir
    }

    /// The size of the volume that it lies on; `None` where that is unknown: in memory.
    pub fn total_bytes(&self) -> Option<u64> {
        None
    }

    /// What is left of that volume; `None` where that is unknown: in memory.
    pub fn usable_bytes(&self) -> Option<u64> {
        None
    }

    /// The replicas in it, in order of topic and partition.
    pub fn replicas(&self) -> &[ReplicaInfo] {
        &self.replicas
    }

    /// The replica of one partition, if it is in this directory.
    pub fn replica(&self, of: impl Into<TopicPartition>) -> Option<&ReplicaInfo> {
        let of = of.into();
        self.replicas.iter().find(|replica| replica.topic_partition == of)
    }
}

/// One replica's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    topic_partition: TopicPartition,
    size: u64,
    offset_lag: Offset,
}

impl ReplicaInfo {
    /// Whose it is.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Bytes of its records, as they lie in the log: batch headers included, compressed as they are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How far the log end is behind the high watermark, or 0.
    pub fn offset_lag(&self) -> Offset {
        self.offset_lag
    }

    /// Whether it is going to replace the one that is in use. Never, while replicas do not move between directories.
    pub fn is_future(&self) -> bool {
        false
    }
}

impl Admin {
    /// The directories of brokers, and the size of each log in them.
    ///
    /// # Errors
    /// `BROKER_NOT_AVAILABLE` for a broker that is not there; Kafka's client looks for it until its time is up.
    pub async fn describe_log_dirs<B: Into<BrokerId>>(
        &self,
        brokers: impl IntoIterator<Item = B>,
    ) -> Vec<Result<Vec<LogDirDescription>>> {
        brokers.into_iter().map(|broker| self.describe_log_dirs_of(broker.into())).collect()
    }

    fn describe_log_dirs_of(&self, broker: BrokerId) -> Result<Vec<LogDirDescription>> {
        let logs = self
            .cluster
            .logs(broker)?
            .ok_or_else(|| Error::new(ErrorCode::BrokerNotAvailable, format!("there is no broker {broker}")))?;
        // A log whose topic is deleted meanwhile is none any more.
        let info = |log: Arc<PartitionHandle>| {
            let offsets = log.offsets();
            let offset_lag = (offsets.high_watermark() - offsets.log_end()).max(0);
            Some(ReplicaInfo {
                topic_partition: log.topic_partition().clone(),
                size: log.size_in_bytes().ok()?,
                offset_lag,
            })
        };
        let mut replicas: Vec<_> = logs.into_iter().filter_map(info).collect();
        replicas.sort_unstable_by(|left, right| left.topic_partition.cmp(&right.topic_partition));
        Ok(vec![LogDirDescription { log_dir: LOG_DIRECTORY, replicas }])
    }
}
