//! A partition's side of the [memory limits](crate::broker::Memory).

use crate::broker::memory::Budget;
use crate::broker::{Account, MemoryPolicy, PartitionHandle};
use crate::error::{Error, ErrorCode};
use crate::partition::Partition;
use crate::util::wake_list::WakeList;

impl PartitionHandle {
    /// When the oldest segment was last appended to, in ms; `None` if it may not be evicted.
    pub(super) fn oldest_segment_ms(&self) -> Option<i64> {
        self.lock().ok()?.releasable_since()
    }

    /// Deletes the oldest segment, if it may go. Returns its bytes.
    pub(super) fn evict_oldest_segment(&self, wakes: &mut WakeList) -> u64 {
        let now_ms = self.clock.now_ms();
        let evicted = self.change(wakes, |partition| {
            let before = partition.size_in_bytes();
            partition.release_oldest(now_ms).map_err(|error| self.error(error.code(), error))?;
            Ok(before - partition.size_in_bytes())
        });
        // A replica that was deleted meanwhile has freed everything by itself.
        evicted.unwrap_or(0)
    }

    /// There is no room for a batch: makes some, or says what the policy says. Call with no lock held.
    #[cold]
    pub(super) fn make_room(
        &self,
        account: &Account,
        full: &Budget,
        bytes: u64,
        attempts: u32,
        wakes: &mut WakeList,
    ) -> Result<(), Error> {
        /// Others may take the room that was made; they make progress, then.
        const MAX_ATTEMPTS: u32 = 16;
        let memory = &account.memory;
        let fits_at_all = bytes <= full.raw_limit();
        if fits_at_all {
            if attempts <= MAX_ATTEMPTS && memory.make_room(full, bytes, self.clock.now_ms(), wakes) {
                return Ok(());
            }
            full.want(bytes);
        }
        memory.on_refused();
        let code = match memory.policy {
            MemoryPolicy::Block | MemoryPolicy::Retain if fits_at_all => ErrorCode::KafkaStorageError,
            _ => ErrorCode::PolicyViolation,
        };
        // What was counted of a deleted replica stays as it was.
        if let Ok(_partition) = self.lock() {
            self.traffic.on_append_failed(code);
        }
        let (used, limit) = (full.used(), full.raw_limit());
        let whose = if std::ptr::eq(full, &**account.topic()) { self.topic_partition.topic() } else { "the cluster" };
        let text = format!(
            "a batch of {bytes} bytes for {} does not fit: {whose} holds {used} of {limit} bytes",
            self.topic_partition
        );
        Err(Error::new(code, text).with_topic_partition(self.topic_partition.clone()))
    }

    /// Ends a change: publishes the offsets and accounts for the log's size. True if something was freed.
    ///
    /// Publishing comes after the last thing that can move an offset: a roll deletes what `retention.bytes` does not keep.
    #[inline]
    pub(super) fn settle(&self, partition: &mut Partition, now_ms: i64) -> bool {
        if let Some(bytes) = self.account.as_ref().and_then(Account::roll_at) {
            // Memory does not fail, and a store that does latches offline, which the next append reports.
            drop(partition.roll_beyond(bytes, now_ms));
        }
        self.offsets.publish(partition);
        let Some(account) = &self.account else { return false };
        let freed = account.settle(partition.size_in_bytes());
        if freed {
            // What does not count any more must not be held any longer, either.
            drop(partition.reclaim());
        }
        freed
    }

