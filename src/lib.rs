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

pub use client::admin::{Admin, NewTopic};
pub use cluster::Cluster;
pub use config::TopicConfig;
pub use error::{Error, ErrorCode, Result};
pub use types::TopicPartition;

/// What an [`Admin`] takes and answers.
pub mod admin {
    pub use crate::client::admin::{
        ClusterDescription, DeletedRecords, GroupDescription, GroupListing, GroupState, ListedOffset,
        MemberDescription, Node, OffsetSpec, PartitionDescription, TopicDescription, TopicListing,
    };
}
