//! Scenarios of one replica: alone, leading others, following.

use std::sync::Arc;

use proptest::prelude::*;

use crate::config::{CleanupPolicy, LogConfig};
use crate::error::ErrorCode;
use crate::log::testing::{CLIENT, NOW_MS, batch, batch_at, orders, sequenced, transactional};
use crate::log::{AppendOrigin, LogError};
use crate::partition::isr::IsrProposal;
use crate::partition::leader::AppendOutcome;
use crate::partition::leader::FollowerFetchOutcome;
use crate::partition::partition::Role;
use crate::partition::{Partition, PartitionError, PartitionRegistration};
use crate::record::{ControlRecord, EndTxnMarker, RecordBatch};
use crate::types::{
    Acks, BrokerId, IsolationLevel, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampType, TopicId,
};
use crate::util::testing::cases;

const LAG_MS: i64 = 30_000;
const THREE: [i32; 3] = [1, 2, 3];

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn registration(
    leader: i32,
    leader_epoch: i32,
    isr: &[i32],
    replicas: &[i32],
    partition_epoch: i32,
) -> PartitionRegistration {
    PartitionRegistration {
        leader: BrokerId(leader),
        leader_epoch: LeaderEpoch(leader_epoch),
        isr: brokers(isr),
        replicas: brokers(replicas),
        partition_epoch,
    }
}

fn replica(change: impl FnOnce(&mut LogConfig)) -> Partition {
    let mut config = LogConfig::default();
    change(&mut config);
    Partition::new(orders(), TopicId::from_u128(5), BrokerId(1), LAG_MS, Arc::new(config), NOW_MS)
}

/// The only replica.
fn alone(change: impl FnOnce(&mut LogConfig)) -> Partition {
    let mut partition = replica(change);
    assert_eq!(partition.apply(&registration(1, 0, &[1], &[1], 0), NOW_MS), Ok(false));
    partition
}

/// Leads brokers 2 and 3.
fn leader(isr: &[i32], change: impl FnOnce(&mut LogConfig)) -> Partition {
    let mut partition = replica(change);
    partition.apply(&registration(1, 0, isr, &THREE, 0), NOW_MS).unwrap();
    partition
}

impl Partition {
    fn append(&mut self, batch: RecordBatch, acks: Acks) -> Result<AppendOutcome, PartitionError> {
        self.append_as_leader(batch, acks, CLIENT, NOW_MS)
    }

    #[track_caller]
    fn fetch(&mut self, id: i32, log_end: Offset, now_ms: i64) -> FollowerFetchOutcome {
        self.on_follower_fetch(BrokerId(id), 0, log_end, now_ms).unwrap()
    }

    /// The in-sync replicas, ascending; only a leader knows them.
    fn isr(&self) -> Option<&[BrokerId]> {
        match &self.role {
            Role::Leader(leader) => Some(leader.isr.committed()),
            Role::Follower { .. } | Role::Offline => None,
        }
    }

    fn visible(&self, isolation: IsolationLevel) -> Vec<Offset> {
        let mut batches = Vec::new();
        self.read(self.log_start(), usize::MAX, isolation, &mut batches).unwrap();
        batches.iter().map(|batch| batch.header().base_offset()).collect()
    }
}

#[test]
fn a_single_replica_acknowledges_at_once() {
    let mut partition = alone(|_| {});
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let base_offset = partition.log_end();
        let outcome = partition.append(batch(3), acks).unwrap();
        let expected = AppendOutcome {
            base_offset,
            last_offset: base_offset + 2,
            log_append_time: None,
            required_offset: base_offset + 3,
            acked: true,
            high_watermark_advanced: true,
        };
        assert_eq!(outcome, expected);
    }
    assert_eq!(
        (partition.log_start(), partition.last_stable(), partition.high_watermark(), partition.log_end()),
        (0, 9, 9, 9)
    );
    assert_eq!(partition.visible(IsolationLevel::ReadUncommitted), [0, 3, 6]);
    assert_eq!((partition.leader(), partition.isr()), (Some(BrokerId(1)), Some(&brokers(&[1])[..])));
}

