//! Tests that need to build batches, which only this crate's producers do. Those of the public face are in
//! `tests/records.rs`.

mod golden;
mod malformed;
mod peer;

use bytes::{Bytes, BytesMut};

use crate::record::{BatchBuilder, BatchHeader, RecordBatch, RecordError, Records, SealOptions};
use crate::types::{CompressionType, LeaderEpoch, ProducerEpoch, ProducerId, TimestampType};
use crate::util::block_pool::{Block, BlockPool};

/// Codecs that this build has.
const CODECS: &[CompressionType] = &[
    CompressionType::None,
    #[cfg(feature = "gzip")]
    CompressionType::Gzip,
    #[cfg(feature = "snappy")]
    CompressionType::Snappy,
    #[cfg(feature = "lz4")]
    CompressionType::Lz4,
    #[cfg(feature = "zstd")]
    CompressionType::Zstd,
];

/// A record that owns what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owned {
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
}

impl Owned {
    fn new(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        Self { timestamp, key: bytes(key), value: bytes(value), headers: Vec::new() }
    }

    fn header(mut self, key: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((key.to_owned(), value.map(Bytes::copy_from_slice)));
        self
    }

    fn headers(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    fn append_to(&self, builder: &mut BatchBuilder) -> Option<u32> {
        builder.try_append(self.timestamp, self.key.as_deref(), self.value.as_deref(), self.headers())
    }
}

fn build(records: &[Owned], options: SealOptions) -> RecordBatch {
    let size = records
        .iter()
        .map(|record| BatchBuilder::upper_bound(record.key.as_deref(), record.value.as_deref(), record.headers()))
        .sum();
    let mut builder = BatchBuilder::new(Block::unpooled(size));
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.append_to(&mut builder), Some(index as u32));
    }
    builder.seal(options).unwrap()
}

/// Offsets and records.
fn read(mut records: Records) -> Result<Vec<(i64, Owned)>, RecordError> {
    let mut read = Vec::new();
    while let Some(record) = records.next_record() {
        let record = record?;
        let headers = record.headers().map(|header| (header.key().to_owned(), header.value_bytes())).collect();
        let (key, value) = (record.key_bytes(), record.value_bytes());
        read.push((record.offset(), Owned { timestamp: record.timestamp(), key, value, headers }));
    }
    Ok(read)
}

/// One of everything, and enough records for offset deltas of two bytes.
fn samples() -> Vec<Owned> {
    let mut records = vec![
        Owned::new(1_000, Some(b"key"), Some(b"value")),
        Owned::new(900, None, None),
        Owned::new(-1, Some(b""), Some(b"")),
        Owned::new(i64::MAX, None, Some(&[0; 300])),
        Owned::new(i64::MIN, Some(&[0xff; 64]), None),
        Owned::new(5, None, None).header("a", Some(b"1")).header("a", None).header("", Some(b"")).header("größe", None),
        Owned::new(6, Some(b"k"), Some(b"v")).header(&"h".repeat(100), Some(&[b'x'; 9_000])),
    ];
    records.extend((0..100).map(|index| Owned::new(1_000 + index, None, Some(&[b'v'; 10]))));
    records
}

#[test]
fn what_is_built_is_read_whatever_the_codec() {
    for &compression in CODECS {
        let batch = build(&samples(), SealOptions { compression, ..SealOptions::default() });
        let mut bytes = batch.to_bytes();
        assert_eq!(bytes.len(), batch.size_in_bytes());
        let parsed = RecordBatch::parse(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        assert_eq!(parsed.header(), &batch.header_with_crc());
        assert_eq!(parsed.header().compression(), Some(compression));
        parsed.validate_records().unwrap();
        let expected: Vec<_> = (0..).zip(samples()).collect();
        assert_eq!(read(parsed.records().unwrap()), Ok(expected), "{compression}");
    }
}

#[test]
fn a_header_says_what_was_sealed() {
    let options = SealOptions {
        producer: Some((ProducerId(7), ProducerEpoch(2), 40)),
        transactional: true,
        ..SealOptions::default()
    };
    let mut batch = build(&samples(), options);
    batch.assign(500, LeaderEpoch(3));
    let header = *RecordBatch::parse(&mut batch.to_bytes()).unwrap().header();
    assert_eq!((header.base_offset(), header.last_offset(), header.next_offset()), (500, 606, 607));
    assert_eq!((header.partition_leader_epoch(), header.magic()), (LeaderEpoch(3), 2));
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (1_000, i64::MAX));
    assert_eq!((header.producer_id(), header.producer_epoch()), (ProducerId(7), ProducerEpoch(2)));
    assert_eq!((header.base_sequence(), header.last_sequence(), header.records_count()), (40, 146, 107));
    assert!(header.is_transactional() && !header.is_control() && !header.has_delete_horizon());
}

