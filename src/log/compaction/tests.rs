//! Compaction by example. Random operations against a plain map are in `model`.

use std::sync::Arc;

use crate::config::{CleanupPolicy, LogConfig};
use crate::error::ErrorCode;
use crate::log::compaction::CompactionLimits;
use crate::log::store::MemoryStore;
use crate::log::testing::{CLIENT, EPOCH, NOW_MS, batch_at, orders, raw_batch, sequenced};
use crate::log::txn_index::AbortedTxn;
use crate::log::{AppendOrigin, Compaction, Log, LogError};
use crate::record::{BatchBuilder, BatchHeader, ControlRecord, EndTxnMarker, RecordBatch, SealOptions};
use crate::types::{LeaderEpoch, NO_OFFSET, Offset, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;

const LIMITS: CompactionLimits = CompactionLimits { dedupe_buffer_size: 1 << 20, hash_seed: 7 };
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A log that is compacted whenever something in it is dirty.
fn log_with(change: impl FnOnce(&mut LogConfig)) -> Log {
    crate::log::testing::log_with(|config| {
        config.cleanup_policy = CleanupPolicy { delete: false, compact: true };
        config.min_cleanable_dirty_ratio = 0.0;
        change(config);
    })
}

fn log() -> Log {
    log_with(|_| {})
}

/// One record each of `(key, value)`, a tombstone without a value.
fn records(records: &[(&str, Option<&str>)], options: SealOptions) -> RecordBatch {
    let mut builder = BatchBuilder::new(Block::unpooled(64 * 1024));
    for (key, value) in records {
        builder
            .try_append(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes), std::iter::empty())
            .expect("records of tests are small");
    }
    builder.seal(options).expect("a batch with records")
}

fn puts(pairs: &[(&str, &str)]) -> RecordBatch {
    let pairs: Vec<_> = pairs.iter().map(|&(key, value)| (key, Some(value))).collect();
    records(&pairs, SealOptions::default())
}

fn in_transaction(producer: i64, pairs: &[(&str, &str)]) -> RecordBatch {
    let pairs: Vec<_> = pairs.iter().map(|&(key, value)| (key, Some(value))).collect();
    let producer = Some((ProducerId(producer), ProducerEpoch(0), -1));
    records(&pairs, SealOptions { producer, transactional: true, ..SealOptions::default() })
}

fn end_transaction(log: &mut Log, producer: i64, control: ControlRecord) {
    let marker = EndTxnMarker { control, coordinator_epoch: 0 };
    let marker = marker.to_batch(NOW_MS, ProducerId(producer), ProducerEpoch(0));
    log.append_as_leader(marker, EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
}

impl Log {
    fn put(&mut self, pairs: &[(&str, &str)]) -> Offset {
        self.append(puts(pairs)).unwrap().base_offset
    }

    fn delete(&mut self, key: &str) -> Offset {
        self.append(records(&[(key, None)], SealOptions::default())).unwrap().base_offset
    }

    /// What comes is in a segment of its own, and what was there is replicated.
    fn cut(&mut self) {
        self.replicate_all();
        self.roll(self.log_end(), NOW_MS).unwrap();
    }

    fn begin(&mut self, now_ms: i64) -> Compaction {
        self.begin_compaction(LIMITS, now_ms).unwrap().expect("something is dirty")
    }

    /// Compacts until nothing needs it. How often that was.
    fn compact_at(&mut self, now_ms: i64) -> usize {
        let mut runs = 0;
        while self.compaction_need(now_ms, false).unwrap().is_some() {
            let mut compaction = self.begin(now_ms);
            while !compaction.run(100).unwrap() {}
            assert!(self.finish_compaction(&mut compaction).unwrap());
            runs += 1;
            assert!(runs < 100, "no end of it");
        }
        runs
    }

    /// Cuts, and compacts all there is.
    fn cut_and_compact(&mut self) {
        self.cut();
        self.compact_at(NOW_MS);
    }

    fn batches(&self) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        self.read(self.log_start(), usize::MAX, self.log_end(), false, &mut batches).unwrap();
        batches
    }

    /// `offset key=value` of each record, `offset key` of a tombstone, and `offset !` of a marker.
    fn contents(&self) -> Vec<String> {
        let mut contents = Vec::new();
        for batch in self.batches() {
            let mut records = batch.records().unwrap();
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                contents.push(match (batch.header().is_control(), text(record.key()), text(record.value())) {
                    (true, ..) => format!("{} !", record.offset()),
                    (false, key, Some(value)) => format!("{} {}={value}", record.offset(), key.unwrap_or_default()),
                    (false, key, None) => format!("{} {}", record.offset(), key.unwrap_or_default()),
                });
            }
        }
        contents
    }

    fn compact_once(&mut self, limits: CompactionLimits) -> bool {
        let Some(mut compaction) = self.begin_compaction(limits, NOW_MS).unwrap() else { return false };
        while !compaction.run(100).unwrap() {}
        self.finish_compaction(&mut compaction).unwrap()
    }
}

