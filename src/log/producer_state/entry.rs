//! [`ProducerStateEntry`]: one producer's state on one partition.

use crate::log::producer_state::{LastRecord, ProducerStateError};
use crate::record::BatchHeader;
use crate::types::{NO_SEQUENCE, NO_TIMESTAMP, Offset, ProducerEpoch};

/// A batch that was appended: enough to recognise it and to answer for it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchMetadata {
    last_sequence: i32,
    offset_delta: i32,
    last_offset: Offset,
    timestamp: i64,
}

impl BatchMetadata {
    fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            offset_delta: header.last_offset_delta(),
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp(),
        }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.last_offset
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.last_sequence
    }

    /// The largest timestamp of the batch.
    pub(crate) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    fn first_sequence(&self) -> i32 {
        sequence_before(self.last_sequence, self.offset_delta)
    }
}

/// What a partition knows of one producer.
#[derive(Clone, Debug)]
pub(crate) struct ProducerStateEntry {
    epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that wrote the last marker; -1 before any.
    coordinator_epoch: i32,
    /// The last batches of this epoch, oldest first.
    batches: [BatchMetadata; Self::BATCHES_KEPT],
    batches_len: u8,
    /// How many sequences of this epoch, up to the last, are known to have been appended without a gap.
    contiguous: u32,
    /// Where the open transaction begins.
    txn_first_offset: Option<Offset>,
    /// Offset of the last batch or marker.
    last_offset: Offset,
    /// When the producer was last active, for its expiry.
    last_active_ms: i64,
}

impl Default for ProducerStateEntry {
    fn default() -> Self {
        Self {
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            batches: [BatchMetadata::default(); Self::BATCHES_KEPT],
            batches_len: 0,
            contiguous: 0,
            txn_first_offset: None,
            last_offset: -1,
            last_active_ms: NO_TIMESTAMP,
        }
    }
}

impl ProducerStateEntry {
    /// How many batches of a producer can be recognised when they come again; `max.in.flight.requests.per.connection`
    /// may not be larger.
    pub(crate) const BATCHES_KEPT: usize = 5;
    /// Distances up to this count backwards; sequences are circular, so a larger one is a gap ahead.
    const MAX_CONTIGUOUS: u32 = 1 << 30;

