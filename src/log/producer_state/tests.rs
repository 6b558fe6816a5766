//! Producer state as a leader's appends see it.

use crate::error::ErrorCode;
use crate::log::producer_state::ProducerStateManager;
use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, log_with, orders, sequenced, transactional};
use crate::log::{AppendOrigin, Log, LogError, ProducerStateError};
use crate::record::{ControlRecord, EndTxnMarker, RecordBatch};
use crate::types::{Offset, ProducerEpoch, ProducerId, TimestampType};

fn log() -> Log {
    log_with(|_| {})
}

#[track_caller]
fn appended(log: &mut Log, batch: RecordBatch) -> Offset {
    let info = log.append(batch).unwrap();
    assert!(!info.duplicate);
    info.base_offset
}

#[track_caller]
fn duplicate(log: &mut Log, batch: RecordBatch) -> (Offset, Offset) {
    let end = log.log_end();
    let info = log.append(batch).unwrap();
    assert!(info.duplicate && log.log_end() == end);
    (info.base_offset, info.last_offset)
}

#[track_caller]
fn refused(log: &mut Log, batch: RecordBatch) -> ProducerStateError {
    let (end, id) = (log.log_end(), batch.header().producer_id());
    let error = log.append(batch).unwrap_err();
    assert_eq!(log.log_end(), end);
    let LogError::Producer { topic_partition, producer_id, reason } = error else {
        panic!("{error}");
    };
    assert_eq!((topic_partition, producer_id), (orders(), id));
    reason
}

fn end_transaction(
    log: &mut Log,
    id: i64,
    epoch: i16,
    control: ControlRecord,
    coordinator_epoch: i32,
) -> Result<(), LogError> {
    let marker = EndTxnMarker { control, coordinator_epoch };
    let marker = marker.to_batch(NOW_MS, ProducerId(id), ProducerEpoch(epoch));
    log.append_as_leader(marker, EPOCH, AppendOrigin::Coordinator, NOW_MS).map(|_| ())
}

#[test]
fn invariant_12_a_batch_that_comes_again_is_not_appended_again() {
    let mut log = log();
    assert_eq!(appended(&mut log, sequenced(7, 0, 0, 3)), 0);
    assert_eq!(duplicate(&mut log, sequenced(7, 0, 0, 3)), (0, 2));
    assert_eq!(appended(&mut log, batch(10)), 3);
    assert_eq!(appended(&mut log, sequenced(7, 0, 3, 2)), 13);
    assert_eq!(duplicate(&mut log, sequenced(7, 0, 0, 3)), (0, 2));
    assert_eq!(duplicate(&mut log, sequenced(7, 0, 3, 2)), (13, 14));
    // Another producer's, another partition's or another epoch's sequences are others.
    assert_eq!(appended(&mut log, sequenced(8, 0, 0, 3)), 15);
    assert_eq!(appended(&mut log, sequenced(7, 1, 0, 3)), 18);
}

#[test]
fn a_duplicate_is_answered_with_the_original_append_time() {
    let mut log = log_with(|config| config.timestamp_type = TimestampType::LogAppendTime);
    let first = log.append_as_leader(sequenced(7, 0, 0, 3), EPOCH, CLIENT, NOW_MS).unwrap();
    let again = log.append_as_leader(sequenced(7, 0, 0, 3), EPOCH, CLIENT, NOW_MS + 500).unwrap();
    assert_eq!((first.log_append_time, again.log_append_time), (Some(NOW_MS), Some(NOW_MS)));
}

#[test]
fn invariant_13_the_window_is_the_last_five_batches() {
    let mut log = log();
    for sequence in 0..6 {
        assert_eq!(appended(&mut log, sequenced(7, 0, 2 * sequence, 2)), i64::from(2 * sequence));
    }
    for sequence in 1..6 {
        let base = i64::from(2 * sequence);
        assert_eq!(duplicate(&mut log, sequenced(7, 0, 2 * sequence, 2)), (base, base + 1));
    }
    let older = refused(&mut log, sequenced(7, 0, 0, 2));
    assert_eq!(older, ProducerStateError::Duplicate { first: 0, last: 1, first_known: 2 });
    assert_eq!(older.code(), ErrorCode::DuplicateSequenceNumber);
    let gap = refused(&mut log, sequenced(7, 0, 13, 2));
    assert_eq!(gap, ProducerStateError::OutOfOrder { first: 13, last_known: 11 });
    assert_eq!(gap.code(), ErrorCode::OutOfOrderSequenceNumber);
    // Cut differently, a batch is no repetition, wherever it lies.
    for (first, count) in [(1, 2), (2, 1), (2, 4), (10, 3), (0, 3)] {
        let error = refused(&mut log, sequenced(7, 0, first, count));
        assert_eq!(error, ProducerStateError::OutOfOrder { first, last_known: 11 });
    }
}

