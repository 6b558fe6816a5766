use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::types::{LeaderEpoch, OffsetAndMetadata, TopicPartition};

#[test]
fn invariant_27_the_last_accepted_commit_wins_and_old_generations_are_refused() {
    let mut harness = Harness::new();
    let old = harness.stable_group(&[member("g", "a")]);
    assert_eq!(harness.commit(&old[0], 0, 10.into()), ErrorCode::None);
    assert_eq!(harness.commit(&old[0], 0, 20.into()), ErrorCode::None);
    assert_eq!(harness.committed("g", 0), Some(20));

    // While the others join, a member of the generation may still save its work ...
    let (request, newcomer) = harness.join_with_id(&member("g", "b"));
    assert_eq!(harness.commit(&old[0], 0, 30.into()), ErrorCode::None);
    let rejoin = harness.join(&old[0].request);
    // ... but not between its new generation and its new assignment.
    let new = Joined::new(&old[0].request, harness.join_reply(rejoin));
    assert_eq!(harness.commit(&new, 0, 40.into()), ErrorCode::RebalanceInProgress);
    assert_eq!(harness.commit(&old[0], 0, 40.into()), ErrorCode::IllegalGeneration);
    let other = Joined::new(&request, harness.join_reply(newcomer));
    harness.sync(new.sync_request());
    harness.sync(other.sync_request());

    assert_eq!(harness.commit(&old[0], 0, 50.into()), ErrorCode::IllegalGeneration);
    let future = Joined { generation_id: new.generation_id + 1, ..new.clone() };
    assert_eq!(harness.commit(&future, 0, 50.into()), ErrorCode::IllegalGeneration);
    assert_eq!(harness.committed("g", 0), Some(30));
    assert_eq!(harness.commit(&new, 0, 25.into()), ErrorCode::None);

    harness.restart();
    assert_eq!(harness.committed("g", 0), Some(25));
    assert_eq!(harness.commit(&old[0], 0, 60.into()), ErrorCode::IllegalGeneration);
    assert_eq!(harness.commit(&new, 0, 60.into()), ErrorCode::None);
    assert_eq!(committed(&harness.rebuilt(), "g", 0), Some(60));
}

#[test]
fn commits_of_strangers_are_refused() {
    let mut harness = Harness::new();
    let nobody = Joined::nobody("g");
    let stranger = Joined { generation_id: 1, member_id: "stranger".into(), ..nobody.clone() };
    assert_eq!(harness.commit(&stranger, 0, 1.into()), ErrorCode::IllegalGeneration);
    let members = harness.stable_group(&[member("g", "a")]);
    assert_eq!(harness.commit(&stranger, 0, 1.into()), ErrorCode::UnknownMemberId);
    assert_eq!(harness.commit(&nobody, 0, 1.into()), ErrorCode::UnknownMemberId);
    let with_instance = Joined { instance_id: Some("i".into()), ..members[0].clone() };
    assert_eq!(harness.commit(&with_instance, 0, 1.into()), ErrorCode::UnknownMemberId);
    let no_generation = Joined { generation_id: -1, ..members[0].clone() };
    assert_eq!(harness.commit(&no_generation, 0, 1.into()), ErrorCode::IllegalGeneration);
    assert_eq!(harness.committed("g", 0), None);
}

#[test]
fn a_consumer_without_a_group_may_commit_while_nobody_is_a_member() {
    let mut harness = Harness::new();
    assert_eq!(harness.commit(&Joined::nobody("g"), 0, 1.into()), ErrorCode::None);
    assert_eq!(harness.state("g"), "Empty");
    let members = harness.stable_group(&[member("g", "a")]);
    assert_eq!(harness.commit(&Joined::nobody("g"), 0, 2.into()), ErrorCode::UnknownMemberId);
    harness.leave("g", &[(&members[0].member_id, None)]);
    assert_eq!(harness.commit(&Joined::nobody("g"), 0, 3.into()), ErrorCode::None);
    assert_eq!(harness.committed("g", 0), Some(3));
    // The empty group id is good for nothing else, but Kafka lets offsets be kept under it.
    assert_eq!(harness.commit(&Joined::nobody(""), 0, 4.into()), ErrorCode::None);
    assert_eq!(harness.committed("", 0), Some(4));
    assert_eq!(harness.commit(&Joined::nobody(&"g".repeat(40_000)), 0, 4.into()), ErrorCode::InvalidGroupId);
}

#[test]
fn a_commit_counts_as_a_heartbeat() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    for offset in 0..5 {
        harness.advance(SESSION_MS - 1);
        assert_eq!(harness.commit(&members[0], 0, offset.into()), ErrorCode::None);
    }
    harness.advance(SESSION_MS);
    assert_eq!(harness.commit(&members[0], 0, 9.into()), ErrorCode::UnknownMemberId);
}

#[test]
fn metadata_that_is_too_long_is_refused_for_its_partition_alone() {
    let mut harness = Harness::new();
    let partition = |partition| TopicPartition::new("t", partition);
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
        offsets: vec![
            (partition(0), OffsetAndMetadata::new(1).metadata_text("x".repeat(4_097))),
            (partition(1), OffsetAndMetadata::new(2).metadata_text("x".repeat(4_096))),
            // Kafka counts UTF-16 code units: 4,096 here, in 12,288 bytes.
            (partition(2), OffsetAndMetadata::new(3).metadata_text("\u{20ac}".repeat(4_096))),
            (TopicPartition::new("t".repeat(40_000), 0), OffsetAndMetadata::new(4)),
        ],
    };
    let outcome = harness.shard.handle_offset_commit(0, 1, request);
    let [(1, Reply::OffsetCommit(response))] = &outcome.replies[..] else { panic!("{outcome:?}") };
    let errors: Vec<_> = response.partitions.iter().map(|(_, error)| *error).collect();
    assert_eq!(
        errors,
        [ErrorCode::OffsetMetadataTooLarge, ErrorCode::None, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]
    );
    assert_eq!(outcome.records.len(), 2);
}

#[test]
fn everything_committed_is_fetched_with_its_metadata() {
    let mut harness = Harness::new();
    let rich = OffsetAndMetadata::new(7).metadata_text("note").with_leader_epoch(Some(LeaderEpoch(3)));
    harness.commit(&Joined::nobody("g"), 1, rich.clone());
    harness.commit(&Joined::nobody("g"), 0, 5.into());
    harness.commit(&Joined::nobody("other"), 2, 9.into());
    let fetch = |group_id: &str, partitions| {
        let request = OffsetFetchRequest { group_id: group_id.into(), partitions, require_stable: false };
        harness.shard.fetch_offsets(&request).partitions
    };
    let partition = |partition| TopicPartition::new("t", partition);
    let all = vec![(partition(0), Some(OffsetAndMetadata::new(5))), (partition(1), Some(rich.clone()))];
    assert_eq!(fetch("g", None), all);
    assert_eq!(fetch("g", Some(vec![partition(1), partition(2)])), [(partition(1), Some(rich)), (partition(2), None)]);
    assert_eq!(fetch("nobody", Some(vec![partition(0)])), [(partition(0), None)]);
    assert_eq!(fetch("nobody", None), []);
}
