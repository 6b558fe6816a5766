//! Placing positions: committed offsets, resets, and the leaders that answer for both.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::client::consumer::Consumer;
use crate::client::consumer::answer::Answer;
use crate::client::consumer::partition_state::{PartitionState, Phase, Reset};
use crate::cluster::group::OffsetFetchRequest;
use crate::cluster::{Cluster, PartitionHandle};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{IsolationLevel, LeaderEpoch, Offset, TopicPartition};

impl Consumer {
    /// Gives every partition a leader and a position, as far as that goes now. What has to be waited for is either in
    /// `offset_fetch` or comes with newer metadata.
    pub(super) fn settle_positions(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if !self.subscriptions.unsettled && self.offset_fetch.is_none() {
            return Ok(());
        }
        self.subscriptions.leaderless = true;
        self.find_leaders()?;
        self.fetch_committed(cx)?;
        let (cluster, isolation) = (self.cluster.clone(), self.fetcher.isolation());
        for state in self.subscriptions.partitions_mut() {
            place(state, &cluster, isolation)?;
        }
        self.subscriptions.unsettled = false;
        self.subscriptions.leaderless = self.subscriptions.partitions().iter().any(|state| state.handle.is_none());
        self.subscriptions.heat_all();
        Ok(())
    }

    /// Sets the time of the next look for leaders that are missing. Newer metadata is looked at at once; the pause is for
    /// a replica that refuses although the metadata names it.
    pub(super) fn schedule_retry(&mut self, now: Instant) {
        if self.retry_at.is_none() && self.subscriptions.leaderless {
            self.retry_at = Some(now + self.config.retry_backoff_max);
        }
    }

    /// Looks for missing leaders again, if it is time to.
    pub(super) fn retry_when_due(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.subscriptions.unsettled = true;
        }
    }

    fn find_leaders(&mut self) -> Result<()> {
        let version = self.cluster.metadata_version();
        let all = std::mem::replace(&mut self.leaders_version, version) != version;
        for state in self.subscriptions.partitions_mut() {
            if !all && state.handle.is_some() {
                continue;
            }
            match self.cluster.leader(&state.topic_partition) {
                Ok(handle) if state.handle.as_ref().is_some_and(|old| Arc::ptr_eq(old, &handle)) => {}
                Ok(handle) => state.set_handle(Some(handle)),
                Err(error) if error.is_closed() => return Err(error),
                Err(_) => state.set_handle(None),
            }
        }
        Ok(())
    }

    /// Asks what is committed of partitions that have no position yet, and takes the answer.
    fn fetch_committed(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let is_new = |state: &&PartitionState| state.phase == Phase::Initializing;
        if self.offset_fetch.is_none() {
            let partitions: Vec<_> =
                self.subscriptions.partitions().iter().filter(is_new).map(|it| it.topic_partition.clone()).collect();
            if partitions.is_empty() {
                return Ok(());
            }
            let Some(group_id) = self.config.group_id.clone() else {
                return self.subscriptions.place_uncommitted(&partitions, self.config.auto_offset_reset);
            };
            let request = OffsetFetchRequest { group_id, partitions: Some(partitions), require_stable: true };
            self.offset_fetch = Some(Answer::new(self.cluster.fetch_offsets(request)));
        }
        let Some(fetch) = &mut self.offset_fetch else { return Ok(()) };
        let Poll::Ready(response) = fetch.poll_answer(cx) else { return Ok(()) };
        self.offset_fetch = None;
        match response.error {
            ErrorCode::None => {}
            code if code.is_retriable() => {
                self.retry_at = Some(self.now() + self.config.retry_backoff);
                return Ok(());
            }
            code => return Err(Error::new(code, format!("fetching committed offsets: {}", code.message()))),
        }
        let mut without = Vec::new();
        for (topic_partition, committed) in response.partitions {
            // It may have been sought or revoked meanwhile.
            if !self.subscriptions.is_initializing(&topic_partition) {
                continue;
            }
            match (committed, self.subscriptions.find_mut(&topic_partition)) {
                (Some(committed), Some(state)) => {
                    state.seek(committed.offset(), committed.leader_epoch());
                    state.committed = Some(committed.offset());
                }
                _ => without.push(topic_partition),
            }
        }
        self.subscriptions.place_uncommitted(&without, self.config.auto_offset_reset)?;
        // Partitions that were assigned after the question was asked.
        if self.subscriptions.partitions().iter().any(|state| state.phase == Phase::Initializing) {
            return self.fetch_committed(cx);
        }
        Ok(())
    }

    /// The leader of a partition, waiting for an election as long as calls may wait.
    pub(super) async fn leader(&self, topic_partition: &TopicPartition) -> Result<Arc<PartitionHandle>> {
        let deadline = self.now() + self.config.default_api_timeout;
        self.create_missing_topic(topic_partition.topic())?;
        loop {
            let version = self.cluster.metadata_version();
            match self.cluster.leader(topic_partition) {
                Err(error) if error.code() == ErrorCode::LeaderNotAvailable => {
                    if tokio::time::timeout_at(deadline, self.cluster.metadata_changed(version)).await.is_err() {
                        return Err(Error::timeout("no leader within default.api.timeout.ms")
                            .with_topic_partition(topic_partition.clone()));
                    }
                }
                result => return result,
            }
        }
    }
}

/// Places the position of one partition that waits for it and has a leader.
fn place(state: &mut PartitionState, cluster: &Cluster, isolation: IsolationLevel) -> Result<()> {
    let (Phase::AwaitingReset(reset), Some(handle)) = (state.phase, &state.handle) else {
        return Ok(());
    };
    match resolve(handle, reset, cluster, isolation) {
        Ok((offset, epoch)) => {
            state.seek(offset, epoch);
            Ok(())
        }
        Err(error) if error.is_closed() => Err(error),
        Err(_) => {
            state.set_handle(None);
            Ok(())
        }
    }
}

fn resolve(
    handle: &PartitionHandle,
    reset: Reset,
    cluster: &Cluster,
    isolation: IsolationLevel,
) -> Result<(Offset, Option<LeaderEpoch>)> {
    let end = || handle.offsets().visible_end(isolation);
    let timestamp = match reset {
        Reset::Earliest => return Ok((handle.offsets().log_start(), None)),
        Reset::Latest => return Ok((end(), None)),
        Reset::Timestamp(timestamp) => timestamp,
        Reset::Ago(span) => {
            let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            cluster.clock().now_ms().saturating_sub(span).max(0)
        }
    };
    let found = handle.offset_for_timestamp(timestamp, isolation)?;
    Ok(found.map_or_else(|| (end(), None), |(offset, _, epoch)| (offset, Some(epoch))))
}