#[test]
fn what_was_perhaps_never_appended_is_not_called_a_duplicate() {
    let mut log = log();
    // State begins with sequence 100: an earlier batch may have been lost.
    for sequence in 100..106 {
        appended(&mut log, sequenced(7, 0, sequence, 1));
    }
    assert_eq!(refused(&mut log, sequenced(7, 0, 100, 1)).code(), ErrorCode::DuplicateSequenceNumber);
    assert_eq!(
        refused(&mut log, sequenced(7, 0, 99, 1)),
        ProducerStateError::OutOfOrder { first: 99, last_known: 105 }
    );
    assert_eq!(
        refused(&mut log, sequenced(7, 0, 99, 2)),
        ProducerStateError::OutOfOrder { first: 99, last_known: 105 }
    );
}

#[test]
fn a_producer_that_began_anew_at_0_has_its_kept_batches_twice_around() {
    // What a log holds of a producer that expired and came back with the same epoch; truncation reads it all again.
    let mut manager = ProducerStateManager::default();
    for (first, count) in [(1, 3), (0, 2), (2, 1), (3, 1)] {
        manager.update(sequenced(7, 0, first, count).header(), None, NOW_MS);
    }
    // Sequence 0 is in the kept batch 0..=1: cut differently, not older.
    let error = manager.check(sequenced(7, 0, 0, 1).header(), None, CLIENT).unwrap_err();
    assert_eq!(error, ProducerStateError::OutOfOrder { first: 0, last_known: 3 });
}

#[test]
fn invariant_15_sequences_wrap() {
    const MAX: i32 = i32::MAX;
    let mut log = log();
    assert_eq!(appended(&mut log, sequenced(7, 0, MAX - 2, 2)), 0);
    // The batch itself wraps.
    assert_eq!(appended(&mut log, sequenced(7, 0, MAX, 3)), 2);
    assert_eq!(duplicate(&mut log, sequenced(7, 0, MAX, 3)), (2, 4));
    assert_eq!(refused(&mut log, sequenced(7, 0, 0, 1)), ProducerStateError::OutOfOrder { first: 0, last_known: 1 });
    assert_eq!(appended(&mut log, sequenced(7, 0, 2, 1)), 5);
    // Or ends exactly at the wrap.
    let mut log = self::log();
    appended(&mut log, sequenced(7, 0, MAX - 2, 3));
    assert_eq!(refused(&mut log, sequenced(7, 0, 1, 1)), ProducerStateError::OutOfOrder { first: 1, last_known: MAX });
    for sequence in 0..5 {
        assert_eq!(appended(&mut log, sequenced(7, 0, sequence, 1)), i64::from(3 + sequence));
    }
    let older = ProducerStateError::Duplicate { first: MAX - 2, last: MAX, first_known: 0 };
    assert_eq!(refused(&mut log, sequenced(7, 0, MAX - 2, 3)), older);
}

