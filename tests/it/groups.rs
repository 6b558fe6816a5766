//! Consumers in groups: rebalances, generations, sessions, static members, listeners, patterns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ErrorCode, NewTopic, OwnedConsumerRecord, PartitionAssignor,
    RebalanceContext, RebalanceListener, TopicPartition,
};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::consumer::{POLL, cluster, produce, producer, read, t};

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig::group(name).auto_offset_reset(AutoOffsetReset::Earliest)
}

fn cooperative(name: &str) -> ConsumerConfig {
    group(name).partition_assignment_strategy([PartitionAssignor::CooperativeSticky])
}

fn member(cluster: &Cluster, config: ConsumerConfig) -> Consumer {
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// Polls all members side by side until `done`, and returns what they read.
async fn poll_until(
    members: &mut [&mut Consumer],
    done: impl Fn(&[&mut Consumer]) -> bool,
) -> Vec<OwnedConsumerRecord> {
    let mut records = Vec::new();
    for _ in 0..10_000 {
        if done(members) {
            return records;
        }
        for polled in join_all(members.iter_mut().map(|member| member.poll(POLL))).await {
            records.extend(polled.unwrap());
        }
    }
    panic!("it never happened; assignments: {:?}", members.iter().map(|it| it.assignment()).collect::<Vec<_>>());
}

/// Whether the members have all `partitions` of `t`, as evenly as can be.
fn balanced(members: &[&mut Consumer], partitions: usize) -> bool {
    let sizes: Vec<_> = members.iter().map(|member| member.assignment().len()).collect();
    sizes.iter().sum::<usize>() == partitions && sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1
}

fn generation(consumer: &Consumer) -> i32 {
    consumer.group_metadata().unwrap().generation_id()
}

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it hears.
struct Scribe(&'static str, Log);

impl Scribe {
    fn write(&self, event: &str, partitions: &[TopicPartition]) {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        self.1.lock().push(format!("{} {event} {}", self.0, names.join(" ")));
    }
}

impl RebalanceListener for Scribe {
    fn on_partitions_assigned(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.write("assigned", partitions);
    }
    fn on_partitions_revoked(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.write("revoked", partitions);
    }
    fn on_partitions_lost(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.write("lost", partitions);
    }
}

fn scribbling(cluster: &Cluster, config: ConsumerConfig, name: &'static str, log: &Log) -> Consumer {
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe_with_listener(["t"], Scribe(name, Arc::clone(log))).unwrap();
    consumer
}

/// Each record once.
fn assert_exactly_once(records: &[OwnedConsumerRecord], partitions: i32, count: i64) {
    let mut seen = BTreeSet::new();
    for record in records {
        assert!(
            seen.insert((record.partition(), record.offset())),
            "{}-{} came twice",
            record.partition(),
            record.offset()
        );
    }
    assert_eq!(seen.len() as i64, i64::from(partitions) * count);
}

#[tokio::test(start_paused = true)]
async fn two_groups_are_independent() {
    let cluster = cluster(3).await;
    let producer = producer(&cluster);
    for partition in 0..3 {
        produce(&producer, t(partition), 0..10).await;
    }
    let mut first = member(&cluster, group("first"));
    let mut second = member(&cluster, group("second"));
    let (one, two) = tokio::join!(read(&mut first, 30), read(&mut second, 30));
    assert_eq!(one, two);
    first.close().await.unwrap();
    assert_eq!(second.committed([t(0)]).await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn invariants_28_and_30_one_owner_a_generation_and_one_assignment_for_all() {
    let cluster = cluster(7).await;
    let mut members: Vec<Consumer> = Vec::new();
    let mut owners: BTreeMap<(i32, TopicPartition), usize> = BTreeMap::new();
    let mut generations = [-1; 4];
    // Members come one by one, then go one by one.
    for size in [1, 2, 3, 4, 3, 2, 1] {
        match members.len() < size {
            true => members.push(member(&cluster, group("g"))),
            false => members.pop().unwrap().close().await.unwrap(),
        }
        let mut rounds = 0;
        loop {
            for polled in join_all(members.iter_mut().map(|member| member.poll(POLL))).await {
                polled.unwrap();
            }
            for (index, member) in members.iter().enumerate() {
                let generation = generation(member);
                assert!(generation >= generations[index], "generations increase");
                generations[index] = generation;
                for partition in member.assignment() {
                    let owner = *owners.entry((generation, partition)).or_insert(index);
                    assert_eq!(owner, index, "two owners in generation {generation}");
                }
            }
            let same = members.iter().all(|it| generation(it) == generation(&members[0]));
            if same && balanced(&members.iter_mut().collect::<Vec<_>>(), 7) {
                break;
            }
            rounds += 1;
            assert!(rounds < 1000, "no balance with {size} members");
        }
    }
    assert_eq!(generations[0], 7, "one generation for each change");
}

#[tokio::test(start_paused = true)]
async fn an_eager_rebalance_revokes_everything_then_assigns_everything() {
    let cluster = cluster(2).await;
    let log = Log::default();
    let mut a = scribbling(&cluster, group("g"), "a", &log);
    poll_until(&mut [&mut a], |it| balanced(it, 2)).await;
    let mut b = scribbling(&cluster, group("g"), "b", &log);
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 2)).await;
    a.close().await.unwrap();
    poll_until(&mut [&mut b], |it| balanced(it, 2)).await;
    b.unsubscribe();
    let mut log = std::mem::take(&mut *log.lock());
    log[2..4].sort();
    let (mine, others) = (log[2].rsplit(' ').next().unwrap().to_owned(), log[3].rsplit(' ').next().unwrap().to_owned());
    assert_eq!(BTreeSet::from([&*mine, &*others]), BTreeSet::from(["t-0", "t-1"]));
    let expected = [
        "a assigned t-0 t-1".to_owned(),
        "a revoked t-0 t-1".to_owned(),
        format!("a assigned {mine}"),
        format!("b assigned {others}"),
        format!("a revoked {mine}"),
        format!("b revoked {others}"),
        "b assigned t-0 t-1".to_owned(),
        "b revoked t-0 t-1".to_owned(),
    ];
    assert_eq!(log, expected);
}

#[tokio::test(start_paused = true)]
async fn invariant_29_cooperatively_a_partition_is_granted_only_after_it_was_revoked() {
    let cluster = cluster(4).await;
    let log = Log::default();
    let mut a = scribbling(&cluster, cooperative("g"), "a", &log);
    poll_until(&mut [&mut a], |it| balanced(it, 4)).await;
    let mut b = scribbling(&cluster, cooperative("g"), "b", &log);
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 4)).await;
    let kept = a.assignment();
    let log = std::mem::take(&mut *log.lock());
    let names = |partitions: &BTreeSet<TopicPartition>| {
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let moved = names(&b.assignment());
    // A first rebalance takes them from a, a second one gives them to b; what stays is never revoked.
    let mut expected = vec![
        "a assigned t-0 t-1 t-2 t-3".to_owned(),
        format!("a revoked {moved}"),
        "a assigned ".to_owned(),
        "b assigned ".to_owned(),
        format!("b assigned {moved}"),
        "a assigned ".to_owned(),
    ];
    assert_eq!(kept.len(), 2);
    let at = |line: &str| log.iter().position(|it| it == line).unwrap_or_else(|| panic!("{line} in {log:?}"));
    assert!(at(&expected[1]) < at(&expected[4]), "{log:?}");
    let mut sorted = log.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

/// With auto-commit, which commits what was returned before partitions move, each record comes once.
#[tokio::test(start_paused = true)]
async fn records_come_once_while_members_come_and_go() {
    for config in [group("g"), cooperative("g")] {
        let cluster = cluster(4).await;
        let producer = producer(&cluster);
        for partition in 0..4 {
            produce(&producer, t(partition), 0..100).await;
        }
        let config = config.max_poll_records(1);
        let mut a = member(&cluster, config.clone());
        let mut records = poll_until(&mut [&mut a], |it| balanced(it, 4)).await;
        let mut b = member(&cluster, config);
        records.extend(poll_until(&mut [&mut a, &mut b], |it| balanced(it, 4)).await);
        for _ in 0..50 {
            records.extend(a.poll(POLL).await.unwrap());
            records.extend(b.poll(POLL).await.unwrap());
        }
        a.close().await.unwrap();
        while records.len() < 400 {
            records.extend(b.poll(Duration::from_secs(60)).await.unwrap());
        }
        records.extend(b.poll(Duration::from_secs(60)).await.unwrap());
        assert_exactly_once(&records, 4, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cooperative_member_reads_on_during_a_rebalance() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    for partition in 0..2 {
        produce(&producer, t(partition), 0..1000).await;
    }
    let mut a = member(&cluster, cooperative("g").max_poll_records(1));
    poll_until(&mut [&mut a], |it| balanced(it, 2)).await;
    let mut b = member(&cluster, cooperative("g"));
    // b joins, a's heartbeat hears of it, and a reads on while the group rebalances around it.
    b.poll(POLL).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    for _ in 0..50 {
        assert_eq!(a.poll(POLL).await.unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_member_leaves_at_once() {
    let cluster = cluster(2).await;
    let (mut a, mut b) = (member(&cluster, group("g")), member(&cluster, group("g")));
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 2)).await;
    let dropped = Instant::now();
    drop(a);
    poll_until(&mut [&mut b], |it| balanced(it, 2)).await;
    assert!(dropped.elapsed() <= Duration::from_secs(4), "the next heartbeat tells, {:?}", dropped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn invariant_31_a_member_that_vanishes_is_replaced_after_its_session() {
    let cluster = cluster(2).await;
    // Static members do not leave (KIP-345): dropping one is as good as a crash.
    let mut a = member(&cluster, group("g").group_instance_id("a"));
    let mut b = member(&cluster, group("g"));
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 2)).await;
    let vanished = Instant::now();
    drop(a);
    poll_until(&mut [&mut b], |it| balanced(it, 2)).await;
    let after = vanished.elapsed().as_secs();
    // Its last heartbeat was up to 3 s before, and b hears of it with its next one.
    assert!((42..=49).contains(&after), "after {after} s");
}

#[tokio::test(start_paused = true)]
async fn invariant_32_a_static_member_comes_back_without_a_rebalance() {
    let cluster = cluster(4).await;
    let log = Log::default();
    let mut a = scribbling(&cluster, group("g").group_instance_id("a"), "a", &log);
    let mut b = scribbling(&cluster, group("g").group_instance_id("b"), "b", &log);
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 4)).await;
    let (had, before) = (a.assignment(), generation(&b));
    let others = b.assignment();
    log.lock().clear();
    a.close().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut a = member(&cluster, group("g").group_instance_id("a"));
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 4)).await;
    for _ in 0..100 {
        a.poll(POLL).await.unwrap();
        b.poll(POLL).await.unwrap();
    }
    assert_eq!((a.assignment(), b.assignment()), (had, others));
    assert_eq!((generation(&a), generation(&b)), (before, before));
    assert_eq!(*log.lock(), ["a revoked ".to_owned() + &names(&a.assignment())]);
}

fn names(partitions: &BTreeSet<TopicPartition>) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn invariant_32_a_duplicate_instance_fences_the_older_one() {
    let cluster = cluster(2).await;
    let log = Log::default();
    let mut older = scribbling(&cluster, group("g").group_instance_id("a"), "older", &log);
    poll_until(&mut [&mut older], |it| balanced(it, 2)).await;
    let mut newer = member(&cluster, group("g").group_instance_id("a"));
    poll_until(&mut [&mut newer], |it| balanced(it, 2)).await;
    let fenced = older.commit_offsets([(t(0), 1.into())]).await.unwrap_err();
    assert_eq!(fenced.code(), ErrorCode::FencedInstanceId);
    for _ in 0..3 {
        assert_eq!(older.poll(POLL).await.unwrap_err().code(), ErrorCode::FencedInstanceId);
    }
    assert_eq!(*log.lock(), ["older assigned t-0 t-1", "older lost t-0 t-1"]);
    assert!(older.assignment().is_empty());
    tokio::time::sleep(Duration::from_secs(10)).await;
    newer.commit_offsets([(t(0), 2.into())]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fenced_member_hears_of_it_from_its_heartbeat() {
    let cluster = cluster(1).await;
    let mut older = member(&cluster, group("g").group_instance_id("a"));
    poll_until(&mut [&mut older], |it| balanced(it, 1)).await;
    let mut newer = member(&cluster, group("g").group_instance_id("a"));
    poll_until(&mut [&mut newer], |it| balanced(it, 1)).await;
    let error = older.poll(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::FencedInstanceId);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_member_that_is_busy() {
    let cluster = cluster(2).await;
    let (mut a, mut b) = (member(&cluster, group("g")), member(&cluster, group("g")));
    poll_until(&mut [&mut a, &mut b], |it| balanced(it, 2)).await;
    let before = generation(&b);
    // Longer than the session, shorter than max.poll.interval.ms.
    let busy = Instant::now();
    while busy.elapsed() < Duration::from_secs(299) {
        b.poll(Duration::from_secs(1)).await.unwrap();
    }
    assert_eq!((generation(&a), generation(&b)), (before, before));
    a.commit_offsets([(t(0), 1.into())]).await.unwrap();
    a.poll(POLL).await.unwrap();
    assert_eq!(a.assignment().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn invariant_27_who_polls_too_late_is_replaced_and_its_commits_are_refused() {
    let cluster = cluster(1).await;
    produce(&producer(&cluster), t(0), 0..10).await;
    let log = Log::default();
    let config = group("g").enable_auto_commit(false).max_poll_interval(Duration::from_secs(50));
    let mut a = scribbling(&cluster, config.clone().max_poll_records(4), "a", &log);
    read(&mut a, 4).await;
    let read_at = Instant::now();
    let mut b = scribbling(&cluster, config, "b", &log);
    assert_eq!(read(&mut b, 10).await[&0].len(), 10);
    assert_eq!(read_at.elapsed().as_secs(), 50, "a has left when its interval was over");
    b.commit().await.unwrap();
    let error = a.commit().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownMemberId);
    assert_eq!(a.commit_async().await.unwrap_err().code(), ErrorCode::UnknownMemberId);
    assert_eq!(b.committed([t(0)]).await.unwrap()[&t(0)].offset(), 10);
    // It comes back with its next poll, and learns first that its partitions are lost.
    assert_eq!(*log.lock(), ["a assigned t-0", "b assigned t-0"]);
    b.close().await.unwrap();
    poll_until(&mut [&mut a], |_| log.lock().len() == 5).await;
    assert_eq!(log.lock()[2..], ["b revoked t-0", "a lost t-0", "a assigned t-0"]);
    assert_eq!(a.position(t(0)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn invariant_27_commits_of_an_old_generation_are_refused() {
    let cluster = cluster(2).await;
    let config = group("g").enable_auto_commit(false).max_poll_interval(Duration::from_secs(60));
    let mut a = member(&cluster, config.clone());
    poll_until(&mut [&mut a], |it| balanced(it, 2)).await;
    a.commit_offsets([(t(0), 1.into())]).await.unwrap();
    let mut b = member(&cluster, config);
    // b joins; a commits in the old generation as long as the group waits for it.
    assert!(b.poll(POLL).await.unwrap().is_empty());
    a.commit_offsets([(t(0), 2.into())]).await.unwrap();
    // It does not wait longer than max.poll.interval.ms.
    poll_until(&mut [&mut b], |it| balanced(it, 2)).await;
    b.commit_offsets([(t(0), 3.into())]).await.unwrap();
    let refused = a.commit_offsets([(t(0), 4.into())]).await.unwrap_err();
    assert!(matches!(refused.code(), ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration), "{refused}");
    assert_eq!(a.committed([t(0)]).await.unwrap()[&t(0)].offset(), 3);
}

#[tokio::test(start_paused = true)]
async fn invariant_34_a_group_resets_only_where_nothing_is_committed() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster);
    for partition in 0..2 {
        produce(&producer, t(partition), 0..10).await;
    }
    let mut a = member(&cluster, group("g"));
    poll_until(&mut [&mut a], |it| balanced(it, 2)).await;
    a.commit_offsets([(t(0), 4.into())]).await.unwrap();
    drop(a);
    let mut b = member(&cluster, ConsumerConfig::group("g"));
    assert_eq!(read(&mut b, 6).await[&0], (4..10).collect::<Vec<_>>());
    assert_eq!(b.position(t(1)).await.unwrap(), 10);
    assert!(b.poll(POLL).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn invariant_35_a_rebalance_commits_what_earlier_polls_returned() {
    let cluster = cluster(1).await;
    produce(&producer(&cluster), t(0), 0..10).await;
    let mut a = member(&cluster, group("g").max_poll_records(3));
    read(&mut a, 3).await;
    assert!(a.committed([t(0)]).await.unwrap().is_empty());
    let mut b = member(&cluster, group("g"));
    // While a rejoins it returns nothing, and nothing beyond the three is committed.
    b.poll(POLL).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (polled, _) = tokio::join!(a.poll(POLL), b.poll(POLL));
    let returned = 3 + polled.unwrap().len() as i64;
    let committed = b.committed([t(0)]).await.unwrap()[&t(0)].offset();
    assert_eq!(committed, 3);
    assert!(returned >= committed);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_picks_up_topics_and_partitions_as_they_come() {
    let cluster = cluster(1).await;
    let mut consumer = cluster.consumer(group("g").exclude_internal_topics(true)).unwrap();
    consumer.subscribe_pattern("^(t.*|__consumer_offsets)$").unwrap();
    assert_eq!(consumer.subscription(), BTreeSet::from(["t".to_owned()]));
    poll_until(&mut [&mut consumer], |it| it[0].assignment().len() == 1).await;
    cluster.admin().create_topic(NewTopic::new("t2").partitions(2)).await.unwrap();
    cluster.admin().create_topic(NewTopic::new("u").partitions(2)).await.unwrap();
    poll_until(&mut [&mut consumer], |it| it[0].assignment().len() == 3).await;
    assert_eq!(consumer.subscription(), BTreeSet::from(["t".to_owned(), "t2".to_owned()]));
    cluster.admin().create_partitions("t2", 5).await.unwrap();
    poll_until(&mut [&mut consumer], |it| it[0].assignment().len() == 6).await;
    produce(&producer(&cluster), TopicPartition::new("t2", 4), 0..3).await;
    read(&mut consumer, 3).await;
    cluster.admin().delete_topic("t2").await.unwrap();
    poll_until(&mut [&mut consumer], |it| it[0].assignment() == BTreeSet::from([t(0)])).await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_poll_joins_when_the_topic_is_created() {
    let cluster = Cluster::in_memory();
    let mut consumer = member(&cluster, group("g"));
    let (records, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        cluster.admin().create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
        produce(&producer(&cluster), t(0), 0..1).await;
    });
    assert_eq!(records.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_takes_effect_with_the_next_polls() {
    let cluster = cluster(2).await;
    cluster.admin().create_topic(NewTopic::new("u").partitions(1)).await.unwrap();
    for config in [group("eager"), cooperative("cooperative")] {
        let mut consumer = member(&cluster, config);
        poll_until(&mut [&mut consumer], |it| balanced(it, 2)).await;
        consumer.subscribe(["u"]).unwrap();
        let u = BTreeSet::from([TopicPartition::new("u", 0)]);
        poll_until(&mut [&mut consumer], |it| it[0].assignment() == u).await;
        consumer.unsubscribe();
        assert!(consumer.assignment().is_empty() && consumer.subscription().is_empty());
        assert!(consumer.poll(POLL).await.unwrap_err().is_illegal_state());
        assert_eq!(generation(&consumer), -1);
        consumer.subscribe(["t"]).unwrap();
        poll_until(&mut [&mut consumer], |it| balanced(it, 2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn enforcing_a_rebalance_makes_a_generation() {
    let cluster = cluster(1).await;
    let mut consumer = member(&cluster, group("g").client_id("till"));
    poll_until(&mut [&mut consumer], |it| balanced(it, 1)).await;
    let metadata = consumer.group_metadata().unwrap();
    assert_eq!((metadata.group_id(), metadata.generation_id(), metadata.group_instance_id()), ("g", 1, None));
    assert!(metadata.member_id().starts_with("till-"), "{}", metadata.member_id());
    consumer.enforce_rebalance("a test").unwrap();
    poll_until(&mut [&mut consumer], |it| generation(it[0]) == 2 && balanced(it, 1)).await;
    assert_eq!(consumer.group_metadata().unwrap().member_id(), metadata.member_id());
}

#[tokio::test(start_paused = true)]
async fn polls_without_timeout_join_too() {
    let cluster = cluster(1).await;
    let mut consumer = member(&cluster, group("g"));
    let mut polls = 0;
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::ZERO).await.unwrap();
        polls += 1;
        if polls % 100 == 0 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(polls < 100_000);
    }
}

/// Commits by itself when partitions go, and begins new ones where it likes.
struct Bookkeeper;

impl RebalanceListener for Bookkeeper {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        for partition in partitions {
            context.seek(partition, 5).unwrap();
            assert_eq!(context.position(partition), Some(5));
        }
        context.pause(partitions).unwrap();
        context.resume(partitions).unwrap();
    }

    fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        assert_eq!(context.assignment(), partitions.iter().cloned().collect());
        assert_ne!(context.group_metadata().unwrap().generation_id(), -1);
        context.commit();
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_seeks_and_commits() {
    let cluster = cluster(1).await;
    produce(&producer(&cluster), t(0), 0..10).await;
    let mut consumer = cluster.consumer(group("g").enable_auto_commit(false).max_poll_records(2)).unwrap();
    consumer.subscribe_with_listener(["t"], Bookkeeper).unwrap();
    assert_eq!(read(&mut consumer, 2).await[&0], [5, 6]);
    assert!(consumer.committed([t(0)]).await.unwrap().is_empty());
    consumer.enforce_rebalance("").unwrap();
    poll_until(&mut [&mut consumer], |it| generation(it[0]) == 2 && balanced(it, 1)).await;
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 7);
    consumer.seek(t(0), 9).unwrap();
    read(&mut consumer, 1).await;
    consumer.close().await.unwrap();
    let observer = cluster.consumer(group("g")).unwrap();
    assert_eq!(observer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_the_coordinator_refuses_comes_out_of_poll() {
    let cluster = cluster(1).await;
    let mut consumer = member(&cluster, group("g").session_timeout(Duration::from_secs(5)));
    assert_eq!(consumer.poll(Duration::from_secs(10)).await.unwrap_err().code(), ErrorCode::InvalidSessionTimeout);
    assert_eq!(consumer.poll(Duration::from_secs(10)).await.unwrap_err().code(), ErrorCode::InvalidSessionTimeout);
    let mut range = member(&cluster, group("h"));
    poll_until(&mut [&mut range], |it| balanced(it, 1)).await;
    let sticky = group("h").partition_assignment_strategy([PartitionAssignor::Sticky]);
    let mut sticky = member(&cluster, sticky);
    let error = sticky.poll(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InconsistentGroupProtocol);
}

#[tokio::test(start_paused = true)]
async fn wakeup_during_a_join_leaves_the_join_under_way() {
    let cluster = cluster(1).await;
    let mut consumer = member(&cluster, group("g"));
    let waker = consumer.wakeup_handle();
    let (polled, ()) = tokio::join!(consumer.poll(Duration::MAX), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        waker.wakeup();
    });
    assert!(polled.unwrap_err().is_wakeup());
    // The group is formed without another poll; that only takes the outcome.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(generation(&consumer), 1);
    consumer.poll(Duration::ZERO).await.unwrap();
    assert_eq!(consumer.assignment().len(), 1);
}
