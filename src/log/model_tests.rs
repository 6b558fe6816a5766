//! Random operations on a log, held against a plain list of batches.
//!
//! The model is a `Vec` of everything that was ever appended and not truncated, the four offsets, and of each producer
//! what it sent. It knows nothing of segments and indexes: what retention removed it learns from the log start, and then
//! checks that exactly that prefix is gone. Sizes, intervals and ages are tiny, so every run rolls, indexes and deletes.

use std::collections::HashMap;
use std::ops::Range;

use proptest::prelude::*;

use crate::config::{CleanupPolicy, LogConfig};
use crate::error::ErrorCode;
use crate::log::append::LogAppendInfo;
use crate::log::testing::{CLIENT, EPOCH, NOW_MS, WIRE, batch_with, log_with};
use crate::log::{AppendOrigin, CompactionLimits, Log, LogError, TimestampAndOffset};
use crate::record::{ControlRecord, EndTxnMarker, RecordBatch, SealOptions};
use crate::types::{Offset, ProducerEpoch, ProducerId};
use crate::util::testing::cases;

#[derive(Clone, Debug)]
enum Operation {
    /// Records at these timestamps.
    Append {
        timestamps: Vec<i64>,
        trusted: bool,
    },
    /// An idempotent producer sends.
    Send {
        producer: usize,
        what: Send,
        count: usize,
    },
    /// A transactional producer sends, or its transaction ends.
    Transact {
        producer: usize,
        what: Transact,
    },
    Replicate {
        share: f64,
    },
    Read {
        start: f64,
        end: f64,
        max_bytes: usize,
        min_one: bool,
    },
    ReadOutside {
        by: i64,
    },
    Lookup {
        timestamp: i64,
    },
    DeleteRecords {
        share: f64,
    },
    Retention {
        later_ms: i64,
    },
    Truncate {
        share: f64,
    },
    Compact,
}

#[derive(Clone, Copy, Debug)]
enum Send {
    Next,
    /// The batch that was sent so many batches ago, 0 for the last.
    Again(usize),
    /// So many sequences are lost.
    Gap(i32),
    NewEpoch,
    NewEpochNotFromZero,
    OldEpoch,
}

#[derive(Clone, Copy, Debug)]
enum Transact {
    Write,
    Commit,
    Abort,
}

const PRODUCERS: usize = 2;
/// Producer ids of transactional producers begin here.
const TRANSACTIONAL: i64 = 100;

fn operation() -> impl Strategy<Value = Operation> {
    let send = prop_oneof![
        12 => Just(Send::Next),
        6 => (0..8usize).prop_map(Send::Again),
        2 => (1..4).prop_map(Send::Gap),
        1 => Just(Send::NewEpoch),
        1 => Just(Send::NewEpochNotFromZero),
        1 => Just(Send::OldEpoch),
    ];
    let transact = prop_oneof![3 => Just(Transact::Write), 1 => Just(Transact::Commit), 1 => Just(Transact::Abort)];
    // Mostly a little later, often not, sometimes absent.
    let timestamp = prop_oneof![9 => 0..200i64, 1 => Just(-1)];
    prop_oneof![
        6 => (prop::collection::vec(timestamp, 1..5), any::<bool>())
            .prop_map(|(timestamps, trusted)| Operation::Append { timestamps, trusted }),
        10 => (0..PRODUCERS, send, 1..4usize)
            .prop_map(|(producer, what, count)| Operation::Send { producer, what, count }),
        3 => (0..PRODUCERS, transact).prop_map(|(producer, what)| Operation::Transact { producer, what }),
        4 => (0.0..=1.0).prop_map(|share| Operation::Replicate { share }),
        8 => (0.0..=1.0, 0.0..=1.2, 0..600usize, any::<bool>())
            .prop_map(|(start, end, max_bytes, min_one)| Operation::Read { start, end, max_bytes, min_one }),
        1 => (1..5i64).prop_map(|by| Operation::ReadOutside { by }),
        5 => (0..220i64).prop_map(|timestamp| Operation::Lookup { timestamp }),
        1 => (0.0..=1.1).prop_map(|share| Operation::DeleteRecords { share }),
        2 => (0..150i64).prop_map(|later_ms| Operation::Retention { later_ms }),
        1 => (0.0..=1.0).prop_map(|share| Operation::Truncate { share }),
        2 => Just(Operation::Compact),
    ]
}

