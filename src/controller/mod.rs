//! The controller: cluster metadata as an event-sourced state machine over `__cluster_metadata-0`.
//!
//! ```text
//! command(&image, request) -> Outcome { records, response }      decides, changes nothing
//!        append records to the metadata log
//! replay(records, base offset) -> a new image                    the only mutator
//!        publish the image, release the response
//! ```
//!
//! 1. A command reads the image and returns records. Nothing it decides holds until the records are replayed, and no
//!    second command runs in between.
//! 2. Replaying the whole log from its start gives the same image as having been there.
//! 3. An image is immutable; a topic that a replay does not touch keeps its allocation.
//! 4. Leader epochs and partition epochs only grow; a fenced broker leads nothing; the leader is in the ISR, and the ISR
//!    is never empty.
//! 5. A topic's id is fresh each time a topic of that name is created.
//!
//! What was set on brokers while they run is in the log and in the image; what they were started with is not in the log, so
//! a controller is given it, and its image holds what the two amount to.
//!
//! Randomness (topic ids, where placement starts) comes from the generator that is handed in; nothing depends on time.

mod brokers;
mod configs;
mod delta;
mod elections;
mod image;
mod new_partitions;
mod partitions;
mod placement;
mod producer_ids;
mod record;
#[cfg(test)]
mod tests;
mod topic_name;
mod topics;

pub(crate) use brokers::BrokerRegistration;
pub(crate) use delta::{MetadataDelta, ReplayError};
pub use elections::ElectionType;
pub(crate) use elections::Elections;
pub(crate) use image::{BrokerImage, MetadataImage, PartitionImage, TopicImage, is_internal_topic};
#[cfg(test)]
pub(crate) use partitions::AlterPartition;
pub(crate) use producer_ids::ProducerIdBlock;
pub(crate) use record::MetadataRecord;
pub(crate) use topic_name::validate_topic_name;
pub(crate) use topics::TopicSelector;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::BrokerConfig;
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, Offset};

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreatableTopic {
    pub(crate) name: String,
    /// -1 for `num.partitions` of the broker.
    pub(crate) partitions: i32,
    /// -1 for `default.replication.factor` of the broker.
    pub(crate) replication_factor: i16,
    /// Each partition's brokers, the preferred leader first, where they are not to be chosen; then the two above are -1.
    pub(crate) assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Overrides, in Kafka's property names.
    pub(crate) configs: BTreeMap<String, String>,
}

/// What a command came to: records to append and replay, and what to answer after that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Outcome<T> {
    pub(crate) records: Vec<MetadataRecord>,
    pub(crate) response: T,
}

impl<T> Outcome<T> {
    fn unchanged(response: T) -> Self {
        Self { records: Vec::new(), response }
    }
}

/// The state machine. Its driver runs one command at a time and replays the records before the next.
#[derive(Debug)]
pub(crate) struct Controller {
    /// The broker beside this controller.
    node: BrokerId,
    /// How many partitions the cluster may hold.
    max_partitions: usize,
    image: Arc<MetadataImage>,
    rng: fastrand::Rng,
}

impl Controller {
    /// How many partitions a cluster may hold unless it is told otherwise: about what Kafka recommends as a cluster's
    /// most. It bounds the memory that one process spends on empty partitions.
    pub(crate) const DEFAULT_MAX_PARTITIONS: usize = 200_000;

    /// A controller before the first record of its log, beside the broker `node` with these settings. To open an existing
    /// log, replay all of it, and hand in a generator that is seeded differently from last time: the ids of deleted
    /// topics are not remembered.
    pub(crate) fn new(node: BrokerId, config: BrokerConfig, max_partitions: usize, rng: fastrand::Rng) -> Self {
        let image = MetadataImage { config: Arc::new(config), ..MetadataImage::default() };
        Self { node, max_partitions, image: Arc::new(image), rng }
    }

    /// What the broker was started with and what was set since.
    fn config(&self) -> &BrokerConfig {
        &self.image.config
    }

    /// The metadata as of the last replay.
    pub(crate) fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// Makes records of the log part of the image; `base_offset` is the first one's. All of them or, with an error,
    /// none.
    pub(crate) fn replay(&mut self, records: &[MetadataRecord], base_offset: Offset) -> Result<(), ReplayError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut delta = MetadataDelta::new(&self.image, self.node);
        for (offset, record) in (base_offset..).zip(records) {
            delta.replay(offset, record)?;
        }
        self.image = Arc::new(delta.apply()?);
        Ok(())
    }

    /// `STALE_BROKER_EPOCH` unless the broker is registered with this epoch.
    fn check_broker_epoch(&self, id: BrokerId, epoch: i64) -> Result<&BrokerImage, Error> {
        match self.image.brokers.get(&id) {
            Some(broker) if broker.epoch == epoch => Ok(broker),
            Some(broker) => Err(Error::new(
                ErrorCode::StaleBrokerEpoch,
                format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch),
            )),
            None => {
                Err(Error::new(ErrorCode::StaleBrokerEpoch, format!("No broker registration found for broker id {id}")))
            }
        }
    }
}
