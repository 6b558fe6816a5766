use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

#[test]
fn invariant_32_a_static_member_returns_to_its_partitions_and_its_duplicate_is_fenced() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[static_member("g", "i1"), static_member("g", "i2")]);
    let old = &members[1];
    assert!(old.member_id.starts_with("i2-"));
    harness.advance(SESSION_MS - 1);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);

    let token = harness.join(&static_member("g", "i2"));
    let new = Joined::new(&static_member("g", "i2"), harness.join_reply(token));
    assert_eq!((new.response.error, new.generation_id), (ErrorCode::None, old.generation_id));
    assert!(new.member_id.starts_with("i2-") && new.member_id != old.member_id);
    assert_eq!(new.response.leader, members[0].member_id);
    assert_eq!(harness.state("g"), "Stable");
    let sync = harness.sync(new.sync_request());
    assert_eq!(harness.sync_reply(sync).assignment, assignment_of(&old.member_id));
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);

    // The old process turns out to be alive.
    assert_eq!(harness.heartbeat(old), ErrorCode::FencedInstanceId);
    assert_eq!(harness.commit(old, 0, 1.into()), ErrorCode::FencedInstanceId);
    let token = harness.join(&old.request);
    assert_eq!(harness.join_reply(token).error, ErrorCode::FencedInstanceId);
    let token = harness.sync(old.sync_request());
    assert_eq!(harness.sync_reply(token).error, ErrorCode::FencedInstanceId);
    assert_eq!(harness.leave("g", &[(&old.member_id, Some("i2"))]).members, [ErrorCode::FencedInstanceId]);

    // The new id outlives the coordinator.
    harness.restart();
    assert_eq!(harness.heartbeat(old), ErrorCode::FencedInstanceId);
    assert_eq!(harness.heartbeat(&new), ErrorCode::None);
}

#[test]
fn a_static_leader_returns_as_leader_but_skips_the_assignment() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[static_member("g", "i1"), static_member("g", "i2")]);
    assert!(members[0].is_leader());
    let token = harness.join(&static_member("g", "i1"));
    let response = harness.join_reply(token);
    assert!(response.skip_assignment);
    assert_eq!((response.generation_id, &response.leader), (1, &response.member_id));
    let mut ids: Vec<_> = response.members.iter().map(|member| member.member_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [response.member_id.as_str(), members[1].member_id.as_str()]);
    assert_eq!(harness.state("g"), "Stable");
}

/// Before KIP-814 the leader was shown its former id, so that it took itself for a follower.
#[test]
fn an_older_static_leader_returns_as_if_it_were_a_follower() {
    let mut harness = Harness::new();
    let request = JoinGroupRequest { supports_skipping_assignment: false, ..static_member("g", "i1") };
    let members = harness.stable_group(&[request.clone(), static_member("g", "i2")]);
    let token = harness.join(&request);
    let response = harness.join_reply(token);
    assert_eq!((response.error, response.generation_id, response.skip_assignment), (ErrorCode::None, 1, false));
    assert_eq!((&response.leader, response.members.len()), (&members[0].member_id, 0));
    let new = Joined::new(&request, response);
    // It leads all the same: when it joins once more, the group rebalances.
    harness.join(&new.request);
    assert_eq!(harness.state("g"), "PreparingRebalance");
}

#[test]
fn a_static_member_with_other_wishes_causes_a_rebalance() {
    for protocols in [
        vec![("range".to_owned(), subscription(&["u"]))],
        vec![("sticky".to_owned(), subscription(&["t"])), ("range".to_owned(), subscription(&["t"]))],
    ] {
        let mut harness = Harness::new();
        let both = vec![("range".to_owned(), subscription(&["t"])), ("sticky".to_owned(), subscription(&["t"]))];
        let members = harness.stable_group(&[JoinGroupRequest { protocols: both, ..static_member("g", "i1") }]);
        let token = harness.join(&JoinGroupRequest { protocols, ..static_member("g", "i1") });
        // The only member, so the rebalance is over at once.
        assert_eq!(harness.join_reply(token).generation_id, 2);
        assert_eq!(harness.heartbeat(&members[0]), ErrorCode::FencedInstanceId);
    }
}

/// What a member owned changes with every generation; it does not count as another subscription.
#[test]
fn owned_partitions_do_not_count_as_other_wishes() {
    use crate::types::{ConsumerProtocolSubscription, TopicPartition};
    let mut harness = Harness::new();
    let owning = |owned_partitions, generation_id| {
        let topics = vec!["t".to_owned()];
        let subscription =
            ConsumerProtocolSubscription { topics, owned_partitions, generation_id, ..Default::default() };
        JoinGroupRequest { protocols: vec![("range".into(), subscription.encode())], ..static_member("g", "i1") }
    };
    harness.stable_group(&[owning(vec![TopicPartition::new("t", 0)], 5)]);
    let token = harness.join(&owning(Vec::new(), -1));
    assert_eq!(harness.join_reply(token).generation_id, 1);
}

