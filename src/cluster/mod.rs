//! The cluster: broker, controller and clock under one handle.
//!
//! Commands to the controller are plain calls under its lock; the answer comes when the records are appended and
//! replayed and the new image is published. One background task drives group timers and retention.

mod admin_ops;
mod auto_create;
mod builder;
mod driver;
mod group_ops;
mod metadata;
mod metrics;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use crate::broker::MemoryPolicy;
pub use builder::ClusterBuilder;

pub(crate) use admin_ops::{TopicSelector, validate_topic_name};
pub(crate) use metrics::LOG_DIRECTORY;

pub(crate) use crate::broker::{ActiveProducer, AppendInfo, Clock, FetchWaiter, Memory, PartitionHandle, Token};
pub use crate::controller::ElectionType;
pub(crate) use crate::controller::{CreatableTopic, MetadataImage, PartitionImage, TopicImage};
pub(crate) use crate::coordinator::group;

use crate::broker::{Broker, Cleaner, GroupCoordinator, OFFSETS_TOPIC, ReplicaManager, TopicChanges};
use crate::cluster::driver::Driver;
use crate::cluster::metadata::Metadata;
use crate::cluster::metrics::TrafficRates;
use crate::config::BrokerConfig;
use crate::controller::{BrokerRegistration, Controller, ProducerIdBlock};
use crate::coordinator::group::GroupConfig;
use crate::error::{Error, ErrorCode};
use crate::metrics::Registry;
use crate::types::{BrokerId, ProducerEpoch, ProducerId, TopicPartition};
use crate::util::block_pool::BlockPool;
use crate::util::trace;
use crate::util::wake_list::WakeList;

/// A Kafka cluster inside this process.
///
/// A cheap handle: clones share the cluster, and every client holds one. The cluster and its background task end when
/// the last handle is dropped, or at once with [`Cluster::shutdown`]. Everything is in memory, and gone with it.
///
/// Timers (group sessions, retention, linger) run on the tokio runtime that the cluster, or the first client after it,
/// was created in; they follow tokio's clock, so `tokio::time::pause()` makes them deterministic.
///
/// ```
/// use brokerless::{Cluster, NewTopic};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::builder().broker_property("num.partitions", "3").start().await?;
/// let admin = cluster.admin();
/// admin.create_topic(NewTopic::new("orders")).await?;
/// assert_eq!(admin.describe_topic("orders").await?.partitions().len(), 3);
///
/// cluster.shutdown().await;
/// assert!(admin.list_topics().await.unwrap_err().is_closed());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<ClusterInner>,
}

/// What a cluster starts with.
pub(crate) struct Startup {
    pub(crate) config: BrokerConfig,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) recycled_bytes: usize,
    pub(crate) memory: Arc<Memory>,
    pub(crate) max_groups: usize,
    pub(crate) max_partitions: usize,
}

pub(crate) struct ClusterInner {
    clock: Clock,
    /// What the broker was started with. What was set since is in the image, whose readers read it there.
    config: BrokerConfig,
    cluster_id: String,
    metadata: Metadata,
    broker: Broker,
    broker_epoch: AtomicI64,
    pools: Mutex<HashMap<usize, Arc<BlockPool>>>,
    recycled_bytes: usize,
    producer_ids: Mutex<std::ops::Range<i64>>,
    /// When `log.retention.check.interval.ms` is over.
    next_retention_ms: AtomicI64,
    runtime: Mutex<Option<Handle>>,
    driver: Driver,
    timers_changed: Arc<Notify>,
    closed: AtomicBool,
    /// Of the clients' random choices.
    seeds: Mutex<fastrand::Rng>,
    metrics: Arc<Registry>,
    traffic_rates: TrafficRates,
    started_ms: i64,
}

impl Cluster {
    const NODE: BrokerId = BrokerId(1);

    /// A cluster of one broker with Kafka's defaults, in memory, ready at once: no socket, no thread, no file.
    pub fn in_memory() -> Self {
        ClusterBuilder::default().build().expect("Kafka's defaults are valid")
    }

