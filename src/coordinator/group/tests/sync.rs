use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

fn sync_error(harness: &mut Harness, request: SyncGroupRequest) -> ErrorCode {
    let token = harness.sync(request);
    let response = harness.sync_reply(token);
    assert!(response.assignment.is_empty());
    response.error
}

/// Two members that have joined generation 1; the first leads.
fn joined(harness: &mut Harness) -> (Joined, Joined) {
    let (leader, leads) = harness.join_with_id(&member("g", "a"));
    let (follower, follows) = harness.join_with_id(&member("g", "b"));
    harness.advance(2 * DELAY_MS);
    let leader = Joined::new(&leader, harness.join_reply(leads));
    let follower = Joined::new(&follower, harness.join_reply(follows));
    assert!(leader.is_leader());
    (leader, follower)
}

#[test]
fn followers_wait_for_the_leaders_assignment() {
    let mut harness = Harness::new();
    let (leader, follower) = joined(&mut harness);
    let waits = harness.sync(follower.sync_request());
    assert!(harness.is_waiting(waits));
    let leads = harness.sync(leader.sync_request());
    assert_eq!(
        harness.sync_reply(waits),
        SyncGroupResponse {
            error: ErrorCode::None,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignment: assignment_of(&follower.member_id),
        }
    );
    assert_eq!(harness.sync_reply(leads).assignment, assignment_of(&leader.member_id));
    assert_eq!(harness.state("g"), "Stable");

    // A follower that asks again, or late, gets the same.
    let again = harness.sync(follower.sync_request());
    assert_eq!(harness.sync_reply(again).assignment, assignment_of(&follower.member_id));
}

