//! [`TypedConsumer`]: polls, and parses what comes.

use std::any::type_name;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::client::consumer::{Consumer, ConsumerRecord, ConsumerRecords};
use crate::error::Result;
use crate::typed::dead_letter::{DeadLetter, Stage, message};
use crate::typed::records::Parsed;
use crate::typed::{
    DeserializeContext, Deserializer, OnUnparsable, Part, PollError, TypedConsumerRecords, UnparsableRecord,
};
use crate::types::{Offset, TopicPartition};

/// A consumer of typed records.
///
/// It is a [`Consumer`] with a typed [`poll`](Self::poll): everything else (`subscribe`, `seek`, `commit`, `pause` ...) is
/// that of the consumer inside, by deref. Its `stream`, too: that one yields raw records.
///
/// ```
/// use std::time::Duration;
/// use brokerless::typed::{OnUnparsable, Plain, TypedConsumer};
/// # use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// # let cluster = Cluster::in_memory();
/// # cluster.admin().create_topic(NewTopic::new("scores").partitions(1)).await?;
/// # let producer = cluster.producer(ProducerConfig::default())?;
/// # producer.send(ProducerRecord::to("scores").value("forty-two")).await?;
/// # producer.send(ProducerRecord::to("scores").value(&42i64.to_be_bytes())).await?;
/// # producer.flush().await?;
/// # let config = ConsumerConfig::group("table").auto_offset_reset(AutoOffsetReset::Earliest);
/// let mut consumer = TypedConsumer::<String, i64>::new(cluster.consumer(config)?, Plain, Plain)
///     .on_unparsable(OnUnparsable::Skip);
/// consumer.subscribe(["scores"])?;
/// let records = consumer.poll(Duration::from_secs(5)).await?;
/// assert_eq!(records.iter().map(|record| record.value().copied()).collect::<Vec<_>>(), [Some(42)]);
/// assert_eq!(consumer.skipped(), 1);
/// consumer.commit().await?;
/// consumer.close().await?;
/// # Ok(()) }
/// ```
pub struct TypedConsumer<K, V> {
    consumer: Consumer,
    key: Box<dyn Deserializer<K>>,
    value: Box<dyn Deserializer<V>>,
    /// The names of the deserializers' types.
    classes: [&'static str; 2],
    policy: OnUnparsable,
    skipped: u64,
    dead_lettered: u64,
    /// The record that ended a poll early, with [`OnUnparsable::Fail`]: the next poll that meets it fails.
    stuck_at: Option<(TopicPartition, Offset)>,
}

impl<K, V> TypedConsumer<K, V> {
    /// Parses what this consumer polls.
    pub fn new<KD, VD>(consumer: Consumer, key: KD, value: VD) -> Self
    where
        KD: Deserializer<K> + 'static,
        VD: Deserializer<V> + 'static,
    {
        Self {
            consumer,
            key: Box::new(key),
            value: Box::new(value),
            classes: [type_name::<KD>(), type_name::<VD>()],
            policy: OnUnparsable::Fail,
            skipped: 0,
            dead_lettered: 0,
            stuck_at: None,
        }
    }

    /// Says what to do with records that do not parse. Default: [`OnUnparsable::Fail`].
    pub fn on_unparsable(mut self, policy: OnUnparsable) -> Self {
        self.policy = policy;
        self
    }

    /// Polls, and parses what came. It may return no records before `timeout` is over, when all that came were passed
    /// over by the policy.
    ///
    /// With [`OnUnparsable::Fail`], a poll that meets a record that does not parse returns what came before it. The next
    /// one that meets it fails, with the position in front of it, and so on until the application seeks past the record or
    /// pauses its partition. What a poll that fails had of other partitions comes again.
    ///
    /// With [`OnUnparsable::DeadLetter`], it returns only after the topic has acknowledged the records that do not parse.
    /// If that fails, or the future is dropped before, all positions are where they were before the poll: some records may
    /// then come to the topic twice.
    ///
    /// # Errors
    /// [`PollError::Unparsable`] with [`OnUnparsable::Fail`]; [`PollError::Client`] with the errors of [`Consumer::poll`],
    /// and of sending to the dead-letter topic. No error moves a position past anything.
    pub async fn poll(&mut self, timeout: Duration) -> Result<TypedConsumerRecords<K, V>, PollError> {
        let raw = self.consumer.poll(timeout).await?;
        let mut parsed = Vec::with_capacity(raw.len());
        let mut unparsable = Vec::new();
        for record in &raw {
            match self.parse(record) {
                Ok(record) => parsed.push(Some(record)),
                Err(error) => {
                    unparsable.push(*error);
                    match &self.policy {
                        OnUnparsable::Fail => break,
                        OnUnparsable::Skip | OnUnparsable::DeadLetter(_) => parsed.push(None),
                    }
                }
            }
        }
        if unparsable.is_empty() {
            return Ok(TypedConsumerRecords::new(raw, parsed, 0, Vec::new()));
        }
        self.resolve(raw, parsed, unparsable).await
    }

