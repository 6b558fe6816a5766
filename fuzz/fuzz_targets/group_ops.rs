//! Bytes as requests to a shard of the group coordinator, with every field hostile, and as records of its log.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| brokerless::fuzzing::group_ops(data));
