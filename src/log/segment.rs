//! [`Segment`]: a run of batches that is rolled, indexed and deleted as one.

use std::io;
use std::ops::ControlFlow;

use crate::log::offset_index::OffsetIndex;
use crate::log::store::SegmentStore;
use crate::log::time_index::TimeIndex;
use crate::log::txn_index::TxnIndex;
use crate::record::{BatchHeader, RecordBatch};
use crate::types::{NO_TIMESTAMP, Offset};

/// A segment's indexes. Their memory passes from a deleted segment to the next new one.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    pub(crate) transactions: TxnIndex,
}

impl Indexes {
    /// Entries of each index that are worth keeping for a segment to come: some tens of KiB.
    pub(super) const MOST_SPARE_ENTRIES: usize = 4096;

    /// Whether they may be kept while no segment uses them.
    pub(super) fn is_small(&self) -> bool {
        let largest = self.offsets.capacity().max(self.times.capacity()).max(self.transactions.capacity());
        largest <= Self::MOST_SPARE_ENTRIES
    }
}

/// A run of batches, kept in a [`SegmentStore`], with its indexes.
#[derive(Debug)]
pub(crate) struct Segment<D> {
    base_offset: Offset,
    batches: D,
    indexes: Indexes,
    size_in_bytes: u32,
    bytes_since_index_entry: u32,
    /// What `segment.ms` counts from: the largest timestamp of the first batch. [`NO_TIMESTAMP`] while empty.
    first_timestamp: i64,
    /// The largest timestamp so far, and the last offset of the batch in which it was first reached.
    max_timestamp: i64,
    max_timestamp_offset: Offset,
    created_ms: i64,
    last_modified_ms: i64,
    /// How much earlier than `segment.ms` this segment is rolled, so that partitions do not all roll at once.
    roll_jitter_ms: i64,
}

/// What decides whether a batch still goes into a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollParams {
    pub(crate) segment_bytes: u32,
    pub(crate) segment_ms: i64,
    pub(crate) segment_index_bytes: u32,
    pub(crate) batch_size: usize,
    pub(crate) batch_max_timestamp: i64,
    pub(crate) batch_last_offset: Offset,
    pub(crate) now_ms: i64,
}

impl<D> Segment<D> {
    pub(crate) fn new(base_offset: Offset, batches: D, mut indexes: Indexes, roll_jitter_ms: i64, now_ms: i64) -> Self {
        indexes.offsets.reset(base_offset);
        indexes.times.reset(base_offset);
        indexes.transactions.clear();
        Self {
            base_offset,
            batches,
            indexes,
            size_in_bytes: 0,
            bytes_since_index_entry: 0,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_offset: base_offset,
            created_ms: now_ms,
            last_modified_ms: now_ms,
            roll_jitter_ms,
        }
    }

    /// The offset that the segment is named after: none of its records lies before it.
    #[inline]
    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    #[inline]
    pub(crate) fn size_in_bytes(&self) -> u32 {
        self.size_in_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size_in_bytes == 0
    }

    /// The largest timestamp of the records; [`NO_TIMESTAMP`] if none has one.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The last offset of the batch in which the largest timestamp was first reached.
    pub(crate) fn max_timestamp_offset(&self) -> Offset {
        self.max_timestamp_offset
    }

    /// When the oldest of its records came, as far as the log knows: the largest timestamp of the first batch, or the
    /// segment's creation.
    pub(crate) fn first_timestamp(&self) -> i64 {
        if self.first_timestamp > 0 { self.first_timestamp } else { self.created_ms }
    }

    /// What time retention counts from: the largest timestamp, or for records without any the last append.
    pub(crate) fn largest_timestamp(&self) -> i64 {
        if self.max_timestamp >= 0 { self.max_timestamp } else { self.last_modified_ms }
    }

    /// When the last batch was appended; of an empty segment, when it was made.
    pub(crate) fn last_modified_ms(&self) -> i64 {
        self.last_modified_ms
    }

    pub(crate) fn transactions(&self) -> &TxnIndex {
        &self.indexes.transactions
    }

    pub(crate) fn transactions_mut(&mut self) -> &mut TxnIndex {
        &mut self.indexes.transactions
    }

    /// Whether the next batch must open a new segment: this one is full in bytes, time or index, or the batch's offsets
    /// are too far from the base for an index entry.
    #[inline]
    pub(crate) fn should_roll(&self, params: &RollParams) -> bool {
        let waited_ms = match self.first_timestamp {
            NO_TIMESTAMP => params.now_ms.saturating_sub(self.created_ms),
            first => params.batch_max_timestamp.saturating_sub(first),
        };
        // The jitter was drawn when the segment was opened, and may be more than the time that is configured by now.
        let roll_ms = (params.segment_ms - self.roll_jitter_ms).max(0);
        self.size_in_bytes as usize + params.batch_size > params.segment_bytes as usize
            || !self.is_empty() && waited_ms > roll_ms
            || self.indexes.offsets.is_full(params.segment_index_bytes)
            || self.indexes.times.is_full(params.segment_index_bytes)
            || params.batch_last_offset - self.base_offset > i64::from(i32::MAX)
    }

