//! Random batches of a few producers, held against a plain list of what each of them wrote.
//!
//! The model keeps every batch for ever and decides by looking through the list: what came, what follows, what is known
//! and what is gone. Sequences begin close to the largest, so that they wrap.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::log::AppendOrigin;
use crate::log::producer_state::{ProducerStateError, ProducerStateManager};
use crate::log::testing::{CLIENT, NOW_MS, sequenced, transactional};
use crate::record::{BatchHeader, ControlRecord, EndTxnMarker};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::util::testing::cases;

const PRODUCERS: i64 = 3;
const EXPIRATION_MS: i64 = 100;
/// How many batches are known of each producer.
const WINDOW: usize = 5;
const SEQUENCES: i64 = 1 << 31;

#[derive(Clone, Debug)]
enum Operation {
    /// A batch so many sequences behind the last one, so many epochs later.
    Send {
        producer: i64,
        ahead: i32,
        epochs: i16,
        count: usize,
    },
    /// A batch that was sent so many batches ago, cut differently if `count` says so.
    Again {
        producer: i64,
        ago: usize,
        longer: usize,
    },
    /// A transaction's batch, and its end.
    Write {
        producer: i64,
    },
    End {
        producer: i64,
        commit: bool,
        epochs: i16,
    },
    Replicate {
        share: f64,
    },
    Later {
        ms: i64,
    },
    Truncate {
        share: f64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let producer = || 0..PRODUCERS;
    let ahead = prop_oneof![8 => Just(0), 1 => 1..4i32, 1 => -3..0i32];
    let epochs = || prop_oneof![10 => Just(0i16), 1 => Just(1), 1 => Just(-1)];
    prop_oneof![
        10 => (producer(), ahead, epochs(), 1..5usize)
            .prop_map(|(producer, ahead, epochs, count)| Operation::Send { producer, ahead, epochs, count }),
        6 => (producer(), 0..8usize, prop_oneof![4 => Just(0), 1 => 1..3usize])
            .prop_map(|(producer, ago, longer)| Operation::Again { producer, ago, longer }),
        3 => producer().prop_map(|producer| Operation::Write { producer }),
        3 => (producer(), any::<bool>(), epochs())
            .prop_map(|(producer, commit, epochs)| Operation::End { producer, commit, epochs }),
        2 => (0.0..=1.0).prop_map(|share| Operation::Replicate { share }),
        3 => (0..80i64).prop_map(|ms| Operation::Later { ms }),
        1 => (0.0..=1.0).prop_map(|share| Operation::Truncate { share }),
    ]
}

/// A batch or marker that was appended.
#[derive(Clone, Copy, Debug)]
struct Written {
    header: BatchHeader,
    marker: Option<EndTxnMarker>,
    at_ms: i64,
}

#[derive(Debug, Default)]
struct Model {
    manager: ProducerStateManager,
    /// Everything in the log.
    log: Vec<Written>,
    /// Of each producer that is known, what of the log it is known by.
    known: HashMap<i64, Vec<Written>>,
    log_end: Offset,
    high_watermark: Offset,
    now_ms: i64,
    /// How many batches were ever appended.
    appended: i64,
}

impl Model {
    fn run(&mut self, operation: &Operation) {
        match *operation {
            Operation::Send { producer, ahead, epochs, count } => {
                let (epoch, next) = self.next_of(producer);
                let epoch = (epoch + epochs).max(0);
                let next = if epoch > self.next_of(producer).0 { 0 } else { next };
                let sequence = (i64::from(next) + i64::from(ahead)).rem_euclid(SEQUENCES) as i32;
                self.send(*sequenced(producer, epoch, sequence, count).header(), CLIENT);
            }
            Operation::Again { producer, ago, longer } => {
                let sent = self.known.get(&producer).into_iter().flatten().filter(|written| written.marker.is_none());
                let Some(again) = sent.rev().nth(ago).map(|written| written.header) else { return };
                let count = again.last_offset_delta() as usize + 1 + longer;
                let (epoch, sequence) = (again.producer_epoch().0, again.base_sequence());
                if sequence >= 0 {
                    self.send(*sequenced(producer, epoch, sequence, count).header(), CLIENT);
                }
            }
            Operation::Write { producer } => {
                let (epoch, next) = self.next_of(producer);
                self.send(*transactional(producer, epoch, next, 1).header(), CLIENT);
            }
            Operation::End { producer, commit, epochs } => self.end(producer, commit, epochs),
            Operation::Replicate { share } => {
                let to = self.high_watermark + ((self.log_end - self.high_watermark) as f64 * share) as i64;
                self.high_watermark = to;
                self.manager.on_high_watermark_updated(to);
            }
            Operation::Later { ms } => {
                self.now_ms += ms;
                self.manager.remove_expired(NOW_MS + self.now_ms, EXPIRATION_MS);
                let now_ms = self.now_ms;
                let open: Vec<_> = (0..PRODUCERS).filter(|producer| self.open_of(*producer).is_some()).collect();
                self.known.retain(|producer, written| {
                    let last = written.last().expect("never empty");
                    open.contains(producer) || now_ms - last.at_ms < EXPIRATION_MS
                });
            }
            Operation::Truncate { share } => self.truncate(share),
        }
        self.check();
    }

