//! A partition's side of the [memory limits](crate::broker::Memory).

use crate::broker::memory::Budget;
use crate::broker::{Account, MemoryPolicy, PartitionHandle};
use crate::error::{Error, ErrorCode};
use crate::partition::Partition;
use crate::util::wake_list::WakeList;

impl PartitionHandle {
    /// When the oldest segment was last appended to, in ms; `None` if it may not be evicted.
    pub(super) fn oldest_segment_ms(&self) -> Option<i64> {
        self.lock().ok()?.releasable_since()
    }

    /// Deletes the oldest segment, if it may go. Returns its bytes.
    pub(super) fn evict_oldest_segment(&self, wakes: &mut WakeList) -> u64 {
        let now_ms = self.clock.now_ms();
        let evicted = self.change(wakes, |partition| {
            let before = partition.size_in_bytes();
            partition.release_oldest(now_ms).map_err(|error| self.error(error.code(), error))?;
            Ok(before - partition.size_in_bytes())
        });
        // A replica that was deleted meanwhile has freed everything by itself.
        evicted.unwrap_or(0)
    }

    /// There is no room for a batch: makes some, or says what the policy says. Call with no lock held.
    #[cold]
    pub(super) fn make_room(
        &self,
        account: &Account,
        full: &Budget,
        bytes: u64,
        attempts: u32,
        wakes: &mut WakeList,
    ) -> Result<(), Error> {
        /// Others may take the room that was made; they make progress, then.
        const MAX_ATTEMPTS: u32 = 16;
        let memory = &account.memory;
        let fits_at_all = bytes <= full.raw_limit();
        if memory.policy == MemoryPolicy::Retain
            && fits_at_all
            && attempts <= MAX_ATTEMPTS
            && memory.make_room(full, bytes, wakes)
        {
            return Ok(());
        }
        memory.on_refused();
        let code = match memory.policy {
            MemoryPolicy::Block | MemoryPolicy::Retain if fits_at_all => ErrorCode::KafkaStorageError,
            _ => ErrorCode::PolicyViolation,
        };
        let (used, limit) = (full.used(), full.raw_limit());
        let whose = if std::ptr::eq(full, &**account.topic()) { self.topic_partition.topic() } else { "the cluster" };
        let text = format!(
            "a batch of {bytes} bytes for {} does not fit: {whose} holds {used} of {limit} bytes",
            self.topic_partition
        );
        Err(Error::new(code, text).with_topic_partition(self.topic_partition.clone()))
    }

    /// Accounts for the log's size after a change. True if something was freed.
    #[inline]
    pub(super) fn settle(&self, partition: &mut Partition, now_ms: i64) -> bool {
        let Some(account) = &self.account else { return false };
        if let Some(bytes) = account.roll_at() {
            // Memory does not fail, and a store that does latches offline, which the next append reports.
            drop(partition.roll_beyond(bytes, now_ms));
        }
        let freed = account.settle(partition.size_in_bytes());
        if freed {
            // What does not count any more must not be held any longer, either.
            drop(partition.reclaim());
        }
        freed
    }

    pub(super) fn on_freed(&self, wakes: &mut WakeList) {
        if let Some(account) = &self.account {
            account.memory.on_freed(wakes);
        }
    }
}
