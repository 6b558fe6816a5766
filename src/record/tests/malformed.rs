//! Bytes that are not what they claim to be.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{CODECS, Owned, build, read, samples};
use crate::record::record::Fields;
use crate::record::{BatchHeader, RecordBatch, RecordError, SealOptions};
use crate::types::{ProducerEpoch, ProducerId};
use crate::util::testing::cases;
use crate::util::varint;

/// Invariant 41: any single bit flip in a batch is rejected, and never served as data.
///
/// Base offset (bytes 0 to 7) and leader epoch (12 to 15) are not covered by the CRC, in Kafka's format as in ours: the
/// leader assigns both. A flip there leaves the records themselves alone.
#[test]
#[cfg_attr(miri, ignore = "megabytes, byte by byte")]
fn invariant_41_any_single_bit_flip_is_rejected() {
    let records: Vec<_> = (0..20)
        .map(|index| Owned::new(1_000 + index, Some(b"key"), Some(&[index as u8; 20])).header("header", Some(b"x")))
        .collect();
    for &compression in CODECS {
        let producer = Some((ProducerId(1), ProducerEpoch(0), 0));
        let batch = build(&records, SealOptions { compression, producer, ..SealOptions::default() });
        let bytes = batch.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = BytesMut::from(&bytes[..]);
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Twice: at the end of the input, and with bytes behind it into which a wrong length could reach.
            let mut alone = Bytes::copy_from_slice(&flipped);
            let mut followed = Bytes::from([&flipped[..], &bytes[..]].concat());
            let results = [RecordBatch::parse(&mut alone), RecordBatch::parse(&mut followed)];
            let [alone, followed] = results;
            match bit / 8 {
                0..8 | 12..16 => {
                    for parsed in [alone, followed].into_iter().flatten() {
                        assert_eq!(parsed.body(), batch.body());
                        assert_eq!(parsed.header().as_bytes()[16..], batch.header_with_crc().as_bytes()[16..]);
                    }
                }
                8..12 => {
                    let length = i64::from_be_bytes([0, 0, 0, 0, flipped[8], flipped[9], flipped[10], flipped[11]]);
                    if length <= i32::MAX as i64 && length as usize + 12 > bytes.len() {
                        let needed = length as usize + 12;
                        assert_eq!(alone.unwrap_err(), RecordError::Truncated { needed, available: bytes.len() });
                    } else {
                        alone.unwrap_err();
                    }
                    followed.unwrap_err();
                }
                16 => {
                    let refused = RecordError::UnsupportedMagic(flipped[16] as i8);
                    assert_eq!([alone.unwrap_err(), followed.unwrap_err()], [refused.clone(), refused]);
                }
                _ => {
                    for result in [alone, followed] {
                        assert!(matches!(result, Err(RecordError::CrcMismatch { .. })), "{compression} bit {bit}");
                    }
                }
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, byte by byte")]
fn every_cut_is_truncated() {
    let bytes = build(&samples(), SealOptions::default()).to_bytes();
    for end in 0..bytes.len() {
        let mut cut = bytes.slice(..end);
        let needed = if end < BatchHeader::SIZE { BatchHeader::SIZE } else { bytes.len() };
        let truncated = RecordError::Truncated { needed, available: end };
        assert_eq!(RecordBatch::parse(&mut cut).unwrap_err(), truncated);
        assert_eq!(cut.len(), end, "the input is untouched");
    }
}

/// A batch with a right CRC around whatever header and body.
fn forge(body: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = *build(&[Owned::default()], SealOptions::default()).header();
    header.set_body_size(body.len()).unwrap();
    change(&mut header);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header.as_bytes()[BatchHeader::CRC_START..]), body);
    header.set_crc(crc);
    [&header.as_bytes()[..], body].concat().into()
}

const LONE_RECORD: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];

#[test]
fn contradicting_headers_are_refused() {
    let refused = |change: &dyn Fn(&mut BatchHeader)| RecordBatch::parse(&mut forge(&LONE_RECORD, change)).unwrap_err();
    assert!(RecordBatch::parse(&mut forge(&LONE_RECORD, |_| {})).is_ok());
    let malformed = RecordError::Malformed;
    assert_eq!(refused(&|header| header.set_magic(1)), RecordError::UnsupportedMagic(1));
    assert_eq!(refused(&|header| header.set_batch_length(48)), malformed("batch length is less than a header"));
    assert_eq!(refused(&|header| header.set_batch_length(-1)), malformed("batch length is less than a header"));
    for codec in 5..8 {
        assert_eq!(refused(&|header| header.set_attributes(codec)), RecordError::UnknownCompression(codec));
    }
    assert_eq!(refused(&|header| header.set_last_offset_delta(-1)), malformed("last offset delta is negative"));
    assert_eq!(refused(&|header| header.set_base_offset(i64::MAX)), malformed("last offset does not fit 64 bits"));
    assert_eq!(refused(&|header| header.set_records_count(2)), malformed("more records than offsets"));
    assert_eq!(refused(&|header| header.set_records_count(-1)), malformed("record count is negative"));
    let many = |header: &mut BatchHeader| {
        header.set_last_offset_delta(i32::MAX);
        header.set_records_count(i32::MAX);
    };
    assert_eq!(refused(&many), malformed("more records than bytes hold"));
}

