//! A compacted log against a plain map: the operations, and what must hold after each of them. Driven by proptest in the
//! crate's tests and by bytes in the fuzz target `log_ops`.
//!
//! The model is a list of all records that were ever appended and not truncated, and which of them are still there by
//! Kafka's rules, computed record by record: it knows nothing of segments, indexes and batches kept whole. How far a run
//! reached it learns from the log, and checks that it was allowed to. Sizes, ages and intervals are tiny, so that every
//! sequence of operations rolls, indexes, deletes and compacts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::config::{CleanupPolicy, LogConfig};
use crate::error::ErrorCode;
use crate::log::testing::{CLIENT, EPOCH, NOW_MS, WIRE, orders};
use crate::log::{AppendOrigin, Compaction, CompactionLimits, Log};
use crate::record::{BatchBuilder, ControlRecord, EndTxnMarker, RecordBatch, SealOptions};
use crate::types::{CompressionType, Offset, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;

/// What happens to the log. Shares are of 255, of whatever range they are about.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// One batch of these records, from a producer without an id.
    Put {
        records: Vec<Put>,
        compressed: bool,
        trusted: bool,
    },
    /// One batch of an idempotent producer: the next.
    Send {
        producer: u8,
        records: Vec<Put>,
    },
    /// The batch that an idempotent producer sent so many batches ago, once more.
    SendAgain {
        producer: u8,
        ago: u8,
    },
    /// One batch in a producer's transaction, which it begins if there is none.
    Write {
        producer: u8,
        records: Vec<Put>,
    },
    /// A marker, even where there is no transaction.
    End {
        producer: u8,
        commit: bool,
    },
    /// A batch that must be refused.
    Garbage {
        what: Garbage,
    },
    /// Followers get so much of what they lack.
    Replicate {
        share: u8,
    },
    Roll,
    Later {
        ms: u16,
    },
    /// A run of compaction begins; it does so much before anything else happens.
    Begin {
        small_index: bool,
        budget: u16,
    },
    /// The run that has begun ends, whatever has happened since.
    Finish,
    /// Runs until there is nothing to do.
    Clean {
        small_index: bool,
    },
    DeleteRecords {
        share: u8,
    },
    Retention,
    /// Down to the high watermark at most.
    Truncate {
        share: u8,
    },
    Read {
        share: u8,
        max_bytes: u16,
    },
    Lookup {
        ms: u16,
    },
}

/// One record: a key of few, and a value, or none for a tombstone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    pub(super) key: u8,
    pub(super) value: Option<u16>,
    /// Its age.
    pub(super) ago_ms: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Garbage {
    NoKey,
    BrokenBody,
    WrongCount,
    Gap { producer: u8 },
    TooLarge,
}

/// The settings that matter, each small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) segment_bytes: u16,
    pub(super) index_interval_bytes: u8,
    pub(super) delete: bool,
    pub(super) retention_bytes: Option<u16>,
    pub(super) delete_retention_ms: u8,
    pub(super) min_lag_ms: u8,
    pub(super) max_lag_ms: Option<u8>,
    pub(super) dirty_ratio: u8,
}

/// Keys 0 to this.
pub(super) const KEYS: u8 = 6;
/// Producers of each kind.
pub(super) const PRODUCERS: u8 = 2;
/// Ids of transactional producers begin here.
const TRANSACTIONAL: i64 = 100;
/// A producer is forgotten after so long.
const PRODUCER_EXPIRATION_MS: i64 = 1_000;
const RETENTION_MS: i64 = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    /// Base offset of its batch.
    batch: Offset,
    /// The transaction that it is in, by first offset.
    transaction: Option<Offset>,
}

#[derive(Clone, Debug)]
struct Transaction {
    producer: i64,
    outcome: Option<ControlRecord>,
    marker: Offset,
    /// When a run first found no record of it.
    gone_since_ms: Option<i64>,
    /// A run came long enough after that to drop the marker.
    may_go: bool,
}

#[derive(Clone, Debug)]
struct Sent {
    batch: RecordBatch,
    base_offset: Offset,
    end: Offset,
}