#[test]
fn sequences_wrap_to_zero() {
    let records = vec![Owned::default(); 4];
    let producer = Some((ProducerId(7), ProducerEpoch(2), i32::MAX - 1));
    let batch = build(&records, SealOptions { producer, ..SealOptions::default() });
    assert_eq!(batch.header().last_sequence(), 1);
}

#[test]
fn keys_and_values_share_the_body() {
    let batch = build(&samples(), SealOptions::default());
    let mut records = batch.records().unwrap();
    let record = records.next_record().unwrap().unwrap();
    let body = batch.body().as_ptr_range();
    assert!(body.contains(&record.key_bytes().unwrap().as_ptr()));
    assert!(body.contains(&record.value_bytes().unwrap().as_ptr()));
}

#[test]
fn several_batches_follow_each_other() {
    let mut bytes = BytesMut::new();
    for base in [0, 107, 214] {
        let mut batch = build(&samples(), SealOptions::default());
        batch.assign(base, LeaderEpoch(0));
        bytes.extend_from_slice(&batch.to_bytes());
    }
    let mut bytes = bytes.freeze();
    for base in [0, 107, 214] {
        assert_eq!(RecordBatch::parse(&mut bytes).unwrap().header().base_offset(), base);
    }
    let needed = BatchHeader::SIZE;
    assert_eq!(RecordBatch::parse(&mut bytes).unwrap_err(), RecordError::Truncated { needed, available: 0 });
}

#[test]
fn a_record_that_does_not_fit_leaves_nothing_behind() {
    // Seven bytes for the fields, three for the value.
    let mut builder = BatchBuilder::new(Block::unpooled(25));
    let append = |builder: &mut BatchBuilder, value: &[u8]| {
        builder.try_append(1, None, Some(value), std::iter::empty::<(&str, Option<&[u8]>)>())
    };
    assert_eq!(append(&mut builder, b"abc"), Some(0));
    assert_eq!(builder.size_in_bytes(), BatchHeader::SIZE + 10);
    assert_eq!(append(&mut builder, b"123456789"), None);
    assert_eq!((builder.count(), builder.size_in_bytes()), (1, BatchHeader::SIZE + 10));
    assert_eq!(append(&mut builder, b"12345678"), Some(1));
    assert_eq!(append(&mut builder, b""), None);
    let batch = builder.seal(SealOptions::default()).unwrap();
    let values: Vec<_> = read(batch.records().unwrap()).unwrap().into_iter().map(|(_, record)| record.value).collect();
    assert_eq!(values, [Some(Bytes::from("abc")), Some(Bytes::from("12345678"))]);
}

#[test]
fn a_lone_record_fits_its_upper_bound() {
    for record in samples() {
        let size = BatchBuilder::upper_bound(record.key.as_deref(), record.value.as_deref(), record.headers());
        let mut builder = BatchBuilder::new(Block::unpooled(size));
        assert_eq!(record.append_to(&mut builder), Some(0));
        assert!(builder.size_in_bytes() + 14 >= BatchHeader::SIZE + size, "the bound is not lavish");
    }
}

#[test]
fn a_batch_without_records_is_not_sealed() {
    let sealed = BatchBuilder::new(Block::unpooled(100)).seal(SealOptions::default());
    assert_eq!(sealed.unwrap_err(), RecordError::Malformed("batch without records"));
}

#[test]
fn compressing_returns_the_block_to_its_pool() {
    let pool = BlockPool::new(1 << 10, 1);
    let mut builder = BatchBuilder::new(pool.take());
    assert_eq!(Owned::new(0, None, Some(&[0; 900])).append_to(&mut builder), Some(0));
    let compression = *CODECS.last().unwrap();
    let _batch = builder.seal(SealOptions { compression, ..SealOptions::default() }).unwrap();
    assert_eq!(pool.idle_blocks(), usize::from(compression != CompressionType::None));
}

