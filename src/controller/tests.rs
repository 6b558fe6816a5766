//! The controller as its driver uses it, and random histories of it.

mod configs;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{AlterConfigOp, ConfigResource, LogConfig};
use crate::types::{LeaderEpoch, TopicId};
use crate::util::testing::cases;

/// A controller with its log: runs a command, appends what it wants, replays that.
struct Driver {
    controller: Controller,
    /// What the broker was started with.
    config: BrokerConfig,
    log: Vec<bytes::Bytes>,
}

impl Driver {
    fn new() -> Self {
        Self::with_config(&[])
    }

    fn with_config(properties: &[(&str, &str)]) -> Self {
        let mut config = BrokerConfig::default();
        for (name, value) in properties {
            config.set(name, value).unwrap();
        }
        Self { controller: Self::controller(config.clone(), 42), config, log: Vec::new() }
    }

    fn controller(config: BrokerConfig, seed: u64) -> Controller {
        let rng = fastrand::Rng::with_seed(seed);
        Controller::new(BrokerId(1), config, Controller::DEFAULT_MAX_PARTITIONS, rng)
    }

    /// With these brokers, registered and unfenced.
    fn with_brokers(count: i32) -> Self {
        let mut driver = Self::new();
        for id in 1..=count {
            driver.start_broker(id);
        }
        driver
    }

    fn commit<T>(&mut self, outcome: Outcome<T>) -> T {
        let base_offset = self.log.len() as Offset;
        self.log.extend(outcome.records.iter().map(MetadataRecord::encode));
        self.controller.replay(&outcome.records, base_offset).unwrap();
        outcome.response
    }

    fn register(&mut self, id: i32) -> i64 {
        let incarnation_id = self.log.len() as u128 + 1;
        let registration = BrokerRegistration { id: BrokerId(id), incarnation_id, rack: None };
        let outcome = self.controller.register_broker(registration);
        self.commit(outcome)
    }

    fn start_broker(&mut self, id: i32) -> i64 {
        let epoch = self.register(id);
        let outcome = self.controller.unfence(BrokerId(id), epoch);
        self.commit(outcome).unwrap();
        epoch
    }

    fn create(&mut self, name: &str, partitions: i32, replication_factor: i16) -> Result<Arc<TopicImage>, Error> {
        self.create_with(name, partitions, replication_factor, &[])
    }

    fn create_with(
        &mut self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &[(&str, &str)],
    ) -> Result<Arc<TopicImage>, Error> {
        let outcome = self.controller.create_topics(vec![topic(name, partitions, replication_factor, configs)], false);
        self.commit(outcome).remove(0)
    }

    fn delete(&mut self, topics: &[TopicSelector]) -> Vec<Result<Arc<TopicImage>, Error>> {
        let outcome = self.controller.delete_topics(topics);
        self.commit(outcome)
    }

    fn grow(&mut self, name: &str, total: i32) -> Result<Arc<TopicImage>, Error> {
        let outcome = self.controller.create_partitions(name, total, None, false);
        self.commit(outcome)
    }

    fn alter_partition(&mut self, request: &AlterPartition) -> Result<PartitionImage, Error> {
        let outcome = self.controller.alter_partition(request);
        self.commit(outcome)
    }

    /// A controller that opens the log of this one.
    fn reopened(&self) -> Controller {
        let records: Vec<_> = self.log.iter().map(|value| MetadataRecord::decode(value).unwrap()).collect();
        let mut controller = Self::controller(self.config.clone(), 0);
        controller.replay(&records, 0).unwrap();
        controller
    }
}

fn topic(name: &str, partitions: i32, replication_factor: i16, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    CreatableTopic { name: name.to_owned(), partitions, replication_factor, assignments: Vec::new(), configs }
}

fn by_name(name: &str) -> TopicSelector {
    TopicSelector::Name(name.to_owned())
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code);
    assert_eq!(error.to_string(), format!("{message} [{code}]"));
}