/// A run that has begun, and what the model saw then.
struct Run {
    compaction: Compaction,
    now_ms: i64,
    first_dirty: Offset,
    bound: Offset,
    truncations: u32,
}

pub(super) struct Model {
    log: Log,
    now_ms: i64,
    next_value: u32,
    /// Everything that was appended and not truncated, markers aside.
    history: BTreeMap<Offset, Record>,
    /// What of it should be there.
    present: BTreeMap<Offset, Record>,
    /// By first offset; markers that end nothing have one of their own.
    transactions: BTreeMap<Offset, Transaction>,
    open: HashMap<i64, Offset>,
    /// Base offsets of batches with a delete horizon.
    horizons: HashMap<Offset, i64>,
    /// When a run first reached a tombstone.
    reached_ms: HashMap<Offset, i64>,
    /// What idempotent producers sent and the log should know, oldest first; and when each was active last.
    senders: HashMap<i64, Vec<Sent>>,
    /// The same, with what came before a producer expired: truncation reads the log again, all of it.
    ever_sent: HashMap<i64, Vec<Sent>>,
    active_ms: HashMap<i64, i64>,
    log_start: Offset,
    high_watermark: Offset,
    log_end: Offset,
    /// Where batches end, ascending.
    ends: Vec<Offset>,
    cleaned_to: Offset,
    run: Option<Run>,
    truncations: u32,
}

impl Model {
    pub(super) fn new(settings: Settings) -> Self {
        let config = LogConfig {
            cleanup_policy: CleanupPolicy { delete: settings.delete, compact: true },
            segment_bytes: u32::from(settings.segment_bytes).max(700),
            index_interval_bytes: settings.index_interval_bytes.into(),
            retention_bytes: settings.retention_bytes.map(u64::from),
            retention_ms: Some(RETENTION_MS),
            delete_retention_ms: settings.delete_retention_ms.into(),
            min_compaction_lag_ms: settings.min_lag_ms.into(),
            max_compaction_lag_ms: settings
                .max_lag_ms
                .map_or(i64::MAX, |ms| i64::from(ms.max(settings.min_lag_ms).max(1))),
            min_cleanable_dirty_ratio: f64::from(settings.dirty_ratio) / 255.0,
            producer_id_expiration_ms: PRODUCER_EXPIRATION_MS,
            max_message_bytes: 600,
            ..LogConfig::default()
        };
        Self {
            log: Log::in_memory(orders(), Arc::new(config), NOW_MS),
            now_ms: NOW_MS,
            next_value: 0,
            history: BTreeMap::new(),
            present: BTreeMap::new(),
            transactions: BTreeMap::new(),
            open: HashMap::new(),
            horizons: HashMap::new(),
            reached_ms: HashMap::new(),
            senders: HashMap::new(),
            ever_sent: HashMap::new(),
            active_ms: HashMap::new(),
            log_start: 0,
            high_watermark: 0,
            log_end: 0,
            ends: vec![0],
            cleaned_to: 0,
            run: None,
            truncations: 0,
        }
    }

