//! Where partitions are, who leads them, what they hold: assignments, elections, special offsets, sizes, producers. The
//! answers are those of a Kafka 4.3.0 that was asked the same.

use std::time::Duration;

use brokerless::admin::{ElectionType, NewPartitions, OffsetSpec};
use brokerless::types::{BrokerId, IsolationLevel, LeaderEpoch, ProducerEpoch};
use brokerless::{
    Admin, Cluster, ConsumerConfig, Error, ErrorCode, NewTopic, ProducerConfig, ProducerRecord, TopicPartition,
};

fn start() -> (Cluster, Admin) {
    let cluster = Cluster::in_memory();
    let admin = cluster.admin();
    (cluster, admin)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(message), "{error}");
}

/// One batch a timestamp, to partition 0 of `t`.
async fn produce(cluster: &Cluster, timestamps: &[i64]) {
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for timestamp in timestamps {
        let record = ProducerRecord::to("t").partition(0).timestamp(*timestamp).value("v");
        producer.send(record).await.unwrap().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_created_where_it_is_assigned() {
    let (_cluster, admin) = start();
    let topic = NewTopic::new("t").assignments([(1, [1]), (0, [1])]);
    let described = admin.create_topic(topic.clone()).await.unwrap();
    assert_eq!((described.partitions().len(), described.replication_factor()), (2, 1));
    assert_eq!(described.partitions().next().unwrap().replicas(), [BrokerId(1)]);
    // No pair at all leaves it to the cluster.
    let none: [(i32, [i32; 1]); 0] = [];
    assert_eq!(admin.create_topic(NewTopic::new("u").assignments(none)).await.unwrap().partitions().len(), 1);
    assert_refused(admin.create_topic(topic).await, ErrorCode::TopicAlreadyExists, "Topic 't' already exists.");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_an_assignment() {
    let (_cluster, admin) = start();
    let new = || NewTopic::new("t");
    let no_such = "The manual partition assignment includes broker 2, but no such broker is registered.";
    let invalid = ErrorCode::InvalidReplicaAssignment;
    for (topic, code, message) in [
        (
            new().assignments([(0, Vec::<i32>::new())]),
            invalid,
            "The manual partition assignment includes an empty replica list.",
        ),
        (new().assignments([(0, [2])]), invalid, no_such),
        (new().assignments([(0, [1, 2])]), invalid, no_such),
        (
            new().assignments([(0, [1, 1])]),
            invalid,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            new().assignments([(0, [1]), (0, [1])]),
            invalid,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            new().assignments([(0, [1]), (2, [1])]),
            invalid,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (new().assignments([(-1, [1])]), invalid, "partitions should be a consecutive 0-based integer sequence"),
        (
            new().assignments([(0, [1])]).replication_factor(1),
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            new().assignments([(0, [1])]).partitions(1),
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (new().assignments([(0, [2])]).config("x", "y"), ErrorCode::InvalidConfig, "Unknown topic config name: x"),
    ] {
        assert_refused(admin.create_topic(topic.clone()).await, code, message);
        assert_refused(admin.validate_topic(topic).await, code, message);
    }
    assert!(admin.list_topics().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_topic_grows_where_it_is_assigned() {
    let (_cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    let to = |total| NewPartitions::increase_to(total);
    let grown = admin.create_partitions("t", to(4).assignments([[1], [1]])).await.unwrap();
    assert_eq!(grown.partitions().len(), 4);
    let invalid = ErrorCode::InvalidReplicaAssignment;
    let few = "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.";
    for (partitions, code, message) in [
        (to(6).assignments([[1]]), invalid, few),
        (
            to(5).assignments([[1], [1]]),
            invalid,
            "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.",
        ),
        (
            to(5).assignments([[2]]),
            invalid,
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (
            to(5).assignments([Vec::<i32>::new()]),
            invalid,
            "The manual partition assignment includes an empty replica list.",
        ),
        (to(5).assignments([[1, 1]]), invalid, "The manual partition assignment includes the broker 1 more than once."),
        (to(4).assignments([[1]]), ErrorCode::InvalidPartitions, "Topic already has 4 partition(s)."),
        (
            to(-1),
            ErrorCode::InvalidPartitions,
            "The topic t currently has 4 partition(s); -1 would not be an increase.",
        ),
    ] {
        assert_refused(admin.create_partitions("t", partitions.clone()).await, code, message);
        assert_refused(admin.validate_partitions("t", partitions).await, code, message);
    }
    assert_eq!(admin.validate_partitions("t", 9).await.unwrap().partitions().len(), 9);
    assert_eq!(admin.describe_topic("t").await.unwrap(), grown);
}

#[tokio::test(start_paused = true)]
async fn topics_are_validated_as_one_request() {
    let (_cluster, admin) = start();
    let mut answers = admin.validate_topics(["a", "b", "b"].map(NewTopic::new)).await;
    assert_refused(answers.remove(2), ErrorCode::InvalidRequest, "Duplicate topic name.");
    assert_eq!(answers.remove(0).unwrap().name(), "a");
    assert!(admin.list_topics().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_holds_so_many_partitions() {
    let cluster = Cluster::builder().max_partitions(5).start().await.unwrap();
    let admin = cluster.admin();
    admin.create_topic(NewTopic::new("t").partitions(3)).await.unwrap();
    let full = "3 more partitions would exceed the 5 that a cluster may hold (it has 3).";
    assert_refused(admin.create_topic(NewTopic::new("u").partitions(3)).await, ErrorCode::PolicyViolation, full);
    assert_refused(admin.create_partitions("t", 6).await, ErrorCode::PolicyViolation, full);
    let assigned = NewTopic::new("u").assignments((0..3).map(|index| (index, [1])));
    assert_refused(admin.create_topic(assigned).await, ErrorCode::PolicyViolation, full);
    admin.create_partitions("t", 5).await.unwrap();
    admin.delete_topic("t").await.unwrap();
    admin.create_topic(NewTopic::new("u").partitions(5)).await.unwrap();
    // Kafka's own topics are beside them: a full cluster has groups.
    let mut consumer = cluster.consumer(ConsumerConfig::group("g")).unwrap();
    consumer.subscribe(["u"]).unwrap();
    consumer.poll(Duration::from_secs(10)).await.unwrap();
    assert_eq!(consumer.assignment().len(), 5);
    assert_refused(
        admin.create_partitions("u", 6).await,
        ErrorCode::PolicyViolation,
        "1 more partitions would exceed the 5 that a cluster may hold (it has 5).",
    );
}

#[tokio::test(start_paused = true)]
async fn one_request_creates_ten_thousand_topics_with_long_names() {
    let (_cluster, admin) = start();
    let name = |index: usize| format!("a-topic-with-a-name-of-some-length-{index:05}");
    let topics = (0..10_000).map(|index| NewTopic::new(name(index)).config("retention.ms", "60000"));
    assert!(admin.create_topics(topics).await.into_iter().all(|created| created.is_ok()));
    assert_eq!(admin.list_topics().await.unwrap().len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn with_one_broker_no_election_is_needed() {
    let (_cluster, admin) = start();
    admin.create_topic("t").await.unwrap();
    for election in [ElectionType::Preferred, ElectionType::Unclean] {
        let partitions = [("t", 0), ("t", 99), ("nope", 0), ("a b", 0)];
        let mut answers = admin.elect_leaders(election, partitions).await;
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert_refused(answers.remove(3), unknown, "No such topic as a b");
        assert_refused(answers.remove(2), unknown, "No such topic as nope");
        assert_refused(answers.remove(1), unknown, "No such partition as t-99");
        let error = answers.remove(0).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ElectionNotNeeded);
        assert_eq!(error.topic_partition(), Some(&TopicPartition::new("t", 0)));
        assert!(admin.elect_all_leaders(election).await.unwrap().is_empty());
        assert!(admin.elect_leaders(election, Vec::<TopicPartition>::new()).await.is_empty());
    }
    let epoch = admin.describe_topic("t").await.unwrap().partitions().next().unwrap().leader_epoch();
    assert_eq!(epoch, LeaderEpoch(0));
}

#[tokio::test(start_paused = true)]
async fn special_offsets_are_listed() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    produce(&cluster, &[1000, 3000, 2000, 3000]).await;
    let specs = [
        OffsetSpec::Earliest,
        OffsetSpec::Latest,
        OffsetSpec::MaxTimestamp,
        OffsetSpec::EarliestLocal,
        OffsetSpec::LatestTiered,
        OffsetSpec::EarliestPendingUpload,
        OffsetSpec::ForTimestamp(9999),
    ];
    let list = async |partition: i32, isolation| -> Vec<_> {
        let answers = admin.list_offsets(specs.map(|spec| (("t", partition), spec)), isolation).await;
        let found = answers.into_iter().map(Result::unwrap);
        found.map(|found| (found.offset(), found.timestamp(), found.leader_epoch())).collect()
    };
    let epoch = Some(LeaderEpoch(0));
    let nothing = (None, None, None);
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let (start, end) = ((Some(0), None, epoch), (Some(4), None, epoch));
        let largest = (Some(1), Some(3000), epoch);
        assert_eq!(list(0, isolation).await, [start, end, largest, start, nothing, nothing, nothing]);
        assert_eq!(list(1, isolation).await, [start, start, nothing, start, nothing, nothing, nothing]);
    }
    // The numbers that the protocol has for them.
    for (number, spec) in [-2, -1, -3, -4, -5, -6].into_iter().zip(specs) {
        let both = [(("t", 0), OffsetSpec::ForTimestamp(number)), (("t", 0), spec)];
        let mut found = admin.list_offsets(both, IsolationLevel::ReadUncommitted).await;
        assert_eq!(found.remove(1).unwrap(), found.remove(0).unwrap(), "{number}");
    }
    let below = admin.list_offsets([(("t", 0), OffsetSpec::ForTimestamp(-7))], IsolationLevel::ReadUncommitted).await;
    assert_refused(below.into_iter().next().unwrap(), ErrorCode::UnsupportedVersion, "the timestamp -7");

    admin.delete_records([(("t", 0), 2)]).await.remove(0).unwrap();
    let start = (Some(2), None, epoch);
    let after = list(0, IsolationLevel::ReadUncommitted).await;
    assert_eq!((after[0], after[3]), (start, start));
}

#[tokio::test(start_paused = true)]
async fn log_sizes_are_described() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    produce(&cluster, &[1, 2]).await;
    let mut answers = admin.describe_log_dirs([1, 2]).await;
    assert_refused(answers.remove(1), ErrorCode::BrokerNotAvailable, "there is no broker 2");
    let dirs = answers.remove(0).unwrap();
    assert_eq!(dirs.len(), 1);
    assert_eq!((dirs[0].log_dir(), dirs[0].total_bytes(), dirs[0].usable_bytes()), ("memory", None, None));
    let replicas: Vec<_> = dirs[0].replicas().iter().map(|it| it.topic_partition().to_string()).collect();
    assert_eq!(replicas, ["t-0", "t-1"]);
    // Two batches: 61 bytes of header, and a record of 8 (length, attributes, two deltas, no key, a value of 1 byte, no
    // headers). Kafka says 69 for each, too.
    let written = dirs[0].replica(("t", 0)).unwrap();
    assert_eq!((written.size(), written.offset_lag(), written.is_future()), (138, 0, false));
    assert_eq!(dirs[0].replica(("t", 1)).unwrap().size(), 0);
    assert!(dirs[0].replica(("u", 0)).is_none());
}

#[tokio::test(start_paused = true)]
async fn producers_are_described() {
    let (cluster, admin) = start();
    admin.create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    produce(&cluster, &[1000, 3000, 2000, 3000]).await;
    produce(&cluster, &[500]).await;
    let partitions = [("t", 0), ("t", 1), ("t", 2), ("nope", 0), ("a b", 0)];
    let mut answers = admin.describe_producers(partitions).await;
    assert_refused(answers.remove(4), ErrorCode::InvalidTopic, "Topic name is invalid");
    assert_refused(answers.remove(3), ErrorCode::UnknownTopicOrPartition, "nope-0");
    assert_refused(answers.remove(2), ErrorCode::UnknownTopicOrPartition, "t-2");
    assert!(answers.remove(1).unwrap().is_empty());
    let producers = answers.remove(0).unwrap();
    let [first, second] = &producers[..] else { panic!("{producers:?}") };
    assert!(first.producer_id() < second.producer_id());
    assert_eq!((first.producer_epoch(), first.last_sequence(), first.last_timestamp()), (ProducerEpoch(0), 3, 3000));
    assert_eq!((second.producer_epoch(), second.last_sequence(), second.last_timestamp()), (ProducerEpoch(0), 0, 500));
    assert_eq!((first.coordinator_epoch(), first.current_transaction_start_offset()), (None, None));
    // Without idempotence there is nothing to remember.
    let plain = ProducerConfig::from_properties([("enable.idempotence", "false"), ("linger.ms", "0")]).unwrap();
    let plain = cluster.producer(plain).unwrap();
    plain.send(ProducerRecord::to("t").partition(1).value("v")).await.unwrap().await.unwrap();
    assert!(admin.describe_producers([("t", 1)]).await.remove(0).unwrap().is_empty());
}
