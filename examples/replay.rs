//! A log is not a queue: reading does not remove. Finds an offset by time and reads again: `cargo run --example replay`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use brokerless::{Cluster, Consumer, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord, TopicPartition};

const POLL: Duration = Duration::from_millis(50);
/// 2024-03-01 00:00 UTC, in milliseconds.
const MARCH_1: i64 = 1_709_251_200_000;
const HOUR: i64 = 60 * 60 * 1000;

#[tokio::main]
async fn main() -> brokerless::Result<()> {
    let cluster = Cluster::in_memory();
    // Retention goes by the records' own timestamps, and these are old.
    cluster.admin().create_topic(NewTopic::new("meter").partitions(1).config("retention.ms", "-1")).await?;
    let producer = cluster.producer(ProducerConfig::default())?;
    for hour in 0..72 {
        let reading = ProducerRecord::to("meter").timestamp(MARCH_1 + hour * HOUR).value(format!("{hour}"));
        producer.send(reading).await?;
    }
    producer.flush().await?;

    // No group: assign says what to read, seek says from where.
    let mut consumer = cluster.consumer(ConsumerConfig::default())?;
    let meter = TopicPartition::new("meter", 0);
    consumer.assign([meter.clone()])?;
    consumer.seek_to_beginning([&meter])?;
    assert_eq!(count_to_end(&mut consumer, &meter).await?, 72);
    println!("read all:                72 readings");

    // Half past the hour: the first reading at or after it is the one of 13:00.
    let since = MARCH_1 + 36 * HOUR + HOUR / 2;
    let found = consumer.offsets_for_times([(meter.clone(), since)]).await?;
    let offset = found[&meter].as_ref().expect("there are later readings").offset();
    assert_eq!(offset, 37);
    consumer.seek(&meter, offset)?;
    assert_eq!(count_to_end(&mut consumer, &meter).await?, 35);
    println!("again from 2 March 12:30: 35 readings, from offset {offset}");

    assert!(consumer.offsets_for_times([(meter.clone(), MARCH_1 + 100 * HOUR)]).await?[&meter].is_none());
    println!("from 5 March:            nothing there yet");
    consumer.close().await
}

async fn count_to_end(consumer: &mut Consumer, partition: &TopicPartition) -> brokerless::Result<usize> {
    let end = consumer.end_offsets([partition]).await?[partition];
    let mut count = 0;
    while consumer.position(partition).await? < end {
        count += consumer.poll(POLL).await?.len();
    }
    Ok(count)
}