#[test]
fn a_created_topic_is_in_the_image_as_it_was_answered() {
    let mut driver = Driver::with_brokers(1);
    let created = driver.create_with("orders", 3, 1, &[("retention.ms", "5")]).unwrap();
    let image = driver.controller.image();
    assert_eq!(image.topic("orders"), Some(&created));
    assert_eq!(image.topic_by_id(created.id), Some(&created));
    assert_eq!(created.partitions.len(), 3);
    assert_eq!(created.partitions[0].leader, BrokerId(1));
    assert_eq!(created.partitions[0].leader_epoch, LeaderEpoch(0));
    assert_eq!(created.log_config.retention_ms, Some(5));
    assert!(!created.is_internal());
    // Two of the broker, then the topic, its override and three partitions.
    assert_eq!(image.offset, 6);
}

#[test]
fn the_brokers_defaults_fill_in() {
    let mut driver = Driver::with_config(&[
        ("num.partitions", "4"),
        ("default.replication.factor", "2"),
        ("log.retention.hours", "1"),
    ]);
    driver.start_broker(1);
    driver.start_broker(2);
    let created = driver.create("t", -1, -1).unwrap();
    assert_eq!(created.partitions.len(), 4);
    assert!(created.partitions.iter().all(|partition| partition.replicas.len() == 2 && partition.isr.len() == 2));
    assert_eq!(created.log_config.retention_ms, Some(3_600_000));
    assert!(created.configs.is_empty());
}

#[test]
fn validate_only_answers_and_changes_nothing() {
    let mut driver = Driver::with_brokers(1);
    let outcome = driver.controller.create_topics(vec![topic("t", 2, 1, &[])], true);
    assert_eq!(outcome.records, []);
    assert_eq!(outcome.response[0].as_ref().unwrap().partitions.len(), 2);
    driver.create("t", 2, 1).unwrap();
    let outcome = driver.controller.create_partitions("t", 5, None, true);
    assert_eq!(outcome.records, []);
    assert_eq!(outcome.response.unwrap().partitions.len(), 5);
}

