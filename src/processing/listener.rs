//! [`Revoker`]: what a rebalance does to the schedule.

use std::sync::Arc;
use std::time::Duration;

use super::schedule::{Offsets, Shared};
use crate::client::consumer::{RebalanceContext, RebalanceListener};
use crate::cluster::Cluster;
use crate::types::TopicPartition;

/// Finishes and commits what is revoked, and drops what is lost.
#[derive(Debug)]
pub(super) struct Revoker {
    pub(super) shared: Arc<Shared>,
    pub(super) cluster: Cluster,
    pub(super) timeout: Duration,
}

impl RebalanceListener for Revoker {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let strangers = self.shared.change(|schedule| schedule.assign(partitions));
        drop(self.shared.end(&strangers));
        // The same poll may return records of them.
        if self.shared.lock().holds_all() {
            context.pause(partitions).expect("partitions that are being assigned are assigned");
        }
    }

    fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let positions = context.consumed();
        let windows = self.shared.change(|schedule| {
            schedule.advance(positions);
            schedule.revoke(partitions)
        });
        let (shared, cluster, timeout) = (Arc::clone(&self.shared), self.cluster.clone(), self.timeout);
        if !windows.is_empty() {
            context.commit_when(async move {
                // What is late is cancelled: the next owner reads it again.
                let _late = tokio::time::timeout(timeout, shared.idle(&windows)).await;
                let mut offsets = shared.end(&windows);
                keep_existing(&cluster, &mut offsets);
                offsets
            });
        }
    }

    fn on_partitions_lost(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        // Others may be processing these already.
        let windows = self.shared.change(|schedule| schedule.revoke(partitions));
        drop(self.shared.end(&windows));
    }
}

/// Drops partitions that were deleted: there is nothing left of them to read again, and the broker refuses to commit them.
pub(super) fn keep_existing(cluster: &Cluster, offsets: &mut Offsets) {
    let image = cluster.image();
    offsets.retain(|(topic_partition, _)| image.has_partition(topic_partition));
}
