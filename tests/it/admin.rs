//! The administrator's client: every method, and Kafka's error for whatever does not fit.

use std::time::Duration;

use brokerless::admin::{GroupState, OffsetSpec};
use brokerless::types::{BrokerId, CompressionType, IsolationLevel, LeaderEpoch, TimestampType, TopicId};
use brokerless::{
    Admin, AutoOffsetReset, Cluster, ConsumerConfig, Error, ErrorCode, NewTopic, ProducerConfig, ProducerRecord,
    TopicConfig, TopicPartition,
};

fn start() -> (Cluster, Admin) {
    let cluster = Cluster::in_memory();
    let admin = cluster.admin();
    (cluster, admin)
}

async fn start_with(property: &str, value: &str) -> Admin {
    Cluster::builder().broker_property(property, value).start().await.unwrap().admin()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(message), "{error}");
}

/// Appends one batch a timestamp.
async fn produce(cluster: &Cluster, topic: &str, partition: i32, timestamps: &[i64]) {
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for timestamp in timestamps {
        let record = ProducerRecord::to(topic).partition(partition).timestamp(*timestamp).value("v");
        producer.send(record).await.unwrap().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_created_described_and_listed() {
    let (_cluster, admin) = start();
    let topic = NewTopic::new("orders").partitions(3).replication_factor(1).config("retention.ms", "1000");
    let created = admin.create_topic(topic).await.unwrap();
    assert_eq!((created.name(), created.is_internal(), created.replication_factor()), ("orders", false, 1));
    assert_eq!(created.configs().collect::<Vec<_>>(), [("retention.ms", "1000")]);
    assert_eq!(admin.describe_topic("orders").await.unwrap(), created);
    assert_eq!(admin.describe_topic_by_id(created.topic_id()).await.unwrap(), created);
    for (index, partition) in created.partitions().enumerate() {
        assert_eq!(partition.partition(), index as i32);
        assert_eq!((partition.leader(), partition.leader_epoch()), (Some(BrokerId(1)), LeaderEpoch(0)));
        assert_eq!((partition.replicas(), partition.isr()), (&[BrokerId(1)][..], &[BrokerId(1)][..]));
    }
    let listed = admin.list_topics().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name(), listed[0].topic_id()), ("orders", created.topic_id()));
}

