//! Which partition of `__consumer_offsets` a group lives in.

/// The partition, of `partitions`, whose shard coordinates `group_id`: Java's `String.hashCode`, made non-negative.
pub(crate) fn partition_for(group_id: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "__consumer_offsets has {partitions} partitions");
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's Utils.abs: there is no positive i32 opposite to i32::MIN.
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_java_does() {
        // The left-hand sides are `"...".hashCode()` as Java prints them.
        for (group_id, hash) in [
            ("", 0),
            ("a", 97),
            ("billing", -109_829_509),
            ("console-consumer-12345", 158_455_506),
            ("grüße", 98_768_023),
            ("\u{1f980}-group", -1_386_951_180),
        ] {
            assert_eq!(partition_for(group_id, i32::MAX), i32::abs(hash), "{group_id}");
            assert_eq!(partition_for(group_id, 50), i32::abs(hash) % 50, "{group_id}");
        }
        // The best known string whose hash is i32::MIN.
        assert_eq!(partition_for("polygenelubricants", 50), 0);
    }
}
