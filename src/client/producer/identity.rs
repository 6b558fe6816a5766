//! [`ProducerIdentity`] and [`Sequences`]: the ids and sequence numbers of an idempotent producer.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::types::{ProducerEpoch, ProducerId};

/// Producer id and epoch, and which of the producer's identities this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    generation: u64,
}

/// What stands in a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) identity: Identity,
    pub(super) base: i32,
}

/// The producer's current identity. Its epoch is bumped when a partition lost track of its sequence numbers (KIP-360);
/// the other partitions go over to the new epoch one by one, as they have nothing underway.
#[derive(Debug, Default)]
pub(super) struct ProducerIdentity {
    current: Mutex<Option<Identity>>,
    /// The current identity's generation; 0 while there is none.
    generation: AtomicU64,
}

impl ProducerIdentity {
    /// The identity, unless one must be asked for first.
    pub(super) fn current(&self) -> Option<Identity> {
        *self.current.lock()
    }

    /// Takes an id that was asked for, unless another thread was faster.
    pub(super) fn initialize(&self, id: ProducerId, epoch: ProducerEpoch) {
        let mut current = self.current.lock();
        if current.is_none() {
            let generation = self.generation.load(Ordering::Relaxed) + 1;
            *current = Some(Identity { id, epoch, generation });
            self.generation.store(generation, Ordering::Release);
        }
    }

    /// Gives up this identity for the next epoch, unless that has happened already. Where epochs are used up, the next
    /// batch asks for a new id.
    pub(super) fn bump(&self, from: Identity) {
        let mut current = self.current.lock();
        if current.is_some_and(|identity| identity.generation == from.generation) {
            *current = from.epoch.0.checked_add(1).map(|epoch| {
                let generation = from.generation + 1;
                self.generation.store(generation, Ordering::Release);
                Identity { id: from.id, epoch: ProducerEpoch(epoch), generation }
            });
        }
    }

    /// Gives up this producer id altogether, unless that has happened already.
    pub(super) fn reset(&self, from: Identity) {
        let mut current = self.current.lock();
        if current.is_some_and(|identity| identity.generation == from.generation) {
            *current = None;
        }
    }

    /// Whether this is the current identity. One atomic load.
    #[inline]
    fn is_current(&self, identity: Identity) -> bool {
        self.generation.load(Ordering::Acquire) == identity.generation
    }
}

/// One partition's sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    identity: Option<Identity>,
    next: i32,
    /// Whether a batch with a sequence number failed, so that the numbers behind it may have a gap.
    must_bump: bool,
}

/// What to do before a batch can be numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnumbered {
    /// An identity must be asked for.
    NeedsIdentity,
    /// The epoch is to be bumped, but batches of the old one are not acknowledged yet.
    MustSettle,
}

impl Sequences {
    /// Numbers a batch of `count` records. `settled` says whether every batch that was numbered before is acknowledged
    /// or has failed.
    #[inline]
    pub(super) fn assign(
        &mut self,
        count: u32,
        producer: &ProducerIdentity,
        settled: bool,
    ) -> Result<Sequence, Unnumbered> {
        let identity = match self.identity {
            Some(identity) if !self.must_bump && (!settled || producer.is_current(identity)) => identity,
            _ => self.adopt(producer, settled)?,
        };
        let base = self.next;
        self.next = advance(base, count);
        Ok(Sequence { identity, base })
    }

    /// Goes over to the producer's current identity, bumping its epoch first if this partition asked for that.
    #[cold]
    fn adopt(&mut self, producer: &ProducerIdentity, settled: bool) -> Result<Identity, Unnumbered> {
        if let Some(own) = self.identity
            && self.must_bump
        {
            if !settled {
                return Err(Unnumbered::MustSettle);
            }
            producer.bump(own);
        }
        self.must_bump = false;
        let identity = producer.current().ok_or(Unnumbered::NeedsIdentity)?;
        if self.identity != Some(identity) {
            self.identity = Some(identity);
            self.next = 0;
        }
        Ok(identity)
    }

    /// A numbered batch failed: start over with a new epoch once everything is settled.
    pub(super) fn fail(&mut self) {
        self.must_bump = true;
    }

    /// Takes back the numbers of a batch that was not appended; nothing behind it is numbered.
    pub(super) fn take_back(&mut self, sequence: Sequence) {
        if self.identity == Some(sequence.identity) {
            self.next = sequence.base;
        }
    }
}

/// Sequence numbers wrap from `i32::MAX` to 0.
fn advance(base: i32, count: u32) -> i32 {
    ((base as u32).wrapping_add(count) & i32::MAX as u32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer() -> ProducerIdentity {
        let producer = ProducerIdentity::default();
        producer.initialize(ProducerId(7), ProducerEpoch(0));
        producer
    }

    fn numbers(sequence: Result<Sequence, Unnumbered>) -> (i64, i16, i32) {
        let Sequence { identity, base } = sequence.unwrap();
        (identity.id.0, identity.epoch.0, base)
    }

    #[test]
    fn batches_are_numbered_by_records() {
        let (producer, mut sequences) = (producer(), Sequences::default());
        assert_eq!(numbers(sequences.assign(3, &producer, true)), (7, 0, 0));
        assert_eq!(numbers(sequences.assign(2, &producer, true)), (7, 0, 3));
        assert_eq!(numbers(sequences.assign(1, &producer, false)), (7, 0, 5));
    }

    #[test]
    fn numbers_wrap_to_zero() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(advance(i32::MAX - 1, 5), 3);
    }

    #[test]
    fn a_failed_batch_bumps_the_epoch_once_all_is_settled() {
        let (producer, mut failed, mut other) = (producer(), Sequences::default(), Sequences::default());
        failed.assign(4, &producer, true).unwrap();
        other.assign(4, &producer, true).unwrap();
        failed.fail();
        assert_eq!(failed.assign(1, &producer, false), Err(Unnumbered::MustSettle));
        assert_eq!(numbers(failed.assign(1, &producer, true)), (7, 1, 0));
        assert_eq!(numbers(failed.assign(1, &producer, true)), (7, 1, 1));
        // The other partition keeps its epoch while it has batches underway.
        assert_eq!(numbers(other.assign(1, &producer, false)), (7, 0, 4));
        assert_eq!(numbers(other.assign(1, &producer, true)), (7, 1, 0));
    }

    #[test]
    fn the_last_epoch_is_followed_by_a_new_id() {
        let producer = ProducerIdentity::default();
        producer.initialize(ProducerId(7), ProducerEpoch(i16::MAX));
        let mut sequences = Sequences::default();
        sequences.assign(1, &producer, true).unwrap();
        sequences.fail();
        assert_eq!(sequences.assign(1, &producer, true), Err(Unnumbered::NeedsIdentity));
        producer.initialize(ProducerId(8), ProducerEpoch(0));
        assert_eq!(numbers(sequences.assign(1, &producer, true)), (8, 0, 0));
    }

    #[test]
    fn numbers_that_were_not_used_are_taken_back() {
        let (producer, mut sequences) = (producer(), Sequences::default());
        sequences.assign(3, &producer, true).unwrap();
        let unused = sequences.assign(9, &producer, true).unwrap();
        sequences.take_back(unused);
        assert_eq!(numbers(sequences.assign(1, &producer, true)), (7, 0, 3));
    }
}
