//! Kafka's semantics as an embeddable Rust library.

mod broker;
mod client;
mod cluster;
mod config;
mod controller;
mod coordinator;
pub mod error;
mod log;
mod partition;
pub mod record;
pub mod types;
mod util;

/// Sending records: what surrounds the [`Producer`].
pub mod producer {
    pub use crate::client::producer::{Partitioner, Partitioning, Payload, RecordHeader, SendError, Sending};
}

pub use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
pub use cluster::Cluster;
pub use error::{Error, ErrorCode, Result};
pub use types::TopicPartition;
