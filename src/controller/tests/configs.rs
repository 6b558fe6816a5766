//! Settings that are altered, elections, and what a topic more costs.

use super::*;
use crate::config::{AlterConfigOp, ConfigResource};

const BROKER: ConfigResource = ConfigResource::Broker(BrokerId(1));

impl Driver {
    pub(super) fn alter(&mut self, resource: ConfigResource, changes: &[AlterConfigOp]) -> Result<(), Error> {
        let outcome = self.controller.incremental_alter_configs(&[(resource, changes.to_vec())], false);
        self.commit(outcome).remove(0)
    }

    pub(super) fn elect(&mut self, election: ElectionType, partition: (&str, i32)) -> Result<(), Error> {
        let outcome = self.controller.elect_leaders(election, Some(vec![partition.into()]));
        self.commit(outcome).remove(0).1
    }

    fn retention(&self, topic: &str) -> Option<i64> {
        self.controller.image().topic(topic).unwrap().log_config.retention_ms
    }

    fn partition(&self, topic: &str) -> PartitionImage {
        self.controller.image().topic(topic).unwrap().partitions[0].clone()
    }

    /// Takes a broker out of the ISR of `t-0`.
    fn shrink(&mut self, without: i32) {
        let image = self.controller.image().clone();
        let topic = image.topic("t").unwrap();
        let current = &topic.partitions[0];
        let request = AlterPartition {
            broker_id: current.leader,
            broker_epoch: self.epoch_of(current.leader.0),
            topic_id: topic.id,
            partition: 0,
            leader_epoch: current.leader_epoch,
            partition_epoch: current.partition_epoch,
            new_isr: current.isr.iter().filter(|id| id.0 != without).map(|id| (*id, -1)).collect(),
        };
        self.alter_partition(&request).unwrap();
    }
}

fn set(name: &str, value: &str) -> AlterConfigOp {
    AlterConfigOp::set(name, value)
}

#[test]
fn settings_of_topic_broker_and_cluster_are_replayed_as_they_were() {
    let mut driver = Driver::with_config(&[("log.retention.hours", "1")]);
    let bootstrap = driver.controller.bootstrap();
    driver.commit(bootstrap);
    driver.start_broker(1);
    for name in ["a", "b"] {
        driver.create(name, 1, 1).unwrap();
    }
    driver.alter(ConfigResource::topic("a"), &[set("retention.ms", "5")]).unwrap();
    driver.alter(ConfigResource::BrokerDefault, &[set("log.retention.ms", "6")]).unwrap();
    assert_eq!((driver.retention("a"), driver.retention("b")), (Some(5), Some(6)));
    driver.alter(BROKER, &[set("log.retention.ms", "7")]).unwrap();
    assert_eq!((driver.retention("a"), driver.retention("b")), (Some(5), Some(7)));
    driver.alter(ConfigResource::topic("a"), &[AlterConfigOp::delete("retention.ms")]).unwrap();
    assert_eq!((driver.retention("a"), driver.retention("b")), (Some(7), Some(7)));
    assert_eq!(**driver.reopened().image(), **driver.controller.image());
    let deletions =
        [BROKER, ConfigResource::BrokerDefault].map(|it| (it, vec![AlterConfigOp::delete("log.retention.ms")]));
    let outcome = driver.controller.incremental_alter_configs(&deletions, false);
    driver.commit(outcome).into_iter().for_each(Result::unwrap);
    assert_eq!(driver.retention("b"), Some(3_600_000));
    let image = driver.controller.image();
    assert_eq!(image.broker_configs.keys().copied().collect::<Vec<_>>(), [None], "what is empty is gone");
    assert_eq!(**driver.reopened().image(), **image);
}

#[test]
fn validating_and_refusing_leave_no_record() {
    let mut driver = Driver::with_brokers(1);
    driver.create("t", 1, 1).unwrap();
    let good = (ConfigResource::topic("t"), vec![set("retention.ms", "5")]);
    let outcome = driver.controller.incremental_alter_configs(std::slice::from_ref(&good), true);
    assert!(outcome.records.is_empty() && outcome.response[0].is_ok());
    let bad = (BROKER, vec![set("log.retention.ms", "5"), set("num.partitions", "5")]);
    let outcome = driver.controller.incremental_alter_configs(&[good, bad], false);
    assert_eq!(outcome.records.len(), 1, "the topic's change, and nothing of the broker's");
    assert_eq!(outcome.response[1].as_ref().unwrap_err().code(), ErrorCode::InvalidRequest);
    // What is so already needs no record either.
    driver.alter(ConfigResource::topic("t"), &[set("retention.ms", "5")]).unwrap();
    let again = [(ConfigResource::topic("t"), vec![set("retention.ms", "5"), AlterConfigOp::delete("segment.ms")])];
    assert!(driver.controller.incremental_alter_configs(&again, false).records.is_empty());
}

