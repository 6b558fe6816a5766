//! The table of broker settings: what they are called, what they are by default, whether they can be altered while the
//! broker runs. The defaults of topics are in it under the broker's names for them.

use std::borrow::Cow;

use crate::config::ConfigType::{self, Boolean, Double, Int, Long};
use crate::config::topic_property::TOPIC_PROPERTIES;

/// One broker setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerProperty {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigType,
    /// `None`: not set.
    pub(crate) default: Option<Cow<'static, str>>,
    /// Whether it can be altered while brokers run, on one broker or for all of them: Kafka's update mode "cluster-wide".
    /// None of those that are "per-broker" there, listeners and key stores, is here.
    pub(crate) is_dynamic: bool,
}

/// The settings that are not defaults of topics; each is a field of
/// [`BrokerConfig`](crate::config::BrokerConfig), which parses it.
const OWN: &[BrokerProperty] = &[
    read_only("auto.create.topics.enable", Boolean, "false"),
    read_only("default.replication.factor", Int, "1"),
    read_only("delete.topic.enable", Boolean, "true"),
    read_only("group.initial.rebalance.delay.ms", Int, "0"),
    read_only("group.max.session.timeout.ms", Int, "1800000"),
    read_only("group.max.size", Int, "2147483647"),
    read_only("group.min.session.timeout.ms", Int, "6000"),
    dynamic("log.cleaner.backoff.ms", Long, "15000"),
    dynamic("log.cleaner.dedupe.buffer.size", Long, "134217728"),
    read_only("log.cleaner.enable", Boolean, "true"),
    dynamic("log.cleaner.io.buffer.load.factor", Double, "0.9"),
    dynamic("log.cleaner.io.buffer.size", Int, "524288"),
    dynamic("log.cleaner.io.max.bytes.per.second", Double, "1.7976931348623157E308"),
    dynamic("log.cleaner.threads", Int, "1"),
    read_only("log.retention.check.interval.ms", Long, "300000"),
    read_only("num.partitions", Int, "1"),
    read_only("offset.metadata.max.bytes", Int, "4096"),
    read_only("offsets.retention.check.interval.ms", Long, "600000"),
    read_only("offsets.retention.minutes", Int, "10080"),
    read_only("offsets.topic.num.partitions", Int, "50"),
    read_only("offsets.topic.segment.bytes", Int, "104857600"),
    dynamic("producer.id.expiration.ms", Int, "86400000"),
];

const fn read_only(name: &'static str, kind: ConfigType, default: &'static str) -> BrokerProperty {
    BrokerProperty { name, kind, default: Some(Cow::Borrowed(default)), is_dynamic: false }
}

const fn dynamic(name: &'static str, kind: ConfigType, default: &'static str) -> BrokerProperty {
    BrokerProperty { name, kind, default: Some(Cow::Borrowed(default)), is_dynamic: true }
}

/// All of them, in order of name.
pub(crate) fn broker_properties() -> Vec<BrokerProperty> {
    let topic_defaults = TOPIC_PROPERTIES.iter().flat_map(|property| property.broker_properties());
    let mut all: Vec<_> = OWN.iter().cloned().chain(topic_defaults).collect();
    all.sort_unstable_by_key(|property| property.name);
    all
}

/// The one of this name.
pub(crate) fn find(name: &str) -> Option<BrokerProperty> {
    let topic_defaults = || TOPIC_PROPERTIES.iter().flat_map(|property| property.broker_properties());
    OWN.iter().find(|property| property.name == name).cloned().or_else(|| topic_defaults().find(|it| it.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn every_default_is_what_the_config_has() {
        for property in broker_properties() {
            let Some(default) = &property.default else { continue };
            let mut config = BrokerConfig::default();
            config.set(property.name, default).unwrap();
            assert!(config.is_effectively(&BrokerConfig::default()), "{}", property.name);
        }
    }

    /// As a Kafka 4.3.0 broker describes itself.
    #[test]
    fn several_names_of_one_setting() {
        let find = |name| {
            let property = find(name).unwrap();
            (property.kind, property.default.map(Cow::into_owned), property.is_dynamic)
        };
        assert_eq!(find("log.retention.ms"), (Long, None, true));
        assert_eq!(find("log.retention.minutes"), (Int, None, false));
        assert_eq!(find("log.retention.hours"), (Int, Some("168".into()), false));
        assert_eq!(find("log.roll.ms"), (Long, None, true));
        assert_eq!(find("log.roll.jitter.hours"), (Int, Some("0".into()), false));
        assert_eq!(find("log.flush.interval.ms"), (Long, None, true));
        assert_eq!(find("log.flush.scheduler.interval.ms"), (Long, Some(i64::MAX.to_string()), false));
        assert_eq!(find("message.max.bytes"), (Int, Some("1048588".into()), true));
        assert!(super::find("retention.ms").is_none());
    }
}
