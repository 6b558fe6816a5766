//! Describing and altering settings: Kafka's answers (those of a 4.3.0, asked the same), and that what is altered is in
//! effect at once.

use std::time::Duration;

use brokerless::admin::{AlterConfigOp, ConfigEntry, ConfigResource, ConfigSource, ConfigType, OffsetSpec};
use brokerless::types::{BrokerId, IsolationLevel};
use brokerless::{Admin, Cluster, Error, ErrorCode, NewTopic, Producer, ProducerConfig, ProducerRecord};

const BROKER: ConfigResource = ConfigResource::Broker(BrokerId(1));
const ALL: ConfigResource = ConfigResource::BrokerDefault;

fn t() -> ConfigResource {
    ConfigResource::topic("t")
}

fn set(name: &str, value: &str) -> AlterConfigOp {
    AlterConfigOp::set(name, value)
}

fn delete(name: &str) -> AlterConfigOp {
    AlterConfigOp::delete(name)
}

/// A cluster with the topic `t`.
async fn start() -> (Cluster, Admin) {
    let cluster = Cluster::in_memory();
    let admin = cluster.admin();
    admin.create_topic("t").await.unwrap();
    (cluster, admin)
}

async fn alter(admin: &Admin, resource: ConfigResource, change: AlterConfigOp) -> Result<(), Error> {
    admin.incremental_alter_configs([(resource, [change])]).await.remove(0)
}

async fn describe(admin: &Admin, resource: ConfigResource) -> Vec<ConfigEntry> {
    admin.describe_configs([resource]).await.remove(0).unwrap()
}

fn find<'a>(entries: &'a [ConfigEntry], name: &str) -> &'a ConfigEntry {
    entries.iter().find(|entry| entry.name() == name).unwrap()
}

/// Value and source, and the synonyms behind.
async fn line(admin: &Admin, resource: ConfigResource, name: &str) -> String {
    let entries = describe(admin, resource).await;
    let entry = find(&entries, name);
    let synonyms = entry.synonyms().iter().map(|it| format!(" {}:{}={}", it.source(), it.name(), it.value()));
    format!("{} {} |{}", entry.value().unwrap_or("null"), entry.source(), synonyms.collect::<String>())
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), format!("{message} [{} ({})]", code.name(), code.as_i16()));
}

async fn send(producer: &Producer, bytes: usize, timestamp: i64) -> Result<i64, Error> {
    let record = ProducerRecord::to("t").value(vec![b'x'; bytes]).timestamp(timestamp);
    Ok(producer.send(record).await.map_err(|error| error.error().clone())?.await?.offset())
}

async fn bounds(admin: &Admin) -> (i64, i64) {
    let specs = [(("t", 0), OffsetSpec::Earliest), (("t", 0), OffsetSpec::Latest)];
    let found = admin.list_offsets(specs, IsolationLevel::ReadUncommitted).await;
    let offsets: Vec<_> = found.into_iter().map(|found| found.unwrap().offset().unwrap()).collect();
    (offsets[0], offsets[1])
}

