//! [`WakeList`]: wakers found under a lock, fired after it is released.

use std::task::Waker;

/// Collects wakers while a lock is held; [`WakeList::wake_all`] fires them once it is not.
///
/// The first few stay inline, because one waiting consumer is the common case and appends are hot.
#[derive(Debug, Default)]
#[must_use = "wakers that are not fired leave their tasks asleep"]
pub(crate) struct WakeList {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl WakeList {
    pub(crate) const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    /// Wakes every collected task. Call with no lock held.
    pub(crate) fn wake_all(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.rest {
            waker.wake();
        }
    }
}