#[test]
fn a_request_changes_so_much_and_no_more() {
    let mut driver = Driver::with_brokers(1);
    driver.create("t", 1, 1).unwrap();
    let before = driver.log.len();
    let changes = |count: usize| {
        let names = ["retention.ms", "segment.ms"].into_iter();
        let mut resources = vec![(ConfigResource::topic("t"), names.map(|name| set(name, "9")).collect::<Vec<_>>())];
        resources.extend((2..count).map(|index| (ConfigResource::topic(format!("t{index}")), Vec::new())));
        resources
    };
    let outcome = driver.controller.incremental_alter_configs(&changes(20_000), false);
    assert_eq!(outcome.records.len(), 2, "refused resources do not count");
    assert_eq!(driver.log.len(), before);
    for index in 0..4000 {
        driver.create(&format!("n{index}"), 1, 1).unwrap();
    }
    let three = |index| {
        let names = ["retention.ms", "segment.ms", "segment.jitter.ms"].into_iter();
        (ConfigResource::topic(format!("n{index}")), names.map(|name| set(name, "9")).collect())
    };
    let resources: Vec<_> = (0..3400).map(three).collect();
    let outcome = driver.controller.incremental_alter_configs(&resources, false);
    assert!(outcome.records.is_empty());
    assert_refused(
        outcome.response.into_iter().next().unwrap(),
        ErrorCode::PolicyViolation,
        "Unable to perform excessively large batch operation.",
    );
}

#[test]
fn topics_that_override_what_changed_are_shared() {
    let mut driver = Driver::with_brokers(1);
    driver.create_with("own", 1, 1, &[("retention.ms", "5")]).unwrap();
    driver.create("t", 1, 1).unwrap();
    let before = driver.controller.image().clone();
    driver.alter(BROKER, &[set("log.retention.ms", "9")]).unwrap();
    let after = driver.controller.image();
    assert!(Arc::ptr_eq(before.topic("own").unwrap(), after.topic("own").unwrap()));
    assert_eq!(after.topic("t").unwrap().log_config.retention_ms, Some(9));
    assert!(Arc::ptr_eq(&after.topic("t").unwrap().log_config, after.config.log_config()));
}

#[test]
fn a_settings_value_that_another_version_wrote_is_refused_at_replay() {
    let mut driver = Driver::with_brokers(1);
    let record =
        MetadataRecord::BrokerConfig { broker: None, name: "log.retention.ms".into(), value: Some("soon".into()) };
    let error = driver.controller.replay(&[record], driver.log.len() as Offset).unwrap_err();
    assert!(error.to_string().contains("Invalid value soon for configuration log.retention.ms"), "{error}");
}

#[test]
fn the_preferred_replica_leads_again_once_it_is_in_sync() {
    let mut driver = Driver::with_brokers(3);
    let replicas = vec![BrokerId(1), BrokerId(2), BrokerId(3)];
    let assigned = CreatableTopic { assignments: vec![(0, replicas)], ..topic("t", -1, -1, &[]) };
    let outcome = driver.controller.create_topics(vec![assigned], false);
    driver.commit(outcome).remove(0).unwrap();
    assert_eq!(driver.partition("t").leader, BrokerId(1));
    let needed = |result: Result<(), Error>| result.unwrap_err().code();
    assert_eq!(needed(driver.elect(ElectionType::Preferred, ("t", 0))), ErrorCode::ElectionNotNeeded);
    // A restart of the leader: another leads, and it is out of sync.
    driver.start_broker(1);
    assert_eq!(driver.partition("t").leader, BrokerId(2));
    let late = driver.elect(ElectionType::Preferred, ("t", 0)).unwrap_err();
    assert_eq!(late.code(), ErrorCode::PreferredLeaderNotAvailable);
    assert_eq!(late.topic_partition(), Some(&("t", 0).into()));
    let image = driver.controller.image().clone();
    let (topic, current) = (image.topic("t").unwrap(), driver.partition("t"));
    let request = AlterPartition {
        broker_id: BrokerId(2),
        broker_epoch: driver.epoch_of(2),
        topic_id: topic.id,
        partition: 0,
        leader_epoch: current.leader_epoch,
        partition_epoch: current.partition_epoch,
        new_isr: [2, 3, 1].map(|id| (BrokerId(id), -1)).into(),
    };
    driver.alter_partition(&request).unwrap();
    let all = driver.controller.elect_leaders(ElectionType::Preferred, None);
    let (partition, result) = driver.commit(all).remove(0);
    assert_eq!((partition, result.is_ok()), (("t", 0).into(), true));
    let elected = driver.partition("t");
    assert_eq!((elected.leader, elected.leader_epoch), (BrokerId(1), LeaderEpoch(current.leader_epoch.0 + 1)));
    assert!(driver.controller.elect_leaders(ElectionType::Preferred, None).response.is_empty());
}

