//! [`Sensor`]: one stream of values, and the metrics that are made of it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::sampled::{MetricConfig, Sampled, Values};
use crate::metrics::scope::{Scope, Source};
use crate::metrics::snapshot::MetricKind;

/// Takes values, one short leaf lock each. A clone is the same sensor.
#[derive(Clone, Debug)]
pub(crate) struct Sensor(Arc<Mutex<Sampled>>);

/// What is read of a sensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stat {
    Average,
    Max,
    Rate,
    OccurrenceRate,
    OccurrenceRatePerHour,
    Total,
    Count,
}

impl Sensor {
    /// Records one value, such as a batch's size or how long a request took.
    pub(crate) fn record(&self, value: f64, now_ms: i64) {
        self.0.lock().record(value, now_ms);
    }

    /// Records values that were gathered until this time; nothing if there are none.
    pub(crate) fn record_all(&self, values: Values, now_ms: i64) {
        if values.count > 0 {
            self.0.lock().record_all(values, now_ms);
        }
    }

    /// The windowed average and maximum; NaN without values. For a sensor without names, that a collector reads.
    pub(crate) fn avg_and_max(&self, now_ms: i64) -> (f64, f64) {
        let mut sampled = self.0.lock();
        (sampled.average(now_ms), sampled.max(now_ms))
    }

    pub(super) fn measure(&self, stat: Stat, now_ms: i64) -> f64 {
        let mut sampled = self.0.lock();
        match stat {
            Stat::Average => sampled.average(now_ms),
            Stat::Max => sampled.max(now_ms),
            Stat::Rate => sampled.rate(now_ms),
            Stat::OccurrenceRate => sampled.occurrence_rate(now_ms),
            Stat::OccurrenceRatePerHour => sampled.occurrence_rate(now_ms) * 3600.0,
            Stat::Total => sampled.total(),
            Stat::Count => sampled.count() as f64,
        }
    }
}

impl Stat {
    pub(super) fn kind(self) -> MetricKind {
        match self {
            Self::Total | Self::Count => MetricKind::Counter,
            Self::Average | Self::Max | Self::Rate | Self::OccurrenceRate | Self::OccurrenceRatePerHour => {
                MetricKind::Gauge
            }
        }
    }
}

/// Names the metrics of a new sensor: each method registers one.
#[derive(Debug)]
#[must_use = "a sensor that is not built records nothing"]
pub(crate) struct SensorBuilder<'s> {
    scope: &'s Scope,
    sensor: Sensor,
}

impl<'s> SensorBuilder<'s> {
    pub(super) fn new(scope: &'s Scope, config: MetricConfig) -> Self {
        Self { scope, sensor: Sensor(Arc::new(Mutex::new(Sampled::new(config)))) }
    }

    /// The windowed average; NaN without values.
    pub(crate) fn avg(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::Average, name, description)
    }

    /// The windowed maximum; NaN without values.
    pub(crate) fn max(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::Max, name, description)
    }

    /// The sum of the values a second, windowed: `record-send-rate`, where a value is how many records were sent.
    pub(crate) fn rate(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::Rate, name, description)
    }

    /// The number of values a second, windowed: `commit-rate`, where a value is how long a commit took.
    pub(crate) fn occurrence_rate(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::OccurrenceRate, name, description)
    }

    /// The number of values an hour, over the same windows: `rebalance-rate-per-hour`.
    pub(crate) fn occurrences_per_hour(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::OccurrenceRatePerHour, name, description)
    }

    /// The sum of all values.
    pub(crate) fn total(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::Total, name, description)
    }

    /// The number of all values.
    pub(crate) fn count(self, name: &'static str, description: &'static str) -> Self {
        self.stat(Stat::Count, name, description)
    }

    /// Kafka's `Meter`: (name, description) of the rate, then of the total.
    pub(crate) fn meter(self, rate: (&'static str, &'static str), total: (&'static str, &'static str)) -> Self {
        self.rate(rate.0, rate.1).total(total.0, total.1)
    }

    /// A meter of how many values there are: (name, description) of the occurrence rate, then of the count.
    pub(crate) fn occurrences(self, rate: (&'static str, &'static str), total: (&'static str, &'static str)) -> Self {
        self.occurrence_rate(rate.0, rate.1).count(total.0, total.1)
    }

    fn stat(self, stat: Stat, name: &'static str, description: &'static str) -> Self {
        self.scope.add(name, description, Source::Sensor(self.sensor.clone(), stat));
        self
    }

    pub(crate) fn build(self) -> Sensor {
        self.sensor
    }
}
