//! Records that do not parse, and records that cannot be processed, go to a dead-letter topic with Kafka Connect's
//! headers, and the rest goes on: `cargo run --example dead_letter`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use brokerless::typed::{DeadLetter, Json, OnUnparsable, Plain, Stage, TypedConsumer};
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};
use serde::Deserialize;

const POLL: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Payment {
    cents: i64,
}

#[derive(Debug)]
struct Refused(i64);

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cents cannot be paid", self.0)
    }
}

fn pay(payment: &Payment) -> Result<i64, Refused> {
    if payment.cents > 0 { Ok(payment.cents) } else { Err(Refused(payment.cents)) }
}

#[tokio::main]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    for topic in ["payments", "payments.dead"] {
        cluster.admin().create_topic(NewTopic::new(topic).partitions(1)).await?;
    }
    let producer = cluster.producer(ProducerConfig::default())?;
    for value in [r#"{"cents":1250}"#, "twelve fifty", r#"{"cents":-1}"#, r#"{"cents":99}"#] {
        producer.send(ProducerRecord::to("payments").key("ada").value(value)).await?;
    }
    producer.flush().await?;

    let dead_letter = DeadLetter::new(producer, "payments.dead").name("billing");
    let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest);
    // What does not parse is acknowledged by the dead-letter topic before the poll returns.
    let mut consumer = TypedConsumer::<String, Payment>::new(cluster.consumer(config)?, Plain, Json)
        .on_unparsable(OnUnparsable::DeadLetter(dead_letter.clone()));
    consumer.subscribe(["payments"])?;
    let (mut paid, mut refused) = (0, 0);
    while consumer.dead_lettered() < 1 || paid < 1349 || refused < 1 {
        for record in &consumer.poll(POLL).await? {
            match record.value().map(pay) {
                Some(Ok(cents)) => paid += cents,
                // What parses but cannot be processed is reported by hand: before the commit, so nothing is lost.
                Some(Err(error)) => {
                    dead_letter.report(&record.raw().to_owned(), Stage::TaskPut, &error).await?;
                    refused += 1;
                }
                None => {}
            }
        }
        consumer.commit().await?;
    }
    consumer.close().await?;

    let mut dead = cluster.consumer(ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest))?;
    dead.assign([("payments.dead", 0)])?;
    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        for record in dead.poll(POLL).await? {
            let header = |name: &str| {
                let value = record.headers().find(|(key, _)| *key == format!("__connect.errors.{name}"))?.1?;
                std::str::from_utf8(value).ok()
            };
            let (offset, stage) = (header("offset").unwrap_or("?"), header("stage").unwrap_or("?"));
            let message = header("exception.message").unwrap_or("?");
            println!("payments-0@{offset} {stage}: {message}");
            reasons.push((offset.to_owned(), stage.to_owned(), record.value_bytes().cloned().unwrap_or_default()));
        }
    }
    assert_eq!(paid, 1349);
    assert_eq!(
        reasons,
        [
            ("1".into(), "VALUE_CONVERTER".into(), "twelve fifty".into()),
            ("2".into(), "TASK_PUT".into(), r#"{"cents":-1}"#.into()),
        ]
    );
    println!("paid {paid} cents; {} payments wait for somebody to look at them", reasons.len());
    Ok(())
}
