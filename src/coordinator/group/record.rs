//! The records of `__consumer_offsets`, byte for byte Kafka's: committed offsets and classic groups.
//!
//! A key is a version, which also tells the kind, and its fields; a value is a version and its fields. Written are the
//! versions that Kafka 4.3 writes (offsets key 1 and value 4, groups key 2 and value 3); read is every version there has
//! been. Value version 4 is the first flexible one: its fields are compact and may be followed by tagged fields, such as
//! an offset's topic id, which are passed over (KIP-915).

use bytes::Bytes;

use super::offsets::Committed;
use crate::coordinator::CoordinatorRecord;
use crate::types::{LeaderEpoch, OffsetAndMetadata, TopicPartition};
use crate::util::codec::{DecodeError, Reader, Writer};

const OFFSET_COMMIT_KEY_VERSION: i16 = 1;
const GROUP_METADATA_KEY_VERSION: i16 = 2;
const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
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
    writer.compact_string(committed.metadata()).i64(commit_timestamp_ms).no_tagged_fields();
    CoordinatorRecord { key: offset_commit_key(group_id, topic_partition), value: Some(writer.into_bytes()) }
}

/// Reads the value of an offset commit.
pub(super) fn decode_offset_commit(value: &[u8]) -> Result<Committed, DecodeError> {
    let mut reader = Reader::new(value);
    let version = value_version(&mut reader)?;
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = text(&mut reader, version)?.ok_or(DecodeError { what: "offset commit: null metadata" })?;
    let commit_timestamp_ms = reader.i64()?;
    // Version 1 let the committer say how long to keep the offset; -1 left that to the broker.
    let expire_timestamp_ms = if version == 1 { Some(reader.i64()?).filter(|expire| *expire != -1) } else { None };
    skip_tags(&mut reader, version)?;
    let leader_epoch = (leader_epoch >= 0).then_some(LeaderEpoch(leader_epoch));
    let offset = OffsetAndMetadata::new(offset).metadata_text(metadata).with_leader_epoch(leader_epoch);
    Ok(Committed { offset, commit_timestamp_ms, expire_timestamp_ms })
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

#[cfg(test)]
mod tests {
    use super::*;

    // The hexadecimal strings below come from Apache Kafka's own kafka-group-coordinator 4.3.0 (GroupCoordinatorRecordSerde,
    // GroupCoordinatorRecordHelpers, and for older versions MessageUtil.toVersionPrefixedBytes).

    const AT_MS: i64 = 1_700_000_000_000;
    const OFFSET_KEY: &str = "0001000762696c6c696e6700066f726465727300000003";
    const GROUP_KEY: &str = "0002000762696c6c696e67";

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn assert_record(record: &CoordinatorRecord, key: &str, value: Option<&str>) {
        assert_eq!(record.key, unhex(key));
        assert_eq!(record.value.as_deref().map(<[u8]>::to_vec), value.map(unhex));
    }

    fn orders() -> TopicPartition {
        TopicPartition::new("orders", 3)
    }

    fn committed() -> OffsetAndMetadata {
        OffsetAndMetadata::new(42).metadata_text("note").with_leader_epoch(Some(LeaderEpoch(7)))
    }

    fn group(instance_id: Option<&str>) -> GroupMetadata {
        let member_id = if instance_id.is_some() { "i1-uuid" } else { "c1-uuid" };
        GroupMetadata {
            protocol_type: "consumer".into(),
            generation_id: 6,
            protocol_name: Some("range".into()),
            leader: Some(member_id.into()),
            state_timestamp_ms: AT_MS,
            members: vec![MemberMetadata {
                member_id: member_id.into(),
                instance_id: instance_id.map(str::to_owned),
                client_id: "c1".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout_ms: 300_000,
                session_timeout_ms: 45_000,
                subscription: Bytes::from_static(&[1, 2, 3]),
                assignment: Bytes::from_static(&[9, 8]),
            }],
        }
    }

    #[test]
    fn offsets_are_written_as_kafka_writes_them() {
        let value = "0004000000000000002a00000007056e6f74650000018bcfe5680000";
        assert_record(&offset_commit("billing", &orders(), &committed(), AT_MS), OFFSET_KEY, Some(value));
        let value = "0004000000000000002affffffff010000018bcfe5680000";
        assert_record(&offset_commit("billing", &orders(), &42.into(), AT_MS), OFFSET_KEY, Some(value));
        assert_record(&offset_tombstone("billing", &orders()), OFFSET_KEY, None);
    }

    #[test]
    fn groups_are_written_as_kafka_writes_them() {
        let value = "0003000000000000ffffffff0000018bcfe5680000000000";
        assert_record(&GroupMetadata::empty(AT_MS).to_record("billing"), GROUP_KEY, Some(value));
        let value = "00030008636f6e73756d657200000005ffffffff0000018bcfe5680000000000";
        let emptied =
            GroupMetadata { protocol_type: "consumer".into(), generation_id: 5, ..GroupMetadata::empty(AT_MS) };
        assert_record(&emptied.to_record("billing"), GROUP_KEY, Some(value));
        let value = "00030008636f6e73756d657200000006000572616e6765000763312d757569640000018bcfe5680000000001000763312d\
                     75756964ffff00026331000a2f3132372e302e302e31000493e00000afc800000003010203000000020908";
        assert_record(&group(None).to_record("billing"), GROUP_KEY, Some(value));
        let value = "00030008636f6e73756d657200000006000572616e6765000769312d757569640000018bcfe5680000000001000769312d\
                     757569640002693100026331000a2f3132372e302e302e31000493e00000afc800000003010203000000020908";
        assert_record(&group(Some("i1")).to_record("billing"), GROUP_KEY, Some(value));
        assert_record(&group_tombstone("billing"), GROUP_KEY, None);
    }

    #[test]
    fn keys_of_both_kinds_are_read_and_others_passed_over() {
        let offset = GroupRecordKey::OffsetCommit { group_id: "billing".into(), topic_partition: orders() };
        assert_eq!(GroupRecordKey::decode(&unhex(OFFSET_KEY)), Ok(Some(offset.clone())));
        let mut version_0 = unhex(OFFSET_KEY);
        version_0[1] = 0;
        assert_eq!(GroupRecordKey::decode(&version_0), Ok(Some(offset)));
        let group = GroupRecordKey::GroupMetadata { group_id: "billing".into() };
        assert_eq!(GroupRecordKey::decode(&unhex(GROUP_KEY)), Ok(Some(group)));
        // ConsumerGroupMetadataKey, of KIP-848.
        assert_eq!(GroupRecordKey::decode(&unhex("0003000762696c6c696e67")), Ok(None));
        for cut in 0..unhex(OFFSET_KEY).len() {
            assert!(GroupRecordKey::decode(&unhex(OFFSET_KEY)[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn offsets_of_every_version_are_read() {
        for (value, has_epoch) in [
            ("0000000000000000002a00046e6f74650000018bcfe56800", false),
            ("0001000000000000002a00046e6f74650000018bcfe56800ffffffffffffffff", false),
            ("0002000000000000002a00046e6f74650000018bcfe56800", false),
            ("0003000000000000002a0000000700046e6f74650000018bcfe56800", true),
            ("0004000000000000002a00000007056e6f74650000018bcfe5680000", true),
            // With a topic id.
            (
                "0004000000000000002a00000007056e6f74650000018bcfe568000100100001020304054607\
                 88090a0b0c0d0e0f",
                true,
            ),
        ] {
            let epoch = has_epoch.then_some(LeaderEpoch(7));
            let expected = Committed {
                offset: committed().with_leader_epoch(epoch),
                commit_timestamp_ms: AT_MS,
                expire_timestamp_ms: None,
            };
            assert_eq!(decode_offset_commit(&unhex(value)), Ok(expected), "{value}");
            for cut in 0..unhex(value).len() {
                assert!(decode_offset_commit(&unhex(value)[..cut]).is_err(), "{value} cut at {cut}");
            }
        }
        let with_expiry = unhex("0001000000000000002a00046e6f74650000018bcfe568000000018bcfe56801");
        assert_eq!(decode_offset_commit(&with_expiry).unwrap().expire_timestamp_ms, Some(AT_MS + 1));
        let error = DecodeError { what: "coordinator record: unknown value version" };
        assert_eq!(decode_offset_commit(&[0, 5, 0]), Err(error));
    }

    #[test]
    fn groups_of_every_version_are_read() {
        let versions = [
            "00000008636f6e73756d657200000006000572616e6765000769312d7575696400000001000769312d7575696400026331000a2f31\
             32372e302e302e310000afc800000003010203000000020908",
            "00010008636f6e73756d657200000006000572616e6765000769312d7575696400000001000769312d7575696400026331000a2f31\
             32372e302e302e31000493e00000afc800000003010203000000020908",
            "00020008636f6e73756d657200000006000572616e6765000769312d757569640000018bcfe5680000000001000769312d75756964\
             00026331000a2f3132372e302e302e31000493e00000afc800000003010203000000020908",
            "00030008636f6e73756d657200000006000572616e6765000769312d757569640000018bcfe5680000000001000769312d75756964\
             0002693100026331000a2f3132372e302e302e31000493e00000afc800000003010203000000020908",
            "000409636f6e73756d6572000000060672616e67650869312d757569640000018bcfe56800020869312d757569640369310363310b\
             2f3132372e302e302e31000493e00000afc8040102030309080000",
        ];
        for (version, value) in versions.iter().enumerate() {
            let mut expected = group(Some("i1"));
            if version < 1 {
                expected.members[0].rebalance_timeout_ms = 45_000;
            }
            if version < 2 {
                expected.state_timestamp_ms = -1;
            }
            if version < 3 {
                expected.members[0].instance_id = None;
            }
            assert_eq!(GroupMetadata::decode(&unhex(value)), Ok(expected), "version {version}");
            for cut in 0..unhex(value).len() {
                assert!(GroupMetadata::decode(&unhex(value)[..cut]).is_err(), "version {version} cut at {cut}");
            }
        }
    }
}
