//! The exposition text of a busy cluster, read by a strict parser of the format (0.0.4).
#![cfg(feature = "prometheus")]

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use brokerless::metrics::MetricKind;
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, MemoryPolicy, NewTopic, ProducerConfig, ProducerRecord};

#[derive(Debug, PartialEq)]
struct Sample {
    labels: BTreeMap<String, String>,
    value: f64,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

/// Accepts what the format describes, in the order in which it recommends it (HELP, TYPE, samples), and nothing else.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line must end");
    let mut lines = text.split_terminator('\n').peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
        assert!(is_name(name, true), "{line}");
        let (typed, kind) = lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).expect(line);
        assert_eq!(typed, name);
        assert!(["counter", "gauge"].contains(&kind), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let mut family = Family { kind: kind.to_owned(), help: unescape(help, false), samples: Vec::new() };
        let mut seen = HashSet::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let sample = parse_sample(line, name);
            assert!(seen.insert(format!("{:?}", sample.labels)), "{line} comes twice");
            family.samples.push(sample);
        }
        assert!(!family.samples.is_empty(), "{name} has no samples");
        assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes in two groups");
    }
    families
}

fn is_name(name: &str, colons: bool) -> bool {
    let valid = |char: char| char.is_ascii_alphabetic() || char == '_' || colons && char == ':';
    name.starts_with(valid) && name.chars().all(|char| valid(char) || char.is_ascii_digit())
}

fn parse_sample(line: &str, name: &str) -> Sample {
    let mut rest = line.strip_prefix(name).expect(line);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, quoted) = rest.split_once("=\"").expect(line);
            assert!(is_name(key, false) && !key.starts_with("__"), "{line}");
            let end = closing_quote(quoted).expect(line);
            assert!(labels.insert(key.to_owned(), unescape(&quoted[..end], true)).is_none(), "{line}");
            rest = &quoted[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    let value = rest.strip_prefix(' ').expect(line);
    let value = match value {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => {
            assert!(number.chars().all(|char| char.is_ascii_digit() || "+-.eE".contains(char)), "{line}");
            number.parse().expect(line)
        }
    };
    Sample { labels, value }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescape(text: &str, is_quoted: bool) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if is_quoted => plain.push('"'),
            other => panic!("\\{other:?} in {text:?}"),
        }
    }
    plain
}

#[tokio::test(start_paused = true)]
async fn a_busy_clusters_text_is_well_formed_and_complete() {
    let builder = Cluster::builder().memory_limit(1 << 20).topic_memory_limit(1 << 19);
    let cluster = builder.memory_policy(MemoryPolicy::Refuse).start().await.unwrap();
    for topic in ["orders", "a.b-c_d"] {
        cluster.admin().create_topic(NewTopic::new(topic).partitions(3)).await.unwrap();
    }
    let odd = "a \"quoted\"\\ client\n\u{e9}";
    let producers: Vec<_> = [odd, odd, "plain"]
        .map(|id| cluster.producer(ProducerConfig::default().client_id(id)).unwrap())
        .into_iter()
        .collect();
    for producer in &producers {
        producer.send(ProducerRecord::to("orders").value("v")).await.unwrap().await.unwrap();
    }
    let config = ConsumerConfig::group("g").client_id(odd).auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    while consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty() {}
    consumer.commit().await.unwrap();

    let metrics = cluster.metrics();
    let text = metrics.prometheus();
    let families = parse(&text);
    let samples: usize = families.values().map(|family| family.samples.len()).sum();
    assert_eq!(samples, metrics.len(), "every metric is one sample");
    let counters = metrics.iter().filter(|metric| metric.kind() == MetricKind::Counter).count();
    let typed = families.values().filter(|family| family.kind == "counter").map(|family| family.samples.len());
    assert_eq!(typed.sum::<usize>(), counters);
    assert!(families.values().all(|family| !family.help.is_empty()));
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        families[name].samples.iter().find(|sample| sample.labels == labels).unwrap().value
    };
    assert_eq!(value("kafka_broker_topic_metrics_messages_in_total", &[("topic", "orders")]), 3.0);
    assert_eq!(value("kafka_controller_global_topic_count", &[]), 3.0);
    assert_eq!(value("kafka_log_log_end_offset", &[("topic", "a.b-c_d"), ("partition", "2")]), 0.0);
    assert_eq!(value("kafka_memory_limit_bytes", &[]), 1_048_576.0);
    assert_eq!(value("kafka_group_coordinator_group_completed_rebalance_count_total", &[]), 1.0);
    if let Ok(path) = std::env::var("PROMETHEUS_TEXT") {
        // For a look with another parser.
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn the_parser_is_strict() {
    let accepts = |text: &str| std::panic::catch_unwind(|| parse(text)).is_ok();
    let head = "# HELP a_total h\n# TYPE a_total counter\n";
    assert!(accepts(&format!("{head}a_total 1\n")));
    assert!(accepts(&format!("{head}a_total{{x=\"1\",y=\"\\\"\\\\\\n\"}} NaN\n")));
    for wrong in [
        "a_total 1",
        "a_total one\n",
        "a_total\n",
        "a_total{} 1\n",
        "a_total{x=1} 1\n",
        "a_total{x=\"1} 1\n",
        "a_total{x=\"\\t\"} 1\n",
        "a_total{x-y=\"1\"} 1\n",
        "a_total{x=\"1\",} 1\n",
        "a_total 1\na_total 2\n",
        "b_total 1\n",
        "",
    ] {
        assert!(!accepts(&format!("{head}{wrong}")), "{wrong:?}");
    }
    assert!(!accepts(&format!("{head}a_total 1\n{head}a_total 1\n")));
}