#[test]
fn syncs_that_make_no_sense_are_refused() {
    let mut harness = Harness::new();
    let request = Joined::nobody("g").sync_request();
    assert_eq!(
        sync_error(&mut harness, SyncGroupRequest { group_id: "".into(), ..request.clone() }),
        ErrorCode::InvalidGroupId
    );
    assert_eq!(sync_error(&mut harness, request), ErrorCode::UnknownMemberId);

    let (leader, _) = joined(&mut harness);
    let request = leader.sync_request();
    for (request, error) in [
        (SyncGroupRequest { member_id: "nobody".into(), ..request.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { group_instance_id: Some("i".into()), ..request.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { generation_id: 0, ..request.clone() }, ErrorCode::IllegalGeneration),
        (SyncGroupRequest { generation_id: 2, ..request.clone() }, ErrorCode::IllegalGeneration),
        (
            SyncGroupRequest { protocol_type: Some("connect".into()), ..request.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest { protocol_name: Some("sticky".into()), ..request.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
    ] {
        assert_eq!(sync_error(&mut harness, request), error);
    }
    // Clients of old name no protocol.
    let token = harness.sync(SyncGroupRequest { protocol_type: None, protocol_name: None, ..request.clone() });
    assert_eq!(harness.sync_reply(token).error, ErrorCode::None);

    harness.join(&leader.request);
    assert_eq!(sync_error(&mut harness, request), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_rebalance_sends_waiting_followers_back_to_join() {
    let mut harness = Harness::new();
    let (_, follower) = joined(&mut harness);
    let waits = harness.sync(follower.sync_request());
    harness.join_with_id(&member("g", "c"));
    assert_eq!(harness.sync_reply(waits).error, ErrorCode::RebalanceInProgress);
    assert_eq!(harness.state("g"), "PreparingRebalance");
}

#[test]
fn a_repeated_sync_replaces_the_one_that_waits() {
    let mut harness = Harness::new();
    let (leader, follower) = joined(&mut harness);
    let first = harness.sync(follower.sync_request());
    let second = harness.sync(follower.sync_request());
    assert_eq!(harness.sync_reply(first).error, ErrorCode::RebalanceInProgress);
    harness.sync(leader.sync_request());
    assert_eq!(harness.sync_reply(second).assignment, assignment_of(&follower.member_id));
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    let mut harness = Harness::new();
    let (_, follower) = joined(&mut harness);
    let waits = harness.sync(follower.sync_request());
    assert_eq!(harness.leave("g", &[(&follower.member_id, None)]).members, [ErrorCode::None]);
    assert_eq!(harness.sync_reply(waits).error, ErrorCode::UnknownMemberId);
}

#[test]
fn an_assignment_from_a_follower_goes_unheeded() {
    let mut harness = Harness::new();
    let (leader, follower) = joined(&mut harness);
    let assignments = vec![(follower.member_id.clone(), "everything".into())];
    let waits = harness.sync(SyncGroupRequest { assignments, ..follower.sync_request() });
    assert!(harness.is_waiting(waits));
    harness.sync(leader.sync_request());
    assert_eq!(harness.sync_reply(waits).assignment, assignment_of(&follower.member_id));
}

/// Strangers in an assignment are ignored, members without one get nothing.
#[test]
fn an_assignment_covers_the_members_and_nobody_else() {
    let mut harness = Harness::new();
    let (leader, follower) = joined(&mut harness);
    let assignments = vec![(leader.member_id.clone(), "everything".into()), ("stranger".to_owned(), "nothing".into())];
    let leads = harness.sync(SyncGroupRequest { assignments, ..leader.sync_request() });
    assert_eq!(harness.sync_reply(leads).assignment, "everything");
    let follows = harness.sync(follower.sync_request());
    assert_eq!(harness.sync_reply(follows).assignment, "");
}

/// The leader died between JoinGroup and SyncGroup.
#[test]
fn who_does_not_sync_within_the_rebalance_timeout_is_evicted() {
    let mut harness = Harness::new();
    let patient = |client_id| JoinGroupRequest { session_timeout_ms: 120_000, ..member("g", client_id) };
    let (_, leads) = harness.join_with_id(&patient("a"));
    let (request, follows) = harness.join_with_id(&patient("b"));
    harness.advance(2 * DELAY_MS);
    let leader_id = harness.join_reply(leads).member_id;
    let follower = Joined::new(&request, harness.join_reply(follows));
    let waits = harness.sync(follower.sync_request());
    // The generation began when the extended initial delay ended.
    harness.advance(REBALANCE_MS - 1);
    assert!(harness.is_waiting(waits));
    harness.advance(1);
    assert_eq!(harness.sync_reply(waits).error, ErrorCode::RebalanceInProgress);
    assert!(harness.shard.describe("g").members.iter().all(|member| member.member_id != leader_id));
    let token = harness.join(&follower.request);
    let members = harness.finish_rebalance(vec![(follower.request, token)]);
    assert!(members[0].is_leader());
    assert_eq!(members[0].generation_id, 2);
}

/// The leader is there, a follower never asks for its assignment.
#[test]
fn a_follower_that_never_syncs_is_evicted_from_a_stable_group() {
    let mut harness = Harness::new();
    let (_, leads) = harness.join_with_id(&member("g", "a"));
    let slow = JoinGroupRequest { session_timeout_ms: 120_000, ..member("g", "b") };
    let (request, follows) = harness.join_with_id(&slow);
    harness.advance(2 * DELAY_MS);
    let leader = Joined::new(&member("g", "a"), harness.join_reply(leads));
    let follower = Joined::new(&request, harness.join_reply(follows));
    harness.sync(leader.sync_request());
    assert_eq!(harness.state("g"), "Stable");
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(harness.heartbeat(&leader), ErrorCode::None);
        harness.advance(5_000);
    }
    assert_eq!(harness.heartbeat(&leader), ErrorCode::RebalanceInProgress);
    assert_eq!(harness.heartbeat(&follower), ErrorCode::UnknownMemberId);
}

#[test]
fn invariant_28_one_leader_hands_each_generation_one_assignment() {
    let mut harness = Harness::new();
    let mut members = harness.stable_group(&[member("g", "a"), member("g", "b"), member("g", "c")]);
    for generation_id in 1..20 {
        assert_eq!(members.iter().filter(|member| member.is_leader()).count(), 1);
        assert!(members.iter().all(|member| member.generation_id == generation_id));
        // A leader of the former generation cannot assign in this one.
        let stale = SyncGroupRequest { generation_id: generation_id - 1, ..members[0].sync_request() };
        assert_eq!(sync_error(&mut harness, stale), ErrorCode::IllegalGeneration);
        let leader = members.iter().position(Joined::is_leader).unwrap();
        members.rotate_left(leader);
        let tokens = members.iter().map(|member| (member.request.clone(), harness.join(&member.request))).collect();
        members = harness.finish_rebalance(tokens);
    }
}

/// Also across an empty group, a restart, and a restart of an empty group.
#[test]
fn invariant_30_generations_strictly_increase() {
    let mut harness = Harness::new();
    let mut last = 0;
    for round in 0..4 {
        let members = harness.stable_group(&[member("g", "a")]);
        assert!(members[0].generation_id > last);
        last = members[0].generation_id;
        if round % 2 == 1 {
            harness.restart();
            assert_eq!((harness.state("g"), harness.generation("g")), ("Stable", last));
        }
        harness.leave("g", &[(&members[0].member_id, None)]);
        assert_eq!(harness.state("g"), "Empty");
        assert_eq!(harness.generation("g"), last + 1);
        last += 1;
        if round % 2 == 0 {
            harness.restart();
            assert_eq!((harness.state("g"), harness.generation("g")), ("Empty", last));
        }
    }
}
