//! [`PartitionHandle`]: one partition's replica on one broker, locked and shared. What both doors call.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::broker::{Account, Clock, FetchWaiter, PublishedOffsets, Token, Traffic, Waiters};
use crate::config::LogConfig;
use crate::error::{Error, ErrorCode};
use crate::log::{ActiveProducer, AppendOrigin, Compaction, CompactionLimits};
use crate::partition::{Partition, PartitionError, PartitionRegistration};
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

/// One partition's replica on one broker.
///
/// A short lock around the state machine; the offsets are published beside it, so that a reader with nothing to read
/// takes no lock. Wakers found while the lock is held are fired after it is released.
#[derive(Debug)]
pub(crate) struct PartitionHandle {
    pub(super) topic_partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) clock: Clock,
    pub(super) offsets: PublishedOffsets,
    waiters: Waiters,
    /// `None` for internal topics, whose memory is not limited.
    pub(super) account: Option<Account>,
    pub(super) traffic: Traffic,
    created_ms: i64,
    /// When the last compaction was through.
    compacted_ms: AtomicI64,
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
            compacted_ms: AtomicI64::new(i64::MIN),
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
        mut batch: RecordBatch,
        acks: Acks,
        origin: AppendOrigin,
        wakes: &mut WakeList,
    ) -> Result<AppendInfo, Error> {
        let (mut partition, sent_bytes) = (self.lock()?, batch.size_in_bytes() as u64);
        if let Some(codec) = partition.recompresses_with(&batch) {
            // It takes long, so nobody waits for it. What fails here fails again below, in its turn.
            drop(partition);
            batch = batch.recompress(codec, None, RecordBatch::MAX_DECOMPRESSED_SIZE).unwrap_or(batch);
            partition = self.lock()?;
        }
        // Under the lock, so that what is stamped with it ascends as the offsets do.
        let (mut now_ms, mut log_end) = (self.clock.now_ms(), partition.log_end());
        let mut attempts = 0;
        let outcome = loop {
            let account = self.account.as_ref().filter(|account| account.is_limited());
            let again = account.map(|_| batch.clone());
            let mut refused = None;
            let outcome = partition.append_as_leader_if(batch, acks, origin, now_ms, |bytes| {
                refused = account.and_then(|account| Some((account, account.reserve(bytes).err()?, bytes)));
                refused.is_none()
            });
            let (Some((account, full, bytes)), Some(again)) = (refused, again) else { break outcome };
            drop(partition);
            attempts += 1;
            self.make_room(account, &full, bytes, attempts, wakes)?;
            (partition, batch) = (self.lock()?, again);
            (now_ms, log_end) = (self.clock.now_ms(), partition.log_end());
        };
        match &outcome {
            Ok(_) => self.traffic.on_append((partition.log_end() - log_end) as u64, sent_bytes),
            Err(error) => self.traffic.on_append_failed(error.code()),
        }
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
        let parked = self.waiters.parked();
        let reached = || match self.offsets.high_watermark() >= required_offset {
            true => Some(Ok(())),
            false => self.lock().err().map(Err),
        };
        poll_fn(|cx| {
            if let Some(result) = reached() {
                return Poll::Ready(result);
            }
            parked.register(cx.waker());
            reached().map_or(Poll::Pending, Poll::Ready)
        })
        .await
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
            Err(error) => self.traffic.on_read_failed(error.code()),
        }
        drop(partition);
        read.map_err(|error| self.error(error.code(), error))
    }

    /// Registers a reader that is not registered: it is told once, under this token, of the next change that readers care
    /// about (data visible, log start moved, replica gone), and must register again after that. Check, register, check
    /// again.
    pub(crate) fn register(&self, waiter: &Arc<FetchWaiter>, token: Token) {
        self.waiters.register_as(waiter, token);
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

    /// The log start and its leader epoch: ListOffsets -2.
    pub(crate) fn earliest(&self) -> Result<(Offset, Option<LeaderEpoch>), Error> {
        Ok(self.lock()?.earliest())
    }

    /// The record with the largest timestamp (the first of equals): ListOffsets -3.
    pub(crate) fn max_timestamp(&self, isolation: IsolationLevel) -> Result<Option<(Offset, i64, LeaderEpoch)>, Error> {
        let partition = self.lock()?;
        let found = partition.max_timestamp(isolation).map_err(|error| self.error(error.code(), error))?;
        Ok(found.map(|found| (found.offset, found.timestamp, found.leader_epoch)))
    }

    /// What the leader remembers of producers, in order of id.
    pub(crate) fn active_producers(&self) -> Result<Vec<ActiveProducer>, Error> {
        self.lock()?.active_producers().map_err(|error| self.error(error.code(), error))
    }

    /// Bytes of the log, batch headers included.
    pub(crate) fn size_in_bytes(&self) -> Result<u64, Error> {
        Ok(self.lock()?.size_in_bytes())
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
        let mut wakes = WakeList::new();
        self.apply_retention_collecting(&mut wakes);
        wakes.wake_all();
    }

    /// As [`PartitionHandle::apply_retention`], for a caller who holds a lock of its own.
    pub(super) fn apply_retention_collecting(&self, wakes: &mut WakeList) {
        let now_ms = self.clock.now_ms();
        let log_start = self.offsets.log_start();
        // A replica that was deleted meanwhile has nothing to retain, and memory cannot fail; a store that does latches
        // offline, which the next append reports.
        drop(self.change_within(wakes, |partition| partition.apply_retention(now_ms)));
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

    /// How much the log is in need of compaction, from 0 to 1; `None` if it is not. Where batches are refused for want of
    /// memory, any dirt is a need, but not before `pause_ms` since the last run: what it frees may be little each time.
    /// The wake-ups are the caller's: a segment that is too old to wait for is rolled, and retention may follow.
    pub(crate) fn compaction_need(&self, pause_ms: i64, wakes: &mut WakeList) -> Result<Option<f64>, Error> {
        let now_ms = self.clock.now_ms();
        let wants_room = self.account.as_ref().is_some_and(Account::wants_room)
            && now_ms.saturating_sub(self.compacted_ms.load(Ordering::Relaxed)) >= pause_ms;
        self.change_within(wakes, |partition| partition.compaction_need(now_ms, wants_room))
    }

    /// Begins to compact the log. The lock is held for as long as it takes to look at each segment, not at what is in it.
    pub(crate) fn begin_compaction(&self, limits: CompactionLimits) -> Result<Option<Compaction>, Error> {
        let now_ms = self.clock.now_ms();
        let mut partition = self.lock()?;
        partition.begin_compaction(limits, now_ms).map_err(|error| self.error(error.code(), error))
    }

    /// Lets a compaction that is through take effect; false if the log has become another meanwhile. The wake-ups, of those
    /// who wait for room, are the caller's, who holds the cleaner's lock.
    pub(crate) fn finish_compaction(&self, compaction: &mut Compaction, wakes: &mut WakeList) -> Result<bool, Error> {
        self.compacted_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        self.change_within(wakes, |partition| partition.finish_compaction(compaction))
    }

    /// Takes the log out of compaction: a batch in it cannot be read. False if the log has become another meanwhile.
    pub(crate) fn give_up_compaction(&self, compaction: &Compaction) -> bool {
        self.lock().is_ok_and(|mut partition| partition.give_up_compaction(compaction))
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
        let mut is_limit_raised = false;
        self.change(wakes, |partition| {
            if let Some(account) = &self.account {
                is_limit_raised = account.set_topic_limit(config.memory_max_bytes);
            }
            partition.update_config(Arc::clone(config));
            partition.apply(registration, now_ms).map_err(|error| self.error(error.code(), error))?;
            Ok(())
        })?;
        if is_limit_raised {
            self.on_freed(wakes);
        }
        Ok(())
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

    /// When this broker got the replica.
    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Runs a change under the lock, publishes the offsets and collects the readers to wake.
    pub(super) fn change<T>(
        &self,
        wakes: &mut WakeList,
        change: impl FnOnce(&mut Partition) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now_ms = self.clock.now_ms();
        let (result, freed) = {
            let mut partition = self.lock()?;
            let result = change(&mut partition);
            (result, self.settle(&mut partition, now_ms))
        };
        self.waiters.drain(wakes);
        if freed {
            self.on_freed(wakes);
        }
        result
    }

    /// As [`PartitionHandle::change`], for what moves no offset by itself: readers are woken only if the change went on to
    /// delete segments, as rolling does.
    fn change_within<T>(
        &self,
        wakes: &mut WakeList,
        change: impl FnOnce(&mut Partition) -> Result<T, PartitionError>,
    ) -> Result<T, Error> {
        let now_ms = self.clock.now_ms();
        let (result, moved, freed) = {
            let mut partition = self.lock()?;
            let log_start = self.offsets.log_start();
            let result = change(&mut partition);
            let freed = self.settle(&mut partition, now_ms);
            (result, self.offsets.log_start() != log_start, freed)
        };
        if moved {
            self.waiters.drain(wakes);
        }
        if freed {
            self.on_freed(wakes);
        }
        result.map_err(|error| self.error(error.code(), error))
    }

    fn change_and_wake<T>(&self, change: impl FnOnce(&mut Partition) -> Result<T, Error>) -> Result<T, Error> {
        let mut wakes = WakeList::new();
        let result = self.change(&mut wakes, change);
        wakes.wake_all();
        result
    }

    pub(super) fn lock(&self) -> Result<MappedMutexGuard<'_, Partition>, Error> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| {
            Error::from(ErrorCode::UnknownTopicOrPartition).with_topic_partition(self.topic_partition.clone())
        })
    }

    pub(super) fn error(&self, code: ErrorCode, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(code, cause.to_string()).with_topic_partition(self.topic_partition.clone()).with_source(cause)
    }
}