    pub(super) fn on_freed(&self, wakes: &mut WakeList) {
        if let Some(account) = &self.account {
            account.memory.on_freed(wakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::{Clock, FetchWaiter, Memory};
    use crate::config::{CleanupPolicy, LogConfig};
    use crate::partition::PartitionRegistration;
    use crate::record::{BatchBuilder, RecordBatch, SealOptions};
    use crate::types::{
        Acks, BrokerId, IsolationLevel, LeaderEpoch, ProducerEpoch, ProducerId, TopicId, TopicPartition,
    };
    use crate::util::block_pool::Block;

    const NODE: BrokerId = BrokerId(1);

    fn partition(memory: &Arc<Memory>, config: LogConfig) -> PartitionHandle {
        let (clock, id, config) = (Clock::start(), TopicId::from_u128(1), Arc::new(config));
        let topic_partition = TopicPartition::new("t", 0);
        let partition = Partition::new(topic_partition, id, NODE, 30_000, Arc::clone(&config), clock.now_ms());
        let handle = PartitionHandle::new(partition, clock, Some(memory.open_account(id)));
        let registration = PartitionRegistration {
            leader: NODE,
            leader_epoch: LeaderEpoch(0),
            replicas: vec![NODE],
            isr: vec![NODE],
            partition_epoch: 0,
        };
        handle.apply(&registration, &config, &mut WakeList::new()).unwrap();
        handle
    }

    fn append(partition: &PartitionHandle, size: usize) {
        partition.append(sealed(size, SealOptions::default()), Acks::All).unwrap();
    }

    /// What is published and what the log says.
    fn log_starts(partition: &PartitionHandle) -> (i64, i64) {
        (partition.offsets().log_start(), partition.earliest().unwrap().0)
    }

    fn sealed(size: usize, options: SealOptions) -> RecordBatch {
        let mut builder = BatchBuilder::new(Block::unpooled(size + 100));
        builder.try_append(0, Some(b"k"), Some(&vec![b'v'; size]), std::iter::empty()).unwrap();
        builder.seal(options).unwrap()
    }

    #[tokio::test]
    async fn room_that_another_gave_back_meanwhile_is_tried_again() {
        for policy in [MemoryPolicy::Block, MemoryPolicy::Refuse, MemoryPolicy::Retain] {
            let memory = Memory::new(Some(1_000), policy);
            let config = LogConfig { memory_max_bytes: Some(500), ..LogConfig::default() };
            let (partition, other) = (partition(&memory, config), memory.open_account(TopicId::from_u128(1)));
            let account = partition.account().unwrap();
            other.reserve(450).unwrap();
            let full = account.reserve(100).unwrap_err();
            other.settle(0);
            let room = |attempts| partition.make_room(account, &full, 100, attempts, &mut WakeList::new());
            assert!(room(1).is_ok() && room(16).is_ok(), "{policy:?}");
            // Not for ever, and not what is larger than the limit.
            assert!(room(17).is_err(), "{policy:?}");
            let error = partition.make_room(account, &full, 501, 1, &mut WakeList::new()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::PolicyViolation);
        }
    }

    /// A producer that did not hear of its batch sends it again, when there may be no room for a second one.
    #[tokio::test]
    async fn a_duplicate_needs_no_room() {
        let memory = Memory::new(Some(1_500), MemoryPolicy::Refuse);
        let partition = partition(&memory, LogConfig::default());
        let batch = |sequence| {
            let producer = Some((ProducerId(7), ProducerEpoch(0), sequence));
            sealed(1_000, SealOptions { producer, ..SealOptions::default() })
        };
        for _ in 0..2 {
            assert_eq!(partition.append(batch(0), Acks::All).unwrap().base_offset, 0);
        }
        assert_eq!(partition.append(batch(1), Acks::All).unwrap_err().code(), ErrorCode::PolicyViolation);
        // Nor does one that is refused for what it is.
        assert_eq!(partition.append(batch(5), Acks::All).unwrap_err().code(), ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(memory.counts(), (1, 0));
        let counts = partition.traffic().counts();
        assert_eq!((counts.produce_requests, counts.failed_produce_requests, counts.messages_in), (4, 2, 1));
        assert_eq!(memory.cluster().unwrap().used(), partition.size_in_bytes().unwrap());
    }

    /// Symptom: each append to a topic with a codec of its own woke everybody who waited for room. Cause: more was taken
    /// than the batch needed, and the rest was given back.
    #[cfg(feature = "lz4")]
    #[tokio::test]
    async fn a_batch_that_is_recompressed_takes_what_it_needs_and_frees_nothing() {
        let memory = Memory::new(Some(1 << 20), MemoryPolicy::Block);
        let compression = Some(crate::types::CompressionType::Lz4);
        let partition = partition(&memory, LogConfig { compression, ..LogConfig::default() });
        let version = memory.space_version();
        partition.append(sealed(10_000, SealOptions::default()), Acks::All).unwrap();
        assert_eq!(memory.space_version(), version);
        let size = partition.size_in_bytes().unwrap();
        assert!(size < 1_000, "{size}");
        assert_eq!(memory.cluster().unwrap().used(), size);
    }

    #[tokio::test]
    async fn reads_that_are_refused_for_their_offset_did_not_fail() {
        let partition = partition(&Memory::new(None, MemoryPolicy::Block), LogConfig::default());
        let error = partition.read(5, 1, IsolationLevel::ReadUncommitted, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
        partition.traffic().on_read_failed(ErrorCode::CorruptMessage);
        let counts = partition.traffic().counts();
        assert_eq!((counts.fetch_requests, counts.failed_fetch_requests), (2, 1));
    }

    #[tokio::test]
    async fn a_log_start_that_a_roll_for_the_limit_raises_is_published() {
        let memory = Memory::new(Some(1 << 20), MemoryPolicy::Retain);
        let config = LogConfig { retention_bytes: Some(64 << 10), ..LogConfig::default() };
        let partition = partition(&memory, config);
        let mut raised = 0;
        for _ in 0..40 {
            let before = log_starts(&partition).0;
            append(&partition, 16 << 10);
            let (published, actual) = log_starts(&partition);
            assert_eq!(published, actual);
            raised += u32::from(actual > before);
        }
        assert!(raised > 5, "{raised}");
        assert_eq!(memory.cluster().unwrap().used(), partition.size_in_bytes().unwrap());
    }

    #[tokio::test]
    async fn a_log_start_that_the_look_for_compaction_raises_is_published_accounted_and_told() {
        let memory = Memory::new(Some(1 << 20), MemoryPolicy::Block);
        let partition = partition(
            &memory,
            LogConfig {
                cleanup_policy: CleanupPolicy { delete: true, compact: true },
                retention_bytes: Some(0),
                max_compaction_lag_ms: 1_000,
                // Not before the look.
                segment_ms: i64::MAX,
                ..LogConfig::default()
            },
        );
        let mut builder = BatchBuilder::new(Block::unpooled(1_000));
        let now_ms = partition.clock.now_ms();
        builder.try_append(now_ms, Some(b"k"), Some(b"v"), std::iter::empty()).unwrap();
        partition.append(builder.seal(SealOptions::default()).unwrap(), Acks::All).unwrap();
        let waiter = Arc::new(FetchWaiter::default());
        partition.register(&waiter, crate::broker::Token { epoch: 0, index: 0 });
        waiter.set_waker(std::task::Waker::noop());
        // Nothing moves, so nobody is told.
        let mut wakes = WakeList::new();
        assert_eq!(partition.compaction_need(0, &mut wakes).unwrap(), None);
        assert_eq!(log_starts(&partition), (0, 0));
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert!(waiter.take_waker().is_some());
        waiter.set_waker(std::task::Waker::noop());
        assert_eq!(partition.compaction_need(0, &mut wakes).unwrap(), None);
        assert_eq!(log_starts(&partition), (1, 1));
        assert_eq!(memory.cluster().unwrap().used(), 0);
        assert!(waiter.take_waker().is_none(), "it was collected");
        wakes.wake_all();
    }
}
