//! Truncation: what a follower drops because its new leader does not have it.

use std::ops::ControlFlow;

use crate::log::LogError;
use crate::log::append::concerns_producer;
use crate::log::log::Log;
use crate::log::producer_state::end_txn_marker;
use crate::log::store::SegmentStore;
use crate::types::Offset;

impl<S: SegmentStore> Log<S> {
    /// Drops the records at `offset` and behind, and with them whatever shares a batch with one of them. Returns the new
    /// log end, which is then the first dropped batch's base offset.
    ///
    /// The high watermark falls to the log end if it lay behind. The log start only falls for an offset before it.
    /// Producer state is afterwards what the remaining batches imply; producers that were active only before `offset`
    /// keep theirs.
    pub(crate) fn truncate_to(&mut self, offset: Offset, now_ms: i64) -> Result<Offset, LogError> {
        if offset >= self.log_end {
            // An epoch may have begun here without a record.
            self.epochs.truncate_from_end(self.log_end);
            return Ok(self.log_end);
        }
        if offset < self.segments[0].base_offset() {
            self.truncate_fully_and_start_at(offset, now_ms)?;
            return Ok(offset);
        }
        self.note_truncation();
        while self.segments.back().is_some_and(|last| last.base_offset() > offset) {
            let segment = self.segments.pop_back().expect("just seen");
            self.dispose(segment)?;
        }
        let active = self.segments.back_mut().expect("the first segment begins at or before the offset");
        let size_before = active.size_in_bytes();
        let first_dropped =
            active.truncate_to(&mut self.store, offset, now_ms).map_err(LogError::storage(&self.topic_partition))?;
        self.size_in_bytes -= u64::from(size_before - active.size_in_bytes());
        self.store.reclaim().map_err(LogError::storage(&self.topic_partition))?;

        self.log_start = self.log_start.min(offset);
        // No record is left behind the first dropped batch's base, but offsets below the log start are never used again.
        self.log_end = first_dropped.map_or(offset, |base| base.min(offset)).max(self.log_start);
        self.high_watermark = self.high_watermark.min(self.log_end);
        self.cleaned_to = self.cleaned_to.min(self.log_end);
        self.epochs.truncate_from_end(self.log_end);
        self.rebuild_producer_state()?;
        self.debug_assert_invariants();
        Ok(self.log_end)
    }

    /// Drops everything; the next record gets `offset`.
    pub(crate) fn truncate_fully_and_start_at(&mut self, offset: Offset, now_ms: i64) -> Result<(), LogError> {
        self.note_truncation();
        while let Some(segment) = self.segments.pop_back() {
            self.dispose(segment)?;
        }
        self.store.reclaim().map_err(LogError::storage(&self.topic_partition))?;
        self.log_start = offset;
        self.high_watermark = offset;
        self.log_end = offset;
        self.cleaned_to = self.cleaned_to.min(offset);
        self.first_unstable = None;
        self.epochs.clear();
        self.producers.clear();
        self.open_segment(offset, now_ms)?;
        self.debug_assert_invariants();
        Ok(())
    }

    /// A compaction that is under way speaks of another log now.
    fn note_truncation(&mut self) {
        self.truncations += 1;
        self.unreadable_to = 0;
    }

    fn rebuild_producer_state(&mut self) -> Result<(), LogError> {
        let rebuild = self.producers.truncate_to(self.log_end);
        if !rebuild.is_empty() {
            let mut unreadable = None;
            for segment in self.segments.range(self.segment_index(self.log_start)..) {
                segment
                    .scan_from(&self.store, self.log_start, |batch| {
                        let header = batch.header();
                        let Some(&last_active_ms) = rebuild.get(&header.producer_id()) else {
                            return ControlFlow::Continue(());
                        };
                        match end_txn_marker(batch) {
                            Ok(marker) if concerns_producer(header, marker) => {
                                self.producers.update(header, marker, last_active_ms);
                                ControlFlow::Continue(())
                            }
                            Ok(_) => ControlFlow::Continue(()),
                            Err(reason) => {
                                unreadable = Some((header.base_offset(), reason));
                                ControlFlow::Break(())
                            }
                        }
                    })
                    .map_err(LogError::storage(&self.topic_partition))?;
            }
            if let Some((base_offset, reason)) = unreadable {
                let topic_partition = self.topic_partition.clone();
                return Err(LogError::Unreadable { topic_partition, base_offset, reason });
            }
        }
        self.producers.on_high_watermark_updated(self.high_watermark);
        self.update_first_unstable();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch, batch_at, log_with, sequenced, transactional};
    use crate::log::{AppendOrigin, Log};
    use crate::record::{ControlRecord, EndTxnMarker};
    use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

