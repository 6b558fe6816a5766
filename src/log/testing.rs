//! Batches and logs for tests.

use std::sync::Arc;

use crate::config::LogConfig;
use crate::log::append::LogAppendInfo;
use crate::log::{AppendOrigin, Log, LogError};
use crate::record::{BatchBuilder, RecordBatch, SealOptions};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::util::block_pool::Block;

/// "Now" where a test does not care.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
pub(crate) const EPOCH: LeaderEpoch = LeaderEpoch(3);
pub(crate) const CLIENT: AppendOrigin = AppendOrigin::Client { trusted: true };
pub(crate) const WIRE: AppendOrigin = AppendOrigin::Client { trusted: false };

pub(crate) fn orders() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

/// A log in memory with default settings but for what `change` does to them.
pub(crate) fn log_with(change: impl FnOnce(&mut LogConfig)) -> Log {
    let mut config = LogConfig::default();
    change(&mut config);
    Log::in_memory(orders(), Arc::new(config), NOW_MS)
}

/// One record each of `(timestamp, value)`, keyed.
pub(crate) fn batch_with(records: &[(i64, &str)], options: SealOptions) -> RecordBatch {
    raw_batch(&records.iter().map(|&(timestamp, value)| (timestamp, Some("key"), value)).collect::<Vec<_>>(), options)
}

/// One record each of `(timestamp, key, value)`.
pub(crate) fn raw_batch(records: &[(i64, Option<&str>, &str)], options: SealOptions) -> RecordBatch {
    let mut builder = BatchBuilder::new(Block::unpooled(64 * 1024));
    for (timestamp, key, value) in records {
        builder
            .try_append(*timestamp, key.map(str::as_bytes), Some(value.as_bytes()), std::iter::empty())
            .expect("records of tests are small");
    }
    builder.seal(options).expect("a batch with records")
}

/// A batch of records at these timestamps.
pub(crate) fn batch_at(timestamps: &[i64]) -> RecordBatch {
    let records: Vec<_> = timestamps.iter().map(|&timestamp| (timestamp, "value")).collect();
    batch_with(&records, SealOptions::default())
}

/// A batch of `count` records now.
pub(crate) fn batch(count: usize) -> RecordBatch {
    batch_at(&vec![NOW_MS; count])
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(producer_id: i64, epoch: i16, base_sequence: i32, count: usize) -> RecordBatch {
    let producer = Some((ProducerId(producer_id), ProducerEpoch(epoch), base_sequence));
    batch_with(&vec![(NOW_MS, "value"); count], SealOptions { producer, ..SealOptions::default() })
}

/// A batch of a transaction.
pub(crate) fn transactional(producer_id: i64, epoch: i16, base_sequence: i32, count: usize) -> RecordBatch {
    let producer = Some((ProducerId(producer_id), ProducerEpoch(epoch), base_sequence));
    let options = SealOptions { producer, transactional: true, ..SealOptions::default() };
    batch_with(&vec![(NOW_MS, "value"); count], options)
}

impl Log {
    /// Appends as a trusted producer, now.
    pub(crate) fn append(&mut self, batch: RecordBatch) -> Result<LogAppendInfo, LogError> {
        self.append_as_leader(batch, EPOCH, CLIENT, NOW_MS)
    }

    /// Base offsets of the batches that a read returns.
    pub(crate) fn read_bases(&self, start: Offset, max_bytes: usize, end: Offset, min_one: bool) -> Vec<Offset> {
        let mut batches = Vec::new();
        self.read(start, max_bytes, end, min_one, &mut batches).expect("start is in range");
        batches.iter().map(|batch| batch.header().base_offset()).collect()
    }

    /// Base offsets of all batches that can be read.
    pub(crate) fn all_bases(&self) -> Vec<Offset> {
        self.read_bases(self.log_start(), usize::MAX, self.log_end(), false)
    }

    /// Where the segments begin.
    pub(crate) fn segment_bases(&self) -> Vec<Offset> {
        self.segments.iter().map(|segment| segment.base_offset()).collect()
    }

    /// How many producers the log remembers.
    #[cfg(test)]
    pub(crate) fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// The epoch of the last leader known to the log.
    pub(crate) fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// As if a single replica had been told.
    pub(crate) fn replicate_all(&mut self) {
        self.maybe_increment_high_watermark(self.log_end());
    }
}
