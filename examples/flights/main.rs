//! 27,004 real flights through a topic, two consumer groups, a rebalance and a replay, checked against the file itself:
//! `cargo run --release --example flights`.
//!
//! The data are the flights that left New York City's airports in January 2013 (US Bureau of Transportation Statistics,
//! by way of nycflights13, CC0).
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod data;
mod members;
mod report;
mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use brokerless::{Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord, TopicPartition};

use data::{Flight, new_york_ms};
use members::Group;
use tally::{Airports, Delays, Routes, Tally};

const TOPIC: &str = "flights";
const PARTITIONS: i32 = 6;
const REPLAYED_DAY: i64 = 15;
/// All of it takes well under a second. Whoever waits longer has lost a record.
const PATIENCE: Duration = Duration::from_secs(60);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match tokio::time::timeout(PATIENCE, run()).await {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("failed: not everything was read within {PATIENCE:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Error> {
    let csv = data::load()?;
    let expected = data::Expected::from_csv(&csv, REPLAYED_DAY)?;

    let cluster = Cluster::in_memory();
    // Retention goes by the records' own timestamps: a week after 2013, Kafka's default would delete everything.
    let topic = NewTopic::new(TOPIC).partitions(PARTITIONS).config("retention.ms", "-1");
    cluster.admin().create_topic(topic).await?;

    // Both groups wait at the empty topic until every member has its share. Then they read while it fills.
    let mut delays = Group::<Delays>::start(&cluster, "delays", 2, 500, None);
    let mut routes = Group::<Routes>::start(&cluster, "routes", 3, 100, Some(expected.flights / 2));
    delays.balanced().await?;
    routes.balanced().await?;

    let started = Instant::now();
    let per_partition = produce(&cluster, &csv).await?;
    report::loaded(&per_partition, started.elapsed());
    let total = per_partition.iter().sum();
    let delays = delays.finish(total).await?;
    report::delays(&delays);
    let routes = routes.finish(total).await?;
    report::routes(&routes);

    let started = Instant::now();
    let replayed = replay(&cluster).await?;
    report::replay(&replayed, REPLAYED_DAY, started.elapsed());

    let mut check = report::Check::default();
    check.equal("flights in the log", &total, &expected.flights);
    check.equal("flights read by group delays", &delays.counted, &expected.flights);
    check.equal("flights read by group routes", &routes.counted, &expected.flights);
    check.equal("flights, arrivals and delays by carrier", &delays.tally.by_carrier, &expected.delays.by_carrier);
    check.equal("flights by route", &routes.tally.by_route, &expected.routes.by_route);
    check.equal("flights on the replayed day by airport", &replayed.by_origin, &expected.airports.by_origin);
    check.equal("aircraft found in more than one partition", &routes.tally.strays(), &0);
    Ok(check.finish())
}

/// Sends every line of the file, keyed by the aircraft's tail number. Returns how many records each partition has.
async fn produce(cluster: &Cluster, csv: &str) -> Result<Vec<u64>, Error> {
    let producer = cluster.producer(ProducerConfig::default())?;
    let mut deliveries = Vec::new();
    for line in csv.lines().skip(1) {
        let flight = Flight::parse(line).ok_or_else(|| format!("not a flight: {line}"))?;
        let record = ProducerRecord::to(TOPIC).value(line.to_owned()).timestamp(flight.scheduled_departure_ms());
        let record = match flight.tail_number {
            Some(tail_number) => record.key(tail_number.to_owned()),
            None => record,
        };
        deliveries.push(producer.send(record).await?);
    }
    producer.flush().await?;
    let mut per_partition = vec![0; PARTITIONS as usize];
    for delivery in deliveries {
        per_partition[delivery.await?.partition() as usize] += 1;
    }
    Ok(per_partition)
}

/// Finds the day in every partition by time, goes there and counts it again. The groups' positions are not touched.
async fn replay(cluster: &Cluster) -> Result<Airports, Error> {
    let partitions: Vec<_> = (0..PARTITIONS).map(|index| TopicPartition::new(TOPIC, index)).collect();
    let mut consumer = cluster.consumer(ConsumerConfig::default())?;
    consumer.assign(partitions.clone())?;
    let at = |day| partitions.iter().map(move |it| (it.clone(), new_york_ms(day, 0, 0)));
    let starts = consumer.offsets_for_times(at(REPLAYED_DAY)).await?;
    let ends = consumer.offsets_for_times(at(REPLAYED_DAY + 1)).await?;
    let offset = |found: &Option<brokerless::consumer::OffsetAndTimestamp>| {
        found.as_ref().map(|it| it.offset()).ok_or("no flight at or after that time")
    };
    let mut left = 0;
    for partition in &partitions {
        let start = offset(&starts[partition])?;
        consumer.seek(partition, start)?;
        left += offset(&ends[partition])? - start;
    }
    let mut airports = Airports::default();
    while left > 0 {
        for record in &consumer.poll(Duration::from_millis(100)).await? {
            // The file has whole days one after another, so each partition has, too.
            if record.timestamp() < new_york_ms(REPLAYED_DAY + 1, 0, 0) {
                airports.add(&record)?;
                left -= 1;
            }
        }
    }
    consumer.close().await?;
    Ok(airports)
}
