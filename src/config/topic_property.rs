//! The table of topic settings: every name that Kafka 4.3's `LogConfig` defines, with its broker synonyms, its default,
//! and how its text becomes part of a [`LogConfig`].
//!
//! Three kinds of settings are accepted without a field in [`LogConfig`]:
//! - `flush.*` and `preallocate`: about files, and a log in memory has none;
//! - `local.retention.*` and `remote.log.*`: Kafka too reads them only when tiered storage is on, and turning that on is
//!   refused;
//! - `compression.*.level`: a level trades time for size and changes no answer.
//!
//! A value whose absence would show (`remote.storage.enable=true`, `unclean.leader.election.enable=true`, throttled
//! replicas) is refused with `INVALID_CONFIG`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::ConfigType::{self, Boolean, Double, Int, List, Long, String as Word};
use crate::config::broker_property::BrokerProperty;
use crate::config::property::{
    invalid, not_built, parse_bool, parse_enum, parse_f64, parse_i32, parse_i64, parse_list,
};
use crate::config::{BrokerConfig, LogConfig};
use crate::error::{Error, Result};
use crate::types::{CompressionType, TimestampType};

/// One topic setting.
pub(crate) struct TopicProperty {
    pub(crate) name: &'static str,
    /// The broker's properties that give its default, most important first.
    pub(crate) synonyms: &'static [Synonym],
    /// Kafka's default. `None`: not set.
    pub(crate) default: Option<&'static str>,
    pub(crate) kind: ConfigType,
    /// Parses the text (which stands for the property of the given name), checks it and stores it.
    pub(crate) apply: fn(&mut LogConfig, &str, &str) -> Result<()>,
}

/// A broker property that gives a topic setting its default.
pub(crate) struct Synonym {
    pub(crate) name: &'static str,
    unit: Unit,
}

enum Unit {
    /// The topic setting's own.
    Same,
    Minutes,
    /// With the smallest value that Kafka accepts.
    Hours(i32),
}

impl TopicProperty {
    /// The broker's properties behind this setting. Only the first of them can be altered while brokers run; where there
    /// are several, the last has the default.
    pub(crate) fn broker_properties(&'static self) -> impl Iterator<Item = BrokerProperty> {
        let only = self.synonyms.len() == 1;
        self.synonyms.iter().enumerate().map(move |(rank, synonym)| BrokerProperty {
            name: synonym.name,
            kind: if matches!(synonym.unit, Unit::Same) { self.kind } else { Int },
            default: if only || rank > 0 { synonym.default_from(self.default) } else { None },
            is_dynamic: rank == 0,
        })
    }
}

impl Synonym {
    /// The built-in value, from that of the topic's setting.
    fn default_from(&self, default: Option<&'static str>) -> Option<Cow<'static, str>> {
        match self.unit {
            Unit::Same => default.map(Cow::from),
            Unit::Minutes => None,
            Unit::Hours(_) => {
                let ms: i64 = default?.parse().ok()?;
                Some(Cow::from((ms / 3_600_000).to_string()))
            }
        }
    }

    /// The text in the topic setting's own unit.
    pub(crate) fn convert(&self, text: &str) -> Result<String> {
        let (ms_per_unit, at_least) = match self.unit {
            Unit::Same => return Ok(text.to_owned()),
            Unit::Minutes => (60_000, i32::MIN),
            Unit::Hours(at_least) => (3_600_000, at_least),
        };
        // Kafka takes every negative time as -1, for ever.
        let value = parse_i32(self.name, text, at_least..)?;
        Ok(if value < 0 { "-1".to_owned() } else { (i64::from(value) * ms_per_unit).to_string() })
    }
}

/// The setting of this name.
pub(crate) fn find(name: &str) -> Option<&'static TopicProperty> {
    TOPIC_PROPERTIES.iter().find(|property| property.name == name)
}

/// The setting that this broker property gives the default of.
pub(crate) fn find_synonym(broker_property: &str) -> Option<(&'static TopicProperty, &'static Synonym)> {
    TOPIC_PROPERTIES.iter().find_map(|property| {
        let synonym = property.synonyms.iter().find(|synonym| synonym.name == broker_property)?;
        Some((property, synonym))
    })
}

/// The longest value, in Java's characters: what Kafka's metadata records can hold.
pub(crate) const MAX_VALUE_LENGTH: usize = i16::MAX as usize;