/// Compressed, the count can only be held against the body once it is decompressed.
#[test]
#[cfg(feature = "lz4")]
fn a_huge_count_over_a_tiny_compressed_body_is_refused() {
    let compression = crate::types::CompressionType::Lz4;
    let batch = build(&[Owned::default()], SealOptions { compression, ..SealOptions::default() });
    let mut bytes = forge(batch.body(), |header| {
        header.set_attributes(compression.id());
        header.set_last_offset_delta(i32::MAX - 1);
        header.set_records_count(i32::MAX);
    });
    let parsed = RecordBatch::parse(&mut bytes).unwrap();
    let refused = RecordError::Malformed("more records than bytes hold");
    assert_eq!(parsed.records().unwrap_err(), refused);
    assert_eq!(parsed.validate_records().unwrap_err(), refused);
}

#[test]
fn malformed_records_are_refused_by_name() {
    let cases: &[(&[u8], &str)] = &[
        (&[0x80; 7], "record length is cut short"),
        (&[14, 0, 0, 0, 1, 1, 0], "record length exceeds the batch"),
        (&[1, 0, 0, 0, 1, 1, 0], "record length exceeds the batch"),
        (&[0, 0, 0, 0, 1, 1, 0], "record is empty"),
        (&[2, 0, 0, 0, 1, 1, 0], "record timestamp is cut short"),
        (&[12, 0, 0x80, 0x80, 0x80, 0x80, 0x80], "record timestamp is cut short"),
        (&[4, 0, 0, 0, 1, 1, 0], "record offset is cut short"),
        (&[12, 0, 0, 2, 1, 1, 0], "record offset does not ascend or is outside the batch"),
        (&[12, 0, 0, 1, 1, 1, 0], "record offset does not ascend or is outside the batch"),
        (&[12, 0, 0, 0, 20, 1, 0], "record key exceeds the record"),
        (&[12, 0, 0, 0, 1, 20, 0], "record value exceeds the record"),
        (&[12, 0, 0, 0, 1, 1, 1], "record header count is negative"),
        (&[12, 0, 0, 0, 1, 1, 0x80], "record header count is cut short"),
        (&[10, 0, 0, 0, 1, 1, 0], "record header count is cut short"),
        (&[12, 0, 0, 0, 1, 1, 2], "header key exceeds the record"),
        (&[12, 0, 0, 0, 1, 1, 0, 0], "bytes after the last record"),
        (&[14, 0, 0, 0, 1, 1, 0, 0], "record is longer than its fields"),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], "header key is null"),
        (&[16, 0, 0, 0, 1, 1, 2, 4, 1], "header key exceeds the record"),
        (&[18, 0, 0, 0, 1, 1, 2, 2, 0xff, 1], "header key is not UTF-8"),
        (&[18, 0, 0, 0, 1, 1, 2, 2, b'k', 2], "header value exceeds the record"),
        (&[20, 0, 0, 0, 1, 1, 2, 2, b'k', 1, 0], "record is longer than its fields"),
    ];
    for &(body, what) in cases {
        let batch = RecordBatch::parse(&mut forge(body, |_| {})).unwrap();
        let refused = RecordError::Malformed(what);
        assert_eq!(read(batch.records().unwrap()), Err(refused.clone()), "{body:?}");
        assert_eq!(batch.validate_records(), Err(refused), "{body:?}");
        // The error is the last thing that the cursor yields.
        let mut records = batch.records().unwrap();
        while records.next_record().is_some_and(|record| record.is_ok()) {}
        assert!(records.next_record().is_none());
    }
}

#[test]
fn as_in_kafka_any_negative_length_is_null() {
    let batch = RecordBatch::parse(&mut forge(&[12, 0, 0, 0, 3, 5, 0], |_| {})).unwrap();
    assert_eq!(read(batch.records().unwrap()), Ok(vec![(0, Owned::default())]));
}

