//! The records of `__consumer_offsets`, byte for byte Kafka's: committed offsets and classic groups.
//!
//! A key is a version, which also tells the kind, and its fields; a value is a version and its fields. Written are the
//! versions that Kafka 4 writes (keys 1 and 2, values 3); read is every version there has been. Value version 4 is the
//! first flexible one: its fields are compact and may be followed by tagged fields, which are passed over (KIP-915).

use bytes::Bytes;

use crate::coordinator::CoordinatorRecord;
use crate::types::{LeaderEpoch, OffsetAndMetadata, TopicPartition};
use crate::util::codec::{DecodeError, Reader, Writer};

const OFFSET_COMMIT_KEY_VERSION: i16 = 1;
const GROUP_METADATA_KEY_VERSION: i16 = 2;
const OFFSET_COMMIT_VALUE_VERSION: i16 = 3;
const GROUP_METADATA_VALUE_VERSION: i16 = 3;
const HIGHEST_VALUE_VERSION: i16 = 4;
const FIRST_FLEXIBLE_VERSION: i16 = 4;

/// The longest `STRING` that a record can hold, in bytes. Handlers refuse longer names before they get here.
pub(super) const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupRecordKey {
    /// A committed offset; key versions 0 and 1.
    OffsetCommit { group_id: String, topic_partition: TopicPartition },
    /// A classic group; key version 2.
    GroupMetadata { group_id: String },
}

impl GroupRecordKey {
    /// Reads a key; `None` for a kind that this coordinator does not keep, such as the groups of KIP-848.
    pub(super) fn decode(key: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(key);
        match reader.i16()? {
            0..=OFFSET_COMMIT_KEY_VERSION => {
                let group_id = reader.string()?;
                let topic_partition = TopicPartition::new(reader.string()?, reader.i32()?);
                Ok(Some(Self::OffsetCommit { group_id, topic_partition }))
            }
            GROUP_METADATA_KEY_VERSION => Ok(Some(Self::GroupMetadata { group_id: reader.string()? })),
            _ => Ok(None),
        }
    }
}

fn offset_commit_key(group_id: &str, topic_partition: &TopicPartition) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(OFFSET_COMMIT_KEY_VERSION).string(group_id).string(topic_partition.topic());
    writer.i32(topic_partition.partition());
    writer.into_bytes()
}

/// Forgets the group's offset for this partition.
pub(super) fn offset_tombstone(group_id: &str, topic_partition: &TopicPartition) -> CoordinatorRecord {
    CoordinatorRecord { key: offset_commit_key(group_id, topic_partition), value: None }
}

/// Keeps `committed` as the group's offset for this partition.
pub(super) fn offset_commit(
    group_id: &str,
    topic_partition: &TopicPartition,
    committed: &OffsetAndMetadata,
    commit_timestamp_ms: i64,
) -> CoordinatorRecord {
    let mut writer = Writer::new();
    writer.i16(OFFSET_COMMIT_VALUE_VERSION).i64(committed.offset());
    writer.i32(committed.leader_epoch().unwrap_or(LeaderEpoch::NONE).0);
    writer.string(committed.metadata()).i64(commit_timestamp_ms);
    CoordinatorRecord { key: offset_commit_key(group_id, topic_partition), value: Some(writer.into_bytes()) }
}

/// Reads the value of an offset commit, less its timestamps.
pub(super) fn decode_offset_commit(value: &[u8]) -> Result<OffsetAndMetadata, DecodeError> {
    let mut reader = Reader::new(value);
    let version = value_version(&mut reader)?;
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = text(&mut reader, version)?.ok_or(DecodeError { what: "offset commit: null metadata" })?;
    let _commit_timestamp_ms = reader.i64()?;
    if version == 1 {
        let _expire_timestamp_ms = reader.i64()?;
    }
    skip_tags(&mut reader, version)?;
    let leader_epoch = (leader_epoch >= 0).then_some(LeaderEpoch(leader_epoch));
    Ok(OffsetAndMetadata::new(offset).metadata_text(metadata).with_leader_epoch(leader_epoch))
}

/// Forgets a group.
pub(super) fn group_tombstone(group_id: &str) -> CoordinatorRecord {
    CoordinatorRecord { key: group_metadata_key(group_id), value: None }
}

fn group_metadata_key(group_id: &str) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(GROUP_METADATA_KEY_VERSION).string(group_id);
    writer.into_bytes()
}

