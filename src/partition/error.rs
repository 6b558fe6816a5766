//! [`PartitionError`].

use std::fmt;

use crate::error::ErrorCode;
use crate::log::LogError;
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// Why a replica refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartitionError {
    /// The log refuses it.
    Log(LogError),
    /// Another replica leads, or none.
    NotLeader { topic_partition: TopicPartition, leader: Option<BrokerId> },
    /// This replica leads, and leaders follow nobody.
    NotFollower { topic_partition: TopicPartition },
    /// `acks=all`, and the ISR is smaller than `min.insync.replicas`.
    NotEnoughReplicas { topic_partition: TopicPartition, in_sync: usize, required: usize },
    /// The client's leader epoch is an old one.
    FencedLeaderEpoch { topic_partition: TopicPartition, epoch: LeaderEpoch, current: LeaderEpoch },
    /// The client knows of a leader epoch that this replica has not heard of.
    UnknownLeaderEpoch { topic_partition: TopicPartition, epoch: LeaderEpoch, current: LeaderEpoch },
    /// A registration older than the one in force.
    StaleRegistration { topic_partition: TopicPartition, leader_epoch: LeaderEpoch, partition_epoch: i32 },
    /// A new leader does not know yet how much of its log is replicated.
    OffsetNotAvailable { topic_partition: TopicPartition, high_watermark: Offset, epoch_start: Offset },
    /// The broker has no replica of the partition.
    UnknownReplica { topic_partition: TopicPartition, replica: BrokerId },
    /// `cleanup.policy` does not include `delete`.
    DeletionForbidden { topic_partition: TopicPartition },
}

impl PartitionError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Log(error) => error.code(),
            Self::NotLeader { .. } | Self::NotFollower { .. } => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::FencedLeaderEpoch { .. } | Self::StaleRegistration { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::OffsetNotAvailable { .. } => ErrorCode::OffsetNotAvailable,
            Self::UnknownReplica { .. } => ErrorCode::ReplicaNotAvailable,
            Self::DeletionForbidden { .. } => ErrorCode::PolicyViolation,
        }
    }
}

impl From<LogError> for PartitionError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::NotLeader { topic_partition, leader: Some(leader) } => {
                write!(f, "this replica does not lead {topic_partition}; broker {leader} does")
            }
            Self::NotLeader { topic_partition, leader: None } => write!(f, "{topic_partition} has no leader"),
            Self::NotFollower { topic_partition } => write!(f, "this replica leads {topic_partition}"),
            Self::NotEnoughReplicas { topic_partition, in_sync, required } => write!(
                f,
                "{topic_partition} has {in_sync} replicas in sync, and min.insync.replicas asks for {required}"
            ),
            Self::FencedLeaderEpoch { topic_partition, epoch, current } => {
                write!(f, "leader epoch {epoch} of {topic_partition} is over; the current one is {current}")
            }
            Self::UnknownLeaderEpoch { topic_partition, epoch, current } => {
                write!(f, "leader epoch {epoch} of {topic_partition} is not known here; the latest known is {current}")
            }
            Self::StaleRegistration { topic_partition, leader_epoch, partition_epoch } => write!(
                f,
                "registration of {topic_partition} with leader epoch {leader_epoch} and partition epoch \
                 {partition_epoch} is older than the one in force"
            ),
            Self::OffsetNotAvailable { topic_partition, high_watermark, epoch_start } => write!(
                f,
                "high watermark {high_watermark} of {topic_partition} has not reached the start of the leader's epoch, \
                 {epoch_start}"
            ),
            Self::UnknownReplica { topic_partition, replica } => {
                write!(f, "broker {replica} has no replica of {topic_partition}")
            }
            Self::DeletionForbidden { topic_partition } => {
                write!(f, "records of {topic_partition} cannot be deleted: cleanup.policy does not include delete")
            }
        }
    }
}

impl std::error::Error for PartitionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}
