//! [`ConsumerRecords`]: what one poll returned.

use std::collections::HashSet;

use crate::client::consumer::{ConsumerRecord, OwnedConsumerRecord};
use crate::record::{BatchBuilder, Records, RecordsIter, SealOptions};
use crate::types::{LeaderEpoch, Offset, OffsetAndMetadata, TimestampType, TopicPartition};
use crate::util::block_pool::Block;

/// What one poll returned: at most `max.poll.records` records, in order of offset within each partition.
///
/// It holds whole batches by reference and parses a record when an iterator reaches it. Dropping it gives the batches'
/// memory back, so that a consumer that keeps up costs no fresh memory; records that outlive it are made with
/// [`ConsumerRecord::to_owned`] or by consuming it.
///
/// ```
/// # use brokerless::ConsumerRecords;
/// fn sum_of_sizes(records: &ConsumerRecords) -> usize {
///     records.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum()
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConsumerRecords {
    /// In the order of the batches.
    runs: Vec<PartitionRun>,
    batches: Vec<FetchedBatch>,
    count: usize,
}

/// Consecutive batches of one partition.
#[derive(Clone, Debug)]
struct PartitionRun {
    topic_partition: TopicPartition,
    /// Index of the batch behind its last one.
    end: usize,
    /// Position behind it.
    next_offset: Offset,
    /// Epoch of the leader that appended its last record.
    leader_epoch: LeaderEpoch,
}

/// A batch, or the part of it that one poll returns.
#[derive(Clone, Debug)]
pub(super) struct FetchedBatch {
    pub(super) records: Records,
    pub(super) info: BatchInfo,
}

/// What all records of a batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchInfo {
    pub(super) timestamp_type: TimestampType,
    pub(super) leader_epoch: LeaderEpoch,
}

impl ConsumerRecords {
    /// How many records there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The same under Kafka's name.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the poll ended without records.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records: one partition after the other, each in order of offset.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { runs: &self.runs, batches: &self.batches, index: 0, current: None, remaining: self.count }
    }

    /// The records of one partition, in order of offset.
    pub fn records(&self, topic_partition: impl Into<TopicPartition>) -> impl Iterator<Item = ConsumerRecord<'_>> {
        let topic_partition = topic_partition.into();
        self.runs_with_start()
            .filter(move |(_, run)| run.topic_partition == topic_partition)
            .flat_map(|(start, run)| iter_batches(&run.topic_partition, &self.batches[start..run.end]))
    }

    /// The partitions that have records here, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        let mut seen = HashSet::new();
        // Interceptors may have left nothing of a run.
        let with_records = self.runs_with_start().filter(|(start, run)| *start < run.end);
        with_records.map(|(_, run)| &run.topic_partition).filter(move |topic_partition| seen.insert(*topic_partition))
    }

    /// The positions to commit once all of these records are processed (KIP-1094), behind records that an interceptor
    /// dropped, too.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&TopicPartition, OffsetAndMetadata)> {
        let mut seen = HashSet::new();
        let last_runs = self.runs.iter().rev().filter(move |run| seen.insert(&run.topic_partition));
        last_runs.map(|run| {
            let position = OffsetAndMetadata::new(run.next_offset).with_leader_epoch(Some(run.leader_epoch));
            (&run.topic_partition, position)
        })
    }

    /// Keeps the records for which `keep` says so. The batches are shared as before: nothing is copied.
    pub fn retain(&mut self, mut keep: impl FnMut(&ConsumerRecord<'_>) -> bool) {
        let mut batches = std::mem::take(&mut self.batches).into_iter();
        let mut start = 0;
        for run in &mut self.runs {
            for FetchedBatch { mut records, info } in batches.by_ref().take(run.end - start) {
                let kept = records
                    .iter()
                    .map_while(Result::ok)
                    .map(|record| keep(&ConsumerRecord { topic_partition: &run.topic_partition, info, record }));
                let kept: Vec<bool> = kept.collect();
                for stretch in kept.chunk_by(|one, next| one == next) {
                    match records.split_off_front(stretch.len()) {
                        Ok(records) if stretch[0] => self.batches.push(FetchedBatch { records, info }),
                        _ => {}
                    }
                }
            }
            start = std::mem::replace(&mut run.end, self.batches.len());
        }
        self.count = self.batches.iter().map(|batch| batch.records.remaining()).sum();
    }

    /// Empty, with room for so many batches.
    pub(super) fn with_capacity(batches: usize) -> Self {
        Self { batches: Vec::with_capacity(batches), ..Self::default() }
    }

    /// How many batches, or parts of them, the records come from.
    pub(super) fn batches_count(&self) -> usize {
        self.batches.len()
    }

    /// Adds a batch of `topic_partition`, after which the partition's position is `next_offset`.
    #[inline]
    pub(super) fn push(&mut self, topic_partition: &TopicPartition, batch: FetchedBatch, next_offset: Offset) {
        self.count += batch.records.remaining();
        let leader_epoch = batch.info.leader_epoch;
        self.batches.push(batch);
        let end = self.batches.len();
        match self.runs.last_mut() {
            Some(run) if run.topic_partition == *topic_partition => {
                (run.end, run.next_offset, run.leader_epoch) = (end, next_offset, leader_epoch);
            }
            _ => {
                let topic_partition = topic_partition.clone();
                self.runs.push(PartitionRun { topic_partition, end, next_offset, leader_epoch });
            }
        }
    }

    fn runs_with_start(&self) -> impl Iterator<Item = (usize, &PartitionRun)> {
        self.runs.iter().scan(0, |end, run| Some((std::mem::replace(end, run.end), run)))
    }
}