/// What outlives the coordinator of a classic group: `GroupMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupMetadata {
    /// Empty until a member has joined.
    pub(super) protocol_type: String,
    pub(super) generation_id: i32,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<String>,
    /// When the group entered its state; -1 where unknown.
    pub(super) state_timestamp_ms: i64,
    pub(super) members: Vec<MemberMetadata>,
}

/// A member as its group remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberMetadata {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// What the member asked for under the group's protocol.
    pub(super) subscription: Bytes,
    pub(super) assignment: Bytes,
}

impl GroupMetadata {
    /// A group that nobody has joined yet.
    pub(super) fn empty(state_timestamp_ms: i64) -> Self {
        Self {
            protocol_type: String::new(),
            generation_id: 0,
            protocol_name: None,
            leader: None,
            state_timestamp_ms,
            members: Vec::new(),
        }
    }

    /// The record that keeps the group like this.
    pub(super) fn to_record(&self, group_id: &str) -> CoordinatorRecord {
        let mut writer = Writer::new();
        writer.i16(GROUP_METADATA_VALUE_VERSION).string(&self.protocol_type).i32(self.generation_id);
        writer.nullable_string(self.protocol_name.as_deref()).nullable_string(self.leader.as_deref());
        writer.i64(self.state_timestamp_ms).array_length(self.members.len());
        for member in &self.members {
            writer.string(&member.member_id).nullable_string(member.instance_id.as_deref());
            writer.string(&member.client_id).string(&member.client_host);
            writer.i32(member.rebalance_timeout_ms).i32(member.session_timeout_ms);
            writer.nullable_bytes(Some(&member.subscription)).nullable_bytes(Some(&member.assignment));
        }
        CoordinatorRecord { key: group_metadata_key(group_id), value: Some(writer.into_bytes()) }
    }

    /// Reads any version.
    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let version = value_version(&mut reader)?;
        let protocol_type = text(&mut reader, version)?.ok_or(DecodeError { what: "group: null protocol type" })?;
        let generation_id = reader.i32()?;
        let protocol_name = text(&mut reader, version)?;
        let leader = text(&mut reader, version)?;
        let state_timestamp_ms = if version >= 2 { reader.i64()? } else { -1 };
        let count = if is_flexible(version) { reader.compact_array_length()? } else { reader.array_length()? };
        let members = (0..count).map(|_| MemberMetadata::decode(&mut reader, version)).collect::<Result<_, _>>()?;
        skip_tags(&mut reader, version)?;
        Ok(Self { protocol_type, generation_id, protocol_name, leader, state_timestamp_ms, members })
    }
}

impl MemberMetadata {
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let string =
            |reader: &mut Reader<'_>| text(reader, version)?.ok_or(DecodeError { what: "member: null string" });
        let member_id = string(reader)?;
        let instance_id = if version >= 3 { text(reader, version)? } else { None };
        let client_id = string(reader)?;
        let client_host = string(reader)?;
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
        let session_timeout_ms = reader.i32()?;
        let subscription = blob(reader, version)?;
        let assignment = blob(reader, version)?;
        skip_tags(reader, version)?;
        Ok(Self {
            member_id,
            instance_id,
            client_id,
            client_host,
            // Version 0 knows one timeout only.
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 { session_timeout_ms } else { rebalance_timeout_ms },
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}

fn value_version(reader: &mut Reader<'_>) -> Result<i16, DecodeError> {
    match reader.i16()? {
        version @ 0..=HIGHEST_VALUE_VERSION => Ok(version),
        _ => Err(DecodeError { what: "coordinator record: unknown value version" }),
    }
}

const fn is_flexible(version: i16) -> bool {
    version >= FIRST_FLEXIBLE_VERSION
}

fn text(reader: &mut Reader<'_>, version: i16) -> Result<Option<String>, DecodeError> {
    if is_flexible(version) { reader.compact_nullable_string() } else { reader.nullable_string() }
}

fn blob(reader: &mut Reader<'_>, version: i16) -> Result<Bytes, DecodeError> {
    let bytes = if is_flexible(version) {
        let length = reader.uvarint()?.checked_sub(1).ok_or(DecodeError { what: "member: null bytes" })?;
        reader.take(length as usize)?
    } else {
        reader.nullable_bytes()?.ok_or(DecodeError { what: "member: null bytes" })?
    };
    Ok(Bytes::copy_from_slice(bytes))
}

fn skip_tags(reader: &mut Reader<'_>, version: i16) -> Result<(), DecodeError> {
    if is_flexible(version) { reader.skip_tagged_fields() } else { Ok(()) }
}
