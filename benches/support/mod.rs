//! What the benches share: payloads, taking turns, and how a goal is reported.

#![allow(dead_code, reason = "each bench uses its part")]

use std::time::Duration;

/// How often each contestant runs; its median counts.
pub(crate) const RUNS: usize = 5;

/// Pseudo-random bytes that the records are cut from.
pub(crate) struct Payloads {
    bytes: Vec<u8>,
    pub(crate) size: usize,
}

impl Payloads {
    pub(crate) fn new(size: usize) -> Self {
        let mut state = 42u64;
        let mut random_byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        Self { bytes: (0..(64 << 10) + size).map(|_| random_byte()).collect(), size }
    }

    #[inline]
    pub(crate) fn get(&self, index: u64) -> &[u8] {
        let start = (index as usize * 64) & 0xffff;
        &self.bytes[start..start + self.size]
    }

    /// What [`touch`] sums up to over the first `records` payloads.
    pub(crate) fn sum(&self, records: u64) -> u64 {
        // The payloads repeat every 1,024 records.
        let cycle = |count: u64| (0..count).fold(0u64, |sum, index| sum.wrapping_add(touch(self.get(index))));
        cycle(1024).wrapping_mul(records / 1024).wrapping_add(cycle(records % 1024))
    }
}

/// Reads every byte.
#[inline]
pub(crate) fn touch(value: &[u8]) -> u64 {
    let mut sum = 0u64;
    let mut words = value.chunks_exact(8);
    for word in &mut words {
        sum = sum.wrapping_add(u64::from_le_bytes(word.try_into().unwrap()));
    }
    words.remainder().iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

/// A runtime for one thread.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Its name, and what runs that many records and tells how long it took.
pub(crate) type Contestant<'a> = (&'static str, Box<dyn Fn(u64) -> Duration + 'a>);

/// Median records/s of one contestant.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
}

/// Runs the contestants in turns, so that a noisy moment hits all of them, and prints a table.
pub(crate) fn compare(title: &str, records: u64, contestants: &[Contestant<'_>]) -> Vec<Line> {
    let mut rates = vec![Vec::new(); contestants.len()];
    for (_, run) in contestants {
        run(records / 10);
    }
    for _ in 0..RUNS {
        for ((_, run), rates) in contestants.iter().zip(&mut rates) {
            rates.push(records as f64 / run(records).as_secs_f64());
        }
    }
    println!("\n{title} ({records} records, median and best of {RUNS} runs)");
    println!("{:<34} {:>12} {:>12} {:>10}", "", "M records/s", "best", "ns/record");
    let line = |((name, _), mut rates): (&Contestant<'_>, Vec<f64>)| {
        rates.sort_by(f64::total_cmp);
        let (rate, best) = (rates[RUNS / 2], rates[RUNS - 1]);
        println!("{name:<34} {:>12.2} {:>12.2} {:>10.1}", rate / 1e6, best / 1e6, 1e9 / rate);
        Line { name, rate }
    };
    contestants.iter().zip(rates).map(line).collect()
}

/// The line that says where a bench stands: met if `measured` is at least `bound`.
pub(crate) fn goal_at_least(name: &str, measured: f64, bound: f64) -> String {
    goal(name, measured, ">=", bound, measured >= bound)
}

/// The line that says where a bench stands: met if `measured` is at most `bound`.
pub(crate) fn goal_at_most(name: &str, measured: f64, bound: f64) -> String {
    goal(name, measured, "<=", bound, measured <= bound)
}

fn goal(name: &str, measured: f64, relation: &str, bound: f64, met: bool) -> String {
    format!("goal {name} {measured:.2} {relation} {bound:.2} {}", if met { "met" } else { "short" })
}
