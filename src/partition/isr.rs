//! [`Isr`]: the in-sync replicas, as far as they are settled.

use crate::types::{BrokerId, LeaderEpoch};

/// The in-sync replicas of a partition, ascending, and a change of them that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Isr {
    committed: Vec<BrokerId>,
    pending: Option<PendingChange>,
}

/// Proposed to the controller, not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PendingChange {
    Expand(BrokerId),
    Shrink,
}

/// A change of the ISR for the controller to decide: AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IsrProposal {
    /// The whole new ISR, ascending.
    pub(crate) isr: Vec<BrokerId>,
    /// Epochs that must still be current for the change to be valid.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) partition_epoch: i32,
}

impl Isr {
    pub(crate) fn new(mut committed: Vec<BrokerId>) -> Self {
        committed.sort_unstable();
        committed.dedup();
        Self { committed, pending: None }
    }

    /// What the controller has decided.
    #[inline]
    pub(crate) fn committed(&self) -> &[BrokerId] {
        &self.committed
    }

    pub(crate) fn is_change_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the high watermark has to wait for the replica: it is in sync, or may be by the time the controller
    /// answers. Until then the larger set is the safe one, for whichever way it answers.
    pub(crate) fn maximal_contains(&self, replica: BrokerId) -> bool {
        self.committed.contains(&replica) || self.pending == Some(PendingChange::Expand(replica))
    }

    /// Proposes that the replica joins. Returns the ISR to ask for.
    pub(crate) fn propose_expand(&mut self, replica: BrokerId) -> Vec<BrokerId> {
        self.pending = Some(PendingChange::Expand(replica));
        let mut isr = self.committed.clone();
        isr.push(replica);
        isr.sort_unstable();
        isr
    }

    /// Proposes that the replicas leave. Returns the ISR to ask for.
    pub(crate) fn propose_shrink(&mut self, leaving: &[BrokerId]) -> Vec<BrokerId> {
        self.pending = Some(PendingChange::Shrink);
        self.committed.iter().filter(|replica| !leaving.contains(replica)).copied().collect()
    }

    /// The controller has refused, or cannot be reached.
    pub(crate) fn drop_proposal(&mut self) {
        self.pending = None;
    }
}
