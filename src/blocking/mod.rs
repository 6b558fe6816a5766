//! The same clients for plain threads: [`Cluster`], [`Producer`], [`Consumer`] and [`Admin`] without `async`.
//!
//! ```
//! use std::time::Duration;
//!
//! use brokerless::blocking::Cluster;
//! use brokerless::{AutoOffsetReset, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
//!
//! # fn main() -> brokerless::Result<()> {
//! let cluster = Cluster::in_memory();
//! cluster.admin().create_topic(NewTopic::new("orders").partitions(6))?;
//!
//! let producer = cluster.producer(ProducerConfig::default())?;
//! let delivery = producer.send(ProducerRecord::to("orders").key("42").value("one book"))?;
//! assert_eq!(delivery.wait()?.offset(), 0);
//!
//! let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
//! let mut consumer = cluster.consumer(config)?;
//! consumer.subscribe(["orders"])?;
//! for record in &consumer.poll(Duration::from_secs(5))? {
//!     assert_eq!(record.value(), Some(&b"one book"[..]));
//! }
//! consumer.commit()?;
//! consumer.close()
//! # }
//! ```
//!
//! 1. A call runs on the thread that makes it: it polls the asynchronous client's future and parks in between. Nothing is
//!    handed to another thread, so there is no hop a record.
//! 2. One thread, named `brokerless`, turns the timers (lingers, heartbeats, retention) of all blocking clusters of the
//!    process. It starts with the first of them and ends with the last handle on any.
//! 3. On a thread that is running asynchronous tasks, starting a cluster panics, as tokio's own `block_on` does, and so does
//!    each call that may wait, whether it would have to or not: it would keep all of the tasks waiting. A
//!    [`send`](Producer::send) and a [`send_with`](Producer::send_with) panic only where they have to wait. Waiting for a
//!    delivery ([`Delivery::wait`](crate::Delivery::wait)) does not panic, but keeps the tasks waiting. Use the asynchronous
//!    clients there, or a thread made for blocking (`tokio::task::spawn_blocking`).
//! 4. A rebalance listener runs inside of a consumer's call, on the thread that makes it, and may make any call, such as
//!    [`Producer::flush`]. A producer's callback runs there, or on the thread `brokerless`, where a call that waits panics
//!    (and a callback's panic is passed over): it may send where that does not have to wait.
//!
//! Time is that of the background thread's runtime: real, whatever other runtimes of the process do.

mod admin;
mod background;
mod block_on;
mod cluster;
mod consumer;
mod delivery;
mod methods;
mod producer;

pub use admin::Admin;
pub use cluster::Cluster;
pub use consumer::Consumer;
pub use producer::Producer;
