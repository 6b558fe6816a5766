//! Entry points for the targets under `fuzz/`, which see nothing private. Compiled under `--cfg fuzzing` only.

/// Operations on a compacted log, held against a model. Panics where they disagree.
pub fn log_ops(data: &[u8]) {
    crate::log::log_ops(data);
}

/// Bytes as requests to a shard of the group coordinator, and as records of its log. Must not panic.
pub fn group_ops(data: &[u8]) {
    crate::coordinator::group::fuzz::group_ops(data);
}
