use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::util::codec::DecodeError;

#[test]
fn groups_are_listed_and_described() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), static_member("g", "i1")]);
    harness.commit(&Joined::nobody("manual"), 0, 1.into());
    let listed = |group_id: &str, protocol_type: &str, state| ListedGroup {
        group_id: group_id.into(),
        protocol_type: protocol_type.into(),
        state,
    };
    assert_eq!(harness.shard.list(), [listed("g", "consumer", "Stable"), listed("manual", "", "Empty")]);

    let mut described: Vec<_> = members
        .iter()
        .map(|member| DescribedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.request.client_id.clone(),
            client_host: "/127.0.0.1".into(),
            metadata: subscription(&["t"]),
            assignment: assignment_of(&member.member_id),
        })
        .collect();
    described.sort_by(|left, right| left.member_id.cmp(&right.member_id));
    let expected = DescribedGroup {
        error: ErrorCode::None,
        group_id: "g".into(),
        state: "Stable",
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        members: described,
    };
    assert_eq!(harness.shard.describe("g"), expected);

    // Without an agreed protocol there is no protocol and there are no subscriptions to show.
    harness.join(&members[0].request);
    let rebalancing = harness.shard.describe("g");
    assert_eq!((rebalancing.state, rebalancing.protocol.as_str()), ("PreparingRebalance", ""));
    assert!(rebalancing.members.iter().all(|member| member.metadata.is_empty()));

    let nobody = harness.shard.describe("nobody");
    assert_eq!((nobody.error, nobody.state, nobody.members.len()), (ErrorCode::GroupIdNotFound, "Dead", 0));
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut harness = Harness::new();
    assert_eq!(harness.delete("g"), ErrorCode::GroupIdNotFound);
    let members = harness.stable_group(&[member("g", "a")]);
    harness.commit(&members[0], 0, 1.into());
    harness.commit(&members[0], 1, 1.into());
    assert_eq!(harness.delete("g"), ErrorCode::NonEmptyGroup);
    harness.leave("g", &[(&members[0].member_id, None)]);
    let pending = harness.join(&member("g", "b"));
    let before = harness.log.len();
    assert_eq!(harness.delete("g"), ErrorCode::None);
    // Tombstones of both offsets and of the group.
    assert_eq!(harness.log.len(), before + 3);
    assert!(harness.log[before..].iter().all(|record| record.value.is_none()));
    assert_eq!((harness.committed("g", 0), harness.committed("g", 1)), (None, None));
    assert_eq!((harness.shard.list(), harness.shard.poll_timeout()), (Vec::new(), None));
    assert_eq!(harness.rebuilt().list(), []);
    let member_id = harness.join_reply(pending).member_id;
    let token = harness.join(&JoinGroupRequest { member_id, ..member("g", "b") });
    assert_eq!(harness.join_reply(token).error, ErrorCode::UnknownMemberId);
}

#[test]
fn offsets_of_deleted_topics_go() {
    let mut harness = Harness::new();
    for group_id in ["g", "h"] {
        harness.commit(&Joined::nobody(group_id), 0, 1.into());
    }
    let (outcome, _) = harness.shard.on_topics_deleted(&["other"].into(), "");
    assert!(outcome.is_empty());
    let (outcome, _) = harness.shard.on_topics_deleted(&["t"].into(), "");
    assert_eq!(outcome.records.len(), 2);
    harness.settle(outcome);
    for shard in [&harness.shard, &harness.rebuilt()] {
        assert_eq!((committed(shard, "g", 0), committed(shard, "h", 0)), (None, None));
        assert_eq!(shard.list().len(), 2);
    }
}

