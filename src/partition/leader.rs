//! What a leader does: appending, following its followers, moving the high watermark.

use crate::log::AppendOrigin;
use crate::partition::PartitionError;
use crate::partition::isr::{Isr, IsrProposal};
use crate::partition::partition::{Partition, Role};
use crate::record::RecordBatch;
use crate::types::{Acks, BrokerId, CompressionType, NO_OFFSET, Offset};

/// What only a leader keeps.
#[derive(Debug)]
pub(super) struct LeaderState {
    pub(super) isr: Isr,
    /// The other replicas.
    remotes: Vec<RemoteReplica>,
    /// Where this leader's epoch begins: a follower that has not come this far may still have to truncate.
    pub(super) epoch_start_offset: Offset,
}

/// What a leader knows of a follower, from its fetches.
#[derive(Clone, Copy, Debug)]
struct RemoteReplica {
    id: BrokerId,
    /// Both [`NO_OFFSET`] until the first fetch.
    log_start: Offset,
    log_end: Offset,
    last_fetch_ms: i64,
    /// The leader's log end at the last fetch.
    last_fetch_leader_log_end: Offset,
    /// The last time at which the follower had all that the leader had.
    last_caught_up_ms: i64,
}

/// What an append brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendOutcome {
    /// Offset of the batch's first record. For a duplicate of an idempotent producer, the original's.
    pub(crate) base_offset: Offset,
    /// Offset of the batch's last record. For a duplicate, the original's.
    pub(crate) last_offset: Offset,
    /// `Some` with `message.timestamp.type=LogAppendTime`: every record's timestamp.
    pub(crate) log_append_time: Option<i64>,
    /// The offset that the high watermark must reach for `acks=all`.
    pub(crate) required_offset: Offset,
    /// Whether the requested acks are already reached.
    pub(crate) acked: bool,
    /// Whether readers and producers that wait for the high watermark are to be woken.
    pub(crate) high_watermark_advanced: bool,
}

/// What a follower's fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FollowerFetchOutcome {
    /// Whether readers and producers that wait for the high watermark are to be woken.
    pub(crate) high_watermark_advanced: bool,
    /// The follower has caught up and should rejoin: for the controller to decide.
    pub(crate) isr_proposal: Option<IsrProposal>,
}

impl LeaderState {
    pub(super) fn new(isr: Isr, replicas: &[BrokerId], local: BrokerId, log_end: Offset, now_ms: i64) -> Self {
        let mut state = Self { isr, remotes: Vec::new(), epoch_start_offset: log_end };
        state.assign_remotes(replicas, local);
        state.reset_caught_up(now_ms);
        state
    }

    /// A registration for a replica that leads already.
    pub(super) fn update(&mut self, isr: Isr, replicas: &[BrokerId], local: BrokerId) {
        self.isr = isr;
        self.assign_remotes(replicas, local);
    }

    /// The replica was elected again.
    pub(super) fn begin_epoch(&mut self, log_end: Offset, now_ms: i64) {
        self.epoch_start_offset = log_end;
        for remote in &mut self.remotes {
            remote.last_fetch_leader_log_end = log_end;
        }
        self.reset_caught_up(now_ms);
    }

    fn assign_remotes(&mut self, replicas: &[BrokerId], local: BrokerId) {
        self.remotes.retain(|remote| replicas.contains(&remote.id));
        for &id in replicas.iter().filter(|&&id| id != local) {
            if !self.remotes.iter().any(|remote| remote.id == id) {
                self.remotes.push(RemoteReplica::new(id));
            }
        }
    }

    /// In-sync replicas get a full `replica.lag.time.max.ms` to fetch from a new leader; others count as never having
    /// caught up, so that the high watermark does not wait for them.
    fn reset_caught_up(&mut self, now_ms: i64) {
        for remote in &mut self.remotes {
            let since = if self.isr.committed().contains(&remote.id) { now_ms } else { 0 };
            (remote.last_caught_up_ms, remote.last_fetch_ms) = (since, since);
        }
    }
}

