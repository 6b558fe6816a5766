//! [`Metadata`]: runs the controller over its metadata log and publishes the images.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::broker::{Clock, REPLICA_LAG_TIME_MAX_MS};
use crate::config::LogConfig;
use crate::controller::{Controller, MetadataImage, Outcome};
use crate::error::{Error, ErrorCode};
use crate::log::AppendOrigin;
use crate::partition::{Partition, PartitionRegistration};
use crate::record::{BatchBuilder, SealOptions};
use crate::types::{Acks, BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::util::block_pool::Block;

/// The controller with its log, and the image that it last published.
///
/// A command is handled, its records are appended to `__cluster_metadata-0` and replayed, the brokers take over what
/// changed, and only then the new image is published: whoever sees a topic in an image finds its replicas in place.
#[derive(Debug)]
pub(crate) struct Metadata {
    clock: Clock,
    state: Mutex<State>,
    image: RwLock<Arc<MetadataImage>>,
    version: AtomicI64,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    log: Partition,
}

impl Metadata {
    pub(crate) fn new(controller: Controller, node: BrokerId, clock: Clock) -> Result<Self, Error> {
        let topic_partition = TopicPartition::new("__cluster_metadata", 0);
        // The metadata log is never cut: an image is only as good as the records before it, and snapshots come with
        // files. A command is one batch, however many topics it creates: what bounds commands is counted in topics.
        let config = LogConfig {
            retention_ms: None,
            retention_bytes: None,
            max_message_bytes: i32::MAX as u32,
            ..LogConfig::default()
        };
        let mut log = Partition::new(
            topic_partition,
            TopicId::from_u128(1),
            node,
            REPLICA_LAG_TIME_MAX_MS,
            Arc::new(config),
            clock.now_ms(),
        );
        let registration = PartitionRegistration {
            leader: node,
            leader_epoch: LeaderEpoch(1),
            replicas: vec![node],
            isr: vec![node],
            partition_epoch: 0,
        };
        log.apply(&registration, clock.now_ms()).map_err(|error| Error::new(error.code(), error.to_string()))?;
        let image = Arc::clone(controller.image());
        Ok(Self {
            clock,
            version: AtomicI64::new(image.offset),
            image: RwLock::new(image),
            state: Mutex::new(State { controller, log }),
            changed: Notify::new(),
        })
    }

    /// The current image.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.read())
    }

    /// The offset of the current image.
    #[inline]
    pub(crate) fn version(&self) -> Offset {
        self.version.load(Ordering::Acquire)
    }

    /// Resolves once the image is newer than `version`, or `closed` is set and the waiters are woken.
    pub(crate) async fn changed(&self, version: Offset, closed: &AtomicBool) {
        loop {
            let mut notified = std::pin::pin!(self.changed.notified());
            notified.as_mut().enable();
            if self.version() > version || closed.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }

    /// Runs one command. `apply` lets the brokers take over the new image before it is published.
    pub(crate) fn command<T>(
        &self,
        command: impl FnOnce(&mut Controller, i64) -> Outcome<T>,
        apply: impl FnOnce(&MetadataImage, &MetadataImage) -> Result<(), Error>,
    ) -> Result<T, Error> {
        let mut state = self.state.lock();
        let now_ms = self.clock.now_ms();
        let outcome = command(&mut state.controller, now_ms);
        if outcome.records.is_empty() {
            return Ok(outcome.response);
        }
        let values: Vec<Bytes> = outcome.records.iter().map(|record| record.encode()).collect();
        let base_offset = state.append(&values, now_ms)?;
        let before = Arc::clone(state.controller.image());
        state
            .controller
            .replay(&outcome.records, base_offset)
            .map_err(|error| Error::new(ErrorCode::UnknownServerError, error.to_string()).with_source(error))?;
        let after = Arc::clone(state.controller.image());
        apply(&before, &after)?;
        let version = after.offset;
        *self.image.write() = after;
        self.version.store(version, Ordering::Release);
        drop(state);
        self.changed.notify_waiters();
        Ok(outcome.response)
    }

    /// Wakes everybody who waits for a change, so that they see that the cluster is closed.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_waiters();
    }
}

impl State {
    /// Appends metadata records as one batch, values only, as Kafka's metadata log holds them.
    fn append(&mut self, values: &[Bytes], now_ms: i64) -> Result<Offset, Error> {
        let size = values.iter().map(|value| BatchBuilder::upper_bound(None, Some(value), std::iter::empty())).sum();
        let mut builder = BatchBuilder::new(Block::unpooled(size));
        for value in values {
            let appended = builder.try_append(now_ms, None, Some(value), std::iter::empty());
            assert!(appended.is_some(), "a block of {size} bytes holds what its upper bound promised");
        }
        let batch =
            builder.seal(SealOptions::default()).map_err(|error| Error::new(error.code(), error.to_string()))?;
        self.log
            .append_as_leader(batch, Acks::All, AppendOrigin::Coordinator, now_ms)
            .map(|outcome| outcome.base_offset)
            .map_err(|error| Error::new(error.code(), error.to_string()))
    }
}
