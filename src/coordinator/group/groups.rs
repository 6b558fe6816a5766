//! [`Groups`]: the groups of one shard, counted together with those of all others.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::classic::ClassicGroup;

/// How many groups a cluster has, over all of its shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupCount(Arc<AtomicUsize>);

impl GroupCount {
    /// Nothing is reserved by asking: shards that ask at the same time may each add one.
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The groups of one shard by id: all that have had members or committed offsets, and have neither been deleted nor
/// expired since.
#[derive(Debug)]
pub(super) struct Groups {
    by_id: BTreeMap<Arc<str>, ClassicGroup>,
    count: GroupCount,
}

impl Groups {
    pub(super) fn new(count: GroupCount) -> Self {
        Self { by_id: BTreeMap::new(), count }
    }

    /// Adds a group whose id is not there yet.
    pub(super) fn add(&mut self, group: ClassicGroup) {
        let previous = self.by_id.insert(group.id().clone(), group);
        assert!(previous.is_none(), "a group was there already: {previous:?}");
        self.count.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&mut self, group_id: &str) -> Option<ClassicGroup> {
        let removed = self.by_id.remove(group_id)?;
        self.count.0.fetch_sub(1, Ordering::Relaxed);
        Some(removed)
    }

    pub(super) fn get_mut(&mut self, group_id: &str) -> Option<&mut ClassicGroup> {
        self.by_id.get_mut(group_id)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut ClassicGroup> {
        self.by_id.values_mut()
    }

    /// Whether there are as many groups, in all shards, as there may be.
    pub(super) fn is_full(&self, max_groups: usize) -> bool {
        self.count.get() >= max_groups
    }
}

impl Deref for Groups {
    type Target = BTreeMap<Arc<str>, ClassicGroup>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.count.0.fetch_sub(self.by_id.len(), Ordering::Relaxed);
    }
}