#[test]
fn a_duplicate_is_acknowledged_with_its_original_offsets() {
    let mut partition = alone(|config| config.timestamp_type = TimestampType::LogAppendTime);
    let first = partition.append(sequenced(7, 0, 0, 2), Acks::All).unwrap();
    partition.append(batch(1), Acks::All).unwrap();
    let again = partition.append_as_leader(sequenced(7, 0, 0, 2), Acks::All, CLIENT, NOW_MS + 9).unwrap();
    assert_eq!(again, AppendOutcome { high_watermark_advanced: false, ..first });
    assert_eq!(again.log_append_time, Some(NOW_MS));
}

#[test]
fn a_replica_that_does_not_lead_refuses_clients() {
    let mut partition = replica(|_| {});
    for (leader, known) in [(-1, None), (2, Some(BrokerId(2)))] {
        partition.apply(&registration(leader, 0, &[2], &[1, 2], 0), NOW_MS).unwrap();
        let not_leader = PartitionError::NotLeader { topic_partition: orders(), leader: known };
        assert_eq!(not_leader.code(), ErrorCode::NotLeaderOrFollower);
        assert_eq!(partition.append(batch(1), Acks::None), Err(not_leader.clone()));
        let isolation = IsolationLevel::ReadUncommitted;
        assert_eq!(partition.read(0, 1, isolation, &mut Vec::new()), Err(not_leader.clone()));
        assert_eq!(partition.offset_for_timestamp(0, isolation), Err(not_leader.clone()));
        assert_eq!(partition.max_timestamp(isolation), Err(not_leader.clone()));
        assert_eq!(partition.delete_records(0, NOW_MS), Err(not_leader.clone()));
        assert_eq!(partition.on_follower_fetch(BrokerId(2), 0, 0, NOW_MS), Err(not_leader));
        assert_eq!((partition.is_leader(), partition.isr()), (false, None));
    }
}

#[test]
fn stale_registrations_are_refused() {
    let mut partition = replica(|_| {});
    partition.apply(&registration(1, 4, &[1], &[1], 9), NOW_MS).unwrap();
    for (leader_epoch, partition_epoch) in [(4, 8), (3, 10), (3, 9)] {
        let stale = registration(2, leader_epoch, &[2], &[1, 2], partition_epoch);
        let error = partition.apply(&stale, NOW_MS).unwrap_err();
        let leader_epoch = LeaderEpoch(leader_epoch);
        let expected = PartitionError::StaleRegistration { topic_partition: orders(), leader_epoch, partition_epoch };
        assert_eq!((error.code(), error), (ErrorCode::FencedLeaderEpoch, expected));
        assert!(partition.is_leader());
    }
    // The same again is fine.
    partition.apply(&registration(1, 4, &[1], &[1], 9), NOW_MS).unwrap();
    assert_eq!((partition.leader_epoch(), partition.partition_epoch), (LeaderEpoch(4), 9));
}

#[test]
fn clients_epochs_are_compared() {
    let mut partition = replica(|_| {});
    partition.apply(&registration(1, 4, &[1], &[1], 0), NOW_MS).unwrap();
    assert_eq!(partition.check_leader_epoch(None), Ok(()));
    assert_eq!(partition.check_leader_epoch(Some(LeaderEpoch(4))), Ok(()));
    let old = partition.check_leader_epoch(Some(LeaderEpoch(3))).unwrap_err();
    assert_eq!(old.code(), ErrorCode::FencedLeaderEpoch);
    assert_eq!(old.to_string(), "leader epoch 3 of orders-3 is over; the current one is 4");
    let new = partition.check_leader_epoch(Some(LeaderEpoch(5))).unwrap_err();
    assert_eq!(new.code(), ErrorCode::UnknownLeaderEpoch);
}

