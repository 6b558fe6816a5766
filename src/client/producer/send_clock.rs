//! [`SendClock`]: a timestamp for every record without a clock reading for every record.

use std::time::{Duration, Instant as StdInstant};

use tokio::time::Instant;

use crate::cluster::Clock;
use crate::util::coarse_time;

/// How long a reading is good for, in ticks: 25 to 50 µs on processors of 2 to 4 GHz.
const FRESH_TICKS: u64 = 100_000;
/// Two clocks are compared over at least this span ...
const COMPARABLE: Duration = Duration::from_micros(10);
/// ... and run alike if they differ by no more than this over it.
const TOLERANCE: Duration = Duration::from_micros(2);

/// The cluster's time in ms, read anew when the last reading is older than some ten µs.
///
/// It never runs ahead of the clock and never goes back. Under tokio's paused clock it reads every time: tokio's time is
/// taken for virtual whenever it did not advance like the system's between two readings. Builds with debug assertions
/// always read, so a test that pauses time right after a send sees no stale stamp.
#[derive(Debug, Default)]
pub(super) struct SendClock {
    now_ms: i64,
    /// The counter at the last reading; `None` while the next stamp must be read.
    fresh_since: Option<u64>,
    /// The two clocks at an earlier reading.
    compared: Option<(StdInstant, Instant)>,
}

impl SendClock {
    /// The time; `ticks` is the counter's reading at the call, or from a moment before it.
    #[inline]
    pub(super) fn now_ms(&mut self, clock: &Clock, ticks: Option<u64>) -> i64 {
        if let (Some(since), Some(now)) = (self.fresh_since, ticks)
            && now.wrapping_sub(since) < FRESH_TICKS
        {
            return self.now_ms;
        }
        self.read(clock)
    }

    #[inline(never)]
    fn read(&mut self, clock: &Clock) -> i64 {
        // The counter first: the reading is at least as young as it says.
        let ticks = coarse_time::ticks();
        let (now, system_now) = (clock.now(), coarse_time::system_now());
        self.now_ms = self.now_ms.max(clock.ms_at(now));
        self.fresh_since = None;
        match self.compared {
            Some((system_then, then)) => {
                let system_elapsed = system_now.saturating_duration_since(system_then);
                if system_elapsed >= COMPARABLE {
                    let elapsed = now.saturating_duration_since(then);
                    let is_real = system_elapsed.abs_diff(elapsed) <= TOLERANCE;
                    self.fresh_since = ticks.filter(|_| is_real && !cfg!(debug_assertions));
                    self.compared = Some((system_now, now));
                }
            }
            None => self.compared = Some((system_now, now)),
        }
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_clock_and_never_run_ahead() {
        let clock = Clock::start();
        let mut stamps = SendClock::default();
        let started = coarse_time::system_now();
        let mut last = 0;
        while started.elapsed() < Duration::from_millis(5) {
            let before = clock.now_ms();
            let stamp = stamps.now_ms(&clock, coarse_time::ticks());
            assert!(stamp >= last && stamp >= before - 1 && stamp <= clock.now_ms());
            last = stamp;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_read_every_time() {
        let clock = Clock::start();
        let mut stamps = SendClock::default();
        let start = stamps.now_ms(&clock, coarse_time::ticks());
        for _ in 0..1_000 {
            assert_eq!(stamps.now_ms(&clock, coarse_time::ticks()), start);
            assert_eq!(stamps.fresh_since, None);
        }
        tokio::time::advance(Duration::from_millis(7)).await;
        assert_eq!(stamps.now_ms(&clock, coarse_time::ticks()), start + 7);
    }
}
