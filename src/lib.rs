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
    pub use crate::client::producer::{
        Delivery, Partitioner, Partitioning, Payload, RecordHeader, RecordMetadata, SendError,
    };
}

pub use client::producer::{Producer, ProducerConfig, ProducerRecord};
pub use cluster::Cluster;
pub use error::{Error, ErrorCode, Result};
pub use types::TopicPartition;
