//! [`Shared`]: what all handles of one producer share, and the path of a record into its batch.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::sync::Semaphore;

use crate::client::partition_info::PartitionInfo;
use crate::client::producer::batch::OpenBatch;
use crate::client::producer::config::Settings;
use crate::client::producer::delivery::{Callback, Delivery, Outcome, producer_closed};
use crate::client::producer::driver::Driver;
use crate::client::producer::identity::ProducerIdentity;
use crate::client::producer::memory::{BufferMemory, Grant};
use crate::client::producer::metrics::ProducerMetrics;
use crate::client::producer::signal::Signal;
use crate::client::producer::slot::{Ack, InFlight, Slot, SlotState};
use crate::client::producer::topic::{Topic, Topics};
use crate::client::producer::{Deliveries, Partitioning, ProducerRecord};
use crate::cluster::{Clock, Cluster, MetadataImage, validate_topic_name};
use crate::error::{Error, ErrorCode};
use crate::record::{BatchBuilder, BatchHeader};
use crate::util::block_pool::{Block, BlockPool};
use crate::util::coarse_time;
use crate::util::murmur2::partition_for_key;
use crate::util::sync::MutexGuard;

/// Everything that the handles of one producer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) settings: Settings,
    pub(super) topics: Topics,
    pub(super) memory: BufferMemory,
    pub(super) identity: ProducerIdentity,
    pub(super) driver: Arc<Driver>,
    pub(super) metrics: ProducerMetrics,
    /// Set by the first `close`: no more records are taken.
    closed: Signal,
    /// Never has permits, and is closed with the producer: `acquire` resolves for everyone who waits for something else.
    closing: Semaphore,
    /// Set when nothing more is sent and whatever is left fails.
    terminated: AtomicBool,
    /// Whether what is left is offered to its leader before it fails.
    last_call: AtomicBool,
    /// `None` for batches so small that the allocator serves them as well.
    blocks: Option<Arc<BlockPool>>,
    /// Whether records may take the short way: see [`Shared::try_send_common`].
    is_common: bool,
    /// Whether every record that fits a block fits `max.request.size`.
    is_any_size_fine: bool,
    /// Bytes in a block: `batch.size` less the batch's header.
    block_size: usize,
}

/// Records that share one lock and one timestamp at most: some two microseconds' worth of 100 bytes.
const LONGEST_RUN: usize = 128;

/// Smaller blocks are not worth a pool: it reserves a place for each block that it may keep.
const SMALLEST_POOLED_BLOCK: usize = 4_000;

/// Why a record cannot be taken at once. Passed in a box: it is rare, and large next to what a taken record returns.
pub(super) enum Blocked {
    /// It can not be taken at all.
    Failed(Error),
    /// Topic or partition are missing from the metadata of this version.
    Metadata {
        version: i64,
        /// How many partitions there are, if the topic exists but has not the partition.
        partitions: Option<i32>,
    },
    /// This many bytes of `buffer.memory` are needed.
    Memory(usize),
}

/// What a record keeps from one attempt to the next.
#[derive(Default)]
pub(super) struct Attempt<'m> {
    /// Taken by the batch that takes the record.
    pub(super) callback: Option<Callback>,
    /// Memory for the batch that the record may have to open.
    pub(super) grant: Option<Grant<'m>>,
    /// The partition, once a partitioner that is not to be asked twice has chosen it.
    partition: Option<i32>,
}

impl Attempt<'_> {
    pub(super) fn with_callback(callback: Option<Callback>) -> Self {
        Self { callback, ..Self::default() }
    }
}

