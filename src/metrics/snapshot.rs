//! [`Metrics`]: a snapshot.

use crate::metrics::MetricName;

/// Whether a value may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A total: it grows for as long as its subject lives.
    Counter,
    /// Any value: a size, a windowed rate, an average.
    Gauge,
}

/// One value of a snapshot.
#[derive(Clone, Debug)]
pub struct Metric {
    name: MetricName,
    kind: MetricKind,
    value: f64,
}

impl Metric {
    pub(crate) fn new(name: MetricName, kind: MetricKind, value: f64) -> Self {
        Self { name, kind, value }
    }

    /// What it is.
    pub fn name(&self) -> &MetricName {
        &self.name
    }

    /// Whether it may fall.
    pub fn kind(&self) -> MetricKind {
        self.kind
    }

    /// Its value when the snapshot was taken. Windowed averages and extremes are NaN where nothing was recorded, as in
    /// Kafka.
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// Metrics as they were at one moment, sorted by group, name and tags.
///
/// Values of different metrics are read one after another, while recording goes on: they need not agree to the last
/// record.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    time_ms: i64,
    metrics: Vec<Metric>,
}

impl Metrics {
    /// Sorts them; of two with one name the later stays.
    pub(crate) fn new(time_ms: i64, mut metrics: Vec<Metric>) -> Self {
        metrics.reverse();
        metrics.sort_by(|left, right| left.name.cmp(&right.name));
        metrics.dedup_by(|later, earlier| later.name == earlier.name);
        Self { time_ms, metrics }
    }

    /// When the snapshot was taken, by the cluster's clock, in ms since 1970.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// The metric with this name, this group and exactly these tags, in any order.
    pub fn get(&self, name: &str, group: &str, tags: &[(&str, &str)]) -> Option<&Metric> {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        let index = self.metrics.binary_search_by(|metric| metric.name.cmp_parts(group, name, &tags)).ok()?;
        Some(&self.metrics[index])
    }

    /// The value of [`Metrics::get`].
    pub fn value(&self, name: &str, group: &str, tags: &[(&str, &str)]) -> Option<f64> {
        self.get(name, group, tags).map(Metric::value)
    }

    /// All with this name and group, whatever their tags.
    pub fn named(&self, name: &str, group: &str) -> &[Metric] {
        let begin = self.metrics.partition_point(|metric| (metric.name.group(), metric.name.name()) < (group, name));
        let rest = &self.metrics[begin..];
        &rest[..rest.partition_point(|metric| (metric.name.group(), metric.name.name()) <= (group, name))]
    }

    /// All of them, sorted by group, name and tags.
    pub fn iter(&self) -> std::slice::Iter<'_, Metric> {
        self.metrics.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }
}

impl<'m> IntoIterator for &'m Metrics {
    type Item = &'m Metric;
    type IntoIter = std::slice::Iter<'m, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Metrics {
    type Item = Metric;
    type IntoIter = std::vec::IntoIter<Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.metrics.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::name::tags;

    fn metric(group: &'static str, name: &'static str, topic: &str, value: f64) -> Metric {
        let tags = if topic.is_empty() { tags([]) } else { tags([("topic", topic.into()), ("client-id", "c".into())]) };
        Metric::new(MetricName::new(name, group, "", tags), MetricKind::Gauge, value)
    }

    #[test]
    fn sorted_unique_and_found() {
        let metrics = Metrics::new(
            5,
            vec![
                metric("g", "b", "y", 1.0),
                metric("g", "b", "", 2.0),
                metric("f", "z", "x", 3.0),
                metric("g", "b", "x", 4.0),
                metric("g", "a", "x", 5.0),
                metric("g", "b", "x", 6.0),
            ],
        );
        let values: Vec<_> = metrics.iter().map(Metric::value).collect();
        assert_eq!((values, metrics.time_ms()), (vec![3.0, 5.0, 2.0, 6.0, 1.0], 5));
        let named: Vec<_> = metrics.named("b", "g").iter().map(Metric::value).collect();
        assert_eq!((named, metrics.named("c", "g").len()), (vec![2.0, 6.0, 1.0], 0));
        assert_eq!(metrics.value("b", "g", &[("topic", "y"), ("client-id", "c")]), Some(1.0));
        assert_eq!(metrics.value("b", "g", &[("client-id", "c"), ("topic", "x")]), Some(6.0));
        assert_eq!(metrics.value("b", "g", &[]), Some(2.0));
        assert_eq!(metrics.value("b", "g", &[("topic", "x")]), None);
        assert_eq!(metrics.value("b", "h", &[]), None);
    }
}