    pub(crate) fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.batches_len)]
    }

    pub(crate) fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    pub(crate) fn coordinator_epoch(&self) -> i32 {
        self.coordinator_epoch
    }

    pub(crate) fn txn_first_offset(&self) -> Option<Offset> {
        self.txn_first_offset
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.last_offset
    }

    pub(crate) fn last_record(&self) -> LastRecord {
        LastRecord { data_offset: self.batches().last().map(BatchMetadata::last_offset), epoch: self.epoch }
    }

    pub(crate) fn last_active_ms(&self) -> i64 {
        self.last_active_ms
    }

    /// The kept batch that `header`'s batch repeats.
    #[inline]
    pub(crate) fn find_duplicate(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        if header.producer_epoch() != self.epoch {
            return None;
        }
        let (first, last) = (header.base_sequence(), header.last_sequence());
        self.batches()
            .iter()
            .rev()
            .find(|batch| batch.last_sequence == last && batch.first_sequence() == first)
            .copied()
    }

    pub(crate) fn check_epoch(&self, epoch: ProducerEpoch) -> Result<(), ProducerStateError> {
        if epoch < self.epoch {
            return Err(ProducerStateError::Fenced { epoch, current: self.epoch });
        }
        Ok(())
    }

    /// Whether the batch, which repeats none of the kept ones, is the producer's next.
    #[inline]
    pub(crate) fn check_sequence(&self, header: &BatchHeader) -> Result<(), ProducerStateError> {
        let first = header.base_sequence();
        if self.epoch == ProducerEpoch::NONE {
            return Ok(());
        }
        if header.producer_epoch() != self.epoch {
            return if first == 0 {
                Ok(())
            } else {
                let (epoch, current) = (header.producer_epoch(), self.epoch);
                Err(ProducerStateError::NewEpochNotFromZero { first, epoch, current })
            };
        }
        let last_known = self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence);
        if first == sequence_after(last_known) {
            return Ok(());
        }
        match self.batches() {
            [oldest, ..] if self.was_appended_before_kept(header) => Err(ProducerStateError::Duplicate {
                first,
                last: header.last_sequence(),
                first_known: oldest.first_sequence(),
            }),
            _ => Err(ProducerStateError::OutOfOrder { first, last_known }),
        }
    }

    /// Whether all of the batch's sequences lie before those of the kept batches, yet among those that are known to have
    /// been appended.
    fn was_appended_before_kept(&self, header: &BatchHeader) -> bool {
        let last_known = self.batches[usize::from(self.batches_len) - 1].last_sequence;
        let back_to = |sequence: i32| (last_known.wrapping_sub(sequence) & i32::MAX) as u32;
        // Not the distance to the oldest one's first sequence: between kept batches there can be a gap, or a beginning
        // anew at 0 by a producer that had expired.
        let kept: u32 = self.batches().iter().map(|batch| batch.offset_delta as u32 + 1).sum();
        let (first, last) = (back_to(header.base_sequence()), back_to(header.last_sequence()));
        first >= last && first < self.contiguous && last >= kept
    }

    /// Whether the producer may add a batch outside or inside a transaction.
    pub(crate) fn check_transactional(&self, header: &BatchHeader) -> Result<(), ProducerStateError> {
        match self.txn_first_offset {
            Some(first_offset) if !header.is_transactional() => {
                Err(ProducerStateError::TransactionOpen { first_offset })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_marker(&self, header: &BatchHeader, coordinator_epoch: i32) -> Result<(), ProducerStateError> {
        self.check_epoch(header.producer_epoch())?;
        if coordinator_epoch < self.coordinator_epoch {
            let (epoch, current) = (coordinator_epoch, self.coordinator_epoch);
            return Err(ProducerStateError::CoordinatorFenced { epoch, current });
        }
        Ok(())
    }

    /// A data batch was appended. True if it begins a transaction.
    #[inline]
    pub(crate) fn add_batch(&mut self, header: &BatchHeader, now_ms: i64) -> bool {
        self.enter_epoch(header.producer_epoch());
        let batch = BatchMetadata::of(header);
        // Coordinators write with a producer id and without sequences.
        let follows =
            self.batches().last().is_some_and(|last| sequence_after(last.last_sequence) == header.base_sequence());
        let before = if follows { self.contiguous } else { 0 };
        self.contiguous = before.saturating_add(header.last_offset_delta() as u32 + 1).min(Self::MAX_CONTIGUOUS);
        if usize::from(self.batches_len) == Self::BATCHES_KEPT {
            self.batches.copy_within(1.., 0);
            self.batches_len -= 1;
        }
        self.batches[usize::from(self.batches_len)] = batch;
        self.batches_len += 1;
        self.last_offset = batch.last_offset;
        self.last_active_ms = now_ms;
        let begins = header.is_transactional() && self.txn_first_offset.is_none();
        if begins {
            self.txn_first_offset = Some(header.base_offset());
        }
        begins
    }

    /// A marker was appended. Returns where the transaction that it ends began, if one was open.
    pub(crate) fn add_marker(&mut self, header: &BatchHeader, coordinator_epoch: i32, now_ms: i64) -> Option<Offset> {
        self.enter_epoch(header.producer_epoch());
        self.coordinator_epoch = coordinator_epoch;
        self.last_offset = header.last_offset();
        self.last_active_ms = now_ms;
        self.txn_first_offset.take()
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches_len = 0;
            self.contiguous = 0;
        }
    }
}

/// Sequences count modulo 2^31.
fn sequence_after(sequence: i32) -> i32 {
    sequence.wrapping_add(1) & i32::MAX
}

fn sequence_before(sequence: i32, by: i32) -> i32 {
    if sequence == NO_SEQUENCE { NO_SEQUENCE } else { sequence.wrapping_sub(by) & i32::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_circular() {
        assert_eq!(sequence_after(NO_SEQUENCE), 0);
        assert_eq!(sequence_after(7), 8);
        assert_eq!(sequence_after(i32::MAX), 0);
        assert_eq!(sequence_before(3, 5), i32::MAX - 1);
        assert_eq!(sequence_before(NO_SEQUENCE, 5), NO_SEQUENCE);
    }
}
