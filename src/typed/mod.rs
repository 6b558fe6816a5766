//! Typed records: what applications have on one side, bytes on the other, and what to do with bytes that are not what
//! they should be.
//!
//! ```
//! use brokerless::typed::{Plain, TypedConsumer, TypedProducer, TypedRecord};
//! # use brokerless::{Cluster, ConsumerConfig, NewTopic, ProducerConfig};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
//! # let cluster = Cluster::in_memory();
//! # cluster.admin().create_topic(NewTopic::new("scores").partitions(1)).await?;
//! // `Plain` is what Kafka's own serializers write; `Json` and `Postcard` take anything that serde can.
//! let producer = TypedProducer::<str, i64>::new(cluster.producer(ProducerConfig::default())?, Plain, Plain);
//! producer.send(TypedRecord::to("scores").key("ada").value(&42)).await?;
//! producer.flush().await?;
//!
//! let mut consumer = TypedConsumer::<String, i64>::new(cluster.consumer(ConsumerConfig::default())?, Plain, Plain);
//! consumer.assign([("scores", 0)])?;
//! consumer.seek(("scores", 0), 0)?;
//! let records = consumer.poll(std::time::Duration::from_secs(5)).await?;
//! for record in &records {
//!     assert_eq!((record.key().map(String::as_str), record.value()), (Some("ada"), Some(&42)));
//! }
//! # Ok(()) }
//! ```
//!
//! | file | |
//! |---|---|
//! | `serializer`, `deserializer` | the traits, and what they are told about the record |
//! | `plain`, `json`, `postcard` | the formats |
//! | `record`, `producer` | sending |
//! | `consumer`, `records`, `unparsable` | receiving; records that do not parse, and the policies for them |
//! | `dead_letter` | such records, or any others, put aside in a topic of their own |
//!
//! Invariants:
//! 1. Null is null: no serializer is asked for a key or value that is not there, and no deserializer shown one.
//! 2. A poll that fails, and one whose future is dropped, leaves every position where it was before it; so do commits.
//! 3. A record that does not parse stays in front of its partition's position until the policy is done with it: the
//!    application has sought past it, it was counted as skipped, or the dead-letter topic has acknowledged it.
//!
//! All of it is made of the crate's public producer and consumer.

mod consumer;
mod dead_letter;
mod deserializer;
#[cfg(feature = "json")]
mod json;
mod plain;
#[cfg(feature = "postcard")]
mod postcard;
mod producer;
mod record;
mod records;
mod serializer;
mod unparsable;

pub use consumer::TypedConsumer;
pub use dead_letter::{DeadLetter, Stage};
pub use deserializer::{DeserializeContext, Deserializer};
#[cfg(feature = "json")]
pub use json::Json;
pub use plain::{Plain, Void};
#[cfg(feature = "postcard")]
pub use postcard::Postcard;
pub use producer::TypedProducer;
pub use record::TypedRecord;
pub use records::{OwnedTypedRecord, TypedConsumerRecord, TypedConsumerRecords, TypedIntoIter, TypedIter};
pub use serializer::{BoxError, Part, SerializeContext, Serializer};
pub use unparsable::{OnUnparsable, PollError, UnparsableRecord};