    #[inline]
    pub(crate) fn append<S: SegmentStore<Segment = D>>(
        &mut self,
        store: &mut S,
        batch: RecordBatch,
        index_interval_bytes: u32,
        now_ms: i64,
    ) -> io::Result<()> {
        let header = batch.header();
        let (max_timestamp, last_offset, size) = (latest_of(header), header.last_offset(), header.size_in_bytes());
        store.append(&mut self.batches, batch)?;
        let position = self.size_in_bytes;
        if position == 0 {
            self.first_timestamp = max_timestamp;
        }
        if max_timestamp > self.max_timestamp {
            (self.max_timestamp, self.max_timestamp_offset) = (max_timestamp, last_offset);
        }
        if self.bytes_since_index_entry > index_interval_bytes {
            self.indexes.offsets.append(last_offset, position);
            self.indexes.times.maybe_append(self.max_timestamp, self.max_timestamp_offset);
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += size as u32;
        self.size_in_bytes += size as u32;
        self.last_modified_ms = now_ms;
        Ok(())
    }

    /// No batch will follow: the time index gets its last entry.
    pub(crate) fn become_inactive(&mut self) {
        self.indexes.times.maybe_append(self.max_timestamp, self.max_timestamp_offset);
    }

    /// Visits the batches from the one that holds `offset` (or follows it) on, until told to stop.
    #[inline]
    pub(crate) fn scan_from<S: SegmentStore<Segment = D>>(
        &self,
        store: &S,
        offset: Offset,
        mut visit: impl FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> io::Result<()> {
        store.scan(&self.batches, self.indexes.offsets.lookup(offset), |_, batch| {
            if batch.header().last_offset() < offset { ControlFlow::Continue(()) } else { visit(batch) }
        })
    }

    /// Visits batches from one on before which nothing is as late as `timestamp`, but not those that end before `offset`.
    pub(crate) fn scan_from_timestamp<S: SegmentStore<Segment = D>>(
        &self,
        store: &S,
        timestamp: i64,
        offset: Offset,
        visit: impl FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.scan_from(store, self.indexes.times.lookup(timestamp).max(offset), visit)
    }

    /// Drops the batch that holds `offset` and all behind it. Returns where the first dropped batch began, if any was.
    pub(crate) fn truncate_to<S: SegmentStore<Segment = D>>(
        &mut self,
        store: &mut S,
        offset: Offset,
        now_ms: i64,
    ) -> io::Result<Option<Offset>> {
        let mut first_dropped = None;
        store.scan(&self.batches, self.indexes.offsets.lookup(offset), |position, batch| {
            if batch.header().last_offset() < offset {
                return ControlFlow::Continue(());
            }
            first_dropped = Some((position, batch.header().base_offset()));
            ControlFlow::Break(())
        })?;
        let Some((position, base_offset)) = first_dropped else {
            return Ok(None);
        };
        store.truncate(&mut self.batches, position)?;
        self.indexes.offsets.truncate_to(offset);
        self.indexes.times.truncate_to(offset);
        self.indexes.transactions.truncate_to(offset);
        self.size_in_bytes = position;
        self.bytes_since_index_entry = 0;
        (self.max_timestamp, self.max_timestamp_offset) = (NO_TIMESTAMP, self.base_offset);
        store.scan(&self.batches, 0, |_, batch| {
            let latest = latest_of(batch.header());
            if latest > self.max_timestamp {
                (self.max_timestamp, self.max_timestamp_offset) = (latest, batch.header().last_offset());
            }
            ControlFlow::Continue(())
        })?;
        if self.is_empty() {
            self.first_timestamp = NO_TIMESTAMP;
            self.created_ms = now_ms;
        }
        Ok(Some(base_offset))
    }

    /// The parts to delete, and to use again.
    pub(crate) fn into_parts(self) -> (D, Indexes) {
        (self.batches, self.indexes)
    }

    /// The batches, for the store to share or to take over.
    pub(crate) fn batches_mut(&mut self) -> &mut D {
        &mut self.batches
    }
}

/// The largest timestamp of the batch's records. A batch that compaction has emptied keeps that of the records it had.
#[inline]
fn latest_of(header: &BatchHeader) -> i64 {
    if header.records_count() == 0 { NO_TIMESTAMP } else { header.max_timestamp() }
}
