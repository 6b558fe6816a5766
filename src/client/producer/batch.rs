//! [`OpenBatch`] and [`Batch`]: records on their way.

use tokio::time::Instant;

use crate::client::producer::Delivery;
use crate::client::producer::delivery::{Callback, Callbacks, Completion, Outcome};
use crate::client::producer::identity::Sequence;
use crate::client::producer::metrics::SentBatch;
use crate::client::producer::timestamps::Timestamps;
use crate::error::Error;
use crate::record::{BatchBuilder, RecordBatch, RecordError, Records, SealOptions};
use crate::types::{CompressionType, TopicPartition};
use crate::util::block_pool::Block;

/// A batch that takes records.
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) timestamps: Timestamps,
    pub(super) completion: Completion,
    pub(super) callbacks: Callbacks,
    /// What linger and delivery timeout count from.
    pub(super) created: Instant,
    /// Bytes of `buffer.memory` that it holds.
    pub(super) memory: usize,
}

impl OpenBatch {
    pub(super) fn new(topic_partition: TopicPartition, block: Block, memory: usize, created: Instant) -> Self {
        Self {
            builder: BatchBuilder::new(block),
            timestamps: Timestamps::default(),
            completion: Completion::new(topic_partition),
            callbacks: Callbacks::new(),
            created,
            memory,
        }
    }

    /// Adds a record; `None`, and nothing has happened, if there is no room for it.
    #[inline(always)]
    pub(super) fn append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
        callback: &mut Option<Callback>,
    ) -> Option<Delivery> {
        let index = self.append_index(timestamp, key, value, headers)?;
        if let Some(callback) = callback.take() {
            self.callbacks.push((index, callback));
        }
        Some(Delivery::of(self.completion.cell(), index))
    }

    /// The same, for the record's index in the batch.
    #[inline(always)]
    pub(super) fn append_index<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Option<u32> {
        let index = self.builder.try_append(timestamp, key, value, headers)?;
        self.timestamps.push(index, timestamp);
        Some(index)
    }

    /// Takes no more records.
    pub(super) fn close(self) -> Batch {
        Batch {
            count: self.builder.count(),
            raw_size: self.builder.size_in_bytes(),
            largest_record: self.builder.largest_record(),
            content: Content::Built(self.builder),
            timestamps: self.timestamps,
            completion: self.completion,
            callbacks: self.callbacks,
            created: self.created,
            memory: self.memory,
            attempts: 0,
            backoffs: 0,
            space_version: 0,
            sequence: None,
            last_error: None,
            decided: None,
        }
    }
}

/// A batch that takes no more records.
pub(super) struct Batch {
    content: Content,
    pub(super) timestamps: Timestamps,
    pub(super) completion: Completion,
    pub(super) callbacks: Callbacks,
    pub(super) created: Instant,
    pub(super) memory: usize,
    /// Records in it.
    pub(super) count: u32,
    /// Bytes before compression, header included.
    pub(super) raw_size: usize,
    /// Bytes of its largest record.
    pub(super) largest_record: usize,
    /// How often a leader has answered with an error.
    pub(super) attempts: u32,
    /// How often it was put off: attempts, and searches for a leader.
    pub(super) backoffs: u32,
    /// The cluster's space version before the last attempt.
    pub(super) space_version: u64,
    /// Its numbers, if it has been numbered.
    pub(super) sequence: Option<Sequence>,
    /// Why it was put off.
    pub(super) last_error: Option<Error>,
    /// Its outcome, if it only waits for those before it.
    pub(super) decided: Option<Outcome>,
}

enum Content {
    Built(BatchBuilder),
    Sealed(RecordBatch),
    /// The codec refused it.
    Broken(RecordError),
}

