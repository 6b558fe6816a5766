//! [`Timestamps`]: the timestamps of a batch's records, as the producer set them.

/// One entry for each run of equal timestamps: in a steady stream, a batch is stamped within a millisecond or two.
///
/// Kept by the batch, so that a delivery does not have to carry its record's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timestamps {
    first: i64,
    last: i64,
    /// Where another timestamp begins: index of the record, and its timestamp.
    changes: Vec<(u32, i64)>,
}

impl Timestamps {
    /// Adds the timestamp of the record at `index`, the one behind the last one added.
    #[inline]
    pub(super) fn push(&mut self, index: u32, timestamp: i64) {
        if index == 0 {
            (self.first, self.last) = (timestamp, timestamp);
        } else if timestamp != self.last {
            self.last = timestamp;
            self.changes.push((index, timestamp));
        }
    }

    /// The timestamp of the record at `index`.
    pub(super) fn at(&self, index: u32) -> i64 {
        match self.changes.partition_point(|(first, _)| *first <= index) {
            0 => self.first,
            after => self.changes[after - 1].1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_keeps_its_timestamp() {
        let stamps = [5, 5, 7, 7, 7, -1, 5, 5, i64::MAX];
        let mut timestamps = Timestamps::default();
        for (index, stamp) in (0..).zip(stamps) {
            timestamps.push(index, stamp);
        }
        let found: Vec<_> = (0..9).map(|index| timestamps.at(index)).collect();
        assert_eq!(found, stamps);
        assert_eq!(timestamps.changes.len(), 4);
    }
}
