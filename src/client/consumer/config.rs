//! [`ConsumerConfig`] and [`AutoOffsetReset`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::consumer::interceptor::Interceptors;
use crate::client::consumer::properties;
use crate::client::consumer::{ConsumerInterceptor, PartitionAssignor};
use crate::config::property::{bounded, check_range, invalid};
use crate::error::{Error, ErrorCode, Result};
use crate::types::IsolationLevel;

/// A consumer's settings, named after Kafka's and with Kafka's defaults.
///
/// ```
/// use brokerless::{ConsumerConfig, AutoOffsetReset};
/// let config = ConsumerConfig::group("billing").auto_offset_reset(AutoOffsetReset::Earliest).max_poll_records(1000);
/// # let _ = config;
/// ```
///
/// The same from Kafka's property names:
///
/// ```
/// use brokerless::ConsumerConfig;
/// let config = ConsumerConfig::from_properties([
///     ("group.id", "billing"),
///     ("auto.offset.reset", "earliest"),
///     ("max.poll.records", "1000"),
/// ])?;
/// # let _ = config;
/// # Ok::<_, brokerless::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ConsumerConfig {
    pub(super) group_id: Option<String>,
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    /// `None`: Kafka's default, which is on with a group and off without.
    pub(super) enable_auto_commit: Option<bool>,
    pub(super) auto_commit_interval: Duration,
    pub(super) auto_offset_reset: AutoOffsetReset,
    pub(super) isolation_level: IsolationLevel,
    pub(super) max_poll_records: usize,
    pub(super) fetch_min_bytes: usize,
    pub(super) fetch_max_wait: Duration,
    pub(super) fetch_max_bytes: usize,
    pub(super) max_partition_fetch_bytes: usize,
    pub(super) session_timeout: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) max_poll_interval: Duration,
    pub(super) partition_assignment_strategy: Vec<PartitionAssignor>,
    pub(super) default_api_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) retry_backoff: Duration,
    pub(super) retry_backoff_max: Duration,
    pub(super) exclude_internal_topics: bool,
    pub(super) allow_auto_create_topics: bool,
    pub(super) interceptors: Interceptors,
}

impl Default for ConsumerConfig {
    /// Without a group: such a consumer reads the partitions that it is given with
    /// [`assign`](crate::Consumer::assign) and cannot commit.
    fn default() -> Self {
        Self {
            group_id: None,
            group_instance_id: None,
            client_id: String::new(),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            partition_assignment_strategy: vec![PartitionAssignor::Range, PartitionAssignor::CooperativeSticky],
            default_api_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1000),
            exclude_internal_topics: true,
            allow_auto_create_topics: true,
            interceptors: Interceptors::default(),
        }
    }
}

impl ConsumerConfig {
    /// A member of the consumer group `group_id`: `group.id`.
    pub fn group(group_id: impl Into<String>) -> Self {
        Self { group_id: Some(group_id.into()), ..Self::default() }
    }

    /// Reads Kafka's properties.
    ///
    /// Properties of Kafka's consumer that mean nothing inside one process (`bootstrap.servers`, deserializers, sockets,
    /// TLS, metrics reporters ...) are passed over. A name that Kafka's consumer does not know, a value that it would
    /// refuse, and a value that asks for something not built here are `INVALID_CONFIG`; so is `interceptor.classes` (use
    /// [`ConsumerConfig::interceptor`]). Settings that contradict each other, and a blank `group.id`, are refused by
    /// [`Cluster::consumer`](crate::Cluster::consumer).
    pub fn from_properties<N: AsRef<str>, V: AsRef<str>>(properties: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut config = Self::default();
        for (name, value) in properties {
            properties::set(&mut config, name.as_ref(), value.as_ref())?;
        }
        config.validate()?;
        Ok(config)
    }

