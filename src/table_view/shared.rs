//! [`Shared`]: the entries, and how far they reach.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};

use crate::error::Error;
use crate::table_view::Change;
use crate::types::Offset;

/// What the handles of a table and its task share.
#[derive(Debug)]
pub(super) struct Shared<K, V> {
    pub(super) topic: Arc<str>,
    pub(super) entries: RwLock<HashMap<K, Arc<V>>>,
    pub(super) progress: watch::Sender<Progress>,
    /// The task has the sender itself, so that subscriptions end with it.
    pub(super) changes: broadcast::WeakSender<Change<K, V>>,
}

/// How far a table has got.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// For each partition the offset that is read next.
    pub(super) positions: Vec<Offset>,
    pub(super) skipped: u64,
    pub(super) dead_lettered: u64,
    /// Why it does not go on.
    pub(super) failure: Option<Error>,
}

impl Progress {
    /// Whether everything below these offsets, one a partition, has been applied.
    pub(super) fn reaches(&self, ends: &[Offset]) -> bool {
        self.positions.len() >= ends.len() && self.positions.iter().zip(ends).all(|(position, end)| position >= end)
    }
}

impl<K: Hash + Eq, V> Shared<K, V> {
    /// Applies one poll's records; a record without key belongs to no entry. Returns what to tell the subscribers of
    /// `changes`: nothing, if there are none.
    ///
    /// Whether there are any is asked under the lock, and subscriptions are made under it. So whoever subscribed before a
    /// change was made is told of it, and whoever does so later sees it in the table.
    pub(super) fn apply(
        &self,
        records: impl Iterator<Item = (Option<K>, Option<Arc<V>>)>,
        changes: &broadcast::Sender<Change<K, V>>,
    ) -> Vec<Change<K, V>>
    where
        K: Clone,
    {
        let (mut replaced, mut told) = (Vec::new(), Vec::new());
        let mut entries = self.entries.write();
        let has_subscribers = changes.receiver_count() > 0;
        for (key, value) in records {
            let Some(key) = key else {
                replaced.push(value);
                continue;
            };
            if has_subscribers {
                told.push(match &value {
                    Some(value) => Change::Put(key.clone(), Arc::clone(value)),
                    None => Change::Removed(key.clone()),
                });
            }
            replaced.push(match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            });
        }
        drop(entries);
        // Only now: values are dropped by anybody's code.
        drop(replaced);
        told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::table_view::Changes;

    type Table = Shared<u32, u32>;

    fn table() -> (Arc<Table>, broadcast::Sender<Change<u32, u32>>) {
        let (changes, _) = broadcast::channel(8);
        let shared = Shared {
            topic: "t".into(),
            entries: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
            changes: changes.downgrade(),
        };
        (Arc::new(shared), changes)
    }

    /// A subscriber that came, and took its snapshot, when the updater had found that there was none, and before it had
    /// changed the table, never heard of the change.
    #[test]
    fn who_subscribes_before_a_change_is_made_is_told_of_it() {
        let (shared, changes) = table();
        let snapshot = shared.entries.read();
        let updater = {
            let (shared, changes) = (Arc::clone(&shared), changes.clone());
            thread::spawn(move || shared.apply([(Some(1), Some(Arc::new(2)))].into_iter(), &changes))
        };
        // A writer that waits lets no reader in.
        while shared.entries.try_read().is_some() {
            thread::yield_now();
        }
        // What `Changes::new` does, which has the lock, as here.
        let _subscriber = changes.subscribe();
        assert!(snapshot.is_empty());
        drop(snapshot);
        assert_eq!(updater.join().unwrap(), [Change::Put(1, Arc::new(2))]);
    }

    #[test]
    fn nobody_subscribes_while_changes_are_made() {
        let (shared, changes) = table();
        let entries = shared.entries.write();
        let start = Arc::new(Barrier::new(2));
        let subscriber = {
            let (shared, start) = (Arc::clone(&shared), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                Changes::new(shared)
            })
        };
        start.wait();
        // It would have subscribed by then, on most machines.
        for _ in 0..1000 {
            thread::yield_now();
            assert_eq!(changes.receiver_count(), 0);
        }
        drop(entries);
        drop(subscriber.join().unwrap());
    }
}
