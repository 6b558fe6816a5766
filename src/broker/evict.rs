//! [`MemoryPolicy::Retain`](crate::broker::MemoryPolicy::Retain): the oldest segments make room.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::broker::PartitionHandle;
use crate::broker::memory::{Budget, Memory};
use crate::util::trace;
use crate::util::wake_list::WakeList;

impl Memory {
    /// Deletes the oldest segments of a budget's partitions until `bytes` fit. What goes is a little more, a 64th of the
    /// limit, because finding the oldest is a look at every partition. Call with no lock held. Returns whether they fit.
    pub(super) fn make_room(&self, budget: &Budget, bytes: u64, wakes: &mut WakeList) -> bool {
        let evicting = self.evicting.lock();
        if budget.has_room(bytes) {
            return true;
        }
        let members = {
            let mut members = budget.members.lock();
            members.retain(|member| member.strong_count() > 0);
            members.clone()
        };
        let members: Vec<_> = members.iter().filter_map(Weak::upgrade).collect();
        let mut oldest: BinaryHeap<_> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((Reverse(member.oldest_segment_ms()?), Reverse(index))))
            .collect();
        let wanted = bytes.max(budget.raw_limit() / Self::RETAINED_SEGMENTS);
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
        let has_room = budget.has_room(bytes);
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
        has_room
    }
}
