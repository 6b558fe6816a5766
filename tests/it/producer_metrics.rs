//! The producer's metrics, under Kafka's names.

use std::time::Duration;

use brokerless::types::Acks;
use brokerless::{Cluster, MemoryPolicy, NewTopic, Producer, ProducerConfig, ProducerRecord};

const SECOND: Duration = Duration::from_secs(1);

async fn cluster(topics: &[&str]) -> Cluster {
    let cluster = Cluster::in_memory();
    for topic in topics {
        cluster.admin().create_topic(NewTopic::new(*topic)).await.unwrap();
    }
    cluster
}

/// A metric of the producer named `p`.
fn value(producer: &Producer, name: &str) -> f64 {
    let metrics = producer.metrics();
    metrics.value(name, "producer-metrics", &[("client-id", "p")]).unwrap_or_else(|| panic!("no {name}"))
}

/// A metric of one of its topics.
fn topic_value(producer: &Producer, topic: &str, name: &str) -> f64 {
    let tags = [("client-id", "p"), ("topic", topic)];
    producer.metrics().value(name, "producer-topic-metrics", &tags).unwrap_or_else(|| panic!("no {name} of {topic}"))
}

fn named() -> ProducerConfig {
    ProducerConfig::default().client_id("p")
}

#[tokio::test(start_paused = true)]
async fn batches_are_counted_as_they_are_sent() {
    let cluster = cluster(&["a", "b"]).await;
    let producer = cluster.producer(named()).unwrap();
    assert_eq!(value(&producer, "record-send-total"), 0.0);
    assert!(value(&producer, "batch-size-avg").is_nan());
    for (topic, records) in [("a", 3), ("b", 1)] {
        for _ in 0..records {
            drop(producer.send(ProducerRecord::to(topic).value("12345")).await.unwrap());
        }
    }
    // Open batches do not count.
    assert_eq!(value(&producer, "record-send-total"), 0.0);
    tokio::time::advance(Duration::from_millis(2)).await;
    producer.flush().await.unwrap();

    assert_eq!(value(&producer, "record-send-total"), 4.0);
    assert_eq!(
        (topic_value(&producer, "a", "record-send-total"), topic_value(&producer, "b", "record-send-total")),
        (3.0, 1.0)
    );
    assert_eq!((value(&producer, "request-total"), value(&producer, "records-per-request-avg")), (2.0, 2.0));
    // A header of 61 bytes, and for each record a length, attributes, two deltas, two lengths, 5 bytes, a header count.
    let (large, small) = (61.0 + 3.0 * 12.0, 61.0 + 12.0);
    assert_eq!(
        (value(&producer, "batch-size-max"), value(&producer, "batch-size-avg")),
        (large, (large + small) / 2.0)
    );
    assert_eq!((topic_value(&producer, "a", "byte-total"), topic_value(&producer, "b", "byte-total")), (large, small));
    assert_eq!(value(&producer, "outgoing-byte-total"), large + small);
    assert_eq!((value(&producer, "record-size-max"), value(&producer, "record-size-avg")), (12.0, 12.0));
    assert_eq!(value(&producer, "compression-rate-avg"), 1.0);
    assert_eq!((value(&producer, "record-queue-time-max"), value(&producer, "record-queue-time-avg")), (2.0, 2.0));
    assert_eq!((value(&producer, "request-latency-max"), value(&producer, "requests-in-flight")), (0.0, 0.0));
    // As if the first of two windows of 30 s had passed.
    let rate = value(&producer, "record-send-rate");
    assert!((rate - 4.0 / 30.0).abs() < 0.01, "{rate}");
    for failure in ["record-error-total", "record-retry-total", "batch-split-total", "buffer-exhausted-total"] {
        assert_eq!(value(&producer, failure), 0.0, "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn values_belong_to_the_time_when_they_were_counted() {
    let cluster = cluster(&["t"]).await;
    let producer = cluster.producer(named()).unwrap();
    producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    // Nobody has read since; the windows are over.
    tokio::time::advance(100 * SECOND).await;
    assert_eq!((value(&producer, "record-send-total"), value(&producer, "record-send-rate")), (1.0, 0.0));
    assert!(value(&producer, "batch-size-max").is_nan());
}

#[tokio::test(start_paused = true)]
async fn the_clusters_metrics_contain_each_producers_until_it_is_gone() {
    let cluster = cluster(&["t"]).await;
    let (producer, other) = (cluster.producer(named()).unwrap(), cluster.producer(named()).unwrap());
    other.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    let totals = || -> Vec<_> {
        let metrics = cluster.metrics();
        let found = metrics.named("record-send-total", "producer-metrics").iter();
        found.map(|metric| (metric.name().tag("instance").map(str::to_owned), metric.value())).collect()
    };
    assert_eq!(totals(), [(None, 0.0), (Some("2".to_owned()), 1.0)]);
    producer.close().await.unwrap();
    drop(producer);
    other.close().await.unwrap();
    drop(other);
    // Their background tasks end when they run next.
    tokio::task::yield_now().await;
    assert_eq!(totals(), []);
    let unnamed = cluster.producer(ProducerConfig::default()).unwrap();
    assert!(unnamed.client_id().starts_with("producer-"));
    let metrics = unnamed.metrics();
    assert_eq!(
        metrics.value("record-send-total", "producer-metrics", &[("client-id", unnamed.client_id())]),
        Some(0.0)
    );
}

#[tokio::test(start_paused = true)]
async fn retries_and_errors_are_counted_a_record_at_a_time() {
    let cluster = Cluster::builder().memory_limit(70).memory_policy(MemoryPolicy::Block).start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    let config = named().linger(Duration::ZERO).request_timeout(SECOND).delivery_timeout(SECOND);
    let producer = cluster.producer(config).unwrap();
    producer.send(ProducerRecord::to("t").value("")).await.unwrap().await.unwrap();
    let delivery = producer.send(ProducerRecord::to("t").value("")).await.unwrap();
    assert!(delivery.await.unwrap_err().is_timeout());
    // Backoffs of 100, 200 and 400 ms, and then the end.
    assert_eq!((value(&producer, "record-retry-total"), value(&producer, "record-send-total")), (4.0, 5.0));
    assert_eq!((value(&producer, "record-error-total"), topic_value(&producer, "t", "record-error-total")), (1.0, 1.0));
    assert_eq!(topic_value(&producer, "t", "record-retry-total"), 4.0);
    // A send that comes to nothing is an error of the producer's, and of no topic.
    let config = named().max_request_size(1);
    drop(producer);
    tokio::task::yield_now().await;
    let producer = cluster.producer(config).unwrap();
    producer.send(ProducerRecord::to("t").value("v")).await.unwrap_err();
    assert_eq!(value(&producer, "record-error-total"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_measured() {
    let cluster = cluster(&["t"]).await;
    let config = named().buffer_memory(20_000).max_block(3 * SECOND).linger(SECOND);
    let producer = cluster.producer(config).unwrap();
    assert_eq!(
        (value(&producer, "buffer-total-bytes"), value(&producer, "buffer-available-bytes")),
        (20_000.0, 20_000.0)
    );
    drop(producer.send(ProducerRecord::to("t").value("v")).await.unwrap());
    assert_eq!(value(&producer, "buffer-available-bytes"), 20_000.0 - (16_384.0 - 61.0));
    producer.send(ProducerRecord::to("missing").value("v")).await.unwrap_err();
    assert_eq!(value(&producer, "metadata-wait-time-ns-total"), 3e9);
    assert_eq!((value(&producer, "waiting-threads"), value(&producer, "record-error-total")), (0.0, 1.0));
    producer.flush().await.unwrap();
    assert_eq!(value(&producer, "flush-time-ns-total"), 0.0);
    assert_eq!(value(&producer, "buffer-available-bytes"), 20_000.0);
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_memory_are_counted() {
    // The leader has no room either, so memory stays used up.
    let cluster = Cluster::builder().memory_limit(80).memory_policy(MemoryPolicy::Block).start().await.unwrap();
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    let config = named().buffer_memory(20_000).max_block(3 * SECOND);
    let producer = cluster.producer(config).unwrap();
    producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    drop(producer.send(ProducerRecord::to("t").value("v")).await.unwrap());
    let large = "x".repeat(16_320);
    let waiting = producer.send(ProducerRecord::to("t").value(&large));
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(value(&producer, "waiting-threads"), 1.0);
    assert!(waiting.await.unwrap_err().error().is_timeout());
    assert_eq!((value(&producer, "waiting-threads"), value(&producer, "buffer-exhausted-total")), (0.0, 1.0));
    assert_eq!(value(&producer, "bufferpool-wait-time-ns-total"), 3e9);
    let ratio = value(&producer, "bufferpool-wait-ratio");
    // Of the 3 s that have passed, and the window that is taken for passed.
    assert!((ratio - 3.0 / 33.0).abs() < 0.001, "{ratio}");
}

#[cfg(feature = "lz4")]
#[tokio::test(start_paused = true)]
async fn compression_is_a_ratio() {
    let cluster = cluster(&["t"]).await;
    let producer = cluster.producer(named().compression_type(brokerless::types::CompressionType::Lz4)).unwrap();
    let value_bytes = "a".repeat(10_000);
    producer.send(ProducerRecord::to("t").value(&value_bytes)).await.unwrap().await.unwrap();
    let ratio = value(&producer, "compression-rate-avg");
    assert!(ratio < 0.05, "{ratio}");
    assert_eq!(topic_value(&producer, "t", "compression-rate"), ratio);
    assert!((value(&producer, "batch-size-max") / 10_075.0 - ratio).abs() < 0.001);
}

#[tokio::test(start_paused = true)]
async fn splits_are_counted() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").config("max.message.bytes", "200")).await.unwrap();
    let producer = cluster.producer(named()).unwrap();
    for _ in 0..8 {
        drop(producer.send(ProducerRecord::to("t").value("0123456789012345678901234567")).await.unwrap());
    }
    producer.flush().await.unwrap();
    assert_eq!((value(&producer, "batch-split-total"), value(&producer, "record-error-total")), (3.0, 0.0));
}

/// How a producer comes to have something to count.
#[derive(Clone, Copy, Debug)]
enum Provoked {
    Sent,
    Refused,
    Retried,
    Exhausted,
    Split,
}

impl Provoked {
    /// The producer, right after it counted: what follows is all at that moment.
    async fn producer(self) -> (Cluster, Producer) {
        let limit = match self {
            Self::Retried | Self::Exhausted => 80,
            Self::Sent | Self::Refused | Self::Split => 1 << 20,
        };
        let cluster = Cluster::builder().memory_limit(limit).memory_policy(MemoryPolicy::Block).start().await.unwrap();
        cluster.admin().create_topic(NewTopic::new("t").config("max.message.bytes", "200")).await.unwrap();
        let config = named().buffer_memory(20_000).max_block(3 * SECOND).retry_backoff(60 * SECOND, 60 * SECOND);
        let linger = if matches!(self, Self::Retried) { Duration::ZERO } else { Duration::from_millis(5) };
        let producer = cluster.producer(config.linger(linger)).unwrap();
        let send = async |value: &str| drop(producer.send(ProducerRecord::to("t").value(value)).await.unwrap());
        match self {
            Self::Sent => send("v").await,
            Self::Refused => send(&"x".repeat(300)).await,
            Self::Split => {
                for _ in 0..8 {
                    send("0123456789012345678901234567").await;
                }
            }
            Self::Retried => {
                send("v").await;
                producer.flush().await.unwrap();
                send("v").await;
                // The leader has no room for this one.
                return (cluster, producer);
            }
            Self::Exhausted => {
                send("v").await;
                producer.flush().await.unwrap();
                send("v").await;
                let large = "x".repeat(16_320);
                let late = producer.send(ProducerRecord::to("t").value(&large)).await.unwrap_err();
                assert!(late.error().is_timeout());
                return (cluster, producer);
            }
        }
        producer.flush().await.unwrap();
        (cluster, producer)
    }
}

#[tokio::test(start_paused = true)]
async fn each_rate_is_what_was_counted_over_the_time_since() {
    use Provoked::{Exhausted, Refused, Retried, Sent, Split};
    const PRODUCER: &[&str] = &[];
    const TOPIC: &[&str] = &["topic"];
    // A batch of one record: a header of 61 bytes and 8 of the record.
    for (provoked, tags, rate, total, expected) in [
        (Refused, PRODUCER, "record-error-rate", "record-error-total", 1.0),
        (Refused, TOPIC, "record-error-rate", "record-error-total", 1.0),
        (Exhausted, PRODUCER, "record-error-rate", "record-error-total", 1.0),
        (Retried, PRODUCER, "record-retry-rate", "record-retry-total", 1.0),
        (Retried, TOPIC, "record-retry-rate", "record-retry-total", 1.0),
        (Split, PRODUCER, "batch-split-rate", "batch-split-total", 3.0),
        (Exhausted, PRODUCER, "buffer-exhausted-rate", "buffer-exhausted-total", 1.0),
        (Sent, PRODUCER, "outgoing-byte-rate", "outgoing-byte-total", 69.0),
        (Sent, TOPIC, "byte-rate", "byte-total", 69.0),
        (Sent, PRODUCER, "record-send-rate", "record-send-total", 1.0),
        (Sent, TOPIC, "record-send-rate", "record-send-total", 1.0),
        (Sent, PRODUCER, "request-rate", "request-total", 1.0),
    ] {
        let (_cluster, producer) = provoked.producer().await;
        let of = |name| if tags.is_empty() { value(&producer, name) } else { topic_value(&producer, "t", name) };
        assert_eq!(of(total), expected, "{total} when {provoked:?}");
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(of(total), expected, "{total} when {provoked:?}, later");
        // And a window of 30 s that is taken for passed.
        assert_eq!(of(rate), expected / 40.0, "{rate} when {provoked:?}");
        // A producer that has nothing of it to count says so.
        let idle = cluster(&["t"]).await.producer(named()).unwrap();
        assert_eq!(value(&idle, "record-error-rate"), 0.0);
        if tags.is_empty() {
            assert_eq!((value(&idle, rate), value(&idle, total)), (0.0, 0.0), "{rate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_timed_where_there_are_any() {
    for (acks, is_answered) in [(Acks::All, true), (Acks::Leader, true), (Acks::None, false)] {
        let cluster = cluster(&["t"]).await;
        let config = named().acks(acks).enable_idempotence(acks == Acks::All);
        let producer = cluster.producer(config).unwrap();
        assert!(value(&producer, "request-latency-avg").is_nan());
        producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
        // With one replica, a leader's answer is part of the call.
        let latency = [value(&producer, "request-latency-avg"), value(&producer, "request-latency-max")];
        let expected = if is_answered { "[0.0, 0.0]" } else { "[NaN, NaN]" };
        assert_eq!(format!("{latency:?}"), expected, "{acks:?}");
    }
}
