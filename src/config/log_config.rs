//! [`LogConfig`]: a topic's effective settings, as the log reads them.

use std::collections::BTreeMap;

use crate::config::topic_property::TOPIC_PROPERTIES;
use crate::error::Result;
use crate::types::{CompressionType, TimestampType};

/// What happens to old data: Kafka's `cleanup.policy`, a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanupPolicy {
    pub(crate) delete: bool,
    pub(crate) compact: bool,
}

/// A topic's effective settings: its own overrides over the broker's defaults over Kafka's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogConfig {
    /// `cleanup.policy`, delete.
    pub(crate) cleanup_policy: CleanupPolicy,
    /// `segment.bytes`, 1 GiB.
    pub(crate) segment_bytes: u32,
    /// `segment.ms`, 7 days.
    pub(crate) segment_ms: i64,
    /// `segment.jitter.ms`, 0.
    pub(crate) segment_jitter_ms: i64,
    /// `segment.index.bytes`, 10 MiB.
    pub(crate) segment_index_bytes: u32,
    /// `index.interval.bytes`, 4096.
    pub(crate) index_interval_bytes: u32,
    /// `retention.ms`, 7 days; `None` is -1, for ever.
    pub(crate) retention_ms: Option<i64>,
    /// `retention.bytes`; `None` is -1, without bound.
    pub(crate) retention_bytes: Option<u64>,
    /// `max.message.bytes`, 1,048,588: the largest batch, header included, after compression.
    pub(crate) max_message_bytes: u32,
    /// `compression.type`; `None` is `producer`: keep what the producer chose.
    pub(crate) compression: Option<CompressionType>,
    /// `message.timestamp.type`, CreateTime.
    pub(crate) timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`, `i64::MAX`.
    pub(crate) timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`, one hour.
    pub(crate) timestamp_after_max_ms: i64,
    /// `delete.retention.ms`, one day: how long compaction keeps tombstones, and markers of transactions.
    pub(crate) delete_retention_ms: i64,
    /// `min.compaction.lag.ms`, 0: how long a record stays out of compaction's reach.
    pub(crate) min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`, `i64::MAX`: how long a record may stay uncompacted, whatever the dirty ratio.
    pub(crate) max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`, 0.5: how much of a log must be uncompacted before it is worth compacting.
    pub(crate) min_cleanable_dirty_ratio: f64,
    /// `min.insync.replicas`, 1.
    pub(crate) min_insync_replicas: i32,
    /// `file.delete.delay.ms`, one minute.
    pub(crate) file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms` of the broker, one day.
    pub(crate) producer_id_expiration_ms: i64,
    /// `brokerless.memory.max.bytes`; `None` is -1, without bound: of all partitions of the topic together.
    pub(crate) memory_max_bytes: Option<u64>,
}

/// The one float is a ratio that was checked to lie in 0 to 1.
impl Eq for LogConfig {}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            max_message_bytes: 1_048_588,
            compression: None,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            min_insync_replicas: 1,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: DAY_MS,
            memory_max_bytes: None,
        }
    }
}

impl LogConfig {
    /// The age at which a segment is rolled: `segment.ms`, or `max.compaction.lag.ms` if that is sooner and the topic is
    /// compacted (KIP-354), since the active segment is out of compaction's reach.
    #[inline]
    pub(crate) fn roll_ms(&self) -> i64 {
        if self.cleanup_policy.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// A topic's overrides over the broker's defaults. Values are checked one by one; see
    /// [`validate`](crate::config::topic_property::validate) for what a new topic has to pass.
    pub(crate) fn resolve(defaults: &Self, overrides: &BTreeMap<String, String>) -> Result<Self> {
        let mut config = defaults.clone();
        for property in TOPIC_PROPERTIES {
            if let Some(text) = overrides.get(property.name) {
                (property.apply)(&mut config, property.name, text)?;
            }
        }
        Ok(config)
    }
}
