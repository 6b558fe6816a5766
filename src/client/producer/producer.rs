//! [`Producer`]: the public handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::client::partition_info::PartitionInfo;
use crate::client::producer::delivery::{Callback, producer_closed, refuse_in_callback};
use crate::client::producer::driver::Driver;
use crate::client::producer::memory::Grant;
use crate::client::producer::shared::{Attempt, Blocked, Sent, Shared};
use crate::client::producer::{
    Deliveries, Delivery, ProducerConfig, ProducerRecord, RecordMetadata, SendAllError, SendError, Sending,
};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::util::race::{Either, race};

/// Sends records to topics: Kafka's producer.
///
/// Cloning is cheap, and clones share everything; any number of threads and tasks may send through one producer.
///
/// ```
/// use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::in_memory();
/// cluster.admin().create_topic(NewTopic::new("orders").partitions(6)).await?;
///
/// let producer = cluster.producer(ProducerConfig::default())?;
/// let record = ProducerRecord::to("orders").key("42").value("3 apples");
/// let delivery = producer.send(record).await?;  // waits only for buffer space
/// let metadata = delivery.await?;               // waits for the acknowledgement
/// assert_eq!(metadata.offset(), 0);
/// producer.close().await?;
/// # Ok(()) }
/// ```
///
/// # How records travel
///
/// `send` picks a partition and copies the record into that partition's open batch. A batch goes to its leader when it is
/// full, when `linger.ms` is over, at a [`flush`](Producer::flush), or when `buffer.memory` is used up. The thread that
/// fills a batch sends it; one small task per producer takes care of lingers, retries and timeouts.
///
/// Records of one partition are stored in the order in which they were sent. With idempotence, which is the default, each
/// of them is stored exactly once, however often it was retried.
///
/// # Ending
///
/// [`close`](Producer::close) delivers everything first. Dropping the last handle without it hands every open batch to
/// its leader before the drop returns, without waiting (where another thread is sending a partition's batches at that
/// moment, it goes on to the last one): what the leader does not take at once fails with an error whose
/// [`is_closed`](Error::is_closed) is true.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    /// Counts the handles: the background task holds `shared` while it works, too.
    _handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Producers without a `client.id`, which are numbered as Kafka's are.
static UNNAMED: AtomicU64 = AtomicU64::new(0);

impl Producer {
    /// A producer on this cluster.
    pub(crate) fn new(cluster: Cluster, config: ProducerConfig) -> Result<Self> {
        let driver = Driver::new(cluster.clock().now(), Arc::clone(cluster.memory()));
        let mut settings = config.settings()?;
        if settings.client_id.is_empty() {
            let number = UNNAMED.fetch_add(1, Ordering::Relaxed) + 1;
            settings.client_id = format!("producer-{number}").into();
        }
        let shared = Arc::new(Shared::new(cluster, settings, Arc::clone(&driver)));
        shared.metrics.register_gauges(&shared);
        // It ends by itself once the last handle is gone.
        let _task = shared.cluster.spawn(driver.run(Arc::downgrade(&shared)))?;
        Ok(Self { _handle: Arc::new(Handle(Arc::clone(&shared))), shared })
    }

