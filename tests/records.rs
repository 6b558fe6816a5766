//! Batches that Apache Kafka's own classes wrote, read through the public API; and what those classes read of ours.
//!
//! Every `.bin` file under `tests/golden` has a `.txt` file beside it in which `kafka-clients` says what it read of it,
//! batch by batch and record by record. The tests say the same of the `.bin` file in our words, and compare.

use std::fmt::Write;
use std::path::Path;

use brokerless::record::{ControlRecord, Record, RecordBatch};
#[cfg(not(feature = "zstd"))]
use brokerless::{record::RecordError, types::CompressionType};
use bytes::Bytes;

/// Reads `tests/golden/{file}.bin` and compares what it holds with `tests/golden/{file}.txt`.
fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let read = |extension| {
        let path = path.with_extension(extension);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut bytes = Bytes::from(read("bin"));
    let mut found = String::new();
    while !bytes.is_empty() {
        let batch = RecordBatch::parse(&mut bytes).unwrap();
        describe(&batch, &mut found).unwrap();
    }
    let expected = String::from_utf8(read("txt")).unwrap();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "{file}");
    }
    assert_eq!(found.len(), expected.len(), "{file}");
}

fn describe(batch: &RecordBatch, out: &mut String) -> std::fmt::Result {
    let header = batch.header();
    let horizon = header.has_delete_horizon().then(|| header.base_timestamp().to_string());
    writeln!(
        out,
        "batch offsets {} to {}, epoch {}, crc {:08x}, {}, {:?}, base timestamp {}, max timestamp {}, \
         producer {} epoch {} sequence {} to {}, transactional {}, control {}, horizon {}, {} records in {} bytes",
        header.base_offset(),
        header.last_offset(),
        header.partition_leader_epoch(),
        header.crc(),
        header.compression().unwrap(),
        header.timestamp_type(),
        header.base_timestamp(),
        header.max_timestamp(),
        header.producer_id(),
        header.producer_epoch(),
        header.base_sequence(),
        header.last_sequence(),
        header.is_transactional(),
        header.is_control(),
        horizon.as_deref().unwrap_or("none"),
        header.records_count(),
        batch.size_in_bytes(),
    )?;
    let mut records = batch.records().unwrap();
    while let Some(record) = records.next_record() {
        let record = record.unwrap();
        let (key, value) = (show(record.key()), show(record.value()));
        write!(out, "  {} at {}: {key} = {value}", record.offset(), record.timestamp())?;
        if header.is_control() {
            write!(out, ", {}", control(&record))?;
        }
        for header in record.headers() {
            write!(out, ", {}: {}", show(Some(header.key().as_bytes())), show(header.value()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn control(record: &Record<'_>) -> String {
    let name = match ControlRecord::parse(record.key()).unwrap() {
        ControlRecord::Abort => "abort",
        ControlRecord::Commit => "commit",
        other => return format!("control type {}", other.id()),
    };
    // Version i16, coordinator epoch i32.
    let epoch = record.value().and_then(|value| value.get(2..6)).and_then(|epoch| epoch.try_into().ok()).unwrap();
    format!("{name} by epoch {}", i32::from_be_bytes(epoch))
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() <= 16 => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[{hex}]")
        }
        Some(bytes) => format!("[{} bytes, crc {:08x}]", bytes.len(), crc32c::crc32c(bytes)),
    }
}

#[test]
fn plain_batches() {
    check("kafka/plain");
    check("brokerless/plain");
}

#[test]
fn log_append_time() {
    check("kafka/log_append_time");
}

#[test]
fn idempotent_producers() {
    check("kafka/idempotent");
}

#[test]
fn transactions_and_their_markers() {
    check("kafka/transactional");
    check("brokerless/transactional");
}

#[test]
fn control_records_of_other_types() {
    check("kafka/control");
}

#[test]
fn what_compaction_leaves() {
    check("kafka/compacted");
}

#[test]
#[cfg(feature = "gzip")]
fn gzip() {
    check("kafka/gzip");
    check("brokerless/gzip");
}

#[test]
#[cfg(feature = "snappy")]
fn snappy() {
    check("kafka/snappy");
    check("brokerless/snappy");
}

#[test]
#[cfg(feature = "lz4")]
fn lz4() {
    check("kafka/lz4");
    check("brokerless/lz4");
}

#[test]
#[cfg(all(feature = "gzip", feature = "lz4"))]
fn other_levels() {
    check("kafka/levels");
}

#[test]
#[cfg(feature = "zstd")]
fn zstd() {
    check("kafka/zstd");
    check("brokerless/zstd");
}

/// Without the codec a batch is still a batch: parsed, its CRC checked, passed on as it is. Only its records are not read.
#[test]
#[cfg(not(feature = "zstd"))]
fn a_batch_of_a_codec_that_is_not_built_is_passed_on() {
    let golden = Bytes::from_static(include_bytes!("golden/kafka/zstd.bin"));
    let mut bytes = golden.clone();
    while !bytes.is_empty() {
        let at = golden.len() - bytes.len();
        let batch = RecordBatch::parse(&mut bytes).unwrap();
        assert_eq!(batch.header().compression(), Some(CompressionType::Zstd));
        assert_eq!(batch.records().unwrap_err(), RecordError::CompressionNotBuilt(CompressionType::Zstd));
        assert_eq!(batch.to_bytes(), golden[at..at + batch.size_in_bytes()]);
    }
}
