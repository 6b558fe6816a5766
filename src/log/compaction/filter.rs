//! [`Filter`]: what compaction leaves of each batch.

use std::collections::HashMap;

use crate::log::compaction::key_index::{CHUNK, KeyIndex, Probe};
use crate::log::compaction::transactions::Transactions;
use crate::log::producer_state::LastRecord;
use crate::log::txn_index::AbortedTxn;
use crate::record::{BatchHeader, RecordBatch, RecordError};
use crate::types::{Offset, ProducerId};

/// The rules of compaction. First it is shown the batches of the dirty section, then all of them from the front.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) log_start: Offset,
    pub(super) first_dirty: Offset,
    /// Nothing at or above it is touched. Falls to where the index ends, once that is full.
    pub(super) end: Offset,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    pub(super) last_records: HashMap<ProducerId, LastRecord>,
    pub(super) transactions: Transactions,
    index: KeyIndex,
    /// Of each batch that was indexed, in order.
    notes: Vec<Note>,
    next_note: usize,
    /// Of each record of the batch at hand, whether it stays.
    keep: Vec<bool>,
}

/// What is remembered of a batch that was indexed.
#[derive(Clone, Copy, Debug)]
struct Note {
    base_offset: Offset,
    /// The number of its first record in the index.
    first: u32,
    has_tombstones: bool,
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) batch: RecordBatch,
    /// The aborted transaction that it ends, for the index of its segment.
    pub(super) aborted: Option<AbortedTxn>,
}

impl Filter {
    pub(super) fn new(
        offsets: (Offset, Offset, Offset),
        (now_ms, delete_retention_ms): (i64, i64),
        last_records: HashMap<ProducerId, LastRecord>,
        transactions: Transactions,
        index: KeyIndex,
    ) -> Self {
        let (log_start, first_dirty, end) = offsets;
        Self {
            log_start,
            first_dirty,
            end,
            now_ms,
            delete_retention_ms,
            last_records,
            transactions,
            index,
            notes: Vec::new(),
            next_note: 0,
            keep: Vec::new(),
        }
    }

    /// Takes a batch of the dirty section into the index. False if there is no room for it: the run then ends in front of
    /// it.
    pub(super) fn index(&mut self, batch: &RecordBatch) -> Result<bool, RecordError> {
        let header = batch.header();
        if header.last_offset() < self.first_dirty {
            return Ok(true);
        }
        // A run that takes in nothing would never end; one batch is little. Keys take no more than the whole body, unless it
        // is compressed.
        let note_bytes = (self.notes.len() + 1) * size_of::<Note>();
        let records = header.records_count().max(0) as u32;
        if !self.notes.is_empty() && !self.index.has_room(records, batch.body().len(), note_bytes) {
            self.end = header.base_offset();
            return Ok(false);
        }
        if header.is_control() {
            self.transactions.on_control(batch)?;
            return Ok(true);
        }
        if self.transactions.on_batch(header) {
            return Ok(true);
        }
        let mut note = Note { base_offset: header.base_offset(), first: self.index.records(), has_tombstones: false };
        let records = batch.records()?;
        self.index.expect(records.remaining());
        let mut iter = records.iter();
        let mut done = false;
        while !done {
            let mut probes = [Probe::new(&[]); CHUNK];
            let mut count = 0;
            while count < CHUNK {
                let Some(record) = iter.next() else {
                    done = true;
                    break;
                };
                let record = record?;
                note.has_tombstones |= record.value().is_none();
                match record.key() {
                    Some(key) if record.offset() >= self.first_dirty => {
                        probes[count] = Probe::new(key);
                        count += 1;
                    }
                    // Numbers must follow the order of the records.
                    _ => {
                        self.add(&mut probes[..count]);
                        count = 0;
                        self.index.add_superseded();
                    }
                }
            }
            self.add(&mut probes[..count]);
        }
        self.notes.push(note);
        Ok(true)
    }

