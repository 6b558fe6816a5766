//! [`PartitionHandle`]: one partition's replica on one broker, locked and shared. What both doors call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::broker::memory::Budget;
use crate::broker::{Account, Clock, FetchWaiter, MemoryPolicy, PublishedOffsets, Traffic, TrafficCounts, Waiters};
use crate::config::LogConfig;
use crate::error::{Error, ErrorCode};
use crate::log::AppendOrigin;
use crate::partition::{Partition, PartitionRegistration};
use crate::record::RecordBatch;
use crate::types::{Acks, IsolationLevel, LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::util::trace;
use crate::util::wake_list::WakeList;

/// What an append brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendInfo {
    /// Offset of the batch's first record. For a duplicate of an idempotent producer, the original's.
    pub(crate) base_offset: Offset,
    /// `Some` with `message.timestamp.type=LogAppendTime`: every record's timestamp.
    pub(crate) log_append_time: Option<i64>,
    /// Whether the requested acks are already reached; if not, wait for the high watermark to pass the batch.
    pub(crate) acked: bool,
    /// The offset that the high watermark must reach for `acks=all`.
    pub(crate) required_offset: Offset,
}

/// How a replica stands.
#[derive(Clone, Debug)]
pub(crate) struct PartitionStats {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) size_in_bytes: u64,
    pub(crate) segments: usize,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// `Some` on the leader: how many replicas are in sync.
    pub(crate) in_sync: Option<usize>,
    pub(crate) replicas: usize,
    /// `min.insync.replicas`, as far as there are replicas.
    pub(crate) min_in_sync: usize,
    /// There is no leader.
    pub(crate) is_offline: bool,
    pub(crate) traffic: TrafficCounts,
    /// When this broker got the replica.
    pub(crate) created_ms: i64,
    /// Used bytes and limit of its topic, if that has a limit.
    pub(crate) topic_memory: Option<(u64, u64)>,
}

/// One partition's replica on one broker.
///
/// A short lock around the state machine; the offsets are published beside it, so that a reader with nothing to read
/// takes no lock. Wakers found while the lock is held are fired after it is released.
#[derive(Debug)]
pub(crate) struct PartitionHandle {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    clock: Clock,
    offsets: PublishedOffsets,
    waiters: Waiters,
    /// `None` for internal topics, whose memory is not limited.
    account: Option<Account>,
    traffic: Traffic,
    created_ms: i64,
    /// `None` once the topic is deleted: clients may hold the handle for a while, but not the data.
    state: Mutex<Option<Partition>>,
}

