//! The `kafka-protocol` crate as a second opinion on the format.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, Record as PeerRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use super::{Owned, build, read};
use crate::record::{RecordBatch, SealOptions};
use crate::types::{CompressionType, LeaderEpoch, ProducerEpoch, ProducerId};
use crate::util::testing::cases;

/// What both sides have compiled in.
const CODECS: &[(CompressionType, Compression)] = &[
    (CompressionType::None, Compression::None),
    #[cfg(feature = "gzip")]
    (CompressionType::Gzip, Compression::Gzip),
    #[cfg(feature = "snappy")]
    (CompressionType::Snappy, Compression::Snappy),
];

const PRODUCER: (ProducerId, ProducerEpoch, i32) = (ProducerId(5), ProducerEpoch(1), 1_000);
const BASE_OFFSET: i64 = 70;

fn any_bytes() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from))
}

/// Header keys are unique, because the peer keeps headers in a map.
fn any_records() -> impl Strategy<Value = Vec<Owned>> {
    let headers = prop::collection::btree_map(".{0,20}", any_bytes(), 0..4);
    let record = (0..i64::MAX / 2, any_bytes(), any_bytes(), headers).prop_map(|(timestamp, key, value, headers)| {
        Owned { timestamp, key, value, headers: headers.into_iter().collect() }
    });
    prop::collection::vec(record, 1..80)
}

fn to_peer(index: usize, record: &Owned, transactional: bool) -> PeerRecord {
    let mut peer = PeerRecord {
        transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 4,
        producer_id: PRODUCER.0.0,
        producer_epoch: PRODUCER.1.0,
        timestamp_type: TimestampType::Creation,
        offset: BASE_OFFSET + index as i64,
        sequence: PRODUCER.2 + index as i32,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: Default::default(),
    };
    for (key, value) in &record.headers {
        peer.headers.insert(key.clone().into(), value.clone());
    }
    peer
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    #[cfg_attr(miri, ignore = "all codecs, byte by byte")]
    fn the_peer_reads_what_we_write(
        records in any_records(),
        (ours, _) in prop::sample::select(CODECS),
        transactional: bool,
    ) {
        let producer = Some(PRODUCER);
        let mut batch = build(&records, SealOptions { compression: ours, producer, transactional, ..Default::default() });
        batch.assign(BASE_OFFSET, LeaderEpoch(4));
        let set = RecordBatchDecoder::decode(&mut batch.to_bytes()).unwrap();
        let expected: Vec<_> =
            records.iter().enumerate().map(|(index, record)| to_peer(index, record, transactional)).collect();
        prop_assert_eq!(set.records, expected);
    }

    #[test]
    #[cfg_attr(miri, ignore = "all codecs, byte by byte")]
    fn we_read_what_the_peer_writes(
        records in any_records(),
        (ours, theirs) in prop::sample::select(CODECS),
        transactional: bool,
    ) {
        let peers: Vec<_> =
            records.iter().enumerate().map(|(index, record)| to_peer(index, record, transactional)).collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: theirs };
        RecordBatchEncoder::encode(&mut bytes, peers.iter(), &options).unwrap();
        let mut bytes = bytes.freeze();
        let batch = RecordBatch::parse(&mut bytes).unwrap();
        prop_assert!(bytes.is_empty());
        batch.validate_records().unwrap();
        let header = batch.header();
        prop_assert_eq!(header.compression(), Some(ours));
        prop_assert_eq!(header.is_transactional(), transactional);
        prop_assert_eq!((header.producer_id(), header.producer_epoch(), header.base_sequence()), PRODUCER);
        prop_assert_eq!(header.partition_leader_epoch(), LeaderEpoch(4));
        let expected: Vec<_> = (BASE_OFFSET..).zip(records).collect();
        prop_assert_eq!(read(batch.records().unwrap()), Ok(expected));
    }
}
