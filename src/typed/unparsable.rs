//! Records that do not parse: [`UnparsableRecord`], and what becomes of it, [`OnUnparsable`].

use std::fmt;

use crate::client::consumer::OwnedConsumerRecord;
use crate::error::Error;
use crate::typed::{BoxError, DeadLetter, Part};
use crate::types::{Offset, TopicPartition};

/// What a typed consumer does with a record that does not parse.
///
/// ```
/// use std::time::Duration;
///
/// use brokerless::typed::{DeadLetter, OnUnparsable, Plain, TypedConsumer};
/// use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let cluster = Cluster::in_memory();
/// for topic in ["orders", "orders.dead"] {
///     cluster.admin().create_topic(NewTopic::new(topic)).await?;
/// }
/// let producer = cluster.producer(ProducerConfig::default())?;
/// producer.send(ProducerRecord::to("orders").value("not eight bytes")).await?;
/// producer.send(ProducerRecord::to("orders").value(&42_i64.to_be_bytes())).await?.await?;
///
/// let consumer = cluster.consumer(ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest))?;
/// let mut consumer: TypedConsumer<String, i64> = TypedConsumer::new(consumer, Plain, Plain)
///     .on_unparsable(OnUnparsable::DeadLetter(DeadLetter::new(producer, "orders.dead").name("billing")));
/// consumer.subscribe(["orders"])?;
/// let records = consumer.poll(Duration::from_secs(5)).await?;
/// assert_eq!(records.iter().filter_map(|record| record.value()).collect::<Vec<_>>(), [&42]);
/// // The other record is in `orders.dead` by now, and will be committed with this one.
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum OnUnparsable {
    /// The poll fails, as in Kafka. See [`TypedConsumer::poll`](super::TypedConsumer::poll) for where that leaves the
    /// position. The default.
    #[default]
    Fail,
    /// The record is passed over and counted: [`TypedConsumer::skipped`](super::TypedConsumer::skipped).
    Skip,
    /// The raw record goes to a dead-letter topic, and is passed over once that has acknowledged it.
    DeadLetter(DeadLetter),
}

/// A record that does not parse, with the reason: Kafka's `RecordDeserializationException`.
///
/// As the source of an [`Error`] it can be had by `downcast_ref`.
#[derive(Debug)]
pub struct UnparsableRecord {
    record: OwnedConsumerRecord,
    part: Part,
    cause: BoxError,
}

impl UnparsableRecord {
    pub(super) fn new(record: OwnedConsumerRecord, part: Part, cause: BoxError) -> Self {
        Self { record, part, cause }
    }

    /// The raw record.
    pub fn record(&self) -> &OwnedConsumerRecord {
        &self.record
    }

    /// The raw record, to keep.
    pub fn into_record(self) -> OwnedConsumerRecord {
        self.record
    }

    /// What of it does not parse. The key is parsed first.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Where it was read.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.record.topic_partition()
    }

    /// Its offset; the next one is where to seek to pass over it.
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// What the deserializer said.
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl fmt::Display for UnparsableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, partition, offset) = (self.part, self.topic_partition(), self.offset());
        write!(
            f,
            "cannot deserialize the {part} of {partition} at offset {offset}; if needed, seek past it to continue"
        )
    }
}

impl std::error::Error for UnparsableRecord {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Why a typed poll failed. It turns into an [`Error`] with `?`.
///
/// ```
/// use brokerless::typed::{PollError, TypedConsumer};
/// # const POLL: std::time::Duration = std::time::Duration::from_secs(1);
///
/// async fn sum(consumer: &mut TypedConsumer<String, i64>) -> brokerless::Result<i64> {
///     match consumer.poll(POLL).await {
///         Ok(records) => Ok(records.iter().filter_map(|record| record.value()).sum()),
///         Err(PollError::Unparsable(error)) => {
///             // Past it; what came before it has been returned.
///             consumer.seek(error.topic_partition(), error.offset() + 1)?;
///             Ok(0)
///         }
///         Err(error) => Err(error.into()),
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PollError {
    /// The poll itself, or sending to the dead-letter topic.
    Client(Error),
    /// A record does not parse, and the policy is [`OnUnparsable::Fail`].
    Unparsable(Box<UnparsableRecord>),
}

impl From<Error> for PollError {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<PollError> for Error {
    fn from(error: PollError) -> Self {
        match error {
            PollError::Client(error) => error,
            PollError::Unparsable(unparsable) => {
                let topic_partition = unparsable.topic_partition().clone();
                Error::serialization(unparsable.to_string())
                    .with_topic_partition(topic_partition)
                    .with_source(*unparsable)
            }
        }
    }
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Unparsable(unparsable) => unparsable.fmt(f),
        }
    }
}

impl std::error::Error for PollError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Unparsable(unparsable) => unparsable.source(),
        }
    }
}
