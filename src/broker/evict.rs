//! Room for a batch: the oldest segments go with [`MemoryPolicy::Retain`], else what retention does not keep.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::broker::memory::{Budget, Memory};
use crate::broker::{MemoryPolicy, PartitionHandle};
use crate::util::trace;
use crate::util::wake_list::WakeList;

impl Memory {
    /// How long retention is not asked again, unless something was appended or freed since.
    const RETENTION_PAUSE_MS: i64 = 1_000;

    /// Makes room for `bytes` in a budget, as the policy says. Call with no lock held. Returns whether they fit.
    pub(super) fn make_room(&self, budget: &Budget, bytes: u64, now_ms: i64, wakes: &mut WakeList) -> bool {
        // Others may have made room, or given back what they had only tried to take.
        if !budget.has_room(bytes) {
            match self.policy {
                MemoryPolicy::Retain => self.evict(budget, bytes, wakes),
                MemoryPolicy::Block | MemoryPolicy::Refuse => Self::retain(budget, now_ms, wakes),
            }
        }
        budget.has_room(bytes)
    }

    /// Applies retention to a budget's partitions: its own interval, five minutes by default, is longer than a producer
    /// waits.
    fn retain(budget: &Budget, now_ms: i64, wakes: &mut WakeList) {
        let used = budget.used();
        let is_in_vain = budget.after_retention.lock().is_some_and(|(then_used, then_ms)| {
            then_used == used && now_ms.saturating_sub(then_ms) < Self::RETENTION_PAUSE_MS
        });
        if is_in_vain {
            return;
        }
        for member in budget.living_members() {
            member.apply_retention_collecting(wakes);
        }
        *budget.after_retention.lock() = Some((budget.used(), now_ms));
    }

    /// Deletes the oldest segments of a budget's partitions until `bytes` fit. What goes is a little more, a 64th of the
    /// limit, because finding the oldest is a look at every partition.
    fn evict(&self, budget: &Budget, bytes: u64, wakes: &mut WakeList) {
        let evicting = self.evicting.lock();
        let members = budget.living_members();
        let mut oldest: BinaryHeap<_> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((Reverse(member.oldest_segment_ms()?), Reverse(index))))
            .collect();
        // Nothing, if others have made room while this one waited for the lock.
        let wanted = if budget.has_room(bytes) { 0 } else { bytes.max(budget.raw_limit() / Self::SEGMENTS) };
        let mut evicted = Vec::new();
        while !budget.has_room(wanted)
            && let Some((_, Reverse(index))) = oldest.pop()
        {
            let member: &Arc<PartitionHandle> = &members[index];
            let freed = member.evict_oldest_segment(wakes);
            self.evicted_bytes.fetch_add(freed, Ordering::Relaxed);
            if freed == 0 {
                continue;
            }
            evicted.push((member, freed));
            if let Some(age) = member.oldest_segment_ms() {
                oldest.push((Reverse(age), Reverse(index)));
            }
        }
        // Who listens to events may append.
        drop(evicting);
        for (member, freed) in evicted {
            trace::event!(
                WARN,
                "memory limit evicted a segment",
                topic = member.topic_partition().topic(),
                partition = member.topic_partition().partition(),
                bytes = freed,
                log_start = member.offsets().log_start()
            );
        }
    }
}

impl Budget {
    fn living_members(&self) -> Vec<Arc<PartitionHandle>> {
        let mut members = self.members.lock();
        members.retain(|member| member.strong_count() > 0);
        members.iter().filter_map(Weak::upgrade).collect()
    }
}
