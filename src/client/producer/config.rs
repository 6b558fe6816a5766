//! [`ProducerConfig`]: Kafka's producer properties.

use std::sync::Arc;
use std::time::Duration;

use crate::client::producer::interceptor::Interceptors;
use crate::client::producer::{Partitioning, ProducerInterceptor};
use crate::config::property::{
    bounded, check_range, invalid, not_built, parse_bool, parse_duration_ms, parse_enum, parse_i32, parse_i64,
    parse_list,
};
use crate::error::{Error, Result};
use crate::types::{Acks, CompressionType};

/// Kafka's bound on `max.in.flight.requests.per.connection` with idempotence: leaders remember five batches a producer.
const MAX_IN_FLIGHT_FOR_IDEMPOTENCE: u32 = 5;

/// How a [`Producer`](crate::Producer) works. The setters are named after Kafka's properties; so are the defaults.
///
/// ```
/// use std::time::Duration;
/// use brokerless::ProducerConfig;
/// use brokerless::types::CompressionType;
/// let config = ProducerConfig::default().linger(Duration::from_millis(20)).compression_type(CompressionType::Lz4);
/// let same = ProducerConfig::from_properties([("linger.ms", "20"), ("compression.type", "lz4")])?;
/// # Ok::<(), brokerless::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ProducerConfig {
    acks: Acks,
    batch_size: u32,
    buffer_memory: u64,
    client_id: String,
    compression_type: CompressionType,
    compression_gzip_level: Option<i32>,
    compression_lz4_level: Option<i32>,
    compression_zstd_level: Option<i32>,
    delivery_timeout: Option<Duration>,
    enable_idempotence: Option<bool>,
    interceptors: Interceptors,
    linger: Duration,
    max_block: Duration,
    max_in_flight_requests_per_connection: u32,
    max_request_size: u32,
    partitioner_adaptive_partitioning_enable: bool,
    partitioner_class: Partitioning,
    partitioner_ignore_keys: bool,
    request_timeout: Duration,
    retries: u32,
    retry_backoff: Duration,
    retry_backoff_max: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_size: 16_384,
            buffer_memory: 32 << 20,
            client_id: String::new(),
            compression_type: CompressionType::None,
            compression_gzip_level: None,
            compression_lz4_level: None,
            compression_zstd_level: None,
            delivery_timeout: None,
            enable_idempotence: None,
            interceptors: Interceptors::default(),
            linger: Duration::from_millis(5),
            max_block: Duration::from_secs(60),
            max_in_flight_requests_per_connection: 5,
            max_request_size: 1 << 20,
            partitioner_adaptive_partitioning_enable: true,
            partitioner_class: Partitioning::Default,
            partitioner_ignore_keys: false,
            request_timeout: Duration::from_secs(30),
            retries: i32::MAX as u32,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
        }
    }
}

impl ProducerConfig {
    /// Reads Kafka's properties, as in a `producer.properties` file.
    ///
    /// Properties that only mean something on sockets, for Java classes or for JMX (`bootstrap.servers`, `security.*`,
    /// `key.serializer`, `metric.reporters` and the like) are accepted and ignored. `partitioner.class` takes the names of
    /// Kafka's own partitioner.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` for a property that Kafka's producer does not have, for a value that does not parse or is out of
    /// range, and for `transactional.id` and `interceptor.classes` (use [`ProducerConfig::interceptor`]). Settings that
    /// contradict each other are refused by [`Cluster::producer`](crate::Cluster::producer).
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(properties: impl IntoIterator<Item = (K, V)>) -> Result<Self> {
        let mut config = Self::default();
        for (name, text) in properties {
            config.set(name.as_ref(), text.as_ref())?;
        }
        Ok(config)
    }