/// The leader decides between protocols with equal votes, under whatever member id.
#[test]
fn a_returning_static_leader_keeps_the_casting_vote() {
    let preferring = |instance_id: &str, names: [&str; 2]| {
        let protocols = names.map(|name| (name.to_owned(), subscription(&["t"])));
        JoinGroupRequest { protocols: protocols.into(), ..static_member("g", instance_id) }
    };
    let mut harness = Harness::new();
    let leader = preferring("z", ["range", "sticky"]);
    harness.stable_group(&[leader.clone(), preferring("a", ["sticky", "range"])]);
    assert_eq!(harness.shard.describe("g").protocol, "range");
    let token = harness.join(&leader);
    assert_eq!(harness.join_reply(token).generation_id, 1);
    assert_eq!(harness.state("g"), "Stable");
}

#[test]
fn a_static_member_that_returns_during_a_rebalance_is_the_one_that_counts() {
    let mut harness = Harness::new();
    let first = harness.join(&static_member("g", "i1"));
    let second = harness.join(&static_member("g", "i1"));
    assert_eq!(harness.join_reply(first).error, ErrorCode::FencedInstanceId);
    harness.advance(2 * DELAY_MS);
    assert_eq!(harness.join_reply(second).error, ErrorCode::None);
    assert_eq!(harness.shard.describe("g").members.len(), 1);

    // Before the assignment a new id would come too late for it, so the group begins again (KAFKA-9801).
    let third = harness.join(&static_member("g", "i1"));
    assert_eq!(harness.join_reply(third).generation_id, 2);
}

#[test]
fn a_waiting_sync_of_a_fenced_member_is_answered() {
    let mut harness = Harness::new();
    let leader = harness.join(&static_member("g", "i1"));
    let follower = harness.join(&static_member("g", "i2"));
    harness.advance(2 * DELAY_MS);
    assert!(!harness.is_waiting(leader));
    let follower = Joined::new(&static_member("g", "i2"), harness.join_reply(follower));
    let sync = harness.sync(follower.sync_request());
    harness.join(&static_member("g", "i2"));
    assert_eq!(harness.sync_reply(sync).error, ErrorCode::FencedInstanceId);
    assert_eq!(harness.state("g"), "PreparingRebalance");
}

/// It has until its session timeout, however many rebalances the others go through.
#[test]
fn a_static_member_that_is_away_survives_a_rebalance() {
    let mut harness = Harness::new();
    let away = JoinGroupRequest { session_timeout_ms: 100_000, ..static_member("g", "i1") };
    let members = harness.stable_group(&[member("g", "a"), away]);
    let rejoin = harness.join(&members[0].request);
    assert!(harness.is_waiting(rejoin));
    harness.advance(REBALANCE_MS);
    let response = harness.join_reply(rejoin);
    assert_eq!((response.generation_id, response.members.len()), (2, 2));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[static_member("g", "i1"), static_member("g", "i2")]);
    let response = harness.leave("g", &[("", Some("i1")), ("", Some("i3")), ("", None), ("nobody", None)]);
    assert_eq!(response.error, ErrorCode::None);
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(response.members, [ErrorCode::None, unknown, unknown, unknown]);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::UnknownMemberId);
    assert_eq!(harness.heartbeat(&members[1]), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_lost_append_leaves_the_old_member_id_in_force() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[static_member("g", "i1")]);
    harness.fail_next = Some(ErrorCode::NotLeaderOrFollower);
    let token = harness.join(&static_member("g", "i1"));
    let response = harness.join_reply(token);
    assert_eq!((response.error, response.member_id.as_str()), (ErrorCode::NotCoordinator, ""));
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);
    let token = harness.join(&static_member("g", "i1"));
    assert_eq!(harness.join_reply(token).error, ErrorCode::None);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::FencedInstanceId);
}

/// Symptom: the coordinator never returned from a timeout. Two static members with a rebalance timeout of 0, of which one
/// goes and the other stays away: the join timer, set to fire at once, led to nothing but itself. The wait for an absent
/// leader has a lower bound now, and ends with the member's session. Found by the fuzz target `group_ops`.
#[test]
fn waiting_for_an_absent_leader_takes_time_even_with_a_rebalance_timeout_of_zero() {
    let mut harness = Harness::new();
    harness.stable_group(&[static_member("g", "i1"), static_member("g", "i2")]);
    for instance_id in ["i1", "i2"] {
        let token = harness.join(&JoinGroupRequest { rebalance_timeout_ms: 0, ..static_member("g", instance_id) });
        assert_eq!(harness.join_reply(token).error, ErrorCode::None);
    }
    harness.leave("g", &[("", Some("i1"))]);
    assert_eq!(harness.state("g"), "PreparingRebalance");
    harness.advance(SESSION_MS - 1);
    assert_eq!((harness.state("g"), harness.generation("g")), ("PreparingRebalance", 1));
    harness.advance(1);
    assert_eq!((harness.state("g"), harness.generation("g")), ("Empty", 2));
}
