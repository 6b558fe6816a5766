//! [`ConfigEntry`]: a setting as it is described, with where its value comes from.

use std::fmt;

/// Where a setting's value comes from, from what counts most to what counts least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// An override of this topic.
    DynamicTopic,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run: the cluster-wide default.
    DynamicDefaultBroker,
    /// Given when the cluster was built, as in `server.properties`.
    StaticBroker,
    /// Built in.
    Default,
}

impl ConfigSource {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a setting's text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// A word.
    String,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Words between commas.
    List,
}

impl ConfigType {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
        }
    }

    /// The text of a valid value as Kafka prints it back: numbers and words without what surrounds them.
    pub(crate) fn normalize(self, text: &str) -> String {
        let text = text.trim();
        match self {
            Self::Boolean => text.to_ascii_lowercase(),
            Self::Int | Self::Long => text.parse().map_or_else(|_| text.to_owned(), |number: i64| number.to_string()),
            Self::Double => text.parse().map_or_else(|_| text.to_owned(), java_double),
            Self::List => {
                // What is there twice counts once.
                let mut words = crate::config::property::parse_list(text);
                let mut known = std::collections::BTreeSet::new();
                words.retain(|word| known.insert(*word));
                words.join(",")
            }
            Self::String => text.to_owned(),
        }
    }
}

/// `Double.toString` of Java: with an exponent below a thousandth and from ten million on.
fn java_double(number: f64) -> String {
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text.replace('e', "E"),
    }
}

impl fmt::Display for ConfigType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place where a setting gets, or would get, its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: ConfigSource,
}

impl ConfigSynonym {
    /// The property's name there: `retention.ms` of a topic is `log.retention.ms` of a broker.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Its value there, in that property's own unit.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Which place it is.
    pub fn source(&self) -> ConfigSource {
        self.source
    }
}

/// A setting with its value and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub(super) name: &'static str,
    pub(super) value: Option<String>,
    pub(super) source: ConfigSource,
    pub(super) is_read_only: bool,
    pub(super) config_type: ConfigType,
    pub(super) synonyms: Vec<ConfigSynonym>,
}

impl ConfigEntry {
    /// The property's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The value in effect; `None` where there is none, as for a broker's `log.retention.ms` while
    /// `log.retention.hours` decides.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Where the value comes from: the source of the first synonym, or [`ConfigSource::Default`] without any.
    pub fn source(&self) -> ConfigSource {
        self.source
    }

    /// Whether the value is built in.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }

    /// Whether it can only be set when the cluster is built.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Whether the value is a secret and therefore not shown. None is so far.
    pub fn is_sensitive(&self) -> bool {
        false
    }

    /// What the value's text stands for.
    pub fn config_type(&self) -> ConfigType {
        self.config_type
    }

    /// Where the value comes from, and what it would be without that, in order of precedence. As in Kafka a setting that
    /// has several names on a broker (`log.retention.ms`, `.minutes`, `.hours`) lists none that stands before its own.
    pub fn synonyms(&self) -> &[ConfigSynonym] {
        &self.synonyms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_java_prints_them() {
        assert_eq!(ConfigType::Long.normalize(" +8 "), "8");
        assert_eq!(ConfigType::Boolean.normalize("TRUE"), "true");
        assert_eq!(ConfigType::List.normalize(" compact , delete"), "compact,delete");
        assert_eq!(ConfigType::List.normalize("delete,compact,delete"), "delete,compact");
        assert_eq!(ConfigType::String.normalize(" lz4 "), "lz4");
        for (text, printed) in
            [("1", "1.0"), ("0.25", "0.25"), ("0.0001", "1.0E-4"), ("0.00015", "1.5E-4"), ("0", "0.0")]
        {
            assert_eq!(ConfigType::Double.normalize(text), printed);
        }
    }
}
