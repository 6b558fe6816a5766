//! [`PartitionState`]: where a consumer stands in one of its partitions, and what it has read ahead of that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::client::consumer::AutoOffsetReset;
use crate::client::consumer::metrics::PartitionMetrics;
use crate::client::consumer::records::BatchInfo;
use crate::cluster::{FetchWaiter, PartitionHandle, Token};
use crate::record::{RecordBatch, Records};
use crate::types::{IsolationLevel, LeaderEpoch, Offset, OffsetAndMetadata, TopicPartition};

/// One assigned partition.
///
/// `position` is the next offset to hand out. It moves when records are handed out, never when they are read: what lies
/// in `current` and `buffered` is above it.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) topic_partition: TopicPartition,
    /// The leader; `None` until there is one.
    pub(super) handle: Option<Arc<PartitionHandle>>,
    pub(super) phase: Phase,
    pub(super) position: Offset,
    /// Epoch of the last record handed out, or what was committed or sought with the position.
    pub(super) leader_epoch: Option<LeaderEpoch>,
    pub(super) paused: bool,
    /// Whether it is about to be revoked: its position is being committed and must not move.
    pub(super) revoking: bool,
    /// The position that the last accepted commit of this consumer said.
    pub(super) committed: Option<Offset>,
    /// A batch that a poll returned the front of.
    pub(super) current: Option<Current>,
    /// Batches read ahead.
    pub(super) buffered: VecDeque<RecordBatch>,
    /// Whether the fetcher has it in line to be drained.
    pub(super) queued: bool,
    /// Whether it is in the list of what polls look at: see `SubscriptionState::hot`.
    pub(super) is_hot: bool,
    /// Who is registered with the leader, to be told when the partition moves.
    registered: Option<Arc<FetchWaiter>>,
    /// Once the fetcher has seen the assignment.
    pub(super) metrics: Option<Arc<PartitionMetrics>>,
}

/// Whether the position can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not asked yet what is committed.
    Initializing,
    /// To be placed before the next read.
    AwaitingReset(Reset),
    /// The position stands.
    Fetching,
}

/// Where to place a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Earliest,
    Latest,
    /// First record with a timestamp of at least this, in ms since 1970; else the end.
    Timestamp(i64),
    /// The same, with a timestamp of this long ago.
    Ago(Duration),
}

impl Reset {
    /// `None` for the policy `none`.
    pub(super) fn from_policy(policy: AutoOffsetReset) -> Option<Self> {
        match policy {
            AutoOffsetReset::Earliest => Some(Self::Earliest),
            AutoOffsetReset::Latest => Some(Self::Latest),
            AutoOffsetReset::None => None,
            AutoOffsetReset::ByDuration(span) => Some(Self::Ago(span)),
        }
    }
}

/// A batch that is being handed out.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) records: Records,
    pub(super) info: BatchInfo,
    /// Position after its last record.
    pub(super) next_offset: Offset,
}

impl PartitionState {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self {
            topic_partition,
            handle: None,
            phase: Phase::Initializing,
            position: 0,
            leader_epoch: None,
            paused: false,
            revoking: false,
            committed: None,
            current: None,
            buffered: VecDeque::new(),
            queued: false,
            is_hot: false,
            registered: None,
            metrics: None,
        }
    }

    /// The position, once it is known.
    pub(super) fn known_position(&self) -> Option<Offset> {
        (self.phase == Phase::Fetching).then_some(self.position)
    }

    /// What to commit.
    pub(super) fn consumed(&self) -> Option<OffsetAndMetadata> {
        self.known_position().map(|position| OffsetAndMetadata::new(position).with_leader_epoch(self.leader_epoch))
    }

    /// Goes on at `position` and forgets what was read ahead.
    pub(super) fn seek(&mut self, position: Offset, leader_epoch: Option<LeaderEpoch>) {
        self.phase = Phase::Fetching;
        (self.position, self.leader_epoch) = (position, leader_epoch);
        self.drop_buffers();
        self.show_position();
    }

    /// Has the position placed before the next read.
    pub(super) fn request_reset(&mut self, reset: Reset) {
        self.phase = Phase::AwaitingReset(reset);
        self.leader_epoch = None;
        self.drop_buffers();
        self.show_position();
    }

    fn show_position(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.set_position(self.known_position());
        }
    }

    fn drop_buffers(&mut self) {
        self.current = None;
        self.buffered.clear();
    }

    /// Takes a leader, or none. Another topic of the same name shares no offsets with the old one, so what was read
    /// ahead of the old one goes.
    pub(super) fn set_handle(&mut self, handle: Option<Arc<PartitionHandle>>) {
        if let (Some(old), Some(new)) = (&self.handle, &handle)
            && old.topic_id() != new.topic_id()
        {
            self.drop_buffers();
        }
        self.unregister();
        self.handle = handle;
    }

    /// Sees to it that the waiter is told, under this token, when the partition moves.
    pub(super) fn register(&mut self, waiter: &Arc<FetchWaiter>, token: Token) {
        if let (None, Some(handle)) = (&self.registered, &self.handle) {
            handle.register(waiter, token);
            self.registered = Some(Arc::clone(waiter));
        }
    }

    /// The waiter was told.
    pub(super) fn set_unregistered(&mut self) {
        self.registered = None;
    }

    pub(super) fn unregister(&mut self) {
        if let (Some(waiter), Some(handle)) = (self.registered.take(), &self.handle) {
            handle.unregister(&waiter);
        }
    }

    #[inline]
    pub(super) fn is_fetchable(&self) -> bool {
        self.phase == Phase::Fetching && !self.paused && !self.revoking
    }

    #[inline]
    pub(super) fn has_buffered(&self) -> bool {
        self.current.is_some() || !self.buffered.is_empty()
    }

    /// The next offset to read.
    #[inline]
    pub(super) fn read_position(&self) -> Offset {
        match (self.buffered.back(), &self.current) {
            (Some(last), _) => last.header().next_offset().max(self.position),
            (None, Some(current)) => current.next_offset,
            (None, None) => self.position,
        }
    }

    /// Whether reading would bring data or an error. No lock is taken.
    #[inline]
    pub(super) fn has_news(&self, isolation: IsolationLevel) -> bool {
        let Some(handle) = &self.handle else {
            return false;
        };
        let (position, offsets) = (self.read_position(), handle.offsets());
        let end = offsets.visible_end(isolation);
        end > position || (end < position && offsets.log_end() < position)
    }
}

impl Drop for PartitionState {
    fn drop(&mut self) {
        // No partition keeps the waiter of a consumer that does not read it any more.
        self.unregister();
    }
}
