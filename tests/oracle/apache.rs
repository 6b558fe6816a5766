//! Apache Kafka: what clients do through librdkafka, administration in Kafka's protocol itself, which shows more of the
//! answers than librdkafka's admin client does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    ElectLeadersRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::Request;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, Timestamp, TopicPartitionList};

use crate::apache_groups::Members;
use crate::op::{Change, Driver, Facts, From, GroupOp, Name, Op, Rec, Reset, Settings, Spec, record_fact};
use crate::wire::{Wire, text};

const TOPIC_RESOURCE: i8 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: &str = "3";

/// Records sent one right after the other share a batch within this time.
const TOGETHER_MS: &str = "30";

/// How long anything may take that comes by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Apache {
    bootstrap: String,
    pub(crate) prefix: String,
    wire: Wire,
    producers: BTreeMap<Settings, BaseProducer<Acknowledgements>>,
    groups: BTreeMap<&'static str, Members>,
    /// Without groups, by what they do where there is no position.
    consumers: BTreeMap<Reset, BaseConsumer>,
    barriers: usize,
}

/// What librdkafka reports of each record: its number, its partition and offset or its error.
#[derive(Default)]
struct Acknowledgements(Mutex<Vec<(usize, Acknowledged)>>);

/// The partition and the offset, or librdkafka's error.
type Acknowledged = Result<(i32, i64), String>;

impl ClientContext for Acknowledgements {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            // A topic is looked for by its client first.
            Err((error, _)) => Err(match code(error) {
                code if code == UNKNOWN_TOPIC_OR_PARTITION => "no such partition".to_owned(),
                code => code,
            }),
        };
        self.0.lock().unwrap().push((*index, outcome));
    }
}

/// A broker's error is its number; librdkafka's own, below zero, have names here if brokerless has the like of them.
pub(crate) fn code(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic) => "no such partition".to_owned(),
        Some(code) => (code as i32).to_string(),
        None => error.to_string(),
    }
}

impl Apache {
    pub(crate) fn new(bootstrap: &str, prefix: String) -> Self {
        let wire = Wire::connect(bootstrap).expect("a connection to Kafka");
        Self {
            bootstrap: bootstrap.to_owned(),
            prefix,
            wire,
            producers: BTreeMap::new(),
            groups: BTreeMap::new(),
            consumers: BTreeMap::new(),
            barriers: 0,
        }
    }

    pub(crate) fn name(&self, name: &Name) -> String {
        name.full(&self.prefix)
    }

    pub(crate) fn send<R: Request>(&mut self, request: R, version: i16) -> R::Response {
        self.wire.send(request, version).unwrap_or_else(|error| panic!("API {}: {error}", R::KEY))
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("broker.address.family", "v4")
            .set("socket.nagle.disable", "true")
            .set("allow.auto.create.topics", "false")
            .set("log_level", "0");
        config
    }

    pub(crate) fn metadata(&mut self, topic: &str) -> MetadataResponseTopic {
        let asked = MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
        let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
        self.send(request, 12).topics.remove(0)
    }