impl RemoteReplica {
    fn new(id: BrokerId) -> Self {
        Self {
            id,
            log_start: NO_OFFSET,
            log_end: NO_OFFSET,
            last_fetch_ms: 0,
            last_fetch_leader_log_end: NO_OFFSET,
            last_caught_up_ms: 0,
        }
    }

    /// A fetch from `log_end` proves that the follower has everything before it. If that is all that the leader had at
    /// the fetch before, the follower had caught up then, though new records keep arriving.
    fn on_fetch(&mut self, log_start: Offset, log_end: Offset, leader_log_end: Offset, now_ms: i64) {
        if log_end >= leader_log_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(now_ms);
        } else if log_end >= self.last_fetch_leader_log_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(self.last_fetch_ms);
        }
        (self.log_start, self.log_end, self.last_fetch_ms) = (log_start, log_end, now_ms);
        self.last_fetch_leader_log_end = self.last_fetch_leader_log_end.max(leader_log_end);
    }

    fn is_caught_up(&self, leader_log_end: Offset, now_ms: i64, lag_time_max_ms: i64) -> bool {
        self.log_end == leader_log_end || now_ms.saturating_sub(self.last_caught_up_ms) <= lag_time_max_ms
    }
}

impl Partition {
    /// Appends one batch as the leader of the current epoch.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER`; `NOT_ENOUGH_REPLICAS` for `acks=all` if fewer than `min.insync.replicas` are in
    /// sync; those of [`Log::append_as_leader`](crate::log::Log::append_as_leader). Nothing has been appended then.
    pub(crate) fn append_as_leader(
        &mut self,
        batch: RecordBatch,
        acks: Acks,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendOutcome, PartitionError> {
        self.append_as_leader_if(batch, acks, origin, now_ms, |_| true)
    }

    /// As [`Partition::append_as_leader`], but only if `reserve` finds room for the bytes as they are stored: see
    /// [`Log::append_as_leader_if`](crate::log::Log::append_as_leader_if).
    #[inline]
    pub(crate) fn append_as_leader_if(
        &mut self,
        batch: RecordBatch,
        acks: Acks,
        origin: AppendOrigin,
        now_ms: i64,
        reserve: impl FnOnce(u64) -> bool,
    ) -> Result<AppendOutcome, PartitionError> {
        let in_sync = self.leader_state()?.isr.committed().len();
        let required = self.effective_min_isr();
        if acks == Acks::All && in_sync < required {
            let topic_partition = self.topic_partition().clone();
            return Err(PartitionError::NotEnoughReplicas { topic_partition, in_sync, required });
        }
        let info = self.log.append_as_leader_if(batch, self.leader_epoch, origin, now_ms, reserve)?;
        // The leader may be the only replica in sync.
        let high_watermark_advanced = self.maybe_increment_high_watermark(now_ms);
        let required_offset = info.last_offset + 1;
        Ok(AppendOutcome {
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            log_append_time: info.log_append_time,
            required_offset,
            acked: acks != Acks::All || self.high_watermark() >= required_offset,
            high_watermark_advanced,
        })
    }

    /// See [`Log::recompresses_with`](crate::log::Log::recompresses_with).
    #[inline]
    pub(crate) fn recompresses_with(&self, batch: &RecordBatch) -> Option<CompressionType> {
        self.log.recompresses_with(batch)
    }

    /// The smallest log start of the leader and the followers that have fetched: everything below is deleted everywhere.
    pub(crate) fn low_watermark(&self) -> Result<Offset, PartitionError> {
        let remotes = self.leader_state()?.remotes.iter().map(|remote| remote.log_start);
        Ok(remotes.filter(|&offset| offset != NO_OFFSET).fold(self.log_start(), Offset::min))
    }

    /// A topic cannot ask for more replicas in sync than it has.
    #[inline]
    pub(crate) fn effective_min_isr(&self) -> usize {
        (self.log.config().min_insync_replicas.max(0) as usize).min(self.replication_factor)
    }

    /// Raises the high watermark to the smallest log end of the maximal ISR. True if it moved.
    #[inline]
    pub(super) fn maybe_increment_high_watermark(&mut self, now_ms: i64) -> bool {
        let log_end = self.log.log_end();
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        if leader.isr.committed().len() < self.effective_min_isr() {
            return false;
        }
        let mut high_watermark = log_end;
        for remote in &leader.remotes {
            // A follower that has caught up but is not in the ISR yet would never get in if the high watermark ran ahead.
            let counts = leader.isr.maximal_contains(remote.id)
                || remote.is_caught_up(log_end, now_ms, self.replica_lag_time_max_ms);
            if remote.log_end < high_watermark && counts {
                high_watermark = remote.log_end;
            }
        }
        self.log.maybe_increment_high_watermark(high_watermark)
    }
}

#[cfg_attr(not(test), expect(dead_code, reason = "called by replication, once there is more than one broker"))]
impl Partition {
    /// A follower fetches from its log end `log_end`, and so has everything before it.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER`; `REPLICA_NOT_AVAILABLE` if the broker has no replica.
    pub(crate) fn on_follower_fetch(
        &mut self,
        replica: BrokerId,
        log_start: Offset,
        log_end: Offset,
        now_ms: i64,
    ) -> Result<FollowerFetchOutcome, PartitionError> {
        let (leader_log_end, high_watermark) = (self.log_end(), self.high_watermark());
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let Role::Leader(leader) = &mut self.role else {
            return Err(self.not_leader());
        };
        let Some(remote) = leader.remotes.iter_mut().find(|remote| remote.id == replica) else {
            return Err(PartitionError::UnknownReplica { topic_partition: self.topic_partition().clone(), replica });
        };
        remote.on_fetch(log_start, log_end, leader_log_end, now_ms);
        let in_sync = log_end >= high_watermark && log_end >= leader.epoch_start_offset;
        let joins = in_sync && !leader.isr.is_change_pending() && !leader.isr.committed().contains(&replica);
        let isr_proposal = joins.then(|| {
            let isr = leader.isr.propose_expand(replica);
            IsrProposal { isr, leader_epoch, partition_epoch }
        });
        Ok(FollowerFetchOutcome { high_watermark_advanced: self.maybe_increment_high_watermark(now_ms), isr_proposal })
    }