#[test]
fn invariant_36_the_last_record_of_each_key_stays_where_it_is() {
    let mut log = log();
    log.put(&[("a", "1"), ("b", "1"), ("a", "2")]);
    log.put(&[("c", "1")]);
    log.put(&[("b", "2")]);
    log.cut();
    log.put(&[("c", "2"), ("a", "3")]);
    assert_eq!(log.compact_at(NOW_MS), 1);
    // The head, behind offset 4, is not touched and supersedes nothing.
    assert_eq!(log.contents(), ["2 a=2", "3 c=1", "4 b=2", "5 c=2", "6 a=3"]);
    let before = log.log_end();
    log.cut_and_compact();
    assert_eq!(log.contents(), ["4 b=2", "5 c=2", "6 a=3"]);
    assert_eq!((log.log_start(), log.log_end()), (0, before));
    // Nothing is left to be done.
    assert_eq!(log.compact_at(NOW_MS + DAY_MS), 0);
    assert!(log.begin_compaction(LIMITS, NOW_MS).unwrap().is_none());
}

#[test]
fn reads_in_a_gap_go_on_behind_it() {
    let mut log = log();
    for value in ["1", "2", "3", "4"] {
        log.put(&[("a", value)]);
    }
    log.put(&[("b", "1"), ("a", "5")]);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["4 b=1", "5 a=5"]);
    for offset in 0..6 {
        assert_eq!(log.read_bases(offset, usize::MAX, 6, false), [4]);
    }
    assert_eq!(log.read_bases(6, usize::MAX, 6, false), [0i64; 0]);
    assert_eq!(log.put(&[("c", "1")]), 6);
}

#[test]
fn batches_that_keep_all_records_are_shared_and_others_are_rebuilt() {
    let mut log = log();
    let whole = puts(&[("a", "1"), ("b", "1")]);
    let body = whole.body().clone();
    log.append(whole).unwrap();
    log.put(&[("c", "1"), ("d", "1")]);
    log.put(&[("c", "2")]);
    let size = log.size_in_bytes();
    log.cut_and_compact();
    let batches = log.batches();
    assert_eq!(batches[0].body().as_ptr(), body.as_ptr());
    let rebuilt = batches[1].header();
    assert_eq!((rebuilt.base_offset(), rebuilt.last_offset(), rebuilt.records_count()), (2, 3, 1));
    assert_eq!(rebuilt.partition_leader_epoch(), EPOCH);
    let left: usize = batches.iter().map(RecordBatch::size_in_bytes).sum();
    assert_eq!(log.size_in_bytes(), left as u64);
    assert!(log.size_in_bytes() < size);
}

#[test]
fn invariant_37_tombstones_stay_for_delete_retention_ms() {
    let mut log = log_with(|config| config.delete_retention_ms = 1_000);
    log.put(&[("a", "1"), ("b", "1")]);
    log.delete("a");
    log.cut();
    assert_eq!(log.compact_at(NOW_MS + 50), 1);
    assert_eq!(log.contents(), ["1 b=1", "2 a"]);
    assert_eq!(log.batches()[1].header().delete_horizon(), Some(NOW_MS + 1_050));
    // Each run needs something dirty to begin with.
    let mut other = 0;
    let mut run_at = |log: &mut Log, now_ms| {
        other += 1;
        log.put(&[("other", &other.to_string())]);
        log.cut();
        assert_eq!(log.compact_at(now_ms), 1);
    };
    run_at(&mut log, NOW_MS + 1_049);
    assert_eq!(log.contents(), ["1 b=1", "2 a", "3 other=1"]);
    assert_eq!(log.batches()[1].header().delete_horizon(), Some(NOW_MS + 1_050));
    run_at(&mut log, NOW_MS + 1_050);
    assert_eq!(log.contents(), ["1 b=1", "4 other=2"]);
}

#[test]
fn a_tombstone_that_is_superseded_goes_at_once() {
    let mut log = log();
    log.delete("a");
    log.delete("a");
    log.put(&[("a", "1")]);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["2 a=1"]);
}