#[test]
fn the_high_watermark_is_the_smallest_log_end_of_the_isr() {
    let mut partition = leader(&THREE, |_| {});
    let outcome = partition.append(batch(3), Acks::All).unwrap();
    assert_eq!((outcome.acked, outcome.high_watermark_advanced, outcome.required_offset), (false, false, 3));
    assert!(partition.append(batch(1), Acks::Leader).unwrap().acked);
    assert!(!partition.fetch(2, 4, NOW_MS).high_watermark_advanced);
    assert_eq!(partition.visible(IsolationLevel::ReadUncommitted), [0i64; 0]);
    assert!(partition.fetch(3, 3, NOW_MS).high_watermark_advanced);
    assert_eq!((partition.high_watermark(), partition.visible(IsolationLevel::ReadUncommitted)), (3, vec![0]));
    assert!(partition.fetch(3, 4, NOW_MS).high_watermark_advanced);
    assert!(!partition.fetch(3, 4, NOW_MS).high_watermark_advanced);
    let error = partition.on_follower_fetch(BrokerId(8), 0, 0, NOW_MS).unwrap_err();
    assert_eq!(error, PartitionError::UnknownReplica { topic_partition: orders(), replica: BrokerId(8) });
}

#[test]
fn a_lagging_replica_is_proposed_to_leave_and_a_caught_up_one_to_rejoin() {
    let mut partition = leader(&THREE, |_| {});
    partition.append(batch(3), Acks::All).unwrap();
    partition.fetch(2, 3, NOW_MS + 1);
    assert_eq!(partition.maybe_shrink_isr(NOW_MS + LAG_MS), None);
    let without_3 = IsrProposal { isr: brokers(&[1, 2]), leader_epoch: LeaderEpoch(0), partition_epoch: 0 };
    assert_eq!(partition.maybe_shrink_isr(NOW_MS + LAG_MS + 1), Some(without_3.clone()));
    // One at a time; and until the controller agrees, the high watermark waits.
    assert_eq!(partition.maybe_shrink_isr(NOW_MS + LAG_MS + 1), None);
    assert_eq!(partition.high_watermark(), 0);
    assert!(!partition.on_isr_proposal_failed(NOW_MS + LAG_MS + 1));
    assert_eq!(partition.maybe_shrink_isr(NOW_MS + LAG_MS + 1), Some(without_3));
    assert_eq!(partition.apply(&registration(1, 0, &[1, 2], &THREE, 1), NOW_MS + LAG_MS + 1), Ok(true));
    assert_eq!(partition.high_watermark(), 3);

    // Behind the high watermark it may not rejoin.
    let now_ms = NOW_MS + 2 * LAG_MS;
    assert_eq!(partition.fetch(3, 2, now_ms).isr_proposal, None);
    let joined = Some(IsrProposal { isr: brokers(&THREE), leader_epoch: LeaderEpoch(0), partition_epoch: 1 });
    assert_eq!(partition.fetch(3, 3, now_ms).isr_proposal, joined);
    assert_eq!(partition.fetch(3, 3, now_ms).isr_proposal, None);
    // From the proposal on the high watermark waits for it.
    partition.append(batch(1), Acks::All).unwrap();
    partition.fetch(2, 4, now_ms + 10 * LAG_MS);
    assert_eq!((partition.high_watermark(), partition.isr().unwrap()), (3, &brokers(&[1, 2])[..]));
    partition.apply(&registration(1, 0, &THREE, &THREE, 2), now_ms).unwrap();
    assert!(partition.fetch(3, 4, now_ms).high_watermark_advanced);
}

#[test]
fn a_follower_that_trails_a_busy_leader_stays_in_sync() {
    // Each fetch asks for what the leader had at the fetch before: always behind, never lagging.
    let mut partition = leader(&[1, 2], |_| {});
    let mut now_ms = NOW_MS;
    for round in 0..10 {
        partition.append(batch(1), Acks::Leader).unwrap();
        now_ms += LAG_MS / 2;
        partition.fetch(2, round, now_ms);
        assert_eq!(partition.maybe_shrink_isr(now_ms), None);
    }
    assert!(partition.maybe_shrink_isr(now_ms + LAG_MS).is_some());
}