    /// A cluster with settings of its own.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    pub(crate) fn start(startup: Startup) -> Result<Self, Error> {
        let Startup { config, clock, seed, recycled_bytes, memory, max_groups, max_partitions } = startup;
        let mut rng = fastrand::Rng::with_seed(seed);
        let cluster_id = crate::types::TopicId::from_random(rng.u128(..)).to_string();
        let timers_changed = Arc::new(Notify::new());
        let groups = group_config(&config, max_groups);
        let groups = GroupCoordinator::new(clock, groups, rng.u64(..), Arc::clone(&timers_changed));
        let cleaner = Cleaner::new(clock, &config.cleaner, seed);
        let broker =
            Broker { id: Self::NODE, replicas: ReplicaManager::new(Self::NODE, clock, memory), cleaner, groups };
        let controller = Controller::new(Self::NODE, config.clone(), max_partitions, rng.fork());
        let next_retention_ms = clock.now_ms().saturating_add(config.log_retention_check_interval_ms);
        let inner = ClusterInner {
            clock,
            metadata: Metadata::new(controller, Self::NODE, clock)?,
            config,
            cluster_id,
            broker,
            broker_epoch: AtomicI64::new(-1),
            pools: Mutex::default(),
            recycled_bytes,
            producer_ids: Mutex::new(0..0),
            next_retention_ms: AtomicI64::new(next_retention_ms),
            runtime: Mutex::new(None),
            driver: Driver::default(),
            timers_changed,
            closed: AtomicBool::new(false),
            seeds: Mutex::new(rng.fork()),
            metrics: Registry::new(),
            traffic_rates: TrafficRates::default(),
            started_ms: clock.now_ms(),
        };
        let cluster = Self { inner: Arc::new(inner) };
        cluster.inner.command(|controller, _| controller.bootstrap())?;
        let epoch = cluster.inner.register_broker(rng.u128(..))?;
        cluster.inner.broker_epoch.store(epoch, Ordering::Relaxed);
        cluster.adopt_runtime();
        trace::event!(INFO, "cluster started", cluster = cluster.cluster_id());
        Ok(cluster)
    }

    /// Ends the cluster: its background task stops, waiting clients are woken, and from then on whatever needs the cluster
    /// fails with an error for which [`Error::is_closed`] holds. A `send` may still take a record; its delivery fails then.
    pub async fn shutdown(&self) {
        trace::event!(INFO, "cluster is shut down", cluster = self.cluster_id());
        self.inner.closed.store(true, Ordering::Release);
        self.inner.driver.stop();
        self.inner.metadata.wake_all();
        let mut wakes = WakeList::new();
        for partition in self.inner.broker.replicas.partitions() {
            partition.delete(&mut wakes);
        }
        self.inner.broker.replicas.memory().on_freed(&mut wakes);
        wakes.wake_all();
        self.inner.broker.cleaner.stop();
        self.inner.broker.groups.unload();
    }

    /// The cluster's id, as Kafka prints it.
    pub fn cluster_id(&self) -> &str {
        &self.inner.cluster_id
    }
}

// What clients call. All of it is cheap, and none of it blocks.
impl Cluster {
    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The current metadata. Load it once per operation.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.inner.metadata.image()
    }

    /// The offset of the current image: one atomic load, to see whether a cached route is stale.
    #[inline]
    pub(crate) fn metadata_version(&self) -> i64 {
        self.inner.metadata.version()
    }

    /// Resolves once the image is newer than `version`, or the cluster is shut down.
    pub(crate) async fn metadata_changed(&self, version: i64) {
        self.inner.metadata.changed(version, &self.inner.closed).await;
    }

    /// Fails once the cluster is shut down.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.inner.check_open()
    }

    /// The leader's handle. `UNKNOWN_TOPIC_OR_PARTITION`, or closed.
    pub(crate) fn leader(&self, topic_partition: &TopicPartition) -> Result<Arc<PartitionHandle>, Error> {
        self.check_open()?;
        self.inner.broker.replicas.partition(topic_partition)
    }

    /// The memory that the logs hold, and who waits for some to be freed.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        self.inner.broker.replicas.memory()
    }

    /// What the random choices of one more client begin with.
    pub(crate) fn next_seed(&self) -> u64 {
        self.inner.seeds.lock().u64(..)
    }

    /// Recycled memory in blocks of this size, shared by all producers of the cluster.
    pub(crate) fn block_pool(&self, block_size: usize) -> Arc<BlockPool> {
        let mut pools = self.inner.pools.lock();
        // Small blocks come cheap from the allocator, and the pool keeps a slot for each that it may hold.
        const SMALLEST_COUNTED: usize = 4096;
        let max_blocks = self.inner.recycled_bytes / block_size.max(SMALLEST_COUNTED);
        Arc::clone(pools.entry(block_size).or_insert_with(|| BlockPool::new(block_size, max_blocks)))
    }

    /// A fresh id for an idempotent producer.
    pub(crate) fn init_producer_id(&self) -> Result<(ProducerId, ProducerEpoch), Error> {
        self.check_open()?;
        let mut block = self.inner.producer_ids.lock();
        if block.is_empty() {
            *block = self.inner.allocate_producer_ids()?;
        }
        let id = block.next().ok_or_else(|| Error::new(ErrorCode::UnknownServerError, "no producer ids are left"))?;
        Ok((ProducerId(id), ProducerEpoch(0)))
    }

    /// Runs a client's background task on the runtime that the caller is in, or else on the one that the cluster was
    /// first used in. The task must end by itself when its client is dropped; the handle aborts it earlier.
    /// Outside of any runtime: an illegal-state error that says so.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<()>, Error> {
        self.adopt_runtime();
        let runtime = Handle::try_current().ok().or_else(|| self.inner.runtime.lock().clone());
        match runtime {
            Some(runtime) => Ok(runtime.spawn(task)),
            None => Err(Error::illegal_state(
                "a client needs a tokio runtime for its timers: create it inside of one (for example under #[tokio::main])",
            )),
        }
    }

    /// Remembers the current runtime, if there is one, and sees to it that the background task runs.
    fn adopt_runtime(&self) {
        if let Ok(current) = Handle::try_current() {
            self.inner.runtime.lock().get_or_insert(current);
            if self.check_open().is_ok() {
                self.inner.driver.ensure_running(&self.inner);
            }
        }
    }
}

