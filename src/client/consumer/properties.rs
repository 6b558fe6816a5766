//! Kafka's property names of the consumer, and how each one's text is read.

use std::time::Duration;

use crate::client::consumer::{AutoOffsetReset, ConsumerConfig};
use crate::config::property::{
    bounded, invalid, not_built, parse_bool, parse_duration_ms, parse_enum, parse_i32, parse_list,
};
use crate::error::{Error, Result};
use crate::types::IsolationLevel;

/// Properties of Kafka's consumer without a meaning inside one process.
const WITHOUT_MEANING: &[&str] = &[
    "bootstrap.servers",
    "check.crcs", // A batch is checked where its bytes enter the process, whatever this says.
    "client.dns.lookup",
    "client.rack",
    "connections.max.idle.ms",
    "enable.metrics.push",
    "key.deserializer",
    "metadata.max.age.ms", // The metadata is never older than the last change.
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "send.buffer.bytes",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
    "value.deserializer",
];

/// The same, by how they begin.
const WITHOUT_MEANING_PREFIXES: &[&str] = &["auto.include.jmx", "metric.", "metrics.", "sasl.", "security.", "ssl."];

/// Sets one property.
pub(super) fn set(config: &mut ConsumerConfig, name: &str, text: &str) -> Result<()> {
    let ms = || parse_duration_ms(name, text, 0..=i64::from(i32::MAX));
    let ms_from_1 = || parse_duration_ms(name, text, 1..=i64::from(i32::MAX));
    let bytes = || Ok::<_, Error>(parse_i32(name, text, 0..)? as usize);
    match name {
        "group.id" => config.group_id = Some(text.to_owned()),
        "group.instance.id" => config.group_instance_id = Some(text.to_owned()),
        "client.id" => config.client_id = text.to_owned(),
        "enable.auto.commit" => config.enable_auto_commit = Some(parse_bool(name, text)?),
        "auto.commit.interval.ms" => config.auto_commit_interval = ms()?,
        "auto.offset.reset" => config.auto_offset_reset = parse_offset_reset(name, text)?,
        "isolation.level" => {
            config.isolation_level = parse_enum(
                name,
                text,
                &[
                    ("read_committed", IsolationLevel::ReadCommitted),
                    ("read_uncommitted", IsolationLevel::ReadUncommitted),
                ],
            )?;
        }
        "max.poll.records" => config.max_poll_records = parse_i32(name, text, 1..)? as usize,
        "fetch.min.bytes" => config.fetch_min_bytes = bytes()?,
        "fetch.max.wait.ms" => config.fetch_max_wait = ms()?,
        "fetch.max.bytes" => config.fetch_max_bytes = bytes()?,
        "max.partition.fetch.bytes" => config.max_partition_fetch_bytes = bytes()?,
        "session.timeout.ms" => config.session_timeout = ms_from_1()?,
        "heartbeat.interval.ms" => config.heartbeat_interval = ms_from_1()?,
        "max.poll.interval.ms" => config.max_poll_interval = ms_from_1()?,
        "partition.assignment.strategy" => {
            config.partition_assignment_strategy =
                parse_list(text).into_iter().map(str::parse).collect::<Result<_>>()?;
        }
        "default.api.timeout.ms" => config.default_api_timeout = ms()?,
        "request.timeout.ms" => config.request_timeout = ms()?,
        "retry.backoff.ms" => config.retry_backoff = bounded(parse_duration_ms(name, text, 0..)?),
        "retry.backoff.max.ms" => config.retry_backoff_max = bounded(parse_duration_ms(name, text, 0..)?),
        "allow.auto.create.topics" => config.allow_auto_create_topics = parse_bool(name, text)?,
        "exclude.internal.topics" => config.exclude_internal_topics = parse_bool(name, text)?,
        "group.protocol" if text.trim().eq_ignore_ascii_case("classic") => {}
        "group.protocol" | "group.remote.assignor" => return Err(not_built(name, text)),
        "interceptor.classes" if parse_list(text).is_empty() => {}
        // Java classes; here they are objects: `ConsumerConfig::interceptor`.
        "interceptor.classes" => return Err(not_built(name, text)),
        _ if WITHOUT_MEANING.contains(&name) => {}
        _ if WITHOUT_MEANING_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => {}
        _ => return Err(Error::config(format!("Unknown consumer configuration {name}"))),
    }
    Ok(())
}

fn parse_offset_reset(name: &str, text: &str) -> Result<AutoOffsetReset> {
    match text.trim().to_ascii_lowercase().as_str() {
        "earliest" => Ok(AutoOffsetReset::Earliest),
        "latest" => Ok(AutoOffsetReset::Latest),
        "none" => Ok(AutoOffsetReset::None),
        word => word.strip_prefix("by_duration:").and_then(parse_iso_duration).map(AutoOffsetReset::ByDuration).ok_or_else(
            || {
                invalid(
                    name,
                    text,
                    "must be earliest, latest, none, or of the form by_duration:PnDTnHnMn.nS with a duration that is not \
                     negative",
                )
            },
        ),
    }
}

