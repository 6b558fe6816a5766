//! Typed records: what is sent is received, and what becomes of records that do not parse.

use std::time::Duration;

use brokerless::typed::{
    BoxError, DeadLetter, DeserializeContext, Deserializer, OnUnparsable, Part, Plain, PollError, SerializeContext,
    Serializer, Stage, TypedConsumer, TypedProducer, TypedRecord, UnparsableRecord, Void,
};
use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, OwnedConsumerRecord, ProducerConfig, ProducerRecord,
};
use proptest::prelude::*;

use crate::consumer::{POLL, cluster, producer, t};
use crate::testing::cases;

/// Values that are numbers in decimal; everything else does not parse.
struct Decimal;

impl Serializer<i64> for Decimal {
    fn serialize(&self, value: &i64, context: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if *value < 0 {
            return Err("negative".into());
        }
        let seen = context.headers().map(|(name, _)| name).collect::<Vec<_>>().join(",");
        context.add_header(format!("{}-of-{}", context.part(), context.topic()), seen);
        out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }
}

impl Deserializer<i64> for Decimal {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<i64, BoxError> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }
}

/// What a deserializer can see beside the bytes.
struct Surroundings;

impl Deserializer<String> for Surroundings {
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<String, BoxError> {
        let trace = std::str::from_utf8(context.header("trace").ok_or("no trace")?)?;
        Ok(format!("{} {} {} {trace}", context.topic(), context.part(), std::str::from_utf8(bytes)?))
    }
}

type Numbers = TypedConsumer<Vec<u8>, i64>;

fn numbers(cluster: &Cluster, config: ConsumerConfig, partitions: i32) -> Numbers {
    let consumer = cluster.consumer(config.auto_offset_reset(AutoOffsetReset::Earliest)).unwrap();
    let mut consumer = TypedConsumer::new(consumer, Plain, Decimal);
    consumer.assign((0..partitions).map(t)).unwrap();
    consumer
}

/// Sends these values to one partition.
async fn put(cluster: &Cluster, partition: i32, values: &[&str]) {
    let producer = producer(cluster);
    for value in values {
        producer.send(ProducerRecord::to("t").partition(partition).value(*value)).await.unwrap();
    }
    producer.flush().await.unwrap();
}

async fn values(consumer: &mut Numbers) -> Vec<i64> {
    consumer.poll(POLL).await.unwrap().iter().map(|record| *record.value().unwrap()).collect()
}

async fn failure(consumer: &mut Numbers) -> Box<UnparsableRecord> {
    match consumer.poll(POLL).await {
        Err(PollError::Unparsable(unparsable)) => unparsable,
        other => panic!("{other:?}"),
    }
}

async fn position(consumer: &Numbers) -> i64 {
    let lag = consumer.current_lag(t(0)).unwrap().unwrap();
    consumer.end_offsets([t(0)]).await.unwrap()[&t(0)] - lag
}

#[tokio::test]
async fn what_is_sent_is_received_with_everything_around_it() {
    let cluster = cluster(3).await;
    let producer = TypedProducer::<str, i64>::new(producer(&cluster), Plain, Decimal);
    let record = TypedRecord::to("t").partition(2).timestamp(1234).key("ada").value(&42).header("trace", "7f");
    let delivery = producer.send(record).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(delivery.await.unwrap().offset(), 0);

    let consumer = cluster.consumer(ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)).unwrap();
    let mut consumer = TypedConsumer::<String, String>::new(consumer, Plain, Surroundings);
    consumer.assign([t(2)]).unwrap();
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!(records.len(), 1);
    let record = records.iter().next().unwrap();
    assert_eq!((record.key().unwrap().as_str(), record.value().unwrap().as_str()), ("ada", "t value 42 7f"));
    assert_eq!((record.topic_partition(), record.offset(), record.timestamp()), (&t(2), 0, 1234));
    assert_eq!(record.raw().value(), Some(&b"42"[..]));
    let headers: Vec<_> = record.headers().map(|header| (header.key(), header.value().unwrap())).collect();
    assert_eq!(headers, [("trace", &b"7f"[..]), ("value-of-t", b"trace")]);
    let next: Vec<_> = records.next_offsets().map(|(partition, next)| (partition.clone(), next.offset())).collect();
    assert_eq!(next, [(t(2), 1)]);
    let owned: Vec<_> = records.into_iter().collect();
    assert_eq!((owned[0].key().unwrap().as_str(), owned[0].offset()), ("ada", 0));
    assert_eq!(owned.into_iter().next().unwrap().into_parts().1.unwrap(), "t value 42 7f");
}

