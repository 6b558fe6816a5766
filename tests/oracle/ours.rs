//! brokerless, through its public API.

use std::collections::BTreeMap;
use std::time::Duration;

use brokerless::admin::{AlterConfigOp, ConfigResource, ElectionType, OffsetSpec};
use brokerless::types::{IsolationLevel, TimestampType};
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, Error, NewTopic, OwnedConsumerRecord, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use tokio::runtime::Runtime;

use crate::op::{Change, Driver, Facts, From, GroupOp, Name, Op, Rec, Reset, Settings, Spec, record_fact};
use crate::ours_groups::{Group, Members};

pub(crate) struct Ours {
    runtime: Runtime,
    state: State,
}

struct State {
    cluster: Cluster,
    prefix: String,
    producers: BTreeMap<Settings, Producer>,
    groups: BTreeMap<&'static str, Members>,
}

impl Ours {
    pub(crate) fn new(prefix: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = runtime.block_on(
            Cluster::builder()
                .broker_property("offsets.topic.num.partitions", "5")
                .broker_property("log.cleaner.backoff.ms", "86400000")
                .broker_property("log.index.size.max.bytes", "65536")
                .broker_property("log.retention.check.interval.ms", "86400000")
                .start(),
        );
        let (cluster, producers, groups) = (cluster.unwrap(), BTreeMap::new(), BTreeMap::new());
        Self { runtime, state: State { cluster, prefix, producers, groups } }
    }
}

impl Driver for Ours {
    fn run(&mut self, op: &Op) -> Facts {
        self.runtime.block_on(self.state.run(op))
    }
}

pub(crate) fn code(error: &Error) -> String {
    match error {
        error if error.is_illegal_state() => "illegal state".to_owned(),
        error if error.is_timeout() => "timeout".to_owned(),
        error => error.code().as_i16().to_string(),
    }
}

pub(crate) fn done<T>(result: &Result<T, Error>) -> String {
    result.as_ref().err().map_or("0".to_owned(), code)
}

impl State {
    fn name(&self, name: &Name) -> String {
        name.full(&self.prefix)
    }

    fn partition(&self, name: &Name, partition: i32) -> TopicPartition {
        TopicPartition::new(self.name(name), partition)
    }