    pub(super) fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Put { records, compressed, trusted } => {
                let compression = match *compressed && cfg!(feature = "lz4") {
                    true => CompressionType::Lz4,
                    false => CompressionType::None,
                };
                let batch = self.batch(records, SealOptions { compression, ..SealOptions::default() });
                let origin = if *trusted { CLIENT } else { WIRE };
                self.append(batch, origin, None);
            }
            Operation::Send { producer, records } => self.send(i64::from(producer % PRODUCERS), records),
            Operation::SendAgain { producer, ago } => self.send_again(i64::from(producer % PRODUCERS), *ago),
            Operation::Write { producer, records } => {
                let producer = TRANSACTIONAL + i64::from(producer % PRODUCERS);
                let options = SealOptions {
                    producer: Some((ProducerId(producer), ProducerEpoch(0), -1)),
                    transactional: true,
                    ..SealOptions::default()
                };
                let batch = self.batch(records, options);
                let first = *self.open.entry(producer).or_insert(self.log_end);
                let transaction =
                    Transaction { producer, outcome: None, marker: -1, gone_since_ms: None, may_go: false };
                self.transactions.entry(first).or_insert(transaction);
                self.append(batch, AppendOrigin::Coordinator, Some(first));
            }
            Operation::End { producer, commit } => {
                self.end_transaction(TRANSACTIONAL + i64::from(producer % PRODUCERS), *commit);
            }
            Operation::Garbage { what } => self.refuse(*what),
            Operation::Replicate { share } => {
                // Replicas have whole batches.
                let replicated = between(*share, self.high_watermark, self.log_end);
                let end = *self.ends.iter().rfind(|end| **end <= replicated).expect("0 is one");
                self.high_watermark = self.high_watermark.max(end);
                self.log.maybe_increment_high_watermark(self.high_watermark);
            }
            Operation::Roll => self.log.roll(self.log_end, self.now_ms).unwrap(),
            Operation::Later { ms } => {
                self.now_ms += i64::from(*ms);
                self.log.remove_expired_producers(self.now_ms);
                let (now_ms, active_ms) = (self.now_ms, &self.active_ms);
                self.senders.retain(|id, _| now_ms - active_ms[id] < PRODUCER_EXPIRATION_MS);
            }
            Operation::Begin { small_index, budget } => self.begin(*small_index, usize::from(*budget)),
            Operation::Finish => self.finish(),
            Operation::Clean { small_index } => {
                self.finish();
                while self.log.compaction_need(self.now_ms, false).unwrap().is_some() {
                    self.begin(*small_index, 0);
                    self.finish();
                }
            }
            Operation::DeleteRecords { share } => {
                let to = between(*share, self.log_start, self.log_end + 1);
                let result = self.log.delete_records(to, self.now_ms);
                if to > self.high_watermark {
                    assert_eq!(result.unwrap_err().code(), ErrorCode::OffsetOutOfRange);
                } else {
                    result.unwrap();
                    assert_eq!(self.log.log_start(), to);
                }
            }
            Operation::Retention => drop(self.log.delete_old_segments(self.now_ms).unwrap()),
            Operation::Truncate { share } => self.truncate(between(*share, self.high_watermark, self.log_end)),
            Operation::Read { share, max_bytes } => {
                self.check_read(between(*share, self.log_start, self.log_end), usize::from(*max_bytes));
            }
            Operation::Lookup { ms } => self.check_lookup(self.now_ms - i64::from(*ms)),
        }
        self.check();
    }

    fn batch(&mut self, records: &[Put], options: SealOptions) -> RecordBatch {
        let mut builder = BatchBuilder::new(Block::unpooled(1 << 10));
        for put in records {
            self.next_value += 1;
            let value = put.value.map(|size| format!("{:>width$}", self.next_value, width = usize::from(size % 60)));
            let key = format!("key {}", put.key % KEYS);
            let timestamp = self.now_ms - i64::from(put.ago_ms);
            let value = value.as_deref().map(str::as_bytes);
            // What does not fit is left out: the batch is large enough for the limit by then.
            let _ = builder.try_append(timestamp, Some(key.as_bytes()), value, std::iter::empty());
        }
        builder.seal(options).expect("at least one record fits")
    }

    /// Appends a batch that must be taken, or be too large.
    fn append(&mut self, batch: RecordBatch, origin: AppendOrigin, transaction: Option<Offset>) -> bool {
        let result = self.log.append_as_leader(batch.clone(), EPOCH, origin, self.now_ms);
        let info = match result {
            Ok(info) => info,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::MessageTooLarge, "{error}");
                if let Some(first) = transaction.filter(|first| *first == self.log_end) {
                    self.transactions.remove(&first);
                    self.open.retain(|_, open| *open != first);
                }
                return false;
            }
        };
        assert_eq!((info.base_offset, info.duplicate), (self.log_end, false));
        let mut records = batch.records().unwrap();
        while let Some(record) = records.next_record() {
            let record = record.unwrap();
            let written = Record {
                key: record.key().unwrap().to_vec(),
                value: record.value().map(<[u8]>::to_vec),
                timestamp: record.timestamp(),
                batch: info.base_offset,
                transaction,
            };
            self.history.insert(self.log_end, written.clone());
            self.present.insert(self.log_end, written);
            self.log_end += 1;
        }
        assert_eq!(info.last_offset, self.log_end - 1);
        self.ends.push(self.log_end);
        true
    }

    fn send(&mut self, producer: i64, records: &[Put]) {
        let sequence = self.senders.get(&producer).and_then(|sent| sent.last()).map_or(0, |last| {
            let header = last.batch.header();
            header.base_sequence() + header.last_offset_delta() + 1
        });
        let options = SealOptions {
            producer: Some((ProducerId(producer), ProducerEpoch(0), sequence)),
            ..SealOptions::default()
        };
        let (batch, base_offset) = (self.batch(records, options), self.log_end);
        // Where a producer began anew at 0, which no client does within an epoch, and truncation has brought back what it
        // sent before it expired, its next sequences may be among the last five already. As in Kafka, it is those then.
        if let Some(known) = self.known(producer, &batch) {
            let (base_offset, end) = (known.base_offset, known.end);
            self.assert_duplicate(batch, base_offset, end);
            return;
        }
        if self.append(batch.clone(), CLIENT, None) {
            let sent = Sent { batch, base_offset, end: self.log_end };
            self.ever_sent.entry(producer).or_default().push(sent.clone());
            self.senders.entry(producer).or_default().push(sent);
            self.active_ms.insert(producer, self.now_ms);
        }
    }

    /// Invariant 14: whatever became of its records, a batch of the last five is known.
    fn send_again(&mut self, producer: i64, ago: u8) {
        let sent = self.senders.get(&producer).map_or(&[][..], Vec::as_slice);
        let Some(again) = sent.iter().rev().take(5).nth(usize::from(ago)) else { return };
        // Where a producer began anew at 0 the same sequences may stand there twice: the last ones are meant.
        let again = self.known(producer, &again.batch).expect("it is one of them");
        let (batch, base_offset, end) = (again.batch.clone(), again.base_offset, again.end);
        self.assert_duplicate(batch, base_offset, end);
    }

    /// The last of the producer's last five batches that has this one's sequences.
    fn known(&self, producer: i64, batch: &RecordBatch) -> Option<&Sent> {
        let sequences = |batch: &RecordBatch| (batch.header().base_sequence(), batch.header().last_sequence());
        let sent = self.senders.get(&producer).map_or(&[][..], Vec::as_slice);
        sent.iter().rev().take(5).find(|sent| sequences(&sent.batch) == sequences(batch))
    }

    fn assert_duplicate(&mut self, batch: RecordBatch, base_offset: Offset, end: Offset) {
        let info = self.log.append_as_leader(batch, EPOCH, CLIENT, self.now_ms).unwrap();
        assert_eq!((info.base_offset, info.last_offset, info.duplicate), (base_offset, end - 1, true));
    }

    fn end_transaction(&mut self, producer: i64, commit: bool) {
        let control = if commit { ControlRecord::Commit } else { ControlRecord::Abort };
        let marker = EndTxnMarker { control, coordinator_epoch: 0 };
        let batch = marker.to_batch(self.now_ms, ProducerId(producer), ProducerEpoch(0));
        self.log.append_as_leader(batch, EPOCH, AppendOrigin::Coordinator, self.now_ms).unwrap();
        let marker = self.log_end;
        let first = self.open.remove(&producer).unwrap_or(marker);
        let transaction = Transaction { producer, outcome: Some(control), marker, gone_since_ms: None, may_go: false };
        self.transactions.insert(first, transaction);
        self.log_end += 1;
        self.ends.push(self.log_end);
    }

    fn refuse(&mut self, what: Garbage) {
        let one = |key: Option<&[u8]>, size: usize, options: SealOptions| {
            let mut builder = BatchBuilder::new(Block::unpooled(2 << 10));
            builder.try_append(NOW_MS, key, Some(&vec![b'v'; size]), std::iter::empty()).expect("it fits");
            builder.seal(options).expect("one record")
        };
        let honest = one(Some(b"key"), 1, SealOptions::default());
        let (batch, code) = match what {
            Garbage::NoKey => (one(None, 1, SealOptions::default()), ErrorCode::InvalidRecord),
            Garbage::BrokenBody => {
                let body = vec![0x7f; honest.body().len()];
                (RecordBatch::from_parts(*honest.header(), body.into()), ErrorCode::InvalidRecord)
            }
            Garbage::WrongCount => {
                let mut header = *honest.header();
                header.set_records_count(2);
                (RecordBatch::from_parts(header, honest.body().clone()), ErrorCode::InvalidRecord)
            }
            Garbage::Gap { producer } => {
                let producer = i64::from(producer % PRODUCERS);
                let Some(last) = self.senders.get(&producer).and_then(|sent| sent.last()) else { return };
                let sequence = last.batch.header().last_sequence() + 2;
                let producer = Some((ProducerId(producer), ProducerEpoch(0), sequence));
                let batch = one(Some(b"key"), 1, SealOptions { producer, ..SealOptions::default() });
                (batch, ErrorCode::OutOfOrderSequenceNumber)
            }
            Garbage::TooLarge => (one(Some(b"key"), 700, SealOptions::default()), ErrorCode::MessageTooLarge),
        };
        let error = self.log.append_as_leader(batch, EPOCH, WIRE, self.now_ms).unwrap_err();
        assert_eq!(error.code(), code, "{what:?}");
    }

    fn begin(&mut self, small_index: bool, budget: usize) {
        self.finish();
        // An index of this size takes in a batch at a time.
        let dedupe_buffer_size = if small_index { 1 } else { 1 << 20 };
        let limits = CompactionLimits { dedupe_buffer_size, hash_seed: 7 };
        // What was rolled since the last look may be too young; that is the log's to know.
        let _ = self.log.compaction_need(self.now_ms, false).unwrap();
        let Some(mut compaction) = self.log.begin_compaction(limits, self.now_ms).unwrap() else { return };
        compaction.run(budget).unwrap();
        self.run = Some(Run {
            compaction,
            now_ms: self.now_ms,
            first_dirty: self.cleaned_to.max(self.log_start),
            bound: self.log.last_stable_offset(),
            truncations: self.truncations,
        });
    }

    fn finish(&mut self) {
        let Some(Run { mut compaction, now_ms, first_dirty, bound, truncations }) = self.run.take() else { return };
        while !compaction.run(300).unwrap() {}
        let swapped = self.log.finish_compaction(&mut compaction).unwrap();
        assert_eq!(swapped, truncations == self.truncations, "only truncation undoes a run");
        while !compaction.release(300).unwrap() {}
        if !swapped {
            return;
        }
        let end = compaction.end();
        assert!(first_dirty < end && end <= bound, "from {first_dirty} to {end}, bound {bound}");
        let oldest_kept = now_ms - self.log.config().min_compaction_lag_ms;
        assert!(self.history.range(first_dirty..end).all(|(_, record)| record.timestamp <= oldest_kept));
        self.cleaned_to = end;
        self.compact(end, now_ms);
    }

    /// Kafka's rules, record by record.
    fn compact(&mut self, end: Offset, now_ms: i64) {
        let ended = self.transactions.iter_mut().filter(|(_, it)| it.outcome.is_some() && it.marker < end);
        for (first, transaction) in ended {
            match transaction.gone_since_ms {
                Some(since) => transaction.may_go |= since + self.log.config().delete_retention_ms <= now_ms,
                None if self.present.values().any(|record| record.transaction == Some(*first)) => {}
                None => transaction.gone_since_ms = Some(now_ms),
            }
        }
        let last = self.last_of_keys(self.present.range(..end));
        let stays = |offset: Offset, record: &Record| {
            let expired = self.horizons.get(&record.batch).is_some_and(|horizon| *horizon <= now_ms);
            last.get(&record.key[..]) == Some(&offset)
                && !self.is_aborted(record)
                && (record.value.is_some() || !expired)
        };
        let gone: Vec<_> = self
            .present
            .range(..end)
            .filter(|(offset, record)| !stays(**offset, record))
            .map(|(offset, _)| *offset)
            .collect();
        gone.iter().for_each(|offset| drop(self.present.remove(offset)));
        let horizon = now_ms + self.log.config().delete_retention_ms;
        for (offset, record) in self.present.range(..end).filter(|(_, record)| record.value.is_none()) {
            self.horizons.entry(record.batch).or_insert(horizon);
            self.reached_ms.entry(*offset).or_insert(now_ms);
        }
    }

    fn truncate(&mut self, to: Offset) {
        let changes = to < self.log_end;
        let log_end = self.log.truncate_to(to, self.now_ms).unwrap();
        if !changes {
            assert_eq!(log_end, self.log_end);
            return;
        }
        assert!(self.high_watermark <= log_end && log_end <= to);
        self.truncations += 1;
        self.log_end = log_end;
        self.cleaned_to = self.cleaned_to.min(log_end);
        self.ends.retain(|end| *end <= log_end);
        self.history.retain(|offset, _| *offset < log_end);
        self.present.retain(|offset, _| *offset < log_end);
        self.transactions.retain(|first, _| *first < log_end);
        for (first, transaction) in &mut self.transactions {
            if transaction.marker >= log_end {
                (transaction.outcome, transaction.marker) = (None, -1);
                self.open.insert(transaction.producer, *first);
            }
        }
        self.open.retain(|_, first| *first < log_end);
        let bases: HashSet<_> = self.batches().iter().map(|batch| batch.header().base_offset()).collect();
        for sent in self.ever_sent.values_mut() {
            sent.retain(|sent| sent.end <= log_end);
        }
        let ever_sent = &self.ever_sent;
        self.senders.retain(|producer, sent| {
            if sent.last().is_some_and(|last| last.end > log_end) {
                // Known again is what is still in the log.
                let left = ever_sent[producer].iter().filter(|sent| bases.contains(&sent.base_offset));
                *sent = left.cloned().collect();
            }
            !sent.is_empty()
        });
    }

    fn batches(&self) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        self.log.read(self.log.log_start(), usize::MAX, self.log_end, false, &mut batches).unwrap();
        batches
    }

    fn is_aborted(&self, record: &Record) -> bool {
        let outcome = record.transaction.and_then(|first| self.transactions[&first].outcome);
        outcome == Some(ControlRecord::Abort)
    }

    /// Where the last record of each key is that no transaction took back.
    fn last_of_keys<'a>(&self, records: impl Iterator<Item = (&'a Offset, &'a Record)>) -> HashMap<&'a [u8], Offset> {
        records
            .filter(|(_, record)| !self.is_aborted(record))
            .map(|(offset, record)| (&record.key[..], *offset))
            .collect()
    }

    /// Everything, after every operation.
    fn check(&mut self) {
        self.log_start = self.log.log_start();
        let log = &self.log;
        let offsets = [self.log_start, log.last_stable_offset(), log.high_watermark(), log.log_end()];
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert_eq!((log.high_watermark(), log.log_end()), (self.high_watermark, self.log_end));
        self.history = self.history.split_off(&self.log_start);
        self.present = self.present.split_off(&self.log_start);

        let batches = self.batches();
        let bases = batches.iter().map(|batch| (batch.header().base_offset(), batch.header().next_offset()));
        assert!(bases.clone().is_sorted_by(|one, next| one.1 <= next.0), "{:?}", bases.collect::<Vec<_>>());
        if self.log_start < self.log_end {
            // Nobody who reads on is ever stuck in front of a gap.
            assert_eq!(batches.last().map(|batch| batch.header().next_offset()), Some(self.log_end));
        }
        let size: usize = batches.iter().map(RecordBatch::size_in_bytes).sum();
        assert!(log.size_in_bytes() >= size as u64);

        let (mut records, mut markers) = (BTreeMap::new(), Vec::new());
        for batch in &batches {
            let mut iter = batch.records().unwrap();
            while let Some(record) = iter.next_record() {
                let record = record.unwrap();
                if record.offset() < self.log_start {
                    continue;
                }
                if batch.header().is_control() {
                    markers.push(record.offset());
                    continue;
                }
                let (key, value) = (record.key().unwrap().to_vec(), record.value().map(<[u8]>::to_vec));
                records.insert(record.offset(), (key, value, record.timestamp()));
            }
        }
        // Order and offsets unchanged, and exactly what Kafka's rules leave.
        let plain = |(offset, record): (&Offset, &Record)| {
            (*offset, (record.key.clone(), record.value.clone(), record.timestamp))
        };
        assert_eq!(records, self.present.iter().map(plain).collect::<BTreeMap<_, _>>());
        self.check_invariant_36();
        self.check_invariant_37(&markers);
    }

    /// A reader from the start sees the final state of every key.
    fn check_invariant_36(&self) {
        let state = |records: &BTreeMap<Offset, Record>| -> BTreeMap<Vec<u8>, (Offset, Vec<u8>)> {
            let last = self.last_of_keys(records.iter());
            let values = last.into_iter().filter_map(|(key, offset)| {
                let value = records[&offset].value.clone()?;
                Some((key.to_vec(), (offset, value)))
            });
            values.collect()
        };
        assert_eq!(state(&self.present), state(&self.history));
    }

    /// Tombstones and markers are there for `delete.retention.ms`, and what was aborted is known to be.
    fn check_invariant_37(&self, markers: &[Offset]) {
        let retention_ms = self.log.config().delete_retention_ms;
        let last = self.last_of_keys(self.history.iter());
        for (offset, record) in self.history.iter().filter(|(_, record)| record.value.is_none()) {
            let reached_ms = self.reached_ms.get(offset).copied().unwrap_or(self.now_ms);
            if last.get(&record.key[..]) == Some(offset) && self.now_ms < reached_ms + retention_ms {
                assert!(self.present.contains_key(offset), "the tombstone at {offset}");
            }
        }
        let ended = || self.transactions.values().filter(|transaction| transaction.outcome.is_some());
        assert!(markers.iter().all(|offset| ended().any(|transaction| transaction.marker == *offset)));
        for transaction in ended().filter(|transaction| transaction.marker >= self.log_start) {
            assert!(transaction.may_go || markers.contains(&transaction.marker), "{transaction:?}");
        }
        let aborted = self.log.aborted_transactions(self.log_start, self.log_end);
        for (offset, record) in self.present.iter().filter(|(_, record)| self.is_aborted(record)) {
            let transaction = &self.transactions[&record.transaction.expect("an aborted record is in one")];
            assert!(
                aborted.iter().any(|aborted| {
                    aborted.producer_id.0 == transaction.producer
                        && (aborted.first_offset..=aborted.last_offset).contains(offset)
                }),
                "offset {offset} of {transaction:?} in {aborted:?}"
            );
        }
    }

    /// A read anywhere, in a gap too, returns whole batches from the next one on.
    fn check_read(&self, start: Offset, max_bytes: usize) {
        let mut read = Vec::new();
        let bytes = self.log.read(start, max_bytes, self.log_end, true, &mut read).unwrap();
        assert_eq!(bytes, read.iter().map(RecordBatch::size_in_bytes).sum::<usize>());
        assert!(bytes <= max_bytes || read.len() == 1);
        let all = self.batches();
        let expected = all.iter().filter(|batch| batch.header().next_offset() > start).take(read.len());
        let identity = |batch: &RecordBatch| (*batch.header(), batch.body().clone());
        assert!(expected.map(identity).eq(read.iter().map(identity)));
        assert!(!read.is_empty() || start == self.log_end);
        for outside in [self.log_start - 1, self.log_end + 1] {
            let error = self.log.read(outside, 1, self.log_end, true, &mut Vec::new()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
        }
    }

    /// The first record at or after a time, and the first of the latest, by brute force.
    fn check_lookup(&self, timestamp: i64) {
        let mut records = Vec::new();
        for batch in self.batches() {
            let mut iter = batch.records().unwrap();
            while let Some(record) = iter.next_record() {
                let record = record.unwrap();
                records.extend((record.offset() >= self.log_start).then_some((record.offset(), record.timestamp())));
            }
        }
        let found = self.log.offset_for_timestamp(timestamp, self.log_end).unwrap();
        let expected = records.iter().find(|(_, time)| *time >= timestamp).copied();
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected);
        let found = self.log.max_timestamp(self.log_end).unwrap();
        let latest = records.iter().map(|(_, time)| *time).max();
        let expected = records.iter().find(|(_, time)| Some(*time) == latest).copied();
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected);
    }
}

fn between(share: u8, from: Offset, to: Offset) -> Offset {
    from + (to - from) * Offset::from(share) / 255
}
