//! [`MetadataRecord`] and its bytes: Kafka's own metadata records, as the values of `__cluster_metadata-0`.
//!
//! A value is a frame version (1), the record's api key and version, all unsigned varints, and then the message in the
//! flexible encoding. Version 0 of each record holds all that is needed here and is what is written and read. A field
//! that this crate does not act upon (an ongoing reassignment, an unclean recovery) is an error when it is set: better
//! to refuse a log than to misread it.

use bytes::Bytes;

use crate::types::{BrokerId, LeaderEpoch, TopicId};
use crate::util::codec::{DecodeError, Reader, Writer};

/// A change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetadataRecord {
    /// `RegisterBrokerRecord`.
    RegisterBroker {
        broker_id: BrokerId,
        /// A random id of this run of the broker.
        incarnation_id: u128,
        broker_epoch: i64,
        rack: Option<String>,
        fenced: bool,
    },
    /// `BrokerRegistrationChangeRecord`, of which only the fencing is used.
    FenceBroker { broker_id: BrokerId, broker_epoch: i64, fenced: bool },
    /// `TopicRecord`.
    Topic { name: String, id: TopicId },
    /// `ConfigRecord` of a topic; `None` removes the override.
    TopicConfig { topic: String, name: String, value: Option<String> },
    /// `ConfigRecord` of a broker, or of all of them; `None` takes the value away.
    BrokerConfig { broker: Option<BrokerId>, name: String, value: Option<String> },
    /// `PartitionRecord`.
    Partition {
        topic_id: TopicId,
        partition: i32,
        replicas: Vec<BrokerId>,
        isr: Vec<BrokerId>,
        leader: BrokerId,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
    },
    /// `PartitionChangeRecord`. It raises the partition epoch, and with a leader the leader epoch too.
    PartitionChange {
        topic_id: TopicId,
        partition: i32,
        isr: Option<Vec<BrokerId>>,
        /// [`BrokerId::NONE`]: there is no leader now.
        leader: Option<BrokerId>,
    },
    /// `RemoveTopicRecord`.
    RemoveTopic { id: TopicId },
    /// `ProducerIdsRecord`.
    ProducerIds { broker_id: BrokerId, broker_epoch: i64, next_producer_id: i64 },
}

const FRAME_VERSION: u32 = 1;

const REGISTER_BROKER: u32 = 0;
const TOPIC: u32 = 2;
const PARTITION: u32 = 3;
const CONFIG: u32 = 4;
const PARTITION_CHANGE: u32 = 5;
const REMOVE_TOPIC: u32 = 9;
const PRODUCER_IDS: u32 = 15;
const BROKER_REGISTRATION_CHANGE: u32 = 17;

/// `ConfigResource.Type.TOPIC` and `.BROKER`.
const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;

type Result<T> = std::result::Result<T, DecodeError>;