    async fn run(&mut self, op: &Op) -> Facts {
        let admin = self.cluster.admin();
        match op {
            Op::CreateTopic { name, partitions, replication, configs, validate_only } => {
                let topic = NewTopic::new(self.name(name)).partitions(*partitions).replication_factor(*replication);
                let topic = configs.iter().fold(topic, |topic, (name, value)| topic.config(*name, value));
                let created = match validate_only {
                    true => admin.validate_topic(topic).await,
                    false => admin.create_topic(topic).await,
                };
                let mut facts = Facts::one("create", done(&created));
                if let Ok(created) = created {
                    facts.add("partitions", created.partitions().len());
                    facts.add("replication", created.replication_factor());
                }
                facts
            }
            Op::CreateTwo(one, two) => {
                let topics = [one, two].map(|name| NewTopic::new(self.name(name)));
                let mut facts = Facts::default();
                for created in admin.create_topics(topics).await {
                    facts.add("create", done(&created));
                }
                facts
            }
            Op::DeleteTopic(name) => Facts::one("delete", done(&admin.delete_topic(self.name(name)).await)),
            Op::CreatePartitions(name, total) => {
                Facts::one("create partitions", done(&admin.create_partitions(self.name(name), *total).await))
            }
            Op::Describe(name) => {
                let described = admin.describe_topic(self.name(name)).await;
                let mut facts = Facts::one("describe", done(&described));
                if let Ok(topic) = described {
                    facts.add("internal", topic.is_internal());
                    for partition in topic.partitions() {
                        let (leader, isr) = (partition.leader().is_some(), partition.isr().len());
                        let epoch = partition.leader_epoch().0;
                        facts.add(
                            format!("partition {}", partition.partition()),
                            format!("leader {leader} epoch {epoch} replicas {} isr {isr}", partition.replicas().len()),
                        );
                    }
                }
                facts
            }
            Op::DescribeConfigs(name) => {
                let described = admin.describe_topic_config(self.name(name)).await;
                let mut facts = Facts::one("describe configs", done(&described));
                for entry in described.unwrap_or_default() {
                    if entry.name().starts_with("brokerless.") {
                        continue;
                    }
                    let synonyms = entry.synonyms().iter();
                    let synonyms: Vec<_> =
                        synonyms.map(|it| format!("{}={} {}", it.name(), it.value(), it.source())).collect();
                    facts.add(
                        format!("config {}", entry.name()),
                        format!(
                            "{:?} {} {} {} {synonyms:?}",
                            entry.value(),
                            entry.source(),
                            entry.config_type(),
                            entry.is_read_only()
                        ),
                    );
                }
                facts
            }
            Op::AlterConfigs { topic, changes, validate_only } => {
                let changes: Vec<_> = changes
                    .iter()
                    .map(|(change, name, value)| match change {
                        Change::Set => AlterConfigOp::set(*name, value),
                        Change::Delete => AlterConfigOp::delete(*name),
                        Change::Append => AlterConfigOp::append(*name, value),
                        Change::Subtract => AlterConfigOp::subtract(*name, value),
                    })
                    .collect();
                let changes = [(ConfigResource::topic(self.name(topic)), changes)];
                let altered = match validate_only {
                    true => admin.validate_alter_configs(changes).await.remove(0),
                    false => admin.incremental_alter_configs(changes).await.remove(0),
                };
                Facts::one("alter configs", done(&altered))
            }
            Op::Elect(name, partition, unclean) => {
                let election = if *unclean { ElectionType::Unclean } else { ElectionType::Preferred };
                let elected = admin.elect_leaders(election, [self.partition(name, *partition)]).await.remove(0);
                Facts::one("elect", done(&elected))
            }
            Op::Produce { settings, topic, records } => self.produce(settings, topic, records).await,
            Op::ListOffsets(name, partition, spec) => self.list_offsets(name, *partition, *spec).await,
            Op::DeleteRecords(name, partition, before) => {
                let deleted = admin.delete_records([(self.partition(name, *partition), *before)]).await.remove(0);
                let mut facts = Facts::one("delete records", done(&deleted));
                if let Ok(deleted) = deleted {
                    facts.add("low watermark", deleted.low_watermark());
                }
                facts
            }
            Op::Read { topic, partition, from, reset } => {
                let partition = self.partition(topic, *partition);
                let config = ConsumerConfig::default().auto_offset_reset(reset_of(*reset));
                let mut consumer = self.cluster.consumer(config).unwrap();
                consumer.assign([partition.clone()]).unwrap();
                match from {
                    From::Beginning => consumer.seek_to_beginning([&partition]).unwrap(),
                    From::End => consumer.seek_to_end([&partition]).unwrap(),
                    From::Offset(offset) => consumer.seek(&partition, *offset).unwrap(),
                    From::Timestamp(timestamp) => consumer.seek_to_timestamp([&partition], *timestamp).unwrap(),
                }
                read_to_end(&mut consumer, &partition).await
            }
            Op::Group(group, op) => self.group(group, op).await,
        }
    }

