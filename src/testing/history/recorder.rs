//! [`History`], and what writes into it.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::client::consumer::{Consumer, ConsumerRecords, RebalanceContext, RebalanceListener};
use crate::client::producer::{Delivery, Producer, ProducerRecord, RecordMetadata};
use crate::error::Result;
use crate::testing::history::check::check;
use crate::testing::history::{Event, Operation, Report};
use crate::types::{Offset, TopicPartition};

type Identify = dyn Fn(Option<&[u8]>, Option<&[u8]>) -> Bytes + Send + Sync;

/// What the clients of a test did and saw: see [the module](crate::testing::history). Cheap to clone; clones write into the
/// same history.
#[derive(Clone)]
pub struct History {
    identify: Arc<Identify>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    operations: Vec<Operation>,
    log_starts: HashMap<TopicPartition, Offset>,
}

impl History {
    /// An empty history of records that are known by their values. A record without one is known by its key.
    pub fn new() -> Self {
        Self::identified_by(|key, value| Bytes::copy_from_slice(value.or(key).unwrap_or_default()))
    }

    /// An empty history of records that are known by what `identify` makes of their key and value. No two records of the
    /// test may be known by the same.
    pub fn identified_by(identify: impl Fn(Option<&[u8]>, Option<&[u8]>) -> Bytes + Send + Sync + 'static) -> Self {
        Self { identify: Arc::new(identify), log: Arc::default() }
    }

    /// A producer of this name. One that takes another one's place after a crash is another, by another name: the order of
    /// sends is one producer's.
    pub fn producer(&self, name: impl Into<Arc<str>>) -> HistoryProducer {
        HistoryProducer { history: self.clone(), name: name.into() }
    }

    /// A consumer of this name. One that takes another one's place is another, by another name.
    pub fn consumer(&self, name: impl Into<Arc<str>>) -> HistoryConsumer {
        HistoryConsumer { history: self.clone(), name: name.into() }
    }

    /// Says that retention, or the test, has deleted what lies below this offset: nobody need have seen it.
    pub fn deleted_before(&self, topic_partition: impl Into<TopicPartition>, log_start: Offset) {
        let mut log = self.log.lock();
        let known = log.log_starts.entry(topic_partition.into()).or_insert(log_start);
        *known = (*known).max(log_start);
    }

    /// What was written down so far. An operation's index is what others name it by.
    pub fn operations(&self) -> Vec<Operation> {
        self.log.lock().operations.clone()
    }

    /// Holds what was written down against the rules, which are those of [`AnomalyKind`](super::AnomalyKind). Call it when
    /// the test is over: every client has been told what became of its sends, and consumers have read all partitions to
    /// their end.
    pub fn check(&self) -> Report {
        let log = self.log.lock();
        check(&log.operations, &log.log_starts)
    }

    /// Returns the operation's index.
    fn write(&self, process: &Arc<str>, event: Event) -> usize {
        let mut log = self.log.lock();
        log.operations.push(Operation { process: Arc::clone(process), event });
        log.operations.len() - 1
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("operations", &self.log.lock().operations.len()).finish_non_exhaustive()
    }
}

/// Writes down what one producer does.
#[derive(Clone, Debug)]
pub struct HistoryProducer {
    history: History,
    name: Arc<str>,
}

impl HistoryProducer {
    /// Sends a record, and writes that down. The acknowledgement is written down when the delivery resolves, so await it,
    /// if only in a task of its own: of a delivery that is dropped before, nobody knows.
    ///
    /// # Errors
    ///
    /// Those of [`Producer::send`].
    pub async fn send(&self, producer: &Producer, record: ProducerRecord<'_>) -> Result<HistoryDelivery> {
        let sending = self.sending(record.topic, record.key_bytes(), record.value_bytes());
        match producer.send(record).await {
            Ok(delivery) => Ok(HistoryDelivery { delivery, sending: Some(sending) }),
            Err(error) => {
                sending.failed(error.error());
                Err(error.into())
            }
        }
    }

