//! A leader's proposals for its partition's ISR.

use std::collections::BTreeSet;

use crate::controller::{Controller, MetadataRecord, Outcome, PartitionImage};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, LeaderEpoch, TopicId, TopicPartition};

/// What a leader proposes: Kafka's AlterPartition (KIP-497), for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterPartition {
    /// The leader, and the epoch it registered with.
    pub(crate) broker_id: BrokerId,
    pub(crate) broker_epoch: i64,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    /// The epochs that the proposal builds upon.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) partition_epoch: i32,
    /// Each with the broker epoch under which it caught up (KIP-903); -1 skips that check.
    pub(crate) new_isr: Vec<(BrokerId, i64)>,
}

impl Controller {
    /// Changes a partition's ISR as its leader proposes; answers with the partition as it is then. Proposing what is
    /// already so changes nothing.
    ///
    /// `STALE_BROKER_EPOCH`, `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, `FENCED_LEADER_EPOCH`,
    /// `INVALID_UPDATE_VERSION` (an old partition epoch), `NOT_CONTROLLER` (an epoch from the future: this controller
    /// missed something), `INVALID_REQUEST` (not the leader, or an ISR without it or outside the replicas),
    /// `INELIGIBLE_REPLICA` (fenced, unknown, or not the same run of the broker).
    #[cfg_attr(not(test), expect(dead_code, reason = "one broker is always its own whole ISR; several need it"))]
    pub(crate) fn alter_partition(&self, request: &AlterPartition) -> Outcome<Result<PartitionImage, Error>> {
        let current = match self.check_alter_partition(request) {
            Ok(current) => current,
            Err(error) => return Outcome::unchanged(Err(error)),
        };
        let isr: Vec<_> = request.new_isr.iter().map(|(id, _)| *id).collect();
        if isr == current.isr {
            return Outcome::unchanged(Ok(current.clone()));
        }
        let changed = current.changed(Some(&isr), None);
        let record = MetadataRecord::PartitionChange {
            topic_id: request.topic_id,
            partition: request.partition,
            isr: Some(isr),
            leader: None,
        };
        Outcome { records: vec![record], response: Ok(changed) }
    }

    fn check_alter_partition(&self, request: &AlterPartition) -> Result<&PartitionImage, Error> {
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        let topic = self.image.topic_by_id(request.topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let topic_partition = TopicPartition::new(topic.name.clone(), request.partition);
        let refuse = |code: ErrorCode, message: String| {
            Err(Error::new(code, message).with_topic_partition(topic_partition.clone()))
        };
        let Some(current) = usize::try_from(request.partition).ok().and_then(|index| topic.partitions.get(index))
        else {
            let code = ErrorCode::UnknownTopicOrPartition;
            return refuse(code, code.message().to_owned());
        };
        let epochs = format!(
            "the proposal is for leader epoch {} and partition epoch {}, the partition is at {} and {}",
            request.leader_epoch, request.partition_epoch, current.leader_epoch, current.partition_epoch
        );
        if request.leader_epoch > current.leader_epoch || request.partition_epoch > current.partition_epoch {
            return refuse(ErrorCode::NotController, epochs);
        }
        if request.leader_epoch < current.leader_epoch {
            return refuse(ErrorCode::FencedLeaderEpoch, epochs);
        }
        if request.broker_id != current.leader {
            let message = format!("broker {} proposes an ISR, but {} leads", request.broker_id, current.leader);
            return refuse(ErrorCode::InvalidRequest, message);
        }
        if request.partition_epoch < current.partition_epoch {
            return refuse(ErrorCode::InvalidUpdateVersion, epochs);
        }
        let isr: BTreeSet<_> = request.new_isr.iter().map(|(id, _)| *id).collect();
        let within_replicas = isr.iter().all(|id| current.replicas.contains(id));
        if isr.len() != request.new_isr.len() || !within_replicas || !isr.contains(&current.leader) {
            let message = format!(
                "the ISR {:?} is not a set of the replicas {:?} with the leader {}",
                request.new_isr.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
                current.replicas.iter().map(|id| id.0).collect::<Vec<_>>(),
                current.leader
            );
            return refuse(ErrorCode::InvalidRequest, message);
        }
        let same_run = |id, epoch| epoch == -1 || self.image.brokers.get(&id).is_some_and(|b| b.epoch == epoch);
        match request.new_isr.iter().find(|(id, epoch)| !self.image.is_active(*id) || !same_run(*id, *epoch)) {
            Some((id, epoch)) => refuse(
                ErrorCode::IneligibleReplica,
                format!("broker {id} is fenced, or not registered with epoch {epoch}"),
            ),
            None => Ok(current),
        }
    }
}