fn config() -> impl Strategy<Value = LogConfig> {
    let retention = (prop::option::of(0..1500u64), prop::option::of(0..300i64));
    (150..900u32, 0..300u32, retention, 20..400i64, any::<bool>()).prop_map(
        |(segment_bytes, index_interval_bytes, (retention_bytes, retention_ms), segment_ms, compact)| LogConfig {
            cleanup_policy: CleanupPolicy { delete: true, compact },
            min_cleanable_dirty_ratio: 0.0,
            segment_bytes: segment_bytes.max(300),
            index_interval_bytes,
            retention_bytes,
            retention_ms,
            segment_ms,
            ..LogConfig::default()
        },
    )
}

/// A batch as it should be in the log.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    base_offset: Offset,
    size: usize,
    /// Offset, timestamp and value of each record.
    records: Vec<(Offset, i64, String)>,
    end: Offset,
}

impl Stored {
    fn end(&self) -> Offset {
        self.end
    }

    fn of(batch: &RecordBatch) -> Self {
        let mut iter = batch.records().unwrap();
        let records = std::iter::from_fn(|| {
            let record = iter.next_record()?.unwrap();
            let value = String::from_utf8_lossy(record.value().unwrap()).into_owned();
            Some((record.offset(), record.timestamp(), value))
        });
        let (base_offset, end) = (batch.header().base_offset(), batch.header().next_offset());
        Self { base_offset, size: batch.size_in_bytes(), records: records.collect(), end }
    }
}

/// A batch of an idempotent producer that the log took and should know.
#[derive(Clone, Copy, Debug)]
struct Sent {
    epoch: i16,
    sequence: i32,
    count: usize,
    base_offset: Offset,
}

impl Sent {
    fn end(&self) -> Offset {
        self.base_offset + self.count as i64
    }
}

struct Model {
    log: Log,
    stored: Vec<Stored>,
    log_start: Offset,
    high_watermark: Offset,
    log_end: Offset,
    /// By producer id, never empty.
    senders: HashMap<i64, Vec<Sent>>,
    /// First offsets of open transactions by producer id.
    open: HashMap<i64, Offset>,
    /// First offset and marker of transactions that ended.
    ended: Vec<(Offset, Offset)>,
    /// What was visible at an offset, ever.
    seen: HashMap<Offset, String>,
    now_ms: i64,
    next_value: u64,
    truncated: bool,
}

impl Model {
    fn new(config: LogConfig) -> Self {
        Self {
            log: log_with(|default| *default = config),
            stored: Vec::new(),
            log_start: 0,
            high_watermark: 0,
            log_end: 0,
            senders: HashMap::new(),
            open: HashMap::new(),
            ended: Vec::new(),
            seen: HashMap::new(),
            now_ms: NOW_MS,
            next_value: 0,
            truncated: false,
        }
    }

    fn run(&mut self, operation: &Operation) {
        let before = (self.log_start, self.high_watermark, self.log_end);
        match *operation {
            Operation::Append { ref timestamps, trusted } => {
                let timestamps: Vec<_> =
                    timestamps.iter().map(|&delta| if delta < 0 { -1 } else { self.timestamp(delta) }).collect();
                self.append(&timestamps, SealOptions::default(), AppendOrigin::Client { trusted }).unwrap();
            }
            Operation::Send { producer, what, count } => self.send(producer as i64, what, count),
            Operation::Transact { producer, what } => self.transact(TRANSACTIONAL + producer as i64, what),
            Operation::Replicate { share } => {
                // Replicas have whole batches.
                let replicated = between(share, self.high_watermark..self.log_end);
                let ends = self.stored.iter().map(Stored::end).filter(|&end| end <= replicated);
                self.high_watermark = ends.max().unwrap_or(0).max(self.high_watermark);
                self.log.maybe_increment_high_watermark(self.high_watermark);
            }
            Operation::Read { start, end, max_bytes, min_one } => {
                let start = between(start, self.log_start..self.log_end);
                let end = between(end, self.log_start..self.log_end);
                self.check_read(start, end, max_bytes, min_one);
            }
            Operation::ReadOutside { by } => {
                for offset in [self.log_start - by, self.log_end + by] {
                    let error = self.log.read(offset, 100, self.log_end, true, &mut Vec::new()).unwrap_err();
                    assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
                }
            }
            Operation::Lookup { timestamp } => self.check_invariant_39(self.timestamp(timestamp)),
            Operation::DeleteRecords { share } => {
                let to = between(share, self.log_start..self.log_end + 1);
                let result = self.log.delete_records(to, self.now_ms);
                if to > self.high_watermark {
                    assert_eq!(result.unwrap_err().code(), ErrorCode::OffsetOutOfRange);
                } else {
                    result.unwrap();
                    self.log_start = self.log_start.max(to);
                }
                assert_eq!(self.log.log_start(), self.log_start);
            }
            Operation::Retention { later_ms } => {
                self.now_ms += later_ms;
                self.log.delete_old_segments(self.now_ms).unwrap();
            }
            Operation::Truncate { share } => self.truncate(between(share, self.high_watermark..self.log_end)),
            Operation::Compact => self.compact(),
        }
        self.check_invariant_3(before, matches!(operation, Operation::Truncate { .. }));
        self.check_invariant_38();
        self.check_last_stable_offset();
    }

