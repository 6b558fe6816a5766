use super::*;
use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::record;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::types::{OffsetAndMetadata, TopicPartition};

const LOOK_MS: i64 = 600_000;
const RETENTION_MS: i64 = 7 * 24 * 3_600_000;

fn stay(harness: &mut Harness, members: &[Joined], ms: i64) {
    let end_ms = harness.now_ms + ms;
    while harness.now_ms < end_ms {
        harness.advance((SESSION_MS - 1).min(end_ms - harness.now_ms));
        for member in members {
            assert_eq!(harness.heartbeat(member), ErrorCode::None);
        }
    }
}

/// A harness that looks every minute for offsets of more than ten minutes.
fn impatient() -> Harness {
    let config = GroupConfig {
        offsets_retention_ms: 600_000,
        offsets_retention_check_interval_ms: 60_000,
        ..GroupConfig::default()
    };
    Harness::with_config(config)
}

#[test]
fn an_offset_without_a_group_of_members_ages_from_its_commit() {
    let mut harness = Harness::new();
    let nobody = Joined::nobody("g");
    harness.commit(&nobody, 0, 1.into());
    harness.advance(1_000_000);
    harness.commit(&nobody, 1, 2.into());
    // The first look after the first commit is a week old.
    harness.advance(RETENTION_MS - 1_000_000 - LOOK_MS);
    assert_eq!((harness.committed("g", 0), harness.committed("g", 1)), (Some(1), Some(2)));
    harness.advance(LOOK_MS);
    assert_eq!((harness.committed("g", 0), harness.committed("g", 1)), (None, Some(2)));
    assert_eq!(harness.rebuilt().offsets, harness.shard.offsets);
    harness.advance(1_000_000 + LOOK_MS);
    assert_eq!(harness.shard.list(), []);
    // Three tombstones: of two offsets and of the group. Then nothing is left to wait for.
    assert_eq!(harness.log.iter().filter(|record| record.value.is_none()).count(), 3);
    assert_eq!(harness.shard.poll_timeout(), None);
}

#[test]
fn an_emptied_groups_offsets_age_from_the_last_members_going() {
    let mut harness = impatient();
    let members = harness.stable_group(&[member("g", "a")]);
    harness.commit(&members[0], 0, 1.into());
    stay(&mut harness, &members, 1_200_000);
    assert_eq!(harness.committed("g", 0), Some(1), "t is still read");
    harness.leave("g", &[(&members[0].member_id, None)]);
    harness.advance(599_999);
    assert_eq!(harness.committed("g", 0), Some(1));
    harness.advance(60_000);
    assert_eq!((harness.committed("g", 0), harness.shard.list().len()), (None, 0));
}

#[test]
fn the_time_of_going_survives_a_restart() {
    let mut harness = impatient();
    let members = harness.stable_group(&[member("g", "a")]);
    harness.commit(&members[0], 0, 1.into());
    harness.leave("g", &[(&members[0].member_id, None)]);
    harness.advance(300_000);
    harness.restart();
    harness.advance(299_999);
    assert_eq!(harness.committed("g", 0), Some(1));
    harness.advance(60_001);
    assert_eq!(harness.committed("g", 0), None);
}

#[test]
fn in_a_stable_group_only_offsets_of_other_topics_expire() {
    let mut harness = impatient();
    let members = harness.stable_group(&[member("g", "a")]);
    harness.commit_to(&members[0], "u", 0, 1.into());
    harness.commit(&members[0], 0, 1.into());
    stay(&mut harness, &members, 599_000);
    assert_eq!(harness.shard.offsets.count("g"), 2);
    stay(&mut harness, &members, 61_000);
    assert_eq!((harness.committed("g", 0), harness.shard.offsets.count("g")), (Some(1), 1));
    // While the group rebalances nothing expires at all.
    harness.commit_to(&members[0], "u", 0, 1.into());
    let (_, waits) = harness.join_with_id(&member("g", "b"));
    assert_eq!(harness.state("g"), "PreparingRebalance");
    assert!(harness.is_waiting(waits));
    harness.now_ms += 1_200_000;
    let outcome = harness.shard.expire(harness.now_ms);
    assert!(outcome.is_empty());
}