#[tokio::test]
async fn null_is_null_and_no_serializer_sees_it() {
    /// Refuses everything: it must not be asked.
    struct Never;
    impl Serializer<i64> for Never {
        fn serialize(&self, _: &i64, _: &mut SerializeContext<'_>, _: &mut Vec<u8>) -> Result<(), BoxError> {
            Err("asked".into())
        }
    }
    let cluster = cluster(1).await;
    let typed = TypedProducer::<Void, i64>::new(producer(&cluster), Plain, Never);
    typed.send(TypedRecord::to("t")).await.unwrap();
    typed.flush().await.unwrap();
    // An empty value is not null.
    producer(&cluster).send(ProducerRecord::to("t").value("")).await.unwrap().await.unwrap();

    let consumer = cluster.consumer(ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)).unwrap();
    let mut consumer = TypedConsumer::<Void, Vec<u8>>::new(consumer, Plain, Plain);
    consumer.assign([t(0)]).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(consumer.poll(POLL).await.unwrap().into_iter().map(|record| record.into_parts()));
    }
    assert_eq!(seen, [(None, None), (None, Some(Vec::new()))]);
}

#[tokio::test]
async fn a_value_that_does_not_serialize_is_not_sent() {
    let cluster = cluster(1).await;
    let producer = TypedProducer::<str, i64>::new(producer(&cluster), Plain, Decimal);
    let error = producer.send(TypedRecord::to("t").key("ada").value(&-1)).await.unwrap_err();
    assert!(error.is_serialization());
    assert_eq!(error.to_string(), "cannot serialize the value of a record for t");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "negative");
    let delivery = producer.send(TypedRecord::to("t").key("ada").value(&1)).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(delivery.await.unwrap().offset(), 0);
}