    fn timestamp(&self, delta: i64) -> i64 {
        self.now_ms - 150 + delta
    }

    fn append(
        &mut self,
        timestamps: &[i64],
        options: SealOptions,
        origin: AppendOrigin,
    ) -> Result<LogAppendInfo, LogError> {
        let values: Vec<_> = timestamps
            .iter()
            .map(|_| {
                self.next_value += 1;
                format!("value {}", self.next_value)
            })
            .collect();
        let records: Vec<_> = timestamps.iter().copied().zip(values.iter().map(String::as_str)).collect();
        let batch = batch_with(&records, options);
        self.append_batch(batch, timestamps.to_vec(), values, origin)
    }

    /// Invariant 1: what is appended gets the offsets from the log end on, without a gap.
    fn append_batch(
        &mut self,
        batch: RecordBatch,
        timestamps: Vec<i64>,
        values: Vec<String>,
        origin: AppendOrigin,
    ) -> Result<LogAppendInfo, LogError> {
        let size = batch.size_in_bytes();
        let result = self.log.append_as_leader(batch, EPOCH, origin, self.now_ms);
        if let Ok(info @ LogAppendInfo { duplicate: false, .. }) = &result {
            let count = timestamps.len() as i64;
            assert_eq!((info.base_offset, info.last_offset), (self.log_end, self.log_end + count - 1));
            let records =
                (self.log_end..).zip(timestamps.into_iter().zip(values)).map(|(at, (time, value))| (at, time, value));
            let (base_offset, end) = (self.log_end, self.log_end + count);
            self.stored.push(Stored { base_offset, size, records: records.collect(), end });
            self.log_end = end;
        }
        assert_eq!(self.log.log_end(), self.log_end);
        result
    }

    /// Invariants 12, 13 and 16: of an idempotent producer, only the next batch is appended; one of the last five is
    /// answered with its original offset; everything else is refused with the code that says why.
    fn send(&mut self, producer: i64, what: Send, count: usize) {
        let known = self.senders.get(&producer).and_then(|sent| sent.last()).copied();
        let (mut epoch, mut sequence, mut count) =
            known.map_or((0, 0, count), |last| (last.epoch, last.sequence + last.count as i32, count));
        let expected = match (what, known) {
            // Without state everything is accepted.
            (Send::Next | Send::Gap(_), None) => Ok(None),
            (Send::Next, Some(_)) => Ok(None),
            (Send::Again(ago), Some(_)) => {
                let of_epoch = self.senders[&producer].iter().rev().take_while(|sent| sent.epoch == epoch);
                let Some(again) = of_epoch.clone().nth(ago) else {
                    return;
                };
                (sequence, count) = (again.sequence, again.count);
                // What compaction took, and a truncation then forgot, may never have been there.
                let later: Vec<_> = of_epoch.take(ago + 1).collect();
                let follows = |pair: &[&Sent]| pair[1].sequence + pair[1].count as i32 == pair[0].sequence;
                match later.windows(2).all(follows) {
                    _ if ago < 5 => Ok(Some(again.base_offset)),
                    true => Err(ErrorCode::DuplicateSequenceNumber),
                    false => Err(ErrorCode::OutOfOrderSequenceNumber),
                }
            }
            (Send::Gap(lost), Some(_)) => {
                sequence += lost;
                Err(ErrorCode::OutOfOrderSequenceNumber)
            }
            (Send::NewEpoch, Some(_)) => {
                (epoch, sequence) = (epoch + 1, 0);
                Ok(None)
            }
            (Send::NewEpochNotFromZero, Some(_)) => {
                (epoch, sequence) = (epoch + 1, sequence.max(1));
                Err(ErrorCode::OutOfOrderSequenceNumber)
            }
            (Send::OldEpoch, Some(_)) if epoch > 0 => {
                epoch -= 1;
                Err(ErrorCode::InvalidProducerEpoch)
            }
            _ => return,
        };
        let options = SealOptions {
            producer: Some((ProducerId(producer), ProducerEpoch(epoch), sequence)),
            ..SealOptions::default()
        };
        let end = self.log_end;
        let result = self.append(&vec![self.now_ms; count], options, if producer == 0 { CLIENT } else { WIRE });
        match expected {
            Ok(None) => {
                let info = result.unwrap();
                assert_eq!((info.base_offset, info.duplicate), (end, false));
                let sent = self.senders.entry(producer).or_default();
                sent.push(Sent { epoch, sequence, count, base_offset: end });
                // Acknowledged in the order of sending.
                assert!(sent.is_sorted_by_key(|sent| (sent.epoch, sent.sequence, sent.base_offset)));
            }
            Ok(Some(original)) => {
                let info = result.unwrap();
                assert_eq!((info.base_offset, info.last_offset), (original, original + count as i64 - 1));
                assert!(info.duplicate && self.log_end == end);
            }
            Err(code) => {
                assert_eq!(result.unwrap_err().code(), code, "{what:?}");
                assert_eq!(self.log_end, end);
            }
        }
    }