/// A record that was taken.
pub(super) struct Sent {
    pub(super) delivery: Delivery,
    /// Whether batches were sent on the way, which is work enough to think of other tasks.
    pub(super) worked: bool,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, settings: Settings, driver: Arc<Driver>) -> Self {
        let block_size = settings.batch_size.min(settings.buffer_memory).saturating_sub(BatchHeader::SIZE);
        let is_any_size_fine = block_size + BatchHeader::SIZE <= settings.max_request_size;
        Self {
            topics: Topics::new(settings.adaptive_partitioning, cluster.next_seed()),
            memory: BufferMemory::new(settings.buffer_memory),
            identity: ProducerIdentity::default(),
            driver,
            metrics: ProducerMetrics::new(&cluster, &settings.client_id),
            closed: Signal::default(),
            closing: Semaphore::new(0),
            terminated: AtomicBool::new(false),
            last_call: AtomicBool::new(false),
            blocks: (block_size >= SMALLEST_POOLED_BLOCK).then(|| cluster.block_pool(block_size)),
            block_size,
            is_common: matches!(settings.partitioning, Partitioning::Default)
                && !settings.linger.is_zero()
                && settings.interceptors.is_empty()
                && is_any_size_fine,
            is_any_size_fine,
            cluster,
            settings,
        }
    }

    /// Puts a record into an open batch that has room for it, with the default partitioner and a linger: what nearly every
    /// send comes to, and little code, so that it can be inlined. `None`, and nothing has happened, for anything else.
    #[inline(always)]
    pub(super) fn try_send_common(&self, record: &ProducerRecord<'_>) -> Option<Delivery> {
        // Before the lock: behind an atomic operation the processor would wait for the counter.
        let ticks = coarse_time::ticks();
        if !self.is_common {
            return None;
        }
        let topic = self.topics.find(record.topic, &self.cluster)?;
        let partition = self.common_partition(topic, record)?;
        let mut state = topic.slot(partition).lock();
        if self.is_closed() {
            return None;
        }
        Self::append_to_open(self.cluster.clock(), &mut state, record, &mut None, ticks)
    }

    /// The partition of a record that may take the short way.
    #[inline(always)]
    fn common_partition(&self, topic: &Topic, record: &ProducerRecord<'_>) -> Option<i32> {
        if record.timestamp.is_some_and(|timestamp| timestamp < 0) {
            return None;
        }
        let partitions = topic.partitions();
        if partitions <= 0 {
            return None;
        }
        let partition = match record.partition {
            Some(partition) => partition,
            None => self.default_partition(topic, record, partitions),
        };
        (0..partitions).contains(&partition).then_some(partition)
    }

    /// The same for the first of these records and those of its partition that follow, under one lock. Returns how many
    /// were taken.
    pub(super) fn try_send_run(&self, records: &[ProducerRecord<'_>], deliveries: &mut Deliveries) -> usize {
        let ticks = coarse_time::ticks();
        let Some(first) = records.first().filter(|_| self.is_common) else { return 0 };
        let Some(topic) = self.topics.find(first.topic, &self.cluster) else { return 0 };
        let Some(partition) = self.common_partition(topic, first) else { return 0 };
        let mut state = topic.slot(partition).lock();
        let SlotState { open, clock, .. } = &mut *state;
        let Some(open) = open.as_mut().filter(|_| !self.is_closed()) else { return 0 };
        let now_ms = clock.now_ms(self.cluster.clock(), ticks);
        let first_index = open.builder.count();
        for record in records.iter().take(LONGEST_RUN) {
            // Mostly it is the same `str`, not only an equal one.
            let is_same_topic = ptr::eq(record.topic, first.topic) || record.topic == first.topic;
            let follows = is_same_topic && self.common_partition(topic, record) == Some(partition);
            let timestamp = record.timestamp.unwrap_or(now_ms);
            let (key, value) = (record.key_bytes(), record.value_bytes());
            if !follows || open.append_index(timestamp, key, value, record.header_pairs()).is_none() {
                break;
            }
        }
        let taken = open.builder.count() - first_index;
        if taken > 0 {
            deliveries.push_run(open.completion.cell(), first_index, taken);
        }
        taken as usize
    }

    /// Puts a record into its batch, and sends batches that this fills. Never waits.
    pub(super) fn try_send(
        &self,
        record: &ProducerRecord<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Result<Sent, Box<Blocked>> {
        if let Some(timestamp) = record.timestamp
            && timestamp < 0
        {
            return Err(invalid_timestamp(record.topic, timestamp));
        }
        if !self.is_any_size_fine {
            self.check_size(size_bound(record))?;
        }
        let mut worked = false;
        loop {
            // Before the lock: behind an atomic operation the processor would wait for the counter.
            let ticks = coarse_time::ticks();
            let slot = self.route(record, attempt)?;
            let mut state = slot.lock();
            // Under the lock: who closes the producer sets this first, and then locks every slot to take what is open.
            if self.is_closed() {
                return Err(failed(producer_closed()));
            }
            let Some(delivery) =
                Self::append_to_open(self.cluster.clock(), &mut state, record, &mut attempt.callback, ticks)
            else {
                if state.open.is_none() {
                    let sent = self.open_batch(slot, state, record, attempt)?;
                    return Ok(Sent { worked: sent.worked || worked, ..sent });
                }
                slot.close_open(&mut state, true, self.settings.batch_size);
                drop(state);
                self.drain(slot);
                worked = true;
                continue;
            };
            if self.settings.linger.is_zero() {
                drop(state);
                self.drain(slot);
                worked = true;
            }
            return Ok(Sent { delivery, worked });
        }
    }

    /// `None` if there is no open batch, or no room in it.
    #[inline(always)]
    fn append_to_open(
        clock: &Clock,
        state: &mut SlotState,
        record: &ProducerRecord<'_>,
        callback: &mut Option<Callback>,
        ticks: Option<u64>,
    ) -> Option<Delivery> {
        let open = state.open.as_mut()?;
        let timestamp = match record.timestamp {
            Some(timestamp) => timestamp,
            None => state.clock.now_ms(clock, ticks),
        };
        open.append(timestamp, record.key_bytes(), record.value_bytes(), record.header_pairs(), callback)
    }

    /// Opens a batch with this record.
    #[inline(never)]
    fn open_batch(
        &self,
        slot: &Arc<Slot>,
        mut state: MutexGuard<'_, SlotState>,
        record: &ProducerRecord<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Result<Sent, Box<Blocked>> {
        let size = size_bound(record);
        self.check_size(size)?;
        let needed = size - BatchHeader::SIZE;
        let bytes = needed.max(self.block_size);
        let grant = match attempt.grant.take().filter(|grant| grant.bytes() >= bytes) {
            Some(grant) => grant,
            None => self.memory.try_acquire(bytes).ok_or_else(|| Box::new(Blocked::Memory(bytes)))?,
        };
        let block = match &self.blocks {
            Some(blocks) if needed <= self.block_size => blocks.take(),
            _ => Block::unpooled(bytes),
        };
        let created = self.now();
        state.open = Some(OpenBatch::new(slot.topic_partition().clone(), block, grant.keep(), created));
        let ticks = coarse_time::ticks();
        let delivery = Self::append_to_open(self.cluster.clock(), &mut state, record, &mut attempt.callback, ticks)
            .expect("the block was made to hold this record");

        let is_full = state.open.as_ref().is_some_and(|open| open.builder.size_in_bytes() >= self.settings.batch_size);
        // Whoever closes the producer, or waits for memory, sees this batch, or is seen here.
        Signal::fence_behind_opening();
        let worked = if is_full || self.memory.is_exhausted() || self.is_closed() {
            slot.close_open(&mut state, is_full, self.settings.batch_size);
            drop(state);
            self.drain(slot);
            true
        } else if self.settings.linger.is_zero() {
            drop(state);
            self.drain(slot);
            true
        } else {
            let due = self.driver.due(created + self.settings.linger);
            slot.set_due(&mut state, due);
            drop(state);
            self.driver.request(due);
            false
        };
        Ok(Sent { delivery, worked })
    }

    /// The slot of the record's partition.
    #[inline]
    fn route(&self, record: &ProducerRecord<'_>, attempt: &mut Attempt<'_>) -> Result<&Arc<Slot>, Box<Blocked>> {
        let topic = match self.topics.find(record.topic, &self.cluster) {
            Some(topic) => topic,
            None => self.find_unknown(record.topic)?,
        };
        // In this order: the count is then at least as new as the version.
        let version = topic.version();
        let partitions = topic.partitions();
        let partition = match record.partition.or(attempt.partition) {
            Some(partition) => partition,
            None if partitions > 0 => self.choose(topic, record, partitions, attempt)?,
            None => 0,
        };
        if !(0..partitions).contains(&partition) {
            if partitions <= 0 {
                // It was deleted. If the broker creates it again, there is newer metadata than that.
                drop(self.image_with(record.topic));
            }
            return Err(missing_partition(record.topic, partition, partitions, version));
        }
        Ok(topic.slot(partition))
    }

    #[inline]
    fn choose(
        &self,
        topic: &Topic,
        record: &ProducerRecord<'_>,
        partitions: i32,
        attempt: &mut Attempt<'_>,
    ) -> Result<i32, Box<Blocked>> {
        let partition = match &self.settings.partitioning {
            Partitioning::Default => return Ok(self.default_partition(topic, record, partitions)),
            Partitioning::RoundRobin => topic.round_robin_partition(),
            Partitioning::Custom(partitioner) => partitioner.partition(record, partitions),
        };
        if !(0..partitions).contains(&partition) {
            let topic = record.topic;
            let message = format!(
                "the partitioner generated an invalid partition number for {topic}: {partition}; \
                 there are {partitions} partitions"
            );
            return Err(failed(Error::new(ErrorCode::InvalidRequest, message)));
        }
        attempt.partition = Some(partition);
        Ok(partition)
    }

    /// By the key, or sticky.
    #[inline(always)]
    fn default_partition(&self, topic: &Topic, record: &ProducerRecord<'_>, partitions: i32) -> i32 {
        match record.key_bytes() {
            Some(key) if !self.settings.ignore_keys => partition_for_key(key, partitions),
            _ => topic.sticky_partition(),
        }
    }

    /// A topic that this producer has not written to: learns it from the metadata, or says that it is not there.
    #[cold]
    fn find_unknown(&self, name: &str) -> Result<&Topic, Box<Blocked>> {
        let image = self.image_with(name);
        if let Some(topic) = image.topic(name) {
            self.topics.add(topic, &self.metrics);
            if let Some(topic) = self.topics.find(name, &self.cluster) {
                return Ok(topic);
            }
        }
        Err(missing_topic(name, image.offset))
    }

    /// The partitions of an existing topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Vec<PartitionInfo>, Box<Blocked>> {
        let image = self.image_with(topic);
        match image.topic(topic) {
            Some(topic) => Ok(PartitionInfo::of_topic(topic)),
            None => Err(missing_topic(topic, image.offset)),
        }
    }

    /// The metadata, with this topic in it if the broker creates topics that are missing.
    fn image_with(&self, topic: &str) -> Arc<MetadataImage> {
        if self.cluster.auto_creates_topics() {
            // Why it is not there, if it is not, is said by whoever looks for it.
            drop(self.cluster.maybe_auto_create_topic(topic));
        }
        self.cluster.image()
    }

    fn check_size(&self, bytes: usize) -> Result<(), Box<Blocked>> {
        let settings = &self.settings;
        let (limit, reason) = if bytes > settings.max_request_size {
            (settings.max_request_size, ", which is the value of the max.request.size configuration")
        } else if bytes > settings.buffer_memory {
            (settings.buffer_memory, ", the total memory buffer configured with buffer.memory")
        } else {
            return Ok(());
        };
        let message = format!("the message is {bytes} bytes when serialized which is larger than {limit}{reason}");
        Err(failed(Error::new(ErrorCode::MessageTooLarge, message)))
    }

    /// Closes every open batch and sends what can be sent. Returns deliveries that resolve when all of that is complete.
    pub(super) fn send_everything(&self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for slot in self.topics.slots() {
            let last = slot.close_all(self.settings.batch_size);
            self.drain(slot);
            deliveries.extend(last.filter(|delivery| !delivery.is_done()));
        }
        deliveries
    }

    /// Takes no more records, and calls back everyone who waits in `send`.
    pub(super) fn close(&self) {
        self.closed.raise();
        self.closing.close();
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.raised() > 0
    }

    /// The last handle is gone: everything is offered to its leader, by this thread or, where another is sending already, by
    /// that one. What is not taken at once fails.
    pub(super) fn abandon(&self) {
        self.close();
        self.last_call.store(true, Ordering::Relaxed);
        drop(self.send_everything());
        self.terminate();
    }

    /// Whether batches are still offered to their leaders, once, when nothing more is sent.
    pub(super) fn is_last_call(&self) -> bool {
        self.last_call.load(Ordering::Relaxed)
    }

    /// Resolves when the producer is closed.
    pub(super) async fn closed(&self) {
        // There is never a permit: the only way out is the end.
        let _ended = self.closing.acquire().await;
    }

    /// Whether nothing more is sent.
    pub(super) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    /// Ends the driver and fails whatever is not complete.
    pub(super) fn terminate(&self) {
        self.close();
        let is_first = !self.terminated.swap(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.driver.stop();
        for slot in self.topics.slots() {
            let mut state = slot.lock();
            let in_flight = std::mem::take(&mut state.in_flight);
            slot.close_open(&mut state, false, self.settings.batch_size);
            drop(state);
            for InFlight { batch, ack } in in_flight {
                let outcome = match ack {
                    Ack::Done(outcome) => outcome,
                    Ack::Waiting { .. } => Outcome::Failed(producer_closed()),
                };
                self.finish(slot, batch, outcome);
            }
            // Fails what is ready, as would a thread that is already draining.
            self.drain(slot);
        }
        if is_first {
            self.settings.interceptors.on_close();
        }
    }
}

/// Bytes of a batch with nothing but this record, at most.
fn size_bound(record: &ProducerRecord<'_>) -> usize {
    let record = BatchBuilder::upper_bound(record.key_bytes(), record.value_bytes(), record.header_pairs());
    record + BatchHeader::SIZE
}

#[cold]
fn failed(error: Error) -> Box<Blocked> {
    Box::new(Blocked::Failed(error))
}

/// There is no such topic, and perhaps never will be.
#[cold]
fn missing_topic(name: &str, version: i64) -> Box<Blocked> {
    match validate_topic_name(name) {
        Ok(()) => Box::new(Blocked::Metadata { version, partitions: None }),
        Err(error) => failed(error),
    }
}

/// Why there is no such partition.
#[cold]
fn missing_partition(topic: &str, partition: i32, partitions: i32, version: i64) -> Box<Blocked> {
    if partition < 0 {
        let message = format!("invalid partition {partition} for {topic}: partitions count from 0");
        return failed(Error::new(ErrorCode::InvalidRequest, message));
    }
    Box::new(Blocked::Metadata { version, partitions: (partitions > 0).then_some(partitions) })
}

#[cold]
fn invalid_timestamp(topic: &str, timestamp: i64) -> Box<Blocked> {
    let message = format!("invalid timestamp {timestamp} of a record for {topic}: it must be 0 or above");
    failed(Error::new(ErrorCode::InvalidTimestamp, message))
}
