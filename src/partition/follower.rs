//! What a follower does: copying its leader's log.

use crate::partition::PartitionError;
use crate::partition::partition::{Partition, Role};
use crate::record::RecordBatch;
use crate::types::{LeaderEpoch, Offset};

#[cfg_attr(not(test), expect(dead_code, reason = "called by replication, once there is more than one broker"))]
impl Partition {
    /// Appends what was fetched from the leader, and follows its high watermark and log start.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER` on the leader; a batch before the log end.
    pub(crate) fn append_as_follower(
        &mut self,
        batches: impl IntoIterator<Item = RecordBatch>,
        leader_high_watermark: Offset,
        leader_log_start: Offset,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        self.check_follower()?;
        for batch in batches {
            self.log.append_as_follower(batch, now_ms)?;
        }
        self.log.maybe_increment_high_watermark(leader_high_watermark);
        if leader_log_start > self.log_start() {
            self.log.delete_records(leader_log_start.min(self.high_watermark()), now_ms)?;
        }
        Ok(())
    }

    /// Drops what the leader does not have. Returns the new log end, from which to fetch on.
    pub(crate) fn truncate_to(&mut self, offset: Offset, now_ms: i64) -> Result<Offset, PartitionError> {
        self.check_follower()?;
        Ok(self.log.truncate_to(offset, now_ms)?)
    }

    /// Drops everything, because the leader's log begins at `offset`, behind this one's end.
    pub(crate) fn truncate_fully_and_start_at(&mut self, offset: Offset, now_ms: i64) -> Result<(), PartitionError> {
        self.check_follower()?;
        Ok(self.log.truncate_fully_and_start_at(offset, now_ms)?)
    }

    /// OffsetForLeaderEpoch (KIP-101): the largest epoch up to `epoch` known here, and where it ends. A follower asks its
    /// leader for the end of the epoch of its last record, and truncates to it.
    pub(crate) fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.log.end_offset_for_epoch(epoch)
    }

    fn check_follower(&self) -> Result<(), PartitionError> {
        match self.role {
            Role::Leader(_) => Err(PartitionError::NotFollower { topic_partition: self.topic_partition().clone() }),
            Role::Follower { .. } | Role::Offline => Ok(()),
        }
    }
}
