//! Request and reply over topics: a [`Requester`] sends a record and awaits the record that answers it, a [`Responder`]
//! answers.
//!
//! ```
//! use brokerless::request_reply::{Requester, RequesterConfig, Responder};
//! # use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
//! # let cluster = Cluster::in_memory();
//! # for topic in ["sums", "sums.replies"] { cluster.admin().create_topic(NewTopic::new(topic).partitions(2)).await?; }
//! # let producer = cluster.producer(ProducerConfig::default())?;
//! let config = ConsumerConfig::group("adders").auto_offset_reset(AutoOffsetReset::Earliest);
//! let mut consumer = cluster.consumer(config)?;
//! consumer.subscribe(["sums"])?;
//! let responder = Responder::new(consumer, producer.clone());
//! let shutdown = responder.shutdown_handle();
//! let answering = tokio::spawn(responder.run(|request| async move {
//!     let numbers = request.value_str().ok().flatten().unwrap_or_default().split('+');
//!     numbers.filter_map(|number| number.trim().parse::<i64>().ok()).sum::<i64>().to_string()
//! }));
//!
//! let requester = Requester::open(&cluster, producer, RequesterConfig::new("sums.replies")).await?;
//! let reply = requester.request(ProducerRecord::to("sums").value("1 + 2 + 39")).await?;
//! assert_eq!(reply.value_str(), Ok(Some("42")));
//!
//! requester.close().await;
//! shutdown.shutdown();
//! assert_eq!(answering.await.expect("it does not panic")?.replies(), 1);
//! # Ok(()) }
//! ```
//!
//! A request carries three headers, named and written as Spring Kafka's `ReplyingKafkaTemplate` does, so that either side may
//! be Spring: `kafka_correlationId` (16 bytes), `kafka_replyTopic` (UTF-8) and `kafka_replyPartition` (4 bytes, big endian).
//! The reply goes to that topic and partition and carries the correlation id.
//!
//! | file | |
//! |---|---|
//! | `requester`, `config`, `pending` | asking; what is waited for |
//! | `responder` | answering in a loop |
//! | `reply_to`, `headers` | answering by hand; the wire |
//!
//! Invariants:
//! 1. At most `max_in_flight` requests of a requester are unanswered; others wait, within their own timeout.
//! 2. A request ends with its reply, its timeout, or an error, and leaves nothing behind. A reply that comes later, or
//!    again, is counted and dropped.
//! 3. A responder commits a request after its reply is acknowledged, and where a partition begins before its first request
//!    is answered: a request that was read may be answered twice, but not missed.
//!
//! Time is tokio's. Random is the half of the correlation id that tells requesters apart.

mod config;
mod headers;
mod pending;
mod reply_to;
mod requester;
mod responder;

pub use config::RequesterConfig;
pub use headers::{CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC};
pub use reply_to::ReplyTo;
pub use requester::Requester;
pub use responder::{Responder, ResponderSummary, ShutdownHandle};
