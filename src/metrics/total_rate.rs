//! [`TotalRate`]: a rate of a total that somebody else counts.

use crate::metrics::sampled::MetricConfig;

/// How fast a total grows, from what it was at earlier readings.
///
/// For totals that are counted where no clock is at hand. A rate is over one to two windows while it is read at least
/// once a window, and since the last reading but one otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TotalRate {
    older: Point,
    newer: Point,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    ms: i64,
    total: u64,
}

impl TotalRate {
    /// Of a total that was 0 at this time.
    pub(crate) fn new(start_ms: i64) -> Self {
        let start = Point { ms: start_ms, total: 0 };
        Self { older: start, newer: start }
    }

    /// The growth a second. As with Kafka's rates, one whole window is assumed at least.
    pub(crate) fn read(&mut self, total: u64, now_ms: i64) -> f64 {
        let window_ms = MetricConfig::default().sample_window_ms;
        if now_ms - self.newer.ms >= window_ms {
            (self.older, self.newer) = (self.newer, Point { ms: now_ms, total });
        }
        let elapsed_ms = now_ms - self.older.ms;
        let assumed_ms = if elapsed_ms < window_ms { elapsed_ms + window_ms } else { elapsed_ms };
        total.saturating_sub(self.older.total) as f64 * 1000.0 / assumed_ms.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_between_readings() {
        let mut rate = TotalRate::new(1_000);
        assert_eq!(rate.read(0, 1_000), 0.0);
        assert_eq!(rate.read(40, 11_000), 1.0, "10 s and an assumed window of 30 s");
        assert_eq!(rate.read(60, 31_000), 2.0, "the first whole window");
        assert_eq!(rate.read(90, 46_000), 2.0, "still from the start, 45 s ago");
        // The reading at 31 s becomes the base.
        assert_eq!(rate.read(150, 61_000), 3.0);
        assert_eq!(rate.read(150, 71_000), 90.0 / 40.0);
        // Read rarely: since the last reading but one.
        assert_eq!(rate.read(1_150, 1_061_000), 1.0);
        assert_eq!(rate.read(1_150, 2_061_000), 0.0);
    }
}