    fn transact(&mut self, id: i64, what: Transact) {
        let control = match what {
            Transact::Write => {
                let options = SealOptions {
                    producer: Some((ProducerId(id), ProducerEpoch(0), -1)),
                    transactional: true,
                    ..SealOptions::default()
                };
                let first_offset = self.log_end;
                self.append(&[self.now_ms], options, AppendOrigin::Coordinator).unwrap();
                self.open.entry(id).or_insert(first_offset);
                return;
            }
            Transact::Commit => ControlRecord::Commit,
            Transact::Abort => ControlRecord::Abort,
        };
        let marker = EndTxnMarker { control, coordinator_epoch: 0 };
        let batch = marker.to_batch(self.now_ms, ProducerId(id), ProducerEpoch(0));
        let at = self.log_end;
        let value = String::from_utf8_lossy(&[0, 0, 0, 0, 0, 0]).into_owned();
        self.append_batch(batch, vec![self.now_ms], vec![value], AppendOrigin::Coordinator).unwrap();
        if let Some(first_offset) = self.open.remove(&id) {
            self.ended.push((first_offset, at));
        }
    }

    fn truncate(&mut self, to: Offset) {
        self.log_end = self.log.truncate_to(to, self.now_ms).unwrap();
        assert!(self.high_watermark.min(to) <= self.log_end && self.log_end <= to);
        self.stored.retain(|stored| stored.end() <= self.log_end);
        assert!(self.stored.last().is_none_or(|last| last.end() <= self.log_end));
        self.high_watermark = self.high_watermark.min(self.log_end);
        self.truncated = true;
        let log_end = self.log_end;
        let left: Vec<_> = self.readable().map(|stored| stored.base_offset).collect();
        self.senders.retain(|_, sent| {
            if sent.last().is_some_and(|last| last.end() > log_end) {
                // Known again is what is still in the log.
                sent.retain(|sent| left.contains(&sent.base_offset));
            }
            !sent.is_empty()
        });
    }

    /// What should be readable.
    fn readable(&self) -> impl Iterator<Item = &Stored> {
        self.stored.iter().filter(|stored| stored.end() > self.log_start)
    }

    /// Whole batches from the one that holds `start` on, up to both bounds. Invariant 2: what was once visible at an offset
    /// is visible there ever after.
    fn check_read(&mut self, start: Offset, end: Offset, max_bytes: usize, min_one: bool) {
        let mut batches = Vec::new();
        let bytes = self.log.read(start, max_bytes, end, min_one, &mut batches).unwrap();
        let mut expected = Vec::new();
        let mut sum = 0;
        if start < end {
            for stored in self.readable().filter(|stored| stored.end() > start) {
                let fits = sum + stored.size <= max_bytes || min_one && sum == 0;
                if stored.end() > end || !fits {
                    break;
                }
                sum += stored.size;
                expected.push(stored.clone());
            }
        }
        assert_eq!(bytes, sum);
        assert_eq!(batches.len(), expected.len());
        for (batch, stored) in batches.iter().zip(&expected) {
            assert_eq!(Stored::of(batch).records, stored.records);
            for (offset, _, value) in stored.records.iter().filter(|record| record.0 < self.high_watermark) {
                assert_eq!(self.seen.entry(*offset).or_insert_with(|| value.clone()), value);
            }
        }
    }

