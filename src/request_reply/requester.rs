//! [`Requester`]: sends requests and awaits replies.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::client::consumer::{Consumer, ConsumerConfig, OwnedConsumerRecord};
use crate::client::producer::{Producer, ProducerRecord};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorCode, Result};
use crate::request_reply::pending::Pending;
use crate::request_reply::reply_to::header;
use crate::request_reply::{CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC, RequesterConfig};
use crate::types::TopicPartition;

/// Sends requests and awaits their replies, many at a time: see the [module](super).
///
/// Cloning is cheap, and clones share everything. One background task reads the reply topic; it ends when the last clone
/// is dropped, or with [`close`](Self::close).
#[derive(Clone)]
pub struct Requester {
    inner: Arc<Inner>,
}

struct Inner {
    producer: Producer,
    pending: Arc<Pending>,
    reply_topic: Bytes,
    reply_partition: i32,
    timeout: Duration,
    max_in_flight: u32,
    in_flight: Semaphore,
    closing: AtomicBool,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Requester {
    /// Begins to read replies, from the end of the reply topic's partition, and sends through `producer`, which may be
    /// shared. Its `linger.ms` (5) is part of every request's time: 0 answers soonest.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` for the reply topic; `INVALID_CONFIG`; an illegal state outside of a tokio runtime.
    pub async fn open(cluster: &Cluster, producer: Producer, config: RequesterConfig) -> Result<Self> {
        config.validate()?;
        // The reply topic has to exist: asking for it must not create it.
        let mut consumer = cluster.consumer(ConsumerConfig::default().allow_auto_create_topics(false))?;
        let requester = fastrand::u64(..);
        let partitions = consumer.partitions_for(&config.reply_topic).await?.len() as i32;
        let partition = config.partition.unwrap_or((requester % partitions as u64) as i32);
        let topic_partition = TopicPartition::new(Arc::clone(&config.reply_topic), partition);
        if !(0..partitions).contains(&partition) {
            let message = format!("{} has {partitions} partitions", config.reply_topic);
            return Err(Error::new(ErrorCode::UnknownTopicOrPartition, message).with_topic_partition(topic_partition));
        }
        consumer.assign([&topic_partition])?;
        consumer.seek_to_end([&topic_partition])?;
        // The end as of now, not as of the first poll: a reply may come before that.
        consumer.position(&topic_partition).await?;
        let pending = Arc::new(Pending::new(requester));
        let task = cluster.spawn(receive(consumer, Arc::clone(&pending)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                producer,
                pending,
                reply_topic: Bytes::copy_from_slice(config.reply_topic.as_bytes()),
                reply_partition: partition,
                timeout: config.timeout,
                max_in_flight: config.max_in_flight,
                in_flight: Semaphore::new(config.max_in_flight as usize),
                closing: AtomicBool::new(false),
                task,
            }),
        })
    }

    /// Sends a request, with the headers that ask for a reply, and waits for that.
    ///
    /// Dropping the future gives up waiting; the request may have been sent.
    ///
    /// # Errors
    /// A timeout; those of [`Producer::send`] and of the delivery; closed after [`close`](Self::close).
    pub async fn request(&self, record: ProducerRecord<'_>) -> Result<OwnedConsumerRecord> {
        self.request_timeout(record, self.inner.timeout).await
    }

    /// The same with a timeout of its own.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn request_timeout(&self, record: ProducerRecord<'_>, timeout: Duration) -> Result<OwnedConsumerRecord> {
        if self.inner.closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        let topic = record.topic;
        match tokio::time::timeout(timeout, self.exchange(record)).await {
            Ok(result) => result,
            Err(_) => {
                let ms = timeout.as_millis();
                Err(Error::timeout(format!("there was no reply to a request to {topic} within {ms} ms")))
            }
        }
    }

    async fn exchange(&self, record: ProducerRecord<'_>) -> Result<OwnedConsumerRecord> {
        let Inner { producer, pending, reply_topic, reply_partition, in_flight, .. } = &*self.inner;
        let _turn = in_flight.acquire().await.map_err(|_| closed())?;
        let mut expected = pending.expect_reply()?;
        let record = record
            .header(CORRELATION_ID, expected.correlation_id().to_vec())
            .header(REPLY_TOPIC, reply_topic.clone())
            .header(REPLY_PARTITION, reply_partition.to_be_bytes().to_vec());
        // There is no reply to a request that was not stored.
        producer.send(record).await?.await?;
        expected.reply().await
    }

    /// Takes no more requests, waits until those that there are have ended, and stops reading replies.
    pub async fn close(&self) {
        let Inner { closing, in_flight, max_in_flight, pending, task, .. } = &*self.inner;
        closing.store(true, Ordering::Release);
        // Whoever was there first gets a turn first.
        drop(in_flight.acquire_many(*max_in_flight).await);
        in_flight.close();
        pending.fail(closed());
        task.abort();
    }

    /// How many requests wait for their replies.
    pub fn in_flight(&self) -> usize {
        self.inner.pending.in_flight()
    }

    /// How many replies came when nobody waited for them any more, or came again.
    pub fn late_replies(&self) -> u64 {
        self.inner.pending.late()
    }

    /// How many records of the reply topic were none of this requester's replies.
    pub fn foreign_replies(&self) -> u64 {
        self.inner.pending.foreign()
    }
}

/// Hands replies to those who wait, until there is an error.
async fn receive(mut consumer: Consumer, pending: Arc<Pending>) {
    loop {
        match consumer.poll(Duration::MAX).await {
            Ok(records) => {
                for reply in records {
                    let correlation_id = header(&reply, CORRELATION_ID).map(<[u8]>::to_vec);
                    pending.complete(correlation_id.as_deref(), reply);
                }
            }
            Err(error) => return pending.fail(error),
        }
    }
}

fn closed() -> Error {
    Error::closed("the requester")
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("reply_topic", &self.inner.reply_topic)
            .field("reply_partition", &self.inner.reply_partition)
            .field("in_flight", &self.in_flight())
            .field("late_replies", &self.late_replies())
            .finish_non_exhaustive()
    }
}