#[test]
fn one_topics_failure_keeps_no_other_back() {
    let mut driver = Driver::with_brokers(1);
    let topics = vec![topic("a", 1, 1, &[]), topic("b", 0, 1, &[]), topic("c", 1, 1, &[])];
    let outcome = driver.controller.create_topics(topics, false);
    let codes: Vec<_> = driver.commit(outcome).iter().map(|r| r.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::InvalidPartitions), None]);
    assert_eq!(driver.controller.image().topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn refused_topics_read_as_kafkas() {
    let mut driver = Driver::with_brokers(1);
    driver.create("taken", 1, 1).unwrap();
    driver.create("with.dot", 1, 1).unwrap();
    let cases: &[(CreatableTopic, ErrorCode, &str)] = &[
        (topic("taken", 1, 1, &[]), ErrorCode::TopicAlreadyExists, "Topic 'taken' already exists."),
        (topic("with.dot", 1, 1, &[]), ErrorCode::TopicAlreadyExists, "Topic 'with.dot' already exists."),
        (
            topic("with_dot", 1, 1, &[]),
            ErrorCode::InvalidTopic,
            "Topic 'with_dot' collides with existing topic: with.dot",
        ),
        (topic("..", 1, 1, &[]), ErrorCode::InvalidTopic, "Topic name is invalid: '..' is not allowed"),
        (
            topic("t", 0, 1, &[]),
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("t", -2, 1, &[]),
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("t", 1, 0, &[]),
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            topic("t", 1, 3, &[]),
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
             because only 1 broker(s) are registered.",
        ),
        (topic("t", 1, 1, &[("x", "1")]), ErrorCode::InvalidConfig, "Unknown topic config name: x"),
        (
            topic("t", 1, 1, &[("retention.ms", "x")]),
            ErrorCode::InvalidConfig,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            topic("__cluster_metadata", 1, 1, &[]),
            ErrorCode::InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (topic("t", 10_001, 1, &[]), ErrorCode::PolicyViolation, "Excessively large number of partitions per request."),
    ];
    for (topic, code, message) in cases {
        let outcome = driver.controller.create_topics(vec![topic.clone()], false);
        assert_eq!(outcome.records, []);
        assert_refused(driver.commit(outcome).remove(0), *code, message);
    }
}

#[test]
fn a_name_given_twice_is_refused_each_time() {
    let mut driver = Driver::with_brokers(1);
    let topics = vec![topic("a", 1, 1, &[]), topic("b", 1, 1, &[]), topic("a", 2, 1, &[])];
    let outcome = driver.controller.create_topics(topics, false);
    let mut answers = driver.commit(outcome);
    assert_refused(answers.remove(2), ErrorCode::InvalidRequest, "Duplicate topic name.");
    assert_refused(answers.remove(0), ErrorCode::InvalidRequest, "Duplicate topic name.");
    assert_eq!(&*answers[0].as_ref().unwrap().name, "b");
}

#[test]
fn without_a_broker_that_may_lead_nothing_is_created() {
    let mut driver = Driver::new();
    driver.register(1);
    assert_refused(
        driver.create("t", 1, 1),
        ErrorCode::InvalidReplicationFactor,
        "Unable to replicate the partition 1 time(s): All brokers are currently fenced.",
    );
}

#[test]
fn internal_topics_may_be_compacted() {
    let mut driver = Driver::with_brokers(1);
    let created = driver.create_with("__consumer_offsets", 50, 1, &[("cleanup.policy", "compact")]).unwrap();
    assert!(created.is_internal() && created.log_config.cleanup_policy.compact);
    assert_eq!(**driver.reopened().image(), **driver.controller.image());
}

#[test]
fn a_cluster_holds_only_so_many_partitions() {
    let mut driver = Driver::with_brokers(1);
    for index in 0..20 {
        driver.create(&format!("t{index}"), 10_000, 1).unwrap();
    }
    assert_refused(
        driver.grow("t0", 10_001),
        ErrorCode::PolicyViolation,
        "1 more partitions would exceed the 200000 that a cluster may hold (it has 200000).",
    );
}

#[test]
fn partitions_can_only_be_added() {
    let mut driver = Driver::with_brokers(1);
    driver.create("t", 2, 1).unwrap();
    let grown = driver.grow("t", 5).unwrap();
    assert_eq!(driver.controller.image().topic("t"), Some(&grown));
    assert_eq!(grown.partitions.len(), 5);
    assert_refused(driver.grow("t", 5), ErrorCode::InvalidPartitions, "Topic already has 5 partition(s).");
    assert_refused(
        driver.grow("t", 4),
        ErrorCode::InvalidPartitions,
        "The topic t currently has 5 partition(s); 4 would not be an increase.",
    );
    assert_refused(
        driver.grow("u", 4),
        ErrorCode::UnknownTopicOrPartition,
        "This server does not host this topic-partition.",
    );
    assert_eq!(driver.grow("t", 20_000).unwrap_err().code(), ErrorCode::PolicyViolation);
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut driver = Driver::with_brokers(1);
    let a = driver.create("a", 1, 1).unwrap();
    let b = driver.create("b", 1, 1).unwrap();
    let answers = driver.delete(&[by_name("a"), TopicSelector::Id(b.id)]);
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [a, b]);
    let image = driver.controller.image();
    assert!(image.topics.is_empty() && image.topic_names.is_empty());
}

#[test]
fn refused_deletions_read_as_kafkas() {
    let mut driver = Driver::with_brokers(1);
    let a = driver.create("a", 1, 1).unwrap();
    let unknown = TopicSelector::Id(TopicId::from_u128(9));
    let mut answers = driver.delete(&[by_name("x"), unknown.clone(), TopicSelector::Id(TopicId::ZERO)]);
    assert_refused(answers.remove(2), ErrorCode::InvalidRequest, "Neither topic name nor id were specified.");
    assert_refused(answers.remove(1), ErrorCode::UnknownTopicId, "This server does not host this topic ID.");
    assert_eq!(answers.remove(0).unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    for answer in driver.delete(&[by_name("a"), by_name("a")]) {
        assert_refused(answer, ErrorCode::InvalidRequest, "Duplicate topic name.");
    }
    for answer in driver.delete(&[unknown.clone(), unknown]) {
        assert_refused(answer, ErrorCode::InvalidRequest, "Duplicate topic id.");
    }
    for answer in driver.delete(&[by_name("a"), TopicSelector::Id(a.id)]) {
        assert_refused(
            answer,
            ErrorCode::InvalidRequest,
            "The provided topic name maps to an ID that was already supplied.",
        );
    }
    assert_eq!(driver.controller.image().topic("a"), Some(&a));
}

#[test]
fn deletion_can_be_disabled() {
    let mut driver = Driver::with_config(&[("delete.topic.enable", "false")]);
    driver.start_broker(1);
    driver.create("a", 1, 1).unwrap();
    assert_refused(
        driver.delete(&[by_name("a")]).remove(0),
        ErrorCode::TopicDeletionDisabled,
        "Topic deletion is disabled.",
    );
}

#[test]
fn invariant_52_a_topic_created_again_has_a_fresh_id() {
    let mut driver = Driver::with_brokers(1);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let created = driver.create("t", 1, 1).unwrap();
        assert!(seen.insert(created.id));
        driver.delete(&[by_name("t")]).remove(0).unwrap();
        assert!(driver.controller.image().topic_by_id(created.id).is_none());
    }
}

#[test]
fn a_broker_that_starts_again_gives_up_its_partitions_and_gets_back_those_that_wait() {
    let mut driver = Driver::with_brokers(2);
    let alone = driver.create("alone", 2, 1).unwrap();
    driver.create("both", 1, 2).unwrap();
    let old_leader = driver.controller.image().topic("both").unwrap().partitions[0].leader;
    let other = BrokerId(3 - old_leader.0);
    let epoch = driver.register(old_leader.0);

    let image = driver.controller.image().clone();
    let both = &image.topic("both").unwrap().partitions[0];
    assert_eq!((both.leader, &both.isr[..]), (other, &[other][..]));
    assert_eq!((both.leader_epoch, both.partition_epoch), (LeaderEpoch(1), 1));
    for (before, after) in alone.partitions.iter().zip(&image.topic("alone").unwrap().partitions) {
        if before.leader == old_leader {
            assert_eq!((after.leader, after.leader_epoch), (BrokerId::NONE, LeaderEpoch(1)));
            assert_eq!(after.isr, [old_leader]);
        } else {
            assert_eq!(before, after);
        }
    }

    let outcome = driver.controller.unfence(old_leader, epoch);
    driver.commit(outcome).unwrap();
    let image = driver.controller.image();
    assert_eq!(&image.topic("both").unwrap().partitions[0], both);
    let back = |partition: &&PartitionImage| partition.leader == old_leader && partition.leader_epoch == LeaderEpoch(2);
    assert_eq!(image.topic("alone").unwrap().partitions.iter().filter(back).count(), 1);
}

#[test]
fn the_same_run_of_a_broker_keeps_its_registration() {
    let mut driver = Driver::new();
    let registration = BrokerRegistration { id: BrokerId(1), incarnation_id: 5, rack: Some("r".into()) };
    let outcome = driver.controller.register_broker(registration.clone());
    let epoch = driver.commit(outcome);
    let outcome = driver.controller.unfence(BrokerId(1), epoch);
    driver.commit(outcome).unwrap();
    let outcome = driver.controller.register_broker(registration);
    assert_eq!(driver.commit(outcome), epoch);
    assert!(driver.controller.image().is_active(BrokerId(1)));
    assert_refused(
        driver.controller.unfence(BrokerId(1), epoch + 1).response,
        ErrorCode::StaleBrokerEpoch,
        "Expected broker epoch 0, but got broker epoch 1",
    );
    assert_refused(
        driver.controller.unfence(BrokerId(2), 0).response,
        ErrorCode::StaleBrokerEpoch,
        "No broker registration found for broker id 2",
    );
}

#[test]
fn leaders_change_the_isr_under_the_partition_epoch() {
    let mut driver = Driver::with_brokers(3);
    let created = driver.create("t", 1, 3).unwrap();
    let PartitionImage { replicas, leader, .. } = created.partitions[0].clone();
    let shrink = AlterPartition {
        broker_id: leader,
        broker_epoch: driver.controller.image().brokers[&leader].epoch,
        topic_id: created.id,
        partition: 0,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        new_isr: vec![(leader, -1)],
    };
    let follower = replicas[1];
    let refuse = |driver: &mut Driver, request: AlterPartition| driver.alter_partition(&request).unwrap_err().code();

    let shrunk = driver.alter_partition(&shrink).unwrap();
    assert_eq!(driver.controller.image().topic("t").unwrap().partitions[0], shrunk);
    assert_eq!((&shrunk.isr[..], shrunk.leader_epoch, shrunk.partition_epoch), (&[leader][..], LeaderEpoch(0), 1));
    assert_eq!(refuse(&mut driver, shrink.clone()), ErrorCode::InvalidUpdateVersion);

    let now = AlterPartition { partition_epoch: 1, ..shrink };
    assert_eq!(driver.alter_partition(&now).unwrap().partition_epoch, 1, "what is already so changes nothing");
    let with = |change: &dyn Fn(&mut AlterPartition)| {
        let mut request = now.clone();
        change(&mut request);
        request
    };
    let cases = [
        (with(&|r| r.broker_epoch += 1), ErrorCode::StaleBrokerEpoch),
        (with(&|r| r.topic_id = TopicId::from_u128(1)), ErrorCode::UnknownTopicId),
        (with(&|r| r.partition = 1), ErrorCode::UnknownTopicOrPartition),
        (with(&|r| r.partition = -1), ErrorCode::UnknownTopicOrPartition),
        (with(&|r| r.leader_epoch = LeaderEpoch(1)), ErrorCode::NotController),
        (with(&|r| r.partition_epoch = 2), ErrorCode::NotController),
        (with(&|r| r.leader_epoch = LeaderEpoch(-1)), ErrorCode::FencedLeaderEpoch),
        (with(&|r| r.new_isr = vec![(follower, -1)]), ErrorCode::InvalidRequest),
        (with(&|r| r.new_isr = vec![]), ErrorCode::InvalidRequest),
        (with(&|r| r.new_isr.push((leader, -1))), ErrorCode::InvalidRequest),
        (with(&|r| r.new_isr.push((BrokerId(9), -1))), ErrorCode::InvalidRequest),
        (with(&|r| r.new_isr.push((follower, 999))), ErrorCode::IneligibleReplica),
    ];
    for (request, code) in cases {
        assert_eq!(refuse(&mut driver, request), code);
    }
    let follower_epoch = driver.controller.image().brokers[&follower].epoch;
    let not_the_leader = with(&|r| (r.broker_id, r.broker_epoch) = (follower, follower_epoch));
    assert_eq!(refuse(&mut driver, not_the_leader), ErrorCode::InvalidRequest);
    let expand = with(&|r| r.new_isr.push((follower, follower_epoch)));
    driver.register(follower.0);
    assert_eq!(refuse(&mut driver, expand.clone()), ErrorCode::IneligibleReplica, "fenced");
    let follower_epoch = driver.start_broker(follower.0);
    let expand = AlterPartition { new_isr: vec![(leader, -1), (follower, follower_epoch)], ..expand };
    assert_eq!(driver.alter_partition(&expand).unwrap().isr, [leader, follower]);
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut driver = Driver::with_brokers(1);
    for first in [0, 1000, 2000] {
        let outcome = driver.controller.allocate_producer_ids(BrokerId(1), 0);
        assert_eq!(driver.commit(outcome).unwrap().first.0, first);
    }
    let outcome = driver.controller.allocate_producer_ids(BrokerId(1), 7);
    assert_eq!(driver.commit(outcome).unwrap_err().code(), ErrorCode::StaleBrokerEpoch);
    let last = MetadataRecord::ProducerIds {
        broker_id: BrokerId(1),
        broker_epoch: 0,
        next_producer_id: i64::MAX - ProducerIdBlock::SIZE + 1,
    };
    driver.commit(Outcome { records: vec![last], response: () });
    let outcome = driver.controller.allocate_producer_ids(BrokerId(1), 0);
    assert_eq!(driver.commit(outcome).unwrap_err().code(), ErrorCode::UnknownServerError);
}

#[test]
fn a_failed_replay_changes_nothing() {
    let mut driver = Driver::with_brokers(1);
    let before = driver.controller.image().clone();
    let records = [
        MetadataRecord::Topic { name: "t".into(), id: TopicId::from_u128(1) },
        MetadataRecord::RemoveTopic { id: TopicId::from_u128(2) },
    ];
    let error = driver.controller.replay(&records, 2).unwrap_err();
    assert_eq!(error.offset, 3);
    assert!(Arc::ptr_eq(&before, driver.controller.image()));
}

#[derive(Clone, Debug)]
enum Command {
    Register(i32),
    Unfence(i32),
    Create {
        name: usize,
        partitions: i32,
        replication_factor: i16,
        retention: Option<i64>,
    },
    Delete(usize),
    Grow {
        name: usize,
        by: i32,
    },
    /// The leader proposes those of the replicas whose bits are set, and itself; late by so many partition epochs.
    Alter {
        name: usize,
        partition: usize,
        members: u8,
        late: i32,
    },
    ProducerIds(i32),
    /// Sets, or takes away, the retention of a topic, of all brokers or of the first.
    Retain {
        of: usize,
        ms: Option<i64>,
    },
    Elect {
        name: usize,
        unclean: bool,
    },
}

const NAMES: [&str; 4] = ["a", "b.c", "b_c", "__consumer_offsets"];

fn command() -> impl Strategy<Value = Command> {
    let broker = 1..=3i32;
    let name = 0..NAMES.len();
    prop_oneof![
        1 => broker.clone().prop_map(Command::Register),
        2 => broker.clone().prop_map(Command::Unfence),
        3 => (name.clone(), -1..6i32, -1..4i16, proptest::option::of(-2..9i64)).prop_map(
            |(name, partitions, replication_factor, retention)| Command::Create {
                name, partitions, replication_factor, retention
            }
        ),
        1 => name.clone().prop_map(Command::Delete),
        1 => (name.clone(), -1..3i32).prop_map(|(name, by)| Command::Grow { name, by }),
        4 => (name, 0..6usize, any::<u8>(), 0..2i32).prop_map(
            |(name, partition, members, late)| Command::Alter { name, partition, members, late }
        ),
        1 => broker.prop_map(Command::ProducerIds),
        2 => (0..NAMES.len() + 2, proptest::option::of(0..4i64)).prop_map(|(of, ms)| Command::Retain { of, ms }),
        1 => (0..NAMES.len(), any::<bool>()).prop_map(|(name, unclean)| Command::Elect { name, unclean }),
    ]
}

impl Driver {
    fn epoch_of(&self, id: i32) -> i64 {
        self.controller.image().brokers.get(&BrokerId(id)).map_or(0, |broker| broker.epoch)
    }

    fn run(&mut self, command: &Command) {
        match *command {
            Command::Register(id) => {
                self.register(id);
            }
            Command::Unfence(id) => {
                let outcome = self.controller.unfence(BrokerId(id), self.epoch_of(id));
                let _ = self.commit(outcome);
            }
            Command::Create { name, partitions, replication_factor, retention } => {
                let retention = retention.map(|ms| ms.to_string());
                let configs: Vec<_> = retention.iter().map(|ms| ("retention.ms", ms.as_str())).collect();
                let created = self.create_with(NAMES[name], partitions, replication_factor, &configs);
                if let Ok(created) = created {
                    assert_eq!(self.controller.image().topic(NAMES[name]), Some(&created));
                }
            }
            Command::Delete(name) => {
                self.delete(&[by_name(NAMES[name])]);
            }
            Command::Grow { name, by } => {
                let count = self.controller.image().topic(NAMES[name]).map_or(0, |topic| topic.partitions.len());
                let _ = self.grow(NAMES[name], count as i32 + by);
            }
            Command::Alter { name, partition, members, late } => {
                let image = self.controller.image().clone();
                let Some(topic) = image.topic(NAMES[name]) else { return };
                let Some(current) = topic.partitions.get(partition) else { return };
                let chosen = (0..).zip(&current.replicas).filter(|(bit, _)| members >> bit & 1 == 1);
                let others = chosen.map(|(_, id)| *id).filter(|id| *id != current.leader);
                let request = AlterPartition {
                    broker_id: current.leader,
                    broker_epoch: self.epoch_of(current.leader.0),
                    topic_id: topic.id,
                    partition: partition as i32,
                    leader_epoch: current.leader_epoch,
                    partition_epoch: current.partition_epoch - late,
                    new_isr: std::iter::once(current.leader).chain(others).map(|id| (id, -1)).collect(),
                };
                let answer = self.alter_partition(&request);
                if late > 0 && current.leader != BrokerId::NONE {
                    assert_eq!(answer.unwrap_err().code(), ErrorCode::InvalidUpdateVersion);
                }
            }
            Command::Retain { of, ms } => {
                let (resource, property) = match of.checked_sub(NAMES.len()) {
                    None => (ConfigResource::topic(NAMES[of]), "retention.ms"),
                    Some(0) => (ConfigResource::BrokerDefault, "log.retention.ms"),
                    Some(_) => (ConfigResource::broker(1), "log.retention.ms"),
                };
                let change = ms.map(|ms| AlterConfigOp::set(property, ms.to_string()));
                let _ = self.alter(resource, &[change.unwrap_or_else(|| AlterConfigOp::delete(property))]);
            }
            Command::Elect { name, unclean } => {
                let election = if unclean { ElectionType::Unclean } else { ElectionType::Preferred };
                let _ = self.elect(election, (NAMES[name], 0));
            }
            Command::ProducerIds(id) => {
                let outcome = self.controller.allocate_producer_ids(BrokerId(id), self.epoch_of(id));
                let _ = self.commit(outcome);
            }
        }
    }
}

/// What holds of every image.
fn check_image(image: &MetadataImage) {
    assert_eq!(image.topics.len(), image.topic_names.len());
    assert_eq!(image.partition_count, image.topics.values().map(|topic| topic.partitions.len()).sum::<usize>());
    for (name, topic) in &image.topics {
        let resolved = LogConfig::resolve(image.config.log_config(), &topic.configs).unwrap();
        assert_eq!(*topic.log_config, resolved);
        let collidable = topic_name::unify(name).and_then(|unified| image.collidable.get(&*unified));
        assert_eq!(collidable.is_some_and(|names| names.contains(name)), name.contains(['.', '_']));
        assert_eq!((name, image.topic_names.get(&topic.id)), (&topic.name, Some(name)));
        assert!(!topic.partitions.is_empty());
        for partition in &topic.partitions {
            assert!(!partition.isr.is_empty());
            assert!(partition.isr.iter().all(|id| partition.replicas.contains(id)));
            if partition.leader != BrokerId::NONE {
                assert!(partition.isr.contains(&partition.leader));
                assert!(image.is_active(partition.leader));
            }
        }
    }
}

/// What holds of an image and the next.
fn check_step(before: &MetadataImage, after: &MetadataImage) {
    assert!(after.next_producer_id >= before.next_producer_id);
    for (id, broker) in &before.brokers {
        assert!(after.brokers[id].epoch >= broker.epoch);
    }
    for old in before.topics.values() {
        let Some(new) = after.topic_by_id(old.id) else { continue };
        assert!(new.partitions.len() >= old.partitions.len());
        if new == old {
            assert!(Arc::ptr_eq(new, old), "an untouched topic is shared");
        }
        for (old, new) in old.partitions.iter().zip(&new.partitions) {
            assert_eq!(new.replicas, old.replicas);
            if new == old {
                continue;
            }
            assert!(new.partition_epoch > old.partition_epoch);
            assert!(new.leader_epoch >= old.leader_epoch);
            if new.leader != old.leader {
                assert!(new.leader_epoch > old.leader_epoch, "a new leader has a new epoch");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Also invariant 52: an id never names a second topic.
    #[test]
    fn invariant_9_epochs_grow_and_the_log_alone_gives_the_image(
        commands in proptest::collection::vec(command(), 1..60)
    ) {
        let mut driver = Driver::with_brokers(1);
        let mut leaders: HashMap<(TopicId, usize, LeaderEpoch), BrokerId> = HashMap::new();
        let mut ids: HashSet<TopicId> = HashSet::new();
        let mut deleted: HashSet<TopicId> = HashSet::new();
        for command in &commands {
            let before = driver.controller.image().clone();
            driver.run(command);
            let after = driver.controller.image().clone();
            check_image(&after);
            check_step(&before, &after);
            for topic in after.topics.values() {
                prop_assert!(!deleted.contains(&topic.id));
                ids.insert(topic.id);
                for (index, partition) in topic.partitions.iter().enumerate() {
                    // At most one leader in an epoch.
                    let leader = leaders.entry((topic.id, index, partition.leader_epoch)).or_insert(partition.leader);
                    prop_assert_eq!(*leader, partition.leader);
                }
            }
            deleted.extend(ids.iter().filter(|id| after.topic_by_id(**id).is_none()));
        }
        let reopened = driver.reopened();
        prop_assert_eq!(&**reopened.image(), &**driver.controller.image());
    }
}