#[test]
fn acks_all_wants_min_insync_replicas() {
    let mut partition = leader(&[1], |config| config.min_insync_replicas = 2);
    let error = partition.append(batch(1), Acks::All).unwrap_err();
    assert_eq!(error, PartitionError::NotEnoughReplicas { topic_partition: orders(), in_sync: 1, required: 2 });
    assert_eq!(error.code(), ErrorCode::NotEnoughReplicas);
    assert_eq!(error.to_string(), "orders-3 has 1 replicas in sync, and min.insync.replicas asks for 2");
    assert_eq!(partition.log_end(), 0);
    // Others may write, but nothing becomes visible (KIP-966).
    assert!(partition.append(batch(1), Acks::Leader).unwrap().acked);
    assert_eq!((partition.high_watermark(), partition.log_end()), (0, 1));
    partition.fetch(2, 1, NOW_MS);
    assert_eq!(partition.apply(&registration(1, 0, &[1, 2], &THREE, 1), NOW_MS), Ok(true));
    assert_eq!(partition.high_watermark(), 1);
}

#[test]
fn min_insync_replicas_counts_no_further_than_the_replicas_there_are() {
    let mut partition = alone(|config| config.min_insync_replicas = 2);
    assert!(partition.append(batch(1), Acks::All).unwrap().acked);
}

#[test]
fn readers_of_committed_data_stop_at_an_open_transaction() {
    let mut partition = alone(|_| {});
    partition.append(batch(2), Acks::All).unwrap();
    partition.append(transactional(7, 0, 0, 1), Acks::All).unwrap();
    partition.append(batch(1), Acks::All).unwrap();
    assert_eq!(partition.visible(IsolationLevel::ReadCommitted), [0]);
    assert_eq!(partition.visible(IsolationLevel::ReadUncommitted), [0, 2, 3]);
    assert_eq!(partition.max_timestamp(IsolationLevel::ReadCommitted).unwrap().unwrap().offset, 0);
    let marker = EndTxnMarker { control: ControlRecord::Commit, coordinator_epoch: 0 };
    let marker = marker.to_batch(NOW_MS, ProducerId(7), ProducerEpoch(0));
    partition.append_as_leader(marker, Acks::All, AppendOrigin::Coordinator, NOW_MS).unwrap();
    assert_eq!((partition.last_stable(), partition.high_watermark()), (5, 5));
}

#[test]
fn invariant_39_lookups_see_only_what_readers_see() {
    let mut partition = leader(&[1, 2], |_| {});
    for timestamp in [10, 30, 20] {
        partition.append(batch_at(&[timestamp]), Acks::Leader).unwrap();
    }
    let isolation = IsolationLevel::ReadUncommitted;
    assert_eq!(partition.offset_for_timestamp(0, isolation), Ok(None));
    partition.fetch(2, 1, NOW_MS);
    assert_eq!(partition.offset_for_timestamp(20, isolation), Ok(None));
    assert_eq!(partition.max_timestamp(isolation).unwrap().unwrap().timestamp, 10);
    partition.fetch(2, 3, NOW_MS);
    let found = partition.offset_for_timestamp(20, isolation).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp, found.leader_epoch), (1, 30, LeaderEpoch(0)));
    assert_eq!(partition.max_timestamp(isolation).unwrap(), Some(found));
}

#[test]
fn a_new_leader_says_when_it_does_not_know_yet_what_is_visible() {
    let mut partition = replica(|_| {});
    partition.apply(&registration(2, 0, &[], &[1, 2], 0), NOW_MS).unwrap();
    let mut replicated = batch_at(&[10]);
    replicated.assign(0, LeaderEpoch(0));
    partition.append_as_follower([replicated], 0, 0, NOW_MS).unwrap();
    partition.apply(&registration(1, 1, &[1, 2], &[1, 2], 1), NOW_MS).unwrap();
    let error = partition.offset_for_timestamp(5, IsolationLevel::ReadUncommitted).unwrap_err();
    let expected = PartitionError::OffsetNotAvailable { topic_partition: orders(), high_watermark: 0, epoch_start: 1 };
    assert_eq!((error.code(), error), (ErrorCode::OffsetNotAvailable, expected));
    partition.fetch(2, 1, NOW_MS);
    assert_eq!(partition.offset_for_timestamp(5, IsolationLevel::ReadUncommitted).unwrap().unwrap().offset, 0);
}

