//! Producer interceptors: what they may change, what they hear, and that a panic in one harms nobody.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerless::producer::ProducerInterceptor;
use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord, RecordMetadata,
    Result, TopicPartition,
};

/// What was called, in order.
type Calls = Arc<Mutex<Vec<String>>>;

/// Notes every call; appends its name to the value.
struct Named(&'static str, Calls);

impl ProducerInterceptor for Named {
    fn on_send<'r>(&'r self, record: ProducerRecord<'r>) -> ProducerRecord<'r> {
        let value = format!("{} {}", String::from_utf8_lossy(record.value_bytes().unwrap()), self.0);
        self.1.lock().unwrap().push(format!("{} sends {value}", self.0));
        record.value(value)
    }

    fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        let call = match result {
            Ok(metadata) => format!("{} hears of {} at {}", self.0, metadata.topic_partition(), metadata.offset()),
            Err(error) => format!("{} hears {:?} for {}", self.0, error.code(), error.topic_partition().unwrap()),
        };
        self.1.lock().unwrap().push(call);
    }

    fn on_close(&self) {
        self.1.lock().unwrap().push(format!("{} closes", self.0));
    }
}

async fn cluster(topics: &[(&str, i32)]) -> Cluster {
    let cluster = Cluster::in_memory();
    for (topic, partitions) in topics {
        cluster.admin().create_topic(NewTopic::new(*topic).partitions(*partitions)).await.unwrap();
    }
    cluster
}

/// Timestamp, key, value and headers of the first record of a partition.
async fn first(cluster: &Cluster, topic: &str, partition: i32) -> (i64, Vec<u8>, Vec<u8>, Vec<(String, Vec<u8>)>) {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([TopicPartition::new(topic, partition)]).unwrap();
    let records = consumer.poll(Duration::from_secs(10)).await.unwrap();
    let record = records.iter().next().expect("a record");
    let headers = record.headers().map(|header| (header.key().to_owned(), header.value().unwrap().to_vec()));
    (record.timestamp(), record.key().unwrap().to_vec(), record.value().unwrap().to_vec(), headers.collect())
}

