//! [`Partition`].

use std::sync::Arc;

use crate::config::LogConfig;
use crate::log::{ActiveProducer, Compaction, CompactionLimits, CompactionState, Log, TimestampAndOffset};
use crate::partition::PartitionError;
use crate::partition::isr::Isr;
use crate::partition::leader::LeaderState;
use crate::record::RecordBatch;
use crate::types::{BrokerId, IsolationLevel, LeaderEpoch, NO_OFFSET, Offset, TopicId, TopicPartition};

/// One replica of one partition. See the module for its states and invariants.
///
/// - getters: ids, epochs, offsets, [`Partition::size_in_bytes`], [`Partition::is_leader`]
/// - events: [`Partition::apply`], [`Partition::update_config`], [`Partition::on_follower_fetch`],
///   [`Partition::on_isr_proposal_failed`], [`Partition::maybe_shrink_isr`], [`Partition::apply_retention`]
/// - compaction: [`Partition::compaction_need`], [`Partition::begin_compaction`], [`Partition::finish_compaction`],
///   [`Partition::give_up_compaction`]
/// - a leader's commands: [`Partition::append_as_leader`], [`Partition::read`], [`Partition::offset_for_timestamp`],
///   [`Partition::max_timestamp`], [`Partition::delete_records`]
/// - a follower's commands: [`Partition::append_as_follower`], [`Partition::truncate_to`]
#[derive(Debug)]
pub(crate) struct Partition {
    topic_id: TopicId,
    pub(super) broker_id: BrokerId,
    /// `replica.lag.time.max.ms`: how long a follower may not have caught up before it is out of sync.
    pub(super) replica_lag_time_max_ms: i64,
    pub(super) log: Log,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: i32,
    /// How many brokers hold a replica.
    pub(super) replication_factor: usize,
    pub(super) role: Role,
}

/// What the replica is there for at present.
#[derive(Debug)]
pub(super) enum Role {
    Leader(LeaderState),
    Follower {
        leader: BrokerId,
    },
    /// There is no leader.
    Offline,
}

/// What the controller has decided about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRegistration {
    /// [`BrokerId::NONE`] for none.
    pub(crate) leader: BrokerId,
    /// Counts elections.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) isr: Vec<BrokerId>,
    /// Every broker with a replica, preferred leader first.
    pub(crate) replicas: Vec<BrokerId>,
    /// Counts changes of this registration.
    pub(crate) partition_epoch: i32,
}