#[test]
fn compaction_gaps_are_read_but_not_taken_from_producers() {
    let gap = [LONE_RECORD, [12, 0, 0, 6, 1, 1, 0]].concat();
    let batch = RecordBatch::parse(&mut forge(&gap, |header| {
        header.set_last_offset_delta(4);
        header.set_records_count(2);
    }))
    .unwrap();
    let offsets: Vec<_> = read(batch.records().unwrap()).unwrap().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 3]);
    let refused = RecordError::Malformed("record count and last offset delta disagree");
    assert_eq!(batch.validate_records().unwrap_err(), refused);
}

#[test]
fn offsets_that_do_not_ascend_are_refused_behind_a_split_too() {
    let body = [LONE_RECORD, [12, 0, 0, 2, 1, 1, 0], [12, 0, 0, 2, 1, 1, 0]].concat();
    let bytes = forge(&body, |header| {
        header.set_last_offset_delta(2);
        header.set_records_count(3);
    });
    let mut records = RecordBatch::parse(&mut bytes.clone()).unwrap().records().unwrap();
    assert_eq!(read(records.split_off_front(2).unwrap()).unwrap().len(), 2);
    let refused = RecordError::Malformed("record offset does not ascend or is outside the batch");
    assert_eq!(read(records.clone()), Err(refused.clone()));
    assert_eq!(records.skip_to(3), Err(refused));
}

/// Everything that reads a body, for what it does with one that came from nowhere.
fn read_every_way(batch: &RecordBatch) {
    let _ = batch.validate_records();
    let Ok(mut records) = batch.records() else { return };
    let _ = records.clone().skip_to(1);
    let mut behind = records.clone();
    if let Ok(front) = behind.split_off_front(1) {
        let _ = read(front);
        let _ = read(behind);
    }
    let mut last = i64::MIN;
    while let Some(Ok(record)) = records.next_record() {
        assert!(record.offset() > last && record.offset() <= batch.header().last_offset());
        last = record.offset();
        assert_eq!(record.headers().count(), record.headers().len());
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = Bytes::from(bytes);
        let _ = RecordBatch::parse(&mut bytes);
    }

    /// Random bodies under a right CRC, for every codec.
    #[test]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), codec in 0..5i16, count in 0..9) {
        let mut bytes = forge(&body, |header| {
            header.set_attributes(codec);
            header.set_last_offset_delta(count);
            header.set_records_count(count);
        });
        if let Ok(batch) = RecordBatch::parse(&mut bytes) {
            read_every_way(&batch);
        }
    }

    /// Bodies that are nearly right: a few bytes changed, or the end cut off, and the CRC computed anew.
    #[test]
    fn nearly_right_bodies_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in 0..3usize,
        codec in prop::sample::select(CODECS),
    ) {
        let batch = build(&samples()[..12], SealOptions { compression: codec, ..SealOptions::default() });
        let mut body = batch.body().to_vec();
        for (at, byte) in changes {
            *at.get_mut(&mut body) = byte;
        }
        body.truncate(body.len() - cut);
        let mut bytes = forge(&body, |header| {
            header.set_attributes(codec.id());
            header.set_last_offset_delta(11);
            header.set_records_count(12);
        });
        read_every_way(&RecordBatch::parse(&mut bytes).unwrap());
    }

    /// The two parsers of a record, the fast one and the one for every kind, say the same wherever both say something.
    #[test]
    fn both_parsers_agree(
        // Bytes of varints in one to three bytes, and of lengths that fit the record.
        prefix in prop::collection::vec(prop_oneof![0..0x20u8, 0x80..0x84u8], 1..12),
        padding in prop::collection::vec(Just(0u8), 0..24),
    ) {
        let input = [prefix, padding].concat();
        if let Some((fast, size)) = Fields::parse_common(&input) {
            let mut rest = &input[..];
            prop_assert_eq!(Fields::parse(&mut rest), Ok(fast));
            prop_assert_eq!(size, input.len() - rest.len());
        }
    }

    /// Records made of plausible fields, which reach deeper than random bytes.
    #[test]
    fn plausible_records_never_panic(fields in prop::collection::vec(-3..12i32, 1..60), count in 1..4i32) {
        let mut body = Vec::new();
        for field in fields {
            varint::write_i32(&mut body, field);
        }
        let mut bytes = forge(&body, |header| {
            header.set_last_offset_delta(count - 1);
            header.set_records_count(count);
        });
        if let Ok(batch) = RecordBatch::parse(&mut bytes) {
            read_every_way(&batch);
        }
    }
}
