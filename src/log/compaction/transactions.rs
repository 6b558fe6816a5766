//! [`Transactions`]: which batches belong to aborted transactions, and which markers end one that has nothing left.

use std::collections::{HashMap, HashSet};

use crate::log::txn_index::AbortedTxn;
use crate::record::{BatchHeader, ControlRecord, RecordBatch, RecordError};
use crate::types::ProducerId;

/// Follows the transactions of a log, batch by batch from the front. Bounded by the transactions that the log knows of.
#[derive(Debug)]
pub(super) struct Transactions {
    /// By first offset.
    aborted: Vec<AbortedTxn>,
    /// How many of them the batches have come to.
    begun: usize,
    /// Aborted transactions that are not over, and whether a batch of theirs was seen.
    ongoing_aborted: HashMap<ProducerId, (AbortedTxn, bool)>,
    /// Producers of committed transactions of which a batch was seen.
    ongoing_committed: HashSet<ProducerId>,
}

/// What a control batch is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ControlUse {
    /// Nothing is left of the transaction that it ends.
    pub(super) is_obsolete: bool,
    /// The aborted transaction that it ends, if a batch of that was there until now: readers must still know it.
    pub(super) aborted: Option<AbortedTxn>,
}

impl Transactions {
    pub(super) fn new(mut aborted: Vec<AbortedTxn>) -> Self {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Self { aborted, begun: 0, ongoing_aborted: HashMap::new(), ongoing_committed: HashSet::new() }
    }

    /// Begins again at the front of the log.
    pub(super) fn restart(&mut self) {
        self.begun = 0;
        self.ongoing_aborted.clear();
        self.ongoing_committed.clear();
    }

    /// Takes note of a data batch. True if its transaction was aborted.
    #[inline]
    pub(super) fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header);
        if !header.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&header.producer_id()) {
            Some((_, seen)) => {
                *seen = true;
                true
            }
            None => {
                self.ongoing_committed.insert(header.producer_id());
                false
            }
        }
    }

    /// Takes note of a control batch.
    pub(super) fn on_control(&mut self, batch: &RecordBatch) -> Result<ControlUse, RecordError> {
        let header = batch.header();
        self.begin_up_to(header);
        let control = match batch.records()?.next_record() {
            Some(record) => ControlRecord::parse(record?.key())?,
            // Compaction has been here before.
            None => return Ok(ControlUse { is_obsolete: true, aborted: None }),
        };
        Ok(match control {
            ControlRecord::Abort => match self.ongoing_aborted.remove(&header.producer_id()) {
                Some((transaction, true)) => ControlUse { is_obsolete: false, aborted: Some(transaction) },
                _ => ControlUse { is_obsolete: true, aborted: None },
            },
            ControlRecord::Commit => {
                ControlUse { is_obsolete: !self.ongoing_committed.remove(&header.producer_id()), aborted: None }
            }
            ControlRecord::Other(_) => ControlUse::default(),
        })
    }

    #[inline]
    fn begin_up_to(&mut self, header: &BatchHeader) {
        while let Some(transaction) =
            self.aborted.get(self.begun).filter(|next| next.first_offset <= header.last_offset())
        {
            // Whoever begins in the middle of the log has not seen the markers before.
            if transaction.last_offset >= header.base_offset() {
                self.ongoing_aborted.insert(transaction.producer_id, (*transaction, false));
            }
            self.begun += 1;
        }
    }
}
