//! [`PartitionStats`]: how a replica stands, for those who measure.

use crate::broker::PartitionHandle;
use crate::log::CompactionState;
use crate::types::{Offset, TopicPartition};

/// How a replica stands.
#[derive(Clone, Debug)]
pub(crate) struct PartitionStats {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) size_in_bytes: u64,
    pub(crate) segments: usize,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// `Some` on the leader: how many replicas are in sync.
    pub(crate) in_sync: Option<usize>,
    pub(crate) replicas: usize,
    /// `min.insync.replicas`, as far as there are replicas.
    pub(crate) min_in_sync: usize,
    /// There is no leader.
    pub(crate) is_offline: bool,
    /// Of a log that is to be compacted.
    pub(crate) compaction: Option<CompactionState>,
    /// Used bytes and limit of its topic, if that has a limit.
    pub(crate) topic_memory: Option<(u64, u64)>,
}

impl PartitionHandle {
    /// How it stands; `None` once it is deleted.
    pub(crate) fn stats(&self) -> Option<PartitionStats> {
        let topic_memory = self.account.as_ref().and_then(|account| {
            let budget = account.topic();
            Some((budget.used(), budget.limit()?))
        });
        let partition = self.lock().ok()?;
        Some(PartitionStats {
            topic_partition: self.topic_partition.clone(),
            size_in_bytes: partition.size_in_bytes(),
            segments: partition.segment_count(),
            log_start: partition.log_start(),
            log_end: partition.log_end(),
            in_sync: partition.in_sync_count(),
            replicas: partition.replication_factor(),
            min_in_sync: partition.effective_min_isr(),
            is_offline: partition.leader().is_none(),
            compaction: partition.compaction_state(self.clock.now_ms()),
            topic_memory,
        })
    }
}
