//! The nouns that every layer shares: ids, epochs, topic-partitions, small enums.
//!
//! Ids and epochs are newtypes, so that a broker id never stands where an epoch is meant. Offsets, timestamps and
//! partition indexes stay plain integers, as in Kafka's own clients: they are computed with on every record, and users
//! compare them with literals.

mod consumer_protocol;
mod offset_and_metadata;
mod topic_partition;

pub(crate) use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
pub use offset_and_metadata::OffsetAndMetadata;
pub use topic_partition::{TopicId, TopicPartition};

use std::fmt;

/// A position in a partition's log, counted in records from 0. `i64` as in Kafka.
pub type Offset = i64;

/// Kafka's `-1` where an offset is absent.
pub(crate) const NO_OFFSET: Offset = -1;
/// Kafka's `-1` where a timestamp is absent.
pub(crate) const NO_TIMESTAMP: i64 = -1;
/// Kafka's `-1` where a base sequence is absent: the batch comes from a producer without idempotence.
pub(crate) const NO_SEQUENCE: i32 = -1;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

newtype! {
    /// A broker's `node.id`.
    BrokerId(i32)
}
newtype! {
    /// Counts the elections of one partition. Every batch carries the epoch of the leader that appended it.
    LeaderEpoch(i32)
}
newtype! {
    /// The id that the cluster gives to an idempotent producer.
    ProducerId(i64)
}
newtype! {
    /// Distinguishes incarnations of one producer id: a higher epoch fences the lower ones.
    ProducerEpoch(i16)
}

impl BrokerId {
    /// Kafka's `-1`: no broker.
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    /// Kafka's `-1`: no epoch known.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// Kafka's `-1`: the batch comes from a producer without idempotence.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// Kafka's `-1`: no epoch.
    pub const NONE: Self = Self(-1);
}

/// How many acknowledgements a producer waits for: Kafka's `acks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `acks=0`: none. The delivery resolves at once, without an offset.
    None,
    /// `acks=1`: the leader has appended the batch.
    Leader,
    /// `acks=all` (`-1`): every in-sync replica has it, and there are at least `min.insync.replicas` of them.
    #[default]
    All,
}

/// Which records a consumer sees: Kafka's `isolation.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// Everything up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Only decided data: everything up to the last stable offset, less aborted transactions.
    ReadCommitted,
}

/// Where a record's timestamp comes from: Kafka's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer set it.
    #[default]
    CreateTime,
    /// The leader set it when it appended the batch.
    LogAppendTime,
}

/// How a batch's records are compressed: Kafka's `compression.type`.
///
/// The variants exist whatever features are on, because a header can name any of them; using a codec whose feature is
/// off is `UNSUPPORTED_COMPRESSION_TYPE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionType {
    /// Stored as they are.
    #[default]
    None,
    /// RFC 1952; feature `gzip`.
    Gzip,
    /// Snappy in the framing of `xerial/snappy-java`; feature `snappy`.
    Snappy,
    /// The LZ4 frame format; feature `lz4`.
    Lz4,
    /// Zstandard; feature `zstd`.
    Zstd,
}

impl CompressionType {
    /// The three bits that a batch's attributes hold.
    pub const fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with these attribute bits; `None` for the three numbers that Kafka does not use.
    pub const fn from_id(id: i16) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