impl PartitionHandle {
    pub(crate) fn new(partition: Partition, clock: Clock, account: Option<Account>) -> Self {
        Self {
            topic_partition: partition.topic_partition().clone(),
            topic_id: partition.topic_id(),
            clock,
            offsets: PublishedOffsets::new(&partition),
            waiters: Waiters::default(),
            account,
            traffic: Traffic::default(),
            created_ms: clock.now_ms(),
            state: Mutex::new(Some(partition)),
        }
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    #[inline]
    pub(crate) fn offsets(&self) -> &PublishedOffsets {
        &self.offsets
    }

    /// Appends one batch that a client in this process built. Errors carry Kafka's code and the partition.
    pub(crate) fn append(&self, batch: RecordBatch, acks: Acks) -> Result<AppendInfo, Error> {
        let mut wakes = WakeList::new();
        let result = self.append_collecting(batch, acks, AppendOrigin::Client { trusted: true }, &mut wakes);
        wakes.wake_all();
        if let Err(error) = &result {
            self.trace_refusal(error);
        }
        result
    }

    /// Appends one batch and leaves the wake-ups to the caller, who holds a lock of its own.
    pub(crate) fn append_collecting(
        &self,
        batch: RecordBatch,
        acks: Acks,
        origin: AppendOrigin,
        wakes: &mut WakeList,
    ) -> Result<AppendInfo, Error> {
        let now_ms = self.clock.now_ms();
        let (mut partition, bytes) = (self.lock()?, batch.size_in_bytes() as u64);
        if let Some(account) = &self.account {
            let mut attempts = 0;
            while let Err(full) = account.reserve(bytes) {
                drop(partition);
                attempts += 1;
                self.make_room(account, &full, bytes, attempts, wakes)?;
                partition = self.lock()?;
            }
        }
        let log_end = partition.log_end();
        let outcome = partition.append_as_leader(batch, acks, origin, now_ms);
        match &outcome {
            Ok(_) => self.traffic.on_append((partition.log_end() - log_end) as u64, bytes),
            Err(_) => self.traffic.on_append_failed(),
        }
        self.offsets.publish(&partition);
        let freed = self.settle(&mut partition, now_ms);
        drop(partition);
        if freed {
            self.on_freed(wakes);
        }
        let outcome = outcome.map_err(|error| self.error(error.code(), error))?;
        if outcome.high_watermark_advanced {
            self.waiters.drain(wakes);
        }
        Ok(AppendInfo {
            base_offset: outcome.base_offset,
            log_append_time: outcome.log_append_time,
            acked: outcome.acked,
            required_offset: outcome.required_offset,
        })
    }

    /// Waits until the high watermark reaches `required_offset` (see [`AppendInfo`]).
    /// `UNKNOWN_TOPIC_OR_PARTITION` if the replica is deleted meanwhile.
    pub(crate) async fn wait_for_high_watermark(&self, required_offset: Offset) -> Result<(), Error> {
        let waiter = Arc::new(FetchWaiter::default());
        let reached = || match self.offsets.high_watermark() >= required_offset {
            true => Some(Ok(())),
            false => self.lock().err().map(Err),
        };
        let result = poll_fn(|cx| {
            if let Some(result) = reached() {
                return Poll::Ready(result);
            }
            waiter.set_waker(cx.waker());
            self.waiters.register(&waiter);
            reached().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.waiters.unregister(&waiter);
        result
    }

    /// Pushes whole batches from the one that holds `position` on, up to the visible end, onto `batches`, until
    /// `max_bytes` are reached; at least one batch if there is any (KIP-74). Returns the bytes pushed.
    /// `OFFSET_OUT_OF_RANGE` outside log start and log end.
    pub(crate) fn read(
        &self,
        position: Offset,
        max_bytes: usize,
        isolation: IsolationLevel,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<usize, Error> {
        let partition = self.lock()?;
        let read = partition.read(position, max_bytes, isolation, batches);
        match &read {
            Ok(bytes) => self.traffic.on_read(*bytes as u64),
            Err(_) => self.traffic.on_read_failed(),
        }
        drop(partition);
        read.map_err(|error| self.error(error.code(), error))
    }

    /// Registers a parked reader: it is woken once by the next change that readers care about (data visible, log start
    /// moved, replica gone), and must register again after that. Check, register, check again.
    pub(crate) fn register(&self, waiter: &Arc<FetchWaiter>) {
        self.waiters.register(waiter);
    }

    /// Removes a waiter that gives up waiting.
    pub(crate) fn unregister(&self, waiter: &Arc<FetchWaiter>) {
        self.waiters.unregister(waiter);
    }

    /// First offset whose record has a timestamp of at least `timestamp`, with that timestamp and its leader epoch;
    /// only visible records count.
    pub(crate) fn offset_for_timestamp(
        &self,
        timestamp: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<(Offset, i64, LeaderEpoch)>, Error> {
        let partition = self.lock()?;
        let found =
            partition.offset_for_timestamp(timestamp, isolation).map_err(|error| self.error(error.code(), error))?;
        Ok(found.map(|found| (found.offset, found.timestamp, found.leader_epoch)))
    }

    /// The record with the largest timestamp (the first of equals): ListOffsets -3.
    pub(crate) fn max_timestamp(&self, isolation: IsolationLevel) -> Result<Option<(Offset, i64, LeaderEpoch)>, Error> {
        let partition = self.lock()?;
        let found = partition.max_timestamp(isolation).map_err(|error| self.error(error.code(), error))?;
        Ok(found.map(|found| (found.offset, found.timestamp, found.leader_epoch)))
    }

    /// Raises the log start to `before_offset` (-1: the high watermark) and returns the new log start.
    pub(crate) fn delete_records(&self, before_offset: Offset) -> Result<Offset, Error> {
        let now_ms = self.clock.now_ms();
        self.change_and_wake(|partition| {
            partition.delete_records(before_offset, now_ms).map_err(|error| self.error(error.code(), error))
        })
    }

    /// Drops what `retention.ms` and `retention.bytes` no longer keep.
    pub(crate) fn apply_retention(&self) {
        let now_ms = self.clock.now_ms();
        let log_start = self.offsets.log_start();
        // A replica that was deleted meanwhile has nothing to retain, and memory cannot fail; a store that does latches
        // offline, which the next append reports.
        drop(self.change_and_wake(|partition| {
            partition.apply_retention(now_ms).map_err(|error| self.error(error.code(), error))
        }));
        let new_log_start = self.offsets.log_start();
        if new_log_start > log_start {
            trace::event!(
                INFO,
                "retention deleted segments",
                topic = self.topic_partition.topic(),
                partition = self.topic_partition.partition(),
                from = log_start,
                log_start = new_log_start
            );
        }
    }

    /// Takes over what the controller decided about this partition. The wake-ups are the caller's, who holds the
    /// controller's lock.
    pub(crate) fn apply(
        &self,
        registration: &PartitionRegistration,
        config: &Arc<LogConfig>,
        wakes: &mut WakeList,
    ) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        self.change(wakes, |partition| {
            if let Some(account) = &self.account {
                account.set_topic_limit(config.memory_max_bytes);
            }
            partition.update_config(Arc::clone(config));
            partition.apply(registration, now_ms).map_err(|error| self.error(error.code(), error))?;
            Ok(())
        })
    }

    /// Lets go of the data: the topic is deleted. Whoever waits finds out once the wake-ups are fired.
    pub(crate) fn delete(&self, wakes: &mut WakeList) {
        let (partition, freed) = {
            let mut state = self.state.lock();
            (state.take(), self.account.as_ref().is_some_and(|account| account.settle(0)))
        };
        self.waiters.drain(wakes);
        drop(partition);
        if freed {
            self.on_freed(wakes);
        }
    }

    #[cold]
    fn trace_refusal(&self, error: &Error) {
        trace::event!(
            WARN,
            "batch refused",
            topic = self.topic_partition.topic(),
            partition = self.topic_partition.partition(),
            error = trace::display(error)
        );
    }

    /// How it stands; `None` once it is deleted.
    pub(crate) fn stats(&self) -> Option<PartitionStats> {
        let topic_memory = self.account.as_ref().and_then(|account| {
            let budget = account.topic();
            Some((budget.used(), budget.limit()?))
        });
        let partition = self.lock().ok()?;
        Some(PartitionStats {
            topic_partition: self.topic_partition.clone(),
            topic_id: self.topic_id,
            size_in_bytes: partition.size_in_bytes(),
            segments: partition.segment_count(),
            log_start: partition.log_start(),
            log_end: partition.log_end(),
            in_sync: partition.in_sync_count(),
            replicas: partition.replication_factor(),
            min_in_sync: partition.effective_min_isr(),
            is_offline: partition.leader().is_none(),
            traffic: self.traffic.counts(),
            created_ms: self.created_ms,
            topic_memory,
        })
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

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
    fn make_room(
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
        if memory.policy == MemoryPolicy::Retain
            && fits_at_all
            && attempts <= MAX_ATTEMPTS
            && memory.make_room(full, bytes, wakes)
        {
            return Ok(());
        }
        memory.on_refused();
        let code = match memory.policy {
            MemoryPolicy::Block | MemoryPolicy::Retain if fits_at_all => ErrorCode::KafkaStorageError,
            _ => ErrorCode::PolicyViolation,
        };
        let (used, limit) = (full.used(), full.raw_limit());
        let whose = if std::ptr::eq(full, &**account.topic()) { self.topic_partition.topic() } else { "the cluster" };
        let text = format!(
            "a batch of {bytes} bytes for {} does not fit: {whose} holds {used} of {limit} bytes",
            self.topic_partition
        );
        Err(Error::new(code, text).with_topic_partition(self.topic_partition.clone()))
    }

    /// Accounts for the log's size after a change. True if something was freed.
    #[inline]
    fn settle(&self, partition: &mut Partition, now_ms: i64) -> bool {
        let Some(account) = &self.account else { return false };
        if let Some(bytes) = account.roll_at() {
            // Memory does not fail, and a store that does latches offline, which the next append reports.
            drop(partition.roll_beyond(bytes, now_ms));
        }
        let freed = account.settle(partition.size_in_bytes());
        if freed {
            // What does not count any more must not be held any longer, either.
            drop(partition.reclaim());
        }
        freed
    }

    fn on_freed(&self, wakes: &mut WakeList) {
        if let Some(account) = &self.account {
            account.memory.on_freed(wakes);
        }
    }

    /// Runs a change under the lock, publishes the offsets and collects the readers to wake.
    fn change<T>(
        &self,
        wakes: &mut WakeList,
        change: impl FnOnce(&mut Partition) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now_ms = self.clock.now_ms();
        let (result, freed) = {
            let mut partition = self.lock()?;
            let result = change(&mut partition);
            self.offsets.publish(&partition);
            (result, self.settle(&mut partition, now_ms))
        };
        self.waiters.drain(wakes);
        if freed {
            self.on_freed(wakes);
        }
        result
    }

    fn change_and_wake<T>(&self, change: impl FnOnce(&mut Partition) -> Result<T, Error>) -> Result<T, Error> {
        let mut wakes = WakeList::new();
        let result = self.change(&mut wakes, change);
        wakes.wake_all();
        result
    }

    fn lock(&self) -> Result<MappedMutexGuard<'_, Partition>, Error> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| {
            Error::from(ErrorCode::UnknownTopicOrPartition).with_topic_partition(self.topic_partition.clone())
        })
    }

    fn error(&self, code: ErrorCode, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(code, cause.to_string()).with_topic_partition(self.topic_partition.clone()).with_source(cause)
    }
}