#[tokio::test(start_paused = true)]
async fn interceptors_run_in_order_and_hear_of_records_before_their_callbacks() {
    let calls = Calls::default();
    let cluster = cluster(&[("t", 1)]).await;
    let config = ProducerConfig::default()
        .interceptor(Named("first", Arc::clone(&calls)))
        .interceptor(Named("second", Arc::clone(&calls)));
    let producer = cluster.producer(config).unwrap();
    let called_back = Arc::clone(&calls);
    let callback = move |result: Result<RecordMetadata>| {
        called_back.lock().unwrap().push(format!("callback at {}", result.unwrap().offset()));
    };
    let delivery = producer.send_with(ProducerRecord::to("t").value("a"), callback).await.unwrap();
    assert_eq!(delivery.await.unwrap().offset(), 0);
    producer.close().await.unwrap();
    producer.close().await.unwrap();
    // Behind the end nothing is intercepted.
    let refused = producer.send(ProducerRecord::to("t").value("b")).await.unwrap_err();
    assert!(refused.error().is_closed());
    drop(producer);
    let expected = [
        "first sends a first",
        "second sends a first second",
        "first hears of t-0 at 0",
        "second hears of t-0 at 0",
        "callback at 0",
        "first closes",
        "second closes",
    ];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_delivers_and_then_closes() {
    let calls = Calls::default();
    let cluster = cluster(&[("t", 1)]).await;
    let producer = cluster.producer(ProducerConfig::default().interceptor(Named("it", Arc::clone(&calls)))).unwrap();
    drop(producer.send(ProducerRecord::to("t").value("a")).await.unwrap());
    let other = producer.clone();
    drop(producer);
    assert_eq!(calls.lock().unwrap().len(), 1);
    drop(other);
    assert_eq!(*calls.lock().unwrap(), ["it sends a it", "it hears of t-0 at 0", "it closes"]);
}

/// Changes whatever can be changed.
struct Rewrite {
    topic: String,
}

impl ProducerInterceptor for Rewrite {
    fn on_send<'r>(&'r self, record: ProducerRecord<'r>) -> ProducerRecord<'r> {
        let mut record = record.remove_headers("secret").header("by", vec![1, 2]).key(&self.topic).value("new");
        (record.topic, record.partition, record.timestamp) = (&self.topic, Some(2), Some(7));
        record
    }
}

#[tokio::test(start_paused = true)]
async fn everything_about_a_record_can_be_replaced() {
    let cluster = cluster(&[("old", 1), ("other", 3)]).await;
    let producer = cluster.producer(ProducerConfig::default().interceptor(Rewrite { topic: "other".into() })).unwrap();
    let record = ProducerRecord::to("old").key("k").value("v").header("keep", "x").header("secret", "y");
    let metadata = producer.send(record).await.unwrap().await.unwrap();
    assert_eq!((metadata.topic_partition().to_string().as_str(), metadata.timestamp()), ("other-2", 7));
    let headers = vec![("keep".to_owned(), b"x".to_vec()), ("by".to_owned(), vec![1, 2])];
    assert_eq!(first(&cluster, "other", 2).await, (7, b"other".to_vec(), b"new".to_vec(), headers));
}

/// Panics wherever it is called.
struct Panics;

impl ProducerInterceptor for Panics {
    fn on_send<'r>(&'r self, _: ProducerRecord<'r>) -> ProducerRecord<'r> {
        panic!("on purpose");
    }

    fn on_acknowledgement(&self, _: &Result<RecordMetadata>) {
        panic!("on purpose");
    }

    fn on_close(&self) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_passed_over() {
    let calls = Calls::default();
    let cluster = cluster(&[("t", 1)]).await;
    let config = ProducerConfig::default()
        .interceptor(Named("first", Arc::clone(&calls)))
        .interceptor(Panics)
        .interceptor(Named("last", Arc::clone(&calls)));
    let producer = cluster.producer(config).unwrap();
    producer.send(ProducerRecord::to("t").key("k").value("a")).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(first(&cluster, "t", 0).await.2, b"a first last");
    let expected = [
        "first sends a first",
        "last sends a first last",
        "first hears of t-0 at 0",
        "last hears of t-0 at 0",
        "first closes",
        "last closes",
    ];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_fails_is_told_and_gives_the_original_record_back() {
    let calls = Calls::default();
    let cluster = cluster(&[("t", 1)]).await;
    let config = ProducerConfig::default().max_request_size(100).max_block(Duration::from_secs(1));
    let producer = cluster.producer(config.interceptor(Named("it", Arc::clone(&calls)))).unwrap();
    let value = "x".repeat(100);
    let too_large = producer.send(ProducerRecord::to("t").value(&value)).await.unwrap_err();
    assert_eq!(too_large.error().code(), ErrorCode::MessageTooLarge);
    assert_eq!(too_large.record().value_bytes(), Some(value.as_bytes()));
    let nowhere = producer.send(ProducerRecord::to("t").partition(4).value("a")).await.unwrap_err();
    assert!(nowhere.error().is_timeout());
    assert_eq!(nowhere.into_record(), ProducerRecord::to("t").partition(4).value("a"));
    let heard: Vec<_> = calls.lock().unwrap().iter().filter(|call| call.contains("hears")).cloned().collect();
    let code = ErrorCode::RequestTimedOut;
    assert_eq!(heard, ["it hears MessageTooLarge for t--1".to_owned(), format!("it hears {code:?} for t-4")]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_told_a_record_at_a_time() {
    let calls = Calls::default();
    let cluster = cluster(&[("t", 1)]).await;
    let producer = cluster.producer(ProducerConfig::default().interceptor(Named("it", Arc::clone(&calls)))).unwrap();
    producer.send(ProducerRecord::to("t").value("a")).await.unwrap().await.unwrap();
    calls.lock().unwrap().clear();
    let deliveries = [
        producer.send(ProducerRecord::to("t").timestamp(1).value("b")).await.unwrap(),
        producer.send(ProducerRecord::to("t").timestamp(2).value("c")).await.unwrap(),
    ];
    cluster.admin().delete_topic("t").await.unwrap();
    for delivery in deliveries {
        delivery.await.unwrap_err();
    }
    let heard: Vec<_> = calls.lock().unwrap().iter().filter(|call| call.contains("hears")).cloned().collect();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|call| call.ends_with("for t-0")), "{heard:?}");
}