    /// `acks`: how many acknowledgements make a record delivered. Default all.
    ///
    /// Anything but all turns idempotence off, unless [`ProducerConfig::enable_idempotence`] asks for it, which is an
    /// error then.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// `batch.size`: bytes of records, before compression, that share a batch. Default 16,384. 0 turns batching off.
    ///
    /// A larger record gets a batch of its own.
    pub fn batch_size(mut self, bytes: u32) -> Self {
        self.batch_size = bytes;
        self
    }

    /// `buffer.memory`: bytes of batches that are not acknowledged yet. Default 32 MiB.
    ///
    /// When it is used up, batches no longer linger, and `send` waits up to `max.block.ms`. A `batch.size` above it is
    /// cut down to it.
    pub fn buffer_memory(mut self, bytes: u64) -> Self {
        self.buffer_memory = bytes;
        self
    }

    /// `client.id`: a name for the producer, by which its metrics are told apart. Default empty: `producer-` and a number
    /// that counts the process's unnamed producers, as Kafka has it.
    pub fn client_id(mut self, name: impl Into<String>) -> Self {
        self.client_id = name.into();
        self
    }

    /// `compression.type`: how batches are compressed. Default none.
    pub fn compression_type(mut self, codec: CompressionType) -> Self {
        self.compression_type = codec;
        self
    }

    /// `compression.gzip.level`: 1 to 9, or -1 for the codec's default. Default -1.
    pub fn compression_gzip_level(mut self, level: i32) -> Self {
        self.compression_gzip_level = Some(level);
        self
    }

    /// `compression.lz4.level`: 1 to 17. Default 9.
    pub fn compression_lz4_level(mut self, level: i32) -> Self {
        self.compression_lz4_level = Some(level);
        self
    }

    /// `compression.zstd.level`: -131,072 to 22. Default 3.
    pub fn compression_zstd_level(mut self, level: i32) -> Self {
        self.compression_zstd_level = Some(level);
        self
    }

