//! The administrator's client.
//!
//! Every method is one request of Kafka's admin client, answered from the cluster's current image or by the controller,
//! a partition's leader or a group's coordinator. A method that takes several things answers with one result for each,
//! in their order, so that `into_iter().collect::<Result<Vec<_>>>()` demands them all.

mod configs;
mod describe_cluster;
mod elections;
mod group_filter;
mod group_members;
mod group_offsets;
mod groups;
mod log_dirs;
mod new_partitions;
mod new_topic;
mod offsets;
mod producers;
mod topic_description;
mod topics;

pub use describe_cluster::{ClusterDescription, Node};
pub use group_filter::GroupFilter;
pub use group_members::MemberToRemove;
pub use groups::{GroupDescription, GroupListing, GroupState, GroupType, MemberDescription};
pub use log_dirs::{LogDirDescription, ReplicaInfo};
pub use new_partitions::NewPartitions;
pub use new_topic::NewTopic;
pub use offsets::{DeletedRecords, ListedOffset, OffsetSpec};
pub use producers::ProducerState;
pub use topic_description::{PartitionDescription, TopicDescription, TopicListing};

use crate::cluster::Cluster;

/// Creates, inspects and deletes topics, records and consumer groups. Cheap to clone; from `Cluster::admin`.
///
/// ```
/// use brokerless::{Cluster, NewTopic};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let admin = Cluster::in_memory().admin();
/// admin.create_topic(NewTopic::new("orders").partitions(6).config("retention.ms", "3600000")).await?;
/// let orders = admin.describe_topic("orders").await?;
/// assert_eq!(orders.partitions().len(), 6);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }
}