#[tokio::test(start_paused = true)]
async fn every_setting_of_a_topic_is_described() {
    let (_cluster, admin) = start().await;
    let entries = describe(&admin, t()).await;
    // Kafka's 33, and `brokerless.memory.max.bytes`.
    assert_eq!(entries.len(), 34);
    assert!(entries.is_sorted_by_key(ConfigEntry::name));
    for entry in &entries {
        assert!(!entry.is_read_only() && !entry.is_sensitive());
        // The cluster-wide default that every cluster has since Kafka 4.1.
        assert_eq!(entry.is_default(), entry.name() != "min.insync.replicas", "{}", entry.name());
    }
    for (name, value, kind) in [
        ("cleanup.policy", "delete", ConfigType::List),
        ("compression.type", "producer", ConfigType::String),
        ("max.message.bytes", "1048588", ConfigType::Int),
        ("retention.ms", "604800000", ConfigType::Long),
        ("preallocate", "false", ConfigType::Boolean),
        ("min.cleanable.dirty.ratio", "0.5", ConfigType::Double),
        ("follower.replication.throttled.replicas", "", ConfigType::List),
    ] {
        let entry = find(&entries, name);
        assert_eq!((entry.value(), entry.config_type()), (Some(value), kind), "{name}");
    }
    assert_eq!(admin.describe_topic_config("t").await.unwrap(), entries);
    assert_eq!(
        line(&admin, t(), "min.insync.replicas").await,
        "1 DYNAMIC_DEFAULT_BROKER_CONFIG | DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1 \
         DEFAULT_CONFIG:min.insync.replicas=1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_says_what_can_be_altered() {
    let cluster = Cluster::builder().broker_property("num.partitions", "3").start().await.unwrap();
    let admin = cluster.admin();
    let entries = describe(&admin, BROKER).await;
    assert!(entries.is_sorted_by_key(ConfigEntry::name));
    let partitions = find(&entries, "num.partitions");
    assert_eq!((partitions.value(), partitions.source()), (Some("3"), ConfigSource::StaticBroker));
    assert!(partitions.is_read_only());
    assert_eq!(partitions.synonyms().len(), 2);
    for name in
        ["log.retention.ms", "message.max.bytes", "log.cleaner.min.cleanable.ratio", "producer.id.expiration.ms"]
    {
        assert!(!find(&entries, name).is_read_only(), "{name}");
    }
    for name in ["log.retention.hours", "log.roll.hours", "auto.create.topics.enable", "group.max.size"] {
        assert!(find(&entries, name).is_read_only(), "{name}");
    }
    let defaults = describe(&admin, ALL).await;
    let names: Vec<_> = defaults.iter().map(ConfigEntry::name).collect();
    assert_eq!(names, ["min.insync.replicas"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_settings_cannot_be_described() {
    let (_cluster, admin) = start().await;
    let resources = [
        ConfigResource::topic("nope"),
        ConfigResource::topic("no pe"),
        ConfigResource::topic(""),
        ConfigResource::broker(2),
        ConfigResource::Group("g".into()),
        ConfigResource::ClientMetrics("m".into()),
    ];
    let mut answers = admin.describe_configs(resources).await.into_iter();
    let mut refused = |code, message: &str| assert_refused(answers.next().unwrap(), code, message);
    refused(ErrorCode::UnknownTopicOrPartition, "topic nope: This server does not host this topic-partition.");
    refused(
        ErrorCode::InvalidTopic,
        "Topic name is invalid: 'no pe' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    );
    refused(ErrorCode::InvalidTopic, "Topic name is invalid: the empty string is not allowed");
    refused(ErrorCode::InvalidRequest, "Unexpected broker id, expected 1 or empty string, but received 2");
    let not_built = "brokerless has not built settings of it yet";
    refused(ErrorCode::InvalidRequest, &format!("Unsupported resource type: GROUP: {not_built}"));
    refused(ErrorCode::InvalidRequest, &format!("Unsupported resource type: CLIENT_METRICS: {not_built}"));
}

#[tokio::test(start_paused = true)]
async fn a_topics_settings_are_altered_one_by_one() {
    let (_cluster, admin) = start().await;
    admin.alter_topic_config("t", [set("retention.ms", " 8 "), set("preallocate", "TRUE")]).await.unwrap();
    assert_eq!(line(&admin, t(), "retention.ms").await, "8 DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:retention.ms=8");
    assert_eq!(
        line(&admin, t(), "preallocate").await,
        "true DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:preallocate=true DEFAULT_CONFIG:log.preallocate=false"
    );
    alter(&admin, t(), delete("retention.ms")).await.unwrap();
    assert_eq!(line(&admin, t(), "retention.ms").await, "604800000 DEFAULT_CONFIG |");
    // What is not there can be deleted, even what does not exist; and nothing can be altered.
    alter(&admin, t(), delete("retention.ms")).await.unwrap();
    alter(&admin, t(), delete("nope")).await.unwrap();
    admin.alter_topic_config("t", []).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lists_are_altered_word_by_word() {
    let (_cluster, admin) = start().await;
    let value = async || find(&describe(&admin, t()).await, "cleanup.policy").value().unwrap().to_owned();
    let append = |words: &str| alter(&admin, t(), AlterConfigOp::append("cleanup.policy", words));
    let subtract = |words: &str| alter(&admin, t(), AlterConfigOp::subtract("cleanup.policy", words));
    append("compact").await.unwrap();
    assert_eq!(value().await, "delete,compact");
    subtract("delete").await.unwrap();
    assert_eq!(value().await, "compact");
    subtract("compact").await.unwrap();
    assert_eq!(value().await, "");
    append("compact,compact,delete").await.unwrap();
    assert_eq!(value().await, "compact,delete");
    assert_refused(
        append("drop").await,
        ErrorCode::InvalidConfig,
        "Invalid value drop for configuration cleanup.policy: String must be one of: compact, delete",
    );
    assert_refused(
        append("").await,
        ErrorCode::InvalidConfig,
        "Configuration 'cleanup.policy' values must not be empty.",
    );
    alter(&admin, t(), delete("cleanup.policy")).await.unwrap();
    subtract("compact").await.unwrap();
    assert_eq!(
        line(&admin, t(), "cleanup.policy").await,
        "delete DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:cleanup.policy=delete DEFAULT_CONFIG:log.cleanup.policy=delete"
    );
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_topics_settings() {
    let (_cluster, admin) = start().await;
    let before = describe(&admin, t()).await;
    let topic = ConfigResource::topic;
    let tiered = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                  storage. (brokerless has not built it yet.)";
    for (resource, change, code, message) in [
        (
            t(),
            set("retention.ms", "x"),
            ErrorCode::InvalidConfig,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            t(),
            set("retention.ms", "-2"),
            ErrorCode::InvalidConfig,
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (t(), set("nope", "1"), ErrorCode::InvalidConfig, "Unknown topic config name: nope"),
        (
            t(),
            AlterConfigOp::append("retention.ms", "1"),
            ErrorCode::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            t(),
            AlterConfigOp::subtract("nope", "1"),
            ErrorCode::InvalidConfig,
            "Can't SUBTRACT to key nope because its type is not LIST.",
        ),
        (t(), set("min.compaction.lag.ms", &i64::MAX.to_string()), ErrorCode::InvalidConfig, ""),
        (t(), set("remote.storage.enable", "true"), ErrorCode::InvalidConfig, tiered),
        (
            topic("nope"),
            set("retention.ms", "1"),
            ErrorCode::UnknownTopicOrPartition,
            "The topic 'nope' does not exist.",
        ),
        (
            topic("nope"),
            set("retention.ms", "x"),
            ErrorCode::InvalidConfig,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (topic(""), set("retention.ms", "1"), ErrorCode::InvalidRequest, "Default topic resources are not allowed."),
        (topic(".."), set("retention.ms", "1"), ErrorCode::InvalidTopic, "Topic name is invalid: '..' is not allowed"),
        (
            ConfigResource::Group("g".into()),
            set("consumer.session.timeout.ms", "1"),
            ErrorCode::InvalidRequest,
            "Unknown resource type GROUP: brokerless has not built settings of it yet",
        ),
    ] {
        if message.is_empty() {
            // Equal to the largest `max.compaction.lag.ms`: no conflict.
            alter(&admin, resource, change.clone()).await.unwrap();
            alter(&admin, t(), delete("min.compaction.lag.ms")).await.unwrap();
        } else {
            assert_refused(alter(&admin, resource, change).await, code, message);
        }
    }
    let twice = admin.alter_topic_config("t", [set("retention.ms", "1"), set("retention.ms", "2")]).await;
    assert_refused(twice, ErrorCode::InvalidRequest, "Error due to duplicate config keys");
    let both =
        admin.incremental_alter_configs([(t(), [set("retention.ms", "1")]), (t(), [set("segment.ms", "1")])]).await;
    for answer in both {
        assert_refused(answer, ErrorCode::InvalidRequest, "Each resource must appear at most once.");
    }
    let conflict = [set("min.compaction.lag.ms", "10"), set("max.compaction.lag.ms", "9")];
    assert_refused(
        admin.alter_topic_config("t", conflict).await,
        ErrorCode::InvalidConfig,
        "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (9)",
    );
    let too_long = alter(&admin, t(), set("leader.replication.throttled.replicas", &"0:1,".repeat(8192))).await;
    assert_refused(
        too_long,
        ErrorCode::InvalidConfig,
        "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
    );
    assert_eq!(describe(&admin, t()).await, before);
}

#[tokio::test(start_paused = true)]
async fn each_resource_is_altered_on_its_own() {
    let (_cluster, admin) = start().await;
    admin.create_topic("u").await.unwrap();
    let u = ConfigResource::topic("u");
    let mut answers = admin
        .incremental_alter_configs([
            (t(), vec![set("retention.ms", "1")]),
            (ConfigResource::topic("nope"), vec![set("retention.ms", "1")]),
            // One bad change keeps the others of the same resource back.
            (u.clone(), vec![set("retention.ms", "1"), set("segment.ms", "0")]),
        ])
        .await;
    assert_eq!(answers.remove(2).unwrap_err().code(), ErrorCode::InvalidConfig);
    assert_eq!(answers.remove(1).unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    answers.remove(0).unwrap();
    assert_eq!(find(&describe(&admin, t()).await, "retention.ms").value(), Some("1"));
    assert!(find(&describe(&admin, u).await, "retention.ms").is_default());
}

#[tokio::test(start_paused = true)]
async fn validating_alters_nothing() {
    let (_cluster, admin) = start().await;
    let before = describe(&admin, t()).await;
    let answers = admin
        .validate_alter_configs([(t(), [set("retention.ms", "1")]), (BROKER, [set("log.retention.ms", "1")])])
        .await;
    answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(describe(&admin, t()).await, before);
    let refused = admin.validate_alter_configs([(t(), [set("retention.ms", "x")])]).await.remove(0);
    assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidConfig);
}

#[tokio::test(start_paused = true)]
async fn a_brokers_setting_changes_the_topics_that_do_not_override_it() {
    let (_cluster, admin) = start().await;
    let own = NewTopic::new("own").config("retention.ms", "5");
    admin.create_topic(own).await.unwrap();
    alter(&admin, ALL, set("log.retention.ms", "700000")).await.unwrap();
    alter(&admin, BROKER, set("log.retention.ms", "600000")).await.unwrap();
    let behind = "DYNAMIC_BROKER_CONFIG:log.retention.ms=600000 DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=700000 \
                  DEFAULT_CONFIG:log.retention.hours=168";
    let expected = format!("600000 DYNAMIC_BROKER_CONFIG | {behind}");
    assert_eq!(line(&admin, t(), "retention.ms").await, expected);
    assert_eq!(line(&admin, BROKER, "log.retention.ms").await, expected);
    assert_eq!(
        line(&admin, ConfigResource::topic("own"), "retention.ms").await,
        format!("5 DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:retention.ms=5 {behind}")
    );
    assert_eq!(
        line(&admin, ALL, "log.retention.ms").await,
        "700000 DYNAMIC_DEFAULT_BROKER_CONFIG | DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=700000"
    );
    alter(&admin, BROKER, delete("log.retention.ms")).await.unwrap();
    assert_eq!(find(&describe(&admin, t()).await, "retention.ms").value(), Some("700000"));
    alter(&admin, ALL, delete("log.retention.ms")).await.unwrap();
    assert_eq!(line(&admin, t(), "retention.ms").await, "604800000 DEFAULT_CONFIG |");
    // A topic that is created now starts from what the brokers are set to now.
    alter(&admin, ALL, set("compression.type", "uncompressed")).await.unwrap();
    admin.create_topic("later").await.unwrap();
    let later = describe(&admin, ConfigResource::topic("later")).await;
    assert_eq!(find(&later, "compression.type").value(), Some("uncompressed"));
    alter(&admin, BROKER, AlterConfigOp::append("log.cleanup.policy", "compact")).await.unwrap();
    assert_eq!(
        line(&admin, t(), "cleanup.policy").await,
        "delete,compact DYNAMIC_BROKER_CONFIG | DYNAMIC_BROKER_CONFIG:log.cleanup.policy=delete,compact \
         DEFAULT_CONFIG:log.cleanup.policy=delete"
    );
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_brokers_settings() {
    let (_cluster, admin) = start().await;
    let before = describe(&admin, BROKER).await;
    for name in [
        "log.retention.hours",
        "log.retention.minutes",
        "log.roll.hours",
        "num.partitions",
        "default.replication.factor",
        "auto.create.topics.enable",
        "delete.topic.enable",
        "log.retention.check.interval.ms",
        "group.max.session.timeout.ms",
        "offsets.topic.num.partitions",
        "offset.metadata.max.bytes",
        "log.flush.scheduler.interval.ms",
        "log.cleaner.enable",
        "offsets.retention.minutes",
    ] {
        for resource in [BROKER, ALL] {
            assert_refused(
                alter(&admin, resource, set(name, "1")).await,
                ErrorCode::InvalidRequest,
                &format!("Cannot update these configs dynamically: [{name}]"),
            );
        }
        alter(&admin, BROKER, delete(name)).await.unwrap();
    }
    for (change, code, message) in [
        (
            set("log.segment.bytes", "20"),
            ErrorCode::InvalidRequest,
            "Invalid value 20 for configuration log.segment.bytes: Value must be at least 1048576",
        ),
        (
            set("log.retention.ms", "x"),
            ErrorCode::InvalidRequest,
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            AlterConfigOp::append("log.retention.ms", "compact"),
            ErrorCode::InvalidConfig,
            "Config value append is not allowed for config key: log.retention.ms",
        ),
        (AlterConfigOp::append("nope", "compact"), ErrorCode::InvalidConfig, "Unknown config name: nope"),
        // Kafka stores these two, for plug-ins that may know them.
        (set("nope", "1"), ErrorCode::InvalidConfig, "Unknown configuration 'nope'."),
        (set("retention.ms", "1"), ErrorCode::InvalidConfig, "Unknown configuration 'retention.ms'."),
        (
            set("min.insync.replicas", "1"),
            ErrorCode::InvalidConfig,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
    ] {
        assert_refused(alter(&admin, BROKER, change).await, code, message);
    }
    let refused = alter(&admin, ALL, set("log.retention.ms", "0")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidRequest);
    assert!(refused.to_string().contains("log.retention.ms must be unlimited (-1) or, greater than or equal to 1"));
    assert_refused(
        alter(&admin, ALL, delete("min.insync.replicas")).await,
        ErrorCode::InvalidConfig,
        "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
    );
    assert_refused(
        alter(&admin, ConfigResource::broker(2), set("log.retention.ms", "1")).await,
        ErrorCode::InvalidRequest,
        "Unexpected broker id, expected 1, but received 2",
    );
    assert_eq!(describe(&admin, BROKER).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_message_size_refuses_the_next_batch() {
    let (cluster, admin) = start().await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    send(&producer, 5000, 0).await.unwrap();
    alter(&admin, t(), set("max.message.bytes", "1000")).await.unwrap();
    assert_eq!(send(&producer, 5000, 0).await.unwrap_err().code(), ErrorCode::MessageTooLarge);
    send(&producer, 100, 0).await.unwrap();
    alter(&admin, t(), delete("max.message.bytes")).await.unwrap();
    send(&producer, 5000, 0).await.unwrap();
    // The broker's default reaches the topic, too.
    alter(&admin, ALL, set("message.max.bytes", "1000")).await.unwrap();
    assert_eq!(send(&producer, 5000, 0).await.unwrap_err().code(), ErrorCode::MessageTooLarge);
}

#[tokio::test(start_paused = true)]
async fn shorter_retention_applies_to_what_is_there() {
    let (cluster, admin) = start().await;
    let clock = tokio::time::Instant::now();
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    alter(&admin, t(), set("internal.segment.bytes", "200")).await.unwrap();
    for _ in 0..3 {
        send(&producer, 100, now_ms - 3_600_000).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(bounds(&admin).await, (0, 3));
    alter(&admin, t(), set("retention.ms", "60000")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(bounds(&admin).await, (3, 3));
    assert!(clock.elapsed() >= Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn smaller_segments_and_a_bound_on_bytes_apply_to_what_is_there() {
    let (cluster, admin) = start().await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for _ in 0..4 {
        send(&producer, 1000, 1).await.unwrap();
    }
    // All of that is one segment, which goes as a whole once another is begun and there is too much.
    let changes = [set("internal.segment.bytes", "1500"), set("retention.bytes", "2000"), set("retention.ms", "-1")];
    admin.alter_topic_config("t", changes).await.unwrap();
    for _ in 0..4 {
        send(&producer, 1000, 1).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(301)).await;
    let (start, end) = bounds(&admin).await;
    assert_eq!(end, 8);
    assert!((4..8).contains(&start), "the log starts at {start}");
}

#[tokio::test(start_paused = true)]
async fn timestamps_are_the_brokers_once_the_topic_says_so() {
    let (cluster, admin) = start().await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let stamp = async || {
        let record = ProducerRecord::to("t").value("v").timestamp(5);
        producer.send(record).await.unwrap().await.unwrap().timestamp()
    };
    assert_eq!(stamp().await, 5);
    alter(&admin, t(), set("message.timestamp.type", "LogAppendTime")).await.unwrap();
    assert!(stamp().await > 1_000_000);
    alter(&admin, t(), delete("message.timestamp.type")).await.unwrap();
    alter(&admin, ALL, set("log.message.timestamp.before.max.ms", "1000")).await.unwrap();
    let record = ProducerRecord::to("t").value("v").timestamp(5);
    let refused = producer.send(record).await.unwrap().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidTimestamp);
}

/// With one broker a topic that asks for more in-sync replicas than it has gets what it has, as in Kafka since 4.0.
#[tokio::test(start_paused = true)]
async fn more_replicas_than_there_are_cannot_be_demanded() {
    let (cluster, admin) = start().await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    alter(&admin, t(), set("min.insync.replicas", "2")).await.unwrap();
    assert_eq!(send(&producer, 1, 0).await.unwrap(), 0);
    alter(&admin, ALL, set("min.insync.replicas", "3")).await.unwrap();
    assert_eq!(
        line(&admin, t(), "min.insync.replicas").await,
        "2 DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:min.insync.replicas=2 \
         DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=3 DEFAULT_CONFIG:min.insync.replicas=1"
    );
}

#[tokio::test(start_paused = true)]
async fn producers_are_forgotten_after_the_time_that_is_set() {
    let (cluster, admin) = start().await;
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    send(&producer, 1, 0).await.unwrap();
    let known = async || admin.describe_producers([("t", 0)]).await.remove(0).unwrap().len();
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(known().await, 1);
    alter(&admin, ALL, set("producer.id.expiration.ms", "1000")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(known().await, 0);
}

/// The cleaner looks every `log.cleaner.backoff.ms`; a shorter one counts from now on, not once the longer is over.
#[tokio::test(start_paused = true)]
async fn the_cleaner_goes_by_what_is_set() {
    let cluster = Cluster::builder().broker_property("log.cleaner.backoff.ms", "86400000").start().await.unwrap();
    let admin = cluster.admin();
    let compacted = NewTopic::new("t").config("cleanup.policy", "compact").config("internal.segment.bytes", "500");
    admin.create_topic(compacted.config("min.cleanable.dirty.ratio", "0")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for _ in 0..20 {
        producer.send(ProducerRecord::to("t").key("k").value(vec![b'x'; 100])).await.unwrap().await.unwrap();
    }
    let size = async || admin.describe_log_dirs([1]).await.remove(0).unwrap()[0].replica(("t", 0)).unwrap().size();
    let full = size().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(size().await, full);
    alter(&admin, ALL, set("log.cleaner.backoff.ms", "1000")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(size().await < full / 2, "{} of {full} bytes are left", size().await);
}

#[tokio::test(start_paused = true)]
async fn a_closed_cluster_has_no_settings() {
    let (cluster, admin) = start().await;
    cluster.shutdown().await;
    assert!(admin.describe_topic_config("t").await.unwrap_err().is_closed());
    assert!(alter(&admin, t(), set("retention.ms", "1")).await.unwrap_err().is_closed());
}