#[test]
fn invariant_38_delete_records_up_to_the_high_watermark() {
    let mut partition = leader(&[1, 2], |_| {});
    for _ in 0..4 {
        partition.append(batch(1), Acks::Leader).unwrap();
    }
    partition.fetch(2, 3, NOW_MS);
    // The other replica's log start counts: its records are deleted only after its next fetch.
    assert_eq!(partition.delete_records(2, NOW_MS), Ok(0));
    partition.on_follower_fetch(BrokerId(2), 2, 3, NOW_MS).unwrap();
    assert_eq!(partition.delete_records(1, NOW_MS), Ok(2));
    let error = partition.delete_records(4, NOW_MS).unwrap_err();
    assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
    partition.on_follower_fetch(BrokerId(2), 3, 3, NOW_MS).unwrap();
    assert_eq!(partition.delete_records(-1, NOW_MS), Ok(3));
    assert_eq!((partition.log_start(), partition.log_end()), (3, 4));
    assert_eq!(partition.delete_records(-2, NOW_MS).unwrap_err().code(), ErrorCode::OffsetOutOfRange);
    let error = partition.read(2, 1, IsolationLevel::ReadUncommitted, &mut Vec::new()).unwrap_err();
    let expected = LogError::OffsetOutOfRange { topic_partition: orders(), offset: 2, log: 3..4 };
    assert_eq!(error, PartitionError::Log(expected));
    assert_eq!(error.to_string(), "offset 2 is out of range for orders-3 (log is 3..4)");
}

#[test]
fn records_of_a_compacted_topic_cannot_be_deleted() {
    let mut partition = alone(|config| config.cleanup_policy = CleanupPolicy { delete: false, compact: true });
    let error = partition.delete_records(0, NOW_MS).unwrap_err();
    assert_eq!(
        (error.code(), error),
        (ErrorCode::PolicyViolation, PartitionError::DeletionForbidden { topic_partition: orders() },)
    );
}

#[test]
fn retention_follows_the_settings_of_the_moment() {
    let mut partition = alone(|_| {});
    partition.append(batch_at(&[NOW_MS - 1_000]), Acks::All).unwrap();
    assert_eq!(partition.apply_retention(NOW_MS), Ok(false));
    partition.update_config(Arc::new(LogConfig { retention_ms: Some(500), ..LogConfig::default() }));
    assert_eq!(partition.apply_retention(NOW_MS), Ok(true));
    assert_eq!((partition.log_start(), partition.log_end(), partition.size_in_bytes()), (1, 1, 0));
}

