//! Parsing of single properties with Kafka's `ConfigException` texts.
//!
//! Every function takes the property's name (for the message) and its text as a user wrote it; white space around it is
//! ignored, as in Kafka. Errors have the code `INVALID_CONFIG`. Ranges are Rust's: `1..`, `0..=100`, `..`.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// Kafka's `INT`.
pub(crate) fn parse_i32(name: &str, text: &str, range: impl RangeBounds<i32>) -> Result<i32> {
    check_range(name, parse_number(name, text, "INT")?, range)
}

/// Kafka's `LONG`.
pub(crate) fn parse_i64(name: &str, text: &str, range: impl RangeBounds<i64>) -> Result<i64> {
    check_range(name, parse_number(name, text, "LONG")?, range)
}

/// Kafka's `SHORT`.
pub(crate) fn parse_i16(name: &str, text: &str, range: impl RangeBounds<i16>) -> Result<i16> {
    check_range(name, parse_number(name, text, "SHORT")?, range)
}

/// Kafka's `DOUBLE`.
pub(crate) fn parse_f64(name: &str, text: &str, range: impl RangeBounds<f64>) -> Result<f64> {
    let number: f64 = parse_number(name, text, "DOUBLE")?;
    // Java's NaN is in every range.
    if number.is_nan() {
        Err(invalid(name, text, "Not a number of type DOUBLE"))
    } else {
        check_range(name, number, range)
    }
}

/// A span of time in ms, none of which may be negative; `range` is in ms too.
pub(crate) fn parse_duration_ms(name: &str, text: &str, range: impl RangeBounds<i64>) -> Result<Duration> {
    let ms = check_range(name, parse_i64(name, text, range)?, 0..)?;
    Ok(Duration::from_millis(ms as u64))
}

/// Kafka's `Long.MAX_VALUE` ms means never, as [`Duration::MAX`] does. A century is as good, and an instant can be moved by
/// two of them.
pub(crate) fn bounded(duration: Duration) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    duration.min(CENTURY)
}

/// Kafka's `BOOLEAN`: `true` or `false` in any case.
pub(crate) fn parse_bool(name: &str, text: &str) -> Result<bool> {
    match text.trim() {
        word if word.eq_ignore_ascii_case("true") => Ok(true),
        word if word.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(name, text, "Expected value to be either true or false")),
    }
}

/// One of these words, exactly.
pub(crate) fn parse_enum<T: Copy>(name: &str, text: &str, choices: &[(&str, T)]) -> Result<T> {
    let word = text.trim();
    choices.iter().find(|(choice, _)| *choice == word).map(|(_, value)| *value).ok_or_else(|| {
        let choices: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        invalid(name, word, format_args!("String must be one of: {}", choices.join(", ")))
    })
}

/// Kafka's `LIST`: words between commas; no text at all is an empty list.
pub(crate) fn parse_list(text: &str) -> Vec<&str> {
    match text.trim() {
        "" => Vec::new(),
        words => words.split(',').map(str::trim).collect(),
    }
}

/// The check alone, for values that come typed.
pub(crate) fn check_range<T: PartialOrd + Display>(name: &str, value: T, range: impl RangeBounds<T>) -> Result<T> {
    let at_least = match range.start_bound() {
        Bound::Included(bound) if value < *bound => Some(bound),
        Bound::Excluded(bound) if value <= *bound => Some(bound),
        _ => None,
    };
    if let Some(bound) = at_least {
        return Err(invalid(name, &value, format_args!("Value must be at least {bound}")));
    }
    match range.end_bound() {
        Bound::Included(bound) if value > *bound => {
            Err(invalid(name, &value, format_args!("Value must be no more than {bound}")))
        }
        Bound::Excluded(bound) if value >= *bound => {
            Err(invalid(name, &value, format_args!("Value must be less than {bound}")))
        }
        _ => Ok(value),
    }
}

/// Kafka's `ConfigException` for this value.
pub(crate) fn invalid(name: &str, value: impl Display, reason: impl Display) -> Error {
    Error::config(format!("Invalid value {value} for configuration {name}: {reason}"))
}

/// For a value that Kafka takes and this crate cannot honour yet: refused rather than silently ignored.
pub(crate) fn not_built(name: &str, value: impl Display) -> Error {
    invalid(name, value, "valid in Kafka, but brokerless has not built this yet")
}

fn parse_number<T: FromStr>(name: &str, text: &str, kind: &str) -> Result<T> {
    text.trim().parse().map_err(|_| invalid(name, text, format_args!("Not a number of type {kind}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidConfig);
        error.to_string().strip_suffix(" [INVALID_CONFIG (40)]").unwrap().to_owned()
    }

    #[test]
    fn numbers_parse_within_their_range() {
        assert_eq!(parse_i64("retention.ms", " -1 ", -1..).unwrap(), -1);
        assert_eq!(parse_i32("acks", "+7", ..).unwrap(), 7);
        assert_eq!(parse_i16("x", "3", 0..=3).unwrap(), 3);
        assert_eq!(parse_f64("min.cleanable.dirty.ratio", "0.5", 0.0..=1.0).unwrap(), 0.5);
        assert_eq!(parse_duration_ms("linger.ms", "5", 0..).unwrap(), Duration::from_millis(5));
    }

    #[test]
    fn refusals_read_as_kafkas() {
        assert_eq!(
            message(parse_i64("retention.ms", "x", -1..)),
            "Invalid value x for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            message(parse_i32("segment.bytes", "3000000000", ..)),
            "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT"
        );
        assert_eq!(
            message(parse_i64("retention.ms", "-2", -1..)),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1"
        );
        assert_eq!(
            message(parse_i32("lz4", "18", 1..=17)),
            "Invalid value 18 for configuration lz4: Value must be no more than 17"
        );
        assert_eq!(
            message(parse_bool("preallocate", "yes")),
            "Invalid value yes for configuration preallocate: Expected value to be either true or false"
        );
        assert_eq!(
            message(parse_enum("t", "C", &[("a", 1), ("b", 2)])),
            "Invalid value C for configuration t: String must be one of: a, b"
        );
        assert_eq!(
            message(parse_duration_ms("linger.ms", "-1", ..)),
            "Invalid value -1 for configuration linger.ms: Value must be at least 0"
        );
    }

    #[test]
    fn words_and_lists() {
        assert!(parse_bool("b", "TRUE").unwrap());
        assert!(!parse_bool("b", " false").unwrap());
        assert_eq!(parse_enum("t", " b ", &[("a", 1), ("b", 2)]).unwrap(), 2);
        assert!(parse_enum("t", "B", &[("a", 1), ("b", 2)]).is_err());
        assert_eq!(parse_list(" a , b "), ["a", "b"]);
        assert_eq!(parse_list(" "), [""; 0]);
        assert_eq!(parse_list("a,,b"), ["a", "", "b"]);
    }
}
