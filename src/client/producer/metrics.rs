//! [`ProducerMetrics`] and [`TopicMetrics`]: what a producer counts, under Kafka's names; and [`Tally`], by which it
//! counts a batch with a few additions.
//!
//! The thread that sends a slot's batches adds to the slot's tally. A tally goes to the sensors when it is a second old, or
//! when somebody reads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::producer::shared::Shared;
use crate::client::producer::slot::Slot;
use crate::cluster::Cluster;
use crate::metrics::{Counter, MetricConfig, Metrics, Scope, Sensor, Values};

/// How long values are gathered: short next to the windows that rates and averages are over.
const GATHERED_MS: i64 = 1_000;

const GROUP: &str = "producer-metrics";
const TOPIC_GROUP: &str = "producer-topic-metrics";

/// Metrics of the whole producer.
#[derive(Debug)]
pub(super) struct ProducerMetrics {
    scope: Scope,
    records: Sensor,
    batch_size: Sensor,
    queue_time: Sensor,
    compression: Sensor,
    record_size: Sensor,
    latency: Sensor,
    retries: Sensor,
    errors: Sensor,
    splits: Sensor,
    /// Seconds that threads waited for memory.
    memory_wait: Sensor,
    exhausted: Sensor,
    memory_wait_ns: Counter,
    flush_ns: Counter,
    metadata_wait_ns: Counter,
}

/// Metrics of one topic.
#[derive(Debug)]
pub(super) struct TopicMetrics {
    _scope: Scope,
    records: Sensor,
    bytes: Sensor,
    compression: Sensor,
    retries: Sensor,
    errors: Sensor,
}

/// One batch at its leader's.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentBatch {
    pub(super) records: u32,
    /// Bytes, header included, as sent.
    pub(super) size: usize,
    /// The same before compression.
    pub(super) raw_size: usize,
    pub(super) largest_record: usize,
    /// Since the batch was opened.
    pub(super) queued: Duration,
}

/// What one slot's batches came to since the last time that somebody asked.
#[derive(Debug, Default)]
pub(super) struct Tally {
    first_ms: i64,
    last_ms: i64,
    is_used: bool,
    records: Values,
    batch_size: Values,
    queue_time: Values,
    compression: Values,
    record_size: Values,
    latency: Values,
    retries: Values,
    errors: Values,
    splits: Values,
}

impl Tally {
    /// A batch was taken to its leader, for the first time or again.
    pub(super) fn sent(&mut self, batch: SentBatch) {
        self.records.add(f64::from(batch.records));
        self.batch_size.add(batch.size as f64);
        self.queue_time.add(milliseconds(batch.queued));
        self.compression.add(batch.size as f64 / batch.raw_size as f64);
        self.record_size.add(batch.largest_record as f64);
    }

    /// A leader's answer took this long.
    pub(super) fn answered(&mut self, latency: Duration) {
        self.latency.add(milliseconds(latency));
    }

    /// So many records are to be sent again.
    pub(super) fn retried(&mut self, records: u32) {
        self.retries.add(f64::from(records));
    }

    /// So many records have failed for good.
    pub(super) fn failed(&mut self, records: u32) {
        self.errors.add(f64::from(records));
    }

    pub(super) fn split(&mut self) {
        self.splits.add(1.0);
    }
}

/// The tally of one slot. Its lock is a leaf.
#[derive(Debug)]
pub(super) struct SlotMetrics {
    tally: Mutex<Tally>,
    topic: Arc<TopicMetrics>,
}

impl SlotMetrics {
    pub(super) fn new(topic: Arc<TopicMetrics>) -> Self {
        Self { tally: Mutex::default(), topic }
    }

    /// Counts something; passes everything on if it has gathered for long enough.
    pub(super) fn count(&self, producer: &ProducerMetrics, now_ms: i64, count: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock();
        if !tally.is_used {
            (tally.is_used, tally.first_ms) = (true, now_ms);
        }
        tally.last_ms = now_ms;
        count(&mut tally);
        if now_ms - tally.first_ms >= GATHERED_MS {
            self.pass_on(producer, &mut tally);
        }
    }

    /// Passes on what was counted, for somebody who is about to read it.
    fn flush(&self, producer: &ProducerMetrics) {
        let mut tally = self.tally.lock();
        if tally.is_used {
            self.pass_on(producer, &mut tally);
        }
    }

