//! What the feature `tracing` says of a cluster's life, heard by a subscriber of our own.
#![cfg(feature = "tracing")]

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerless::types::OffsetAndMetadata;
use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, ErrorCode, MemoryPolicy, NewTopic, ProducerConfig, ProducerRecord,
    TopicConfig,
};
use futures::FutureExt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps every event as a line: level, message, fields. Spans are counted, and must be balanced.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    lines: Vec<String>,
    entered: Vec<&'static str>,
    spans: Vec<&'static str>,
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        }
        .unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("brokerless")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut recorded = self.0.lock().unwrap();
        recorded.spans.push(span.metadata().name());
        Id::from_u64(recorded.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        self.0.lock().unwrap().lines.push(line);
    }

    fn enter(&self, span: &Id) {
        let mut recorded = self.0.lock().unwrap();
        let name = recorded.spans[span.into_u64() as usize - 1];
        recorded.entered.push(name);
    }

    fn exit(&self, span: &Id) {
        let mut recorded = self.0.lock().unwrap();
        let name = recorded.spans[span.into_u64() as usize - 1];
        assert_eq!(recorded.entered.pop(), Some(name));
    }
}

impl Recorder {
    /// The lines since the last call, with random ids made equal.
    fn take(&self) -> Vec<String> {
        let lines = std::mem::take(&mut self.0.lock().unwrap().lines);
        lines.into_iter().map(|line| without_ids(&line)).collect()
    }
}

