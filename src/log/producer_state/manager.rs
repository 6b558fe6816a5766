//! [`ProducerStateManager`]: all producers of a partition.

use std::collections::{BTreeMap, HashMap};

use crate::log::AppendOrigin;
use crate::log::producer_state::{BatchMetadata, ProducerStateEntry, ProducerStateError};
use crate::record::{BatchHeader, ControlRecord, EndTxnMarker, RecordBatch, RecordError};
use crate::types::{NO_TIMESTAMP, Offset, ProducerEpoch, ProducerId};

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Offset of the marker.
    pub(crate) last_offset: Offset,
    pub(crate) aborted: bool,
}

/// Where a producer wrote last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// Last offset of its last data batch; `None` if the epoch has only markers.
    pub(crate) data_offset: Option<Offset>,
    pub(crate) epoch: ProducerEpoch,
}

/// An ended transaction whose marker may yet be truncated.
#[derive(Clone, Copy, Debug)]
struct Unreplicated {
    marker: Offset,
    producer_id: ProducerId,
}

/// What a partition knows of its producers.
#[derive(Debug, Default)]
pub(crate) struct ProducerStateManager {
    producers: HashMap<ProducerId, ProducerStateEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker is not below the high watermark yet, by first offset.
    unreplicated: BTreeMap<Offset, Unreplicated>,
}

impl ProducerStateManager {
    /// Whether the batch of a producer with an id may be appended; `Some` if it was appended before.
    #[inline]
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
        origin: AppendOrigin,
    ) -> Result<Option<BatchMetadata>, ProducerStateError> {
        let Some(entry) = self.producers.get(&header.producer_id()) else {
            return Ok(None);
        };
        if let Some(marker) = marker {
            return entry.check_marker(header, marker.coordinator_epoch).map(|()| None);
        }
        if let AppendOrigin::Client { .. } = origin {
            if let Some(duplicate) = entry.find_duplicate(header) {
                return Ok(Some(duplicate));
            }
            entry.check_epoch(header.producer_epoch())?;
            entry.check_sequence(header)?;
        } else {
            entry.check_epoch(header.producer_epoch())?;
        }
        entry.check_transactional(header).map(|()| None)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&ProducerId, &ProducerStateEntry)> {
        self.producers.iter()
    }

    /// A batch of a producer with an id was appended. Returns the transaction that it ended.
    #[inline]
    pub(crate) fn update(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
        now_ms: i64,
    ) -> Option<CompletedTxn> {
        let producer_id = header.producer_id();
        let entry = self.producers.entry(producer_id).or_default();
        let Some(marker) = marker else {
            if entry.add_batch(header, now_ms) {
                self.ongoing.insert(header.base_offset(), producer_id);
            }
            return None;
        };
        let first_offset = entry.add_marker(header, marker.coordinator_epoch, now_ms)?;
        self.ongoing.remove(&first_offset);
        let last_offset = header.last_offset();
        self.unreplicated.insert(first_offset, Unreplicated { marker: last_offset, producer_id });
        Some(CompletedTxn { producer_id, first_offset, last_offset, aborted: marker.control == ControlRecord::Abort })
    }

    /// The first offset of a transaction whose outcome consumers may not know yet.
    #[inline]
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        let first = |offset: Option<&Offset>| offset.copied().unwrap_or(Offset::MAX);
        let unstable = first(self.unreplicated.keys().next()).min(first(self.ongoing.keys().next()));
        (unstable != Offset::MAX).then_some(unstable)
    }

    /// The last stable offset that holds once `completed` is replicated.
    pub(crate) fn last_stable_offset_after(&self, completed: &CompletedTxn) -> Offset {
        self.ongoing.keys().next().copied().unwrap_or(completed.last_offset + 1)
    }

    /// Markers below `high_watermark` are settled. True if the first unstable offset may have changed.
    #[inline]
    pub(crate) fn on_high_watermark_updated(&mut self, high_watermark: Offset) -> bool {
        if self.unreplicated.is_empty() {
            return false;
        }
        self.unreplicated.retain(|_, ended| ended.marker >= high_watermark);
        true
    }

    /// Transactions that end below `log_start` concern no reader any more.
    pub(crate) fn on_log_start_incremented(&mut self, log_start: Offset) {
        self.unreplicated.retain(|_, ended| ended.marker >= log_start);
    }

    /// Forgets the producers that have been idle for `expiration_ms` and have no transaction open.
    pub(crate) fn remove_expired(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            entry.txn_first_offset().is_some() || now_ms.saturating_sub(entry.last_active_ms()) < expiration_ms
        });
    }

    /// The log now ends at `offset`. Producers that were active only before it keep their state. Returns those that have
    /// to be rebuilt, with when they were last active: each batch and marker of theirs that is left in the log must go
    /// through [`ProducerStateManager::update`] again.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> HashMap<ProducerId, i64> {
        let rebuild = self.producers.extract_if(|_, entry| entry.last_offset() >= offset);
        let mut rebuild: HashMap<_, _> = rebuild.map(|(id, entry)| (id, entry.last_active_ms())).collect();
        // A transaction that loses its marker is open again, even if its producer has expired since.
        for (_, ended) in self.unreplicated.range(..offset).filter(|(_, ended)| ended.marker >= offset) {
            rebuild.entry(ended.producer_id).or_insert(NO_TIMESTAMP);
        }
        self.ongoing.retain(|_, id| !rebuild.contains_key(id));
        self.unreplicated.retain(|_, ended| ended.marker < offset);
        rebuild
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The last batch of each producer, which compaction must leave in the log.
    pub(crate) fn last_records(&self) -> HashMap<ProducerId, LastRecord> {
        self.producers.iter().map(|(id, entry)| (*id, entry.last_record())).collect()
    }

    /// How many producers are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.producers.len()
    }
}

/// The transaction marker in a control batch; `None` for other batches.
#[inline]
pub(crate) fn end_txn_marker(batch: &RecordBatch) -> Result<Option<EndTxnMarker>, RecordError> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    match batch.records()?.next_record() {
        Some(record) => EndTxnMarker::parse(&record?),
        None => Ok(None),
    }
}