#[tokio::test]
async fn fail_returns_what_came_before_and_stands_until_sought_past() {
    let cluster = cluster(1).await;
    put(&cluster, 0, &["0", "1", "two", "3"]).await;
    let mut consumer = numbers(&cluster, ConsumerConfig::group("g"), 1);
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!(records.iter().map(|record| *record.value().unwrap()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(records.next_offsets().map(|(_, next)| next.offset()).collect::<Vec<_>>(), [2]);
    assert_eq!(position(&consumer).await, 2);
    for _ in 0..3 {
        let error = failure(&mut consumer).await;
        assert_eq!((error.topic_partition(), error.offset(), error.part()), (&t(0), 2, Part::Value));
        assert_eq!(error.record().value(), Some(&b"two"[..]));
        assert_eq!(
            error.to_string(),
            "cannot deserialize the value of t-0 at offset 2; if needed, seek past it to continue"
        );
        assert_eq!(error.cause().to_string(), "invalid digit found in string");
        assert_eq!(position(&consumer).await, 2);
        let error = brokerless::Error::from(PollError::Unparsable(error));
        assert!(error.is_serialization());
        assert_eq!(error.topic_partition(), Some(&t(0)));
        let source = std::error::Error::source(&error).unwrap().downcast_ref::<UnparsableRecord>().unwrap();
        assert_eq!(source.offset(), 2);
    }
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 2);
    consumer.seek(t(0), 3).unwrap();
    assert_eq!(values(&mut consumer).await, [3]);
}

#[tokio::test]
async fn fail_is_not_hidden_by_a_busy_partition_and_a_pause_lets_that_one_go_on() {
    let cluster = cluster(2).await;
    put(&cluster, 0, &["zero"]).await;
    put(&cluster, 1, &["1"]).await;
    let mut consumer = numbers(&cluster, ConsumerConfig::default(), 2);
    let (mut seen, mut failures) = (Vec::new(), 0);
    for number in 2..20 {
        match consumer.poll(POLL).await {
            Ok(records) => seen.extend(records.iter().map(|record| *record.value().unwrap())),
            Err(PollError::Unparsable(error)) => {
                assert_eq!(error.offset(), 0);
                failures += 1;
            }
            Err(error) => panic!("{error}"),
        }
        put(&cluster, 1, &[&number.to_string()]).await;
    }
    assert!(failures >= 17, "{failures}");
    consumer.pause([t(0)]).unwrap();
    while seen.last() != Some(&19) {
        seen.extend(values(&mut consumer).await);
    }
    assert_eq!(seen, (1..20).collect::<Vec<_>>());
    consumer.resume([t(0)]).unwrap();
    assert_eq!(failure(&mut consumer).await.offset(), 0);
}

#[tokio::test]
async fn skip_passes_over_and_counts() {
    let cluster = cluster(1).await;
    put(&cluster, 0, &["no", "1", "two", "3", "!"]).await;
    let mut consumer = numbers(&cluster, ConsumerConfig::default(), 1).on_unparsable(OnUnparsable::Skip);
    let records = consumer.poll(POLL).await.unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(
        records.iter().map(|record| (record.offset(), *record.value().unwrap())).collect::<Vec<_>>(),
        [(1, 1), (3, 3)]
    );
    assert_eq!(records.next_offsets().map(|(_, next)| next.offset()).collect::<Vec<_>>(), [5]);
    assert_eq!(records.into_iter().map(|record| record.offset()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((consumer.skipped(), position(&consumer).await), (3, 5));
    // Nothing but what does not parse: the poll returns, empty, as it got on.
    put(&cluster, 0, &["no"]).await;
    assert!(consumer.poll(Duration::MAX).await.unwrap().is_empty());
    assert_eq!((consumer.skipped(), position(&consumer).await), (4, 6));
}

async fn dead_letters(cluster: &Cluster, count: usize) -> Vec<OwnedConsumerRecord> {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([("dead", 0)]).unwrap();
    let mut dead = Vec::new();
    while dead.len() < count {
        dead.extend(consumer.poll(POLL).await.unwrap());
    }
    dead
}

fn headers(record: &OwnedConsumerRecord) -> Vec<(&str, &str)> {
    record.headers().map(|(name, value)| (name, std::str::from_utf8(value.unwrap()).unwrap())).collect()
}

#[tokio::test]
async fn dead_letters_are_as_connect_writes_them() {
    let cluster = cluster(1).await;
    cluster.admin().create_topic(NewTopic::new("dead").partitions(1).config("retention.ms", "-1")).await.unwrap();
    put(&cluster, 0, &["0"]).await;
    let record = ProducerRecord::to("t").timestamp(1234).key("ada").value("one").header("trace", "7f");
    producer(&cluster).send(record).await.unwrap().await.unwrap();
    put(&cluster, 0, &["2"]).await;

    let dead_letter = DeadLetter::new(producer(&cluster), "dead").name("billing").task(3);
    let policy = OnUnparsable::DeadLetter(dead_letter.clone());
    let mut consumer = numbers(&cluster, ConsumerConfig::default(), 1).on_unparsable(policy);
    assert_eq!(values(&mut consumer).await, [0, 2]);
    assert_eq!((consumer.dead_lettered(), consumer.skipped(), position(&consumer).await), (1, 0, 3));
    let dead = dead_letters(&cluster, 1).await;
    assert_eq!((dead[0].key(), dead[0].value()), (Some(&b"ada"[..]), Some(&b"one"[..])));
    assert_eq!(dead[0].timestamp(), 1234);
    let message = "cannot deserialize the value of t-0 at offset 1; if needed, seek past it to continue";
    let class = "brokerless::typed::UnparsableRecord";
    assert_eq!(
        headers(&dead[0]),
        [
            ("trace", "7f"),
            ("__connect.errors.topic", "t"),
            ("__connect.errors.partition", "0"),
            ("__connect.errors.offset", "1"),
            ("__connect.errors.connector.name", "billing"),
            ("__connect.errors.task.id", "3"),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.class.name", std::any::type_name::<Decimal>()),
            ("__connect.errors.exception.class.name", class),
            ("__connect.errors.exception.message", message),
            (
                "__connect.errors.exception.stacktrace",
                &format!("{class}: {message}\nCaused by: invalid digit found in string")
            ),
        ]
    );

    // From any other code: a handler that fails on a record that did parse.
    let error = "x".parse::<i32>().unwrap_err();
    let metadata = dead_letter.report(&dead[0], Stage::TaskPut, &error).await.unwrap();
    assert_eq!((metadata.topic(), metadata.offset()), ("dead", 1));
    let again = &dead_letters(&cluster, 2).await[1];
    let headers = headers(again);
    assert_eq!(headers.len(), 21, "the headers of the first report stay, as in Connect");
    assert_eq!(
        headers[11..15],
        [
            ("__connect.errors.topic", "dead"),
            ("__connect.errors.partition", "0"),
            ("__connect.errors.offset", "0"),
            ("__connect.errors.connector.name", "billing"),
        ]
    );
    assert_eq!(
        headers[16..],
        [
            ("__connect.errors.stage", "TASK_PUT"),
            ("__connect.errors.class.name", "billing"),
            ("__connect.errors.exception.class.name", "core::num::error::ParseIntError"),
            ("__connect.errors.exception.message", "invalid digit found in string"),
            ("__connect.errors.exception.stacktrace", "core::num::error::ParseIntError: invalid digit found in string"),
        ]
    );
}

/// Neither a poll that is dropped while it waits for the dead-letter topic nor one whose dead letter is refused moves the
/// position, so that nothing is committed that is not safe.
#[tokio::test(start_paused = true)]
async fn the_position_passes_a_record_only_once_the_dead_letter_is_acknowledged() {
    let cluster = cluster(1).await;
    put(&cluster, 0, &["0", "one", "2"]).await;
    let to_dead = cluster.producer(ProducerConfig::default().max_block(Duration::from_secs(5))).unwrap();
    let policy = OnUnparsable::DeadLetter(DeadLetter::new(to_dead, "dead"));
    let mut consumer = numbers(&cluster, ConsumerConfig::group("g"), 1).on_unparsable(policy);
    // There is no such topic yet.
    assert!(tokio::time::timeout(Duration::from_secs(1), consumer.poll(POLL)).await.is_err());
    assert_eq!((position(&consumer).await, consumer.dead_lettered()), (0, 0));
    match consumer.poll(POLL).await {
        Err(PollError::Client(error)) => assert!(error.is_timeout(), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((position(&consumer).await, consumer.dead_lettered()), (0, 0));
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed([t(0)]).await.unwrap()[&t(0)].offset(), 0);

    cluster.admin().create_topic(NewTopic::new("dead").partitions(1)).await.unwrap();
    assert_eq!(values(&mut consumer).await, [0, 2]);
    assert_eq!((position(&consumer).await, consumer.dead_lettered()), (3, 1));
    let dead = dead_letters(&cluster, 1).await;
    assert_eq!((dead[0].offset(), dead[0].value()), (0, Some(&b"one"[..])));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..cases(256) })]

    /// With each policy: every record that parses comes exactly once and in order, every other one is accounted for once,
    /// and what is committed after a poll is exactly what was handed out and passed over.
    #[test]
    fn invariant_25_no_policy_loses_or_repeats_a_record(
        partitions in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.8), 0..12), 1..4),
        max_poll_records in 1usize..8,
        policy in 0..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let count = partitions.len() as i32;
            let cluster = cluster(count).await;
            cluster.admin().create_topic(NewTopic::new("dead").partitions(1)).await.unwrap();
            for (partition, records) in partitions.iter().enumerate() {
                let texts: Vec<_> = records.iter().enumerate()
                    .map(|(offset, good)| if *good { offset.to_string() } else { format!("bad {offset}") })
                    .collect();
                put(&cluster, partition as i32, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
            let config = ConsumerConfig::group("g").max_poll_records(max_poll_records);
            let policy = match policy {
                0 => OnUnparsable::Fail,
                1 => OnUnparsable::Skip,
                _ => OnUnparsable::DeadLetter(DeadLetter::new(producer(&cluster), "dead")),
            };
            let mut consumer = numbers(&cluster, config, count).on_unparsable(policy);
            let mut seen = vec![Vec::new(); partitions.len()];
            let (mut failed, mut left) = (0, partitions.iter().map(Vec::len).sum::<usize>() as u64);
            let good = partitions.iter().flatten().filter(|good| **good).count() as u64;
            let bad = left - good;
            for _ in 0..200 {
                match consumer.poll(POLL).await {
                    Ok(records) => {
                        for record in &records {
                            assert_eq!(record.offset(), *record.value().unwrap());
                            seen[record.partition() as usize].push(record.offset());
                        }
                    }
                    Err(PollError::Unparsable(error)) => {
                        failed += 1;
                        consumer.seek(error.topic_partition(), error.offset() + 1).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
                let mut behind = 0;
                for partition in 0..count {
                    behind += consumer.current_lag(t(partition)).unwrap().unwrap_or(0) as u64;
                }
                let handed_out = seen.iter().map(Vec::len).sum::<usize>() as u64;
                let known = failed + consumer.skipped() + consumer.dead_lettered();
                if partitions.iter().all(|records| !records.is_empty()) && known + handed_out > 0 {
                    assert_eq!(handed_out + known + behind, good + bad);
                }
                left = good + bad - handed_out - known;
                if left == 0 {
                    break;
                }
            }
            assert_eq!(left, 0);
            for (seen, records) in seen.iter().zip(&partitions) {
                let expected: Vec<_> = (0..).zip(records).filter(|(_, good)| **good).map(|(offset, _)| offset).collect();
                assert_eq!(*seen, expected);
            }
            if consumer.dead_lettered() > 0 {
                assert_eq!(dead_letters(&cluster, bad as usize).await.len(), bad as usize);
            }
        });
    }
}