    async fn produce(&mut self, settings: &Settings, topic: &Name, records: &[Rec]) -> Facts {
        let topic = self.name(topic);
        let producer = self.producers.entry(settings.clone()).or_insert_with(|| {
            let config = ProducerConfig::from_properties([
                ("acks", settings.acks),
                ("enable.idempotence", if settings.idempotent { "true" } else { "false" }),
                ("compression.type", settings.codec),
                ("linger.ms", if settings.together { "60000" } else { "0" }),
                ("batch.size", "1000000"),
                ("max.request.size", "100000000"),
                ("max.block.ms", "300"),
            ]);
            self.cluster.producer(config.unwrap()).unwrap()
        });
        let mut deliveries = Vec::new();
        for record in records {
            let mut sent = ProducerRecord::to(&topic).timestamp(record.timestamp);
            sent.partition = record.partition;
            if let Some(key) = &record.key {
                sent = sent.key(key);
            }
            if let Some(value) = &record.value {
                sent = sent.value(value);
            }
            for (name, value) in &record.headers {
                sent = match value {
                    Some(value) => sent.header(*name, value),
                    None => sent.null_header(*name),
                };
            }
            deliveries.push(match producer.send(sent).await {
                Ok(delivery) if !settings.together => Ok(Err(delivery.await)),
                Ok(delivery) => Ok(Ok(delivery)),
                Err(error) => Err(error.error().clone()),
            });
        }
        producer.flush().await.unwrap();
        let mut facts = Facts::default();
        for (index, delivery) in deliveries.into_iter().enumerate() {
            let result = match delivery {
                Ok(Ok(delivery)) => delivery.await,
                Ok(Err(done)) => done,
                Err(error) => Err(error),
            };
            facts.add(
                format!("send {index}"),
                match result {
                    Ok(metadata) if settings.acks == "0" => format!("partition {}", metadata.partition()),
                    Ok(metadata) => format!("partition {} offset {}", metadata.partition(), metadata.offset()),
                    Err(error) if error.is_timeout() => "no such partition".to_owned(),
                    Err(error) => code(&error),
                },
            );
        }
        facts
    }

    async fn list_offsets(&self, name: &Name, partition: i32, spec: Spec) -> Facts {
        let spec = match spec {
            Spec::Earliest => OffsetSpec::Earliest,
            Spec::Latest => OffsetSpec::Latest,
            Spec::MaxTimestamp => OffsetSpec::MaxTimestamp,
            Spec::Timestamp(timestamp) => OffsetSpec::ForTimestamp(timestamp),
        };
        let asked = [(self.partition(name, partition), spec)];
        let listed = self.cluster.admin().list_offsets(asked, IsolationLevel::ReadUncommitted).await.remove(0);
        let mut facts = Facts::one("list offsets", done(&listed));
        if let Ok(listed) = listed {
            facts.add("offset", listed.offset().unwrap_or(-1));
            facts.add("timestamp", listed.timestamp().unwrap_or(-1));
            facts.add("leader epoch", listed.leader_epoch().map_or(-1, |epoch| epoch.0));
        }
        facts
    }

    async fn group(&mut self, group: &'static str, op: &GroupOp) -> Facts {
        let members = self.groups.entry(group).or_default();
        let id = format!("{}{group}", self.prefix);
        Group { cluster: &self.cluster, prefix: &self.prefix, id, members }.run(op).await
    }
}

pub(crate) fn reset_of(reset: Reset) -> AutoOffsetReset {
    match reset {
        Reset::Earliest => AutoOffsetReset::Earliest,
        Reset::Latest => AutoOffsetReset::Latest,
        Reset::None => AutoOffsetReset::None,
    }
}

/// Reads one assigned partition until there is no more.
pub(crate) async fn read_to_end(consumer: &mut Consumer, partition: &TopicPartition) -> Facts {
    let mut facts = Facts::default();
    let end = match consumer.end_offsets([partition]).await {
        Ok(ends) => ends[partition],
        Err(_) => return Facts::one("read", "no such partition"),
    };
    loop {
        match consumer.poll(Duration::from_millis(5)).await {
            Ok(records) => {
                facts.0.extend(records.iter().map(|record| seen_record(&record.to_owned())));
            }
            Err(_) => {
                facts.add("read", "no position");
                return facts;
            }
        }
        if consumer.position(partition).await.unwrap() >= end {
            facts.add("read", "end");
            return facts;
        }
    }
}

pub(crate) fn seen_record(record: &OwnedConsumerRecord) -> (String, String) {
    let headers: Vec<_> = record.headers().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect();
    let timestamp = (record.timestamp_type() == TimestampType::CreateTime).then(|| record.timestamp());
    record_fact(record.offset(), timestamp, record.key(), record.value(), &headers)
}
