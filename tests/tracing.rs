//! What the feature `tracing` says of a cluster's life, heard by a subscriber of our own.
#![cfg(feature = "tracing")]

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord, TopicConfig,
};
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