impl ClusterInner {
    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed("the cluster")) } else { Ok(()) }
    }

    /// Runs a command of the controller; the broker takes over what changed.
    fn command<T>(
        &self,
        command: impl FnOnce(&mut Controller, i64) -> crate::controller::Outcome<T>,
    ) -> Result<T, Error> {
        self.check_open()?;
        let _span = trace::span!(DEBUG, "controller command");
        let (mut changes, mut wakes) = (TopicChanges::default(), WakeList::new());
        let mut cleaner_reconfigured = false;
        let response = self.metadata.command(command, |old, new| {
            changes = self.broker.replicas.apply(old, new, &mut wakes)?;
            cleaner_reconfigured = old.config.cleaner != new.config.cleaner;
            Ok(())
        });
        wakes.wake_all();
        let response = response?;
        if cleaner_reconfigured {
            self.broker.cleaner.reconfigured();
            self.timers_changed.notify_one();
        }
        let TopicChanges { created, deleted } = changes;
        for topic in &deleted {
            trace::event!(INFO, "topic deleted", topic = &**topic);
        }
        for topic in &created {
            trace::event!(INFO, "topic created", topic = &*topic.name, partitions = topic.partitions.len() as u64);
        }
        if deleted.iter().any(|topic| **topic == *OFFSETS_TOPIC) {
            self.broker.groups.unload();
        }
        self.broker.groups.on_topics_deleted(&deleted);
        Ok(response)
    }

    /// Makes the broker known to the controller and lets it lead. Returns its epoch.
    fn register_broker(&self, incarnation_id: u128) -> Result<i64, Error> {
        let registration = BrokerRegistration { id: self.broker.id, incarnation_id, rack: None };
        let epoch = self.command(|controller, _| controller.register_broker(registration))?;
        self.command(|controller, _| controller.unfence(self.broker.id, epoch))??;
        Ok(epoch)
    }

    fn allocate_producer_ids(&self) -> Result<std::ops::Range<i64>, Error> {
        let epoch = self.broker_epoch.load(Ordering::Relaxed);
        let block = self.command(|controller, _| controller.allocate_producer_ids(self.broker.id, epoch))??;
        Ok(block.first.0..block.first.0 + ProducerIdBlock::SIZE)
    }

    /// Creates `__consumer_offsets` as Kafka does, when the first group appears.
    fn create_offsets_topic(&self) -> Result<Arc<TopicImage>, Error> {
        let topic = CreatableTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: self.config.offsets_topic_num_partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: [
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", self.config.offsets_topic_segment_bytes.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        };
        let mut created = self.command(|controller, _| controller.create_topics(vec![topic], false))?;
        match created.pop() {
            Some(Ok(topic)) => Ok(topic),
            // Another client was faster.
            Some(Err(error)) => self.metadata.image().topic(OFFSETS_TOPIC).cloned().ok_or(error),
            None => Err(Error::from(ErrorCode::CoordinatorNotAvailable)),
        }
    }

    fn load_groups(&self) -> Result<(), Error> {
        let topic = match self.metadata.image().topic(OFFSETS_TOPIC) {
            Some(topic) => Arc::clone(topic),
            None => self.create_offsets_topic()?,
        };
        let partitions = (0..topic.partitions.len() as i32)
            .map(|index| self.broker.replicas.partition(&TopicPartition::new(Arc::clone(&topic.name), index)))
            .collect::<Result<Vec<_>, _>>()?;
        self.broker.groups.load(partitions)
    }

    /// Work that is due: expired group timers, retention, a piece of compaction. Returns the next deadline in ms.
    fn run_due(&self) -> i64 {
        self.broker.groups.handle_timeouts();
        let now_ms = self.clock.now_ms();
        if self.next_retention_ms.load(Ordering::Relaxed) <= now_ms {
            let _span = trace::span!(DEBUG, "retention");
            for partition in self.broker.replicas.partitions() {
                partition.apply_retention();
            }
            let interval_ms = self.config.log_retention_check_interval_ms;
            self.next_retention_ms.store(now_ms.saturating_add(interval_ms), Ordering::Relaxed);
        }
        let cleaning = self.broker.cleaner.run_due(&self.broker.replicas, &self.metadata.image());
        let maintenance = self.next_retention_ms.load(Ordering::Relaxed).min(cleaning);
        self.broker.groups.poll_timeout().map_or(maintenance, |deadline| deadline.min(maintenance))
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("cluster_id", &self.inner.cluster_id).finish_non_exhaustive()
    }
}

impl Drop for ClusterInner {
    fn drop(&mut self) {
        self.driver.stop();
    }
}

fn group_config(config: &BrokerConfig, max_groups: usize) -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
        min_session_timeout_ms: config.group_min_session_timeout_ms,
        max_session_timeout_ms: config.group_max_session_timeout_ms,
        max_size: config.group_max_size as usize,
        offset_metadata_max_bytes: config.offset_metadata_max_bytes as usize,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms,
        max_groups,
    }
}
