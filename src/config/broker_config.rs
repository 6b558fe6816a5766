//! [`BrokerConfig`]: the broker's settings, and the defaults that it gives to topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::property::{check_range, invalid, parse_bool, parse_i16, parse_i32, parse_i64};
use crate::config::topic_property::{self, TopicProperty};
use crate::config::{CleanerConfig, ConfigSource, LogConfig, broker_property};
use crate::error::{Error, Result};

/// A broker's settings, in Kafka's names and with Kafka's defaults.
///
/// Defaults for topics are set through the broker's own names for them (`log.retention.hours`, `message.max.bytes` …).
/// A property that is not here is refused rather than ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerConfig {
    /// `auto.create.topics.enable`, false where Kafka has true: a topic whose name was mistyped is an error.
    pub(crate) auto_create_topics_enable: bool,
    /// `num.partitions`, 1: of topics that do not say.
    pub(crate) num_partitions: i32,
    /// `default.replication.factor`, 1: of topics that do not say.
    pub(crate) default_replication_factor: i16,
    /// `delete.topic.enable`, true.
    pub(crate) delete_topic_enable: bool,
    /// `log.retention.check.interval.ms`, 5 minutes.
    pub(crate) log_retention_check_interval_ms: i64,
    /// `group.initial.rebalance.delay.ms`: how long a group's first rebalance waits for more members. 0, as Kafka's own
    /// `server.properties` sets it for development and tests, where Kafka's built-in default is 3 s.
    pub(crate) group_initial_rebalance_delay_ms: i32,
    /// `group.min.session.timeout.ms`, 6 s.
    pub(crate) group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`, 30 minutes.
    pub(crate) group_max_session_timeout_ms: i32,
    /// `group.max.size`, `i32::MAX` members.
    pub(crate) group_max_size: i32,
    /// `offset.metadata.max.bytes`, 4096: the longest note beside a committed offset.
    pub(crate) offset_metadata_max_bytes: i32,
    /// `offsets.retention.minutes`, a week.
    pub(crate) offsets_retention_minutes: i32,
    /// `offsets.retention.check.interval.ms`, 10 minutes.
    pub(crate) offsets_retention_check_interval_ms: i64,
    /// `offsets.topic.num.partitions`, 50.
    pub(crate) offsets_topic_num_partitions: i32,
    /// `offsets.topic.segment.bytes`, 100 MiB.
    pub(crate) offsets_topic_segment_bytes: i32,
    /// `log.cleaner.*`.
    pub(crate) cleaner: CleanerConfig,
    /// What topics get that do not say otherwise; holds `producer.id.expiration.ms` too.
    log_config: Arc<LogConfig>,
    layers: Layers,
}

/// What was set, and where: property to text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layers {
    dynamic_broker: BTreeMap<String, String>,
    dynamic_default: BTreeMap<String, String>,
    fixed: BTreeMap<String, String>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            auto_create_topics_enable: false,
            num_partitions: 1,
            default_replication_factor: 1,
            delete_topic_enable: true,
            log_retention_check_interval_ms: 5 * 60 * 1000,
            group_initial_rebalance_delay_ms: 0,
            group_min_session_timeout_ms: 6000,
            group_max_session_timeout_ms: 30 * 60 * 1000,
            group_max_size: i32::MAX,
            offset_metadata_max_bytes: 4096,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            offsets_topic_num_partitions: 50,
            offsets_topic_segment_bytes: 100 << 20,
            cleaner: CleanerConfig::default(),
            log_config: Arc::default(),
            layers: Layers::default(),
        }
    }
}

impl BrokerConfig {
    /// Sets one property from its text, as the broker is started with it. `INVALID_CONFIG` for a value that Kafka refuses
    /// and for a name that is not here.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.check_and_apply(name, value)?;
        self.layers.fixed.insert(name.to_owned(), value.to_owned());
        self.apply_ranked(name)
    }

    /// These settings, with what was set while the broker runs over them: for all brokers, and on this one. What a
    /// previous call laid over them is gone. Errors as for [`BrokerConfig::set`].
    pub(crate) fn with_dynamic(
        &self,
        dynamic_default: &BTreeMap<String, String>,
        dynamic_broker: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let fixed = self.layers.fixed.clone();
        let (dynamic_default, dynamic_broker) = (dynamic_default.clone(), dynamic_broker.clone());
        let mut config = Self { layers: Layers { dynamic_broker, dynamic_default, fixed }, ..Self::default() };
        let names: Vec<String> = config.layers.all().into_iter().flat_map(|layer| layer.keys().cloned()).collect();
        for name in names {
            let text = config.text(&name).unwrap_or_default().to_owned();
            config.check_and_apply(&name, &text)?;
            config.apply_ranked(&name)?;
        }
        config.validate()?;
        Ok(config)
    }

    fn check_and_apply(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "auto.create.topics.enable" => self.auto_create_topics_enable = parse_bool(name, value)?,
            "num.partitions" => self.num_partitions = parse_i32(name, value, 1..)?,
            "default.replication.factor" => self.default_replication_factor = parse_i16(name, value, 1..)?,
            "delete.topic.enable" => self.delete_topic_enable = parse_bool(name, value)?,
            "log.retention.check.interval.ms" => {
                self.log_retention_check_interval_ms = parse_i64(name, value, 1..)?;
            }
            "group.initial.rebalance.delay.ms" => {
                self.group_initial_rebalance_delay_ms = parse_i32(name, value, 0..)?;
            }
            "group.min.session.timeout.ms" => self.group_min_session_timeout_ms = parse_i32(name, value, 0..)?,
            "group.max.session.timeout.ms" => self.group_max_session_timeout_ms = parse_i32(name, value, 0..)?,
            "group.max.size" => self.group_max_size = parse_i32(name, value, 1..)?,
            "offset.metadata.max.bytes" => self.offset_metadata_max_bytes = parse_i32(name, value, 0..)?,
            "offsets.retention.minutes" => self.offsets_retention_minutes = parse_i32(name, value, 1..)?,
            "offsets.retention.check.interval.ms" => {
                self.offsets_retention_check_interval_ms = parse_i64(name, value, 1..)?;
            }
            "offsets.topic.num.partitions" => self.offsets_topic_num_partitions = parse_i32(name, value, 1..)?,
            // Kafka takes less, and then cannot create the topic: `segment.bytes` is at least 1 MiB since 4.0 (KIP-1030).
            "offsets.topic.segment.bytes" => self.offsets_topic_segment_bytes = parse_i32(name, value, 1 << 20..)?,
            "producer.id.expiration.ms" => {
                let ms = i64::from(parse_i32(name, value, 1..)?);
                Arc::make_mut(&mut self.log_config).producer_id_expiration_ms = ms;
            }
            _ if self.cleaner.set(name, value)? => {}
            _ => self.check_topic_default(name, value)?,
        }
        debug_assert!(broker_property::find(name).is_some(), "{name} is missing in the table of broker properties");
        Ok(())
    }

    fn check_topic_default(&self, name: &str, value: &str) -> Result<()> {
        let (property, synonym) = topic_property::find_synonym(name)
            .ok_or_else(|| Error::config(format!("Unknown configuration '{name}'.")))?;
        let mut candidate = LogConfig::clone(&self.log_config);
        (property.apply)(&mut candidate, name, &synonym.convert(value)?)?;
        if candidate.retention_ms == Some(0) {
            // Kafka allows 0 for a topic, but not as the broker's default.
            return Err(invalid(name, value, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"));
        }
        Ok(())
    }

    /// A synonym of higher rank may be set, too: what counts is the rank, not the order of the calls.
    fn apply_ranked(&mut self, name: &str) -> Result<()> {
        if let Some((property, _)) = topic_property::find_synonym(name)
            && let Some(text) = self.topic_default(property)
        {
            (property.apply)(Arc::make_mut(&mut self.log_config), property.name, &text)?;
        }
        Ok(())
    }

    /// The checks that span properties, for when all are set.
    pub(crate) fn validate(&self) -> Result<()> {
        check_range(
            "group.max.session.timeout.ms",
            self.group_max_session_timeout_ms,
            self.group_min_session_timeout_ms..,
        )?;
        self.cleaner.validate()?;
        topic_property::check_compaction_lag(|property| self.topic_default(property))
    }

    /// The settings of a topic without overrides.
    pub(crate) fn log_config(&self) -> &Arc<LogConfig> {
        &self.log_config
    }

    /// The text of one property, if it is set anywhere.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.layers.all().into_iter().find_map(|layer| layer.get(name)).map(String::as_str)
    }

    /// What was set in one place: on this broker, for all brokers, at the start.
    pub(crate) fn layer(&self, source: ConfigSource) -> Option<&BTreeMap<String, String>> {
        match source {
            ConfigSource::DynamicBroker => Some(&self.layers.dynamic_broker),
            ConfigSource::DynamicDefaultBroker => Some(&self.layers.dynamic_default),
            ConfigSource::StaticBroker => Some(&self.layers.fixed),
            ConfigSource::DynamicTopic | ConfigSource::Default => None,
        }
    }

    /// The default of one topic setting, in the topic setting's unit.
    pub(crate) fn topic_default(&self, property: &TopicProperty) -> Option<String> {
        property
            .synonyms
            .iter()
            .find_map(|synonym| synonym.convert(self.text(synonym.name)?).ok())
            .or_else(|| property.default.map(str::to_owned))
    }

    /// Whether the other amounts to the same, wherever it was set.
    #[cfg(test)]
    pub(crate) fn is_effectively(&self, other: &Self) -> bool {
        let bare = |config: &Self| Self { layers: Layers::default(), ..config.clone() };
        bare(self) == bare(other)
    }
}

impl Layers {
    /// From the one that counts most.
    fn all(&self) -> [&BTreeMap<String, String>; 3] {
        [&self.dynamic_broker, &self.dynamic_default, &self.fixed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic_property::TOPIC_PROPERTIES;

    fn with(pairs: &[(&str, &str)]) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        for (name, value) in pairs {
            config.set(name, value).unwrap();
        }
        config
    }

    fn refusal(name: &str, value: &str) -> String {
        let text = BrokerConfig::default().set(name, value).unwrap_err().to_string();
        text.strip_suffix(" [INVALID_CONFIG (40)]").unwrap().to_owned()
    }

    #[test]
    fn own_properties_are_typed() {
        let config = with(&[
            ("num.partitions", "3"),
            ("default.replication.factor", "2"),
            ("delete.topic.enable", "false"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "1"),
            ("producer.id.expiration.ms", "1000"),
            ("message.max.bytes", "2000"),
        ]);
        assert_eq!((config.num_partitions, config.default_replication_factor), (3, 2));
        assert!(!config.delete_topic_enable);
        assert_eq!(config.group_initial_rebalance_delay_ms, 0);
        assert_eq!(config.offsets_topic_num_partitions, 1);
        assert_eq!(config.log_config().producer_id_expiration_ms, 1000);
        assert_eq!(config.log_config().max_message_bytes, 2000);
    }

    #[test]
    fn the_first_synonym_wins_whatever_the_order() {
        assert_eq!(with(&[("log.retention.hours", "1")]).log_config().retention_ms, Some(3_600_000));
        for order in [
            [("log.retention.ms", "7"), ("log.retention.hours", "1")],
            [("log.retention.hours", "1"), ("log.retention.ms", "7")],
        ] {
            assert_eq!(with(&order).log_config().retention_ms, Some(7));
        }
        let config = with(&[("log.retention.hours", "1"), ("log.retention.minutes", "-1")]);
        assert_eq!(config.log_config().retention_ms, None);
        assert_eq!(with(&[("log.roll.jitter.hours", "2")]).log_config().segment_jitter_ms, 7_200_000);
    }

    #[test]
    fn topics_override_the_broker() {
        let broker = with(&[("log.retention.ms", "7"), ("message.max.bytes", "100")]);
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "9".to_owned())]);
        let config = LogConfig::resolve(broker.log_config(), &overrides).unwrap();
        assert_eq!((config.retention_ms, config.max_message_bytes), (Some(9), 100));
    }

    #[test]
    fn refusals_name_the_broker_property() {
        assert_eq!(refusal("broker.rack", "a"), "Unknown configuration 'broker.rack'.");
        assert_eq!(
            refusal("num.partitions", "0"),
            "Invalid value 0 for configuration num.partitions: Value must be at least 1"
        );
        assert_eq!(
            refusal("log.segment.bytes", "1"),
            "Invalid value 1 for configuration log.segment.bytes: Value must be at least 1048576"
        );
        assert_eq!(
            refusal("log.roll.hours", "0"),
            "Invalid value 0 for configuration log.roll.hours: Value must be at least 1"
        );
        assert_eq!(
            refusal("log.retention.ms", "0"),
            "Invalid value 0 for configuration log.retention.ms: \
             log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
        );
        assert!(with(&[("log.cleanup.policy", "compact")]).log_config().cleanup_policy.compact);
        assert!(refusal("unclean.leader.election.enable", "true").contains("has not built"));
    }

    #[test]
    fn checks_across_properties_wait_for_validate() {
        assert_eq!(BrokerConfig::default().validate().map_err(|error| error.to_string()), Ok(()));
        assert!(with(&[("group.min.session.timeout.ms", "1900000")]).validate().is_err());
        let lags = [("log.cleaner.min.compaction.lag.ms", "2"), ("log.cleaner.max.compaction.lag.ms", "1")];
        assert!(with(&lags).validate().is_err());
        assert!(with(&[("log.cleaner.dedupe.buffer.size", "1000")]).validate().is_err());
    }

    #[test]
    fn what_is_set_while_the_broker_runs_counts_more() {
        let fixed = with(&[("log.retention.hours", "1"), ("message.max.bytes", "100")]);
        let set = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let none = BTreeMap::new();
        let config = fixed.with_dynamic(&set("log.retention.ms", "5"), &none).unwrap();
        assert_eq!((config.log_config().retention_ms, config.log_config().max_message_bytes), (Some(5), 100));
        let config = config.with_dynamic(&set("log.retention.ms", "5"), &set("log.retention.ms", "6")).unwrap();
        assert_eq!(config.log_config().retention_ms, Some(6));
        assert_eq!(config.with_dynamic(&none, &none).unwrap(), fixed);
        let refused = fixed.with_dynamic(&set("log.retention.ms", "0"), &none).unwrap_err().to_string();
        assert!(refused.contains("must be unlimited (-1)"), "{refused}");
    }

    #[test]
    fn broker_names_are_unambiguous() {
        let synonyms = TOPIC_PROPERTIES.iter().flat_map(|property| property.synonyms);
        let mut names: Vec<_> = synonyms.map(|synonym| synonym.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