    /// `delivery.timeout.ms`: how long after its batch was opened a record may still be delivered. Default 120 s, or
    /// `linger.ms` + `request.timeout.ms` if that is more.
    ///
    /// Set to less than that sum it is an error.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = Some(bounded(timeout));
        self
    }

    /// `enable.idempotence`: each record is stored exactly once, and in order, whatever is retried. Default true.
    ///
    /// It needs `acks` = all, `retries` above 0 and at most 5 `max.in.flight.requests.per.connection`. As in Kafka the
    /// default gives way to other values of these, and an explicit true makes them an error.
    pub fn enable_idempotence(mut self, enable: bool) -> Self {
        self.enable_idempotence = Some(enable);
        self
    }

    /// Adds an interceptor behind those that there are: `interceptor.classes`. Default: none, which costs nothing.
    /// Producers that are made with clones of this share it.
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor + 'static) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// `linger.ms`: how long a batch waits for more records before it is sent. Default 5 ms (0 before Kafka 4.0).
    ///
    /// A full batch does not wait. With 0 batches form only while earlier ones are being sent.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = bounded(linger);
        self
    }

    /// `max.block.ms`: how long `send` waits for memory, or for a topic that does not exist yet. Default 60 s.
    pub fn max_block(mut self, wait: Duration) -> Self {
        self.max_block = bounded(wait);
        self
    }

    /// `max.in.flight.requests.per.connection`: how many batches of one partition may be unacknowledged; from 1.
    /// Default 5.
    ///
    /// Retries never change the order, with or without idempotence.
    pub fn max_in_flight_requests_per_connection(mut self, batches: u32) -> Self {
        self.max_in_flight_requests_per_connection = batches;
        self
    }

    /// `max.request.size`: the largest record, in bytes before compression and with a batch's overhead. Default 1 MiB.
    pub fn max_request_size(mut self, bytes: u32) -> Self {
        self.max_request_size = bytes;
        self
    }

    /// `partitioner.adaptive.partitioning.enable`: whether records without a key prefer partitions whose batches are not
    /// held up. Default true.
    pub fn partitioner_adaptive_partitioning_enable(mut self, enable: bool) -> Self {
        self.partitioner_adaptive_partitioning_enable = enable;
        self
    }

    /// `partitioner.class`: how records without a partition get one. Default [`Partitioning::Default`].
    pub fn partitioner_class(mut self, partitioning: Partitioning) -> Self {
        self.partitioner_class = partitioning;
        self
    }

    /// `partitioner.ignore.keys`: whether the default partitioner treats records with a key like those without. Default
    /// false.
    pub fn partitioner_ignore_keys(mut self, ignore: bool) -> Self {
        self.partitioner_ignore_keys = ignore;
        self
    }

    /// `request.timeout.ms`: how long to wait for other replicas before a batch is sent again. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = bounded(timeout);
        self
    }

    /// `retries`: how often a batch is sent again after an error that may pass. Default 2,147,483,647: until
    /// `delivery.timeout.ms`.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// `retry.backoff.ms` and `retry.backoff.max.ms`: the pause before the first retry, which doubles with each further
    /// one, and the longest pause. Default 100 ms and 1 s.
    ///
    /// Kafka spreads the pauses of many clients by a random 20 %; here they are exact.
    pub fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.retry_backoff = bounded(first);
        self.retry_backoff_max = bounded(longest);
        self
    }

    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let ms = || parse_duration_ms(name, text, 0..).map(bounded);
        let int_ms = || parse_duration_ms(name, text, 0..=i64::from(i32::MAX));
        match name {
            "acks" => {
                let choices = [("all", Acks::All), ("-1", Acks::All), ("0", Acks::None), ("1", Acks::Leader)];
                self.acks = parse_enum(name, text, &choices)?;
            }
            "batch.size" => self.batch_size = parse_i32(name, text, 0..)? as u32,
            "buffer.memory" => self.buffer_memory = parse_i64(name, text, 0..)? as u64,
            "client.id" => self.client_id = text.to_owned(),
            "compression.type" => {
                let choices: Vec<_> =
                    (0..=4).filter_map(CompressionType::from_id).map(|codec| (codec.name(), codec)).collect();
                self.compression_type = parse_enum(name, text, &choices)?;
            }
            "compression.gzip.level" => self.compression_gzip_level = Some(parse_i32(name, text, ..)?),
            "compression.lz4.level" => self.compression_lz4_level = Some(parse_i32(name, text, ..)?),
            "compression.zstd.level" => self.compression_zstd_level = Some(parse_i32(name, text, ..)?),
            "delivery.timeout.ms" => self.delivery_timeout = Some(int_ms()?),
            "enable.idempotence" => self.enable_idempotence = Some(parse_bool(name, text)?),
            "linger.ms" => self.linger = ms()?,
            "max.block.ms" => self.max_block = ms()?,
            "max.in.flight.requests.per.connection" => {
                self.max_in_flight_requests_per_connection = parse_i32(name, text, 1..)? as u32;
            }
            "max.request.size" => self.max_request_size = parse_i32(name, text, 0..)? as u32,
            "partitioner.adaptive.partitioning.enable" => {
                self.partitioner_adaptive_partitioning_enable = parse_bool(name, text)?;
            }
            "partitioner.class" => {
                self.partitioner_class = match text.trim().rsplit('.').next() {
                    Some("") => Partitioning::Default,
                    Some("RoundRobinPartitioner") => Partitioning::RoundRobin,
                    _ => return Err(invalid(name, text, "only Kafka's RoundRobinPartitioner is known by name")),
                }
            }
            "partitioner.ignore.keys" => self.partitioner_ignore_keys = parse_bool(name, text)?,
            "request.timeout.ms" => self.request_timeout = int_ms()?,
            "retries" => self.retries = parse_i32(name, text, 0..)? as u32,
            "retry.backoff.max.ms" => self.retry_backoff_max = ms()?,
            "retry.backoff.ms" => self.retry_backoff = ms()?,
            "interceptor.classes" if parse_list(text).is_empty() => {}
            // Java classes; here they are objects: `ProducerConfig::interceptor`.
            "interceptor.classes" | "transactional.id" => return Err(not_built(name, text)),
            _ if is_ignored(name) => {}
            _ => return Err(Error::config(format!("unknown producer configuration {name}"))),
        }
        Ok(())
    }

    /// The checks that Kafka makes when a producer is created, and the values that follow from others.
    pub(super) fn settings(&self) -> Result<Settings> {
        let positive_i32 = |name, value: u32| check_range(name, value, 0..=i32::MAX as u32);
        positive_i32("batch.size", self.batch_size)?;
        positive_i32("max.request.size", self.max_request_size)?;
        let retries = positive_i32("retries", self.retries)?;
        let max_in_flight = self.max_in_flight_requests_per_connection;
        check_range("max.in.flight.requests.per.connection", max_in_flight, 1..=i32::MAX as u32)?;

        let least_delivery_timeout = self.linger + self.request_timeout;
        let delivery_timeout = match self.delivery_timeout {
            Some(timeout) if timeout < least_delivery_timeout => {
                return Err(Error::config(
                    "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms",
                ));
            }
            Some(timeout) => timeout,
            None => least_delivery_timeout.max(Duration::from_secs(120)),
        };
        Ok(Settings {
            acks: self.acks,
            adaptive_partitioning: self.partitioner_adaptive_partitioning_enable,
            batch_size: self.batch_size as usize,
            buffer_memory: usize::try_from(self.buffer_memory).unwrap_or(usize::MAX),
            client_id: self.client_id.as_str().into(),
            compression: self.compression_type,
            compression_level: self.compression_level()?,
            delivery_timeout,
            idempotence: self.idempotence()?,
            ignore_keys: self.partitioner_ignore_keys,
            interceptors: self.interceptors.clone(),
            linger: self.linger,
            max_block: self.max_block,
            max_in_flight: max_in_flight as usize,
            max_request_size: self.max_request_size as usize,
            partitioning: self.partitioner_class.clone(),
            request_timeout: self.request_timeout,
            retries,
            retry_backoff: self.retry_backoff,
            retry_backoff_max: self.retry_backoff_max,
        })
    }

    fn idempotence(&self) -> Result<bool> {
        let conflict = if self.retries == 0 {
            "Must set retries to non-zero when using the idempotent producer."
        } else if self.acks != Acks::All {
            "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."
        } else if self.max_in_flight_requests_per_connection > MAX_IN_FLIGHT_FOR_IDEMPOTENCE {
            "Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer."
        } else {
            return Ok(self.enable_idempotence.unwrap_or(true));
        };
        match self.enable_idempotence {
            Some(true) => Err(Error::config(conflict)),
            _ => Ok(false),
        }
    }

    /// The level of the codec in use; `None` for its default.
    fn compression_level(&self) -> Result<Option<i32>> {
        let (is_built, level) = match self.compression_type {
            CompressionType::None => (true, None),
            CompressionType::Gzip => {
                let level = self.compression_gzip_level.filter(|level| *level != -1);
                if let Some(level) = level {
                    check_range("compression.gzip.level", level, 1..=9)?;
                }
                (cfg!(feature = "gzip"), level)
            }
            CompressionType::Snappy => (cfg!(feature = "snappy"), None),
            CompressionType::Lz4 => {
                if let Some(level) = self.compression_lz4_level {
                    check_range("compression.lz4.level", level, 1..=17)?;
                }
                (cfg!(feature = "lz4"), self.compression_lz4_level)
            }
            CompressionType::Zstd => {
                if let Some(level) = self.compression_zstd_level {
                    check_range("compression.zstd.level", level, -131_072..=22)?;
                }
                (cfg!(feature = "zstd"), self.compression_zstd_level)
            }
        };
        if is_built {
            return Ok(level);
        }
        let codec = self.compression_type;
        Err(invalid("compression.type", codec, format_args!("brokerless was built without the feature `{codec}`")))
    }
}