    #[cold]
    fn pass_on(&self, producer: &ProducerMetrics, tally: &mut Tally) {
        let Tally { last_ms, records, batch_size, queue_time, compression, record_size, .. } = *tally;
        let Tally { latency, retries, errors, splits, .. } = *tally;
        *tally = Tally::default();
        let topic = &*self.topic;
        for (sensor, values) in [
            (&producer.records, records),
            (&producer.batch_size, batch_size),
            (&producer.queue_time, queue_time),
            (&producer.compression, compression),
            (&producer.record_size, record_size),
            (&producer.latency, latency),
            (&producer.retries, retries),
            (&producer.errors, errors),
            (&producer.splits, splits),
            (&topic.records, records),
            (&topic.bytes, batch_size),
            (&topic.compression, compression),
            (&topic.retries, retries),
            (&topic.errors, errors),
        ] {
            sensor.record_all(values, last_ms);
        }
    }
}

impl ProducerMetrics {
    /// Registers a producer's metrics. Those that are measured when they are read come later, with
    /// [`ProducerMetrics::register_gauges`].
    pub(super) fn new(cluster: &Cluster, client_id: &str) -> Self {
        Self::in_scope(cluster.client_metrics(GROUP, client_id, MetricConfig::default()))
    }

    fn in_scope(scope: Scope) -> Self {
        let records = scope
            .sensor()
            .meter(
                ("record-send-rate", "The average number of records sent per second"),
                ("record-send-total", "The total number of records sent"),
            )
            .avg("records-per-request-avg", "The average number of records in a batch as it was sent")
            .build();
        let batch_size = scope
            .sensor()
            .avg("batch-size-avg", "The average number of bytes in a batch as it was sent")
            .max("batch-size-max", "The largest number of bytes in a batch as it was sent")
            .meter(
                ("outgoing-byte-rate", "The average number of bytes sent per second"),
                ("outgoing-byte-total", "The total number of bytes sent"),
            )
            .occurrences(
                ("request-rate", "The average number of batches taken to leaders per second"),
                ("request-total", "The total number of batches taken to leaders"),
            )
            .build();
        let queue_time = scope
            .sensor()
            .avg("record-queue-time-avg", "The average time in ms that batches waited in the producer")
            .max("record-queue-time-max", "The longest time in ms that a batch waited in the producer")
            .build();
        let compression = scope
            .sensor()
            .avg("compression-rate-avg", "The average size of compressed batches over their size before")
            .build();
        let record_size = scope
            .sensor()
            .avg("record-size-avg", "The average size of the largest record of each batch")
            .max("record-size-max", "The size of the largest record")
            .build();
        let latency = scope
            .sensor()
            .avg("request-latency-avg", "The average time in ms until a batch was acknowledged or refused")
            .max("request-latency-max", "The longest time in ms until a batch was acknowledged or refused")
            .build();
        let retries = scope
            .sensor()
            .meter(
                ("record-retry-rate", "The average number of records to send again per second"),
                ("record-retry-total", "The total number of records that were to be sent again"),
            )
            .build();
        let errors = scope
            .sensor()
            .meter(
                ("record-error-rate", "The average number of records that failed per second"),
                ("record-error-total", "The total number of records that failed"),
            )
            .build();
        let splits = scope
            .sensor()
            .meter(
                ("batch-split-rate", "The average number of batches split per second"),
                ("batch-split-total", "The total number of batches that were split"),
            )
            .build();
        let memory_wait = scope
            .sensor()
            .rate("bufferpool-wait-ratio", "The fraction of time that senders waited for buffer.memory")
            .build();
        let exhausted = scope
            .sensor()
            .meter(
                ("buffer-exhausted-rate", "The average number of sends per second that found no buffer.memory in time"),
                ("buffer-exhausted-total", "The total number of sends that found no buffer.memory in time"),
            )
            .build();
        let memory_wait_ns = scope
            .counter("bufferpool-wait-time-ns-total", "The total time in ns that senders waited for buffer.memory");
        let flush_ns = scope.counter("flush-time-ns-total", "The total time in ns spent in flush");
        let metadata_wait_ns =
            scope.counter("metadata-wait-time-ns-total", "The total time in ns that senders waited for metadata");
        Self {
            records,
            batch_size,
            queue_time,
            compression,
            record_size,
            latency,
            retries,
            errors,
            splits,
            memory_wait,
            exhausted,
            memory_wait_ns,
            flush_ns,
            metadata_wait_ns,
            scope,
        }
    }