    #[test]
    fn whole_batches_are_dropped() {
        let mut log = log_with(|config| config.segment_bytes = 300);
        for count in [3, 1, 5, 2] {
            log.append(batch(count)).unwrap();
        }
        log.maybe_increment_high_watermark(4);
        let size = |counts: &[usize]| counts.iter().map(|&count| batch(count).size_in_bytes() as u64).sum::<u64>();
        assert_eq!(log.truncate_to(20, NOW_MS), Ok(11));
        assert_eq!(log.truncate_to(10, NOW_MS), Ok(9));
        assert_eq!((log.all_bases(), log.size_in_bytes()), (vec![0, 3, 4], size(&[3, 1, 5])));
        assert_eq!(log.truncate_to(4, NOW_MS), Ok(4));
        assert_eq!((log.all_bases(), log.size_in_bytes()), (vec![0, 3], size(&[3, 1])));
        assert_eq!(log.truncate_to(1, NOW_MS), Ok(0));
        assert_eq!((log.high_watermark(), log.log_end(), log.size_in_bytes()), (0, 0, 0));
        assert_eq!(log.append(batch(2)).unwrap().base_offset, 0);
        assert_eq!(log.all_bases(), [0]);
    }

    #[test]
    fn indexes_forget_what_is_dropped() {
        let mut log = log_with(|config| config.index_interval_bytes = 1);
        for timestamp in [10, 20, 90, 40] {
            log.append(batch_at(&[timestamp])).unwrap();
        }
        log.truncate_to(2, NOW_MS).unwrap();
        for timestamp in [30, 50] {
            log.append(batch_at(&[timestamp])).unwrap();
        }
        let at = |timestamp| log.offset_for_timestamp(timestamp, 4).unwrap().map(|found| found.offset);
        assert_eq!([5, 15, 25, 35, 55].map(at), [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(log.max_timestamp(4).unwrap().unwrap().offset, 3);
        assert_eq!(log.read_bases(3, usize::MAX, 4, false), [3]);
    }

    #[test]
    fn the_log_start_does_not_fall_within_a_batch() {
        let mut log = log_with(|_| {});
        log.append(batch(10)).unwrap();
        log.replicate_all();
        log.delete_records(5, NOW_MS).unwrap();
        assert_eq!(log.truncate_to(7, NOW_MS), Ok(5));
        assert_eq!((log.log_start(), log.high_watermark(), log.log_end()), (5, 5, 5));
        assert_eq!(log.append(batch(1)).unwrap().base_offset, 5);
        assert_eq!(log.all_bases(), [5]);
    }

    #[test]
    fn truncation_before_the_first_segment_begins_anew() {
        let mut log = log_with(|config| config.segment_bytes = batch(1).size_in_bytes() as u32);
        for _ in 0..3 {
            log.append(sequenced(7, 0, log.log_end() as i32, 1)).unwrap();
        }
        log.replicate_all();
        log.delete_records(2, NOW_MS).unwrap();
        assert_eq!(log.truncate_to(1, NOW_MS), Ok(1));
        assert_eq!((log.log_start(), log.high_watermark(), log.log_end()), (1, 1, 1));
        assert_eq!((log.segment_bases(), log.producer_count(), log.latest_epoch()), (vec![1], 0, None));
    }

    #[test]
    fn epochs_that_begin_behind_the_new_end_are_forgotten() {
        let mut log = log_with(|_| {});
        for epoch in [1, 4] {
            log.append_as_leader(batch(2), LeaderEpoch(epoch), CLIENT, NOW_MS).unwrap();
        }
        log.assign_epoch_start(LeaderEpoch(6));
        assert_eq!(log.end_offset_for_epoch(LeaderEpoch(2)), Some((LeaderEpoch(1), 2)));
        log.truncate_to(4, NOW_MS).unwrap();
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
        log.truncate_to(2, NOW_MS).unwrap();
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(1)));
        assert_eq!(log.end_offset_for_epoch(LeaderEpoch(1)), Some((LeaderEpoch(1), 2)));
    }

