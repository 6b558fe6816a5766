//! A topic's and a broker's settings as Kafka describes them: every one, with its value, where that comes from, and what
//! it would be without.
//!
//! A topic's setting has the broker's setting of the corresponding name behind it, and that one is, in order, what was
//! set on this broker while it runs, for all brokers, when the cluster was built, and what is built in. Where several
//! names stand for one setting, each place is searched for all of them before the next; what comes before the name that
//! is described is left out. So a topic whose `retention.ms` comes from `log.retention.hours` reads as a default without
//! synonyms, in Kafka, too.

use std::collections::BTreeMap;

use crate::config::broker_property::{BrokerProperty, broker_properties};
use crate::config::topic_property::{TOPIC_PROPERTIES, TopicProperty, find_synonym};
use crate::config::{BrokerConfig, ConfigEntry, ConfigSource, ConfigSynonym};

/// A topic's settings, in order of name.
pub(crate) fn describe_topic(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let mut entries: Vec<_> =
        TOPIC_PROPERTIES.iter().filter_map(|property| topic_entry(broker, overrides, property)).collect();
    entries.sort_unstable_by_key(|entry| entry.name);
    entries
}

fn topic_entry(
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
    property: &'static TopicProperty,
) -> Option<ConfigEntry> {
    let text = overrides.get(property.name);
    // Kafka does not show its internal settings unless they are set.
    let value = property.kind.normalize(&text.cloned().or_else(|| broker.topic_default(property))?);
    let mut synonyms = Vec::new();
    if text.is_some() {
        let (name, value) = (property.name, value.clone());
        synonyms.push(ConfigSynonym { name, value, source: ConfigSource::DynamicTopic });
    }
    if let Some(first) = property.synonyms.first() {
        synonyms.extend(broker_synonyms(broker, first.name));
    }
    Some(ConfigEntry {
        name: property.name,
        value: Some(value),
        source: source(&synonyms),
        is_read_only: false,
        config_type: property.kind,
        synonyms,
    })
}

/// One broker's settings, in order of name.
pub(crate) fn describe_broker(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let describe = |property: BrokerProperty| {
        let synonyms = broker_synonyms(broker, property.name);
        let text = broker.text(property.name).or(property.default.as_deref());
        let value = text.map(|text| property.kind.normalize(text));
        entry(property, value, synonyms)
    };
    broker_properties().into_iter().map(describe).collect()
}

/// The cluster-wide defaults: what was set for all brokers, and nothing else.
pub(crate) fn describe_broker_default(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let describe = |property: BrokerProperty| {
        let value = broker.layer(ConfigSource::DynamicDefaultBroker)?.get(property.name)?.clone();
        let mut synonyms = broker_synonyms(broker, property.name);
        synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        Some(entry(property, Some(value), synonyms))
    };
    broker_properties().into_iter().filter_map(describe).collect()
}

fn entry(property: BrokerProperty, value: Option<String>, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    ConfigEntry {
        name: property.name,
        value,
        source: source(&synonyms),
        is_read_only: !property.is_dynamic,
        config_type: property.kind,
        synonyms,
    }
}

fn source(synonyms: &[ConfigSynonym]) -> ConfigSource {
    synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source)
}