    /// Waits until the broker has heard of what the controller decided.
    fn await_partitions(&mut self, topic: &str, partitions: usize) {
        let begin = Instant::now();
        loop {
            let metadata = self.metadata(topic);
            let there = match partitions {
                0 => metadata.error_code == 3,
                _ => metadata.error_code == 0 && metadata.partitions.len() == partitions,
            };
            if there && (0..partitions as i32).all(|partition| self.latest(topic, partition).is_ok()) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{topic} does not get {partitions} partitions: {metadata:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn latest(&mut self, topic: &str, partition: i32) -> Result<i64, i16> {
        self.offset_at(topic, partition, -1).map(|(offset, _, _)| offset)
    }

    pub(crate) fn offset_at(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<(i64, i64, i32), i16> {
        let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer = self.send(request, 7).topics.remove(0).partitions.remove(0);
        match answer.error_code {
            0 => Ok((answer.offset, answer.timestamp, answer.leader_epoch)),
            code => Err(code),
        }
    }

    fn create_topics(&mut self, topics: Vec<CreatableTopic>, validate_only: bool) -> Facts {
        let request = CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(30_000)
            .with_validate_only(validate_only);
        let mut facts = Facts::default();
        let single = request.topics.len() == 1;
        let mut answers = self.send(request.clone(), 7).topics;
        for asked in &request.topics {
            let place = answers.iter().position(|answer| answer.name == asked.name).expect("an answer for each topic");
            let answer = match single {
                true => answers.remove(place),
                false => answers[place].clone(),
            };
            facts.add("create", answer.error_code);
            if answer.error_code == 0 {
                if single {
                    facts.add("partitions", answer.num_partitions);
                    facts.add("replication", answer.replication_factor);
                }
                if !validate_only {
                    self.await_partitions(&answer.name, answer.num_partitions as usize);
                }
            }
        }
        facts
    }
}

impl Driver for Apache {
    fn run(&mut self, op: &Op) -> Facts {
        match op {
            Op::CreateTopic { name, partitions, replication, configs, validate_only } => {
                let configs = configs.iter().map(|(name, value)| {
                    CreatableTopicConfig::default().with_name(text(*name)).with_value(Some(text(value)))
                });
                let topic = CreatableTopic::default()
                    .with_name(TopicName(text(self.name(name))))
                    .with_num_partitions(*partitions)
                    .with_replication_factor(*replication)
                    .with_configs(configs.collect());
                self.create_topics(vec![topic], *validate_only)
            }
            Op::CreateTwo(one, two) => {
                let topics = [one, two].map(|name| {
                    CreatableTopic::default()
                        .with_name(TopicName(text(self.name(name))))
                        .with_num_partitions(-1)
                        .with_replication_factor(-1)
                });
                self.create_topics(topics.into(), false)
            }
            Op::DeleteTopic(name) => {
                let name = self.name(name);
                let topic = DeleteTopicState::default().with_name(Some(TopicName(text(&name))));
                let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
                let code = self.send(request, 6).responses.remove(0).error_code;
                if code == 0 {
                    self.producers.clear();
                    self.consumers.clear();
                    self.await_partitions(&name, 0);
                }
                Facts::one("delete", code)
            }
            Op::CreatePartitions(name, total) => {
                let name = self.name(name);
                let topic = CreatePartitionsTopic::default()
                    .with_name(TopicName(text(&name)))
                    .with_count(*total)
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
                let code = self.send(request, 3).results.remove(0).error_code;
                if code == 0 {
                    self.await_partitions(&name, *total as usize);
                }
                Facts::one("create partitions", code)
            }
            Op::Describe(name) => self.describe(&self.name(name)),
            Op::DescribeConfigs(name) => self.describe_configs(&self.name(name)),
            Op::AlterConfigs { topic, changes, validate_only } => {
                self.alter_configs(&self.name(topic), changes, *validate_only)
            }
            Op::Elect(name, partition, unclean) => self.elect(&self.name(name), *partition, *unclean),
            Op::Produce { settings, topic, records } => self.produce(settings, &self.name(topic), records),
            Op::ListOffsets(name, partition, spec) => {
                let timestamp = match spec {
                    Spec::Latest => -1,
                    Spec::Earliest => -2,
                    Spec::MaxTimestamp => -3,
                    Spec::Timestamp(timestamp) => *timestamp,
                };
                let listed = self.offset_at(&self.name(name), *partition, timestamp);
                let mut facts = Facts::one("list offsets", listed.err().unwrap_or(0));
                if let Ok((offset, timestamp, epoch)) = listed {
                    facts.add("offset", offset);
                    facts.add("timestamp", timestamp);
                    facts.add("leader epoch", epoch);
                }
                facts
            }
            Op::DeleteRecords(name, partition, before) => {
                let partition = DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(*before);
                let topic = DeleteRecordsTopic::default()
                    .with_name(TopicName(text(self.name(name))))
                    .with_partitions(vec![partition]);
                let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
                let answer = self.send(request, 2).topics.remove(0).partitions.remove(0);
                let mut facts = Facts::one("delete records", answer.error_code);
                if answer.error_code == 0 {
                    facts.add("low watermark", answer.low_watermark);
                }
                facts
            }
            Op::Read { topic, partition, from, reset } => self.read(&self.name(topic), *partition, *from, *reset),
            Op::Group(group, op) => self.group(group, op),
        }
    }
}

impl Apache {
    fn describe(&mut self, name: &str) -> Facts {
        let topic = self.metadata(name);
        let mut facts = Facts::one("describe", topic.error_code);
        if topic.error_code != 0 {
            return facts;
        }
        facts.add("internal", topic.is_internal);
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        for partition in partitions {
            facts.add(
                format!("partition {}", partition.partition_index),
                format!(
                    "leader {} epoch {} replicas {} isr {}",
                    partition.leader_id.0 >= 0,
                    partition.leader_epoch,
                    partition.replica_nodes.len(),
                    partition.isr_nodes.len()
                ),
            );
        }
        facts
    }

    fn describe_configs(&mut self, topic: &str) -> Facts {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        let mut result = self.send(request, 4).results.remove(0);
        let mut facts = Facts::one("describe configs", result.error_code);
        result.configs.sort_by(|one, two| one.name.cmp(&two.name));
        let source = |number: i8| match number {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            _ => "another source",
        };
        for config in result.configs {
            let kind = match config.config_type {
                1 => "BOOLEAN",
                2 => "STRING",
                3 => "INT",
                5 => "LONG",
                6 => "DOUBLE",
                7 => "LIST",
                _ => "another type",
            };
            let synonyms = config.synonyms.iter();
            let synonyms: Vec<_> = synonyms
                .map(|it| format!("{}={} {}", &*it.name, it.value.as_deref().unwrap_or("null"), source(it.source)))
                .collect();
            facts.add(
                format!("config {}", config.name),
                format!(
                    "{:?} {} {kind} {} {synonyms:?}",
                    config.value.as_deref(),
                    source(config.config_source),
                    config.read_only
                ),
            );
        }
        facts
    }

    fn alter_configs(&mut self, topic: &str, changes: &[(Change, &'static str, String)], validate_only: bool) -> Facts {
        let change = |(change, name, value): &(Change, &'static str, String)| {
            AlterableConfig::default()
                .with_name(text(*name))
                .with_config_operation(*change as i8)
                .with_value((*change != Change::Delete).then(|| text(value)))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(topic))
            .with_configs(changes.iter().map(change).collect());
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
        let code = self.send(request, 1).responses.remove(0).error_code;
        if code == 0 && !validate_only {
            self.await_settings();
        }
        Facts::one("alter configs", code)
    }

    /// Nobody says when a broker has heard of what the controller decided: but it hears of all in order, so of a topic
    /// that is created now it hears later.
    fn await_settings(&mut self) {
        self.barriers += 1;
        let name = format!("{}barrier{}", self.prefix, self.barriers);
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(1)
            .with_replication_factor(1);
        drop(self.create_topics(vec![topic], false));
    }

    fn elect(&mut self, topic: &str, partition: i32, unclean: bool) -> Facts {
        let partitions = TopicPartitions::default().with_topic(TopicName(text(topic))).with_partitions(vec![partition]);
        let request = ElectLeadersRequest::default()
            .with_election_type(i8::from(unclean))
            .with_topic_partitions(Some(vec![partitions]))
            .with_timeout_ms(30_000);
        let mut answer = self.send(request, 2);
        match answer.error_code {
            0 => Facts::one("elect", answer.replica_election_results.remove(0).partition_result.remove(0).error_code),
            code => Facts::one("elect", code),
        }
    }

    fn producer(&mut self, settings: &Settings) -> &BaseProducer<Acknowledgements> {
        let mut config = self.client();
        self.producers.entry(settings.clone()).or_insert_with(|| {
            config
                .set("acks", settings.acks)
                .set("enable.idempotence", settings.idempotent.to_string())
                .set("compression.type", settings.codec)
                .set("linger.ms", if settings.together { TOGETHER_MS } else { "0" })
                .set("batch.size", "1000000")
                .set("message.max.bytes", "100000000")
                .set("message.timeout.ms", "120000")
                .set("partitioner", "murmur2_random")
                .set("topic.metadata.propagation.max.ms", "300");
            config.create_with_context(Acknowledgements::default()).expect("a producer")
        })
    }

    fn produce(&mut self, settings: &Settings, topic: &str, records: &[Rec]) -> Facts {
        let unacknowledged = settings.acks == "0";
        let partitions = self.metadata(topic).partitions.len() as i32;
        let ends: Vec<_> = match unacknowledged {
            true => (0..partitions).map(|partition| self.latest(topic, partition).unwrap()).collect(),
            false => Vec::new(),
        };
        let producer = self.producer(settings);
        // With the partitions known, all records lie side by side until the flush.
        drop(producer.client().fetch_metadata(Some(topic), PATIENCE));
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let mut sent = BaseRecord::<[u8], [u8], Box<usize>>::with_opaque_to(topic, Box::new(index))
                .timestamp(record.timestamp);
            sent.partition = record.partition;
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            if !record.headers.is_empty() {
                let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: value.as_ref() })
                });
                sent = sent.headers(headers);
            }
            if let Err((error, _)) = producer.send(sent) {
                refused.push((index, Err(code(&error))));
            }
            if !settings.together {
                await_outcomes(producer, index + 1 - refused.len());
            }
        }
        await_outcomes(producer, records.len() - refused.len());
        let mut outcomes = std::mem::take(&mut *producer.context().0.lock().unwrap());
        outcomes.extend(refused);
        outcomes.sort_by_key(|(index, _)| *index);
        assert_eq!(outcomes.len(), records.len(), "an outcome for each record");
        // One bad record fails its batch; librdkafka says of the others that it was not them.
        let other = (RDKafkaErrorCode::InvalidDifferentRecord as i32).to_string();
        let whose = outcomes.iter().filter_map(|(_, outcome)| outcome.clone().err()).find(|code| *code != other);
        let mut facts = Facts::default();
        let mut sent = vec![0; ends.len()];
        for (index, outcome) in outcomes {
            facts.add(
                format!("send {index}"),
                match outcome {
                    Ok((partition, _)) if unacknowledged => {
                        sent[partition as usize] += 1;
                        format!("partition {partition}")
                    }
                    Ok((partition, offset)) => format!("partition {partition} offset {offset}"),
                    Err(code) if code == other => whose.clone().unwrap_or(code),
                    Err(code) => code,
                },
            );
        }
        // Nobody says when these are in the log.
        let begin = Instant::now();
        for (partition, end) in ends.iter().enumerate() {
            while self.latest(topic, partition as i32).unwrap() < end + sent[partition] {
                assert!(begin.elapsed() < PATIENCE, "records without acknowledgement do not arrive");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        facts
    }

    pub(crate) fn consumer(&self, group: &str, reset: Reset) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.error.backoff.ms", "10")
            .set(
                "auto.offset.reset",
                match reset {
                    Reset::Earliest => "earliest",
                    Reset::Latest => "latest",
                    Reset::None => "error",
                },
            );
        config
    }

    fn read(&mut self, topic: &str, partition: i32, from: From, reset: Reset) -> Facts {
        if self.latest(topic, partition).is_err() {
            return Facts::one("read", "no such partition");
        }
        let config = self.consumer("reader", reset);
        let consumer = self.consumers.entry(reset).or_insert_with(|| config.create().expect("a consumer"));
        // Or it goes and looks after half a second.
        drop(consumer.fetch_metadata(Some(topic), PATIENCE));
        let mut offset = match from {
            From::Beginning => Offset::Beginning,
            From::End => Offset::End,
            From::Offset(offset) => Offset::Offset(offset),
            From::Timestamp(timestamp) => Offset::Offset(timestamp),
        };
        let mut assignment = TopicPartitionList::new();
        if matches!(from, From::Timestamp(_)) {
            assignment.add_partition_offset(topic, partition, offset).unwrap();
            let found = consumer.offsets_for_times(assignment, PATIENCE).expect("an offset by time");
            offset = found.elements()[0].offset();
            assignment = TopicPartitionList::new();
        }
        assignment.add_partition_offset(topic, partition, offset).unwrap();
        consumer.assign(&assignment).unwrap();
        let facts = read_to_end(consumer);
        consumer.unassign().unwrap();
        facts
    }

    fn group(&mut self, group: &'static str, op: &GroupOp) -> Facts {
        let mut members = self.groups.remove(group).unwrap_or_default();
        let facts = self.run_group(group, &mut members, op);
        self.groups.insert(group, members);
        facts
    }
}

/// Not `flush`, which rdkafka builds of steps of 100 ms.
fn await_outcomes(producer: &BaseProducer<Acknowledgements>, count: usize) {
    let begin = Instant::now();
    while producer.context().0.lock().unwrap().len() < count {
        assert!(begin.elapsed() < PATIENCE, "not all records come back");
        producer.poll(Duration::from_millis(1));
    }
}

/// Reads one assigned partition until librdkafka says that there is no more.
pub(crate) fn read_to_end(consumer: &BaseConsumer) -> Facts {
    let mut facts = Facts::default();
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => facts.0.push(seen_record(&message).0),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                facts.add("read", "end");
                return facts;
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    facts.add("read", "no position");
                    return facts;
                }
                _ => facts.add("error", error),
            },
        }
    }
    facts.add("read", "no end");
    facts
}

/// What there is to see of a record, its partition and its offset.
pub(crate) fn seen_record(message: &BorrowedMessage<'_>) -> ((String, String), (String, i32), i64) {
    let timestamp = match message.timestamp() {
        Timestamp::CreateTime(timestamp) => Some(timestamp),
        _ => None,
    };
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers: Vec<_> = headers.map(|it| (it.key.to_owned(), it.value.map(<[u8]>::to_vec))).collect();
    let fact = record_fact(message.offset(), timestamp, message.key(), message.payload(), &headers);
    (fact, (message.topic().to_owned(), message.partition()), message.offset())
}