    /// The epoch, and the sequence behind the last; where a producer is not known, one close to the largest at
    /// first, and later anywhere.
    fn next_of(&self, producer: i64) -> (i16, i32) {
        // Nowhere where somebody has been before: a sequence that comes twice is a puzzle without an answer.
        let unused = (i64::from(i32::MAX) - 4 + 100 * self.appended).rem_euclid(SEQUENCES) as i32;
        let Some(written) = self.known.get(&producer) else { return (0, unused) };
        let epoch = written.last().expect("never empty").header.producer_epoch();
        let next = match self.batches_of_epoch(producer).last() {
            Some(last) => (i64::from(last.header.last_sequence()) + 1).rem_euclid(SEQUENCES) as i32,
            None => 0,
        };
        (epoch.0, next)
    }

    /// Data batches of the producer's epoch, oldest first.
    fn batches_of_epoch(&self, producer: i64) -> Vec<Written> {
        let written = self.known.get(&producer).map_or(&[][..], Vec::as_slice);
        let Some(epoch) = written.last().map(|last| last.header.producer_epoch()) else { return Vec::new() };
        let since = written.iter().rposition(|written| written.header.producer_epoch() != epoch).map_or(0, |at| at + 1);
        written[since..].iter().filter(|written| written.marker.is_none()).copied().collect()
    }

    /// Where the producer's transaction began, if it is not over.
    fn open_of(&self, producer: i64) -> Option<Offset> {
        let written = self.known.get(&producer)?;
        let since = written.iter().rposition(|written| written.marker.is_some()).map_or(0, |marker| marker + 1);
        let first = written[since..].iter().find(|written| written.header.is_transactional())?;
        Some(first.header.base_offset())
    }

    /// What Kafka says to a batch of sequences `first..=last`.
    fn judge(&self, header: &BatchHeader) -> Result<Option<Offset>, ProducerStateError> {
        let producer = header.producer_id().0;
        let Some(written) = self.known.get(&producer) else { return Ok(None) };
        let current = written.last().expect("never empty").header.producer_epoch();
        let (epoch, first, last) = (header.producer_epoch(), header.base_sequence(), header.last_sequence());
        let batches = self.batches_of_epoch(producer);
        let window = &batches[batches.len().saturating_sub(WINDOW)..];
        let same = |written: &&Written| {
            epoch == current && (written.header.base_sequence(), written.header.last_sequence()) == (first, last)
        };
        if let Some(original) = window.iter().rev().find(same) {
            return Ok(Some(original.header.base_offset()));
        }
        if epoch < current {
            return Err(ProducerStateError::Fenced { epoch, current });
        }
        if epoch > current && first != 0 {
            return Err(ProducerStateError::NewEpochNotFromZero { first, epoch, current });
        }
        if epoch == current {
            let last_known = batches.last().map_or(-1, |batch| batch.header.last_sequence());
            let next = (i64::from(last_known) + 1).rem_euclid(SEQUENCES) as i32;
            if first != next {
                return Err(self.out_of_order(&batches, window, first, last, last_known));
            }
        }
        match self.open_of(producer) {
            Some(first_offset) if !header.is_transactional() => {
                Err(ProducerStateError::TransactionOpen { first_offset })
            }
            _ => Ok(None),
        }
    }

    /// A duplicate if every one of its sequences lies in front of the window and is known to have come.
    fn out_of_order(
        &self,
        batches: &[Written],
        window: &[Written],
        first: i32,
        last: i32,
        last_known: i32,
    ) -> ProducerStateError {
        // From the last batch back to the first gap.
        let mut came: Vec<i64> = Vec::new();
        let mut next = None;
        for batch in batches.iter().rev() {
            let (first, last) = (i64::from(batch.header.base_sequence()), i64::from(batch.header.last_sequence()));
            if next.is_some_and(|next: i64| (last + 1).rem_euclid(SEQUENCES) != next) {
                break;
            }
            let count = i64::from(batch.header.last_offset_delta()) + 1;
            came.extend((0..count).map(|index| (first + count - 1 - index).rem_euclid(SEQUENCES)));
            next = Some(first);
        }
        let in_window: i64 = window.iter().map(|batch| i64::from(batch.header.last_offset_delta()) + 1).sum();
        let place = |sequence: i32| came.iter().position(|came| *came == i64::from(sequence));
        match (place(first), place(last), window.first()) {
            (Some(from), Some(to), Some(oldest)) if from >= to && to as i64 >= in_window => {
                ProducerStateError::Duplicate { first, last, first_known: oldest.header.base_sequence() }
            }
            _ => ProducerStateError::OutOfOrder { first, last_known },
        }
    }