/// Properties of Kafka's producer that mean nothing without sockets, Java classes or JMX.
fn is_ignored(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["sasl.", "security.", "ssl.", "socket.connection.setup."];
    const NAMES: [&str; 27] = [
        "auto.include.jmx.reporter",
        "bootstrap.controllers",
        "bootstrap.servers",
        "client.dns.lookup",
        "config.providers",
        "connections.max.idle.ms",
        "enable.metrics.push",
        "key.serializer",
        "metadata.max.age.ms",
        "metadata.max.idle.ms",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.recovery.strategy",
        "metric.reporters",
        "metrics.num.samples",
        "metrics.recording.level",
        "metrics.sample.window.ms",
        "partitioner.availability.timeout.ms",
        "receive.buffer.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "send.buffer.bytes",
        "transaction.timeout.ms",
        "transaction.two.phase.commit.enable",
        "value.serializer",
        "group.id",
        "key.deserializer",
        "value.deserializer",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A configuration that has been checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) acks: Acks,
    pub(super) adaptive_partitioning: bool,
    pub(super) batch_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) client_id: Box<str>,
    pub(super) compression: CompressionType,
    pub(super) compression_level: Option<i32>,
    pub(super) delivery_timeout: Duration,
    pub(super) idempotence: bool,
    pub(super) ignore_keys: bool,
    pub(super) interceptors: Interceptors,
    pub(super) linger: Duration,
    pub(super) max_block: Duration,
    pub(super) max_in_flight: usize,
    pub(super) max_request_size: usize,
    pub(super) partitioning: Partitioning,
    pub(super) request_timeout: Duration,
    pub(super) retries: u32,
    retry_backoff: Duration,
    retry_backoff_max: Duration,
}