impl MetadataRecord {
    /// The record's bytes: a value for the metadata log.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.uvarint(FRAME_VERSION).uvarint(self.api_key()).uvarint(0);
        match self {
            Self::RegisterBroker { broker_id, incarnation_id, broker_epoch, rack, fenced } => {
                writer.i32(broker_id.0).uuid(*incarnation_id).i64(*broker_epoch);
                let (end_points, features) = (0, 0);
                writer.compact_array_length(end_points).compact_array_length(features);
                writer.compact_nullable_string(rack.as_deref()).bool(*fenced).no_tagged_fields();
            }
            Self::FenceBroker { broker_id, broker_epoch, fenced } => {
                writer.i32(broker_id.0).i64(*broker_epoch);
                let mut change = Writer::new();
                change.i8(if *fenced { 1 } else { -1 });
                write_tagged_fields(&mut writer, vec![(0, change)]);
            }
            Self::Topic { name, id } => {
                writer.compact_string(name).uuid(id.as_u128()).no_tagged_fields();
            }
            Self::TopicConfig { topic, name, value } => {
                writer.i8(TOPIC_RESOURCE).compact_string(topic).compact_string(name);
                writer.compact_nullable_string(value.as_deref()).no_tagged_fields();
            }
            Self::BrokerConfig { broker, name, value } => {
                let resource = broker.map(|id| id.to_string()).unwrap_or_default();
                writer.i8(BROKER_RESOURCE).compact_string(&resource).compact_string(name);
                writer.compact_nullable_string(value.as_deref()).no_tagged_fields();
            }
            Self::Partition { topic_id, partition, replicas, isr, leader, leader_epoch, partition_epoch } => {
                writer.i32(*partition).uuid(topic_id.as_u128());
                let (removing, adding) = ([], []);
                for brokers in [replicas.as_slice(), isr, &removing, &adding] {
                    write_brokers(&mut writer, brokers);
                }
                writer.i32(leader.0).i32(leader_epoch.0).i32(*partition_epoch).no_tagged_fields();
            }
            Self::PartitionChange { topic_id, partition, isr, leader } => {
                writer.i32(*partition).uuid(topic_id.as_u128());
                let mut fields = Vec::new();
                if let Some(isr) = isr {
                    let mut field = Writer::new();
                    write_brokers(&mut field, isr);
                    fields.push((0, field));
                }
                if let Some(leader) = leader {
                    let mut field = Writer::new();
                    field.i32(leader.0);
                    fields.push((1, field));
                }
                write_tagged_fields(&mut writer, fields);
            }
            Self::RemoveTopic { id } => {
                writer.uuid(id.as_u128()).no_tagged_fields();
            }
            Self::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                writer.i32(broker_id.0).i64(*broker_epoch).i64(*next_producer_id).no_tagged_fields();
            }
        }
        writer.into_bytes()
    }

    fn api_key(&self) -> u32 {
        match self {
            Self::RegisterBroker { .. } => REGISTER_BROKER,
            Self::FenceBroker { .. } => BROKER_REGISTRATION_CHANGE,
            Self::Topic { .. } => TOPIC,
            Self::TopicConfig { .. } | Self::BrokerConfig { .. } => CONFIG,
            Self::Partition { .. } => PARTITION,
            Self::PartitionChange { .. } => PARTITION_CHANGE,
            Self::RemoveTopic { .. } => REMOVE_TOPIC,
            Self::ProducerIds { .. } => PRODUCER_IDS,
        }
    }

    /// Reads one value of the metadata log, all of it.
    #[cfg_attr(not(test), expect(dead_code, reason = "a log in memory is never opened again; one in files is"))]
    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(value);
        if reader.uvarint()? != FRAME_VERSION {
            return Err(DecodeError { what: "metadata record: unknown frame version" });
        }
        let api_key = reader.uvarint()?;
        if reader.uvarint()? != 0 {
            return Err(DecodeError { what: "metadata record: unknown version" });
        }
        let record = match api_key {
            REGISTER_BROKER => read_register_broker(&mut reader)?,
            BROKER_REGISTRATION_CHANGE => read_registration_change(&mut reader)?,
            TOPIC => {
                let name = reader.compact_string()?;
                Self::Topic { name, id: TopicId::from_u128(reader.uuid()?) }
            }
            CONFIG => read_config(&mut reader)?,
            PARTITION => read_partition(&mut reader)?,
            PARTITION_CHANGE => read_partition_change(&mut reader)?,
            REMOVE_TOPIC => Self::RemoveTopic { id: TopicId::from_u128(reader.uuid()?) },
            PRODUCER_IDS => Self::ProducerIds {
                broker_id: BrokerId(reader.i32()?),
                broker_epoch: reader.i64()?,
                next_producer_id: reader.i64()?,
            },
            _ => return Err(DecodeError { what: "metadata record: unknown api key" }),
        };
        // The two changes have read theirs: all they say is in tagged fields.
        if !matches!(record, Self::FenceBroker { .. } | Self::PartitionChange { .. }) {
            reader.tagged_fields(unknown_field)?;
        }
        if reader.remaining() == 0 { Ok(record) } else { Err(DecodeError { what: "metadata record: bytes left over" }) }
    }
}

fn read_register_broker(reader: &mut Reader<'_>) -> Result<MetadataRecord> {
    let broker_id = BrokerId(reader.i32()?);
    let incarnation_id = reader.uuid()?;
    let broker_epoch = reader.i64()?;
    if reader.compact_array_length()? != 0 || reader.compact_array_length()? != 0 {
        return Err(DecodeError { what: "broker registration: end points or features" });
    }
    let rack = reader.compact_nullable_string()?;
    let fenced = reader.bool()?;
    Ok(MetadataRecord::RegisterBroker { broker_id, incarnation_id, broker_epoch, rack, fenced })
}

