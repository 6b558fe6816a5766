//! What a topic may be called.

use crate::error::{Error, ErrorCode};

const MAX_LENGTH: usize = 249;

/// `INVALID_TOPIC_EXCEPTION` unless this can name a topic: 1 to 249 of `[a-zA-Z0-9._-]`, but neither `.` nor `..`.
pub(crate) fn validate_topic_name(name: &str) -> Result<(), Error> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        // Counted as Java counts, so that the text fits for names outside ASCII too.
        _ if name.encode_utf16().count() > MAX_LENGTH => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_LENGTH}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorCode::InvalidTopic, format!("Topic name is invalid: {reason}")))
}

/// The name with `_` for every `.`, if it has either: topics that are the same then collide, because Kafka's metric names
/// could not tell them apart.
pub(crate) fn unify(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_rules_pass() {
        for name in ["a", "...", "-", "_", "__consumer_offsets", "A.b-C_9", &"x".repeat(249)] {
            validate_topic_name(name).unwrap();
        }
    }

    #[test]
    fn refusals_read_as_kafkas() {
        let long = "x".repeat(250);
        for (name, reason) in [
            ("", "the empty string is not allowed".to_owned()),
            (".", "'.' is not allowed".to_owned()),
            ("..", "'..' is not allowed".to_owned()),
            (&long, format!("the length of '{long}' is longer than the max allowed length 249")),
            (
                "a b",
                "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned(),
            ),
            ("ä", "'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned()),
        ] {
            let error = validate_topic_name(name).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidTopic);
            assert_eq!(error.to_string(), format!("Topic name is invalid: {reason} [INVALID_TOPIC_EXCEPTION (17)]"));
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(unify("a.b_c").as_deref(), Some("a_b_c"));
        assert_eq!(unify("a.b_c"), unify("a_b.c"));
        assert_eq!(unify("a-b"), None);
    }
}
