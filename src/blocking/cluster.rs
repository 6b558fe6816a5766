//! [`Cluster`].

use std::sync::Arc;

use crate::blocking::background::Background;
use crate::blocking::{Admin, Consumer, Producer};
use crate::client::consumer::ConsumerConfig;
use crate::client::producer::ProducerConfig;
use crate::cluster::ClusterBuilder;
use crate::error::Result;
use crate::metrics::Metrics;

/// A [`Cluster`](crate::Cluster) for plain threads.
///
/// A cheap handle: clones share the cluster. See the [module](crate::blocking) for what runs where.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: crate::cluster::Cluster,
    background: Arc<Background>,
}

impl Cluster {
    /// A cluster of one broker with Kafka's defaults, in memory, ready at once.
    ///
    /// # Panics
    /// If the operating system does not start the background thread.
    pub fn in_memory() -> Self {
        Self::start(ClusterBuilder::default()).expect("Kafka's defaults are valid")
    }

    /// Starts the cluster that the builder describes.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for a property that Kafka, or this crate, does not accept.
    ///
    /// # Panics
    /// If the operating system does not start the background thread.
    pub fn start(builder: ClusterBuilder) -> Result<Self> {
        let background = Background::shared();
        let inner = background.block_on(builder.start())?;
        Ok(Self { inner, background })
    }

    /// Administration: topics, groups, offsets.
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.admin(), Arc::clone(&self.background))
    }

    /// A producer on this cluster.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for settings that contradict each other.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer> {
        let inner = self.background.enter(|| self.inner.producer(config))?;
        Ok(Producer::new(inner, Arc::clone(&self.background)))
    }

    /// A consumer on this cluster.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for settings that contradict each other.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer> {
        let inner = self.background.enter(|| self.inner.consumer(config))?;
        Ok(Consumer::new(inner, Arc::clone(&self.background)))
    }

    /// Ends the cluster for all its clients: see [`Cluster::shutdown`](crate::Cluster::shutdown).
    pub fn shutdown(&self) {
        self.background.block_on(self.inner.shutdown());
    }

    /// What the cluster and all its clients measure, as of now: see [`Cluster::metrics`](crate::Cluster::metrics).
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }

    /// The cluster's id, as Kafka prints it.
    pub fn cluster_id(&self) -> &str {
        self.inner.cluster_id()
    }

    /// The asynchronous handle on the same cluster, for code that has a runtime. Timers stay with the background thread
    /// as long as a blocking handle is there.
    pub fn as_async(&self) -> &crate::cluster::Cluster {
        &self.inner
    }
}
