//! Structs in, structs out, as JSON on the way, with keys as any Kafka client reads them:
//! `cargo run --example typed_records`.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Duration;

use brokerless::typed::{Json, Plain, PollError, TypedConsumer, TypedProducer, TypedRecord};
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    celsius: f64,
    #[serde(default)]
    humidity: Option<u8>,
}

#[tokio::main]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("weather").partitions(1)).await?;

    // Keys are text as Kafka's StringSerializer writes it; values are JSON.
    let raw = cluster.producer(ProducerConfig::default())?;
    let producer = TypedProducer::<str, Reading>::new(raw.clone(), Plain, Json);
    for (city, celsius, humidity) in [("Oslo", -3.5, None), ("Cairo", 31.0, Some(12)), ("Oslo", -1.0, Some(80))] {
        producer.send(TypedRecord::to("weather").key(city).value(&Reading { celsius, humidity })).await?;
    }
    // Somebody else writes something else, and goes on.
    raw.send(ProducerRecord::to("weather").key("Lima").value(r#"{"celsius":"warm"}"#)).await?;
    producer.send(TypedRecord::to("weather").key("Cairo")).await?;
    producer.flush().await?;

    let config = ConsumerConfig::group("averages").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = TypedConsumer::<String, Reading>::new(cluster.consumer(config)?, Plain, Json);
    consumer.subscribe(["weather"])?;
    let mut latest = BTreeMap::new();
    let mut refused = Vec::new();
    let mut count = 0;
    while count < 5 {
        match consumer.poll(Duration::from_secs(5)).await {
            Ok(records) => {
                for record in &records {
                    let city = record.key().expect("every reading names its city").clone();
                    match record.value() {
                        Some(reading) => latest.insert(city, reading.celsius),
                        None => latest.remove(&city),
                    };
                    count += 1;
                }
            }
            // By default the poll fails, after it has returned everything before the record, and stands in front of it.
            Err(PollError::Unparsable(error)) => {
                println!("{error}: {}", error.cause());
                consumer.seek(error.topic_partition(), error.offset() + 1)?;
                refused.push(error.into_record());
                count += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    consumer.commit().await?;
    consumer.close().await?;

    assert_eq!(latest, BTreeMap::from([("Oslo".into(), -1.0)]));
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].offset(), refused[0].key_str()), (3, Ok(Some("Lima"))));
    println!("latest: {latest:?}; one record did not parse");
    Ok(())
}