    /// `group.instance.id`: makes the consumer a static member, which keeps its partitions over a restart within
    /// `session.timeout.ms` and does not leave the group when it is closed (KIP-345). Default: none.
    pub fn group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.group_instance_id = Some(id.into());
        self
    }

    /// `client.id`: begins the member id that the coordinator gives out, and tags the metrics. Default: empty; member ids
    /// then begin with `consumer`, and metrics have `consumer-` and the group id, or `consumer` without a group.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }

    /// `enable.auto.commit`: commit, every `auto.commit.interval.ms`, before a rebalance and when closing, what earlier
    /// polls returned. Default: true with a group, false without; true without a group is refused.
    pub fn enable_auto_commit(mut self, enable: bool) -> Self {
        self.enable_auto_commit = Some(enable);
        self
    }

    /// `auto.commit.interval.ms`. Default: 5 s.
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.auto_commit_interval = bounded(interval);
        self
    }

    /// `auto.offset.reset`: where to begin where nothing is committed, or where the position is out of the log's range.
    /// Default: latest.
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = reset;
        self
    }

    /// `isolation.level`. Default: read_uncommitted.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = level;
        self
    }

    /// `max.poll.records`: the most records that one poll returns. Default: 500; at least 1.
    pub fn max_poll_records(mut self, count: usize) -> Self {
        self.max_poll_records = count;
        self
    }

    /// `fetch.min.bytes`: wait for this many bytes of batches, but no longer than `fetch.max.wait.ms`. Default: 1.
    pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
        self.fetch_min_bytes = bytes;
        self
    }

    /// `fetch.max.wait.ms`: how long to wait for `fetch.min.bytes`. Default: 500 ms.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.fetch_max_wait = bounded(wait);
        self
    }

    /// `fetch.max.bytes`: the most bytes of batches to read from the logs at once. A first batch beyond it is read all
    /// the same (KIP-74). Default: 50 MiB.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.fetch_max_bytes = bytes;
        self
    }

    /// `max.partition.fetch.bytes`: the same for one partition. Default: 1 MiB.
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.max_partition_fetch_bytes = bytes;
        self
    }

    /// `session.timeout.ms`: a member that sends no heartbeat for so long is removed from its group. The brokers accept
    /// 6 s to 30 min. Default: 45 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// `heartbeat.interval.ms`: must be less than the session timeout. Default: 3 s. Members hear of a rebalance sooner:
    /// the coordinator wakes them.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// `max.poll.interval.ms`: a member that does not poll for so long leaves its group; also how long the group waits
    /// for its members to rejoin. Default: 5 min.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// `partition.assignment.strategy`: the assignors that this member supports, the preferred one first. It rebalances
    /// cooperatively if all of them can. Default: range, cooperative-sticky.
    pub fn partition_assignment_strategy(mut self, assignors: impl IntoIterator<Item = PartitionAssignor>) -> Self {
        self.partition_assignment_strategy = assignors.into_iter().collect();
        self
    }

    /// `default.api.timeout.ms`: how long calls without a timeout of their own wait. Default: 60 s.
    pub fn default_api_timeout(mut self, timeout: Duration) -> Self {
        self.default_api_timeout = bounded(timeout);
        self
    }

    /// `request.timeout.ms`: how long one request to a coordinator may take, other than joining. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = bounded(timeout);
        self
    }

    /// `retry.backoff.ms` and `retry.backoff.max.ms`: the first and the longest pause before a failed request is tried
    /// again; it doubles in between. Default: 100 ms, 1000 ms.
    pub fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.retry_backoff = bounded(first);
        self.retry_backoff_max = bounded(longest);
        self
    }

    /// `exclude.internal.topics`: whether a pattern passes over Kafka's internal topics. Default: true.
    pub fn exclude_internal_topics(mut self, exclude: bool) -> Self {
        self.exclude_internal_topics = exclude;
        self
    }

    /// `allow.auto.create.topics`: whether the broker may create topics that are subscribed to by name, assigned, or asked
    /// about, and do not exist. It does so only if its `auto.create.topics.enable` is on, which is not the default here.
    /// Default: true.
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.allow_auto_create_topics = allow;
        self
    }

    /// Adds an interceptor behind those that there are: `interceptor.classes`. Default: none, which costs nothing.
    /// Consumers that are made with clones of this share it.
    pub fn interceptor(mut self, interceptor: impl ConsumerInterceptor + 'static) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    pub(super) fn auto_commits(&self) -> bool {
        self.enable_auto_commit.unwrap_or(self.group_id.is_some())
    }

    /// What Kafka's `ConsumerConfig` and `Heartbeat` refuse.
    pub(super) fn validate(&self) -> Result<()> {
        if self.group_id.as_deref().is_some_and(|id| id.trim().is_empty()) {
            return Err(Error::new(ErrorCode::InvalidGroupId, "group.id must not be empty or blank"));
        }
        if self.group_instance_id.as_deref() == Some("") {
            return Err(invalid("group.instance.id", "", "String must be non-empty"));
        }
        if self.group_id.is_none() && self.enable_auto_commit == Some(true) {
            return Err(Error::config(
                "enable.auto.commit cannot be set to true when default group id (null) is used.",
            ));
        }
        if self.partition_assignment_strategy.is_empty() {
            return Err(invalid("partition.assignment.strategy", "[]", "at least one assignor is needed"));
        }
        check_range("max.poll.records", self.max_poll_records, 1..=i32::MAX as usize)?;
        check_range("fetch.min.bytes", self.fetch_min_bytes, ..=i32::MAX as usize)?;
        for (name, duration) in [
            ("session.timeout.ms", self.session_timeout),
            ("heartbeat.interval.ms", self.heartbeat_interval),
            ("max.poll.interval.ms", self.max_poll_interval),
        ] {
            check_range(name, duration.as_millis(), 1..=i32::MAX as u128)?;
        }
        if self.heartbeat_interval >= self.session_timeout {
            let message = format!(
                "heartbeat.interval.ms ({}) must be lower than session.timeout.ms ({})",
                self.heartbeat_interval.as_millis(),
                self.session_timeout.as_millis()
            );
            return Err(Error::config(message));
        }
        Ok(())
    }
}