#[test]
fn log_append_time_stamps_every_record() {
    let mut batch = build(&samples(), SealOptions::default());
    batch.set_log_append_time(77);
    let parsed = RecordBatch::parse(&mut batch.to_bytes()).unwrap();
    let header = parsed.header();
    assert_eq!((header.timestamp_type(), header.max_timestamp()), (TimestampType::LogAppendTime, 77));
    assert_eq!(header.base_timestamp(), 1_000);
    assert!(read(parsed.records().unwrap()).unwrap().iter().all(|(_, record)| record.timestamp == 77));
}

#[test]
fn a_parsed_batch_that_is_changed_gets_a_new_crc() {
    let batch = build(&samples(), SealOptions::default());
    let mut parsed = RecordBatch::parse(&mut batch.to_bytes()).unwrap();
    let before = parsed.header_with_crc().crc();
    parsed.assign(9, LeaderEpoch(9));
    assert_eq!(parsed.header_with_crc().crc(), before, "base offset and leader epoch lie outside the CRC");
    parsed.set_log_append_time(77);
    assert_ne!(parsed.header_with_crc().crc(), before);
    assert!(RecordBatch::parse(&mut parsed.to_bytes()).is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "all codecs, byte by byte")]
fn recompressing_keeps_the_records() {
    let options = SealOptions { producer: Some((ProducerId(1), ProducerEpoch(0), 0)), ..SealOptions::default() };
    let plain = build(&samples(), options);
    for &from in CODECS {
        let batch = build(&samples(), SealOptions { compression: from, ..options });
        for &to in CODECS {
            let recompressed = batch.recompress(to, None, 1 << 20).unwrap();
            let parsed = RecordBatch::parse(&mut recompressed.to_bytes()).unwrap();
            assert_eq!(parsed.header().compression(), Some(to));
            assert_eq!(parsed.decompressed_body(1 << 20).unwrap(), plain.body(), "{from} to {to}");
        }
        let back = batch.recompress(CompressionType::None, None, 1 << 20).unwrap();
        assert_eq!(back.to_bytes(), plain.to_bytes());
    }
}

#[test]
#[cfg(feature = "lz4")]
fn recompressing_is_bounded() {
    let batch = build(&samples(), SealOptions { compression: CompressionType::Lz4, ..SealOptions::default() });
    let limit = 1_000;
    let refused = batch.recompress(CompressionType::None, None, limit).unwrap_err();
    assert_eq!(refused, RecordError::DecompressedTooLarge { limit });
}

#[test]
fn skipping_stops_at_the_first_record_at_or_behind_the_offset() {
    let mut batch = build(&samples(), SealOptions::default());
    batch.assign(500, LeaderEpoch(0));
    for (offset, expected) in [(i64::MIN, 500), (500, 500), (501, 501), (566, 566), (606, 606)] {
        let mut records = batch.records().unwrap();
        records.skip_to(offset).unwrap();
        assert_eq!(records.next_record().unwrap().unwrap().offset(), expected);
        assert_eq!(records.remaining() as i64, 606 - expected);
    }
    let mut records = batch.records().unwrap();
    records.skip_to(607).unwrap();
    assert!(records.next_record().is_none());
}

#[test]
fn a_split_cursor_goes_on_where_its_front_ends() {
    let batch = build(&samples(), SealOptions::default());
    let offsets = |records| read(records).unwrap().into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
    for at in [0, 1, 6, 106, 107, 1_000] {
        let mut records = batch.records().unwrap();
        let front = records.split_off_front(at).unwrap();
        assert_eq!(front.remaining(), at.min(107));
        assert_eq!(records.remaining(), 107 - at.min(107));
        let all: Vec<_> = offsets(front).into_iter().chain(offsets(records)).collect();
        assert_eq!(all, (0..107).collect::<Vec<_>>(), "split at {at}");
    }
}

#[test]
fn a_cursor_is_cloned_where_it_stands() {
    let batch = build(&samples(), SealOptions::default());
    let mut records = batch.records().unwrap();
    records.next_record().unwrap().unwrap();
    assert_eq!(read(records.clone()).unwrap(), read(records).unwrap());
}