    #[inline]
    fn add(&mut self, probes: &mut [Probe<'_>]) {
        self.index.look(probes);
        for probe in probes {
            self.index.add(probe);
        }
    }

    /// The dirty section is indexed: what comes next are the batches from the front of the log.
    pub(super) fn begin_rewriting(&mut self) {
        self.transactions.restart();
    }

    /// What stays of a batch below the end; `None` for nothing.
    pub(super) fn left_of(&mut self, batch: &RecordBatch) -> Result<Option<Left>, RecordError> {
        let header = batch.header();
        let mut aborted = None;
        let left = if header.is_control() {
            let marker = self.transactions.on_control(batch)?;
            aborted = marker.aborted;
            if marker.is_obsolete { self.left_of_obsolete_marker(batch)? } else { Some(batch.clone()) }
        } else if self.transactions.on_batch(header) {
            None
        } else if header.next_offset() <= self.log_start {
            // Nobody can read it any more.
            None
        } else {
            self.left_of_data(batch)?
        };
        let left = left.filter(|batch| batch.header().records_count() > 0);
        let left = left.or_else(|| self.is_last_of_producer(header).then(|| batch.emptied()));
        Ok(left.map(|batch| Left { batch, aborted }))
    }

    /// A marker outlives what it marks, as tombstones do: a reader may be in the middle of the transaction.
    fn left_of_obsolete_marker(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>, RecordError> {
        match batch.header().delete_horizon() {
            Some(horizon) if horizon <= self.now_ms => Ok(None),
            None if batch.header().records_count() > 0 => batch.with_delete_horizon(self.new_horizon()).map(Some),
            _ => Ok(Some(batch.clone())),
        }
    }

    fn left_of_data(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, RecordError> {
        let header = batch.header();
        let horizon = self.new_horizon();
        let drops_tombstones = header.delete_horizon().is_some_and(|horizon| horizon <= self.now_ms);
        if header.last_offset() < self.first_dirty {
            if self.index.is_empty() && !drops_tombstones {
                return Ok(Some(batch.clone()));
            }
            self.keep_what_is_not_indexed(batch, drops_tombstones)?;
            if self.keep.iter().all(|keep| *keep) {
                return Ok(Some(batch.clone()));
            }
            return batch.filter(horizon, |index, _| self.keep[index]);
        }
        let Note { base_offset, first, has_tombstones } = self.notes[self.next_note];
        assert_eq!(base_offset, header.base_offset(), "batches are rewritten in the order in which they were indexed");
        self.next_note += 1;
        let numbers = first..first + header.records_count() as u32;
        let superseded = self.index.count_superseded(numbers.clone());
        if superseded as usize == numbers.len() {
            return Ok(None);
        }
        if superseded == 0 && !has_tombstones {
            return Ok(Some(batch.clone()));
        }
        let index = &self.index;
        if !has_tombstones {
            return batch.filter_by_index(|number| !index.is_superseded(first + number as u32));
        }
        batch.filter(horizon, |number, record| {
            !(index.is_superseded(first + number as u32) || drops_tombstones && record.value().is_none())
        })
    }

    /// For a batch of the clean section, whose keys may all come again in the dirty one.
    fn keep_what_is_not_indexed(&mut self, batch: &RecordBatch, drops_tombstones: bool) -> Result<(), RecordError> {
        self.keep.clear();
        let records = batch.records()?;
        let mut iter = records.iter();
        loop {
            let mut probes = [Probe::new(&[]); CHUNK];
            let mut kept = [true; CHUNK];
            let mut count = 0;
            for record in iter.by_ref().take(CHUNK) {
                let record = record?;
                match record.key() {
                    Some(key) => probes[count] = Probe::new(key),
                    None => kept[count] = false,
                }
                kept[count] &= !(drops_tombstones && record.value().is_none());
                count += 1;
            }
            self.index.look(&mut probes[..count]);
            let kept = kept.iter().zip(&probes[..count]);
            self.keep.extend(kept.map(|(kept, probe)| *kept && !self.index.contains(probe)));
            if count < CHUNK {
                return Ok(());
            }
        }
    }

    fn new_horizon(&self) -> i64 {
        self.now_ms.saturating_add(self.delete_retention_ms)
    }

    /// Whether the batch is the last that its producer wrote, as far as the log knew when the run began.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.last_records.get(&header.producer_id()).is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch() == last.epoch,
        })
    }
}