    /// Metrics that nobody reads.
    #[cfg(test)]
    pub(super) fn detached() -> Self {
        Self::in_scope(crate::metrics::Registry::new().client(GROUP, "test", MetricConfig::default()))
    }

    /// Registers what is measured when it is read.
    pub(super) fn register_gauges(&self, shared: &Arc<Shared>) {
        let gathered = Arc::downgrade(shared);
        self.scope.before_read(move |_now_ms| {
            if let Some(shared) = gathered.upgrade() {
                for slot in shared.topics.slots() {
                    slot.metrics().flush(&shared.metrics);
                }
            }
        });
        let gauge = |name, description, measure: fn(&Shared) -> f64| {
            let shared: Weak<Shared> = Arc::downgrade(shared);
            let measure = move |_now_ms| shared.upgrade().map_or(0.0, |shared| measure(&shared));
            self.scope.gauge(name, description, measure);
        };
        gauge("buffer-total-bytes", "buffer.memory, in bytes", |shared| shared.memory.total() as f64);
        gauge("buffer-available-bytes", "The bytes of buffer.memory that are not used", |shared| {
            shared.memory.available() as f64
        });
        gauge("waiting-threads", "The number of senders that wait for buffer.memory", |shared| {
            shared.memory.waiting() as f64
        });
        gauge("requests-in-flight", "The number of batches at leaders that are not acknowledged", |shared| {
            shared.in_flight() as f64
        });
    }

    /// The metrics of a topic that the producer begins to write to.
    pub(super) fn topic(&self, name: &Arc<str>) -> Arc<TopicMetrics> {
        let scope = self.scope.child(TOPIC_GROUP, [("topic", Arc::clone(name))]);
        let meter = |rate, total| scope.sensor().meter(rate, total).build();
        Arc::new(TopicMetrics {
            records: meter(
                ("record-send-rate", "The average number of records sent per second for a topic"),
                ("record-send-total", "The total number of records sent for a topic"),
            ),
            bytes: meter(
                ("byte-rate", "The average number of bytes sent per second for a topic"),
                ("byte-total", "The total number of bytes sent for a topic"),
            ),
            compression: scope
                .sensor()
                .avg("compression-rate", "The average size of a topic's compressed batches over their size before")
                .build(),
            retries: meter(
                ("record-retry-rate", "The average number of records to send again per second for a topic"),
                ("record-retry-total", "The total number of records that were to be sent again for a topic"),
            ),
            errors: meter(
                ("record-error-rate", "The average number of records that failed per second for a topic"),
                ("record-error-total", "The total number of records that failed for a topic"),
            ),
            _scope: scope,
        })
    }

    /// A send failed before there was a batch to count it.
    pub(super) fn send_failed(&self, now_ms: i64) {
        self.errors.record(1.0, now_ms);
    }

    pub(super) fn waited_for_memory(&self, waited: Duration, is_exhausted: bool, now_ms: i64) {
        self.memory_wait.record(waited.as_secs_f64(), now_ms);
        self.memory_wait_ns.add(nanoseconds(waited));
        if is_exhausted {
            self.exhausted.record(1.0, now_ms);
        }
    }

    pub(super) fn waited_for_metadata(&self, waited: Duration) {
        self.metadata_wait_ns.add(nanoseconds(waited));
    }

    pub(super) fn flushed(&self, duration: Duration) {
        self.flush_ns.add(nanoseconds(duration));
    }

    pub(super) fn read(&self, now_ms: i64) -> Metrics {
        self.scope.metrics(now_ms)
    }
}

impl Shared {
    /// Batches at leaders that are not acknowledged.
    fn in_flight(&self) -> usize {
        self.topics.slots().map(|slot| slot.in_flight()).sum()
    }

    /// Counts something of a slot's batches.
    pub(super) fn count(&self, slot: &Slot, now: Instant, count: impl FnOnce(&mut Tally)) {
        slot.metrics().count(&self.metrics, self.cluster.clock().ms_at(now), count);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
