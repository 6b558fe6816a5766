use super::*;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

#[test]
fn a_shard_refuses_one_group_too_many() {
    let mut harness = Harness::with_config(GroupConfig { max_groups: 2, ..GroupConfig::default() });
    let members = harness.stable_group(&[member("a", "a")]);
    assert_eq!(harness.commit(&Joined::nobody("b"), 0, 1.into()), ErrorCode::None);
    assert_eq!(harness.commit(&Joined::nobody("c"), 0, 1.into()), ErrorCode::PolicyViolation);
    let token = harness.join(&member("c", "c"));
    assert_eq!(harness.join_reply(token).error, ErrorCode::PolicyViolation);
    assert_eq!(harness.shard.list().len(), 2);
    // Those that are there go on.
    assert_eq!(harness.commit(&members[0], 0, 1.into()), ErrorCode::None);
    assert_eq!(harness.commit(&Joined::nobody("b"), 0, 2.into()), ErrorCode::None);
    assert_eq!(harness.delete("b"), ErrorCode::None);
    assert_eq!(harness.commit(&Joined::nobody("c"), 0, 1.into()), ErrorCode::None);
}

#[test]
fn shards_count_their_groups_together() {
    let count = GroupCount::default();
    let config = GroupConfig { max_groups: 2, ..GroupConfig::default() };
    let mut shards = [0, 1].map(|seed| GroupShard::new(config.clone(), seed, count.clone()));
    let mut join = |shard: usize, group_id: &str| {
        let outcome = shards[shard].handle_join(0, 1, member(group_id, "m"));
        for (offset, record) in outcome.records.iter().enumerate() {
            let offset = shards[shard].last_replayed.map_or(0, |last| last + 1) + offset as i64;
            shards[shard].replay(offset, &record.key, record.value.as_deref()).unwrap();
        }
        match &outcome.replies[..] {
            [(1, Reply::Join(response))] => response.error,
            replies => panic!("{replies:?}"),
        }
    };
    assert_eq!(join(0, "a"), ErrorCode::MemberIdRequired);
    assert_eq!(join(1, "b"), ErrorCode::MemberIdRequired);
    assert_eq!(join(0, "c"), ErrorCode::PolicyViolation);
    let [first, second] = shards;
    drop(first);
    assert_eq!(count.get(), 1);
    drop(second);
    assert_eq!(count.get(), 0);
}

#[test]
fn member_ids_that_nobody_uses_are_bounded() {
    let mut shard = GroupShard::new(GroupConfig::default(), 1, GroupCount::default());
    let mut ask = |token: Token| {
        let outcome = shard.handle_join(0, token, member("g", "m"));
        for record in &outcome.records {
            shard.replay(token as i64, &record.key, record.value.as_deref()).unwrap();
        }
        match &outcome.replies[..] {
            [(_, Reply::Join(response))] => response.error,
            replies => panic!("{replies:?}"),
        }
    };
    for token in 0..10_000 {
        assert_eq!(ask(token), ErrorCode::MemberIdRequired);
    }
    assert_eq!(ask(10_000), ErrorCode::GroupMaxSizeReached);
    // Those whose clients have gone make room again.
    while shard.environment.timers.next_deadline().is_some() {
        assert!(shard.handle_timeout(SESSION_MS).is_empty());
    }
    let outcome = shard.handle_join(SESSION_MS, 10_001, member("g", "m"));
    assert!(
        matches!(&outcome.replies[..], [(_, Reply::Join(response))] if response.error == ErrorCode::MemberIdRequired)
    );
}
