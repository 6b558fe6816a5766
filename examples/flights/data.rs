//! The file, read twice: by splitting lines, as the groups do, and by the `csv` crate, for what the groups must find.

use std::fs::File;
use std::io::Read;

use crate::Error;
use crate::tally::{Airports, Delays, Routes};

/// Midnight of 1 January 2013 in New York. All of January is standard time, UTC−5.
const JANUARY_1_MS: i64 = 1_357_016_400_000;

pub(crate) fn load() -> Result<String, Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-01.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(path)?).read_to_string(&mut text)?;
    Ok(text)
}

/// A time of January 2013 on New York's clocks, in milliseconds since 1970 UTC.
pub(crate) fn new_york_ms(day: i64, hour: i64, minute: i64) -> i64 {
    JANUARY_1_MS + (((day - 1) * 24 + hour) * 60 + minute) * 60_000
}

/// What is used of one line.
pub(crate) struct Flight<'a> {
    day: i64,
    hour: i64,
    minute: i64,
    /// It left at all.
    pub(crate) departed: bool,
    /// Minutes late; negative is early. `None` if it was cancelled or diverted.
    pub(crate) arrival_delay: Option<i64>,
    pub(crate) carrier: &'a str,
    pub(crate) tail_number: Option<&'a str>,
    pub(crate) origin: &'a str,
    pub(crate) destination: &'a str,
}

impl<'a> Flight<'a> {
    /// A line has 19 fields; `NA` stands for nothing.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let known = |index: usize| Some(fields[index]).filter(|field| *field != "NA");
        if fields.len() != 19 {
            return None;
        }
        Some(Self {
            day: fields[2].parse().ok()?,
            hour: fields[16].parse().ok()?,
            minute: fields[17].parse().ok()?,
            departed: known(3).is_some(),
            arrival_delay: known(8).map(str::parse).transpose().ok()?,
            carrier: fields[9],
            tail_number: known(11),
            origin: fields[12],
            destination: fields[13],
        })
    }

    pub(crate) fn scheduled_departure_ms(&self) -> i64 {
        new_york_ms(self.day, self.hour, self.minute)
    }
}

/// The right answers.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) flights: u64,
    pub(crate) delays: Delays,
    pub(crate) routes: Routes,
    /// Of one day.
    pub(crate) airports: Airports,
}

impl Expected {
    /// Counts by column name, without a topic, a consumer or [`Flight`].
    pub(crate) fn from_csv(csv: &str, day: i64) -> Result<Self, Error> {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let headers = reader.headers()?.clone();
        let column = |name| headers.iter().position(|header| header == name).ok_or(format!("no column {name}"));
        let (carrier, delay, days) = (column("carrier")?, column("arr_delay")?, column("day")?);
        let (origin, destination, departure) = (column("origin")?, column("dest")?, column("dep_time")?);
        let mut expected = Self::default();
        for row in reader.records() {
            let row = row?;
            expected.flights += 1;
            let of_carrier = expected.delays.by_carrier.entry(row[carrier].to_owned()).or_default();
            of_carrier.flights += 1;
            if let Ok(minutes) = row[delay].parse::<i64>() {
                of_carrier.arrived += 1;
                of_carrier.minutes += minutes;
            }
            *expected.routes.by_route.entry((row[origin].to_owned(), row[destination].to_owned())).or_default() += 1;
            if row[days].parse() == Ok(day) {
                let of_airport = expected.airports.by_origin.entry(row[origin].to_owned()).or_default();
                of_airport.flights += 1;
                of_airport.cancelled += u64::from(&row[departure] == "NA");
            }
        }
        Ok(expected)
    }
}