fn broker_synonyms(broker: &BrokerConfig, name: &str) -> Vec<ConfigSynonym> {
    const LAYERS: [ConfigSource; 3] =
        [ConfigSource::DynamicBroker, ConfigSource::DynamicDefaultBroker, ConfigSource::StaticBroker];
    let names: Vec<BrokerProperty> = match find_synonym(name) {
        // The scheduler's interval is a synonym of the other, but not the other way round.
        Some((property, _)) if name != "log.flush.scheduler.interval.ms" => property.broker_properties().collect(),
        _ => broker_properties().into_iter().filter(|property| property.name == name).collect(),
    };
    let mut synonyms = Vec::new();
    for source in LAYERS {
        let Some(layer) = broker.layer(source) else { continue };
        let found = names.iter().filter_map(|property| Some((property.name, layer.get(property.name)?.clone())));
        synonyms.extend(found.map(|(name, value)| ConfigSynonym { name, value, source }));
    }
    let defaults = names.iter().filter_map(|property| Some((property.name, property.default.clone()?.into_owned())));
    synonyms.extend(defaults.map(|(name, value)| ConfigSynonym { name, value, source: ConfigSource::Default }));
    let own = synonyms.iter().position(|synonym| synonym.name == name).unwrap_or(synonyms.len());
    synonyms.split_off(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn broker(fixed: &[(&str, &str)], default: &[(&str, &str)], own: &[(&str, &str)]) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        for (name, value) in fixed {
            config.set(name, value).unwrap();
        }
        config.with_dynamic(&set(default), &set(own)).unwrap()
    }

    /// `value source | source:name=value ...`, as the lines in the tests were printed from Kafka's answers.
    fn line(entries: &[ConfigEntry], name: &str) -> String {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        let mut line = format!("{} {}", entry.value.as_deref().unwrap_or("null"), entry.source);
        for (index, synonym) in entry.synonyms.iter().enumerate() {
            let mark = if index == 0 { " |" } else { "" };
            line.push_str(&format!("{mark} {}:{}={}", synonym.source, synonym.name, synonym.value));
        }
        line
    }

    /// From a Kafka 4.3.0 with `log.retention.hours=100` in its `server.properties`.
    #[test]
    fn retention_reads_as_in_kafka() {
        let fixed = [("log.retention.hours", "100")];
        let plain = broker(&fixed, &[], &[]);
        assert_eq!(line(&describe_topic(&plain, &set(&[])), "retention.ms"), "360000000 DEFAULT_CONFIG");
        let own = set(&[("retention.ms", " 8 ")]);
        assert_eq!(
            line(&describe_topic(&plain, &own), "retention.ms"),
            "8 DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:retention.ms=8"
        );
        let both = broker(&fixed, &[("log.retention.ms", "700000")], &[("log.retention.ms", "600000")]);
        let expected = "600000 DYNAMIC_BROKER_CONFIG | DYNAMIC_BROKER_CONFIG:log.retention.ms=600000 \
                        DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=700000 \
                        STATIC_BROKER_CONFIG:log.retention.hours=100 DEFAULT_CONFIG:log.retention.hours=168";
        assert_eq!(line(&describe_topic(&both, &set(&[])), "retention.ms"), expected);
        assert_eq!(line(&describe_broker(&both), "log.retention.ms"), expected);
        assert_eq!(line(&describe_broker(&plain), "log.retention.ms"), "null DEFAULT_CONFIG");
        assert_eq!(line(&describe_broker(&plain), "log.retention.minutes"), "null DEFAULT_CONFIG");
        assert_eq!(
            line(&describe_broker(&plain), "log.retention.hours"),
            "100 STATIC_BROKER_CONFIG | STATIC_BROKER_CONFIG:log.retention.hours=100 \
             DEFAULT_CONFIG:log.retention.hours=168"
        );
        let defaults = describe_broker_default(&both);
        assert_eq!(defaults.len(), 1);
        assert_eq!(
            line(&defaults, "log.retention.ms"),
            "700000 DYNAMIC_DEFAULT_BROKER_CONFIG | DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=700000"
        );
    }

    #[test]
    fn a_topic_of_defaults_reads_as_in_kafka() {
        let entries = describe_topic(&BrokerConfig::default(), &set(&[]));
        // Kafka's 33, and one of ours.
        assert_eq!(entries.len(), 34);
        for (name, expected) in [
            ("cleanup.policy", "delete DEFAULT_CONFIG | DEFAULT_CONFIG:log.cleanup.policy=delete"),
            ("flush.ms", "9223372036854775807 DEFAULT_CONFIG"),
            ("segment.ms", "604800000 DEFAULT_CONFIG"),
            ("segment.jitter.ms", "0 DEFAULT_CONFIG"),
            ("leader.replication.throttled.replicas", " DEFAULT_CONFIG"),
            ("remote.storage.enable", "false DEFAULT_CONFIG"),
            ("min.cleanable.dirty.ratio", "0.5 DEFAULT_CONFIG | DEFAULT_CONFIG:log.cleaner.min.cleanable.ratio=0.5"),
            ("max.message.bytes", "1048588 DEFAULT_CONFIG | DEFAULT_CONFIG:message.max.bytes=1048588"),
        ] {
            assert_eq!(line(&entries, name), expected);
        }
        assert!(entries.iter().all(|entry| !entry.is_read_only && entry.name != "internal.segment.bytes"));
        let internal = describe_topic(&BrokerConfig::default(), &set(&[("internal.segment.bytes", "1000")]));
        assert_eq!(
            line(&internal, "internal.segment.bytes"),
            "1000 DYNAMIC_TOPIC_CONFIG | DYNAMIC_TOPIC_CONFIG:internal.segment.bytes=1000"
        );
    }
}
