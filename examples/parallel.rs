//! 27,004 real flights through handlers that take a millisecond each, 64 at a time, those of one aircraft in their order:
//! `cargo run --release --example parallel`.
//!
//! A loop around a consumer would need 27 seconds; by partition, with six of them, it would still be five.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokerless::processing::{ParallelConsumer, ProcessingConfig, ProcessingOrder};
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// For each aircraft, the lines of the file that it is in.
type Legs = BTreeMap<String, Vec<usize>>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let csv = load()?;
    let flights: Vec<(String, usize)> = csv.lines().skip(1).map(tail_number).zip(1..).collect();

    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("flights").partitions(6)).await?;
    let producer = cluster.producer(ProducerConfig::default())?;
    for (aircraft, line) in &flights {
        producer.send(ProducerRecord::to("flights").key(aircraft.clone()).value(line.to_string())).await?;
    }
    producer.flush().await?;

    let config = ConsumerConfig::group("maintenance").auto_offset_reset(AutoOffsetReset::Earliest);
    let processing = ProcessingConfig::default().order(ProcessingOrder::Key).max_concurrency(64);
    let mut consumer = ParallelConsumer::new(&cluster, config, processing)?;
    consumer.subscribe(["flights"])?;

    let legs: Arc<Mutex<(usize, Legs)>> = Arc::default();
    let (shutdown, total) = (consumer.shutdown_handle(), flights.len());
    let (begun, handled) = (Instant::now(), Arc::clone(&legs));
    let summary = consumer.run(move |record| {
        let (shutdown, legs) = (shutdown.clone(), Arc::clone(&handled));
        async move {
            // Stands for a call to a database.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let text = |text: Result<Option<&str>, _>| text.ok().flatten().expect("all of it is text").to_owned();
            let (aircraft, line) = (text(record.key_str()), text(record.value_str()));
            let mut legs = legs.lock().expect("nobody panics with it");
            legs.0 += 1;
            legs.1.entry(aircraft).or_default().push(line.parse().expect("a number"));
            if legs.0 == total {
                shutdown.shutdown();
            }
            Ok::<_, Infallible>(())
        }
    });
    let summary = summary.await?;
    let elapsed = begun.elapsed();

    let mut expected = Legs::new();
    for (aircraft, line) in flights {
        expected.entry(aircraft).or_default().push(line);
    }
    let (_, legs) = std::mem::take(&mut *legs.lock().expect("nobody panics with it"));
    assert!(legs == expected, "each flight once, those of an aircraft in order");
    assert_eq!((summary.processed(), summary.unfinished()), (total as u64, 0));

    // What is complete is committed: whoever comes next has nothing to do again.
    let observer = cluster.consumer(ConsumerConfig::group("maintenance"))?;
    let committed = observer.committed((0..6).map(|partition| ("flights", partition))).await?;
    assert_eq!(committed.values().map(|position| position.offset()).sum::<i64>(), total as i64);

    println!("{total} flights of {} aircraft in {elapsed:.1?}, each aircraft's in order, all committed", legs.len());
    Ok(())
}

fn load() -> Result<String, Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-01.csv.gz");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(std::fs::File::open(path)?), &mut text)?;
    Ok(text)
}

/// The twelfth field.
fn tail_number(line: &str) -> String {
    line.split(',').nth(11).unwrap_or_default().to_owned()
}