    fn send(&mut self, header: BatchHeader, origin: AppendOrigin) {
        let expected = self.judge(&header);
        let result = self.manager.check(&header, None, origin);
        assert_eq!(result.map(|known| known.map(|known| known.base_offset())), expected, "{header:?}");
        if expected == Ok(None) {
            self.write(header, None);
        }
    }

    fn end(&mut self, producer: i64, commit: bool, epochs: i16) {
        let known = self.known.get(&producer).map(|written| written[written.len() - 1].header.producer_epoch());
        let epoch = ProducerEpoch((known.map_or(0, |epoch| epoch.0) + epochs).max(0));
        let control = if commit { ControlRecord::Commit } else { ControlRecord::Abort };
        let marker = EndTxnMarker { control, coordinator_epoch: 0 };
        let header = *marker.to_batch(NOW_MS, ProducerId(producer), epoch).header();
        let result = self.manager.check(&header, Some(marker), AppendOrigin::Coordinator);
        match known {
            Some(current) if epoch < current => {
                assert_eq!(result, Err(ProducerStateError::Fenced { epoch, current }));
            }
            _ => {
                assert_eq!(result, Ok(None));
                let open = self.open_of(producer);
                let completed = self.write(header, Some(marker));
                assert_eq!(completed, open.map(|first_offset| (first_offset, !commit)));
            }
        }
    }

    /// Appends, and tells the manager. Returns where the transaction that this ends began, and whether it was aborted.
    fn write(&mut self, mut header: BatchHeader, marker: Option<EndTxnMarker>) -> Option<(Offset, bool)> {
        header.set_base_offset(self.log_end);
        header.set_partition_leader_epoch(LeaderEpoch(0));
        self.log_end = header.next_offset();
        self.appended += 1;
        let completed = self.manager.update(&header, marker, NOW_MS + self.now_ms);
        let written = Written { header, marker, at_ms: self.now_ms };
        self.log.push(written);
        self.known.entry(header.producer_id().0).or_default().push(written);
        completed.map(|completed| (completed.first_offset, completed.aborted))
    }

    /// The log's part in it: what is left goes through the manager once more, for those producers that lost something.
    fn truncate(&mut self, share: f64) {
        let offset = self.high_watermark + ((self.log_end - self.high_watermark) as f64 * share) as i64;
        let kept = self.log.iter().take_while(|written| written.header.next_offset() <= offset).count();
        self.log.truncate(kept);
        self.log_end = self.log.last().map_or(0, |last| last.header.next_offset());
        self.high_watermark = self.high_watermark.min(self.log_end);
        let rebuild = self.manager.truncate_to(self.log_end);
        for written in &self.log {
            if let Some(last_active_ms) = rebuild.get(&written.header.producer_id()) {
                self.manager.update(&written.header, written.marker, *last_active_ms);
            }
        }
        self.manager.on_high_watermark_updated(self.high_watermark);
        for producer in 0..PRODUCERS {
            // Not only what it was known by before: whatever the log holds, as active as it was.
            let in_log = |at_ms| -> Vec<_> {
                let of_producer = self.log.iter().filter(|written| written.header.producer_id().0 == producer);
                of_producer.map(|written| Written { at_ms, ..*written }).collect()
            };
            let (left, had_expired) = match self.known.remove(&producer) {
                Some(known) => match known[known.len() - 1] {
                    last if last.header.last_offset() >= self.log_end => (in_log(last.at_ms), false),
                    _ => (known, false),
                },
                // If its transaction is open again, it is known again, until it expires once more.
                None => (in_log(-EXPIRATION_MS), true),
            };
            if !left.is_empty() {
                self.known.insert(producer, left);
            }
            if had_expired && self.open_of(producer).is_none() {
                self.known.remove(&producer);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.manager.len(), self.known.len());
        let open = (0..PRODUCERS).filter_map(|producer| self.open_of(producer));
        // Over, but with a marker that is not replicated yet. Who wrote it may have expired since.
        let mut unsettled = Vec::new();
        for (index, marker) in self.log.iter().enumerate().filter(|(_, written)| written.marker.is_some()) {
            if marker.header.base_offset() < self.high_watermark {
                continue;
            }
            let producer = marker.header.producer_id();
            let of_producer = self.log[..index].iter().rev().filter(|written| written.header.producer_id() == producer);
            let in_it = of_producer.take_while(|written| written.marker.is_none());
            unsettled.extend(
                in_it
                    .filter(|written| written.header.is_transactional())
                    .last()
                    .map(|first| first.header.base_offset()),
            );
        }
        assert_eq!(self.manager.first_unstable_offset(), open.chain(unsettled).min());
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn invariants_12_13_15_16_hold_for_random_producers(operations in prop::collection::vec(operation(), 1..150)) {
        let mut model = Model::default();
        for operation in &operations {
            model.run(operation);
        }
    }
}
