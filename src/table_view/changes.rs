//! [`Changes`]: a table's changes as they happen.

use std::fmt;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::{Error, Result};
use crate::table_view::shared::Shared;

/// How many changes are kept for a subscriber that falls behind.
pub(super) const KEPT_CHANGES: usize = 1024;

/// What happened to one entry of a table.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<K, V> {
    /// The key has this value now.
    Put(K, Arc<V>),
    /// The key has no value any more.
    Removed(K),
    /// The subscriber was too slow, and so many changes passed it by: look at the table itself.
    Missed(u64),
}

// By hand: the value itself need not be `Clone`.
impl<K: Clone, V> Clone for Change<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Put(key, value) => Self::Put(key.clone(), Arc::clone(value)),
            Self::Removed(key) => Self::Removed(key.clone()),
            Self::Missed(missed) => Self::Missed(*missed),
        }
    }
}

/// The changes of a table from the subscription on: see [`TableView::changes`](crate::TableView::changes).
///
/// ```
/// use brokerless::TableView;
/// use brokerless::table::Change;
///
/// async fn mirror(table: &TableView<String, i64>, sum: &mut i64) -> brokerless::Result<()> {
///     let mut changes = table.changes();
///     loop {
///         match changes.next().await? {
///             Change::Put(key, value) => println!("{key} is {value} now"),
///             Change::Removed(key) => println!("{key} is gone"),
///             // Too slow, or something newer than this code: the table itself is always right.
///             _ => println!("{} entries", table.len()),
///         }
///         *sum = table.snapshot().values().map(|value| **value).sum();
///     }
/// }
/// ```
pub struct Changes<K, V> {
    shared: Arc<Shared<K, V>>,
    receiver: Option<broadcast::Receiver<Change<K, V>>>,
}

impl<K: Clone, V> Changes<K, V> {
    pub(super) fn new(shared: Arc<Shared<K, V>>) -> Self {
        let sender = shared.changes.upgrade();
        let receiver = sender.as_ref().map(|sender| {
            // Not between the updater's look for subscribers and its changes.
            let _unchanged = shared.entries.read();
            sender.subscribe()
        });
        Self { shared, receiver }
    }

    /// The next change, once the table shows it. A partition's changes come in order.
    ///
    /// # Errors
    /// What ended the table: see [`TableView::failure`](crate::TableView::failure). Closed, if it was dropped.
    pub async fn next(&mut self) -> Result<Change<K, V>> {
        if let Some(receiver) = &mut self.receiver {
            match receiver.recv().await {
                Ok(change) => return Ok(change),
                Err(RecvError::Lagged(missed)) => return Ok(Change::Missed(missed)),
                Err(RecvError::Closed) => self.receiver = None,
            }
        }
        let failure = self.shared.progress.borrow().failure.clone();
        Err(failure.unwrap_or_else(|| Error::closed("the table view")))
    }
}

impl<K, V> fmt::Debug for Changes<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("topic", &self.shared.topic).finish_non_exhaustive()
    }
}