impl Batch {
    /// The batch as it is sent: compressed at the first call, numbered as `sequence` says.
    pub(super) fn sealed(
        &mut self,
        compression: CompressionType,
        level: Option<i32>,
    ) -> Result<RecordBatch, RecordError> {
        let producer = self.sequence.map(|Sequence { identity, base }| (identity.id, identity.epoch, base));
        self.content = match std::mem::replace(&mut self.content, Content::Broken(RecordError::Malformed("unsealed"))) {
            Content::Built(builder) => {
                let options = SealOptions { compression, compression_level: level, producer, ..SealOptions::default() };
                builder.seal(options).map_or_else(Content::Broken, Content::Sealed)
            }
            Content::Sealed(batch) => Content::Sealed(match producer {
                Some((id, epoch, base)) => {
                    let mut header = *batch.header();
                    header.set_producer(id, epoch, base);
                    RecordBatch::from_parts(header, batch.body().clone())
                }
                None => batch,
            }),
            broken @ Content::Broken(_) => broken,
        };
        match &self.content {
            Content::Sealed(batch) => Ok(batch.clone()),
            Content::Broken(error) => Err(error.clone()),
            Content::Built(_) => unreachable!("it was sealed above"),
        }
    }

    /// What is counted of it when it is sent at `now`, as so many bytes.
    pub(super) fn as_sent(&self, size: usize, now: Instant) -> SentBatch {
        SentBatch {
            records: self.count,
            size,
            raw_size: self.raw_size,
            largest_record: self.largest_record,
            queued: now.saturating_duration_since(self.created),
        }
    }

    /// Two batches with the first and the second half of the records, for a leader that found this one too large. The
    /// deliveries are told; callbacks, memory and age go along.
    pub(super) fn split(self) -> Result<Box<[Self; 2]>, Box<(Self, RecordError)>> {
        let first_count = self.count / 2;
        let halves = match &self.content {
            Content::Sealed(batch) => halves(batch, first_count, self.count - first_count),
            _ => Err(RecordError::Malformed("batch split before it was sealed")),
        };
        let [first, second] = match halves {
            Ok(halves) => halves,
            Err(error) => return Err(Box::new((self, error))),
        };
        let part = |(builder, timestamps), memory, callbacks| {
            let completion = Completion::new(self.completion.cell().topic_partition().clone());
            OpenBatch { builder, timestamps, completion, callbacks, created: self.created, memory }.close()
        };
        let mut first_callbacks = self.callbacks;
        let mut second_callbacks =
            first_callbacks.split_off(first_callbacks.partition_point(|(index, ..)| *index < first_count));
        for (index, ..) in &mut second_callbacks {
            *index -= first_count;
        }
        let first = part(first, self.memory / 2, first_callbacks);
        let second = part(second, self.memory - self.memory / 2, second_callbacks);
        let parts = vec![(0, first.completion.cell().clone()), (first_count, second.completion.cell().clone())];
        self.completion.complete(Outcome::Split(parts), Timestamps::default(), Callbacks::new());
        Ok(Box::new([first, second]))
    }
}

fn halves(batch: &RecordBatch, first: u32, second: u32) -> Result<[(BatchBuilder, Timestamps); 2], RecordError> {
    let mut records = batch.records()?;
    let first = copy_records(&mut records, first)?;
    Ok([first, copy_records(&mut records, second)?])
}

/// The next `count` records, in a builder with room for just them.
fn copy_records(records: &mut Records, count: u32) -> Result<(BatchBuilder, Timestamps), RecordError> {
    const MISSING: RecordError = RecordError::Malformed("batch holds fewer records than it says");
    let mut measured = records.clone();
    let mut size = 0;
    for _ in 0..count {
        let record = measured.next_record().ok_or(MISSING)??;
        let headers = record.headers().map(|header| (header.key(), header.value()));
        size += BatchBuilder::upper_bound(record.key(), record.value(), headers);
    }
    let (mut builder, mut timestamps) = (BatchBuilder::new(Block::unpooled(size)), Timestamps::default());
    for _ in 0..count {
        let record = records.next_record().ok_or(MISSING)??;
        let headers = record.headers().map(|header| (header.key(), header.value()));
        let index = builder.try_append(record.timestamp(), record.key(), record.value(), headers).ok_or(MISSING)?;
        timestamps.push(index, record.timestamp());
    }
    Ok((builder, timestamps))
}
