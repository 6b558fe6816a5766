//! Compaction against a plain copy of the same bytes.
//!
//!     cargo bench --bench compaction
//!
//! A log of small records in batches of 16 KiB, of which 10 %, 50 % and 90 % are their key's last, evenly spread. Measured is
//! a whole run of compaction: reading the keys, writing the new segments, putting them in place and freeing the old
//! ones; beside it the copy of all of the log's bytes into memory that was touched before. Both go through the input once
//! in the processor's eyes, so their quotient says how far compaction is from what memory can do. Ends with a line a goal.
//!
//! Compaction has no door of its own: the cleaner runs when it is due. So this compiles the crate's layers up to the log
//! (see `tests/layering.rs`) as modules of its own.

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, clippy::print_stdout)]

#[path = "../src/config/mod.rs"]
mod config;
#[path = "../src/error/mod.rs"]
mod error;
#[path = "../src/log/mod.rs"]
mod log;
#[path = "../src/record/mod.rs"]
mod record;
#[path = "support/mod.rs"]
mod support;
#[path = "../src/types/mod.rs"]
mod types;
#[path = "../src/util/mod.rs"]
mod util;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use crate::config::LogConfig;
use crate::log::{AppendOrigin, CompactionLimits, Log};
use crate::record::{BatchBuilder, RecordBatch, SealOptions};
use crate::support::goal_at_least;
use crate::types::{LeaderEpoch, TopicPartition};
use crate::util::block_pool::Block;

const BATCH_SIZE: usize = 16 << 10;
const VALUE: [u8; 100] = [b'v'; 100];
const NOW_MS: i64 = 1_700_000_000_000;
const RUNS: usize = 5;

fn main() {
    let mebibytes = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(256);
    println!("{mebibytes} MiB of records with keys of 16 B and values of 100 B, {RUNS} runs, best of each");
    println!("surviving    compaction GiB/s    copy GiB/s    quotient");
    let mut goals = Vec::new();
    for surviving in [10, 50, 90] {
        let (mut compaction, mut copy) = (0f64, 0f64);
        for _ in 0..RUNS {
            let measured = measure(mebibytes << 20, surviving);
            compaction = compaction.max(measured.0);
            copy = copy.max(measured.1);
        }
        let quotient = compaction / copy;
        println!("{surviving:>7} %    {compaction:>16.2}    {copy:>10.2}    {quotient:>8.3}");
        goals.push((surviving, quotient));
    }
    for (surviving, quotient) in goals {
        println!("{}", goal_at_least(&format!("compaction_of_copy_{surviving}_percent_surviving"), quotient, 0.25));
    }
}

/// Compaction and copy, in GiB/s of input.
fn measure(bytes: usize, surviving: usize) -> (f64, f64) {
    let batches = batches(bytes, surviving);
    let bytes: usize = batches.iter().map(RecordBatch::size_in_bytes).sum();
    let gibibytes = |seconds: f64| bytes as f64 / seconds / f64::from(1 << 30);

    let mut target = vec![1u8; bytes];
    let start = Instant::now();
    let mut position = 0;
    for batch in &batches {
        let body = batch.body();
        target[position..position + body.len()].copy_from_slice(body);
        position += body.len();
    }
    black_box(&target);
    let copy = gibibytes(start.elapsed().as_secs_f64());
    drop(target);

    let mut config = LogConfig { segment_bytes: 64 << 20, ..LogConfig::default() };
    config.cleanup_policy.compact = true;
    let mut log = Log::in_memory(TopicPartition::new("table", 0), Arc::new(config), NOW_MS);
    let mut records = 0;
    for batch in batches {
        records += batch.header().records_count() as usize;
        let origin = AppendOrigin::Client { trusted: true };
        log.append_as_leader(batch, LeaderEpoch(0), origin, NOW_MS).expect("it fits");
    }
    log.maybe_increment_high_watermark(log.log_end());
    log.roll_beyond(1, NOW_MS).expect("memory does not fail");

    // As the copy did, write to memory that was touched before; the allocator returns none of it to the system from under
    // the last of it, which stays.
    let mut touched: Vec<_> = (0..bytes / BATCH_SIZE).map(|_| vec![1u8; BATCH_SIZE]).collect();
    let guard = touched.pop();
    drop(black_box(touched));

    let limits = CompactionLimits { dedupe_buffer_size: 128 << 20, hash_seed: 7 };
    let start = Instant::now();
    let mut run = log.begin_compaction(limits, NOW_MS).expect("memory does not fail").expect("all of it is dirty");
    while !run.run(2 << 20).expect("all of it is readable") {}
    assert!(log.finish_compaction(&mut run).expect("memory does not fail"));
    while !run.release(2 << 20).expect("memory does not fail") {}
    drop(run);
    let compaction = gibibytes(start.elapsed().as_secs_f64());

    drop(black_box(guard));
    let mut left = Vec::new();
    log.read(0, usize::MAX, log.log_end(), false, &mut left).expect("it is in range");
    let left: usize = left.iter().map(|batch| batch.header().records_count() as usize).sum();
    assert_eq!(left, records * surviving / 100, "of {records} records");
    (compaction, copy)
}

/// Batches of records whose keys are shuffled, so many percent of them their key's last.
fn batches(bytes: usize, surviving: usize) -> Vec<RecordBatch> {
    // 16 B and 100 B, and 8 B for the rest of a record.
    let records = bytes / 124 / 100 * 100;
    let keys = records * surviving / 100;
    let mut random = fastrand::Rng::with_seed(7);
    let mut order: Vec<usize> = (0..keys).chain((keys..records).map(|_| random.usize(..keys))).collect();
    random.shuffle(&mut order);
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(Block::unpooled(BATCH_SIZE));
    for key in order {
        let key = format!("{:016x}", (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let append = |builder: &mut BatchBuilder| {
            builder.try_append(NOW_MS, Some(key.as_bytes()), Some(&VALUE), std::iter::empty()).is_some()
        };
        if !append(&mut builder) {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Block::unpooled(BATCH_SIZE)));
            batches.push(full.seal(SealOptions::default()).expect("a batch with records"));
            assert!(append(&mut builder));
        }
    }
    batches.push(builder.seal(SealOptions::default()).expect("a batch with records"));
    batches
}
