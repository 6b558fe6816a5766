//! Integration tests through the public API.

#[path = "it/admin.rs"]
mod admin;
#[path = "it/admin_configs.rs"]
mod admin_configs;
#[path = "it/admin_partitions.rs"]
mod admin_partitions;
#[path = "it/auto_create.rs"]
mod auto_create;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/consumer.rs"]
mod consumer;
#[path = "it/groups.rs"]
mod groups;
#[path = "it/producer.rs"]
mod producer;
