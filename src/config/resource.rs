//! What has settings, and how they are altered.

use std::fmt;

use crate::types::BrokerId;

/// Something that has settings.
///
/// ```
/// use brokerless::Cluster;
/// use brokerless::admin::{AlterConfigOp, ConfigResource};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let admin = Cluster::in_memory().admin();
/// // For all brokers; one of them may still have its own.
/// let change = [AlterConfigOp::set("log.retention.ms", "3600000")];
/// admin.incremental_alter_configs([(ConfigResource::BrokerDefault, change)]).await.remove(0)?;
/// let settings = admin.describe_configs([ConfigResource::broker(1)]).await.remove(0)?;
/// let retention = settings.iter().find(|entry| entry.name() == "log.retention.ms").and_then(|entry| entry.value());
/// assert_eq!(retention, Some("3600000"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers: the cluster-wide default, Kafka's broker without a name.
    BrokerDefault,
    /// A group, by id. Groups have no settings of their own here yet.
    Group(String),
    /// A subscription to client metrics, by name. There are none here yet.
    ClientMetrics(String),
    /// The loggers of one broker. There are none here.
    BrokerLogger(BrokerId),
}

impl ConfigResource {
    /// The settings of this topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::Topic(name.into())
    }

    /// The settings of this broker.
    pub fn broker(id: impl Into<BrokerId>) -> Self {
        Self::Broker(id.into())
    }

    /// Kafka's name of the kind of resource.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Topic(_) => "TOPIC",
            Self::Broker(_) | Self::BrokerDefault => "BROKER",
            Self::Group(_) => "GROUP",
            Self::ClientMetrics(_) => "CLIENT_METRICS",
            Self::BrokerLogger(_) => "BROKER_LOGGER",
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::ClientMetrics(name) => write!(f, "{} {name}", self.kind()),
            Self::Broker(id) | Self::BrokerLogger(id) => write!(f, "{} {id}", self.kind()),
            Self::BrokerDefault => write!(f, "{} default", self.kind()),
        }
    }
}

/// One change of one setting.
///
/// ```
/// use brokerless::admin::AlterConfigOp;
/// use brokerless::{Cluster, NewTopic};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let admin = Cluster::in_memory().admin();
/// admin.create_topic(NewTopic::new("orders").config("segment.ms", "60000")).await?;
/// let changes = [
///     AlterConfigOp::set("retention.ms", "3600000"),
///     AlterConfigOp::delete("segment.ms"),
///     AlterConfigOp::append("cleanup.policy", "compact"),
/// ];
/// admin.alter_topic_config("orders", changes).await?;
/// let settings = admin.describe_topic_config("orders").await?;
/// let value = |name| settings.iter().find(|entry| entry.name() == name).and_then(|entry| entry.value());
/// assert_eq!(value("retention.ms"), Some("3600000"));
/// assert_eq!(value("segment.ms"), Some("604800000"));
/// assert_eq!(value("cleanup.policy"), Some("delete,compact"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigOp {
    pub(crate) name: String,
    pub(crate) change: ConfigChange,
}

/// What happens to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigChange {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

impl AlterConfigOp {
    /// Sets it to this value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Set(value.into()) }
    }

    /// Takes the value away, so that the next source decides. It is no error if there is none.
    pub fn delete(name: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Delete }
    }

    /// Adds words between commas to a list, those that are not in it yet. A list that is not set is the built-in one.
    pub fn append(name: impl Into<String>, values: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Append(values.into()) }
    }

    /// Takes words between commas away from a list. A list that is not set is the built-in one.
    pub fn subtract(name: impl Into<String>, values: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Subtract(values.into()) }
    }
}

impl ConfigChange {
    /// Kafka's name of the operation.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Set(_) => "SET",
            Self::Delete => "DELETE",
            Self::Append(_) => "APPEND",
            Self::Subtract(_) => "SUBTRACT",
        }
    }

    /// The value after the change of one that was `current`, or `default` if that is nothing.
    pub(crate) fn apply(&self, current: Option<&str>, default: Option<&str>) -> Option<String> {
        let words =
            || split(current.or(default).unwrap_or_default()).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        match self {
            Self::Set(value) => Some(value.clone()),
            Self::Delete => None,
            Self::Append(values) => {
                let mut words = words();
                for value in split(values) {
                    if !words.contains(&value) {
                        words.push(value);
                    }
                }
                Some(words.join(","))
            }
            Self::Subtract(values) => {
                let mut words = words();
                for value in split(values) {
                    if let Some(index) = words.iter().position(|word| *word == value) {
                        words.remove(index);
                    }
                }
                Some(words.join(","))
            }
        }
    }
}

/// Java's `split`: what is empty at the end is left out, but there is always one word.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let kept = text.trim_end_matches([',', ' ']);
    (if kept.is_empty() { &text[..0] } else { kept }).split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_and_shrink_by_words() {
        let append = |current, values: &str| ConfigChange::Append(values.into()).apply(current, Some("delete"));
        assert_eq!(append(None, "compact").as_deref(), Some("delete,compact"));
        assert_eq!(append(Some(""), "compact,compact,delete").as_deref(), Some("compact,delete"));
        assert_eq!(append(Some("a"), "a, b,").as_deref(), Some("a,b"));
        assert_eq!(append(Some("a"), "").as_deref(), Some("a,"));
        let subtract = |current, values: &str| ConfigChange::Subtract(values.into()).apply(current, Some("delete"));
        assert_eq!(subtract(None, "delete").as_deref(), Some(""));
        assert_eq!(subtract(Some("a,b,a"), "a,c").as_deref(), Some("b,a"));
        assert_eq!(subtract(None, "compact").as_deref(), Some("delete"));
    }
}