fn iter_batches<'a>(
    topic_partition: &'a TopicPartition,
    batches: &'a [FetchedBatch],
) -> impl Iterator<Item = ConsumerRecord<'a>> {
    batches.iter().flat_map(move |batch| {
        // The leader checked every record when it took the batch in, so none of them is malformed.
        let records = batch.records.iter().map_while(Result::ok);
        records.map(move |record| ConsumerRecord { topic_partition, info: batch.info, record })
    })
}

/// Adds records, each a copy in a batch of its own, behind those that there are.
impl Extend<OwnedConsumerRecord> for ConsumerRecords {
    /// # Panics
    /// If a record takes more than 2 GiB.
    fn extend<I: IntoIterator<Item = OwnedConsumerRecord>>(&mut self, records: I) {
        for record in records {
            let info = BatchInfo { timestamp_type: record.timestamp_type(), leader_epoch: record.leader_epoch() };
            let batch = FetchedBatch { records: encode(&record).expect("a record fits a batch of its own"), info };
            self.push(record.topic_partition(), batch, record.offset() + 1);
        }
    }
}

impl FromIterator<OwnedConsumerRecord> for ConsumerRecords {
    fn from_iter<I: IntoIterator<Item = OwnedConsumerRecord>>(records: I) -> Self {
        let mut collected = Self::default();
        collected.extend(records);
        collected
    }
}

/// A batch of this one record.
fn encode(record: &OwnedConsumerRecord) -> Option<Records> {
    let (key, value) = (record.key(), record.value());
    let capacity = BatchBuilder::upper_bound(key, value, record.headers());
    let mut builder = BatchBuilder::new(Block::unpooled(capacity));
    builder.try_append(record.timestamp(), key, value, record.headers())?;
    let mut batch = builder.seal(SealOptions::default()).ok()?;
    batch.assign(record.offset(), record.leader_epoch());
    batch.records().ok()
}

/// Iterates over [`ConsumerRecords`] by reference.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// From the current run on.
    runs: &'a [PartitionRun],
    batches: &'a [FetchedBatch],
    /// Of the batch after the current one.
    index: usize,
    current: Option<(&'a TopicPartition, BatchInfo, RecordsIter<'a>)>,
    remaining: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some((topic_partition, info, records)) = &mut self.current
                && let Some(Ok(record)) = records.next()
            {
                self.remaining -= 1;
                return Some(ConsumerRecord { topic_partition, info: *info, record });
            }
            self.advance()?;
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl Iter<'_> {
    /// Moves to the next batch; `None` behind the last one.
    fn advance(&mut self) -> Option<()> {
        let Some(batch) = self.batches.get(self.index) else {
            self.current = None;
            return None;
        };
        while self.runs[0].end <= self.index {
            self.runs = &self.runs[1..];
        }
        self.index += 1;
        self.current = Some((&self.runs[0].topic_partition, batch.info, batch.records.iter()));
        Some(())
    }
}

impl<'a> IntoIterator for &'a ConsumerRecords {
    type Item = ConsumerRecord<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for ConsumerRecords {
    type Item = OwnedConsumerRecord;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { records: self, run: 0, batch: 0 }
    }
}

/// Iterates over [`ConsumerRecords`] by value: yields records that stand on their own.
#[derive(Clone, Debug, Default)]
pub struct IntoIter {
    records: ConsumerRecords,
    run: usize,
    batch: usize,
}

impl IntoIter {
    /// Where reading must go on for the records not yet yielded to come again: a position for each of their partitions.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let batches = &self.records.batches;
        let mut positions: Vec<(TopicPartition, Offset)> = Vec::new();
        for (start, run) in self.records.runs_with_start().skip(self.run) {
            let rest = &batches[start.max(self.batch).min(run.end)..run.end];
            // An interceptor may have put them into another order.
            let Some(offset) = rest.iter().filter_map(|batch| batch.records.next_offset()).min() else { continue };
            match positions.iter_mut().find(|(known, _)| *known == run.topic_partition) {
                Some((_, lowest)) => *lowest = offset.min(*lowest),
                None => positions.push((run.topic_partition.clone(), offset)),
            }
        }
        positions
    }
}

impl Iterator for IntoIter {
    type Item = OwnedConsumerRecord;

    fn next(&mut self) -> Option<OwnedConsumerRecord> {
        let ConsumerRecords { runs, batches, count } = &mut self.records;
        loop {
            let FetchedBatch { records, info } = batches.get_mut(self.batch)?;
            while runs[self.run].end <= self.batch {
                self.run += 1;
            }
            if let Some(Ok(record)) = records.next_record() {
                *count -= 1;
                let topic_partition = &runs[self.run].topic_partition;
                return Some(ConsumerRecord { topic_partition, info: *info, record }.to_owned());
            }
            self.batch += 1;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.records.count, Some(self.records.count))
    }
}
