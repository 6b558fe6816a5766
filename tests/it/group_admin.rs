//! Groups from the administrator's side: offsets listed, set, deleted and expired; members removed; limits.

use std::collections::BTreeSet;
use std::time::Duration;

use brokerless::admin::{GroupFilter, GroupState, GroupType, MemberToRemove};
use brokerless::types::OffsetAndMetadata;
use brokerless::{
    Admin, AutoOffsetReset, Cluster, Consumer, ConsumerConfig, Error, ErrorCode, NewTopic, TopicPartition,
};
use futures::future::join_all;
use tokio::time::Instant;

use crate::consumer::{POLL, cluster, produce, producer, read, t};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig::group(name).auto_offset_reset(AutoOffsetReset::Earliest).enable_auto_commit(false)
}

/// A member that owns something.
async fn member(cluster: &Cluster, config: ConsumerConfig, topics: &[&str]) -> Consumer {
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(topics.iter().copied()).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(POLL).await.unwrap();
    }
    consumer
}

/// Settles the members until they share all `partitions`.
async fn settle(members: &mut [&mut Consumer], partitions: usize) {
    for _ in 0..1000 {
        if members.iter().map(|member| member.assignment().len()).sum::<usize>() == partitions
            && members.iter().all(|member| !member.assignment().is_empty())
        {
            return;
        }
        for polled in join_all(members.iter_mut().map(|member| member.poll(POLL))).await {
            polled.unwrap();
        }
    }
    panic!("no balance: {:?}", members.iter().map(|it| it.assignment()).collect::<Vec<_>>());
}

fn codes(results: Vec<Result<(), Error>>) -> Vec<ErrorCode> {
    results.into_iter().map(|result| result.map_or_else(|error| error.code(), |()| ErrorCode::None)).collect()
}

async fn committed(admin: &Admin, group_id: &str) -> Vec<(TopicPartition, i64)> {
    let offsets = admin.list_group_offsets(group_id).await.unwrap();
    offsets.into_iter().map(|(partition, committed)| (partition, committed.offset())).collect()
}

