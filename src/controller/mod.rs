//! The controller: cluster metadata as an event-sourced state machine over `__cluster_metadata-0`.

mod image;

pub(crate) use image::{BrokerImage, MetadataImage, PartitionImage, TopicImage, is_internal_topic};

use std::collections::BTreeMap;

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreatableTopic {
    pub(crate) name: String,
    /// -1 for `num.partitions` of the broker.
    pub(crate) partitions: i32,
    /// -1 for `default.replication.factor` of the broker.
    pub(crate) replication_factor: i16,
    /// Overrides, in Kafka's property names.
    pub(crate) configs: BTreeMap<String, String>,
}
