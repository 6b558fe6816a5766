//! The bytes that classic consumers put into JoinGroup and SyncGroup: `ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment`, versions 0 to 3, as Java's `ConsumerProtocol` writes them.
//!
//! The coordinator treats them as opaque; clients, and whoever describes a group, read them.

use bytes::Bytes;

use crate::types::TopicPartition;
use crate::util::codec::{DecodeError, Reader, Writer};

const HIGHEST_VERSION: i16 = 3;

/// What a member wants: its topics, and what it owned when it asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerProtocolSubscription {
    pub(crate) topics: Vec<String>,
    /// The assignor's own bytes.
    pub(crate) user_data: Option<Bytes>,
    /// Since version 1 (KIP-429).
    pub(crate) owned_partitions: Vec<TopicPartition>,
    /// Since version 2 (KIP-792); -1 where unknown.
    pub(crate) generation_id: i32,
    /// Since version 3 (KIP-881).
    pub(crate) rack_id: Option<String>,
}

impl ConsumerProtocolSubscription {
    /// Writes version 3.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.i16(HIGHEST_VERSION).array_length(self.topics.len());
        for topic in &self.topics {
            writer.string(topic);
        }
        writer.nullable_bytes(self.user_data.as_deref());
        write_partitions(&mut writer, &self.owned_partitions);
        writer.i32(self.generation_id).nullable_string(self.rack_id.as_deref());
        writer.into_bytes()
    }

    /// Reads the topics of any version: the fields that all versions begin with.
    pub(crate) fn decode_topics(bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        let topics = (0..reader.array_length()?).map(|_| reader.string()).collect::<Result<_, _>>()?;
        reader.nullable_bytes()?;
        Ok(topics)
    }

    /// Reads any version; a version above 3 is read as 3, as Java does.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = version(&mut reader)?;
        let topics = (0..reader.array_length()?).map(|_| reader.string()).collect::<Result<_, _>>()?;
        let user_data = reader.nullable_bytes()?.map(Bytes::copy_from_slice);
        let owned_partitions = if version >= 1 { read_partitions(&mut reader)? } else { Vec::new() };
        let generation_id = if version >= 2 { reader.i32()? } else { -1 };
        let rack_id = if version >= 3 { reader.nullable_string()? } else { None };
        Ok(Self { topics, user_data, owned_partitions, generation_id, rack_id })
    }
}

/// What the leader gave to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerProtocolAssignment {
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) user_data: Option<Bytes>,
}

impl ConsumerProtocolAssignment {
    /// Writes version 3.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.i16(HIGHEST_VERSION);
        write_partitions(&mut writer, &self.partitions);
        writer.nullable_bytes(self.user_data.as_deref());
        writer.into_bytes()
    }

    /// Reads any version. No bytes at all is an empty assignment: what a member without partitions gets.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        let partitions = read_partitions(&mut reader)?;
        let user_data = reader.nullable_bytes()?.map(Bytes::copy_from_slice);
        Ok(Self { partitions, user_data })
    }
}

fn version(reader: &mut Reader<'_>) -> Result<i16, DecodeError> {
    match reader.i16()? {
        ..0 => Err(DecodeError { what: "consumer protocol: negative version" }),
        version => Ok(version.min(HIGHEST_VERSION)),
    }
}

/// Partitions grouped by topic: runs of equal topics share one entry.
fn write_partitions(writer: &mut Writer, partitions: &[TopicPartition]) {
    let runs = || partitions.chunk_by(|left, right| left.topic() == right.topic());
    writer.array_length(runs().count());
    for run in runs() {
        writer.string(run[0].topic()).array_length(run.len());
        for partition in run {
            writer.i32(partition.partition());
        }
    }
}

fn read_partitions(reader: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
    let mut partitions = Vec::new();
    for _ in 0..reader.array_length()? {
        let topic: std::sync::Arc<str> = reader.string()?.into();
        for _ in 0..reader.array_length()? {
            partitions.push(TopicPartition::new(topic.clone(), reader.i32()?));
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_round_trip() {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["a".into(), "b".into()],
            user_data: Some(Bytes::from_static(b"u")),
            owned_partitions: vec![
                TopicPartition::new("a", 0),
                TopicPartition::new("a", 1),
                TopicPartition::new("b", 0),
            ],
            generation_id: 7,
            rack_id: Some("r".into()),
        };
        let bytes = subscription.encode();
        assert_eq!(ConsumerProtocolSubscription::decode(&bytes), Ok(subscription));
        for cut in 0..bytes.len() {
            assert!(ConsumerProtocolSubscription::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_version_0_subscription_reads() {
        let bytes = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
        let subscription = ConsumerProtocolSubscription::decode(&bytes).unwrap();
        assert_eq!(subscription.topics, ["t"]);
        assert_eq!((subscription.user_data, subscription.generation_id), (None, -1));
    }

    #[test]
    fn assignments_round_trip() {
        let assignment = ConsumerProtocolAssignment {
            partitions: vec![TopicPartition::new("a", 5), TopicPartition::new("b", 0)],
            user_data: None,
        };
        assert_eq!(ConsumerProtocolAssignment::decode(&assignment.encode()), Ok(assignment));
        assert_eq!(ConsumerProtocolAssignment::decode(&[]), Ok(ConsumerProtocolAssignment::default()));
    }
}
