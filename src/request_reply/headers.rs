//! The headers of requests and replies: Spring Kafka's names.

/// Ties a reply to its request: opaque bytes, 16 of them here as in Spring.
pub const CORRELATION_ID: &str = "kafka_correlationId";
/// The topic that the reply goes to, in UTF-8.
pub const REPLY_TOPIC: &str = "kafka_replyTopic";
/// The partition of that topic: 4 bytes, big endian.
pub const REPLY_PARTITION: &str = "kafka_replyPartition";