fn read_registration_change(reader: &mut Reader<'_>) -> Result<MetadataRecord> {
    let broker_id = BrokerId(reader.i32()?);
    let broker_epoch = reader.i64()?;
    let mut fenced = None;
    reader.tagged_fields(|tag, field| match tag {
        0 => {
            fenced = match field.i8()? {
                1 => Some(true),
                -1 => Some(false),
                _ => None,
            };
            Ok(())
        }
        _ => unknown_field(tag, field),
    })?;
    let fenced = fenced.ok_or(DecodeError { what: "broker registration change: nothing changes" })?;
    Ok(MetadataRecord::FenceBroker { broker_id, broker_epoch, fenced })
}

fn read_config(reader: &mut Reader<'_>) -> Result<MetadataRecord> {
    let kind = reader.i8()?;
    let (resource, name) = (reader.compact_string()?, reader.compact_string()?);
    let value = reader.compact_nullable_string()?;
    match kind {
        TOPIC_RESOURCE => Ok(MetadataRecord::TopicConfig { topic: resource, name, value }),
        BROKER_RESOURCE if resource.is_empty() => Ok(MetadataRecord::BrokerConfig { broker: None, name, value }),
        BROKER_RESOURCE => {
            let id = resource.parse().map_err(|_| DecodeError { what: "config record: not the id of a broker" })?;
            Ok(MetadataRecord::BrokerConfig { broker: Some(BrokerId(id)), name, value })
        }
        _ => Err(DecodeError { what: "config record: neither of a topic nor of a broker" }),
    }
}

fn read_partition(reader: &mut Reader<'_>) -> Result<MetadataRecord> {
    let partition = reader.i32()?;
    let topic_id = TopicId::from_u128(reader.uuid()?);
    let (replicas, isr) = (read_brokers(reader)?, read_brokers(reader)?);
    let (removing, adding) = (read_brokers(reader)?, read_brokers(reader)?);
    if !removing.is_empty() || !adding.is_empty() {
        return Err(DecodeError { what: "partition record: reassignment" });
    }
    let leader = BrokerId(reader.i32()?);
    let leader_epoch = LeaderEpoch(reader.i32()?);
    let partition_epoch = reader.i32()?;
    Ok(MetadataRecord::Partition { topic_id, partition, replicas, isr, leader, leader_epoch, partition_epoch })
}

fn read_partition_change(reader: &mut Reader<'_>) -> Result<MetadataRecord> {
    /// Kafka's value of a leader that does not change.
    const NO_LEADER_CHANGE: i32 = -2;
    let partition = reader.i32()?;
    let topic_id = TopicId::from_u128(reader.uuid()?);
    let (mut isr, mut leader) = (None, None);
    reader.tagged_fields(|tag, field| {
        match tag {
            0 => isr = Some(read_brokers(field)?),
            1 => leader = Some(field.i32()?).filter(|id| *id != NO_LEADER_CHANGE).map(BrokerId),
            _ => unknown_field(tag, field)?,
        }
        Ok(())
    })?;
    Ok(MetadataRecord::PartitionChange { topic_id, partition, isr, leader })
}

fn unknown_field(_tag: u32, _field: &mut Reader<'_>) -> Result<()> {
    Err(DecodeError { what: "metadata record: a tagged field that is not built" })
}

fn read_brokers(reader: &mut Reader<'_>) -> Result<Vec<BrokerId>> {
    (0..reader.compact_array_length()?).map(|_| reader.i32().map(BrokerId)).collect()
}

fn write_brokers(writer: &mut Writer, brokers: &[BrokerId]) {
    writer.compact_array_length(brokers.len());
    for broker in brokers {
        writer.i32(broker.0);
    }
}