#[test]
fn invariant_37_nothing_at_or_behind_the_last_stable_offset_is_touched() {
    let mut log = log();
    log.put(&[("a", "1")]); // 0
    log.put(&[("a", "2")]); // 1
    log.cut();
    log.append_as_leader(in_transaction(1, &[("a", "t")]), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap(); // 2
    log.put(&[("b", "1")]); // 3
    log.put(&[("b", "2")]); // 4
    log.cut();
    log.put(&[("b", "3")]); // 5
    log.cut();
    assert_eq!(log.last_stable_offset(), 2);
    log.compact_at(NOW_MS);
    assert_eq!(log.contents(), ["1 a=2", "2 a=t", "3 b=1", "4 b=2", "5 b=3"]);
    end_transaction(&mut log, 1, ControlRecord::Commit);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["2 a=t", "5 b=3", "6 !"]);
}

#[test]
fn nothing_behind_the_high_watermark_is_touched() {
    let mut log = log();
    for value in ["1", "2", "3"] {
        log.put(&[("a", value)]);
        log.roll(log.log_end(), NOW_MS).unwrap();
    }
    assert!(log.compaction_need(NOW_MS, false).unwrap().is_none());
    log.maybe_increment_high_watermark(2);
    log.compact_at(NOW_MS);
    assert_eq!(log.contents(), ["1 a=2", "2 a=3"]);
}

