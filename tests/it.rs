//! Integration tests through the public API.

#[path = "it/admin.rs"]
mod admin;
#[path = "it/admin_configs.rs"]
mod admin_configs;
#[path = "it/admin_partitions.rs"]
mod admin_partitions;
#[path = "it/auto_create.rs"]
mod auto_create;
#[path = "it/blocking.rs"]
mod blocking;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/compaction.rs"]
mod compaction;
#[path = "it/consumer.rs"]
mod consumer;
#[path = "it/consumer_metrics.rs"]
mod consumer_metrics;
#[path = "it/determinism.rs"]
mod determinism;
#[path = "it/group_admin.rs"]
mod group_admin;
#[path = "it/groups.rs"]
mod groups;
#[cfg(feature = "testing")]
#[path = "it/history.rs"]
mod history;
#[path = "it/interceptors.rs"]
mod interceptors;
#[path = "it/many_partitions.rs"]
mod many_partitions;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/metrics.rs"]
mod metrics;
#[path = "it/oracle_found.rs"]
mod oracle_found;
#[path = "it/processing.rs"]
mod processing;
#[path = "it/producer.rs"]
mod producer;
#[path = "it/producer_interceptors.rs"]
mod producer_interceptors;
#[path = "it/producer_metrics.rs"]
mod producer_metrics;
#[path = "it/request_reply.rs"]
mod request_reply;
#[path = "it/table_view.rs"]
mod table_view;
#[path = "../src/util/testing.rs"]
mod testing;
#[path = "it/typed.rs"]
mod typed;