/// The end of a flexible struct; tags ascend.
fn write_tagged_fields(writer: &mut Writer, fields: Vec<(u32, Writer)>) {
    writer.uvarint(fields.len() as u32);
    for (tag, field) in fields {
        let bytes = field.into_bytes();
        writer.uvarint(tag).uvarint(bytes.len() as u32).raw(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<MetadataRecord> {
        let id = TopicId::from_u128(0x0001_0203_0405_4607_8809_0a0b_0c0d_0e0f);
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        vec![
            MetadataRecord::RegisterBroker {
                broker_id: BrokerId(1),
                incarnation_id: 7,
                broker_epoch: 5,
                rack: Some("r".into()),
                fenced: true,
            },
            MetadataRecord::FenceBroker { broker_id: BrokerId(1), broker_epoch: 5, fenced: false },
            MetadataRecord::FenceBroker { broker_id: BrokerId(1), broker_epoch: 5, fenced: true },
            MetadataRecord::Topic { name: "foo".into(), id },
            MetadataRecord::TopicConfig { topic: "foo".into(), name: "a".into(), value: Some("b".into()) },
            MetadataRecord::TopicConfig { topic: "foo".into(), name: "a".into(), value: None },
            MetadataRecord::BrokerConfig { broker: Some(BrokerId(7)), name: "a".into(), value: Some("b".into()) },
            MetadataRecord::BrokerConfig { broker: None, name: "a".into(), value: None },
            MetadataRecord::Partition {
                topic_id: id,
                partition: 3,
                replicas: brokers(&[1, 2, 3]),
                isr: brokers(&[1, 2]),
                leader: BrokerId(1),
                leader_epoch: LeaderEpoch(4),
                partition_epoch: 9,
            },
            MetadataRecord::PartitionChange {
                topic_id: id,
                partition: 3,
                isr: Some(brokers(&[2])),
                leader: Some(BrokerId::NONE),
            },
            MetadataRecord::PartitionChange { topic_id: id, partition: 3, isr: None, leader: Some(BrokerId(2)) },
            MetadataRecord::RemoveTopic { id },
            MetadataRecord::ProducerIds { broker_id: BrokerId(1), broker_epoch: 5, next_producer_id: 1000 },
        ]
    }

    #[test]
    fn records_round_trip_and_no_prefix_of_one_decodes() {
        for record in samples() {
            let bytes = record.encode();
            assert_eq!(MetadataRecord::decode(&bytes), Ok(record.clone()));
            for cut in 0..bytes.len() {
                assert!(MetadataRecord::decode(&bytes[..cut]).is_err(), "{record:?} cut at {cut}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(MetadataRecord::decode(&longer), Err(DecodeError { what: "metadata record: bytes left over" }));
        }
    }

    /// Written out by hand from Kafka's `TopicRecord.json` and `PartitionChangeRecord.json`.
    #[test]
    fn the_bytes_follow_kafkas_schemas() {
        let uuid = [0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15];
        let samples = samples();
        let topic = [&[1, 2, 0, 4, b'f', b'o', b'o'], &uuid[..], &[0]].concat();
        assert_eq!(samples[3].encode(), topic);
        let change = [
            &[1, 5, 0, 0, 0, 0, 3],
            &uuid[..],
            // Two tagged fields: the ISR [2] and leader -1.
            &[2, 0, 5, 2, 0, 0, 0, 2, 1, 4, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(samples[9].encode(), change);
        assert_eq!(samples[6].encode(), [1, 4, 0, 4, 2, b'7', 2, b'a', 2, b'b', 0][..]);
        assert_eq!(samples[7].encode(), [1, 4, 0, 4, 1, 2, b'a', 0, 0][..]);
        let unfence = [1, 17, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 1, 0xff];
        assert_eq!(samples[1].encode(), unfence[..]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refuse = |bytes: &[u8]| MetadataRecord::decode(bytes).unwrap_err().what;
        assert_eq!(refuse(&[0, 2, 0]), "metadata record: unknown frame version");
        assert_eq!(refuse(&[1, 2, 1]), "metadata record: unknown version");
        assert_eq!(refuse(&[1, 12, 0]), "metadata record: unknown api key");
        assert_eq!(refuse(&[1, 4, 0, 8, 1, 1, 0, 0]), "config record: neither of a topic nor of a broker");
        assert_eq!(refuse(&[1, 4, 0, 4, 2, b'x', 1, 0, 0]), "config record: not the id of a broker");
        let mut change = vec![1, 5, 0, 0, 0, 0, 3];
        change.extend([0; 16]);
        change.extend([1, 2, 1, 1]);
        assert_eq!(refuse(&change), "metadata record: a tagged field that is not built");
    }
}
