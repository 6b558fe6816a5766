//! Golden data, for what needs a builder. See `tests/golden/README.md`; `tests/records.rs` reads the same files.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{CODECS, Owned, build, read, samples};
use crate::record::record::Fields;
use crate::record::{ControlRecord, EndTxnMarker, RecordBatch, SealOptions};
use crate::types::{CompressionType, LeaderEpoch, ProducerEpoch, ProducerId, TimestampType};

/// Set to write `tests/golden/brokerless` instead of comparing with it.
const WRITE: &str = "BROKERLESS_WRITE_GOLDEN";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn load(name: &str) -> Vec<RecordBatch> {
    let path = directory().join(name);
    let mut bytes = Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        batches.push(RecordBatch::parse(&mut bytes).unwrap());
    }
    batches
}

/// The same batch made by our builder.
fn rebuild(original: &RecordBatch) -> RecordBatch {
    let header = original.header();
    let mut records: Vec<_> =
        read(original.records().unwrap()).unwrap().into_iter().map(|(_, record)| record).collect();
    let mut rest = &original.body()[..];
    for record in &mut records {
        // Not the record's timestamp: with LogAppendTime the producer's are still in the deltas.
        record.timestamp = header.base_timestamp() + Fields::parse(&mut rest).unwrap().timestamp_delta;
    }
    let mut batch = build(
        &records,
        SealOptions {
            producer: Some((header.producer_id(), header.producer_epoch(), header.base_sequence())),
            transactional: header.is_transactional(),
            control: header.is_control(),
            ..SealOptions::default()
        },
    );
    if header.timestamp_type() == TimestampType::LogAppendTime {
        batch.set_log_append_time(header.max_timestamp());
    }
    batch.assign(header.base_offset(), header.partition_leader_epoch());
    batch
}

#[test]
fn our_builder_writes_what_kafkas_writes() {
    for name in ["plain", "log_append_time", "idempotent", "transactional", "control"] {
        for (index, original) in load(&format!("kafka/{name}.bin")).iter().enumerate() {
            assert_eq!(rebuild(original).to_bytes(), original.to_bytes(), "{name} {index}");
        }
    }
}

#[test]
fn our_end_markers_are_kafkas() {
    let batches = load("kafka/transactional.bin");
    let markers = [(1, ControlRecord::Commit, 9), (3, ControlRecord::Abort, 10)];
    for (index, control, coordinator_epoch) in markers {
        let original = &batches[index];
        let marker = EndTxnMarker { control, coordinator_epoch };
        let mut records = original.records().unwrap();
        assert_eq!(EndTxnMarker::parse(&records.next_record().unwrap().unwrap()), Ok(Some(marker)));
        let header = original.header();
        let mut ours = marker.to_batch(header.base_timestamp(), ProducerId(4_001), ProducerEpoch(1));
        ours.assign(header.base_offset(), header.partition_leader_epoch());
        assert_eq!(ours.to_bytes(), original.to_bytes());
    }
}

#[test]
fn what_kafka_compressed_holds_the_same_records() {
    let plain = &load("kafka/plain.bin")[0];
    for codec in CODECS.iter().filter(|codec| **codec != CompressionType::None) {
        let compressed = &load(&format!("kafka/{codec}.bin"))[0];
        let uncompressed = compressed.recompress(CompressionType::None, None, 1 << 20).unwrap();
        assert_eq!(uncompressed.to_bytes(), plain.to_bytes(), "{codec}");
    }
}

/// What we write for Kafka to read: file names and batches.
fn ours() -> Vec<(String, Vec<RecordBatch>)> {
    // Kafka's clients refuse negative timestamps, other than the -1 of "none".
    let variety: Vec<_> = samples().into_iter().filter(|record| record.timestamp > i64::MIN).collect();
    let text: Vec<_> = (0..150)
        .map(|index| Owned::new(1_700_000_000_000 + index, Some(b"key"), Some(&b"some words, "[..].repeat(60))))
        .collect();
    let mut random = fastrand::Rng::with_seed(3);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(500).collect();
    let noise = [Owned::new(1_700_000_000_000, None, Some(&noise))];
    let producer = |base_sequence| Some((ProducerId(4_000), ProducerEpoch(2), base_sequence));
    let options = SealOptions::default();
    let at = |mut batch: RecordBatch, offset, epoch| {
        batch.assign(offset, LeaderEpoch(epoch));
        batch
    };

    let mut append_time = build(&variety, options);
    append_time.set_log_append_time(1_700_000_005_000);
    let plain = vec![build(&variety, options), at(append_time, 106, 1), at(build(&noise, options), 300, 1)];
    let transactional = SealOptions { transactional: true, ..options };
    let marker = |control| {
        let marker = EndTxnMarker { control, coordinator_epoch: 12 };
        marker.to_batch(1_700_000_000_000, ProducerId(4_000), ProducerEpoch(2))
    };
    let transactions = vec![
        at(build(&variety, SealOptions { producer: producer(0), ..transactional }), 0, 3),
        at(marker(ControlRecord::Commit), 106, 3),
        at(build(&noise, SealOptions { producer: producer(106), ..options }), 107, 4),
        at(build(&variety, SealOptions { producer: producer(i32::MAX), ..transactional }), 108, 4),
        at(marker(ControlRecord::Abort), 214, 5),
    ];
    let mut files = vec![("plain".to_owned(), plain), ("transactional".to_owned(), transactions)];
    for &compression in CODECS.iter().filter(|codec| **codec != CompressionType::None) {
        let options = SealOptions { compression, ..options };
        let batches = vec![
            build(&variety, options),
            at(build(&text, SealOptions { producer: producer(0), ..options }), 106, 0),
            at(build(&noise, SealOptions { compression_level: Some(9), ..options }), 256, 0),
        ];
        files.push((compression.to_string(), batches));
    }
    files
}

/// The files that Kafka has read (`tests/golden/brokerless/*.txt` is what it found in them) hold what we write today.
///
/// Compressed bodies are compared by what they decompress to: another release of a codec may write other bytes.
#[test]
#[cfg_attr(miri, ignore = "all codecs, byte by byte")]
fn our_batches_are_those_that_kafka_has_read() {
    for (name, batches) in ours() {
        let file = format!("brokerless/{name}.bin");
        if std::env::var_os(WRITE).is_some() {
            let bytes: Vec<_> = batches.iter().map(RecordBatch::to_bytes).collect();
            std::fs::write(directory().join(&file), bytes.concat()).unwrap();
            continue;
        }
        let known = load(&file);
        assert_eq!(known.len(), batches.len(), "{file}");
        for (index, (known, batch)) in known.iter().zip(&batches).enumerate() {
            assert_eq!(known.header().compression(), batch.header().compression());
            let plain =
                |batch: &RecordBatch| batch.recompress(CompressionType::None, None, 1 << 20).unwrap().to_bytes();
            assert_eq!(plain(known), plain(batch), "{file} batch {index}: run tests/golden/generate.sh");
        }
    }
}
