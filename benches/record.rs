//! The record layer by itself: append, iterate, CRC, and each codec.
//!
//!     cargo bench --bench record
//!
//! Batches are built by a type that only the crate's own producers use, so this compiles the crate's two lowest layers
//! (see `tests/layering.rs`) as modules of its own, instead of making the type public for a benchmark.

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../src/error/mod.rs"]
mod error;
#[path = "../src/record/mod.rs"]
mod record;
#[path = "../src/types/mod.rs"]
mod types;
#[path = "../src/util/mod.rs"]
mod util;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crate::record::{BatchBuilder, RecordBatch, SealOptions};
use crate::types::CompressionType;
use crate::util::block_pool::BlockPool;

const BATCH_SIZES: [usize; 2] = [16 << 10, 256 << 10];
const VALUE: [u8; 100] = [b'v'; 100];
const TIMESTAMP: i64 = 1_700_000_000_000;

fn fill(pool: &Arc<BlockPool>, key: Option<&[u8]>, value: &[u8]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(pool.take());
    let (key, value) = (black_box(key), black_box(value));
    let mut timestamp = TIMESTAMP;
    while builder.try_append(timestamp, key, value.into(), std::iter::empty()).is_some() {
        timestamp += i64::from(builder.count().is_multiple_of(64));
    }
    builder
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 100 B");
    for size in BATCH_SIZES {
        let pool = BlockPool::new(size, 4);
        for (name, key) in [("no key", None), ("key of 8 B", Some(&b"key-0123"[..]))] {
            let records = fill(&pool, key, &VALUE).count();
            group.throughput(Throughput::Elements(records.into()));
            group.bench_function(BenchmarkId::new(name, format!("{} KiB", size >> 10)), |bencher| {
                bencher
                    .iter(|| fill(&pool, key, &VALUE).seal(SealOptions::default()).map(|batch| batch.size_in_bytes()));
            });
        }
    }
}

fn iterate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iterate 100 B");
    for size in BATCH_SIZES {
        let pool = BlockPool::new(size, 4);
        let batch = fill(&pool, None, &VALUE).seal(SealOptions::default()).unwrap();
        group.throughput(Throughput::Elements(batch.header().records_count() as u64));
        group.bench_function(BenchmarkId::new("borrowed", format!("{} KiB", size >> 10)), |bencher| {
            bencher.iter(|| {
                let mut records = batch.records().unwrap();
                let mut sum = 0;
                while let Some(record) = records.next_record() {
                    let record = record.unwrap();
                    sum += record.offset() + record.timestamp() + i64::from(record.value().unwrap()[50]);
                }
                sum
            });
        });
        group.bench_function(BenchmarkId::new("value_bytes", format!("{} KiB", size >> 10)), |bencher| {
            bencher.iter(|| {
                let mut records = batch.records().unwrap();
                while let Some(record) = records.next_record() {
                    black_box(record.unwrap().value_bytes());
                }
            });
        });
    }
}

fn crc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc");
    for size in BATCH_SIZES {
        let pool = BlockPool::new(size, 4);
        let batch = fill(&pool, None, &VALUE).seal(SealOptions::default()).unwrap();
        group.throughput(Throughput::BytesDecimal(batch.size_in_bytes() as u64));
        group.bench_function(format!("{} KiB", size >> 10), |bencher| bencher.iter(|| batch.header_with_crc().crc()));
    }
}

fn codecs(criterion: &mut Criterion) {
    let pool = BlockPool::new(64 << 10, 4);
    let words: Vec<_> = "the quick brown fox jumps over the lazy dog".split(' ').collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut builder = BatchBuilder::new(pool.take());
    let mut append = |text: &str| builder.try_append(TIMESTAMP, None, Some(text.as_bytes()), std::iter::empty());
    while append(&std::iter::repeat_with(|| *random.choice(&words).unwrap()).take(20).collect::<String>()).is_some() {}
    let plain = builder.seal(SealOptions::default()).unwrap();

    let mut group = criterion.benchmark_group("codec 64 KiB");
    group.throughput(Throughput::BytesDecimal(plain.body().len() as u64));
    for codec in [CompressionType::Gzip, CompressionType::Snappy, CompressionType::Lz4, CompressionType::Zstd] {
        let limit = RecordBatch::MAX_DECOMPRESSED_SIZE;
        let Ok(compressed) = plain.recompress(codec, None, limit) else { continue };
        let ratio = plain.body().len() as f64 / compressed.body().len() as f64;
        let name = format!("{codec} ({ratio:.1}:1)");
        group.bench_function(BenchmarkId::new("compress", &name), |bencher| {
            bencher.iter(|| plain.recompress(codec, None, limit));
        });
        group.bench_function(BenchmarkId::new("decompress", &name), |bencher| {
            bencher.iter_batched(
                || compressed.clone(),
                |batch| batch.recompress(CompressionType::None, None, limit),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = append, iterate, crc, codecs
}
criterion_main!(benches);
