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
    /// Applies one poll's records; a record without key belongs to no entry. What the new values replace is dropped after
    /// the lock is released: that may be anybody's code.
    pub(super) fn apply(&self, records: impl Iterator<Item = (Option<K>, Option<Arc<V>>)>) {
        let mut replaced = Vec::new();
        let mut entries = self.entries.write();
        for (key, value) in records {
            replaced.push(match (key, value) {
                (Some(key), Some(value)) => entries.insert(key, value),
                (Some(key), None) => entries.remove(&key),
                (None, _) => None,
            });
        }
        drop(entries);
    }
}
