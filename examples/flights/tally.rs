//! What the groups count.

use std::collections::{BTreeMap, HashMap, HashSet};

use brokerless::ConsumerRecord;

use crate::Error;
use crate::data::Flight;

/// Something that is counted record by record, by several members, and then put together.
pub(crate) trait Tally: Default + Send + 'static {
    fn add(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Error>;

    fn merge(&mut self, other: Self);
}

fn flight<'a>(record: &ConsumerRecord<'a>) -> Result<Flight<'a>, Error> {
    let line = std::str::from_utf8(record.value().unwrap_or_default())?;
    Flight::parse(line).ok_or_else(|| format!("offset {}: not a flight: {line}", record.offset()).into())
}

/// Arrival delays by carrier.
#[derive(Default)]
pub(crate) struct Delays {
    pub(crate) by_carrier: BTreeMap<String, Delay>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delay {
    pub(crate) flights: u64,
    pub(crate) arrived: u64,
    pub(crate) minutes: i64,
}

impl Delay {
    pub(crate) fn add(&mut self, other: &Self) {
        self.flights += other.flights;
        self.arrived += other.arrived;
        self.minutes += other.minutes;
    }
}

impl Tally for Delays {
    fn add(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Error> {
        let flight = flight(record)?;
        let minutes = flight.arrival_delay;
        let one = Delay { flights: 1, arrived: minutes.is_some().into(), minutes: minutes.unwrap_or(0) };
        self.by_carrier.entry(flight.carrier.to_owned()).or_default().add(&one);
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (carrier, delay) in other.by_carrier {
            self.by_carrier.entry(carrier).or_default().add(&delay);
        }
    }
}

/// Flights by origin and destination, and the partitions in which each aircraft was seen.
#[derive(Default)]
pub(crate) struct Routes {
    pub(crate) by_route: BTreeMap<(String, String), u64>,
    partitions_of: HashMap<String, HashSet<i32>>,
}

impl Routes {
    /// How many aircraft were seen in more than one partition: none, since records are keyed by aircraft.
    pub(crate) fn strays(&self) -> usize {
        self.partitions_of.values().filter(|partitions| partitions.len() > 1).count()
    }

    pub(crate) fn aircraft(&self) -> usize {
        self.partitions_of.len()
    }
}

impl Tally for Routes {
    fn add(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Error> {
        let flight = flight(record)?;
        *self.by_route.entry((flight.origin.to_owned(), flight.destination.to_owned())).or_default() += 1;
        if let Some(tail_number) = flight.tail_number {
            self.partitions_of.entry(tail_number.to_owned()).or_default().insert(record.partition());
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (route, flights) in other.by_route {
            *self.by_route.entry(route).or_default() += flights;
        }
        for (tail_number, partitions) in other.partitions_of {
            self.partitions_of.entry(tail_number).or_default().extend(partitions);
        }
    }
}

/// One day's flights by airport.
#[derive(Default)]
pub(crate) struct Airports {
    pub(crate) by_origin: BTreeMap<String, Departures>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Departures {
    pub(crate) flights: u64,
    pub(crate) cancelled: u64,
}

impl Tally for Airports {
    fn add(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Error> {
        let flight = flight(record)?;
        let departures = self.by_origin.entry(flight.origin.to_owned()).or_default();
        departures.flights += 1;
        departures.cancelled += u64::from(!flight.departed);
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (origin, departures) in other.by_origin {
            let sum = self.by_origin.entry(origin).or_default();
            sum.flights += departures.flights;
            sum.cancelled += departures.cancelled;
        }
    }
}