#[test]
fn a_follower_copies_truncates_and_takes_over() {
    let mut leader = leader(&THREE, |_| {});
    let mut follower =
        Partition::new(orders(), TopicId::from_u128(5), BrokerId(2), LAG_MS, Arc::new(LogConfig::default()), NOW_MS);
    follower.apply(&registration(1, 0, &THREE, &THREE, 0), NOW_MS).unwrap();
    for count in [3, 2, 4] {
        leader.append(batch(count), Acks::Leader).unwrap();
    }
    let copy = |from: &Partition, start, end| {
        let mut batches = Vec::new();
        from.log.read(start, usize::MAX, end, true, &mut batches).unwrap();
        batches
    };
    follower.append_as_follower(copy(&leader, 0, 9), 3, 0, NOW_MS).unwrap();
    assert_eq!((follower.high_watermark(), follower.log_end()), (3, 9));
    // The third broker has only the first two batches and is elected; this one drops what it has beyond.
    let mut elected =
        Partition::new(orders(), TopicId::from_u128(5), BrokerId(3), LAG_MS, Arc::new(LogConfig::default()), NOW_MS);
    elected.apply(&registration(1, 0, &THREE, &THREE, 0), NOW_MS).unwrap();
    elected.append_as_follower(copy(&leader, 0, 5), 3, 0, NOW_MS).unwrap();
    let election = registration(3, 1, &[2, 3], &THREE, 1);
    elected.apply(&election, NOW_MS).unwrap();
    follower.apply(&election, NOW_MS).unwrap();
    elected.append(batch(1), Acks::Leader).unwrap();
    let end = elected.end_offset_for_epoch(LeaderEpoch(0)).unwrap();
    assert_eq!(end, (LeaderEpoch(0), 5));
    assert_eq!(follower.truncate_to(end.1, NOW_MS), Ok(5));
    assert_eq!((follower.high_watermark(), follower.log_end()), (3, 5));
    follower.append_as_follower(copy(&elected, 5, 6), 3, 0, NOW_MS).unwrap();
    assert_eq!(follower.end_offset_for_epoch(LeaderEpoch(1)), Some((LeaderEpoch(1), 6)));
    // It follows the leader's log start, as far as that is replicated here.
    follower.append_as_follower([], 6, 5, NOW_MS).unwrap();
    assert_eq!((follower.log_start(), follower.high_watermark()), (5, 6));
    follower.truncate_fully_and_start_at(40, NOW_MS).unwrap();
    assert_eq!((follower.log_start(), follower.high_watermark(), follower.log_end()), (40, 40, 40));

    let not_follower = PartitionError::NotFollower { topic_partition: orders() };
    assert_eq!(elected.truncate_to(0, NOW_MS), Err(not_follower));
}

proptest! {
    #![proptest_config(cases(64))]

    /// Log start <= last stable <= high watermark <= log end, all growing, and the high watermark never beyond what every
    /// replica in sync is known to have.
    #[test]
    fn invariant_3_offsets_are_ordered_and_only_grow_while_a_leader_leads(
        steps in prop::collection::vec((0..6u8, 0.0..1.0f64, 1..40_000i64), 1..80),
    ) {
        let mut partition = leader(&THREE, |config| (config.segment_bytes, config.retention_bytes) = (300, Some(600)));
        let (mut now_ms, mut partition_epoch) = (NOW_MS, 0);
        let mut log_ends = [0, 0];
        for (step, share, later_ms) in steps {
            let before = [partition.log_start(), partition.last_stable(), partition.high_watermark(), partition.log_end()];
            now_ms += later_ms;
            let proposal = match step {
                0 | 1 => {
                    let batch = if share < 0.1 { transactional(7, 0, -1, 1) } else { batch_at(&[now_ms, now_ms]) };
                    partition.append_as_leader(batch, Acks::Leader, AppendOrigin::Coordinator, now_ms).unwrap();
                    None
                }
                2 | 3 => {
                    let log_end = &mut log_ends[usize::from(step) - 2];
                    let range = (partition.log_end() - *log_end) as f64;
                    *log_end += (range * share.sqrt()).round() as i64;
                    partition.fetch(i32::from(step), *log_end, now_ms).isr_proposal
                }
                4 => partition.maybe_shrink_isr(now_ms),
                _ => {
                    partition.apply_retention(now_ms).unwrap();
                    None
                }
            };
            if let Some(IsrProposal { isr, leader_epoch, .. }) = proposal {
                partition_epoch += 1;
                let isr: Vec<_> = isr.iter().map(|id| id.0).collect();
                let registration = registration(1, leader_epoch.0, &isr, &THREE, partition_epoch);
                partition.apply(&registration, now_ms).unwrap();
            }
            let after = [partition.log_start(), partition.last_stable(), partition.high_watermark(), partition.log_end()];
            prop_assert!(after.is_sorted(), "{after:?}");
            prop_assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
            if after[2] > before[2] {
                for (id, log_end) in [(2, log_ends[0]), (3, log_ends[1])] {
                    prop_assert!(!partition.isr().unwrap().contains(&BrokerId(id)) || log_end >= after[2]);
                }
            }
        }
    }
}