/// Checks a topic's overrides as the controller does before it creates the topic, and says what they amount to.
pub(crate) fn validate(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<LogConfig> {
    if let Some(name) = overrides.keys().find(|name| find(name).is_none()) {
        return Err(Error::config(format!("Unknown topic config name: {name}")));
    }
    if overrides.values().any(|value| value.encode_utf16().count() > MAX_VALUE_LENGTH) {
        return Err(Error::config(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {MAX_VALUE_LENGTH} bytes."
        )));
    }
    let log_config = LogConfig::resolve(broker.log_config(), overrides)?;
    check_compaction_lag(|property| overrides.get(property.name).cloned().or_else(|| broker.topic_default(property)))?;
    Ok(log_config)
}

/// The one check that spans settings (without tiered storage): `min.compaction.lag.ms` against `max.compaction.lag.ms`.
pub(crate) fn check_compaction_lag(value: impl Fn(&TopicProperty) -> Option<String>) -> Result<()> {
    const MIN: &str = "min.compaction.lag.ms";
    const MAX: &str = "max.compaction.lag.ms";
    let lag = |name: &str, default: i64| match find(name).and_then(&value) {
        Some(text) => parse_i64(name, &text, ..),
        None => Ok(default),
    };
    let (min, max) = (lag(MIN, 0)?, lag(MAX, i64::MAX)?);
    if min <= max {
        return Ok(());
    }
    Err(Error::config(format!("conflict topic config setting {MIN} ({min}) > {MAX} ({max})")))
}