/// Ids of members and clusters are random.
fn without_ids(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('=') {
        Some((name @ ("member" | "cluster"), _)) => format!("{name}=*"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_clusters_life() {
    let recorder = Recorder::default();
    let _default = tracing::subscriber::set_default(recorder.clone());
    let builder = Cluster::builder().broker_property("offsets.topic.num.partitions", "1").seed(7);
    let cluster = builder.start().await.unwrap();
    assert_eq!(recorder.take(), ["INFO cluster started cluster=*"]);

    let config = TopicConfig::new().retention(Duration::from_secs(60)).max_message_bytes(1_000);
    cluster.admin().create_topic(NewTopic::new("t").partitions(2).configs(config)).await.unwrap();
    assert_eq!(recorder.take(), ["INFO topic created topic=\"t\" partitions=2"]);

    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::to("t").partition(1).value("v")).await.unwrap().await.unwrap();
    let large = producer.send(ProducerRecord::to("t").partition(0).value(&[0; 2_000])).await.unwrap();
    assert_eq!(large.await.unwrap_err().code(), ErrorCode::MessageTooLarge);
    let lines = recorder.take();
    let refused: Vec<_> = lines.iter().filter(|line| line.contains("batch refused")).collect();
    assert_eq!(refused.len(), 1, "{lines:?}");
    assert!(refused[0].starts_with("WARN batch refused topic=\"t\" partition=0 error=batch for t-0 is refused"));

    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest).enable_auto_commit(false);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(1)).await.unwrap().len(), 1);
    consumer.close().await.unwrap();
    let of_groups = |line: &String| line.contains("group=") || line.contains("topic created");
    let lines: Vec<_> = recorder.take().into_iter().filter(of_groups).collect();
    assert_eq!(
        lines,
        [
            "INFO topic created topic=\"__consumer_offsets\" partitions=1",
            "INFO member joined group=\"g\" member=*",
            "INFO rebalance began group=\"g\" generation=0",
            "INFO generation began group=\"g\" generation=1 members=1 protocol=\"range\"",
            "INFO rebalance completed group=\"g\" generation=1",
            "INFO member removed group=\"g\" member=*",
            "INFO rebalance began group=\"g\" generation=1",
            "INFO generation began group=\"g\" generation=2 members=0 protocol=\"\"",
        ]
    );

    // Retention looks every five minutes.
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(recorder.take(), ["INFO retention deleted segments topic=\"t\" partition=1 from=0 log_start=1"]);
    cluster.admin().delete_topic("t").await.unwrap();
    assert_eq!(recorder.take(), ["INFO topic deleted topic=\"t\""]);
    cluster.shutdown().await;
    assert_eq!(recorder.take(), ["INFO cluster is shut down cluster=*"]);
    let recorded = recorder.0.lock().unwrap();
    assert!(recorded.entered.is_empty());
    assert!(recorded.spans.contains(&"controller command") && recorded.spans.contains(&"retention"));
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_batches() {
    let recorder = Recorder::default();
    let _default = tracing::subscriber::set_default(recorder.clone());
    // A batch of two records, and not another one.
    let builder = Cluster::builder().memory_limit(140).memory_policy(MemoryPolicy::Block);
    let cluster = builder.start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t").config("max.message.bytes", "100")).await.unwrap();
    let second = Duration::from_secs(1);
    let config = ProducerConfig::default().request_timeout(second).delivery_timeout(2 * second);
    let producer = cluster.producer(config.linger(Duration::from_millis(5))).unwrap();
    recorder.take();
    let send = || producer.send(ProducerRecord::to("t").value("123"));
    let deliveries = [(); 4].map(|()| send().now_or_never().unwrap().unwrap());
    let mut delivered = 0;
    for delivery in deliveries {
        delivered += u32::from(delivery.await.is_ok());
    }
    assert_eq!(delivered, 2);
    let lines = recorder.take();
    let of = |what: &str| lines.iter().filter(|line| line.contains(what)).collect::<Vec<_>>();
    assert_eq!(of("batch split"), ["DEBUG batch split topic=\"t\" partition=0 records=4"]);
    let again = of("to be sent again");
    let start = "DEBUG batch to be sent again topic=\"t\" partition=0 records=2 attempts=";
    assert!(again.len() > 1 && again.iter().all(|line| line.starts_with(start)), "{lines:#?}");
    assert!(again[0].contains("error=a batch of 81 bytes for t-0 does not fit"), "{lines:#?}");
    assert_eq!(of("expired"), ["WARN batch expired topic=\"t\" partition=0 records=2 age_ms=2000"]);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_logs() {
    let recorder = Recorder::default();
    let _default = tracing::subscriber::set_default(recorder.clone());
    let builder = Cluster::builder().memory_limit(1 << 20).memory_policy(MemoryPolicy::Retain);
    let cluster = builder.start().await.unwrap();
    let table = NewTopic::new("table").config("cleanup.policy", "compact").config("internal.segment.bytes", "500");
    for topic in [table, NewTopic::new("t")] {
        cluster.admin().create_topic(topic).await.unwrap();
    }
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for _ in 0..50 {
        let record = ProducerRecord::to("table").key("k").value("0123456789");
        producer.send(record).await.unwrap().await.unwrap();
    }
    recorder.take();
    let size = || cluster.metrics().value("Size", "Log", &[("topic", "table"), ("partition", "0")]).unwrap();
    let before = size();
    tokio::time::sleep(Duration::from_secs(16)).await;
    let lines = recorder.take();
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    let bytes = line.strip_prefix("INFO log compacted topic=\"table\" partition=0 bytes_before=").unwrap();
    let (bytes_before, bytes_after) = bytes.split_once(" bytes_after=").unwrap();
    let [bytes_before, bytes_after] = [bytes_before, bytes_after].map(|bytes| bytes.parse::<f64>().unwrap());
    assert_eq!(before - size(), bytes_before - bytes_after);
    assert!(bytes_after > 0.0 && bytes_after < bytes_before);

    for _ in 0..40 {
        producer.send(ProducerRecord::to("t").value(&[0; 32 << 10])).await.unwrap().await.unwrap();
    }
    let lines = recorder.take();
    assert!(!lines.is_empty(), "nothing was evicted");
    let start = "WARN memory limit evicted a segment topic=\"t\" partition=0 bytes=";
    assert!(lines.iter().all(|line| line.starts_with(start)), "{lines:#?}");
    let evicted = cluster.metrics().value("evicted-bytes-total", "brokerless-memory", &[]).unwrap();
    let bytes = lines.iter().map(|line| line[start.len()..].split(' ').next().unwrap().parse::<f64>().unwrap());
    assert_eq!(bytes.sum::<f64>(), evicted);
    let log_start = cluster.metrics().value("LogStartOffset", "Log", &[("topic", "t"), ("partition", "0")]).unwrap();
    assert!(lines.last().unwrap().ends_with(&format!("log_start={log_start}")), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn commits_and_what_was_refused_of_them() {
    let recorder = Recorder::default();
    let _default = tracing::subscriber::set_default(recorder.clone());
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    let mut consumer = cluster.consumer(ConsumerConfig::group("g").enable_auto_commit(false)).unwrap();
    consumer.assign([("t", 0), ("t", 1)]).unwrap();
    recorder.take();
    let at = |partition| (("t", partition), OffsetAndMetadata::new(0));
    consumer.commit_offsets([at(0), at(1)]).await.unwrap();
    consumer.commit_offsets([at(0), at(7)]).await.unwrap_err();
    let lines: Vec<_> = recorder.take().into_iter().filter(|line| line.contains("offset")).collect();
    let commits: Vec<_> = lines.iter().filter(|line| line.starts_with("DEBUG")).collect();
    assert_eq!(commits[0], "DEBUG offsets committed group=\"g\" generation=-1 partitions=2", "{lines:#?}");
    assert!(
        commits[1].starts_with("DEBUG offset commit refused group=\"g\" generation=-1 partitions=2 error="),
        "{lines:#?}"
    );
    assert_eq!(commits.len(), 2, "{lines:#?}");
}