#[test]
fn a_restart_keeps_stable_groups_and_their_members_carry_on() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), static_member("g", "i1")]);
    let before = harness.shard.describe("g");
    harness.restart();
    assert_eq!(harness.shard.describe("g"), before);
    for member in &members {
        assert_eq!(harness.heartbeat(member), ErrorCode::None);
        let sync = harness.sync(member.sync_request());
        assert_eq!(harness.sync_reply(sync).assignment, assignment_of(&member.member_id));
    }
    // Their sessions began anew.
    harness.restart();
    harness.advance(SESSION_MS - 1);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);
    harness.advance(1);
    assert_eq!(harness.heartbeat(&members[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn unloading_answers_everybody() {
    let mut harness = Harness::new();
    let (_, leads) = harness.join_with_id(&member("g", "a"));
    let (follower, follows) = harness.join_with_id(&member("g", "b"));
    harness.advance(2 * DELAY_MS);
    assert!(!harness.is_waiting(leads));
    let follower = Joined::new(&follower, harness.join_reply(follows));
    let sync = harness.sync(follower.sync_request());
    let (request, join) = harness.join_with_id(&member("h", "a"));
    assert_eq!(harness.waiting(), 2);
    harness.restart();
    assert_eq!(harness.sync_reply(sync).error, ErrorCode::NotCoordinator);
    let response = harness.join_reply(join);
    assert_eq!((response.error, response.member_id), (ErrorCode::NotCoordinator, request.member_id));
    assert_eq!((harness.state("g"), harness.state("h")), ("Empty", "Empty"));
}

#[test]
fn an_unloaded_shard_sends_members_elsewhere() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    assert!(harness.shard.unload().is_empty());
    let gone = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(harness.heartbeat(&members[0]), gone);
    assert_eq!(harness.commit(&members[0], 0, 1.into()), gone);
    assert_eq!(harness.leave("g", &[(&members[0].member_id, None)]).error, gone);
    let token = harness.join(&members[0].request);
    assert_eq!(harness.join_reply(token).error, gone);
    let token = harness.sync(members[0].sync_request());
    assert_eq!(harness.sync_reply(token).error, gone);
    assert_eq!(harness.delete("g"), ErrorCode::GroupIdNotFound);
}

#[test]
fn replay_passes_over_other_kinds_and_refuses_nonsense() {
    let mut shard = GroupShard::new(GroupConfig::default(), 1, GroupCount::default());
    // ConsumerGroupMetadata, of KIP-848.
    assert_eq!(shard.replay(0, &[0, 3, 0, 1, b'g'], Some(&[0, 0, 0, 0, 0, 1])), Ok(()));
    assert_eq!(shard.list(), []);
    assert!(shard.replay(1, &[0], None).is_err());
    assert!(shard.replay(2, &[0, 2, 0, 1, b'g'], Some(&[0, 9])).is_err());
    assert_eq!(shard.list(), []);
}

/// Found by the fuzzer. Symptom: of a group read from somebody else's log, an instance id belonged to no member. Cause:
/// the record named one member twice, by two instance ids, and the second took the first one's place but not its instance.
#[test]
fn a_group_that_names_a_member_twice_is_refused() {
    let member = |instance_id: &str| record::MemberMetadata {
        member_id: "m".into(),
        instance_id: Some(instance_id.into()),
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout_ms: 1_000,
        session_timeout_ms: 1_000,
        subscription: subscription(&["t"]),
        assignment: assignment_of("m"),
    };
    let replay = |members: &[&str]| {
        let mut shard = GroupShard::new(GroupConfig::default(), 1, GroupCount::default());
        let mut metadata = record::GroupMetadata::empty(0);
        metadata.protocol_type = "consumer".into();
        metadata.protocol_name = Some("range".into());
        metadata.members = members.iter().map(|instance_id| member(instance_id)).collect();
        let record = metadata.to_record("g");
        (shard.replay(0, &record.key, record.value.as_deref()), shard.list().len())
    };
    assert_eq!(replay(&["i1"]), (Ok(()), 1));
    assert_eq!(replay(&["i1", "i2"]), (Err(DecodeError { what: "group: two members with one id" }), 0));
    assert_eq!(replay(&["i1", "i1"]), (Err(DecodeError { what: "group: two members with one instance id" }), 0));
}

#[test]
fn a_lost_append_of_a_new_group_leaves_no_group() {
    let mut harness = Harness::new();
    harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
    let token = harness.join(&member("g", "a"));
    assert_eq!(harness.join_reply(token).error, ErrorCode::CoordinatorNotAvailable);
    harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
    let token = harness.join(&static_member("g", "i1"));
    assert_eq!(harness.join_reply(token).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!((harness.shard.list(), harness.shard.poll_timeout()), (Vec::new(), None));
    harness.stable_group(&[member("g", "a")]);
}

#[test]
fn a_lost_assignment_begins_another_rebalance() {
    let mut harness = Harness::new();
    let (leader, leads) = harness.join_with_id(&member("g", "a"));
    let (follower, follows) = harness.join_with_id(&member("g", "b"));
    harness.advance(2 * DELAY_MS);
    let leader = Joined::new(&leader, harness.join_reply(leads));
    let follower = Joined::new(&follower, harness.join_reply(follows));
    let waits = harness.sync(follower.sync_request());
    harness.fail_next = Some(ErrorCode::RecordListTooLarge);
    let leads = harness.sync(leader.sync_request());
    assert_eq!(harness.sync_reply(leads).error, ErrorCode::UnknownServerError);
    assert_eq!(harness.sync_reply(waits).error, ErrorCode::UnknownServerError);
    assert_eq!(harness.state("g"), "PreparingRebalance");
    let tokens = [leader, follower].map(|member| (member.request.clone(), harness.join(&member.request)));
    assert_eq!(harness.finish_rebalance(tokens.into())[0].generation_id, 2);
}

#[test]
fn a_lost_commit_changes_nothing() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    harness.commit(&members[0], 0, 1.into());
    for (code, error) in [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::UnknownTopicOrPartition, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
        (ErrorCode::CorruptMessage, ErrorCode::CorruptMessage),
    ] {
        harness.fail_next = Some(code);
        assert_eq!(harness.commit(&members[0], 0, 2.into()), error);
    }
    assert_eq!(harness.committed("g", 0), Some(1));
    assert_eq!(harness.state("g"), "Stable");
}

/// The last member has gone, whatever becomes of the record; only the generation that nobody saw is lost.
#[test]
fn a_lost_record_of_an_emptied_group_does_no_harm() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    harness.fail_next = Some(ErrorCode::NotEnoughReplicas);
    let response = harness.leave("g", &[(&members[0].member_id, None)]);
    assert_eq!((response.error, response.members.len()), (ErrorCode::CoordinatorNotAvailable, 0));
    assert_eq!(harness.state("g"), "Empty");
    assert_eq!(harness.delete("g"), ErrorCode::None);
}
