//! [`Sampled`]: what was recorded within the last windows, and since ever.

/// How much of the past counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricConfig {
    /// `metrics.num.samples`, 2.
    pub(crate) num_samples: u32,
    /// `metrics.sample.window.ms`, 30 s.
    pub(crate) sample_window_ms: i64,
}

impl Default for MetricConfig {
    fn default() -> Self {
        Self { num_samples: 2, sample_window_ms: 30_000 }
    }
}

/// Values that were gathered elsewhere, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) max: f64,
}

impl Default for Values {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, max: f64::NEG_INFINITY }
    }
}

impl Values {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
    }
}

/// Values in a ring of windows.
///
/// A window begins with the first value behind the one before, so there may be time between two. A window counts until
/// its last value is older than all windows together. One more than `num_samples` is kept: the oldest may reach into
/// the time that counts without having begun in it.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    config: MetricConfig,
    samples: Vec<Sample>,
    current: usize,
    total: f64,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    start_ms: i64,
    last_ms: i64,
    count: u64,
    sum: f64,
    max: f64,
}

impl Sample {
    fn new(now_ms: i64) -> Self {
        Self { start_ms: now_ms, last_ms: now_ms, count: 0, sum: 0.0, max: f64::NEG_INFINITY }
    }
}

impl Sampled {
    pub(super) fn new(config: MetricConfig) -> Self {
        Self { config, ..Self::default() }
    }

    pub(super) fn record(&mut self, value: f64, now_ms: i64) {
        self.record_all(Values { count: 1, sum: value, max: value }, now_ms);
    }

    pub(super) fn record_all(&mut self, values: Values, now_ms: i64) {
        self.total += values.sum;
        self.count += values.count;
        let sample = self.current_at(now_ms);
        sample.last_ms = now_ms;
        sample.count += values.count;
        sample.sum += values.sum;
        sample.max = sample.max.max(values.max);
    }

    /// The sample that takes a value of this time.
    fn current_at(&mut self, now_ms: i64) -> &mut Sample {
        let kept = self.config.num_samples as usize + 1;
        match self.samples.get(self.current) {
            None => self.samples.push(Sample::new(now_ms)),
            Some(current) if now_ms - current.start_ms >= self.config.sample_window_ms => {
                self.current = (self.current + 1) % kept;
                match self.samples.get_mut(self.current) {
                    Some(oldest) => *oldest = Sample::new(now_ms),
                    None => self.samples.push(Sample::new(now_ms)),
                }
            }
            Some(_) => {}
        }
        &mut self.samples[self.current]
    }

    /// Starts the windows over that hold nothing of the time that counts.
    fn purge(&mut self, now_ms: i64) {
        let expiry_ms = i64::from(self.config.num_samples) * self.config.sample_window_ms;
        for sample in &mut self.samples {
            if now_ms - sample.last_ms >= expiry_ms {
                *sample = Sample::new(now_ms);
            }
        }
    }

    /// Sum of all values, since ever.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// Number of values, since ever.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// NaN if there is none.
    pub(super) fn average(&mut self, now_ms: i64) -> f64 {
        self.purge(now_ms);
        self.windowed_sum() / self.windowed_count() as f64
    }

    /// NaN if there is none.
    pub(super) fn max(&mut self, now_ms: i64) -> f64 {
        self.purge(now_ms);
        self.samples.iter().filter(|sample| sample.count > 0).map(|sample| sample.max).fold(f64::NAN, f64::max)
    }

    /// The sum of the values a second.
    pub(super) fn rate(&mut self, now_ms: i64) -> f64 {
        let seconds = self.window_seconds(now_ms);
        self.windowed_sum() / seconds
    }

    /// The number of values a second.
    pub(super) fn occurrence_rate(&mut self, now_ms: i64) -> f64 {
        let seconds = self.window_seconds(now_ms);
        self.windowed_count() as f64 / seconds
    }