#[test]
fn members_of_other_kinds_keep_their_offsets() {
    let mut harness = impatient();
    let connect = JoinGroupRequest { protocol_type: "connect".into(), ..member("g", "a") };
    let (request, token) = harness.join_with_id(&connect);
    harness.advance(2 * DELAY_MS);
    let worker = Joined::new(&request, harness.join_reply(token));
    let sync = SyncGroupRequest { protocol_type: Some("connect".into()), ..worker.sync_request() };
    harness.sync(sync);
    harness.commit_to(&worker, "u", 0, 1.into());
    stay(&mut harness, std::slice::from_ref(&worker), 1_200_000);
    assert_eq!(harness.shard.offsets.count("g"), 1);
    assert_eq!(harness.delete_offsets("g", &[("u", 0)]), Err(ErrorCode::NonEmptyGroup));
    harness.leave("g", &[(&worker.member_id, None)]);
    assert_eq!(harness.delete_offsets("g", &[("u", 0)]), Ok(vec![ErrorCode::None]));
}

#[test]
fn offsets_with_a_time_of_their_own_keep_to_it() {
    let mut harness = Harness::new();
    let value = |expire_ms: i64| {
        let mut value = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0];
        value.extend((harness.now_ms - RETENTION_MS).to_be_bytes());
        value.extend(expire_ms.to_be_bytes());
        Some(value.into())
    };
    let key = |partition| record::offset_tombstone("g", &TopicPartition::new("t", partition)).key;
    let (now_ms, soon, never) = (harness.now_ms, value(harness.now_ms + LOOK_MS), value(-1));
    for (partition, value) in [(0, soon), (1, never)] {
        harness.append(CoordinatorRecord { key: key(partition), value });
    }
    harness.shard.on_loaded(now_ms);
    harness.advance(LOOK_MS - 1);
    assert_eq!((harness.committed("g", 0), harness.committed("g", 1)), (Some(9), Some(9)));
    harness.advance(1);
    assert_eq!((harness.committed("g", 0), harness.committed("g", 1)), (None, None));
}

#[test]
fn a_group_without_anything_goes_unless_somebody_is_about_to_join() {
    let mut harness = impatient();
    let request = JoinGroupRequest { session_timeout_ms: 1_800_000, ..member("g", "a") };
    let token = harness.join(&request);
    let member_id = harness.join_reply(token).member_id;
    harness.advance(1_700_000);
    let token = harness.join(&JoinGroupRequest { member_id: member_id.clone(), ..request });
    harness.advance(2 * DELAY_MS);
    assert_eq!(harness.join_reply(token).error, ErrorCode::None);
    harness.leave("g", &[(&member_id, None)]);
    assert_eq!(harness.state("g"), "Empty");
    harness.advance(60_000);
    assert_eq!((harness.shard.list(), harness.rebuilt().list()), (vec![], vec![]));
}

#[test]
fn tombstones_come_in_batches_of_bounded_size() {
    let mut harness = impatient();
    for group in 0..3 {
        let group_id = format!("g{group}");
        for partition in 0..1_500 {
            let partition = TopicPartition::new("t", partition);
            let committed: OffsetAndMetadata = 1.into();
            harness.append(record::offset_commit(&group_id, &partition, &committed, harness.now_ms));
        }
    }
    let wide = "w".repeat(30_000);
    for partition in 0..20 {
        harness.append(record::offset_commit(&wide, &("t", partition).into(), &1.into(), harness.now_ms));
    }
    let total = 3 * 1_501 + 21;
    harness.shard.on_loaded(harness.now_ms);
    harness.now_ms += 660_000;
    let (mut sizes, mut failed) = (Vec::new(), false);
    while harness.shard.poll_timeout().is_some_and(|deadline_ms| deadline_ms <= harness.now_ms) {
        let outcome = harness.shard.handle_timeout(harness.now_ms);
        let bytes: usize = outcome.records.iter().map(|record| record.key.len()).sum();
        assert!(outcome.records.len() <= 1_000 && bytes <= (128 << 10) + 40_000, "{bytes} bytes");
        // One batch in between cannot be appended: the look ends there, and the next one begins at the beginning.
        if sizes.len() == 2 && !failed {
            failed = true;
            harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
            harness.settle(outcome);
            assert_eq!(harness.shard.poll_timeout(), Some(harness.now_ms + 60_000));
            harness.now_ms += 60_000;
            continue;
        }
        sizes.push(outcome.records.len());
        harness.settle(outcome);
    }
    assert_eq!(sizes.iter().sum::<usize>(), total);
    assert_eq!(sizes[..4], [1_000; 4]);
    assert_eq!((harness.shard.list(), harness.shard.poll_timeout()), (vec![], None));
}

