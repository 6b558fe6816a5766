//! No sequence of operations on a log may break its invariants: appends of all kinds, rolls, compaction in pieces and with
//! other things in between, truncation, deletion, retention, reads and lookups. The model is that of the crate's property
//! tests.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| brokerless::fuzzing::log_ops(data));