#[test]
fn invariant_16_batches_in_flight_are_accepted_only_in_the_order_they_were_sent() {
    // Five batches in flight; the network drops the second, so the following are refused until it is sent again, and
    // the acknowledged order is the order of sending.
    let mut log = log();
    let send = |sequence| sequenced(7, 0, sequence, 1);
    assert_eq!(appended(&mut log, send(0)), 0);
    for sequence in [2, 3, 4] {
        assert_eq!(
            refused(&mut log, send(sequence)),
            ProducerStateError::OutOfOrder { first: sequence, last_known: 0 }
        );
    }
    let offsets: Vec<_> = (1..5).map(|sequence| appended(&mut log, send(sequence))).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    let mut log = log();
    appended(&mut log, sequenced(7, 1, 0, 3));
    let (epoch, current) = (ProducerEpoch(2), ProducerEpoch(1));
    let error = refused(&mut log, sequenced(7, 2, 3, 1));
    assert_eq!(error, ProducerStateError::NewEpochNotFromZero { first: 3, epoch, current });
    assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
    appended(&mut log, sequenced(7, 2, 0, 1));
    let error = refused(&mut log, sequenced(7, 1, 3, 1));
    assert_eq!(error, ProducerStateError::Fenced { epoch: ProducerEpoch(1), current: ProducerEpoch(2) });
    assert_eq!(error.code(), ErrorCode::InvalidProducerEpoch);
    // A repetition of the old epoch is no duplicate any more.
    assert_eq!(refused(&mut log, sequenced(7, 1, 0, 3)).code(), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn a_producer_without_state_may_begin_anywhere() {
    assert_eq!(appended(&mut log(), sequenced(7, 3, 1_000, 2)), 0);
}

#[test]
fn open_transactions_bound_the_last_stable_offset() {
    let mut log = log();
    appended(&mut log, batch(2)); // 0, 1
    appended(&mut log, transactional(7, 0, 0, 2)); // 2, 3
    appended(&mut log, transactional(8, 0, 0, 1)); // 4
    appended(&mut log, transactional(7, 0, 2, 1)); // 5
    assert_eq!(log.last_stable_offset(), 0);
    log.maybe_increment_high_watermark(1);
    assert_eq!(log.last_stable_offset(), 1);
    log.replicate_all();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (6, 2));
    end_transaction(&mut log, 7, 0, ControlRecord::Commit, 0).unwrap(); // 6
    // The marker is not replicated: a reader must not act on it yet.
    assert_eq!(log.last_stable_offset(), 2);
    log.replicate_all();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (7, 4));
    end_transaction(&mut log, 8, 0, ControlRecord::Abort, 0).unwrap(); // 7
    log.replicate_all();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (8, 8));
}

#[test]
fn an_open_transaction_keeps_its_producer_from_expiring() {
    let mut log = log();
    appended(&mut log, transactional(7, 0, 0, 1));
    appended(&mut log, sequenced(8, 0, 0, 1));
    log.remove_expired_producers(i64::MAX);
    assert_eq!(log.producer_count(), 1);
    log.replicate_all();
    assert_eq!(log.last_stable_offset(), 0);
}

#[test]
fn a_batch_outside_an_open_transaction_is_refused() {
    let mut log = log();
    appended(&mut log, transactional(7, 0, 0, 1));
    let error = refused(&mut log, sequenced(7, 0, 1, 1));
    assert_eq!(error, ProducerStateError::TransactionOpen { first_offset: 0 });
    assert_eq!(error.code(), ErrorCode::InvalidTxnState);
}

#[test]
fn markers_are_fenced_by_producer_and_coordinator_epoch() {
    let mut log = log();
    appended(&mut log, transactional(7, 2, 0, 1));
    let reason = |error: LogError| match error {
        LogError::Producer { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let error = reason(end_transaction(&mut log, 7, 1, ControlRecord::Commit, 5).unwrap_err());
    assert_eq!(error, ProducerStateError::Fenced { epoch: ProducerEpoch(1), current: ProducerEpoch(2) });
    end_transaction(&mut log, 7, 2, ControlRecord::Commit, 5).unwrap();
    let error = reason(end_transaction(&mut log, 7, 2, ControlRecord::Commit, 4).unwrap_err());
    assert_eq!(error, ProducerStateError::CoordinatorFenced { epoch: 4, current: 5 });
    assert_eq!(error.code(), ErrorCode::TransactionCoordinatorFenced);
    // Sequences of the epoch go on behind a marker.
    appended(&mut log, transactional(7, 2, 1, 1));
}

#[test]
fn a_coordinator_writes_without_sequences() {
    let mut log = log();
    for base_offset in [0, 1, 2] {
        let info = log.append_as_leader(transactional(7, 0, -1, 1), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
        assert_eq!((info.base_offset, info.duplicate), (base_offset, false));
    }
}