    #[inline]
    fn parse(&self, record: ConsumerRecord<'_>) -> Result<Parsed<K, V>, Box<UnparsableRecord>> {
        let parse_error = |part| move |cause| Box::new(UnparsableRecord::new(record.to_owned(), part, cause));
        let key = match record.key() {
            Some(bytes) => {
                let context = DeserializeContext::of(record, Part::Key);
                Some(self.key.deserialize(bytes, &context).map_err(parse_error(Part::Key))?)
            }
            None => None,
        };
        let value = match record.value() {
            Some(bytes) => {
                let context = DeserializeContext::of(record, Part::Value);
                Some(self.value.deserialize(bytes, &context).map_err(parse_error(Part::Value))?)
            }
            None => None,
        };
        Ok(Parsed { key, value })
    }

    /// What the policy makes of a poll in which something did not parse.
    #[cold]
    async fn resolve(
        &mut self,
        raw: ConsumerRecords,
        parsed: Vec<Option<Parsed<K, V>>>,
        mut unparsable: Vec<UnparsableRecord>,
    ) -> Result<TypedConsumerRecords<K, V>, PollError> {
        match self.policy.clone() {
            OnUnparsable::Skip => self.skipped += unparsable.len() as u64,
            OnUnparsable::DeadLetter(dead_letter) => {
                // Nothing moves before everything is acknowledged, or if this future is dropped.
                // What `raw` says of the next offsets is not it, if an interceptor has collected it anew.
                let behind = self.consumer.consumed();
                let rewound = self.rewind(&raw, 0)?;
                self.report(&dead_letter, &unparsable).await?;
                self.dead_lettered += unparsable.len() as u64;
                for (topic_partition, next) in behind {
                    if rewound.iter().any(|(partition, _)| *partition == topic_partition) {
                        self.consumer.seek_with_metadata(topic_partition, next)?;
                    }
                }
            }
            OnUnparsable::Fail => {
                let first = unparsable.remove(0);
                let is_stuck = (self.stuck_at.as_ref()).is_some_and(|(partition, offset)| {
                    partition == first.topic_partition() && *offset == first.offset()
                });
                if is_stuck || parsed.is_empty() {
                    // Stuck, it fails whatever other partitions have: a busy one would hide it for good.
                    self.rewind(&raw, 0)?;
                    return Err(PollError::Unparsable(Box::new(first)));
                }
                self.stuck_at = Some((first.topic_partition().clone(), first.offset()));
                let cut = self.rewind(&raw, parsed.len())?;
                return Ok(TypedConsumerRecords::new(raw, parsed, 0, cut));
            }
        }
        Ok(TypedConsumerRecords::new(raw, parsed, unparsable.len(), Vec::new()))
    }

    /// Moves positions back to the lowest record of each partition that is not among the first `keep`.
    fn rewind(&mut self, raw: &ConsumerRecords, keep: usize) -> Result<Vec<(TopicPartition, Offset)>> {
        let mut cut: Vec<(TopicPartition, Offset)> = Vec::new();
        for record in raw.iter().skip(keep) {
            // A partition's records come together, and in order of offset, unless an interceptor has put them into another:
            // so it is nearly always the last one.
            match cut.iter_mut().rfind(|(partition, _)| partition == record.topic_partition()) {
                Some((_, lowest)) => *lowest = record.offset().min(*lowest),
                None => cut.push((record.topic_partition().clone(), record.offset())),
            }
        }
        // An interceptor may have made up records of others, which have no position.
        let assigned = self.consumer.assignment();
        cut.retain(|(topic_partition, _)| assigned.contains(topic_partition));
        for (topic_partition, offset) in &cut {
            self.consumer.seek(topic_partition, *offset)?;
        }
        Ok(cut)
    }

    /// Sends records to the dead-letter topic, and waits for all of them.
    async fn report(&self, dead_letter: &DeadLetter, unparsable: &[UnparsableRecord]) -> Result<()> {
        let mut deliveries = Vec::with_capacity(unparsable.len());
        for error in unparsable {
            let (stage, class) = match error.part() {
                Part::Key => (Stage::KeyConverter, self.classes[0]),
                Part::Value => (Stage::ValueConverter, self.classes[1]),
            };
            let error_class = "brokerless::typed::UnparsableRecord";
            deliveries.push(dead_letter.send_as(error.record(), stage, class, error_class, message(error)).await?);
        }
        for delivery in deliveries {
            delivery.await?;
        }
        Ok(())
    }

    /// How many records were passed over by [`OnUnparsable::Skip`].
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many records were sent to the dead-letter topic and acknowledged.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered
    }

    /// The consumer inside.
    pub fn into_inner(self) -> Consumer {
        self.consumer
    }

    /// [`Consumer::close`].
    pub async fn close(self) -> Result<()> {
        self.consumer.close().await
    }

    /// [`Consumer::close_timeout`].
    pub async fn close_timeout(self, timeout: Duration) -> Result<()> {
        self.consumer.close_timeout(timeout).await
    }
}

impl<K, V> Deref for TypedConsumer<K, V> {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.consumer
    }
}

impl<K, V> DerefMut for TypedConsumer<K, V> {
    fn deref_mut(&mut self) -> &mut Consumer {
        &mut self.consumer
    }
}

impl<K, V> fmt::Debug for TypedConsumer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConsumer")
            .field("consumer", &self.consumer)
            .field("policy", &self.policy)
            .field("skipped", &self.skipped)
            .field("dead_lettered", &self.dead_lettered)
            .finish_non_exhaustive()
    }
}