    #[inline]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts a record into its batch. The returned [`Delivery`] resolves when the record is acknowledged; awaiting it is
    /// optional.
    ///
    /// This waits only while `buffer.memory` is used up or the topic does not exist yet, for at most `max.block.ms`.
    /// Dropped before it resolves, the record was not sent.
    ///
    /// # Errors
    ///
    /// Each error gives the record back. A timeout after `max.block.ms`; `MESSAGE_TOO_LARGE` for a record above
    /// `max.request.size` or `buffer.memory`; `INVALID_TOPIC_EXCEPTION`; `INVALID_REQUEST` for a negative partition and
    /// for one that a custom partitioner made up; `INVALID_TIMESTAMP` for a negative timestamp; closed, after
    /// [`close`](Producer::close). What goes wrong later is the delivery's result.
    #[inline]
    pub fn send<'p, 'a: 'p>(&'p self, record: ProducerRecord<'a>) -> Sending<'p, 'a> {
        Sending::new(self, record, None)
    }

    /// Puts a record into its batch if that takes no waiting and no work besides; `None`, and nothing has happened, if it
    /// does. Needs no runtime.
    #[inline]
    pub(crate) fn send_now(&self, record: &ProducerRecord<'_>) -> Option<Delivery> {
        self.shared.try_send_common(record)
    }

    /// The same, and calls back once the record is acknowledged, or has failed for good.
    ///
    /// Callbacks of one partition run in the order of the records, before their deliveries resolve, on the thread that
    /// happens to complete the batch and with no lock held. They should be quick; they may send, but not block. When
    /// `send_with` itself returns an error, the callback is dropped without being called.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Producer::send).
    pub fn send_with<'p, 'a: 'p>(
        &'p self,
        record: ProducerRecord<'a>,
        callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static,
    ) -> Sending<'p, 'a> {
        Sending::new(self, record, Some(Box::new(callback)))
    }

    /// Puts records into their batches, in order: as a [`send`](Producer::send) of each one, but cheaper, because
    /// neighbours that go to one partition share its lock and, where they bring none, their timestamp. Kafka has no such
    /// call.
    ///
    /// ```
    /// # use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// # let cluster = Cluster::in_memory();
    /// # cluster.admin().create_topic(NewTopic::new("lines")).await?;
    /// # let producer = cluster.producer(ProducerConfig::default())?;
    /// let text = "one\ntwo\nthree";
    /// let records: Vec<_> = text.lines().map(|line| ProducerRecord::to("lines").value(line)).collect();
    /// let deliveries = producer.send_all(&records).await?;
    /// deliveries.all().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Dropped before it resolves, some of the records were sent.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Producer::send), at the first record that cannot be sent. It says how many were, and has their
    /// deliveries.
    pub async fn send_all(&self, records: &[ProducerRecord<'_>]) -> Result<Deliveries, SendAllError> {
        let mut deliveries = Deliveries::default();
        while deliveries.len() < records.len() {
            let rest = &records[deliveries.len()..];
            if self.shared.try_send_run(rest, &mut deliveries) > 0 {
                continue;
            }
            // Whatever takes more than an open batch with room: one record, and then on.
            match self.send(rest[0].clone()).await {
                Ok(delivery) => deliveries.push(&delivery),
                Err(error) => return Err(SendAllError::new(error.into(), deliveries)),
            }
        }
        Ok(deliveries)
    }

    /// Sends what the interceptors make of a record.
    pub(super) async fn send_intercepted<'a: 's, 's>(
        &'s self,
        record: ProducerRecord<'a>,
        callback: Option<Callback>,
    ) -> Result<Delivery, SendError<'a>> {
        // Behind the end nothing is intercepted any more.
        if self.shared.is_closed() {
            return Err(SendError::new(producer_closed(), record));
        }
        // Before anything has happened, so that a future that has not resolved has sent nothing.
        consume_budget().await;
        let interceptors = &self.shared.settings.interceptors;
        let intercepted = interceptors.on_send(record.clone());
        let acknowledged = interceptors.clone();
        let callback = Box::new(move |result: Result<RecordMetadata>| {
            acknowledged.on_acknowledgement(&result);
            if let Some(callback) = callback {
                callback(result);
            }
        });
        let mut attempt = Attempt::with_callback(Some(callback));
        let sent = match self.shared.try_send(&intercepted, &mut attempt) {
            Ok(Sent { delivery, .. }) => return Ok(delivery),
            Err(blocked) => self.send_waiting(&intercepted, attempt, *blocked).await,
        };
        sent.map_err(|error| {
            interceptors.on_send_error(&intercepted, &error);
            SendError::new(error, record)
        })
    }

    /// Sends a record that could not be sent at once.
    pub(super) async fn send_blocked<'a, 's>(
        &'s self,
        record: ProducerRecord<'a>,
        attempt: Attempt<'s>,
        blocked: Blocked,
    ) -> Result<Delivery, SendError<'a>> {
        let sent = self.send_waiting(&record, attempt, blocked).await;
        sent.map_err(|error| SendError::new(error, record))
    }

    /// Waits for what the record needs, and tries again, until `max.block.ms` is over.
    async fn send_waiting<'s>(
        &'s self,
        record: &ProducerRecord<'_>,
        mut attempt: Attempt<'s>,
        mut blocked: Blocked,
    ) -> Result<Delivery> {
        let deadline = self.shared.now() + self.shared.settings.max_block;
        loop {
            if let Err(error) = self.wait_for(blocked, deadline, record, &mut attempt).await {
                if !error.is_closed() {
                    self.shared.metrics.send_failed(self.now_ms());
                }
                return Err(error);
            }
            match self.shared.try_send(record, &mut attempt) {
                Ok(Sent { delivery, .. }) => return Ok(delivery),
                Err(still_blocked) => blocked = *still_blocked,
            }
        }
    }

    async fn wait_for<'s>(
        &'s self,
        blocked: Blocked,
        deadline: Instant,
        record: &ProducerRecord<'_>,
        attempt: &mut Attempt<'s>,
    ) -> Result<()> {
        match blocked {
            Blocked::Failed(error) => Err(error),
            Blocked::Metadata { version, partitions } => {
                let started = self.shared.now();
                let changed = self.newer_metadata(version, deadline).await;
                self.shared.metrics.waited_for_metadata(self.shared.now() - started);
                changed?.ok_or_else(|| self.no_metadata(record.topic, record.partition, partitions))
            }
            Blocked::Memory(bytes) => {
                let started = self.shared.now();
                let grant = self.wait_until(deadline, self.acquire_memory(bytes)).await;
                let is_exhausted = matches!(grant, Ok(None));
                self.shared.metrics.waited_for_memory(self.shared.now() - started, is_exhausted, self.now_ms());
                let grant = grant?;
                attempt.grant = Some(grant.ok_or_else(|| self.no_memory(bytes))?);
                Ok(())
            }
        }
    }

    /// Waits for metadata newer than this version: `None` if the deadline passes first.
    async fn newer_metadata(&self, version: i64, deadline: Instant) -> Result<Option<()>> {
        let cluster = &self.shared.cluster;
        let changed = self.wait_until(deadline, cluster.metadata_changed(version)).await?;
        if changed.is_some() && cluster.metadata_version() <= version {
            // Nothing changes any more.
            return Err(Error::closed("the cluster"));
        }
        Ok(changed)
    }

    /// Waits for `event`: `None` if the deadline passes first, closed if the producer is closed first.
    async fn wait_until<T>(&self, deadline: Instant, event: impl Future<Output = T>) -> Result<Option<T>> {
        match race(event, race(self.shared.closed(), sleep_until(deadline))).await {
            Either::Left(output) => Ok(Some(output)),
            Either::Right(Either::Left(())) => Err(producer_closed()),
            Either::Right(Either::Right(())) => Ok(None),
        }
    }

    /// Waits for memory. Nothing lingers meanwhile.
    async fn acquire_memory(&self, bytes: usize) -> Grant<'_> {
        let (_waiting, is_first) = self.shared.memory.announce_waiter();
        if is_first {
            drop(self.shared.send_everything());
        }
        self.shared.memory.acquire(bytes).await
    }

    fn no_memory(&self, bytes: usize) -> Error {
        let (memory, settings) = (&self.shared.memory, &self.shared.settings);
        let (total, available, limit) = (memory.total(), memory.available(), settings.max_block.as_millis());
        Error::timeout(format!(
            "failed to allocate {bytes} bytes within the configured max blocking time {limit} ms \
             (total memory: {total} bytes, available memory: {available} bytes)"
        ))
    }

    fn no_metadata(&self, topic: &str, partition: Option<i32>, partitions: Option<i32>) -> Error {
        let limit = self.shared.settings.max_block.as_millis();
        Error::timeout(match (partition, partitions) {
            (Some(partition), Some(count)) => format!(
                "partition {partition} of topic {topic} with partition count {count} \
                 is not present in metadata after {limit} ms"
            ),
            _ => format!("topic {topic} not present in metadata after {limit} ms"),
        })
    }

    /// Sends everything that was sent before this call without lingering, and waits until all of it is acknowledged or
    /// has failed, and its callbacks have run. How each record ended is its delivery's business.
    ///
    /// # Errors
    ///
    /// Closed, if the producer was closed before. An illegal state inside a callback, for whose batch it would wait for
    /// ever.
    pub async fn flush(&self) -> Result<()> {
        refuse_in_callback("Producer::flush")?;
        if self.shared.is_closed() {
            return Err(producer_closed());
        }
        let started = self.shared.now();
        self.complete_everything().await;
        self.shared.metrics.flushed(self.shared.now() - started);
        Ok(())
    }

    async fn complete_everything(&self) {
        for delivery in self.shared.send_everything() {
            // That it failed is told to those who hold the records' deliveries.
            drop(delivery.await);
        }
    }

    /// Takes no more records, from any clone, and waits until everything that was sent is acknowledged or has failed.
    ///
    /// That may take up to `delivery.timeout.ms`; see [`close_timeout`](Producer::close_timeout). Closing again is fine.
    ///
    /// # Errors
    ///
    /// An illegal state inside a callback, for whose batch it would wait for ever.
    pub async fn close(&self) -> Result<()> {
        refuse_in_callback("Producer::close")?;
        self.shared.close();
        self.complete_everything().await;
        self.shared.terminate();
        Ok(())
    }

    /// The same, for at most this long; what is not acknowledged by then fails with an error whose
    /// [`is_closed`](Error::is_closed) is true.
    ///
    /// # Errors
    ///
    /// A timeout, if records had to be given up.
    pub async fn close_timeout(&self, timeout: Duration) -> Result<()> {
        self.shared.close();
        let completed = race(self.complete_everything(), tokio::time::sleep(timeout)).await;
        self.shared.terminate();
        match completed {
            Either::Left(()) => Ok(()),
            Either::Right(()) => {
                let ms = timeout.as_millis();
                Err(Error::timeout(format!("the producer was closed with records unacknowledged after {ms} ms")))
            }
        }
    }

    /// The partitions of a topic, in order, with their leaders, waiting for it to be created for up to `max.block.ms`.
    ///
    /// # Errors
    ///
    /// A timeout if there is no such topic by then; `INVALID_TOPIC_EXCEPTION`; closed.
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>> {
        let deadline = self.shared.now() + self.shared.settings.max_block;
        loop {
            if self.shared.is_closed() {
                return Err(producer_closed());
            }
            let blocked = match self.shared.partitions(topic) {
                Ok(partitions) => return Ok(partitions),
                Err(blocked) => *blocked,
            };
            let version = match blocked {
                Blocked::Metadata { version, .. } => version,
                Blocked::Failed(error) => return Err(error),
                Blocked::Memory(_) => unreachable!("metadata takes no memory"),
            };
            let changed = self.newer_metadata(version, deadline).await?;
            changed.ok_or_else(|| self.no_metadata(topic, None, None))?;
        }
    }

    /// The producer's metrics now, under Kafka's names: the groups `producer-metrics`, and `producer-topic-metrics` with a
    /// tag `topic`. [`Cluster::metrics`] has them among those of all clients.
    ///
    /// Values are gathered a batch at a time, so records of an open batch do not count yet. A batch taken to its leader is
    /// what Kafka calls a request.
    ///
    /// ```
    /// # use brokerless::{Cluster, NewTopic, ProducerConfig, ProducerRecord};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// # let cluster = Cluster::in_memory();
    /// # cluster.admin().create_topic(NewTopic::new("orders")).await?;
    /// let producer = cluster.producer(ProducerConfig::default().client_id("billing"))?;
    /// producer.send(ProducerRecord::to("orders").value("3 apples")).await?.await?;
    /// let metrics = producer.metrics();
    /// let sent = metrics.value("record-send-total", "producer-metrics", &[("client-id", "billing")]);
    /// assert_eq!(sent, Some(1.0));
    /// # Ok(()) }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.read(self.now_ms())
    }

    fn now_ms(&self) -> i64 {
        self.shared.cluster.clock().now_ms()
    }

    /// `client.id`; `producer-` and a number where none was configured.
    pub fn client_id(&self) -> &str {
        &self.shared.settings.client_id
    }
}