#[test]
fn the_offsets_of_a_deleted_topic_go_batch_by_batch() {
    let mut harness = Harness::new();
    for (group_id, partitions) in [("f", 500), ("g", 2_500), ("h", 1)] {
        for partition in 0..partitions {
            harness.append(record::offset_commit(group_id, &("t", partition).into(), &1.into(), harness.now_ms));
        }
    }
    harness.commit_to(&Joined::nobody("g"), "u", 0, 1.into());
    let mut batches = Vec::new();
    let mut next = Some(String::new());
    while let Some(first) = next.take() {
        let (outcome, rest) = harness.shard.on_topics_deleted(&["t"].into(), &first);
        batches.push((first, outcome.records.len()));
        harness.settle(outcome);
        next = rest;
    }
    // It goes on with the group where it stopped.
    assert_eq!(
        batches,
        [("", 1_000), ("g", 1_000), ("g", 1_000), ("h", 1)].map(|(first, size)| (first.to_owned(), size))
    );
    assert_eq!(["f", "g", "h"].map(|group_id| harness.shard.offsets.count(group_id)), [0, 1, 0]);
}

#[test]
fn what_members_subscribe_to_is_not_deleted() {
    let mut harness = Harness::new();
    assert_eq!(harness.delete_offsets("", &[("t", 0)]), Err(ErrorCode::InvalidGroupId));
    assert_eq!(harness.delete_offsets("g", &[("t", 0)]), Err(ErrorCode::GroupIdNotFound));
    let (request, token) = harness.join_with_id(&member("g", "a"));
    // Before its first generation a group of consumers may be reading anything.
    assert_eq!(harness.delete_offsets("g", &[("u", 0)]), Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    harness.advance(2 * DELAY_MS);
    let members = harness.finish_rebalance(vec![(request, token)]);
    harness.commit(&members[0], 0, 1.into());
    harness.commit_to(&members[0], "u", 0, 2.into());
    let before = harness.log.len();
    let expected = vec![ErrorCode::GroupSubscribedToTopic, ErrorCode::None, ErrorCode::None];
    assert_eq!(harness.delete_offsets("g", &[("t", 0), ("u", 0), ("u", 7)]), Ok(expected));
    assert_eq!((harness.log.len() - before, harness.shard.offsets.count("g")), (1, 1));
    // In the next rebalance, what the last generation subscribed to still counts.
    let request =
        JoinGroupRequest { protocols: vec![("range".into(), subscription(&["u"]))], ..members[0].request.clone() };
    let (_, _) = harness.join_with_id(&member("g", "b"));
    harness.join(&request);
    assert_eq!(harness.delete_offsets("g", &[("t", 0)]), Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
    harness.commit_to(&Joined::nobody("h"), "u", 0, 2.into());
    harness.commit_to(&Joined::nobody("h"), "u", 0, 2.into());
    harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(harness.delete_offsets("h", &[("u", 0)]), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(harness.shard.offsets.count("h"), 1);
}

#[test]
fn subscriptions_that_cannot_be_read_may_be_to_anything() {
    let mut harness = Harness::new();
    let request = JoinGroupRequest { protocols: vec![("range".into(), "?".into())], ..member("g", "a") };
    let members = harness.stable_group(&[request]);
    harness.commit(&members[0], 0, 1.into());
    assert_eq!(harness.delete_offsets("g", &[("t", 0)]), Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    let outcome = harness.shard.expire(harness.now_ms + 10 * RETENTION_MS);
    assert!(outcome.is_empty());
}