/// In the order in which they are applied: `internal.segment.bytes` after `segment.bytes`, which it overrides.
pub(crate) static TOPIC_PROPERTIES: &[TopicProperty] = &[
    // Ours, not Kafka's: what its partitions may hold together. See the manual's page on limits.
    property(
        "brokerless.memory.max.bytes",
        &[same("brokerless.topic.memory.max.bytes")],
        "-1",
        Long,
        |config, name, text| {
            config.memory_max_bytes = u64::try_from(parse_i64(name, text, -1..)?).ok();
            Ok(())
        },
    ),
    property("cleanup.policy", &[same("log.cleanup.policy")], "delete", List, cleanup_policy),
    property("compression.type", &[same("compression.type")], "producer", Word, compression_type),
    property("compression.gzip.level", &[same("compression.gzip.level")], "-1", Int, gzip_level),
    property("compression.lz4.level", &[same("compression.lz4.level")], "9", Int, |_, name, text| {
        parse_i32(name, text, 1..=17).map(drop)
    }),
    property("compression.zstd.level", &[same("compression.zstd.level")], "3", Int, |_, name, text| {
        parse_i32(name, text, -131_072..=22).map(drop)
    }),
    property(
        "delete.retention.ms",
        &[same("log.cleaner.delete.retention.ms")],
        "86400000",
        Long,
        |config, name, text| {
            config.delete_retention_ms = parse_i64(name, text, 0..)?;
            Ok(())
        },
    ),
    property("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")], "60000", Long, |config, name, text| {
        config.file_delete_delay_ms = parse_i64(name, text, 0..)?;
        Ok(())
    }),
    property("flush.messages", &[same("log.flush.interval.messages")], I64_MAX, Long, |_, name, text| {
        parse_i64(name, text, 1..).map(drop)
    }),
    property(
        "flush.ms",
        &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        I64_MAX,
        Long,
        |_, name, text| parse_i64(name, text, 0..).map(drop),
    ),
    property("follower.replication.throttled.replicas", &[], "", List, throttled_replicas),
    property("index.interval.bytes", &[same("log.index.interval.bytes")], "4096", Int, |config, name, text| {
        config.index_interval_bytes = parse_i32(name, text, 0..)? as u32;
        Ok(())
    }),
    property("leader.replication.throttled.replicas", &[], "", List, throttled_replicas),
    property("local.retention.bytes", &[same("log.local.retention.bytes")], "-2", Long, |_, name, text| {
        parse_i64(name, text, -2..).map(drop)
    }),
    property("local.retention.ms", &[same("log.local.retention.ms")], "-2", Long, |_, name, text| {
        parse_i64(name, text, -2..).map(drop)
    }),
    property(
        "max.compaction.lag.ms",
        &[same("log.cleaner.max.compaction.lag.ms")],
        I64_MAX,
        Long,
        |config, name, text| {
            config.max_compaction_lag_ms = parse_i64(name, text, 1..)?;
            Ok(())
        },
    ),
    property("max.message.bytes", &[same("message.max.bytes")], "1048588", Int, |config, name, text| {
        config.max_message_bytes = parse_i32(name, text, 0..)? as u32;
        Ok(())
    }),
    property(
        "message.timestamp.after.max.ms",
        &[same("log.message.timestamp.after.max.ms")],
        "3600000",
        Long,
        |config, name, text| {
            config.timestamp_after_max_ms = parse_i64(name, text, 0..)?;
            Ok(())
        },
    ),
    property(
        "message.timestamp.before.max.ms",
        &[same("log.message.timestamp.before.max.ms")],
        I64_MAX,
        Long,
        |config, name, text| {
            config.timestamp_before_max_ms = parse_i64(name, text, 0..)?;
            Ok(())
        },
    ),
    property(
        "message.timestamp.type",
        &[same("log.message.timestamp.type")],
        "CreateTime",
        Word,
        |config, name, text| {
            const TYPES: [(&str, TimestampType); 2] =
                [("CreateTime", TimestampType::CreateTime), ("LogAppendTime", TimestampType::LogAppendTime)];
            config.timestamp_type = parse_enum(name, text, &TYPES)?;
            Ok(())
        },
    ),
    property(
        "min.cleanable.dirty.ratio",
        &[same("log.cleaner.min.cleanable.ratio")],
        "0.5",
        Double,
        |config, name, text| {
            config.min_cleanable_dirty_ratio = parse_f64(name, text, 0.0..=1.0)?;
            Ok(())
        },
    ),
    property("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")], "0", Long, |config, name, text| {
        config.min_compaction_lag_ms = parse_i64(name, text, 0..)?;
        Ok(())
    }),
    property("min.insync.replicas", &[same("min.insync.replicas")], "1", Int, |config, name, text| {
        config.min_insync_replicas = parse_i32(name, text, 1..)?;
        Ok(())
    }),
    property("preallocate", &[same("log.preallocate")], "false", Boolean, |_, name, text| {
        parse_bool(name, text).map(drop)
    }),
    property("remote.log.copy.disable", &[], "false", Boolean, |_, name, text| parse_bool(name, text).map(drop)),
    property("remote.log.delete.on.disable", &[], "false", Boolean, |_, name, text| parse_bool(name, text).map(drop)),
    property("remote.storage.enable", &[], "false", Boolean, |_, name, text| {
        if parse_bool(name, text)? {
            // What a Kafka broker without a remote log system says, and why there is none here.
            return Err(Error::config(
                "Tiered Storage functionality is disabled in the broker. \
                 Topic cannot be configured with remote log storage. (brokerless has not built it yet.)",
            ));
        }
        Ok(())
    }),
    property("retention.bytes", &[same("log.retention.bytes")], "-1", Long, |config, name, text| {
        config.retention_bytes = u64::try_from(parse_i64(name, text, ..)?).ok();
        Ok(())
    }),
    property(
        "retention.ms",
        &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours", i32::MIN)],
        "604800000",
        Long,
        |config, name, text| {
            config.retention_ms = Some(parse_i64(name, text, -1..)?).filter(|ms| *ms >= 0);
            Ok(())
        },
    ),
    // At least 1 MiB since Kafka 4.0 (KIP-1030).
    property("segment.bytes", &[same("log.segment.bytes")], "1073741824", Int, |config, name, text| {
        config.segment_bytes = parse_i32(name, text, 1 << 20..)? as u32;
        Ok(())
    }),
    // Kafka's own way below that floor, for tests.
    TopicProperty {
        name: "internal.segment.bytes",
        synonyms: &[],
        default: None,
        kind: Int,
        apply: |config, name, text| {
            config.segment_bytes = parse_i32(name, text, 1..)? as u32;
            Ok(())
        },
    },
    property("segment.index.bytes", &[same("log.index.size.max.bytes")], "10485760", Int, |config, name, text| {
        config.segment_index_bytes = parse_i32(name, text, 4..)? as u32;
        Ok(())
    }),
    property(
        "segment.jitter.ms",
        &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours", 0)],
        "0",
        Long,
        |config, name, text| {
            config.segment_jitter_ms = parse_i64(name, text, 0..)?;
            Ok(())
        },
    ),
    property(
        "segment.ms",
        &[same("log.roll.ms"), hours("log.roll.hours", 1)],
        "604800000",
        Long,
        |config, name, text| {
            config.segment_ms = parse_i64(name, text, 1..)?;
            Ok(())
        },
    ),
    property(
        "unclean.leader.election.enable",
        &[same("unclean.leader.election.enable")],
        "false",
        Boolean,
        |_, name, text| {
            if parse_bool(name, text)? { Err(not_built(name, text)) } else { Ok(()) }
        },
    ),
];

const I64_MAX: &str = "9223372036854775807";