#[tokio::test(start_paused = true)]
async fn defaults_come_from_the_broker() {
    let (_cluster, admin) = start();
    assert_eq!(admin.create_topic("one").await.unwrap().partitions().len(), 1);
    let admin = start_with("num.partitions", "4").await;
    assert_eq!(admin.create_topic("four").await.unwrap().partitions().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_each_on_its_own() {
    let (_cluster, admin) = start();
    let topics = ["a", "b", "..", "a"].map(NewTopic::new);
    let mut answers = admin.create_topics(topics).await;
    assert_refused(answers.remove(3), ErrorCode::InvalidRequest, "Duplicate topic name.");
    assert_refused(answers.remove(2), ErrorCode::InvalidTopic, "'..' is not allowed");
    assert_eq!(answers.remove(1).unwrap().name(), "b");
    assert_refused(answers.remove(0), ErrorCode::InvalidRequest, "Duplicate topic name.");
    let names: Vec<_> = admin.list_topics().await.unwrap().iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(names, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn validating_creates_nothing() {
    let (_cluster, admin) = start();
    let valid = admin.validate_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    assert_eq!(valid.partitions().len(), 2);
    assert!(admin.list_topics().await.unwrap().is_empty());
    let invalid = admin.validate_topic(NewTopic::new("t").partitions(0)).await;
    assert_refused(invalid, ErrorCode::InvalidPartitions, "invalid non-positive value");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_new_topic() {
    let (_cluster, admin) = start();
    admin.create_topic("taken").await.unwrap();
    admin.create_topic("with.dot").await.unwrap();
    let long = "x".repeat(250);
    let not_built = "brokerless has not built this yet";
    let cases = [
        (NewTopic::new("taken"), ErrorCode::TopicAlreadyExists, "Topic 'taken' already exists."),
        (NewTopic::new("with_dot"), ErrorCode::InvalidTopic, "Topic 'with_dot' collides with existing topic: with.dot"),
        (NewTopic::new(""), ErrorCode::InvalidTopic, "Topic name is invalid: the empty string is not allowed"),
        (NewTopic::new("."), ErrorCode::InvalidTopic, "Topic name is invalid: '.' is not allowed"),
        (NewTopic::new(&long), ErrorCode::InvalidTopic, "is longer than the max allowed length 249"),
        (
            NewTopic::new("a b"),
            ErrorCode::InvalidTopic,
            "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (NewTopic::new("t").partitions(0), ErrorCode::InvalidPartitions, "invalid non-positive value"),
        (NewTopic::new("t").partitions(-2), ErrorCode::InvalidPartitions, "invalid non-positive value"),
        (
            NewTopic::new("t").partitions(10_001),
            ErrorCode::PolicyViolation,
            "Excessively large number of partitions per request.",
        ),
        (
            NewTopic::new("t").replication_factor(2),
            ErrorCode::InvalidReplicationFactor,
            "The target replication factor of 2 cannot be reached because only 1 broker(s) are registered.",
        ),
        (
            NewTopic::new("t").replication_factor(0),
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (NewTopic::new("t").config("nope", "1"), ErrorCode::InvalidConfig, "Unknown topic config name: nope"),
        (
            NewTopic::new("t").config("retention.ms", "soon"),
            ErrorCode::InvalidConfig,
            "Invalid value soon for configuration retention.ms: Not a number of type LONG",
        ),
        (
            NewTopic::new("t").config("segment.bytes", "1000"),
            ErrorCode::InvalidConfig,
            "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            NewTopic::new("t").config("min.compaction.lag.ms", "2").config("max.compaction.lag.ms", "1"),
            ErrorCode::InvalidConfig,
            "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)",
        ),
        (NewTopic::new("t").config("unclean.leader.election.enable", "true"), ErrorCode::InvalidConfig, not_built),
        (NewTopic::new("t").config("remote.storage.enable", "true"), ErrorCode::InvalidConfig, "Tiered Storage"),
        (
            NewTopic::new("__cluster_metadata"),
            ErrorCode::InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ];
    for (topic, code, message) in cases {
        assert_refused(admin.create_topic(topic).await, code, message);
    }
    assert_eq!(admin.list_topics().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn typed_settings_reach_the_topic() {
    let (_cluster, admin) = start();
    let config = TopicConfig::new()
        .retention(Duration::from_secs(60))
        .compression(CompressionType::None)
        .timestamp_type(TimestampType::LogAppendTime);
    let created = admin.create_topic(NewTopic::new("t").configs(config)).await.unwrap();
    let expected =
        [("compression.type", "uncompressed"), ("message.timestamp.type", "LogAppendTime"), ("retention.ms", "60000")];
    assert_eq!(created.configs().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn topics_are_deleted_by_name_and_by_id() {
    let (cluster, admin) = start();
    for name in ["a", "b", "c"] {
        admin.create_topic(name).await.unwrap();
    }
    produce(&cluster, "a", 0, &[1]).await;
    let c = admin.describe_topic("c").await.unwrap().topic_id();
    let mut answers = admin.delete_topics(["a", "nope", "b"]).await;
    assert_refused(answers.remove(1), ErrorCode::UnknownTopicOrPartition, "");
    answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    admin.delete_topic_by_id(c).await.unwrap();
    assert_refused(admin.delete_topic_by_id(c).await, ErrorCode::UnknownTopicId, "");
    assert_refused(admin.delete_topic_by_id(TopicId::ZERO).await, ErrorCode::InvalidRequest, "Neither topic name");
    assert_refused(admin.delete_topic("a").await, ErrorCode::UnknownTopicOrPartition, "");
    assert!(admin.list_topics().await.unwrap().is_empty());
    for answer in admin.delete_topics(["x", "x"]).await {
        assert_refused(answer, ErrorCode::InvalidRequest, "Duplicate topic name.");
    }
    let offsets = admin.list_offsets([(("a", 0), OffsetSpec::Latest)], IsolationLevel::ReadUncommitted).await;
    assert_refused(offsets.into_iter().next().unwrap(), ErrorCode::UnknownTopicOrPartition, "a-0");
}

#[tokio::test(start_paused = true)]
async fn deletion_can_be_disabled() {
    let admin = start_with("delete.topic.enable", "false").await;
    admin.create_topic("t").await.unwrap();
    assert_refused(admin.delete_topic("t").await, ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled.");
    admin.describe_topic("t").await.unwrap();
}

/// Invariant 52, as far as ids go: the old id does not name the new topic.
#[tokio::test(start_paused = true)]
async fn invariant_52_a_topic_created_again_has_a_fresh_id() {
    let (_cluster, admin) = start();
    let first = admin.create_topic("t").await.unwrap().topic_id();
    admin.delete_topic("t").await.unwrap();
    let second = admin.create_topic("t").await.unwrap().topic_id();
    assert_ne!(first, second);
    assert_refused(admin.describe_topic_by_id(first).await, ErrorCode::UnknownTopicId, "");
    assert_refused(admin.delete_topic_by_id(first).await, ErrorCode::UnknownTopicId, "");
    assert_eq!(admin.describe_topic("t").await.unwrap().topic_id(), second);
}

#[tokio::test(start_paused = true)]
async fn unknown_and_impossible_names_are_told_apart() {
    let (_cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    let mut answers = admin.describe_topics(["t", "u", "not a name"]).await;
    assert_refused(answers.remove(2), ErrorCode::InvalidTopic, "Topic name is invalid");
    assert_refused(answers.remove(1), ErrorCode::UnknownTopicOrPartition, "topic u");
    assert_eq!(answers.remove(0).unwrap().name(), "t");
}

#[tokio::test(start_paused = true)]
async fn partitions_are_added_and_usable_at_once() {
    let (cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    produce(&cluster, "t", 0, &[1]).await;
    let grown = admin.create_partitions("t", 3).await.unwrap();
    assert_eq!(grown.partitions().len(), 3);
    assert_eq!(admin.describe_topic("t").await.unwrap(), grown);
    produce(&cluster, "t", 2, &[1]).await;
    let latest = [0, 1, 2].map(|partition| (("t", partition), OffsetSpec::Latest));
    let ends: Vec<_> = admin
        .list_offsets(latest, IsolationLevel::ReadUncommitted)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().offset())
        .collect();
    assert_eq!(ends, [Some(1), Some(0), Some(1)]);
    assert_refused(
        admin.create_partitions("t", 3).await,
        ErrorCode::InvalidPartitions,
        "Topic already has 3 partition(s).",
    );
    assert_refused(
        admin.create_partitions("t", 2).await,
        ErrorCode::InvalidPartitions,
        "The topic t currently has 3 partition(s); 2 would not be an increase.",
    );
    assert_refused(admin.create_partitions("u", 3).await, ErrorCode::UnknownTopicOrPartition, "");
    assert_refused(admin.create_partitions("t", 20_000).await, ErrorCode::PolicyViolation, "Excessively large");
}

#[tokio::test(start_paused = true)]
async fn offsets_are_listed_by_what_is_asked_for() {
    let (cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    produce(&cluster, "t", 0, &[100, 300, 200, 300]).await;
    let specs = [
        OffsetSpec::Earliest,
        OffsetSpec::Latest,
        OffsetSpec::MaxTimestamp,
        OffsetSpec::ForTimestamp(0),
        OffsetSpec::ForTimestamp(101),
        OffsetSpec::ForTimestamp(300),
        OffsetSpec::ForTimestamp(301),
    ];
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let found: Vec<_> = admin
            .list_offsets(specs.map(|spec| (("t", 0), spec)), isolation)
            .await
            .into_iter()
            .map(Result::unwrap)
            .map(|found| (found.offset(), found.timestamp()))
            .collect();
        let expected = [
            (Some(0), None),
            (Some(4), None),
            (Some(1), Some(300)),
            (Some(0), Some(100)),
            (Some(1), Some(300)),
            (Some(1), Some(300)),
            (None, None),
        ];
        assert_eq!(found, expected);
    }
    let refused = [
        (TopicPartition::new("t", 1), OffsetSpec::Latest),
        (TopicPartition::new("u", 0), OffsetSpec::Earliest),
        (TopicPartition::new("t", 0), OffsetSpec::ForTimestamp(-7)),
    ];
    let mut answers = admin.list_offsets(refused, IsolationLevel::ReadUncommitted).await;
    assert_refused(answers.remove(2), ErrorCode::UnsupportedVersion, "the timestamp -7");
    assert_refused(answers.remove(1), ErrorCode::UnknownTopicOrPartition, "u-0");
    let error = answers.remove(0).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(error.topic_partition(), Some(&TopicPartition::new("t", 1)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_partition_has_bounds_and_no_record() {
    let (_cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    let specs = [OffsetSpec::Earliest, OffsetSpec::Latest, OffsetSpec::MaxTimestamp, OffsetSpec::ForTimestamp(0)];
    let answers = admin.list_offsets(specs.map(|spec| (("t", 0), spec)), IsolationLevel::ReadUncommitted).await;
    let offsets: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().offset()).collect();
    assert_eq!(offsets, [Some(0), Some(0), None, None]);
}

#[tokio::test(start_paused = true)]
async fn records_below_an_offset_are_deleted() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    produce(&cluster, "t", 0, &[1, 2, 3, 4]).await;
    produce(&cluster, "t", 1, &[1, 2]).await;
    let deleted = admin.delete_records([(("t", 0), 3), (("t", 1), -1)]).await;
    let low: Vec<_> = deleted.into_iter().map(|answer| answer.unwrap().low_watermark()).collect();
    assert_eq!(low, [3, 2]);
    let again = admin.delete_records([(("t", 0), 1)]).await.remove(0).unwrap();
    assert_eq!((again.low_watermark(), again.topic_partition()), (3, &TopicPartition::new("t", 0)));
    let specs = [(("t", 0), OffsetSpec::Earliest), (("t", 0), OffsetSpec::Latest), (("t", 1), OffsetSpec::Earliest)];
    let bounds = admin.list_offsets(specs, IsolationLevel::ReadUncommitted).await;
    let bounds: Vec<_> = bounds.into_iter().map(|answer| answer.unwrap().offset().unwrap()).collect();
    assert_eq!(bounds, [3, 4, 2]);

    let mut answers = admin.delete_records([(("t", 0), 5), (("t", 7), 0), (("u", 0), 0), (("t", 0), -2)]).await;
    assert_refused(answers.remove(3), ErrorCode::OffsetOutOfRange, "t-0");
    assert_refused(answers.remove(2), ErrorCode::UnknownTopicOrPartition, "u-0");
    assert_refused(answers.remove(1), ErrorCode::UnknownTopicOrPartition, "t-7");
    assert_refused(answers.remove(0), ErrorCode::OffsetOutOfRange, "t-0");
}

#[tokio::test(start_paused = true)]
async fn records_are_not_deleted_against_the_policy() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").config("cleanup.policy", "")).await.unwrap();
    produce(&cluster, "t", 0, &[1]).await;
    let answer = admin.delete_records([(("t", 0), 1)]).await.remove(0);
    assert_refused(answer, ErrorCode::PolicyViolation, "t-0");
    let answer = admin.delete_records([(("__consumer_offsets", 0), 0)]).await.remove(0);
    assert_refused(answer, ErrorCode::InvalidTopic, "Cannot delete records of internal topic __consumer_offsets");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_listed_described_and_deleted() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("orders").partitions(2)).await.unwrap();
    produce(&cluster, "orders", 0, &[1]).await;
    assert!(admin.list_groups().await.unwrap().is_empty());

    let config = ConsumerConfig::group("billing").client_id("till-1").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    while consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty() {}
    consumer.commit().await.unwrap();

    let listed = admin.list_groups().await.unwrap();
    assert_eq!(listed.len(), 1);
    let listed = &listed[0];
    assert_eq!(
        (listed.group_id(), listed.protocol_type(), listed.state()),
        ("billing", "consumer", GroupState::Stable)
    );
    let group = admin.describe_group("billing").await.unwrap();
    assert_eq!((group.group_id(), group.state()), ("billing", GroupState::Stable));
    assert_eq!((group.protocol_type(), group.protocol()), ("consumer", "range"));
    assert_eq!(group.coordinator(), BrokerId(1));
    assert_eq!(group.members().len(), 1);
    let member = &group.members()[0];
    assert_eq!((member.client_id(), member.group_instance_id()), ("till-1", None));
    assert!(member.member_id().starts_with("till-1-"), "{}", member.member_id());
    assert_eq!(member.subscription(), ["orders"]);
    assert_eq!(member.assignment(), [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)]);

    assert_refused(admin.delete_group("billing").await, ErrorCode::NonEmptyGroup, "group billing");
    consumer.close().await.unwrap();
    let group = admin.describe_group("billing").await.unwrap();
    assert_eq!((group.state(), group.members().len()), (GroupState::Empty, 0));
    admin.delete_group("billing").await.unwrap();
    assert!(admin.list_groups().await.unwrap().is_empty());
    assert_refused(admin.describe_group("billing").await, ErrorCode::GroupIdNotFound, "Group billing not found.");
}

#[tokio::test(start_paused = true)]
async fn groups_that_are_not_there() {
    let (_cluster, admin) = start();
    for answer in admin.describe_groups(["a", "b"]).await {
        assert_refused(answer, ErrorCode::GroupIdNotFound, "not found.");
    }
    for answer in admin.delete_groups(["a", "b"]).await {
        assert_refused(answer, ErrorCode::GroupIdNotFound, "not found.");
    }
    assert_refused(admin.describe_group("").await, ErrorCode::InvalidGroupId, "''");
    assert_refused(admin.delete_group("").await, ErrorCode::InvalidGroupId, "''");
}

#[tokio::test(start_paused = true)]
async fn kafkas_own_topics_are_listed_when_asked_for() {
    let (cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    let mut consumer = cluster.consumer(ConsumerConfig::group("g")).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(Duration::from_secs(10)).await.unwrap();
    let names = |topics: Vec<brokerless::admin::TopicListing>| {
        topics.iter().map(|topic| (topic.name().to_owned(), topic.is_internal())).collect::<Vec<_>>()
    };
    assert_eq!(names(admin.list_topics().await.unwrap()), [("t".to_owned(), false)]);
    let all = [("__consumer_offsets".to_owned(), true), ("t".to_owned(), false)];
    assert_eq!(names(admin.list_all_topics().await.unwrap()), all);
    let offsets = admin.describe_topic("__consumer_offsets").await.unwrap();
    assert_eq!(offsets.partitions().len(), 50);
    assert!(offsets.configs().any(|config| config == ("cleanup.policy", "compact")));
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_described() {
    let (cluster, admin) = start();
    let description = admin.describe_cluster().await.unwrap();
    assert_eq!(description.cluster_id(), cluster.cluster_id());
    assert_eq!(description.cluster_id().len(), 22);
    assert_eq!(description.controller(), Some(BrokerId(1)));
    let nodes: Vec<_> = description.nodes().iter().map(|node| (node.id(), node.rack())).collect();
    assert_eq!(nodes, [(BrokerId(1), None)]);
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_cluster_refuses_everything() {
    let (cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    cluster.shutdown().await;
    assert!(admin.create_topic("u").await.unwrap_err().is_closed());
    assert!(admin.delete_topic("t").await.unwrap_err().is_closed());
    assert!(admin.create_partitions("t", 2).await.unwrap_err().is_closed());
    assert!(admin.list_topics().await.unwrap_err().is_closed());
    assert!(admin.describe_topic("t").await.unwrap_err().is_closed());
    assert!(admin.list_groups().await.unwrap_err().is_closed());
    assert!(admin.describe_group("g").await.unwrap_err().is_closed());
    assert!(admin.delete_group("g").await.unwrap_err().is_closed());
    assert!(admin.describe_cluster().await.unwrap_err().is_closed());
    let specs = [(("t", 0), OffsetSpec::Latest)];
    let offsets = admin.list_offsets(specs, IsolationLevel::ReadUncommitted).await.remove(0);
    assert!(offsets.unwrap_err().is_closed());
    assert!(admin.delete_records([(("t", 0), 0)]).await.remove(0).unwrap_err().is_closed());
}