/// Java's `Duration.parse` in lower case, less signs: `pNdtNhNmN.Ns`, each part at most once and in this order.
fn parse_iso_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('p')?;
    let (date, time) = match text.split_once('t') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let days = if date.is_empty() { 0 } else { parse_digits(date.strip_suffix('d')?)? };
    let mut rest = time;
    let mut whole_part = |unit: char| match rest.split_once(unit) {
        Some((digits, behind)) => {
            rest = behind;
            parse_digits(digits)
        }
        None => Some(0),
    };
    let (hours, minutes) = (whole_part('h')?, whole_part('m')?);
    let (seconds, nanos) = match rest {
        "" => (0, 0),
        rest => {
            let seconds = rest.strip_suffix('s')?;
            let (whole, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
            if fraction.len() > 9 {
                return None;
            }
            let nanos = if fraction.is_empty() { 0 } else { parse_digits(&format!("{fraction:0<9}"))? };
            (parse_digits(whole)?, nanos as u32)
        }
    };
    let seconds = days
        .checked_mul(86_400)?
        .checked_add(hours.checked_mul(3600)?)?
        .checked_add(minutes.checked_mul(60)?)?
        .checked_add(seconds)?;
    Some(Duration::new(seconds, nanos))
}

fn parse_digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::consumer::PartitionAssignor;
    use crate::error::ErrorCode;

    fn read(name: &str, text: &str) -> Result<ConsumerConfig> {
        ConsumerConfig::from_properties([("group.id", "g"), (name, text)])
    }

    #[test]
    fn every_property_lands_in_its_field() {
        assert_eq!(read("session.timeout.ms", "10000").unwrap().session_timeout, Duration::from_secs(10));
        assert_eq!(read("auto.commit.interval.ms", "0").unwrap().auto_commit_interval, Duration::ZERO);
        assert_eq!(read("fetch.max.bytes", "7").unwrap().fetch_max_bytes, 7);
        assert_eq!(read("isolation.level", "read_committed").unwrap().isolation_level, IsolationLevel::ReadCommitted);
        assert!(!read("enable.auto.commit", "false").unwrap().auto_commits());
        assert_eq!(
            read("partition.assignment.strategy", "org.apache.kafka.clients.consumer.StickyAssignor, roundrobin")
                .unwrap()
                .partition_assignment_strategy,
            [PartitionAssignor::Sticky, PartitionAssignor::RoundRobin]
        );
        for (name, text) in
            [("bootstrap.servers", "localhost:9092"), ("ssl.protocol", "TLSv1.3"), ("group.protocol", "CLASSIC")]
        {
            assert_eq!(read(name, text).unwrap().group_id.as_deref(), Some("g"), "{name}");
        }
    }

    #[test]
    fn wrong_names_and_values_are_refused() {
        for (name, text) in [
            ("grupp.id", "g"),
            ("max.poll.records", "0"),
            ("fetch.min.bytes", "-1"),
            ("group.protocol", "consumer"),
            ("partition.assignment.strategy", "mine"),
            ("partition.assignment.strategy", ""),
            ("isolation.level", "READ_COMMITTED"),
            ("auto.offset.reset", "by_duration:-PT1S"),
            ("auto.offset.reset", "by_duration:"),
            ("heartbeat.interval.ms", "45000"),
        ] {
            assert_eq!(read(name, text).unwrap_err().code(), ErrorCode::InvalidConfig, "{name}={text}");
        }
    }

    #[test]
    fn offset_resets_and_iso_durations() {
        let reset = |text: &str| read("auto.offset.reset", text).map(|config| config.auto_offset_reset).ok();
        assert_eq!(reset("EARLIEST"), Some(AutoOffsetReset::Earliest));
        assert_eq!(reset("none"), Some(AutoOffsetReset::None));
        assert_eq!(
            reset("by_duration:P1DT2H3M4.5S"),
            Some(AutoOffsetReset::ByDuration(Duration::from_millis(93_784_500)))
        );
        assert_eq!(reset("by_duration:PT0.000000001S"), Some(AutoOffsetReset::ByDuration(Duration::from_nanos(1))));
        assert_eq!(reset("by_duration:PT90M"), Some(AutoOffsetReset::ByDuration(Duration::from_secs(5400))));
        for text in ["P", "PT", "1D", "P1", "PT1", "PT1M1H", "P1H", "PT1.S1", "PT1.1234567890S", "P-1D"] {
            assert_eq!(reset(&format!("by_duration:{text}")), None, "{text}");
        }
    }
}
