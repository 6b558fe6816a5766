//! Tables.

use std::fmt::Debug;
use std::time::Duration;

use crate::members::Finished;
use crate::tally::{Airports, Delay, Delays, Departures, Routes};

const CARRIERS: [(&str, &str); 16] = [
    ("9E", "Endeavor"),
    ("AA", "American"),
    ("AS", "Alaska"),
    ("B6", "JetBlue"),
    ("DL", "Delta"),
    ("EV", "ExpressJet"),
    ("F9", "Frontier"),
    ("FL", "AirTran"),
    ("HA", "Hawaiian"),
    ("MQ", "Envoy"),
    ("OO", "SkyWest"),
    ("UA", "United"),
    ("US", "US Airways"),
    ("VX", "Virgin America"),
    ("WN", "Southwest"),
    ("YV", "Mesa"),
];

const BUSIEST: usize = 8;

/// `27,004`.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// `12.3 ms, 2,195,447 records/s`.
fn timing(records: u64, elapsed: Duration) -> String {
    let per_second = records as f64 / elapsed.as_secs_f64().max(1e-9);
    format!("{:.1} ms, {} records/s", elapsed.as_secs_f64() * 1e3, number(per_second as u64))
}

pub(crate) fn loaded(per_partition: &[u64], elapsed: Duration) {
    let total = per_partition.iter().sum();
    println!("Flights from New York City, January 2013, through a topic of {} partitions\n", per_partition.len());
    println!("Loaded {} flights: {}", number(total), timing(total, elapsed));
    let row = |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>9}")).collect::<String>();
    println!("  partition{}", row((0..per_partition.len()).map(|index| index.to_string()).collect()));
    println!("  flights  {}\n", row(per_partition.iter().map(|count| number(*count)).collect()));
}

pub(crate) fn delays(group: &Finished<Delays>) {
    println!(
        "Group `delays`, {} members, reading while it loads: {}",
        group.members.len(),
        timing(group.counted, group.elapsed)
    );
    println!("  {:<18}{:>9}{:>10}{:>20}", "carrier", "flights", "arrived", "mean arrival delay");
    let mean = |delay: &Delay| match delay.arrived {
        0 => "-".to_owned(),
        arrived => format!("{:+.1} min", delay.minutes as f64 / arrived as f64),
    };
    let line = |name: &str, delay: &Delay| {
        println!("  {name:<18}{:>9}{:>10}{:>20}", number(delay.flights), number(delay.arrived), mean(delay));
    };
    let mut carriers: Vec<_> = group.tally.by_carrier.iter().collect();
    carriers.sort_by_key(|(carrier, delay)| (std::cmp::Reverse(delay.flights), *carrier));
    let mut all = Delay::default();
    for (code, delay) in carriers {
        let name = CARRIERS.iter().find(|(known, _)| known == code).map_or("?", |(_, name)| name);
        line(&format!("{code} {name}"), delay);
        all.add(delay);
    }
    line("all", &all);
    println!();
}

pub(crate) fn routes(group: &Finished<Routes>) {
    println!(
        "Group `routes`, {} members, reading while it loads: {}",
        group.members.len(),
        timing(group.counted, group.elapsed)
    );
    println!("  {:<8}{:>14}{:>14}{:>9}", "member", "partitions", "at the end", "flights");
    let list = |partitions: &[i32]| partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    for (index, member) in group.members.iter().enumerate() {
        let (end, note) = match member.left_at {
            Some(count) => ("-".to_owned(), format!("   left when {} were counted", number(count))),
            None => (list(&member.latest), String::new()),
        };
        println!("  {:<8}{:>14}{end:>14}{:>9}{note}", index + 1, list(&member.at_start), number(member.counted));
    }
    let mut routes: Vec<_> = group.tally.by_route.iter().collect();
    routes.sort_by_key(|(route, flights)| (std::cmp::Reverse(**flights), *route));
    println!("  {:<18}{:>9}{:>10}", "busiest routes", "flights", "share");
    for ((origin, destination), flights) in routes.iter().take(BUSIEST) {
        let share = 100.0 * **flights as f64 / group.counted as f64;
        println!("  {:<18}{:>9}{share:>8.1} %", format!("{origin} → {destination}"), number(**flights));
    }
    let name = format!("all {}", routes.len());
    println!("  {name:<18}{:>9}{:>8.1} %", number(routes.iter().map(|(_, flights)| **flights).sum()), 100.0);
    println!("  {} aircraft, each in one partition\n", number(group.tally.aircraft() as u64));
}

pub(crate) fn replay(airports: &Airports, day: i64, elapsed: Duration) {
    let total = airports.by_origin.values().map(|it| it.flights).sum();
    println!("Replay of January {day}, found by timestamp: {}", timing(total, elapsed));
    println!("  {:<18}{:>9}{:>11}", "from", "flights", "cancelled");
    let line = |name: &str, departures: &Departures| {
        println!("  {name:<18}{:>9}{:>11}", number(departures.flights), number(departures.cancelled));
    };
    for (origin, departures) in &airports.by_origin {
        line(origin, departures);
    }
    let cancelled = airports.by_origin.values().map(|it| it.cancelled).sum();
    line("all", &Departures { flights: total, cancelled });
    println!();
}

/// Compares with what the file says.
#[derive(Default)]
pub(crate) struct Check {
    equal: usize,
    differ: usize,
}

impl Check {
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, what: &str, found: &T, expected: &T) {
        if found == expected {
            self.equal += 1;
        } else {
            self.differ += 1;
            eprintln!("DIFFERS: {what}\n  found    {found:?}\n  expected {expected:?}");
        }
    }

    /// Whether all was equal.
    pub(crate) fn finish(self) -> bool {
        let Self { equal, differ } = self;
        println!("Checked against the CSV file: {equal} of {} counts agree", equal + differ);
        differ == 0
    }
}
