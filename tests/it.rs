//! Integration tests through the public API.

#[path = "it/admin.rs"]
mod admin;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/consumer.rs"]
mod consumer;
#[path = "it/groups.rs"]
mod groups;
#[path = "it/producer.rs"]
mod producer;
#[path = "it/request_reply.rs"]
mod request_reply;
#[path = "it/table_view.rs"]
mod table_view;
#[path = "it/typed.rs"]
mod typed;
