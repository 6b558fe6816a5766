//! Kafka's semantics as an embeddable Rust library: topics as partitioned logs, producers, consumers and consumer
//! groups, in one process, without a broker to install, run and wait for.
//!
//! ```
//! use std::time::Duration;
//!
//! use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> brokerless::Result<()> {
//! let cluster = Cluster::in_memory();
//! cluster.admin().create_topic(NewTopic::new("orders").partitions(6)).await?;
//!
//! let producer = cluster.producer(ProducerConfig::default())?;
//! let delivery = producer.send(ProducerRecord::to("orders").key("42").value("one book")).await?;
//! let metadata = delivery.await?;
//! assert_eq!((metadata.topic(), metadata.offset()), ("orders", 0));
//!
//! let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
//! let mut consumer = cluster.consumer(config)?;
//! consumer.subscribe(["orders"])?;
//! let records = consumer.poll(Duration::from_secs(5)).await?;
//! assert_eq!(records.len(), 1);
//! for record in &records {
//!     assert_eq!((record.key(), record.value()), (Some(&b"42"[..]), Some(&b"one book"[..])));
//! }
//! consumer.commit().await?;
//! consumer.close().await?;
//! # Ok(()) }
//! ```
//!
//! The paved path is re-exported here; everything else lives at exactly one path:
//!
//! | path | what is there |
//! |---|---|
//! | [`admin`], [`consumer`], [`producer`], [`table`] | what surrounds [`Admin`], [`Consumer`], [`Producer`] and [`TableView`] |
//! | [`processing`] | many records at a time, in order, by a [`ParallelConsumer`](processing::ParallelConsumer) |
//! | [`typed`] | records with types, and dead letters |
//! | [`request_reply`] | requests and their replies |
//! | [`blocking`] | the clients without `async`, for plain threads |
//! | [`metrics`] | what the cluster and its clients measure |
//! | [`record`], [`types`], [`error`] | batches and records; ids and small enums; errors |
//! | [`manual`] | how it is built, and what it guarantees |
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `json` | yes | `Json`, in [`typed`]: typed records as JSON, by serde |
//! | `postcard` | no | `Postcard`, in [`typed`]: typed records in a compact binary format, by serde |
//! | `lz4`, `snappy`, `gzip` | yes | codecs in pure Rust |
//! | `zstd` | no | Zstandard; builds its C library |
//! | `prometheus` | no | [`metrics::Metrics`] as exposition text |
//! | `tracing` | no | events and spans of the cluster, its topics, its groups and its clients |
//! | `kafka-oracle` | no | the differential test against a real Kafka; no part of the API |

pub mod blocking;
mod broker;
mod client;
mod cluster;
mod config;
mod controller;
mod coordinator;
pub mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod log;
pub mod manual;
pub mod metrics;
#[cfg(feature = "kafka-oracle")]
#[doc(hidden)]
pub mod oracle;
mod partition;
pub mod processing;
pub mod record;
pub mod request_reply;
mod table_view;
#[cfg(feature = "testing")]
pub mod testing;
pub mod typed;
pub mod types;
mod util;

pub use client::admin::{Admin, NewTopic};
pub use client::consumer::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, ConsumerWaker, OwnedConsumerRecord,
    PartitionAssignor, RebalanceContext, RebalanceListener,
};
pub use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
pub use cluster::{Cluster, ClusterBuilder, MemoryPolicy};
pub use config::TopicConfig;
pub use error::{Error, ErrorCode, Result};
pub use table_view::TableView;
pub use types::TopicPartition;

/// What an [`Admin`] takes and answers.
pub mod admin {
    pub use crate::client::admin::{
        ClusterDescription, DeletedRecords, GroupDescription, GroupFilter, GroupListing, GroupState, GroupType,
        ListedOffset, LogDirDescription, MemberDescription, MemberToRemove, NewPartitions, Node, OffsetSpec,
        PartitionDescription, ProducerState, ReplicaInfo, TopicDescription, TopicListing,
    };
    pub use crate::cluster::ElectionType;
    pub use crate::config::{AlterConfigOp, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, ConfigType};
}

/// Reading records: what surrounds the [`Consumer`].
pub mod consumer {
    pub use crate::client::consumer::{
        CommitHandle, ConsumerGroupMetadata, ConsumerInterceptor, ConsumerStream, IntoIter, Iter, OffsetAndTimestamp,
        PartitionInfo,
    };
}

/// Sending records: what surrounds the [`Producer`].
pub mod producer {
    pub use crate::client::producer::{
        Deliveries, Partitioner, Partitioning, Payload, ProducerInterceptor, RecordHeader, SendAllError, SendError,
        Sending,
    };
}

/// What surrounds the [`TableView`].
pub mod table {
    pub use crate::table_view::{Change, Changes};
}

/// The README's quickstart, compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
