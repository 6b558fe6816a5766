//! [`ActiveProducer`]: what a partition tells of a producer (KIP-664).

use crate::log::producer_state::{ProducerStateEntry, ProducerStateManager};
use crate::types::{NO_SEQUENCE, NO_TIMESTAMP, Offset, ProducerEpoch, ProducerId};

/// What a partition remembers of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// -1 where a marker has ended the epoch's last batch.
    pub(crate) last_sequence: i32,
    /// The last batch's largest timestamp; -1 where none is remembered.
    pub(crate) last_timestamp: i64,
    /// Of the transaction coordinator that wrote the last marker; -1 before any.
    pub(crate) coordinator_epoch: i32,
    /// Where the open transaction begins.
    pub(crate) txn_first_offset: Option<Offset>,
}

impl ActiveProducer {
    fn new(producer_id: ProducerId, entry: &ProducerStateEntry) -> Self {
        let last = entry.batches().last();
        Self {
            producer_id,
            epoch: entry.epoch(),
            last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence()),
            last_timestamp: last.map_or(NO_TIMESTAMP, |batch| batch.timestamp()),
            coordinator_epoch: entry.coordinator_epoch(),
            txn_first_offset: entry.txn_first_offset(),
        }
    }
}

impl ProducerStateManager {
    /// Every producer that is remembered, in order of id.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<_> = self.entries().map(|(id, entry)| ActiveProducer::new(*id, entry)).collect();
        active.sort_unstable_by_key(|producer| producer.producer_id);
        active
    }
}
