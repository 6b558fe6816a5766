//! [`TypedProducer`]: serializes, and hands the bytes to a producer.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::client::producer::{Delivery, Producer, ProducerRecord};
use crate::error::{Error, Result};
use crate::typed::{BoxError, Part, SerializeContext, Serializer, TypedRecord};

/// A producer of typed records.
///
/// It is a [`Producer`] with a typed [`send`](Self::send): everything else (`flush`, `close`, `partitions_for`) is that of
/// the producer inside, by deref. Cloning is cheap, and clones share everything. Keys and values may be unsized types:
/// a `TypedProducer<str, Order>` is sent `&str` keys.
///
/// ```
/// # use brokerless::{Cluster, NewTopic, ProducerConfig};
/// use brokerless::typed::{Plain, TypedProducer, TypedRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// # let cluster = Cluster::in_memory();
/// # cluster.admin().create_topic(NewTopic::new("scores")).await?;
/// let producer = TypedProducer::<str, i64>::new(cluster.producer(ProducerConfig::default())?, Plain, Plain);
/// let delivery = producer.send(TypedRecord::to("scores").key("ada").value(&42)).await?;
/// assert_eq!(delivery.await?.offset(), 0);
/// # Ok(()) }
/// ```
pub struct TypedProducer<K: ?Sized, V: ?Sized> {
    producer: Producer,
    key: Arc<dyn Serializer<K>>,
    value: Arc<dyn Serializer<V>>,
}

/// What a thread's buffer may grow to and still be kept for the next record: the default `max.request.size`.
const KEPT_CAPACITY: usize = 1 << 20;

thread_local! {
    /// Where a record is serialized before the producer copies it into its batch. One a thread, so that nobody waits for
    /// it; a send that is suspended takes it along.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    /// Sends through `producer`, which may be shared with others.
    pub fn new(
        producer: Producer,
        key: impl Serializer<K> + 'static,
        value: impl Serializer<V> + 'static,
    ) -> TypedProducer<K, V> {
        Self { producer, key: Arc::new(key), value: Arc::new(value) }
    }

    /// Serializes a record and puts it into its batch. The key is serialized first. Otherwise as [`Producer::send`].
    ///
    /// # Errors
    /// [`Error::is_serialization`], with the serializer's error as its source; else those of [`Producer::send`].
    pub async fn send(&self, record: TypedRecord<'_, K, V>) -> Result<Delivery> {
        let mut buffer = BUFFER.take();
        buffer.clear();
        let mut context = SerializeContext::with_headers(record.topic, Part::Key, &record.headers);
        if let Some(key) = record.key {
            self.key.serialize(key, &mut context, &mut buffer).map_err(|cause| cannot_serialize(&context, cause))?;
        }
        let key_size = buffer.len();
        context.part = Part::Value;
        if let Some(value) = record.value {
            self.value
                .serialize(value, &mut context, &mut buffer)
                .map_err(|cause| cannot_serialize(&context, cause))?;
        }
        let added = context.added;

        let (key, value) = buffer.split_at(key_size);
        let mut raw = ProducerRecord::to(record.topic);
        (raw.partition, raw.timestamp) = (record.partition, record.timestamp);
        if record.key.is_some() {
            raw = raw.key(key);
        }
        if record.value.is_some() {
            raw = raw.value(value);
        }
        for header in record.headers.iter().chain(&added) {
            raw = match &header.value {
                Some(value) => raw.header(&*header.name, &**value),
                None => raw.null_header(&*header.name),
            };
        }
        let sent = self.producer.send(raw).await.map_err(Error::from);
        if buffer.capacity() <= KEPT_CAPACITY {
            BUFFER.set(buffer);
        }
        sent
    }

    /// The producer inside, for raw records.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }
}

#[cold]
fn cannot_serialize(context: &SerializeContext<'_>, cause: BoxError) -> Error {
    let message = format!("cannot serialize the {} of a record for {}", context.part(), context.topic());
    Error::serialization(message).with_source(cause)
}

impl<K: ?Sized, V: ?Sized> Deref for TypedProducer<K, V> {
    type Target = Producer;

    fn deref(&self) -> &Producer {
        &self.producer
    }
}

impl<K: ?Sized, V: ?Sized> Clone for TypedProducer<K, V> {
    fn clone(&self) -> Self {
        Self { producer: self.producer.clone(), key: Arc::clone(&self.key), value: Arc::clone(&self.value) }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for TypedProducer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}
