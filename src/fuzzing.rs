//! Entry points for the targets under `fuzz/`, which see nothing private. Compiled under `--cfg fuzzing` only.

/// Bytes as requests to a shard of the group coordinator, and as records of its log. Must not panic.
pub fn group_ops(data: &[u8]) {
    crate::coordinator::group::fuzz::group_ops(data);
}