impl Partition {
    /// A replica with an empty log, offline until its first registration is applied.
    pub(crate) fn new(
        topic_partition: TopicPartition,
        topic_id: TopicId,
        broker_id: BrokerId,
        replica_lag_time_max_ms: i64,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Self {
        Self {
            topic_id,
            broker_id,
            replica_lag_time_max_ms,
            log: Log::in_memory(topic_partition, config, now_ms),
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: -1,
            replication_factor: 0,
            role: Role::Offline,
        }
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        self.log.topic_partition()
    }

    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "asked for by followers and by clients on sockets"))]
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    #[inline]
    #[cfg_attr(not(test), expect(dead_code, reason = "asked for by replication, once there is more than one broker"))]
    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The broker that leads, as far as this replica knows.
    pub(crate) fn leader(&self) -> Option<BrokerId> {
        match &self.role {
            Role::Leader(_) => Some(self.broker_id),
            Role::Follower { leader } => Some(*leader),
            Role::Offline => None,
        }
    }

    /// The first offset that may be read.
    #[inline]
    pub(crate) fn log_start(&self) -> Offset {
        self.log.log_start()
    }

    /// The offset up to which no transaction is undecided; at most the high watermark.
    #[inline]
    pub(crate) fn last_stable(&self) -> Offset {
        self.log.last_stable_offset()
    }

    /// The offset up to which records are replicated.
    #[inline]
    pub(crate) fn high_watermark(&self) -> Offset {
        self.log.high_watermark()
    }

    /// The offset that the next record gets.
    #[inline]
    pub(crate) fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    /// The first offset that a consumer of this isolation level does not see yet.
    #[inline]
    pub(crate) fn visible_end(&self, isolation: IsolationLevel) -> Offset {
        match isolation {
            IsolationLevel::ReadUncommitted => self.high_watermark(),
            IsolationLevel::ReadCommitted => self.last_stable(),
        }
    }

    /// Bytes of all segments.
    #[inline]
    pub(crate) fn size_in_bytes(&self) -> u64 {
        self.log.size_in_bytes()
    }

    /// What the leader remembers of producers, in order of id. `NOT_LEADER_OR_FOLLOWER`.
    pub(crate) fn active_producers(&self) -> Result<Vec<ActiveProducer>, PartitionError> {
        self.leader_state()?;
        Ok(self.log.active_producers())
    }

    /// How many segments the log has.
    pub(crate) fn segment_count(&self) -> usize {
        self.log.segment_count()
    }

    /// How many brokers hold a replica.
    pub(crate) fn replication_factor(&self) -> usize {
        self.replication_factor
    }

    /// How many replicas are in sync, as far as this broker leads.
    pub(crate) fn in_sync_count(&self) -> Option<usize> {
        Some(self.leader_state().ok()?.isr.committed().len())
    }

    /// The topic's settings have changed.
    pub(crate) fn update_config(&mut self, config: Arc<LogConfig>) {
        self.log.update_config(config);
    }

    /// Takes the role that the controller gives this broker. True if the high watermark moved.
    ///
    /// The same registration may come again. Errors: `FENCED_LEADER_EPOCH` for one that is older than the one in force,
    /// after which nothing has changed.
    pub(crate) fn apply(&mut self, registration: &PartitionRegistration, now_ms: i64) -> Result<bool, PartitionError> {
        let &PartitionRegistration { leader, leader_epoch, partition_epoch, .. } = registration;
        if partition_epoch < self.partition_epoch || leader_epoch < self.leader_epoch {
            let topic_partition = self.topic_partition().clone();
            return Err(PartitionError::StaleRegistration { topic_partition, leader_epoch, partition_epoch });
        }
        let is_new_epoch = leader_epoch > self.leader_epoch;
        self.leader_epoch = leader_epoch;
        self.partition_epoch = partition_epoch;
        self.replication_factor = registration.replicas.len();
        if leader != self.broker_id {
            self.role = if leader == BrokerId::NONE { Role::Offline } else { Role::Follower { leader } };
            return Ok(false);
        }
        if is_new_epoch {
            // Followers may hold records of epochs in which nothing was appended here; they find where to truncate to by
            // asking for the end of theirs.
            self.log.assign_epoch_start(leader_epoch);
        }
        let isr = Isr::new(registration.isr.clone());
        match &mut self.role {
            Role::Leader(state) => {
                state.update(isr, &registration.replicas, self.broker_id);
                if is_new_epoch {
                    state.begin_epoch(self.log.log_end(), now_ms);
                }
            }
            role => {
                let state = LeaderState::new(isr, &registration.replicas, self.broker_id, self.log.log_end(), now_ms);
                *role = Role::Leader(state);
            }
        }
        // The ISR may have shrunk to one.
        Ok(self.maybe_increment_high_watermark(now_ms))
    }

    /// Compares a client's leader epoch with the replica's (KIP-320); without one there is nothing to compare.
    ///
    /// Errors: `FENCED_LEADER_EPOCH` for an older, `UNKNOWN_LEADER_EPOCH` for a newer one.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "clients in this process always go to the current leader; those on sockets may not"
        )
    )]
    pub(crate) fn check_leader_epoch(&self, epoch: Option<LeaderEpoch>) -> Result<(), PartitionError> {
        let current = self.leader_epoch;
        match epoch {
            Some(epoch) if epoch < current => {
                let topic_partition = self.topic_partition().clone();
                Err(PartitionError::FencedLeaderEpoch { topic_partition, epoch, current })
            }
            Some(epoch) if epoch > current => {
                let topic_partition = self.topic_partition().clone();
                Err(PartitionError::UnknownLeaderEpoch { topic_partition, epoch, current })
            }
            _ => Ok(()),
        }
    }

    /// Pushes whole batches from the one that holds `position` on, up to the visible end, until `max_bytes` are reached;
    /// at least one if there is any (KIP-74). Returns the bytes pushed.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER`; `OFFSET_OUT_OF_RANGE` outside log start and log end.
    #[inline]
    pub(crate) fn read(
        &self,
        position: Offset,
        max_bytes: usize,
        isolation: IsolationLevel,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<usize, PartitionError> {
        self.leader_state()?;
        Ok(self.log.read(position, max_bytes, self.visible_end(isolation), true, batches)?)
    }

    /// The first visible record whose timestamp is at least `timestamp`.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER`; `OFFSET_NOT_AVAILABLE` if there is none, but a new leader does not know yet what
    /// is visible.
    pub(crate) fn offset_for_timestamp(
        &self,
        timestamp: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<TimestampAndOffset>, PartitionError> {
        let epoch_start = self.leader_state()?.epoch_start_offset;
        let found = self.log.offset_for_timestamp(timestamp, self.visible_end(isolation))?;
        self.or_not_available(found, epoch_start)
    }

    /// The log start, and the epoch of the record there or of the next one to come: ListOffsets -2.
    pub(crate) fn earliest(&self) -> (Offset, Option<LeaderEpoch>) {
        (self.log.log_start(), self.log.earliest_epoch())
    }

    /// The visible record with the largest timestamp, the first of equals: ListOffsets -3. Errors as with
    /// [`Partition::offset_for_timestamp`].
    pub(crate) fn max_timestamp(
        &self,
        isolation: IsolationLevel,
    ) -> Result<Option<TimestampAndOffset>, PartitionError> {
        let epoch_start = self.leader_state()?.epoch_start_offset;
        let found = self.log.max_timestamp(self.visible_end(isolation))?;
        self.or_not_available(found, epoch_start)
    }

    fn or_not_available<T>(&self, found: Option<T>, epoch_start: Offset) -> Result<Option<T>, PartitionError> {
        if found.is_none() && epoch_start > self.high_watermark() {
            let (topic_partition, high_watermark) = (self.topic_partition().clone(), self.high_watermark());
            return Err(PartitionError::OffsetNotAvailable { topic_partition, high_watermark, epoch_start });
        }
        Ok(found)
    }

    /// Raises the log start to `before` (-1: the high watermark) and returns the smallest log start of all replicas that
    /// are known. A log start that is already higher stays.
    ///
    /// Errors: `NOT_LEADER_OR_FOLLOWER`; `POLICY_VIOLATION` unless `cleanup.policy` includes `delete`;
    /// `OFFSET_OUT_OF_RANGE` beyond the high watermark or for any other negative offset.
    pub(crate) fn delete_records(&mut self, before: Offset, now_ms: i64) -> Result<Offset, PartitionError> {
        self.leader_state()?;
        if !self.log.config().cleanup_policy.delete {
            return Err(PartitionError::DeletionForbidden { topic_partition: self.topic_partition().clone() });
        }
        let before = if before == NO_OFFSET { self.high_watermark() } else { before };
        self.log.delete_records(before, now_ms)?;
        self.low_watermark()
    }

    /// The periodic work: deletes what retention no longer wants and forgets producers that have expired. True if the
    /// log start moved.
    pub(crate) fn apply_retention(&mut self, now_ms: i64) -> Result<bool, PartitionError> {
        let before = self.log_start();
        self.log.delete_old_segments(now_ms)?;
        self.log.remove_expired_producers(now_ms);
        Ok(self.log_start() > before)
    }

    /// How much the log is in need of compaction, if it is. See [`Log::compaction_need`].
    pub(crate) fn compaction_need(&mut self, now_ms: i64, wants_room: bool) -> Result<Option<f64>, PartitionError> {
        Ok(self.log.compaction_need(now_ms, wants_room)?)
    }

    /// Begins to compact the log, whatever the replica's role. See [`Log::begin_compaction`].
    pub(crate) fn begin_compaction(
        &mut self,
        limits: CompactionLimits,
        now_ms: i64,
    ) -> Result<Option<Compaction>, PartitionError> {
        Ok(self.log.begin_compaction(limits, now_ms)?)
    }

    /// Lets a compaction that is through take effect. See [`Log::finish_compaction`].
    pub(crate) fn finish_compaction(&mut self, compaction: &mut Compaction) -> Result<bool, PartitionError> {
        Ok(self.log.finish_compaction(compaction)?)
    }

    /// See [`Log::compaction_state`].
    pub(crate) fn compaction_state(&self, now_ms: i64) -> Option<CompactionState> {
        self.log.compaction_state(now_ms)
    }

    /// See [`Log::give_up_compaction`].
    pub(crate) fn give_up_compaction(&mut self, compaction: &Compaction) -> bool {
        self.log.give_up_compaction(compaction)
    }

    /// When the oldest segment was last appended to, in ms; `None` if it may not go. See
    /// [`Log::releasable_since`](crate::log::Log::releasable_since).
    pub(crate) fn releasable_since(&self) -> Option<i64> {
        self.log.releasable_since()
    }

    /// Deletes the oldest segment for its memory, if it may go.
    pub(crate) fn release_oldest(&mut self, now_ms: i64) -> Result<(), PartitionError> {
        Ok(self.log.release_oldest(now_ms)?)
    }

    /// Frees what deleted segments still hold.
    pub(crate) fn reclaim(&mut self) -> Result<(), PartitionError> {
        Ok(self.log.reclaim()?)
    }

    /// Begins a new segment once the active one holds this many bytes.
    pub(crate) fn roll_beyond(&mut self, bytes: u64, now_ms: i64) -> Result<(), PartitionError> {
        Ok(self.log.roll_beyond(bytes, now_ms)?)
    }

    /// The leader's state; `NOT_LEADER_OR_FOLLOWER` on another broker.
    #[inline]
    pub(super) fn leader_state(&self) -> Result<&LeaderState, PartitionError> {
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower { .. } | Role::Offline => Err(self.not_leader()),
        }
    }

    #[cold]
    pub(super) fn not_leader(&self) -> PartitionError {
        PartitionError::NotLeader { topic_partition: self.topic_partition().clone(), leader: self.leader() }
    }
}
