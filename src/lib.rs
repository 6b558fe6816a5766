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

pub use client::consumer::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, ConsumerStream, ConsumerWaker,
    OffsetAndTimestamp, OwnedConsumerRecord, PartitionAssignor, RebalanceContext, RebalanceListener,
};
pub use cluster::Cluster;
pub use error::{Error, ErrorCode, Result};
pub use types::TopicPartition;

/// What a [`Consumer`] takes and answers.
pub mod consumer {
    pub use crate::client::consumer::{CommitHandle, ConsumerGroupMetadata, IntoIter, Iter, PartitionInfo};
}
