//! [`Producer`].

use std::sync::Arc;
use std::time::Duration;

use crate::blocking::background::Background;
use crate::client::consumer::PartitionInfo;
use crate::client::producer::{Deliveries, Delivery, ProducerRecord, RecordMetadata, SendAllError, SendError};
use crate::error::Result;
use crate::metrics::Metrics;

/// A [`Producer`](crate::Producer) for plain threads. Clones share everything; any number of threads may send.
///
/// A record that finds room in an open batch costs what it costs the asynchronous producer; only what has to wait parks
/// the thread.
#[derive(Clone, Debug)]
pub struct Producer {
    // Before the background thread, which its drop needs.
    inner: crate::client::producer::Producer,
    background: Arc<Background>,
}

impl Producer {
    pub(super) fn new(inner: crate::client::producer::Producer, background: Arc<Background>) -> Self {
        Self { inner, background }
    }

    /// Puts a record into its batch; the returned [`Delivery`] tells what became of it, with [`Delivery::wait`] if need
    /// be. Blocks only while `buffer.memory` is used up or the topic does not exist yet, for at most `max.block.ms`.
    ///
    /// # Errors
    /// Those of [`Producer::send`](crate::Producer::send); each gives the record back.
    #[inline]
    pub fn send<'a>(&self, record: ProducerRecord<'a>) -> Result<Delivery, SendError<'a>> {
        match self.inner.send_now(&record) {
            Some(delivery) => Ok(delivery),
            None => self.send_uncommon(record),
        }
    }

    #[inline(never)]
    fn send_uncommon<'a>(&self, record: ProducerRecord<'a>) -> Result<Delivery, SendError<'a>> {
        self.background.poll_or_block_on(self.inner.send(record))
    }

    /// The same, and calls back once the record is acknowledged, or has failed for good: see
    /// [`Producer::send_with`](crate::Producer::send_with) for where callbacks run. Here that may be the thread
    /// `brokerless`, too.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_with<'a>(
        &self,
        record: ProducerRecord<'a>,
        callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static,
    ) -> Result<Delivery, SendError<'a>> {
        self.background.poll_or_block_on(self.inner.send_with(record, callback))
    }

    /// Blocks until everything that was sent before this call is acknowledged or has failed.
    ///
    /// # Errors
    /// Closed, if the producer was closed before. An illegal state inside a callback, for whose batch it would wait for
    /// ever.
    pub fn flush(&self) -> Result<()> {
        self.background.block_on(self.inner.flush())
    }

    /// Takes no more records, from any clone, and blocks until everything that was sent is acknowledged or has failed.
    ///
    /// # Errors
    /// An illegal state inside a callback, for whose batch it would wait for ever.
    pub fn close(&self) -> Result<()> {
        self.background.block_on(self.inner.close())
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// A timeout, if records had to be given up.
    pub fn close_timeout(&self, timeout: Duration) -> Result<()> {
        self.background.block_on(self.inner.close_timeout(timeout))
    }

    /// The partitions of a topic, in order, with their leaders, waiting for it to be created for up to `max.block.ms`.
    ///
    /// # Errors
    /// A timeout if there is no such topic by then; `INVALID_TOPIC_EXCEPTION`; closed.
    pub fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>> {
        self.background.block_on(self.inner.partitions_for(topic))
    }

    /// Puts records into their batches, in order: see [`Producer::send_all`](crate::Producer::send_all).
    ///
    /// # Errors
    /// Those of `send`, at the first record that cannot be sent.
    pub fn send_all(&self, records: &[ProducerRecord<'_>]) -> Result<Deliveries, SendAllError> {
        self.background.block_on(self.inner.send_all(records))
    }

    /// What the producer measures, as of now: see [`Producer::metrics`](crate::Producer::metrics).
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }

    /// `client.id`.
    pub fn client_id(&self) -> &str {
        self.inner.client_id()
    }
}
