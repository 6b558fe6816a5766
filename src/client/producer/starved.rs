//! [`Starved`]: slots whose batches found no room in the cluster's memory, and are sent again as soon as there is some.
//!
//! Each is noted with the space version from before its attempt: what was freed since counts, however late the driver
//! comes to look.

use std::future::pending;
use std::sync::Arc;

use crate::client::producer::slot::Slot;
use crate::cluster::Memory;
use crate::util::sync::Mutex;

#[derive(Debug)]
pub(super) struct Starved {
    memory: Arc<Memory>,
    /// At most one entry a slot. Its lock comes after a slot's.
    slots: Mutex<Vec<(Arc<Slot>, u64)>>,
}

impl Starved {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, slots: Mutex::new(Vec::new()) }
    }

    pub(super) fn push(&self, slot: &Arc<Slot>, space_version: u64) {
        let mut slots = self.slots.lock();
        match slots.iter_mut().find(|(other, _)| Arc::ptr_eq(other, slot)) {
            Some((_, version)) => *version = space_version,
            None => slots.push((Arc::clone(slot), space_version)),
        }
    }

    /// Resolves once memory was freed that one of the slots may want; never if there are none.
    pub(super) async fn wait(&self) {
        self.let_go();
        let oldest = self.slots.lock().iter().map(|(_, version)| *version).min();
        match oldest {
            Some(version) => self.memory.space_freed(version).await,
            None => pending().await,
        }
    }

    /// Forgets the slots that have nothing to send any more: a retry went through, or they expired.
    fn let_go(&self) {
        let starved: Vec<_> = self.slots.lock().iter().map(|(slot, _)| Arc::clone(slot)).collect();
        for slot in starved {
            let state = slot.lock();
            // Whoever puts a batch back does both under the slot's lock, so no other entry is lost.
            if state.ready.is_empty() {
                self.slots.lock().retain(|(other, _)| !Arc::ptr_eq(other, &slot));
            }
        }
    }

    /// Takes the slots for which something was freed.
    pub(super) fn take_fed(&self) -> Vec<Arc<Slot>> {
        let version = self.memory.space_version();
        let mut slots = self.slots.lock();
        slots.extract_if(.., |(_, starved_at)| *starved_at != version).map(|(slot, _)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Cluster, MemoryPolicy, NewTopic, ProducerConfig, ProducerRecord};

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_waited_for_only_while_it_has_something_to_send() {
        let cluster =
            Cluster::builder().memory_limit(1 << 20).memory_policy(MemoryPolicy::Block).start().await.unwrap();
        cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
        let producer = cluster.producer(ProducerConfig::default().linger(Duration::from_secs(3_600))).unwrap();
        drop(producer.send(ProducerRecord::to("t").value("v")).await.unwrap());
        let slot = Arc::clone(producer.shared().topics.slots().next().unwrap());
        slot.close_open(&mut slot.lock(), false, usize::MAX);
        let memory = cluster.memory();
        let starved = Starved::new(Arc::clone(memory));
        starved.push(&slot, memory.space_version());
        // Each wake of the driver gives up the wait and begins another.
        for _ in 0..50 {
            assert!(futures::poll!(Box::pin(starved.wait())).is_pending());
            assert_eq!((starved.slots.lock().len(), memory.waiting()), (1, 0));
        }
        // A retry goes through.
        producer.flush().await.unwrap();
        assert!(slot.lock().ready.is_empty());
        assert!(futures::poll!(Box::pin(starved.wait())).is_pending());
        assert_eq!((starved.slots.lock().len(), memory.waiting()), (0, 0));
        assert_eq!(starved.take_fed().len(), 0);
    }
}