#[test]
fn invariant_37_aborted_records_go_and_supersede_nothing() {
    let mut log = log_with(|config| config.delete_retention_ms = 1_000);
    log.put(&[("a", "1")]); // 0
    log.append_as_leader(in_transaction(1, &[("a", "no"), ("b", "no")]), EPOCH, AppendOrigin::Coordinator, NOW_MS)
        .unwrap(); // 1, 2
    log.append_as_leader(in_transaction(2, &[("c", "yes")]), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap(); // 3
    end_transaction(&mut log, 1, ControlRecord::Abort); // 4
    end_transaction(&mut log, 2, ControlRecord::Commit); // 5
    // Later batches of both producers, so that those above are nobody's last.
    for producer in [1, 2] {
        log.append_as_leader(in_transaction(producer, &[("d", "1")]), EPOCH, AppendOrigin::Coordinator, NOW_MS)
            .unwrap();
        end_transaction(&mut log, producer, ControlRecord::Commit);
    } // 6 to 9
    log.cut_and_compact();
    assert_eq!(log.contents(), ["0 a=1", "3 c=yes", "4 !", "5 !", "7 !", "8 d=1", "9 !"]);
    // Whoever is reading at offset 1 must still learn that what it has seen was aborted.
    let aborted = AbortedTxn { producer_id: ProducerId(1), first_offset: 1, last_offset: 4, last_stable_offset: 3 };
    assert_eq!(log.aborted_transactions(0, 10), [aborted]);
    let horizon = |log: &Log, offset| {
        let batches = log.batches();
        batches
            .iter()
            .find(|batch| batch.header().base_offset() == offset)
            .and_then(|batch| batch.header().delete_horizon())
    };
    // Of its second transaction the last batch is left, empty, for producer 1's sequences.
    assert_eq!([4, 5, 7].map(|offset| horizon(&log, offset)), [None; 3]);
    // The next run finds nothing of the aborted transaction, and the marker's time begins.
    log.put(&[("e", "1")]); // 10
    log.cut();
    log.compact_at(NOW_MS + 500);
    assert_eq!(horizon(&log, 4), Some(NOW_MS + 1_500));
    assert_eq!(log.aborted_transactions(0, 10), []);
    log.put(&[("e", "2")]); // 11
    log.cut();
    log.compact_at(NOW_MS + 1_500);
    assert_eq!(log.contents(), ["0 a=1", "3 c=yes", "5 !", "7 !", "8 d=1", "9 !", "11 e=2"]);
}

#[test]
fn invariant_14_the_last_batch_of_each_producer_survives_roll_compaction_and_retention() {
    let mut log = log_with(|config| config.cleanup_policy = CleanupPolicy { delete: true, compact: true });
    for sequence in [0, 2, 4] {
        log.append(sequenced(7, 0, sequence, 2)).unwrap();
    }
    // The same key, so that nothing of producer 7's is left but what is kept for its sequences.
    log.append(sequenced(8, 0, 0, 1)).unwrap(); // 6
    log.cut_and_compact();
    let headers: Vec<_> = log.batches().iter().map(|batch| *batch.header()).collect();
    let kept: Vec<_> = headers.iter().map(|header| (header.base_offset(), header.records_count())).collect();
    assert_eq!(kept, [(4, 0), (6, 1)]);
    assert_eq!(
        (headers[0].producer_id(), headers[0].base_sequence(), headers[0].last_sequence()),
        (ProducerId(7), 4, 5)
    );
    let check = |log: &mut Log| {
        for (sequence, base_offset) in [(4, 4), (2, 2), (0, 0)] {
            let again = log.append(sequenced(7, 0, sequence, 2)).unwrap();
            assert_eq!((again.base_offset, again.duplicate), (base_offset, true));
        }
        let error = log.append(sequenced(7, 0, 8, 2)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
    };
    check(&mut log);
    // Retention may take the batches, and does not take the memory of them.
    log.delete_old_segments(NOW_MS + 8 * DAY_MS).unwrap();
    assert_eq!((log.batches().len(), log.log_start()), (0, 7));
    check(&mut log);
    // A log that is read anew knows the last batch.
    let mut replica = Log::open(orders(), Arc::new(LogConfig::default()), MemoryStore::default(), NOW_MS).unwrap();
    for header in headers {
        assert!(header.records_count() > 0 || header.size_in_bytes() == BatchHeader::SIZE);
    }
    let mut source = log_with(|_| {});
    for sequence in [0, 2, 4] {
        source.append(sequenced(7, 0, sequence, 2)).unwrap();
    }
    source.append(sequenced(8, 0, 0, 1)).unwrap();
    source.cut_and_compact();
    for batch in source.batches() {
        replica.append_as_follower(batch, NOW_MS).unwrap();
    }
    let again = replica.append(sequenced(7, 0, 4, 2)).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (4, true));
    assert_eq!(replica.append(sequenced(7, 0, 6, 1)).unwrap().base_offset, 7);
    // A producer that has expired is forgotten, and its last batch goes with the next run.
    source.remove_expired_producers(NOW_MS + DAY_MS);
    source.put(&[("key", "last")]);
    source.cut_and_compact();
    assert_eq!(source.contents(), ["7 key=last"]);
    assert_eq!(source.batches().len(), 1);
}

#[test]
fn the_last_batch_of_a_run_stays_so_that_readers_get_past_it() {
    let mut log = log();
    log.put(&[("a", "1")]); // 0
    log.append_as_leader(in_transaction(1, &[("a", "no")]), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap(); // 1
    end_transaction(&mut log, 1, ControlRecord::Abort); // 2
    log.remove_expired_producers(NOW_MS + DAY_MS);
    log.append(sequenced(9, 0, 0, 1)).unwrap(); // 3
    log.cut();
    log.delete_records(3, NOW_MS).unwrap();
    log.append_as_leader(in_transaction(2, &[("a", "no")]), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap(); // 4
    log.append_as_leader(in_transaction(2, &[("a", "no")]), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap(); // 5
    log.cut();
    end_transaction(&mut log, 2, ControlRecord::Abort); // 6
    log.remove_expired_producers(NOW_MS + DAY_MS);
    log.maybe_increment_high_watermark(7);
    assert_eq!(log.last_stable_offset(), 7);
    log.compact_at(NOW_MS);
    // 5 is nobody's last batch and has no records, but the reader that stands at 4 finds its way to 6.
    assert_eq!(log.read_bases(4, 1, 7, true), [5]);
    assert_eq!(log.read_bases(6, 1, 7, true), [6]);
    assert_eq!(log.contents(), ["3 key=value", "6 !"]);
}

#[test]
fn records_without_a_key_go_where_the_topic_was_not_always_compacted() {
    let mut log = log_with(|config| config.cleanup_policy = CleanupPolicy { delete: true, compact: false });
    let keyless = |values: &[(i64, Option<&'static str>, &'static str)]| raw_batch(values, SealOptions::default());
    log.append(keyless(&[(NOW_MS, None, "1"), (NOW_MS, Some("k"), "2"), (NOW_MS, None, "3")])).unwrap();
    log.append(keyless(&[(NOW_MS, None, "4")])).unwrap();
    log.append(keyless(&[(NOW_MS, Some("l"), "5")])).unwrap();
    log.cut();
    assert!(log.compaction_need(NOW_MS, false).unwrap().is_none());
    let mut config = (**log.config()).clone();
    (config.cleanup_policy, config.min_cleanable_dirty_ratio) = (CleanupPolicy { delete: false, compact: true }, 0.0);
    log.update_config(Arc::new(config));
    log.compact_at(NOW_MS);
    assert_eq!(log.contents(), ["1 k=2", "4 l=5"]);
}

#[test]
fn the_dirty_ratio_decides_when() {
    let mut log = log_with(|config| config.min_cleanable_dirty_ratio = 0.5);
    log.put(&[("a", "1")]);
    log.put(&[("b", "1")]);
    log.cut();
    // Never cleaned, so all of it is dirty.
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(Some(1.0)));
    assert_eq!(log.compact_at(NOW_MS), 1);
    log.put(&[("a", "2")]);
    log.cut();
    // One in three.
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(None));
    let state = log.compaction_state(NOW_MS).unwrap();
    assert_eq!((state.is_uncleanable, state.dirty_ratio), (false, 1.0 / 3.0));
    log.put(&[("a", "3")]);
    log.cut();
    // Half is not more than half.
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(None));
    log.put(&[("a", "4")]);
    log.cut();
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(Some(0.6)));
    assert_eq!(log.compact_at(NOW_MS), 1);
    assert_eq!(log.contents(), ["1 b=1", "4 a=4"]);
}

