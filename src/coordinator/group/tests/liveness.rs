use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

#[test]
fn heartbeats_that_make_no_sense_are_refused() {
    let mut harness = Harness::new();
    let nobody = Joined::nobody("g");
    assert_eq!(harness.heartbeat(&Joined::nobody("")), ErrorCode::InvalidGroupId);
    assert_eq!(harness.heartbeat(&nobody), ErrorCode::UnknownMemberId);
    let members = harness.stable_group(&[member("g", "a")]);
    assert_eq!(harness.heartbeat(&nobody), ErrorCode::UnknownMemberId);
    let stale = Joined { generation_id: 0, ..members[0].clone() };
    assert_eq!(harness.heartbeat(&stale), ErrorCode::IllegalGeneration);
    harness.leave("g", &[(&members[0].member_id, None)]);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn heartbeats_keep_a_member_alive() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    for _ in 0..20 {
        harness.advance(SESSION_MS - 1);
        assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);
    }
    harness.advance(SESSION_MS);
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::UnknownMemberId);
    assert_eq!(harness.state("g"), "Empty");
    assert_eq!(harness.group_deadline(), None);
}

#[test]
fn invariant_31_a_dead_members_partitions_are_reowned_within_session_and_rebalance_timeout() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b"), member("g", "c")]);
    let (survivor, dead) = (&members[1], &members[0]);
    assert!(dead.is_leader());
    // c lives on but never rejoins.
    let died_ms = harness.now_ms;
    let rejoin = loop {
        harness.advance(1_000);
        harness.heartbeat(&members[2]);
        if harness.heartbeat(survivor) == ErrorCode::RebalanceInProgress {
            break harness.join(&survivor.request);
        }
    };
    assert_eq!(harness.now_ms - died_ms, SESSION_MS);
    while harness.is_waiting(rejoin) {
        harness.advance(1_000);
        harness.heartbeat(&members[2]);
    }
    assert_eq!(harness.now_ms - died_ms, SESSION_MS + REBALANCE_MS);
    let owners = harness.finish_rebalance(vec![(survivor.request.clone(), rejoin)]);
    assert_eq!(owners[0].response.members.len(), 1);
    assert_eq!(harness.heartbeat(&members[2]), ErrorCode::UnknownMemberId);
}

/// A member that waits for the others sends no heartbeats and must not need to.
#[test]
fn waiting_members_do_not_expire() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b")]);
    let rejoin = harness.join(&members[0].request);
    for _ in 0..5 {
        harness.advance(SESSION_MS - 1);
        assert_eq!(harness.heartbeat(&members[1]), ErrorCode::RebalanceInProgress);
        assert!(harness.is_waiting(rejoin));
    }
    harness.join(&members[1].request);
    assert_eq!(harness.join_reply(rejoin).error, ErrorCode::None);
    // From the answer on it is on its own again.
    harness.advance(SESSION_MS);
    assert_eq!(harness.heartbeat(&Joined { generation_id: 2, ..members[0].clone() }), ErrorCode::UnknownMemberId);
}

/// A new member's client may have gone away while its first join waits; nobody waits for it longer than five minutes.
#[test]
fn a_new_member_waits_five_minutes_at_most() {
    let mut harness = Harness::new();
    let patient = JoinGroupRequest { rebalance_timeout_ms: 600_000, session_timeout_ms: 1_000_000, ..member("g", "a") };
    harness.stable_group(&[patient]);
    let (_, newcomer) = harness.join_with_id(&member("g", "b"));
    harness.advance(300_000 - 1);
    assert!(harness.is_waiting(newcomer));
    harness.advance(1);
    assert_eq!(harness.join_reply(newcomer).error, ErrorCode::UnknownMemberId);
}

#[test]
fn members_leave_in_batches_and_the_rest_carries_on() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b"), member("g", "c")]);
    let response =
        harness.leave("g", &[(&members[0].member_id, None), (&members[2].member_id, None), ("nobody", None)]);
    assert_eq!(response.members, [ErrorCode::None, ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(harness.heartbeat(&members[1]), ErrorCode::RebalanceInProgress);
    let token = harness.join(&members[1].request);
    let members = harness.finish_rebalance(vec![(members[1].request.clone(), token)]);
    assert!(members[0].is_leader());
}

#[test]
fn leaving_makes_no_sense_without_membership() {
    let mut harness = Harness::new();
    assert_eq!(harness.leave("", &[("a", None)]).error, ErrorCode::InvalidGroupId);
    let response = harness.leave("g", &[("a", None), ("b", None)]);
    assert_eq!((response.error, response.members), (ErrorCode::None, vec![ErrorCode::UnknownMemberId; 2]));
    assert_eq!(harness.leave("g", &[]).members, []);
}

#[test]
fn a_pending_member_id_can_be_given_back() {
    let mut harness = Harness::new();
    let token = harness.join(&member("g", "a"));
    let member_id = harness.join_reply(token).member_id;
    assert_eq!(harness.leave("g", &[(&member_id, None)]).members, [ErrorCode::None]);
    assert_eq!(harness.leave("g", &[(&member_id, None)]).members, [ErrorCode::UnknownMemberId]);
    assert_eq!(harness.group_deadline(), None);
}

#[test]
fn a_member_that_leaves_while_others_wait_for_it_lets_them_go_on() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b")]);
    let rejoin = harness.join(&members[0].request);
    assert!(harness.is_waiting(rejoin));
    harness.leave("g", &[(&members[1].member_id, None)]);
    assert_eq!(harness.join_reply(rejoin).generation_id, 2);
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b")]);
    let rejoin = harness.join(&members[0].request);
    harness.leave("g", &[(&members[0].member_id, None)]);
    assert_eq!(harness.join_reply(rejoin).error, ErrorCode::UnknownMemberId);
}

#[test]
fn everybody_may_leave_before_the_first_generation() {
    let mut harness = Harness::new();
    let (request, token) = harness.join_with_id(&member("g", "a"));
    harness.leave("g", &[(&request.member_id, None)]);
    assert_eq!(harness.join_reply(token).error, ErrorCode::UnknownMemberId);
    harness.advance(2 * DELAY_MS);
    assert_eq!((harness.state("g"), harness.generation("g")), ("Empty", 1));
    assert_eq!(harness.group_deadline(), None);
}