    #[test]
    fn producer_state_is_what_the_remaining_batches_imply() {
        let mut log = log_with(|config| config.segment_bytes = 300);
        for sequence in 0..8 {
            log.append(sequenced(7, 0, sequence, 1)).unwrap();
        }
        log.append(sequenced(8, 0, 0, 1)).unwrap(); // 8
        log.append(sequenced(9, 0, 0, 1)).unwrap(); // 9
        log.truncate_to(6, NOW_MS).unwrap();
        assert_eq!(log.producer_count(), 1);
        // Five batches are known again, though three of the last five are gone.
        let info = log.append(sequenced(7, 0, 1, 1)).unwrap();
        assert_eq!((info.base_offset, info.duplicate), (1, true));
        assert_eq!(log.append(sequenced(7, 0, 6, 1)).unwrap().base_offset, 6);
    }

    #[test]
    fn producers_untouched_by_it_keep_their_state_though_their_records_are_deleted() {
        let mut log = log_with(|config| config.segment_bytes = batch(1).size_in_bytes() as u32);
        log.append(sequenced(7, 0, 0, 1)).unwrap();
        log.append(batch(1)).unwrap();
        log.append(batch(1)).unwrap();
        log.replicate_all();
        log.delete_records(1, NOW_MS).unwrap();
        log.truncate_to(2, NOW_MS).unwrap();
        assert!(log.append(sequenced(7, 0, 0, 1)).unwrap().duplicate);
    }

    #[test]
    fn a_transaction_whose_marker_is_dropped_is_open_again() {
        let mut log: Log = log_with(|_| {});
        log.append(transactional(7, 0, 0, 2)).unwrap();
        let marker = EndTxnMarker { control: ControlRecord::Abort, coordinator_epoch: 0 };
        let marker = marker.to_batch(NOW_MS, ProducerId(7), ProducerEpoch(0));
        log.append_as_leader(marker, EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
        assert_eq!(log.aborted_transactions(0, 3).len(), 1);
        log.truncate_to(2, NOW_MS).unwrap();
        log.replicate_all();
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (0, 2));
        assert_eq!(log.aborted_transactions(0, 3), []);
    }

    /// A producer that had expired by the time at which its transaction's marker was truncated was not looked for, so its
    /// open transaction did not bound the last stable offset. Its marker being there is what had let it expire: whoever
    /// loses a marker is looked for.
    #[test]
    fn a_transaction_that_loses_its_marker_is_open_even_if_its_producer_has_expired() {
        let mut log = log_with(|config| config.producer_id_expiration_ms = 1_000);
        log.append(transactional(7, 0, 0, 1)).unwrap();
        log.append(batch(1)).unwrap();
        log.maybe_increment_high_watermark(2);
        let marker = EndTxnMarker { control: ControlRecord::Commit, coordinator_epoch: 0 };
        let marker = marker.to_batch(NOW_MS, ProducerId(7), ProducerEpoch(0));
        log.append_as_leader(marker, EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
        log.remove_expired_producers(NOW_MS + 1_000);
        assert_eq!(log.producer_count(), 0);
        assert_eq!(log.truncate_to(2, NOW_MS), Ok(2));
        assert_eq!((log.last_stable_offset(), log.producer_count()), (0, 1));
    }
}
