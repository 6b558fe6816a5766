//! The history of a test, and the checker that reads it.
//!
//! A [`History`] writes down what each client does and sees: sends, acknowledgements, polls and commits. Once the test is
//! over, and everything has been read to its end, [`History::check`] says whether that can be: which acknowledged
//! records nobody saw, which came twice, which offsets stood for two records. The names of what it finds are those of
//! Jepsen's test of Kafka.
//!
//! ```
//! use std::time::Duration;
//!
//! use brokerless::testing::History;
//! use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
//! let cluster = Cluster::in_memory();
//! cluster.admin().create_topic(NewTopic::new("orders").partitions(2)).await?;
//! let history = History::new();
//!
//! let (producer, sends) = (cluster.producer(ProducerConfig::default())?, history.producer("shop"));
//! let mut deliveries = Vec::new();
//! for order in 0..100 {
//!     let value = format!("order {order}");
//!     deliveries.push(sends.send(&producer, ProducerRecord::to("orders").value(&value)).await?);
//! }
//! for delivery in deliveries {
//!     delivery.await?;
//! }
//!
//! let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
//! let (mut consumer, polls) = (cluster.consumer(config)?, history.consumer("billing"));
//! consumer.assign([("orders", 0), ("orders", 1)])?;
//! let mut read = 0;
//! while read < 100 {
//!     read += polls.poll(&mut consumer, Duration::from_secs(1)).await?.len();
//! }
//! history.check().assert_valid();
//! # Ok(()) }
//! ```
//!
//! With other clients, of this or another Kafka, tell it by hand: [`HistoryProducer::sending`], [`Sending::acknowledged`],
//! [`HistoryConsumer::polled`].
//!
//! Every record must be another: by default its value is its identity, see [`History::identified_by`]. A history grows with
//! each operation and forgets none; it is meant for tests.
//!
//! | file | what |
//! |---|---|
//! | `recorder` | the history, and what writes into it |
//! | `operation` | one line of it |
//! | `check` | the rules |
//! | `report` | what they found, for a person to read |
//!
//! Operations are in the order in which they were told, under one lock. There is neither time nor randomness in it.

mod check;
mod operation;
mod recorder;
mod report;
#[cfg(test)]
mod tests;

pub use operation::{Event, Operation};
pub use recorder::{History, HistoryConsumer, HistoryDelivery, HistoryListener, HistoryProducer, Sending};
pub use report::{Anomaly, AnomalyKind, Report};