#[test]
fn young_segments_lag_behind() {
    let mut log = log_with(|config| config.min_compaction_lag_ms = 100);
    for (offset, timestamp) in [(0, 1_000), (1, 1_040), (2, 1_020)] {
        assert_eq!(log.append(batch_at(&[timestamp])).unwrap().base_offset, offset);
        log.cut();
    }
    assert_eq!(log.compact_at(1_099), 0);
    assert_eq!(log.compact_at(1_100), 1);
    assert_eq!(log.all_bases(), [0, 1, 2]);
    // The third is old enough before the second, which stands in its way.
    assert_eq!(log.compact_at(1_139), 0);
    assert_eq!(log.compact_at(1_140), 1);
    assert_eq!(log.all_bases(), [2]);
}

#[test]
fn what_is_dirty_for_too_long_is_rolled_and_compacted_whatever_the_ratio() {
    let mut log = log_with(|config| {
        (config.min_cleanable_dirty_ratio, config.max_compaction_lag_ms) = (1.0, 100);
    });
    let record = |at| batch_at(&[at]);
    log.append(record(1_000)).unwrap();
    log.append(record(1_050)).unwrap();
    log.replicate_all();
    // In time no append has rolled the segment, so compaction does.
    assert_eq!(log.compaction_need(1_100, false), Ok(None));
    assert_eq!(log.segment_bases(), [0]);
    assert_eq!(log.compaction_need(1_101, false), Ok(Some(1.0)));
    assert_eq!(log.segment_bases(), [0, 2]);
    assert_eq!(log.compact_at(1_101), 1);
    assert_eq!(log.all_bases(), [1]);
    // An append rolls sooner than segment.ms says.
    log.append(record(1_200)).unwrap();
    log.append(record(1_300)).unwrap();
    log.append(record(1_301)).unwrap();
    assert_eq!(log.segment_bases(), [0, 2, 4]);
}