/// Where to begin without a usable position: Kafka's `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AutoOffsetReset {
    /// `earliest`: at the log start.
    Earliest,
    /// `latest`: behind what is there.
    #[default]
    Latest,
    /// `none`: poll fails and names the partitions.
    None,
    /// `by_duration:<ISO 8601>`: at the first record with a timestamp of at least now less this span; at the end if there
    /// is none (KIP-1106).
    ByDuration(Duration),
}

impl fmt::Display for AutoOffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::None => f.write_str("none"),
            Self::ByDuration(span) => write!(f, "by_duration:PT{}S", span.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas() {
        let config = ConsumerConfig::group("g");
        assert!(config.auto_commits());
        assert!(!ConsumerConfig::default().auto_commits());
        assert_eq!(config.auto_offset_reset, AutoOffsetReset::Latest);
        assert_eq!((config.max_poll_records, config.fetch_max_bytes), (500, 52_428_800));
        config.validate().unwrap();
    }

    #[test]
    fn what_kafka_refuses_is_refused() {
        let refused = |config: ConsumerConfig| config.validate().unwrap_err();
        assert_eq!(refused(ConsumerConfig::group(" ")).code(), ErrorCode::InvalidGroupId);
        for config in [
            ConsumerConfig::default().enable_auto_commit(true),
            ConsumerConfig::group("g").group_instance_id(""),
            ConsumerConfig::group("g").max_poll_records(0),
            ConsumerConfig::group("g").partition_assignment_strategy([]),
            ConsumerConfig::group("g").heartbeat_interval(Duration::from_secs(45)),
            ConsumerConfig::group("g").max_poll_interval(Duration::ZERO),
        ] {
            assert_eq!(refused(config).code(), ErrorCode::InvalidConfig);
        }
        assert_eq!(
            refused(ConsumerConfig::group("g").max_poll_records(0)).to_string(),
            "Invalid value 0 for configuration max.poll.records: Value must be at least 1 [INVALID_CONFIG (40)]"
        );
    }
}