    /// The time that a rate is over: since the oldest window began, but as if all windows but one had passed, lest a
    /// handful of values in the first seconds look like a flood.
    fn window_seconds(&mut self, now_ms: i64) -> f64 {
        self.purge(now_ms);
        if self.samples.is_empty() {
            self.samples.push(Sample::new(now_ms));
        }
        let window_ms = self.config.sample_window_ms;
        let oldest_ms = self.samples.iter().map(|sample| sample.start_ms).min().unwrap_or(now_ms);
        let elapsed_ms = now_ms - oldest_ms;
        let missing = (i64::from(self.config.num_samples) - 1 - elapsed_ms / window_ms).max(0);
        (elapsed_ms + missing * window_ms).max(1) as f64 / 1000.0
    }

    fn windowed_sum(&self) -> f64 {
        self.samples.iter().map(|sample| sample.sum).sum()
    }

    fn windowed_count(&self) -> u64 {
        self.samples.iter().map(|sample| sample.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled() -> Sampled {
        Sampled::new(MetricConfig::default())
    }

    #[test]
    fn nothing_recorded() {
        let mut sampled = sampled();
        assert!(sampled.average(0).is_nan() && sampled.max(0).is_nan());
        assert_eq!((sampled.rate(0), sampled.occurrence_rate(9), sampled.total(), sampled.count()), (0.0, 0.0, 0.0, 0));
    }

    #[test]
    fn a_rate_is_over_at_least_one_whole_window() {
        let mut sampled = sampled();
        sampled.record(60.0, 1_000);
        // No time has passed: one window of 30 s is assumed before.
        assert_eq!(sampled.rate(1_000), 2.0);
        assert_eq!(sampled.occurrence_rate(1_000), 1.0 / 30.0);
        // 10 s into the first window, and a whole one that is missing.
        sampled.record(60.0, 6_000);
        assert_eq!(sampled.rate(11_000), 120.0 / 40.0);
        // 45 s since it began: now there is one whole window.
        assert_eq!(sampled.rate(46_000), 120.0 / 45.0);
    }

    #[test]
    fn windows_follow_each_other_and_expire() {
        let mut sampled = sampled();
        sampled.record(30.0, 0);
        sampled.record(60.0, 29_999);
        // The first value at or after 30 s opens the second window.
        sampled.record(10.0, 40_000);
        assert_eq!(sampled.rate(50_000), 100.0 / 50.0);
        // The third opens at 70 s. Of the first the last value is 40 s old: it still counts, from its beginning.
        sampled.record(5.0, 70_000);
        assert_eq!(sampled.rate(70_000), 105.0 / 70.0);
        assert_eq!((sampled.max(70_000), sampled.average(70_000)), (60.0, 105.0 / 4.0));
        // At 89,999 the last value of the first is 60 s old: gone. The second began at 40 s.
        assert_eq!(sampled.rate(89_999), 15.0 / 49.999);
        assert_eq!((sampled.max(89_999), sampled.average(89_999)), (10.0, 7.5));
        // The rest goes 60 s after its last value.
        assert_eq!(sampled.max(129_999), 5.0);
        assert!(sampled.max(130_000).is_nan());
        assert_eq!(sampled.rate(130_000), 0.0);
        assert_eq!((sampled.total(), sampled.count()), (105.0, 4));
    }

    #[test]
    fn the_oldest_window_is_reused() {
        let mut sampled = sampled();
        for window in 0..10 {
            sampled.record(f64::from(window), i64::from(window) * 30_000);
        }
        // The 8th began 60 s ago and holds nothing younger; those of 8 and 9 count.
        assert_eq!((sampled.average(270_000), sampled.max(270_000)), (8.5, 9.0));
        assert_eq!(sampled.rate(270_000), 17.0 / 30.0);
        assert_eq!(sampled.samples.len(), 3);
    }

    #[test]
    fn other_windows() {
        let mut sampled = Sampled::new(MetricConfig { num_samples: 4, sample_window_ms: 1_000 });
        sampled.record(6.0, 0);
        assert_eq!(sampled.rate(500), 6.0 / 3.5);
        assert_eq!(sampled.rate(3_500), 6.0 / 3.5);
        assert_eq!(sampled.rate(4_000), 0.0);
        let mut single = Sampled::new(MetricConfig { num_samples: 1, sample_window_ms: 1_000 });
        single.record(6.0, 0);
        // Kafka's floor of a millisecond.
        assert_eq!((single.rate(0), single.rate(500)), (6_000.0, 12.0));
    }
}