    /// A record is about to be sent. Call it before the client is told to send, so that nobody sees the record before.
    pub fn sending(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Sending {
        let id = (self.history.identify)(key, value);
        let send = self.history.write(&self.name, Event::Send { topic: topic.into(), id });
        Sending { history: self.history.clone(), name: Arc::clone(&self.name), send }
    }
}

/// A record that was sent, and of which nobody knows yet what became of it. Dropped, that stays so.
#[derive(Debug)]
#[must_use = "say what became of it, if that is known"]
pub struct Sending {
    history: History,
    name: Arc<str>,
    send: usize,
}

impl Sending {
    /// It was acknowledged, at this offset if that is known.
    pub fn acknowledged(self, topic_partition: impl Into<TopicPartition>, offset: Option<Offset>) {
        let event = Event::Acknowledged { send: self.send, topic_partition: topic_partition.into(), offset };
        self.history.write(&self.name, event);
    }

    /// It failed. Whether it was stored all the same is not known.
    pub fn failed(self, reason: impl fmt::Display) {
        self.history.write(&self.name, Event::Failed { send: self.send, reason: reason.to_string() });
    }
}

/// A [`Delivery`] that writes down what it resolves to.
#[derive(Debug)]
#[must_use = "nothing is written down before it is awaited"]
pub struct HistoryDelivery {
    delivery: Delivery,
    sending: Option<Sending>,
}

impl Future for HistoryDelivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.delivery).poll(cx));
        if let Some(sending) = self.sending.take() {
            match &result {
                Ok(metadata) => {
                    let offset = Some(metadata.offset()).filter(|offset| *offset >= 0);
                    sending.acknowledged(metadata.topic_partition().clone(), offset);
                }
                Err(error) => sending.failed(error),
            }
        }
        Poll::Ready(result)
    }
}

/// Writes down what one consumer sees.
#[derive(Clone, Debug)]
pub struct HistoryConsumer {
    history: History,
    name: Arc<str>,
}

impl HistoryConsumer {
    /// Polls, and writes down what comes.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::poll`].
    pub async fn poll(&self, consumer: &mut Consumer, timeout: Duration) -> Result<ConsumerRecords> {
        let records = consumer.poll(timeout).await?;
        self.polled(
            records
                .iter()
                .map(|record| (record.topic_partition().clone(), record.offset(), record.key(), record.value())),
        );
        Ok(records)
    }

    /// A poll returned these: of each record its partition, its offset, its key and its value, in the poll's order.
    pub fn polled<'r>(
        &self,
        records: impl IntoIterator<Item = (TopicPartition, Offset, Option<&'r [u8]>, Option<&'r [u8]>)>,
    ) {
        let identify =
            |(topic_partition, offset, key, value)| (topic_partition, offset, (self.history.identify)(key, value));
        let records: Vec<_> = records.into_iter().map(identify).collect();
        if !records.is_empty() {
            self.history.write(&self.name, Event::Polled { records });
        }
    }

    /// What comes next of these partitions need not follow what came before: they were assigned, or the consumer has
    /// sought.
    pub fn positioned(&self, partitions: impl IntoIterator<Item = impl Into<TopicPartition>>) {
        let partitions = partitions.into_iter().map(Into::into).collect();
        self.history.write(&self.name, Event::Positioned { partitions });
    }

    /// These positions were committed.
    pub fn committed(&self, positions: impl IntoIterator<Item = (impl Into<TopicPartition>, Offset)>) {
        let positions = positions.into_iter().map(|(partition, offset)| (partition.into(), offset)).collect();
        self.history.write(&self.name, Event::Committed { positions });
    }

    /// A listener for [`Consumer::subscribe_with_listener`], without which rebalances look like polls that skip or go back.
    pub fn listener(&self) -> HistoryListener {
        HistoryListener(self.clone())
    }
}

/// Writes down which partitions a group member gets: see [`HistoryConsumer::listener`].
#[derive(Debug)]
pub struct HistoryListener(HistoryConsumer);

impl RebalanceListener for HistoryListener {
    fn on_partitions_assigned(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.0.positioned(partitions.iter().cloned());
    }
}