#[cfg(feature = "json")]
mod json {
    use brokerless::typed::Json;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        book: String,
        copies: u32,
    }

    #[tokio::test]
    async fn json_values_come_back_and_broken_ones_say_where() {
        let cluster = cluster(1).await;
        let producer = TypedProducer::<str, Order>::new(producer(&cluster), Plain, Json);
        let order = Order { book: "Dune".into(), copies: 2 };
        producer.send(TypedRecord::to("t").key("ada").value(&order)).await.unwrap();
        producer.producer().send(ProducerRecord::to("t").key("ada").value(r#"{"book":7}"#)).await.unwrap();
        producer.flush().await.unwrap();
        let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
        let mut consumer = TypedConsumer::<String, Order>::new(cluster.consumer(config).unwrap(), Plain, Json);
        consumer.assign([brokerless::TopicPartition::new("t", 0)]).unwrap();
        let records = consumer.poll(POLL).await.unwrap();
        assert_eq!(records.iter().map(|record| record.value().unwrap().clone()).collect::<Vec<_>>(), [order]);
        assert_eq!(records.iter().next().unwrap().raw().value(), Some(&br#"{"book":"Dune","copies":2}"#[..]));
        let Err(PollError::Unparsable(error)) = consumer.poll(POLL).await else { panic!("it does not parse") };
        assert_eq!(error.cause().to_string(), "invalid type: integer `7`, expected a string at line 1 column 9");
        // Nothing that serde reports as an error of its own is lost on the way.
        assert!(error.cause().is::<serde_json::Error>());
    }
}

#[cfg(feature = "postcard")]
mod postcard {
    use brokerless::typed::Postcard;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Event {
        Ordered { book: String, copies: u32 },
        Cancelled(u64),
    }

    #[tokio::test]
    async fn postcard_values_come_back_and_cut_ones_are_passed_over() {
        let cluster = cluster(1).await;
        let producer = TypedProducer::<i32, Event>::new(producer(&cluster), Plain, Postcard);
        let events = [Event::Ordered { book: "Dune".into(), copies: 300 }, Event::Cancelled(7)];
        producer.send(TypedRecord::to("t").key(&1).value(&events[0])).await.unwrap();
        // The variant, and a string that is not there.
        producer.producer().send(ProducerRecord::to("t").key(&[0, 0, 0, 1]).value(&[0, 9])).await.unwrap();
        producer.send(TypedRecord::to("t").key(&2).value(&events[1])).await.unwrap();
        producer.flush().await.unwrap();
        let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
        let consumer = TypedConsumer::<i32, Event>::new(cluster.consumer(config).unwrap(), Plain, Postcard);
        let mut consumer = consumer.on_unparsable(OnUnparsable::Skip);
        consumer.assign([brokerless::TopicPartition::new("t", 0)]).unwrap();
        let mut seen = Vec::new();
        while seen.len() < events.len() {
            let records = consumer.poll(POLL).await.unwrap();
            seen.extend(records.iter().map(|record| (record.offset(), record.value().unwrap().clone())));
        }
        assert_eq!(seen, [(0, events[0].clone()), (2, events[1].clone())]);
        assert_eq!(consumer.skipped(), 1);
    }
}
