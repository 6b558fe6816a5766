//! Brokers come and go, and partitions get leaders.

use crate::controller::{Controller, MetadataImage, MetadataRecord, Outcome, PartitionImage};
use crate::error::Error;
use crate::types::{BrokerId, TopicId};

/// A broker that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerRegistration {
    pub(crate) id: BrokerId,
    /// A random id of this run of the broker.
    pub(crate) incarnation_id: u128,
    pub(crate) rack: Option<String>,
}

impl Controller {
    /// Registers a broker and answers with its epoch. A new run of a known broker gets a new epoch and starts fenced:
    /// it has left every ISR that others are in, and leads nothing until [`Controller::unfence`]. The same run again
    /// keeps its epoch.
    pub(crate) fn register_broker(&self, registration: BrokerRegistration) -> Outcome<i64> {
        let BrokerRegistration { id, incarnation_id, rack } = registration;
        let known = self.image.brokers.get(&id);
        let same_run = known.filter(|broker| broker.incarnation_id == incarnation_id);
        let (broker_epoch, fenced, mut records) = match same_run {
            Some(broker) => (broker.epoch, broker.fenced, Vec::new()),
            // Epochs grow, because offsets of the metadata log do.
            None => (self.image.offset + 1, true, self.changes(|partition| leave(partition, id, &self.image))),
        };
        records.push(MetadataRecord::RegisterBroker { broker_id: id, incarnation_id, broker_epoch, rack, fenced });
        Outcome { records, response: broker_epoch }
    }

    /// Lets a registered broker lead, and gives it the partitions that wait for it. `STALE_BROKER_EPOCH`.
    pub(crate) fn unfence(&self, id: BrokerId, epoch: i64) -> Outcome<Result<(), Error>> {
        let broker = match self.check_broker_epoch(id, epoch) {
            Ok(broker) => broker,
            Err(error) => return Outcome::unchanged(Err(error)),
        };
        if !broker.fenced {
            return Outcome::unchanged(Ok(()));
        }
        let mut records = vec![MetadataRecord::FenceBroker { broker_id: id, broker_epoch: epoch, fenced: false }];
        records.extend(self.changes(|partition| {
            let waits = partition.leader == BrokerId::NONE && partition.isr.contains(&id);
            waits.then_some((None, Some(id)))
        }));
        Outcome { records, response: Ok(()) }
    }

    /// A change record for each partition that `change` gives a new ISR or a new leader.
    fn changes(&self, change: impl Fn(&PartitionImage) -> Option<Change>) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in self.image.topics.values() {
            for (index, partition) in (0..).zip(&topic.partitions) {
                if let Some(change) = change(partition) {
                    records.push(record(topic.id, index, change));
                }
            }
        }
        records
    }
}

/// A new ISR and a new leader.
type Change = (Option<Vec<BrokerId>>, Option<BrokerId>);

fn record(topic_id: TopicId, partition: i32, (isr, leader): Change) -> MetadataRecord {
    MetadataRecord::PartitionChange { topic_id, partition, isr, leader }
}

/// What becomes of a partition when a broker stops. The last in-sync replica stays in the ISR: only it has all the data,
/// so the partition waits for it.
fn leave(partition: &PartitionImage, broker: BrokerId, image: &MetadataImage) -> Option<Change> {
    let rest: Vec<_> = partition.isr.iter().copied().filter(|id| *id != broker).collect();
    let leads = partition.leader == broker;
    if rest.len() == partition.isr.len() || rest.is_empty() && !leads {
        return None;
    }
    let successor = || {
        let mut candidates = partition.replicas.iter().copied().filter(|id| rest.contains(id));
        candidates.find(|id| image.is_active(*id)).unwrap_or(BrokerId::NONE)
    };
    let leader = leads.then(successor);
    Some(((!rest.is_empty()).then_some(rest), leader))
}
