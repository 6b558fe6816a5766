//! [`Metrics::prometheus`]: the text exposition format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::{Metric, MetricKind, Metrics};

/// The samples of one family: what has one name and one type.
struct Family<'m> {
    kind: MetricKind,
    description: &'m str,
    samples: Vec<&'m Metric>,
}

impl Metrics {
    /// The snapshot as Prometheus reads it: its text format 0.0.4, to be served as `text/plain; version=0.0.4`.
    ///
    /// A metric is called `kafka_<group>_<name>`, in lower case, its words separated by underscores, however Kafka writes
    /// them; a group's `-metrics` at the end and `Kafka` or `brokerless-` at its beginning are left out. So `producer-metrics`, `record-send-rate` is `kafka_producer_record_send_rate`; `ReplicaManager`,
    /// `UnderReplicatedPartitions` is `kafka_replica_manager_under_replicated_partitions`. Counters end in `_total`.
    /// Tags become labels by the same rule (`client_id`). No sample carries a time: it is the time of the scrape.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let text = brokerless::Cluster::in_memory().metrics().prometheus();
    /// assert!(text.contains("\nkafka_replica_manager_under_replicated_partitions 0\n"));
    /// # }
    /// ```
    pub fn prometheus(&self) -> String {
        let mut families: BTreeMap<String, Family<'_>> = BTreeMap::new();
        for metric in self {
            let name = family_name(metric);
            let family = families.entry(name).or_insert_with(|| Family {
                kind: metric.kind(),
                description: metric.name().description(),
                samples: Vec::new(),
            });
            family.samples.push(metric);
        }
        let mut text = String::new();
        for (name, family) in &families {
            family.write(name, &mut text);
        }
        text
    }
}

impl Family<'_> {
    fn write(&self, name: &str, text: &mut String) {
        let kind = match self.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        writeln!(text, "# HELP {name} {}", escaped(self.description, false)).expect(IN_MEMORY);
        writeln!(text, "# TYPE {name} {kind}").expect(IN_MEMORY);
        for metric in &self.samples {
            text.push_str(name);
            let mut separator = '{';
            for (key, value) in metric.name().tags() {
                write!(text, "{separator}{}=\"{}\"", words(key), escaped(value, true)).expect(IN_MEMORY);
                separator = ',';
            }
            text.push_str(if separator == '{' { " " } else { "} " });
            let value = metric.value();
            if value.is_nan() {
                text.push_str("NaN");
            } else if value.is_infinite() {
                text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
            } else {
                write!(text, "{value}").expect(IN_MEMORY);
            }
            text.push('\n');
        }
    }
}

const IN_MEMORY: &str = "writing to a string does not fail";

fn family_name(metric: &Metric) -> String {
    let group = metric.name().group();
    let group = group.strip_suffix("-metrics").unwrap_or(group);
    let group = words(group.strip_prefix("brokerless-").unwrap_or(group));
    let group = group.strip_prefix("kafka_").unwrap_or(&group);
    let mut family = format!("kafka_{group}_{}", words(metric.name().name()));
    match metric.kind() {
        MetricKind::Counter if !family.ends_with("_total") => family.push_str("_total"),
        // What is not a counter must not look like one.
        MetricKind::Gauge if family.ends_with("_total") => family.truncate(family.len() - "_total".len()),
        MetricKind::Counter | MetricKind::Gauge => {}
    }
    family
}

/// `record-send-rate` and `RecordSendRate` as `record_send_rate`: of letters, digits and underscores only.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 4);
    let mut before = '_';
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let starts_word = char.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && rest.peek().is_some_and(char::is_ascii_lowercase));
        if starts_word {
            words.push('_');
        }
        words.push(if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '_' });
        before = char;
    }
    words
}

/// Backslashes and line feeds, and quotes where the text is quoted.
fn escaped(text: &str, is_quoted: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if is_quoted => escaped.push_str("\\\""),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{MetricName, tags};

    fn metric(kind: MetricKind, group: &'static str, name: &'static str, topic: &str, value: f64) -> Metric {
        let tags = if topic.is_empty() { tags([]) } else { tags([("topic", topic.into()), ("client-id", "c".into())]) };
        Metric::new(MetricName::new(name, group, "What it \\ is\nin two lines", tags), kind, value)
    }

    #[test]
    fn names_are_words() {
        for (kafka, prometheus) in [
            ("record-send-rate", "record_send_rate"),
            ("UnderReplicatedPartitions", "under_replicated_partitions"),
            ("MessagesInPerSec", "messages_in_per_sec"),
            ("LogEndOffset", "log_end_offset"),
            ("IOWaitTime", "io_wait_time"),
            ("io-wait-time-ns-avg", "io_wait_time_ns_avg"),
            ("Size", "size"),
            ("client-id", "client_id"),
            ("a.b c", "a_b_c"),
        ] {
            assert_eq!(words(kafka), prometheus);
        }
    }

    #[test]
    fn a_family_has_one_type_and_all_its_samples() {
        use MetricKind::{Counter, Gauge};
        let metrics = Metrics::new(
            0,
            vec![
                metric(Counter, "producer-metrics", "record-send-total", "b\"\\\n", 3.0),
                metric(Counter, "producer-metrics", "record-send-total", "a", 1e15),
                metric(Gauge, "producer-metrics", "batch-size-avg", "", f64::NAN),
                metric(Gauge, "producer-metrics", "batch-size-max", "", f64::INFINITY),
                metric(Counter, "group-coordinator-metrics", "rebalance-count", "", 0.5),
                metric(Gauge, "brokerless-memory", "buffer-total", "", -2.0),
            ],
        );
        let help = "What it \\\\ is\\nin two lines";
        let expected = [
            format!("# HELP kafka_group_coordinator_rebalance_count_total {help}"),
            "# TYPE kafka_group_coordinator_rebalance_count_total counter".into(),
            "kafka_group_coordinator_rebalance_count_total 0.5".into(),
            format!("# HELP kafka_memory_buffer {help}"),
            "# TYPE kafka_memory_buffer gauge".into(),
            "kafka_memory_buffer -2".into(),
            format!("# HELP kafka_producer_batch_size_avg {help}"),
            "# TYPE kafka_producer_batch_size_avg gauge".into(),
            "kafka_producer_batch_size_avg NaN".into(),
            format!("# HELP kafka_producer_batch_size_max {help}"),
            "# TYPE kafka_producer_batch_size_max gauge".into(),
            "kafka_producer_batch_size_max +Inf".into(),
            format!("# HELP kafka_producer_record_send_total {help}"),
            "# TYPE kafka_producer_record_send_total counter".into(),
            "kafka_producer_record_send_total{client_id=\"c\",topic=\"a\"} 1000000000000000".into(),
            "kafka_producer_record_send_total{client_id=\"c\",topic=\"b\\\"\\\\\\n\"} 3".into(),
        ];
        assert_eq!(metrics.prometheus().lines().collect::<Vec<_>>(), expected);
        assert!(metrics.prometheus().ends_with('\n'));
        assert_eq!(Metrics::default().prometheus(), "");
    }
}
