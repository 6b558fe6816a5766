//! [`TxnIndex`]: the aborted transactions of a segment.

use crate::types::{Offset, ProducerId};

/// A transaction whose records no `read_committed` consumer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTxn {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Offset of the abort marker.
    pub(crate) last_offset: Offset,
    /// The last stable offset once the marker was written: a reader that has come this far needs no later entry to judge
    /// what it has read.
    pub(crate) last_stable_offset: Offset,
}

/// The transactions whose abort markers lie in a segment, by ascending marker.
#[derive(Debug, Default)]
pub(crate) struct TxnIndex {
    entries: Vec<AbortedTxn>,
}

impl TxnIndex {
    pub(crate) fn append(&mut self, aborted: AbortedTxn) {
        self.entries.push(aborted);
    }

    pub(crate) fn entries(&self) -> &[AbortedTxn] {
        &self.entries
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Entries that it has memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Drops the transactions that ended at `offset` or behind.
    pub(crate) fn truncate_to(&mut self, offset: Offset) {
        self.entries.truncate(self.entries.partition_point(|aborted| aborted.last_offset < offset));
    }
}
