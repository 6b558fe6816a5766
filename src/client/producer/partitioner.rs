//! [`Partitioning`]: how a record without a partition gets one.

use std::fmt;
use std::sync::Arc;

use crate::client::producer::ProducerRecord;

/// How records that name no partition are spread: Kafka's `partitioner.class`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Partitioning {
    /// By murmur2 of the key, as Kafka's Java client; records without a key stick to one partition for about
    /// `batch.size` bytes and then move to another one at random (KIP-794), preferring short queues.
    #[default]
    Default,
    /// One partition after the other, whatever the keys: Kafka's `RoundRobinPartitioner`.
    RoundRobin,
    /// The application's own.
    Custom(Arc<dyn Partitioner>),
}

impl Partitioning {
    /// The application's own partitioner.
    pub fn custom(partitioner: impl Partitioner + 'static) -> Self {
        Self::Custom(Arc::new(partitioner))
    }
}

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::RoundRobin => "RoundRobin",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

/// Chooses partitions for records that name none.
///
/// Closures are partitioners too:
///
/// ```
/// use brokerless::ProducerConfig;
/// use brokerless::producer::Partitioning;
/// let by_length = Partitioning::custom(|record: &brokerless::ProducerRecord<'_>, partitions: i32| {
///     record.value_bytes().map_or(0, <[u8]>::len) as i32 % partitions
/// });
/// let config = ProducerConfig::default().partitioner_class(by_length);
/// ```
pub trait Partitioner: Send + Sync {
    /// The partition of this record, among `partitions` (at least 1) counted from 0.
    ///
    /// Called once or more for each record, with no lock held. Anything outside of the range fails the send.
    fn partition(&self, record: &ProducerRecord<'_>, partitions: i32) -> i32;
}

impl<F: Fn(&ProducerRecord<'_>, i32) -> i32 + Send + Sync> Partitioner for F {
    fn partition(&self, record: &ProducerRecord<'_>, partitions: i32) -> i32 {
        self(record, partitions)
    }
}
