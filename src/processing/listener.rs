//! [`Revoker`]: what a rebalance does to the schedule.

use std::sync::Arc;
use std::time::Duration;

use super::schedule::Shared;
use crate::client::consumer::{RebalanceContext, RebalanceListener};
use crate::types::TopicPartition;

/// Finishes and commits what is revoked, and drops what is lost.
#[derive(Debug)]
pub(super) struct Revoker {
    pub(super) shared: Arc<Shared>,
    pub(super) timeout: Duration,
}

impl RebalanceListener for Revoker {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
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
        let (shared, timeout) = (Arc::clone(&self.shared), self.timeout);
        if !windows.is_empty() {
            context.commit_when(async move {
                // What is late is cancelled: the next owner reads it again.
                let _late = tokio::time::timeout(timeout, shared.idle(&windows)).await;
                shared.end(&windows)
            });
        }
    }

    fn on_partitions_lost(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        // Others may be processing these already.
        let windows = self.shared.change(|schedule| schedule.revoke(partitions));
        drop(self.shared.end(&windows));
    }
}