#[test]
fn an_unclean_election_takes_who_is_there() {
    let mut driver = Driver::with_brokers(2);
    let assigned = CreatableTopic { assignments: vec![(0, vec![BrokerId(1), BrokerId(2)])], ..topic("t", -1, -1, &[]) };
    let outcome = driver.controller.create_topics(vec![assigned], false);
    driver.commit(outcome).remove(0).unwrap();
    driver.shrink(2);
    let needed = driver.elect(ElectionType::Unclean, ("t", 0)).unwrap_err();
    assert_eq!(needed.code(), ErrorCode::ElectionNotNeeded);
    // The last in-sync replica stops: the partition waits for it.
    driver.register(1);
    assert_eq!(driver.partition("t").leader, BrokerId::NONE);
    let late = driver.elect(ElectionType::Preferred, ("t", 0)).unwrap_err();
    assert_eq!(late.code(), ErrorCode::PreferredLeaderNotAvailable);
    // Named twice, elected once.
    let twice = driver.controller.elect_leaders(ElectionType::Unclean, Some(vec![("t", 0).into(), ("t", 0).into()]));
    assert_eq!(twice.records.len(), 1);
    assert_eq!(driver.commit(twice).len(), 2);
    let elected = driver.partition("t");
    assert_eq!((elected.leader, elected.isr), (BrokerId(2), vec![BrokerId(2)]));
    driver.register(2);
    let nobody = driver.elect(ElectionType::Unclean, ("t", 0)).unwrap_err();
    assert_eq!(nobody.code(), ErrorCode::EligibleLeadersNotAvailable);
}

#[test]
fn assignments_are_as_many_as_those_before() {
    let mut driver = Driver::with_brokers(2);
    let both = || vec![BrokerId(2), BrokerId(1)];
    let uneven = vec![(0, both()), (1, vec![BrokerId(1)])];
    let outcome =
        driver.controller.create_topics(vec![CreatableTopic { assignments: uneven, ..topic("t", -1, -1, &[]) }], false);
    let message = "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent \
                   with previous partitions, which have 2 replica(s).";
    assert_refused(driver.commit(outcome).remove(0), ErrorCode::InvalidReplicaAssignment, message);
    driver.register(2);
    let fenced = vec![(0, vec![BrokerId(2)])];
    let outcome =
        driver.controller.create_topics(vec![CreatableTopic { assignments: fenced, ..topic("t", -1, -1, &[]) }], false);
    assert_refused(
        driver.commit(outcome).remove(0),
        ErrorCode::InvalidReplicaAssignment,
        "All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.",
    );
    let outcome = driver
        .controller
        .create_topics(vec![CreatableTopic { assignments: vec![(0, both())], ..topic("t", -1, -1, &[]) }], false);
    let created = driver.commit(outcome).remove(0).unwrap();
    let [partition] = &created.partitions[..] else { panic!("{created:?}") };
    assert_eq!((&partition.replicas, &partition.isr, partition.leader), (&both(), &vec![BrokerId(1)], BrokerId(1)));
}

/// Symptom: creating topics one by one took time in the square of their number, because each image copied all names and
/// topics of the one before. Now an image shares all but a few chunks with the next.
#[test]
fn a_topic_more_copies_a_few_chunks() {
    let mut driver = Driver::with_brokers(1);
    let mut copied = 0;
    for index in 0..3000 {
        let before = driver.controller.image().clone();
        driver.create(&format!("topic_{index}"), 1, 1).unwrap();
        let after = driver.controller.image();
        copied += before.topics.unshared(&after.topics).1.len();
        copied += before.topic_names.unshared(&after.topic_names).1.len();
        copied += before.collidable.unshared(&after.collidable).1.len();
    }
    assert!(copied <= 3000 * 3 * 129, "{copied} entries were copied");
}