#[test]
fn small_segments_become_one_up_to_segment_bytes() {
    let size = puts(&[("000", "v")]).size_in_bytes() as u32;
    let mut log = log_with(|config| {
        (config.segment_bytes, config.index_interval_bytes) = (4 * size, 0);
    });
    for number in 0..11 {
        log.put(&[(&format!("{number:03}"), "v")]);
        log.cut();
    }
    assert_eq!(log.segment_bases(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    log.compact_at(NOW_MS);
    assert_eq!(log.segment_bases(), [0, 4, 8, 11]);
    assert_eq!(log.all_bases(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(log.size_in_bytes(), 11 * u64::from(size));
    for start in 0..11 {
        assert_eq!(log.read_bases(start, 1, 11, true), [start]);
    }
    // Most of it goes, and the rest fits one.
    for number in 0..9 {
        log.put(&[(&format!("{number:03}"), "w")]);
    }
    log.cut_and_compact();
    assert_eq!(log.segment_bases(), [0, 13, 17, 20]);
    assert_eq!(log.all_bases(), [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
}

#[test]
fn times_are_found_in_what_is_left() {
    for index_interval_bytes in [0, u32::MAX] {
        let mut log = log_with(|config| config.index_interval_bytes = index_interval_bytes);
        let at = |timestamp, key| raw_batch(&[(timestamp, Some(key), "v")], SealOptions::default());
        for (timestamp, key) in [(10, "a"), (90, "b"), (20, "c"), (50, "b"), (30, "d"), (60, "e")] {
            log.append(at(timestamp, key)).unwrap();
        }
        // The latest record of all is a producer's last batch, and empty.
        log.append(sequenced(7, 0, 0, 1)).unwrap();
        log.append(at(70, "key")).unwrap();
        log.cut_and_compact();
        let found =
            |timestamp| log.offset_for_timestamp(timestamp, 8).unwrap().map(|found| (found.offset, found.timestamp));
        assert_eq!(
            [0, 11, 21, 51, 61, 71].map(found),
            [Some((0, 10)), Some((2, 20)), Some((3, 50)), Some((5, 60)), Some((7, 70)), None]
        );
        let latest = log.max_timestamp(8).unwrap().unwrap();
        assert_eq!((latest.offset, latest.timestamp), (7, 70));
    }
}

#[test]
fn more_keys_than_fit_the_index_take_several_runs() {
    let mut log = log();
    let keys: Vec<String> = (0..3_000).map(|number| format!("key {number}")).collect();
    for round in 0..2 {
        for chunk in keys.chunks(10) {
            let pairs: Vec<_> =
                chunk.iter().map(|key| (key.as_str(), if round == 0 { "old" } else { "new" })).collect();
            log.put(&pairs);
        }
    }
    log.cut();
    let limits = CompactionLimits { dedupe_buffer_size: 32 << 10, hash_seed: 7 };
    let mut runs = 0;
    while log.compact_once(limits) {
        runs += 1;
        assert!(log.all_bases().is_sorted());
    }
    assert!((3..10).contains(&runs), "{runs}");
    let contents = log.contents();
    assert_eq!(contents.len(), 3_000);
    assert!(contents.iter().all(|record| record.ends_with("=new")));
    // Even where not a single key fits, a batch at a time is taken in.
    let mut log = self::log();
    for value in ["1", "2", "3"] {
        log.put(&[("a", value), ("b", value)]);
    }
    log.cut();
    while log.compact_once(CompactionLimits { dedupe_buffer_size: 1, hash_seed: 7 }) {}
    assert_eq!(log.contents(), ["4 a=3", "5 b=3"]);
}

/// What a run remembers of each batch was not counted: a key that came again and again, in a batch each time, took memory
/// without a bound.
#[test]
fn many_batches_of_few_keys_take_several_runs() {
    let mut log = log();
    for _ in 0..4_000 {
        log.put(&[("a", "1")]);
    }
    log.cut();
    let limits = CompactionLimits { dedupe_buffer_size: 32 << 10, hash_seed: 7 };
    let mut ends = Vec::new();
    while let Some(mut compaction) = log.begin_compaction(limits, NOW_MS).unwrap() {
        while !compaction.run(10_000).unwrap() {}
        ends.push(compaction.end());
        assert!(log.finish_compaction(&mut compaction).unwrap());
    }
    // The table of slots takes 8 KiB, which leaves 24 for 16 bytes a batch, and some for the key and the bits.
    assert_eq!((ends.len(), ends[2]), (3, 4_000));
    assert!((1_500..1_536).contains(&ends[0]), "{ends:?}");
    assert_eq!(log.contents(), ["3999 a=1"]);
}

#[test]
fn behind_a_full_index_transactions_stay_as_they_are() {
    let mut log = log();
    let write = |log: &mut Log, producer, pairs: &[(&str, &str)]| {
        log.append_as_leader(in_transaction(producer, pairs), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
    };
    write(&mut log, 1, &[("a", "no")]); // 0
    log.put(&[("a", "1")]); // 1
    write(&mut log, 1, &[("b", "no")]); // 2
    end_transaction(&mut log, 1, ControlRecord::Abort); // 3
    log.put(&[("a", "2")]); // 4
    log.cut();
    // The index is full behind offset 1.
    assert!(log.compact_once(CompactionLimits { dedupe_buffer_size: 1, hash_seed: 7 }));
    assert_eq!(log.contents(), ["1 a=1", "2 b=no", "3 !", "4 a=2"]);
    let aborted = AbortedTxn { producer_id: ProducerId(1), first_offset: 0, last_offset: 3, last_stable_offset: 4 };
    assert_eq!(log.aborted_transactions(0, 5), [aborted]);
    while log.compact_once(LIMITS) {}
    assert_eq!(log.contents(), ["3 !", "4 a=2"]);
}

/// A run that began behind a transaction that had been aborted took the producer's next one for aborted, too: the marker
/// that ended the first lay in front of the dirty section, where the run did not look. Transactions that end before the
/// first batch that is looked at count no more.
#[test]
fn what_was_aborted_before_the_dirty_section_says_nothing_of_what_comes_after() {
    let mut log = log();
    let write = |log: &mut Log, pairs: &[(&str, &str)], control| {
        log.append_as_leader(in_transaction(1, pairs), EPOCH, AppendOrigin::Coordinator, NOW_MS).unwrap();
        end_transaction(log, 1, control);
    };
    write(&mut log, &[("a", "no")], ControlRecord::Abort); // 0, 1
    log.cut_and_compact();
    write(&mut log, &[("a", "1"), ("b", "1")], ControlRecord::Commit); // 2, 3, 4
    log.put(&[("a", "2")]); // 5
    log.cut_and_compact();
    assert_eq!(log.contents(), ["1 !", "3 b=1", "4 !", "5 a=2"]);
}

#[test]
fn a_truncation_in_between_undoes_the_run() {
    let mut log = log();
    for value in ["1", "2", "3"] {
        log.put(&[("a", value)]);
    }
    log.cut();
    log.put(&[("b", "1")]);
    let mut compaction = log.begin(NOW_MS);
    assert!(compaction.run(usize::MAX).unwrap());
    log.truncate_to(3, NOW_MS).unwrap();
    assert_eq!(log.finish_compaction(&mut compaction), Ok(false));
    assert_eq!(log.contents(), ["0 a=1", "1 a=2", "2 a=3"]);
    log.put(&[("a", "4")]);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["3 a=4"]);
}

#[test]
fn a_log_that_is_no_longer_to_be_compacted_keeps_its_records() {
    let mut log = log();
    log.put(&[("a", "1")]);
    log.put(&[("a", "2")]);
    log.cut();
    let mut compaction = log.begin(NOW_MS);
    assert!(compaction.run(usize::MAX).unwrap());
    let compacted = Arc::clone(log.config());
    log.update_config(Arc::new(LogConfig {
        cleanup_policy: CleanupPolicy { delete: true, compact: false },
        ..LogConfig::clone(&compacted)
    }));
    assert_eq!(log.finish_compaction(&mut compaction), Ok(false));
    assert_eq!(log.contents(), ["0 a=1", "1 a=2"]);
    log.update_config(compacted);
    assert_eq!(log.compact_at(NOW_MS), 1);
    assert_eq!(log.contents(), ["1 a=2"]);
}

#[test]
fn what_was_clean_is_dirty_again_behind_a_truncation() {
    let mut log = log();
    log.put(&[("a", "1")]);
    log.put(&[("b", "1"), ("a", "2")]);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["1 b=1", "2 a=2"]);
    // The high watermark falls with it; a follower of an unclean leader sees this.
    assert_eq!(log.truncate_to(2, NOW_MS), Ok(1));
    assert_eq!(log.put(&[("c", "1")]), 1);
    assert_eq!(log.put(&[("c", "2")]), 2);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["2 c=2"]);
    assert_eq!(log.truncate_to(0, NOW_MS), Ok(0));
    assert_eq!(log.size_in_bytes(), 0);
}

#[test]
fn deletion_in_between_stays_done() {
    let fill = || {
        let size = puts(&[("0", "0")]).size_in_bytes() as u32;
        let mut log = log_with(|config| {
            config.cleanup_policy = CleanupPolicy { delete: true, compact: true };
            config.segment_bytes = 2 * size;
        });
        for number in 0..8 {
            log.put(&[(&(number % 5).to_string(), &number.to_string())]);
        }
        log.cut();
        log
    };
    for before in 0..=8 {
        let mut log = fill();
        let mut compaction = log.begin(NOW_MS);
        assert!(compaction.run(usize::MAX).unwrap());
        log.delete_records(before, NOW_MS).unwrap();
        assert_eq!(log.finish_compaction(&mut compaction), Ok(true));
        let left = ["3 3=3", "4 4=4", "5 0=5", "6 1=6", "7 2=7"];
        let offset = |record: &str| record.split_once(' ').unwrap().0.parse::<Offset>().unwrap();
        let expected: Vec<_> = left.into_iter().filter(|record| offset(record) >= before).collect();
        let contents: Vec<_> = log.contents().into_iter().filter(|record| offset(record) >= before).collect();
        assert_eq!(contents, expected, "deleted before {before}");
        assert_eq!(log.log_start(), before);
        assert!(log.segment_bases().is_sorted());
        assert_eq!(log.put(&[("x", "y")]), 8);
        // The size is that of the segments: retention that takes them all brings it to nothing.
        log.replicate_all();
        log.delete_old_segments(i64::MAX).unwrap();
        assert_eq!((log.size_in_bytes(), log.log_start()), (0, 9));
    }
}

#[test]
fn records_below_the_log_start_go() {
    let mut log = log_with(|config| config.cleanup_policy = CleanupPolicy { delete: true, compact: true });
    log.put(&[("a", "1")]);
    log.put(&[("b", "1"), ("c", "1"), ("d", "1")]);
    log.put(&[("e", "1")]);
    log.cut();
    log.delete_records(2, NOW_MS).unwrap();
    log.compact_at(NOW_MS);
    assert_eq!(log.contents(), ["2 c=1", "3 d=1", "4 e=1"]);
    assert_eq!(log.all_bases(), [1, 4]);
    assert_eq!(log.segment_bases()[0], 0);
    let error = log.read(1, 1, 5, true, &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
}

#[test]
fn retention_applies_to_what_compaction_leaves() {
    let mut log = log_with(|config| {
        config.cleanup_policy = CleanupPolicy { delete: true, compact: true };
        config.retention_ms = Some(1_000);
    });
    for (timestamp, key) in [(1_000, "a"), (1_500, "b"), (1_600, "a")] {
        log.append(raw_batch(&[(timestamp, Some(key), "v")], SealOptions::default())).unwrap();
        log.cut();
    }
    log.compact_at(2_000);
    assert_eq!(log.contents(), ["1 b=v", "2 a=v"]);
    assert_eq!(log.segment_bases(), [0, 3]);
    // One segment now, as old as its youngest record.
    assert_eq!(log.delete_old_segments(2_600), Ok(0));
    assert_eq!(log.delete_old_segments(2_601), Ok(1));
    assert_eq!((log.log_start(), log.log_end()), (3, 3));
}

#[test]
fn a_batch_that_cannot_be_read_ends_compaction_of_its_log() {
    let mut log = log();
    log.put(&[("a", "1")]);
    let honest = puts(&[("a", "2")]);
    let mut broken = RecordBatch::from_parts(*honest.header(), vec![0x7f; honest.body().len()].into());
    broken.assign(1, LeaderEpoch(4));
    log.append_as_follower(broken, NOW_MS).unwrap();
    log.cut();
    let mut compaction = log.begin(NOW_MS);
    let error = compaction.run(usize::MAX).unwrap_err();
    assert!(matches!(error, LogError::Unreadable { base_offset: 1, .. }), "{error}");
    assert!(log.give_up_compaction(&compaction));
    assert!(log.compaction_state(NOW_MS).unwrap().is_uncleanable);
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(None));
    assert_eq!(log.all_bases(), [0, 1]);
    // Until it is gone.
    log.truncate_to(1, NOW_MS).unwrap();
    log.append_as_leader(puts(&[("a", "2")]), LeaderEpoch(5), CLIENT, NOW_MS).unwrap();
    log.cut_and_compact();
    assert_eq!(log.contents(), ["1 a=2"]);
}

#[test]
fn once_a_batch_that_cannot_be_read_is_deleted_compaction_goes_on() {
    let mut log = log();
    let honest = puts(&[("a", "1"), ("a", "2")]);
    let mut broken = RecordBatch::from_parts(*honest.header(), vec![0x7f; honest.body().len()].into());
    broken.assign(0, EPOCH);
    log.append_as_follower(broken, NOW_MS).unwrap();
    log.put(&[("a", "3")]);
    log.put(&[("a", "4")]);
    log.cut();
    let mut compaction = log.begin(NOW_MS);
    compaction.run(usize::MAX).unwrap_err();
    assert!(log.give_up_compaction(&compaction));
    // Of the batch, a record is left.
    log.delete_records(1, NOW_MS).unwrap();
    assert_eq!(log.compaction_need(NOW_MS, false), Ok(None));
    log.delete_records(2, NOW_MS).unwrap();
    assert!(!log.compaction_state(NOW_MS).unwrap().is_uncleanable);
    assert_eq!(log.compact_at(NOW_MS), 1);
    assert_eq!(log.contents(), ["3 a=4"]);
}

#[test]
fn a_run_that_failed_says_nothing_of_a_log_that_was_truncated_since() {
    let mut log = log();
    let honest = puts(&[("a", "1")]);
    let mut broken = RecordBatch::from_parts(*honest.header(), vec![0x7f; honest.body().len()].into());
    broken.assign(0, EPOCH);
    log.append_as_follower(broken, NOW_MS).unwrap();
    log.cut();
    let mut compaction = log.begin(NOW_MS);
    compaction.run(usize::MAX).unwrap_err();
    log.truncate_to(0, NOW_MS).unwrap();
    assert!(!log.give_up_compaction(&compaction));
    assert!(!log.compaction_state(NOW_MS).unwrap().is_uncleanable);
    log.put(&[("a", "1")]);
    log.put(&[("a", "2")]);
    log.cut_and_compact();
    assert_eq!(log.contents(), ["1 a=2"]);
}

#[test]
fn markers_of_producers_without_data_stay_for_their_epoch() {
    let mut log = log_with(|config| config.delete_retention_ms = 0);
    end_transaction(&mut log, 1, ControlRecord::Abort); // 0
    log.put(&[("a", "1")]);
    log.cut_and_compact();
    log.put(&[("a", "2")]);
    log.cut_and_compact();
    // Its record is gone, its epoch is not.
    let first = *log.batches()[0].header();
    assert_eq!((first.base_offset(), first.records_count(), first.is_control()), (0, 0, true));
    assert_eq!(log.contents(), ["2 a=2"]);
    assert_ne!(first.base_offset(), NO_OFFSET);
}
