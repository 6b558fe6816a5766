//! Kafka's semantics as an embeddable Rust library.

mod broker;
pub mod client;
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
    Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, ConsumerWaker, OffsetReset, OwnedConsumerRecord,
    PartitionAssignor, RebalanceContext, RebalanceListener,
};
pub use cluster::Cluster;
pub use error::{Error, ErrorCode, Result};
pub use types::TopicPartition;
