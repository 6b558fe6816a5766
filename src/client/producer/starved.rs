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
    /// At most one entry a slot.
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
        let oldest = self.slots.lock().iter().map(|(_, version)| *version).min();
        match oldest {
            Some(version) => self.memory.space_freed(version).await,
            None => pending().await,
        }
    }

    /// Takes the slots for which something was freed.
    pub(super) fn take_fed(&self) -> Vec<Arc<Slot>> {
        let version = self.memory.space_version();
        let mut slots = self.slots.lock();
        slots.extract_if(.., |(_, starved_at)| *starved_at != version).map(|(slot, _)| slot).collect()
    }
}
