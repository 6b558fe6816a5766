//! [`Dues`]: when each partition of a topic needs the driver.
//!
//! They lie one behind the other, apart from what they are about: the driver looks through those of thousands of partitions
//! once a linger, and what it has no business with it need not fetch from memory.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::producer::table::Table;

/// Not before something else happens.
pub(super) const NEVER: u64 = u64::MAX;

/// Times in ns since the driver's origin, by partition.
#[derive(Debug)]
pub(super) struct Dues(Table<AtomicU64>);

impl Dues {
    pub(super) fn new() -> Self {
        Self(Table::new())
    }

    /// Notes it. The partition's slot is locked, so that what is noted goes with what is in the slot.
    #[inline]
    pub(super) fn set(&self, partition: i32, due: u64) {
        let entry = match self.0.get(partition as usize) {
            Some(entry) => entry,
            None => self.0.get_or_init(partition as usize, || AtomicU64::new(NEVER)),
        };
        entry.store(due, Ordering::Relaxed);
    }

    /// The partitions that were ever noted, each with its time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.enumerate().map(|(partition, due)| (partition, due.load(Ordering::Relaxed)))
    }
}
