//! [`DeadLetter`]: records that cannot be processed, put aside in a topic of their own.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::client::consumer::OwnedConsumerRecord;
use crate::client::producer::{Delivery, Producer, ProducerRecord, RecordMetadata};
use crate::error::Result;

/// Puts records into a dead-letter topic, as Kafka Connect's reporter does.
///
/// A record arrives there with its key, value, timestamp and headers as they were, and behind those the headers that
/// Connect adds, with Connect's names and formats (text in UTF-8, numbers in decimal):
///
/// | header | |
/// |---|---|
/// | `__connect.errors.topic`, `.partition`, `.offset` | where the record was read |
/// | `__connect.errors.connector.name`, `.task.id` | who read it: [`name`](Self::name), [`task`](Self::task) |
/// | `__connect.errors.stage` | what was being done: [`Stage`] |
/// | `__connect.errors.class.name` | what did it: a deserializer's type, or else the name again |
/// | `__connect.errors.exception.class.name` | the error's type |
/// | `__connect.errors.exception.message` | the error's text |
/// | `__connect.errors.exception.stacktrace` | the error and what caused it, one a line |
///
/// The topic has to exist. Its partition is chosen by the record's key.
///
/// As a policy of a typed consumer it is [`OnUnparsable::DeadLetter`](super::OnUnparsable::DeadLetter). Any other code may
/// report records, too:
///
/// ```
/// use brokerless::typed::{DeadLetter, Stage};
/// use brokerless::{Consumer, OwnedConsumerRecord};
/// # fn handle(_: &OwnedConsumerRecord) -> Result<(), std::fmt::Error> { Ok(()) }
/// # const POLL: std::time::Duration = std::time::Duration::from_secs(1);
///
/// async fn process(mut consumer: Consumer, dead: DeadLetter) -> brokerless::Result<()> {
///     loop {
///         for record in consumer.poll(POLL).await? {
///             if let Err(error) = handle(&record) {
///                 // Acknowledged before the next poll, and so before the record is committed.
///                 dead.report(&record, Stage::TaskPut, &error).await?;
///             }
///         }
///         consumer.commit().await?;
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetter {
    producer: Producer,
    topic: Arc<str>,
    name: Arc<str>,
    task: u32,
}

/// What was being done to a record when it failed: Connect's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// `KEY_CONVERTER`: its key was being parsed.
    KeyConverter,
    /// `VALUE_CONVERTER`: its value was being parsed.
    ValueConverter,
    /// `HEADER_CONVERTER`: its headers were being parsed.
    HeaderConverter,
    /// `TRANSFORMATION`: it was being turned into something else.
    Transformation,
    /// `TASK_PUT`: the application was processing it.
    TaskPut,
    /// `KAFKA_PRODUCE`: what was made of it was being sent.
    KafkaProduce,
}

impl Stage {
    /// Connect's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::Transformation => "TRANSFORMATION",
            Self::TaskPut => "TASK_PUT",
            Self::KafkaProduce => "KAFKA_PRODUCE",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl DeadLetter {
    /// Reports to `topic`, through a producer that may be shared with others.
    pub fn new(producer: Producer, topic: impl Into<Arc<str>>) -> Self {
        Self { producer, topic: topic.into(), name: "brokerless".into(), task: 0 }
    }

    /// Who reports: the header `connector.name`. Default: `brokerless`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Which of several that share the work: the header `task.id`. Default: 0.
    pub fn task(mut self, task: u32) -> Self {
        self.task = task;
        self
    }

    /// The dead-letter topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Sends a record to the topic, and waits until it is acknowledged (which may take the producer's `linger.ms`).
    ///
    /// # Errors
    /// Those of [`Producer::send`] and of its delivery. The record is not put aside then: do not commit past it.
    pub async fn report<E: StdError + ?Sized>(
        &self,
        record: &OwnedConsumerRecord,
        stage: Stage,
        error: &E,
    ) -> Result<RecordMetadata> {
        self.send(record, stage, error).await?.await
    }

    /// Sends a record to the topic; the delivery tells when it is acknowledged. For several records at once.
    ///
    /// # Errors
    /// Those of [`Producer::send`].
    pub async fn send<E: StdError + ?Sized>(
        &self,
        record: &OwnedConsumerRecord,
        stage: Stage,
        error: &E,
    ) -> Result<Delivery> {
        self.send_as(record, stage, &self.name, type_name::<E>(), message(error)).await
    }

    /// The same for an error whose type is not known any more, with the name of what ran into it.
    pub(super) async fn send_as(
        &self,
        record: &OwnedConsumerRecord,
        stage: Stage,
        class: &str,
        error_class: &str,
        (message, chain): (String, String),
    ) -> Result<Delivery> {
        let (partition, offset, task) = (record.partition().to_string(), record.offset().to_string(), self.task);
        let mut dead = ProducerRecord::to(&self.topic);
        dead.timestamp = (record.timestamp() >= 0).then_some(record.timestamp());
        if let Some(key) = record.key() {
            dead = dead.key(key);
        }
        if let Some(value) = record.value() {
            dead = dead.value(value);
        }
        for (name, value) in record.headers() {
            dead = match value {
                Some(value) => dead.header(name, value),
                None => dead.null_header(name),
            };
        }
        let dead = dead
            .header("__connect.errors.topic", record.topic())
            .header("__connect.errors.partition", &partition)
            .header("__connect.errors.offset", &offset)
            .header("__connect.errors.connector.name", &*self.name)
            .header("__connect.errors.task.id", task.to_string())
            .header("__connect.errors.stage", stage.name())
            .header("__connect.errors.class.name", class)
            .header("__connect.errors.exception.class.name", error_class)
            .header("__connect.errors.exception.message", &message)
            .header("__connect.errors.exception.stacktrace", format!("{error_class}: {chain}"));
        Ok(self.producer.send(dead).await?)
    }
}

/// An error's text, and that with everything that caused it.
pub(super) fn message<E: StdError + ?Sized>(error: &E) -> (String, String) {
    let message = error.to_string();
    let mut chain = message.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(chain, "\nCaused by: {error}").expect("a string takes everything");
        cause = error.source();
    }
    (message, chain)
}
