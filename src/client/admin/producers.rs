//! What partitions remember of producers (KIP-664).

use crate::client::admin::Admin;
use crate::cluster::{ActiveProducer, validate_topic_name};
use crate::error::{Error, Result};
use crate::types::{Offset, ProducerEpoch, ProducerId, TopicPartition};

/// What a partition's leader remembers of one idempotent or transactional producer, until
/// `producer.id.expiration.ms` (a day) after its last append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    producer: ActiveProducer,
}

impl ProducerState {
    /// The id that the cluster gave to it.
    pub fn producer_id(&self) -> ProducerId {
        self.producer.producer_id
    }

    /// Which incarnation of the id it is.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        self.producer.epoch
    }

    /// The sequence of the last record, counted from 0 in each partition; -1 where none is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.producer.last_sequence
    }

    /// The largest timestamp of the last batch, in ms since 1970; -1 where none is remembered.
    pub fn last_timestamp(&self) -> i64 {
        self.producer.last_timestamp
    }

    /// The epoch of the transaction coordinator that ended its last transaction here.
    pub fn coordinator_epoch(&self) -> Option<i32> {
        Some(self.producer.coordinator_epoch).filter(|epoch| *epoch >= 0)
    }

    /// Where its open transaction begins.
    pub fn current_transaction_start_offset(&self) -> Option<Offset> {
        self.producer.txn_first_offset
    }
}

impl Admin {
    /// The producers that each partition remembers, in order of id.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, at once (Kafka's client looks for the partition until its time is up);
    /// `INVALID_TOPIC_EXCEPTION` for what cannot be a topic's name; `NOT_LEADER_OR_FOLLOWER`.
    pub async fn describe_producers<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Vec<Result<Vec<ProducerState>>> {
        let describe = |topic_partition: TopicPartition| {
            let about = |error: Error| error.with_topic_partition(topic_partition.clone());
            validate_topic_name(topic_partition.topic()).map_err(about)?;
            let active = self.cluster.leader(&topic_partition).and_then(|leader| leader.active_producers());
            Ok(active.map_err(about)?.into_iter().map(|producer| ProducerState { producer }).collect())
        };
        partitions.into_iter().map(|partition| describe(partition.into())).collect()
    }
}
