use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

#[test]
fn a_watch_is_answered_when_a_rebalance_begins() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), member("g", "b")]);
    let watches: Vec<_> = members.iter().map(|member| harness.watch(member)).collect();
    assert!(watches.iter().all(|watch| harness.is_waiting(*watch)));
    harness.join_with_id(&member("g", "c"));
    for (member, watch) in members.iter().zip(watches) {
        assert_eq!(harness.take(watch), Some(Reply::Watch));
        assert_eq!(harness.heartbeat(member), ErrorCode::RebalanceInProgress);
        // Too late to watch: there is something to hear already.
        let watch = harness.watch(member);
        assert_eq!(harness.take(watch), Some(Reply::Watch));
    }
}

#[test]
fn a_watch_is_answered_when_its_member_goes() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), static_member("g", "i")]);
    let [removed, other] = [harness.watch(&members[1]), harness.watch(&members[0])];
    harness.leave("g", &[("", Some("i"))]);
    assert_eq!(harness.take(removed), Some(Reply::Watch));
    assert_eq!(harness.take(other), Some(Reply::Watch));
    assert_eq!(harness.heartbeat(&members[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn a_watch_is_answered_when_its_instance_is_fenced() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a"), static_member("g", "i")]);
    let [fenced, other] = [harness.watch(&members[1]), harness.watch(&members[0])];
    let token = harness.join(&static_member("g", "i"));
    assert_eq!(harness.join_reply(token).error, ErrorCode::None);
    assert_eq!((harness.state("g"), harness.take(fenced)), ("Stable", Some(Reply::Watch)));
    assert!(harness.is_waiting(other), "nothing has changed for the others");
    assert_eq!(harness.heartbeat(&members[1]), ErrorCode::FencedInstanceId);
}

#[test]
fn who_does_not_belong_is_told_at_once() {
    let mut harness = Harness::new();
    let watch = harness.watch(&Joined::nobody("g"));
    assert_eq!(harness.take(watch), Some(Reply::Watch));
    let members = harness.stable_group(&[member("g", "a")]);
    let watch = harness.watch(&Joined { generation_id: 0, ..members[0].clone() });
    assert_eq!(harness.take(watch), Some(Reply::Watch));
}

#[test]
fn a_later_watch_replaces_an_earlier_one_and_unloading_answers_it() {
    let mut harness = Harness::new();
    let members = harness.stable_group(&[member("g", "a")]);
    let first = harness.watch(&members[0]);
    let second = harness.watch(&members[0]);
    assert_eq!((harness.take(first), harness.is_waiting(second)), (Some(Reply::Watch), true));
    harness.restart();
    assert_eq!(harness.take(second), Some(Reply::Watch));
    assert_eq!(harness.heartbeat(&members[0]), ErrorCode::None);
}