impl Settings {
    /// How long a batch backs off that was put off `times` times, this one included.
    pub(super) fn backoff(&self, times: u32) -> Duration {
        let doublings = times.saturating_sub(1).min(31);
        self.retry_backoff.saturating_mul(1 << doublings).min(self.retry_backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn refused(properties: &[(&str, &str)]) -> String {
        let error = ProducerConfig::from_properties(properties.iter().copied())
            .and_then(|config| config.settings())
            .expect_err("refused");
        assert_eq!(error.code(), ErrorCode::InvalidConfig);
        error.to_string()
    }

    fn accepted(properties: &[(&str, &str)]) -> Settings {
        ProducerConfig::from_properties(properties.iter().copied()).unwrap().settings().unwrap()
    }

    #[test]
    fn defaults_are_kafkas() {
        let settings = ProducerConfig::default().settings().unwrap();
        assert_eq!(settings.acks, Acks::All);
        assert!(settings.idempotence && settings.adaptive_partitioning && !settings.ignore_keys);
        assert_eq!(
            (settings.batch_size, settings.buffer_memory, settings.max_request_size),
            (16_384, 33_554_432, 1_048_576)
        );
        assert_eq!((settings.linger, settings.delivery_timeout), (Duration::from_millis(5), Duration::from_secs(120)));
        assert_eq!((settings.request_timeout, settings.max_block), (Duration::from_secs(30), Duration::from_secs(60)));
        assert_eq!((settings.retries, settings.max_in_flight), (i32::MAX as u32, 5));
        assert_eq!((settings.compression, settings.compression_level), (CompressionType::None, None));
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn every_property_is_read() {
        let settings = accepted(&[
            ("acks", "1"),
            ("batch.size", "100"),
            ("buffer.memory", "1000"),
            ("client.id", "loader"),
            ("compression.type", "gzip"),
            ("compression.gzip.level", "9"),
            ("delivery.timeout.ms", "70000"),
            ("linger.ms", "10"),
            ("max.block.ms", "9223372036854775807"),
            ("max.in.flight.requests.per.connection", "7"),
            ("max.request.size", "2000"),
            ("partitioner.adaptive.partitioning.enable", "false"),
            ("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner"),
            ("partitioner.ignore.keys", "true"),
            ("request.timeout.ms", "20000"),
            ("retries", "3"),
            ("retry.backoff.ms", "10"),
            ("retry.backoff.max.ms", "50"),
            ("bootstrap.servers", "localhost:9092"),
            ("ssl.protocol", "TLSv1.3"),
        ]);
        assert_eq!((settings.acks, settings.idempotence), (Acks::Leader, false));
        assert_eq!((settings.batch_size, settings.buffer_memory, settings.max_request_size), (100, 1_000, 2_000));
        assert_eq!(&*settings.client_id, "loader");
        assert_eq!((settings.compression, settings.compression_level), (CompressionType::Gzip, Some(9)));
        assert_eq!((settings.delivery_timeout.as_secs(), settings.request_timeout.as_secs()), (70, 20));
        assert_eq!((settings.linger.as_millis(), settings.max_in_flight, settings.retries), (10, 7, 3));
        assert!(settings.ignore_keys && !settings.adaptive_partitioning);
        assert!(matches!(settings.partitioning, Partitioning::RoundRobin));
        let pauses: Vec<_> = (1..=5).map(|times| settings.backoff(times).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
        assert!(settings.max_block > Duration::from_secs(1 << 31));
    }

    #[test]
    fn unknown_and_unbuilt_properties_are_named() {
        assert_eq!(refused(&[("linger", "5")]), "unknown producer configuration linger [INVALID_CONFIG (40)]");
        assert!(refused(&[("transactional.id", "t")]).contains("transactional.id"));
        assert!(refused(&[("interceptor.classes", "com.example.Mine")]).contains("interceptor.classes"));
        assert!(refused(&[("partitioner.class", "com.example.Mine")]).contains("partitioner.class"));
        assert_eq!(
            refused(&[("linger.ms", "-1")]),
            "Invalid value -1 for configuration linger.ms: Value must be at least 0 [INVALID_CONFIG (40)]"
        );
        assert_eq!(
            refused(&[("acks", "2")]),
            "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1 [INVALID_CONFIG (40)]"
        );
    }

    #[test]
    fn idempotence_gives_way_unless_it_was_asked_for() {
        for conflict in [("acks", "1"), ("retries", "0"), ("max.in.flight.requests.per.connection", "6")] {
            assert!(!accepted(&[conflict]).idempotence, "{conflict:?}");
            assert!(refused(&[conflict, ("enable.idempotence", "true")]).contains(conflict.0), "{conflict:?}");
        }
        assert!(!accepted(&[("enable.idempotence", "false")]).idempotence);
    }

    #[test]
    fn the_delivery_timeout_covers_linger_and_request() {
        let too_short = [("delivery.timeout.ms", "30004")];
        assert!(refused(&too_short).starts_with("delivery.timeout.ms should be equal to or larger than linger.ms"));
        assert_eq!(accepted(&[("delivery.timeout.ms", "30005")]).delivery_timeout.as_millis(), 30_005);
        assert_eq!(accepted(&[("linger.ms", "100000")]).delivery_timeout.as_millis(), 130_000);
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn levels_are_checked_for_the_codec_in_use() {
        let level = ("compression.gzip.level", "10");
        assert!(refused(&[("compression.type", "gzip"), level]).contains("compression.gzip.level"));
        assert_eq!(accepted(&[level]).compression_level, None);
        let default = accepted(&[("compression.type", "gzip"), ("compression.gzip.level", "-1")]);
        assert_eq!(default.compression_level, None);
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn a_codec_that_is_not_built_is_refused() {
        assert!(refused(&[("compression.type", "zstd")]).contains("feature `zstd`"));
    }
}