const fn property(
    name: &'static str,
    synonyms: &'static [Synonym],
    default: &'static str,
    kind: ConfigType,
    apply: fn(&mut LogConfig, &str, &str) -> Result<()>,
) -> TopicProperty {
    TopicProperty { name, synonyms, default: Some(default), kind, apply }
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Minutes }
}

const fn hours(name: &'static str, at_least: i32) -> Synonym {
    Synonym { name, unit: Unit::Hours(at_least) }
}

/// A set of `delete` and `compact`; the empty one keeps everything (KIP-1161). Kafka 4.3 lets a policy be there twice.
fn cleanup_policy(config: &mut LogConfig, name: &str, text: &str) -> Result<()> {
    let policies = parse_list(text);
    if policies.contains(&"") {
        return Err(Error::config(format!("Configuration '{name}' values must not be empty.")));
    }
    for policy in &policies {
        parse_enum(name, policy, &[("compact", ()), ("delete", ())])?;
    }
    config.cleanup_policy.delete = policies.contains(&"delete");
    config.cleanup_policy.compact = policies.contains(&"compact");
    Ok(())
}

/// Recompression by the broker needs the codec, so a codec that this build lacks is refused.
fn compression_type(config: &mut LogConfig, name: &str, text: &str) -> Result<()> {
    const TYPES: [(&str, (Option<CompressionType>, bool)); 6] = [
        ("uncompressed", (Some(CompressionType::None), true)),
        ("zstd", (Some(CompressionType::Zstd), cfg!(feature = "zstd"))),
        ("lz4", (Some(CompressionType::Lz4), cfg!(feature = "lz4"))),
        ("snappy", (Some(CompressionType::Snappy), cfg!(feature = "snappy"))),
        ("gzip", (Some(CompressionType::Gzip), cfg!(feature = "gzip"))),
        ("producer", (None, true)),
    ];
    let (compression, built) = parse_enum(name, text, &TYPES)?;
    if !built {
        let text = text.trim();
        return Err(invalid(name, text, format_args!("brokerless was built without its feature `{text}`")));
    }
    config.compression = compression;
    Ok(())
}

fn gzip_level(_: &mut LogConfig, name: &str, text: &str) -> Result<()> {
    match parse_i32(name, text, ..)? {
        -1 | 1..=9 => Ok(()),
        level => Err(invalid(name, level, "Value must be between 1 and 9 or equal to -1")),
    }
}