async fn ids(admin: &Admin, filter: GroupFilter) -> Vec<String> {
    let groups = admin.list_groups_matching(&filter).await.unwrap();
    groups.into_iter().map(|group| group.group_id().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn offsets_are_set_listed_and_taken_up_by_the_next_member() {
    let cluster = cluster(3).await;
    let admin = cluster.admin();
    produce(&producer(&cluster), t(0), 0..10).await;
    let noted = OffsetAndMetadata::new(7).metadata_text("skip the bad ones");
    let altered = admin.alter_group_offsets("g", [(t(0), noted.clone()), (t(1), 0.into()), (t(9), 5.into())]).await;
    assert_eq!(altered[2].as_ref().unwrap_err().topic_partition(), Some(&t(9)));
    assert_eq!(codes(altered), [ErrorCode::None, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);

    let listed = admin.list_group_offsets("g").await.unwrap();
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), [(t(0), noted.clone()), (t(1), 0.into())]);
    let some = admin.list_group_offsets_for("g", [t(2), t(0), t(9)]).await.unwrap();
    assert_eq!(some, [(t(2), None), (t(0), Some(noted)), (t(9), None)]);
    assert_eq!(admin.list_group_offsets("nobody").await.unwrap().len(), 0);
    assert_eq!(admin.list_group_offsets_for("nobody", [t(0)]).await.unwrap(), [(t(0), None)]);

    let mut consumer = cluster.consumer(group("g")).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(read(&mut consumer, 3).await[&0], [7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_not_set_while_members_are_there() {
    let cluster = cluster(1).await;
    let admin = cluster.admin();
    let mut consumer = member(&cluster, group("g"), &["t"]).await;
    consumer.commit_offsets([(t(0), 3.into())]).await.unwrap();
    assert_eq!(codes(admin.alter_group_offsets("g", [(t(0), 1)]).await), [ErrorCode::UnknownMemberId]);
    assert_eq!(committed(&admin, "g").await, [(t(0), 3)]);
    consumer.close().await.unwrap();
    assert_eq!(codes(admin.alter_group_offsets("g", [(t(0), 1)]).await), [ErrorCode::None]);
    assert_eq!(committed(&admin, "g").await, [(t(0), 1)]);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_deleted_unless_their_topic_is_read() {
    let cluster = cluster(2).await;
    let admin = cluster.admin();
    admin.create_topic(NewTopic::new("u")).await.unwrap();
    let u = TopicPartition::new("u", 0);
    let none: [TopicPartition; 0] = [];
    assert_eq!(codes(admin.delete_group_offsets("g", [t(0), u.clone()]).await), [ErrorCode::GroupIdNotFound; 2]);
    assert_eq!(codes(admin.delete_group_offsets("", [t(0)]).await), [ErrorCode::InvalidGroupId]);
    assert_eq!(admin.delete_group_offsets("g", none).await.len(), 0);

    let offsets = [(t(0), 1), (t(1), 2), (u.clone(), 3)];
    admin.alter_group_offsets("g", offsets).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let consumer = member(&cluster, group("g"), &["t"]).await;
    let deleted = admin.delete_group_offsets("g", [t(0), u.clone(), t(9)]).await;
    assert_eq!(deleted[0].as_ref().unwrap_err().topic_partition(), Some(&t(0)));
    let expected = [ErrorCode::GroupSubscribedToTopic, ErrorCode::None, ErrorCode::UnknownTopicOrPartition];
    assert_eq!(codes(deleted), expected);
    assert_eq!(committed(&admin, "g").await, [(t(0), 1), (t(1), 2)]);

    consumer.close().await.unwrap();
    assert_eq!(codes(admin.delete_group_offsets("g", [t(0), t(0)]).await), [ErrorCode::None; 2]);
    assert_eq!(committed(&admin, "g").await, [(t(1), 2)]);
}

#[tokio::test(start_paused = true)]
async fn members_are_removed_by_either_id() {
    let cluster = cluster(3).await;
    let admin = cluster.admin();
    let mut a = member(&cluster, group("g").group_instance_id("a"), &["t"]).await;
    let mut b = cluster.consumer(group("g")).unwrap();
    let mut c = cluster.consumer(group("g")).unwrap();
    b.subscribe(["t"]).unwrap();
    c.subscribe(["t"]).unwrap();
    settle(&mut [&mut a, &mut b, &mut c], 3).await;

    // A static member that was closed does not leave; the administrator has it leave.
    a.close().await.unwrap();
    let b_id = b.group_metadata().unwrap().member_id().to_owned();
    let members = [
        MemberToRemove::group_instance_id("a"),
        MemberToRemove::group_instance_id("b"),
        MemberToRemove::member_id(&b_id),
        MemberToRemove::member_id("nobody"),
    ];
    let removed = admin.remove_group_members("g", members, "maintenance").await;
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(codes(removed), [ErrorCode::None, unknown, ErrorCode::None, unknown]);
    drop(b);
    let at = Instant::now();
    settle(&mut [&mut c], 3).await;
    assert!(at.elapsed() < Duration::from_secs(1), "c did not hear of it at once: {:?}", at.elapsed());
    let member = MemberToRemove::member_id("nobody");
    assert_eq!(codes(admin.remove_group_members("none", [member], "").await), [unknown]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_removed_comes_back_with_its_next_poll() {
    let cluster = cluster(2).await;
    let admin = cluster.admin();
    assert_eq!(admin.remove_all_group_members("g", "").await.unwrap_err().code(), ErrorCode::GroupIdNotFound);
    let mut a = member(&cluster, group("g").group_instance_id("a"), &["t"]).await;
    let mut b = cluster.consumer(group("g")).unwrap();
    b.subscribe(["t"]).unwrap();
    settle(&mut [&mut a, &mut b], 2).await;
    assert_eq!(admin.remove_all_group_members("g", "").await.unwrap(), 2);
    assert_eq!(admin.describe_group("g").await.unwrap().state(), GroupState::Empty);
    let refused = a.commit_offsets([(t(0), 1.into())]).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UnknownMemberId);
    for polled in [a.poll(Duration::ZERO).await, b.poll(Duration::ZERO).await] {
        polled.unwrap();
    }
    settle(&mut [&mut a, &mut b], 2).await;
    assert_eq!(admin.remove_all_group_members("g", "").await.unwrap(), 2);
    assert_eq!(admin.remove_all_group_members("g", "").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn groups_are_listed_by_state_type_and_protocol() {
    let cluster = cluster(1).await;
    let admin = cluster.admin();
    let consumer = member(&cluster, group("stable"), &["t"]).await;
    member(&cluster, group("empty"), &["t"]).await.close().await.unwrap();
    admin.alter_group_offsets("manual", [(t(0), 1)]).await;
    assert_eq!(ids(&admin, GroupFilter::default()).await, ["empty", "manual", "stable"]);
    assert_eq!(ids(&admin, GroupFilter::default().states([GroupState::Stable])).await, ["stable"]);
    let empty = GroupFilter::default().states([GroupState::Empty]);
    assert_eq!(ids(&admin, empty.clone()).await, ["empty", "manual"]);
    assert_eq!(ids(&admin, empty.clone().protocol_types(["consumer"])).await, ["empty"]);
    assert_eq!(ids(&admin, empty.protocol_types([""]).types([GroupType::Classic])).await, ["manual"]);
    assert_eq!(ids(&admin, GroupFilter::default().protocol_types(["connect"])).await.len(), 0);
    consumer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn offsets_expire_a_week_after_the_group_is_empty() {
    let cluster = cluster(1).await;
    let admin = cluster.admin();
    // Rare heartbeats, to get through the weeks.
    let minute = Duration::from_secs(60);
    let config = group("g").max_poll_interval(24 * DAY).session_timeout(30 * minute).heartbeat_interval(10 * minute);
    let mut consumer = member(&cluster, config, &["t"]).await;
    consumer.commit_offsets([(t(0), 3.into())]).await.unwrap();
    admin.alter_group_offsets("manual", [(t(0), 4)]).await;
    // A member keeps the offsets of what it reads for as long as it likes.
    tokio::time::sleep(6 * DAY).await;
    admin.alter_group_offsets("manual", [(t(0), 5)]).await;
    tokio::time::sleep(6 * DAY).await;
    assert_eq!((committed(&admin, "g").await.len(), committed(&admin, "manual").await.len()), (1, 1));
    tokio::time::sleep(DAY + Duration::from_secs(601)).await;
    assert_eq!((committed(&admin, "g").await.len(), committed(&admin, "manual").await.len()), (1, 0));
    consumer.close().await.unwrap();
    tokio::time::sleep(7 * DAY - Duration::from_secs(1)).await;
    assert_eq!(committed(&admin, "g").await, [(t(0), 3)]);
    tokio::time::sleep(Duration::from_secs(602)).await;
    assert_eq!(committed(&admin, "g").await, []);
    assert_eq!(ids(&admin, GroupFilter::default()).await.len(), 0, "groups go with their last offset");
    assert_eq!(admin.describe_group("g").await.unwrap_err().code(), ErrorCode::GroupIdNotFound);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_topics_that_a_group_no_longer_reads_expire_beside_its_members() {
    let cluster = Cluster::builder()
        .broker_property("offsets.retention.minutes", "10")
        .broker_property("offsets.retention.check.interval.ms", "1000")
        .start()
        .await
        .unwrap();
    let admin = cluster.admin();
    for topic in ["t", "u"] {
        admin.create_topic(NewTopic::new(topic)).await.unwrap();
    }
    let u = TopicPartition::new("u", 0);
    let mut consumer = member(&cluster, group("g").max_poll_interval(DAY), &["t", "u"]).await;
    consumer.commit_offsets([(t(0), 1.into()), (u.clone(), 2.into())]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(committed(&admin, "g").await, [(t(0), 1), (u.clone(), 2)]);
    consumer.subscribe(["t"]).unwrap();
    while consumer.assignment() != BTreeSet::from([t(0)]) {
        consumer.poll(POLL).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(committed(&admin, "g").await, [(t(0), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_group_turns_members_away() {
    let cluster = Cluster::builder().broker_property("group.max.size", "2").start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").partitions(4)).await.unwrap();
    let mut a = member(&cluster, group("g"), &["t"]).await;
    let mut b = cluster.consumer(group("g")).unwrap();
    b.subscribe(["t"]).unwrap();
    settle(&mut [&mut a, &mut b], 4).await;
    let mut c = cluster.consumer(group("g")).unwrap();
    c.subscribe(["t"]).unwrap();
    let refused = c.poll(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GroupMaxSizeReached);
    a.close().await.unwrap();
    settle(&mut [&mut b, &mut c], 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_has_so_many_groups_and_no_more() {
    let cluster = Cluster::builder().max_groups(2).start().await.unwrap();
    let admin = cluster.admin();
    admin.create_topic(NewTopic::new("t")).await.unwrap();
    let _a = member(&cluster, group("a"), &["t"]).await;
    assert_eq!(codes(admin.alter_group_offsets("b", [(t(0), 1)]).await), [ErrorCode::None]);
    assert_eq!(codes(admin.alter_group_offsets("c", [(t(0), 1)]).await), [ErrorCode::PolicyViolation]);
    let mut c = cluster.consumer(group("c")).unwrap();
    c.subscribe(["t"]).unwrap();
    let refused = c.poll(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PolicyViolation);
    // Groups that are there go on.
    assert_eq!(codes(admin.alter_group_offsets("b", [(t(0), 2)]).await), [ErrorCode::None]);
    admin.delete_group("b").await.unwrap();
    while c.assignment().is_empty() {
        c.poll(POLL).await.unwrap();
    }
}

/// Idle members used to hear of a rebalance from their next heartbeat, up to 3 s later.
#[tokio::test(start_paused = true)]
async fn idle_members_rebalance_within_milliseconds() {
    for config in [group("g").heartbeat_interval(Duration::from_secs(10)), group("h").group_instance_id("i")] {
        let cluster = cluster(2).await;
        let at = Instant::now();
        let mut a = member(&cluster, config, &["t"]).await;
        let mut b = cluster.consumer(group(a.group_metadata().unwrap().group_id())).unwrap();
        b.subscribe(["t"]).unwrap();
        settle(&mut [&mut a, &mut b], 2).await;
        drop(b);
        settle(&mut [&mut a], 2).await;
        assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_cluster_says_so() {
    let cluster = cluster(1).await;
    let admin = cluster.admin();
    cluster.shutdown().await;
    assert!(admin.list_group_offsets("g").await.unwrap_err().is_closed());
    assert!(admin.alter_group_offsets("g", [(t(0), 1)]).await[0].as_ref().unwrap_err().is_closed());
    assert!(admin.delete_group_offsets("g", [t(0)]).await[0].as_ref().unwrap_err().is_closed());
    let members = [MemberToRemove::member_id("m")];
    assert!(admin.remove_group_members("g", members, "").await[0].as_ref().unwrap_err().is_closed());
}