    /// Looks for replicas in the ISR that have not caught up for `replica.lag.time.max.ms`: a change for the controller to
    /// decide. Nothing while another change is pending.
    pub(crate) fn maybe_shrink_isr(&mut self, now_ms: i64) -> Option<IsrProposal> {
        let (leader_log_end, lag_time_max_ms) = (self.log_end(), self.replica_lag_time_max_ms);
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        if leader.isr.is_change_pending() {
            return None;
        }
        let lagging: Vec<_> = leader
            .remotes
            .iter()
            .filter(|remote| leader.isr.committed().contains(&remote.id))
            .filter(|remote| !remote.is_caught_up(leader_log_end, now_ms, lag_time_max_ms))
            .map(|remote| remote.id)
            .collect();
        (!lagging.is_empty()).then(|| {
            let isr = leader.isr.propose_shrink(&lagging);
            IsrProposal { isr, leader_epoch, partition_epoch }
        })
    }

    /// The controller refused the pending change of the ISR, or could not be reached: it may be proposed again. True if
    /// the high watermark moved.
    pub(crate) fn on_isr_proposal_failed(&mut self, now_ms: i64) -> bool {
        if let Role::Leader(leader) = &mut self.role {
            leader.isr.drop_proposal();
        }
        self.maybe_increment_high_watermark(now_ms)
    }
}