    /// All records have the same key, but for markers. What is left is a choice of what was there, in whole batches or
    /// parts of them, and has the last record below the bound; nothing at or above it has changed. Which choice is a
    /// matter of `log::model`, which knows of keys.
    fn compact(&mut self) {
        if self.log.compaction_need(self.now_ms, false).unwrap().is_none() {
            return;
        }
        let limits = CompactionLimits { dedupe_buffer_size: 1 << 20, hash_seed: 0 };
        let mut compaction = self.log.begin_compaction(limits, self.now_ms).unwrap().unwrap();
        assert!(compaction.run(usize::MAX).unwrap());
        assert!(self.log.finish_compaction(&mut compaction).unwrap());
        let bound = compaction.end();
        assert!(bound <= self.log.last_stable_offset());
        let mut batches = Vec::new();
        self.log.read(self.log_start, usize::MAX, self.log_end, false, &mut batches).unwrap();
        let before = std::mem::replace(&mut self.stored, batches.iter().map(Stored::of).collect());
        for stored in &self.stored {
            let original = before.iter().find(|original| original.base_offset == stored.base_offset).unwrap();
            assert_eq!(stored.end, original.end);
            assert!(stored.records.iter().all(|record| original.records.contains(record)));
        }
        let above =
            |stored: &[Stored]| stored.iter().filter(|stored| stored.base_offset >= bound).cloned().collect::<Vec<_>>();
        assert_eq!(above(&before), above(&self.stored));
    }

    fn records(&self, end: Offset) -> impl Iterator<Item = (Offset, i64)> {
        let range = self.log_start..end;
        self.readable()
            .flat_map(|stored| stored.records.iter().map(|record| (record.0, record.1)))
            .filter(move |(offset, _)| range.contains(offset))
    }

    /// The least offset with a timestamp at or after, and the first of the largest timestamps, by brute force.
    fn check_invariant_39(&self, timestamp: i64) {
        let found = |(offset, timestamp)| TimestampAndOffset { offset, timestamp, leader_epoch: EPOCH };
        for end in [self.high_watermark, self.log_end] {
            let expected = self.records(end).find(|&(_, at)| at >= timestamp).map(found);
            assert_eq!(self.log.offset_for_timestamp(timestamp, end).unwrap(), expected);
            let latest = self.records(end).map(|(_, at)| at).max().filter(|&at| at >= 0);
            let expected = latest.and_then(|latest| self.records(end).find(|&(_, at)| at == latest)).map(found);
            assert_eq!(self.log.max_timestamp(end).unwrap(), expected);
        }
    }

    /// Log start <= last stable <= high watermark <= log end, and all but after a truncation only grow.
    fn check_invariant_3(&mut self, before: (Offset, Offset, Offset), truncated: bool) {
        let log = &self.log;
        let offsets = [log.log_start(), log.last_stable_offset(), log.high_watermark(), log.log_end()];
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert!(log.log_start() >= before.0);
        assert!(truncated || log.high_watermark() >= before.1 && log.log_end() >= before.2);
        assert_eq!((log.high_watermark(), log.log_end()), (self.high_watermark, self.log_end));
    }

    /// Retention and deletion have removed a prefix below the high watermark, and everything behind it is there.
    fn check_invariant_38(&mut self) {
        self.log_start = self.log.log_start();
        assert!(self.log_start <= self.high_watermark);
        let bases: Vec<_> = self.readable().map(|stored| stored.base_offset).collect();
        assert_eq!(self.log.all_bases(), bases);
        let size: usize = self.readable().map(|stored| stored.size).sum();
        assert!(self.log.size_in_bytes() >= size as u64);
    }

    fn check_last_stable_offset(&self) {
        let unsettled = self.ended.iter().filter(|(_, marker)| *marker >= self.high_watermark).map(|(first, _)| first);
        let unstable = self.open.values().chain(unsettled).min().map(|&first| first.max(self.log_start));
        let expected = unstable.filter(|&first| first < self.high_watermark).unwrap_or(self.high_watermark);
        // A truncation reopens transactions, of which the model keeps no list.
        assert!(self.truncated || self.log.last_stable_offset() == expected);
    }
}

fn between(share: f64, range: Range<Offset>) -> Offset {
    (range.start + ((range.end - range.start) as f64 * share).round() as i64).min(range.end)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn invariants_1_2_3_12_13_16_38_39_hold_under_random_operations(
        config in config(),
        operations in prop::collection::vec(operation(), 1..150),
    ) {
        let mut model = Model::new(config);
        for operation in &operations {
            model.run(operation);
        }
        model.check_read(model.log_start, model.log_end, usize::MAX, false);
        for timestamp in (0..220).step_by(7) {
            model.check_invariant_39(model.timestamp(timestamp));
        }
    }
}