/// `*`, or a list of `partition:broker`. Only the empty list throttles nothing.
fn throttled_replicas(_: &mut LogConfig, name: &str, text: &str) -> Result<()> {
    let replicas = parse_list(text);
    let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |replica: &&str| {
        replica.is_empty() || replica.split_once(':').is_some_and(|(left, right)| number(left) && number(right))
    };
    if !replicas.iter().all(is_replica) && replicas.concat() != "*" {
        return Err(invalid(
            name,
            format_args!("[{}]", replicas.join(", ")),
            format_args!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        ));
    }
    if replicas.concat().is_empty() { Ok(()) } else { Err(not_built(name, text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CleanupPolicy;

    fn check(pairs: &[(&str, &str)]) -> Result<LogConfig> {
        check_with(&BrokerConfig::default(), pairs)
    }

    fn check_with(broker: &BrokerConfig, pairs: &[(&str, &str)]) -> Result<LogConfig> {
        let overrides = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        validate(broker, &overrides)
    }

    fn refusal(name: &str, value: &str) -> String {
        let text = check(&[(name, value)]).unwrap_err().to_string();
        text.strip_suffix(" [INVALID_CONFIG (40)]").unwrap().to_owned()
    }

    #[test]
    fn the_table_is_that_of_kafka_4_3() {
        let mut names: Vec<_> = TOPIC_PROPERTIES.iter().map(|property| property.name).collect();
        names.sort_unstable();
        names.dedup();
        // Kafka's 34, and `brokerless.memory.max.bytes`.
        assert_eq!(names.len(), 35);
        let position = |name| TOPIC_PROPERTIES.iter().position(|property| property.name == name);
        assert!(position("internal.segment.bytes") > position("segment.bytes"));
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_log_config() {
        let mut config = LogConfig {
            cleanup_policy: CleanupPolicy { delete: false, compact: true },
            segment_bytes: 1,
            segment_ms: 1,
            segment_jitter_ms: 1,
            segment_index_bytes: 1,
            index_interval_bytes: 1,
            retention_ms: None,
            retention_bytes: Some(1),
            max_message_bytes: 1,
            compression: Some(CompressionType::None),
            timestamp_type: TimestampType::LogAppendTime,
            timestamp_before_max_ms: 1,
            timestamp_after_max_ms: 1,
            min_insync_replicas: 2,
            file_delete_delay_ms: 1,
            ..LogConfig::default()
        };
        for property in TOPIC_PROPERTIES {
            if let Some(default) = property.default {
                (property.apply)(&mut config, property.name, default).unwrap();
            }
        }
        assert_eq!(config, LogConfig::default());
    }

    #[test]
    fn values_reach_the_log() {
        let config = check(&[
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "10"),
            ("max.message.bytes", "0"),
            ("compression.type", "uncompressed"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "2"),
            ("flush.messages", "1"),
            ("preallocate", "TRUE"),
            ("min.cleanable.dirty.ratio", "0.25"),
        ])
        .unwrap();
        let expected = LogConfig {
            retention_ms: None,
            retention_bytes: Some(1000),
            segment_bytes: 1 << 20,
            segment_ms: 10,
            max_message_bytes: 0,
            compression: Some(CompressionType::None),
            timestamp_type: TimestampType::LogAppendTime,
            min_cleanable_dirty_ratio: 0.25,
            min_insync_replicas: 2,
            ..LogConfig::default()
        };
        assert_eq!(config, expected);
        let config = check(&[("segment.bytes", "2097152"), ("internal.segment.bytes", "100")]).unwrap();
        assert_eq!(config.segment_bytes, 100);
        let config = check(&[("cleanup.policy", "")]).unwrap();
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: false, compact: false });
    }

    #[test]
    fn refusals_read_as_kafkas() {
        assert_eq!(refusal("retenton.ms", "1"), "Unknown topic config name: retenton.ms");
        assert_eq!(
            refusal("message.downconversion.enable", "true"),
            "Unknown topic config name: message.downconversion.enable"
        );
        assert_eq!(
            refusal("segment.bytes", "1048575"),
            "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576"
        );
        assert_eq!(
            refusal("retention.ms", "-2"),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1"
        );
        assert_eq!(
            refusal("compression.gzip.level", "0"),
            "Invalid value 0 for configuration compression.gzip.level: \
             Value must be between 1 and 9 or equal to -1"
        );
        assert_eq!(
            refusal("compression.lz4.level", "18"),
            "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"
        );
        assert_eq!(
            refusal("compression.type", "none"),
            "Invalid value none for configuration compression.type: \
             String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"
        );
        assert_eq!(
            refusal("cleanup.policy", "drop"),
            "Invalid value drop for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert!(check(&[("cleanup.policy", "delete,delete")]).is_ok());
        assert_eq!(refusal("cleanup.policy", "delete,"), "Configuration 'cleanup.policy' values must not be empty.");
        assert_eq!(
            refusal("min.insync.replicas", "0"),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"
        );
        assert_eq!(
            refusal("leader.replication.throttled.replicas", "0:1,x"),
            "Invalid value [0:1, x] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        );
    }

    #[test]
    fn compaction_lags_may_not_cross() {
        let pairs = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")];
        assert!(
            check(&pairs)
                .unwrap_err()
                .to_string()
                .starts_with("conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (9)")
        );
        let mut broker = BrokerConfig::default();
        broker.set("log.cleaner.max.compaction.lag.ms", "5").unwrap();
        assert!(check_with(&broker, &[("min.compaction.lag.ms", "6")]).is_err());
        assert!(check_with(&broker, &[("min.compaction.lag.ms", "5")]).is_ok());
    }

    #[test]
    fn what_is_not_built_is_refused_and_says_so() {
        for (name, value) in [
            ("unclean.leader.election.enable", "true"),
            ("remote.storage.enable", "true"),
            ("leader.replication.throttled.replicas", "*"),
            ("follower.replication.throttled.replicas", "0:1"),
        ] {
            assert!(refusal(name, value).contains("brokerless has not built"), "{name}={value}");
        }
        for name in ["unclean.leader.election.enable", "remote.storage.enable"] {
            assert!(check(&[(name, "false")]).is_ok());
        }
        assert!(check(&[("leader.replication.throttled.replicas", "")]).is_ok());
    }

    #[test]
    fn cleanup_policies_are_a_set() {
        for (text, delete, compact) in [
            ("delete", true, false),
            ("compact", false, true),
            ("compact,delete", true, true),
            ("delete, compact", true, true),
        ] {
            assert_eq!(check(&[("cleanup.policy", text)]).unwrap().cleanup_policy, CleanupPolicy { delete, compact });
        }
    }

    #[test]
    fn codecs_without_their_feature_are_refused() {
        let result = check(&[("compression.type", "zstd")]);
        assert_eq!(result.is_ok(), cfg!(feature = "zstd"));
    }
}
