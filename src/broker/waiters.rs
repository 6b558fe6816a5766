//! [`Waiters`]: readers parked on a partition, and how an append finds out that there are none.

use std::sync::Arc;
use std::task::Waker;

use crate::util::sync::Mutex;
use crate::util::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::util::wake_list::WakeList;

/// A parked reader. One per consumer, registered with every partition that it waits for.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiter {
    waker: Mutex<Option<Waker>>,
}

impl FetchWaiter {
    /// Remembers whom to wake; registering again replaces the earlier waker.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Takes the waker, if the reader is parked.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().take()
    }

    /// Wakes the reader, if it is parked.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }
}

/// The readers parked on one partition.
///
/// A reader does *check, register, check again*; a writer does *publish, look for waiters*. Both put a sequentially
/// consistent fence between their two steps, so at least one of them sees the other.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    parked: Mutex<Vec<Arc<FetchWaiter>>>,
    count: AtomicUsize,
}

impl Waiters {
    /// Adds a reader, unless it is registered already. Check the offsets again afterwards.
    pub(crate) fn register(&self, waiter: &Arc<FetchWaiter>) {
        let mut parked = self.parked.lock();
        if !parked.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            parked.push(Arc::clone(waiter));
            self.count.store(parked.len(), Ordering::Relaxed);
        }
        drop(parked);
        fence(Ordering::SeqCst);
    }

    /// Removes a reader that gave up waiting.
    pub(crate) fn unregister(&self, waiter: &Arc<FetchWaiter>) {
        let mut parked = self.parked.lock();
        parked.retain(|other| !Arc::ptr_eq(other, waiter));
        self.count.store(parked.len(), Ordering::Relaxed);
    }

    /// A reader of its own for one wait.
    pub(crate) fn parked(&self) -> Parked<'_> {
        Parked { waiters: self, waiter: Arc::new(FetchWaiter::default()) }
    }

    /// How many readers are parked.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.parked.lock().len()
    }

    /// Takes every parked reader's waker; call after publishing. The common case, nobody parked, costs a fence.
    #[inline]
    pub(crate) fn drain(&self, wakes: &mut WakeList) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) != 0 {
            self.drain_parked(wakes);
        }
    }

    #[cold]
    fn drain_parked(&self, wakes: &mut WakeList) {
        let mut parked = self.parked.lock();
        self.count.store(0, Ordering::Relaxed);
        for waiter in parked.drain(..) {
            if let Some(waker) = waiter.take_waker() {
                wakes.push(waker);
            }
        }
    }
}

/// A wait that may be given up at any time, as futures are: it is not registered any more once this is dropped.
#[derive(Debug)]
pub(crate) struct Parked<'a> {
    waiters: &'a Waiters,
    waiter: Arc<FetchWaiter>,
}

impl Parked<'_> {
    /// Parks, or stays parked. Check again afterwards.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waiter.set_waker(waker);
        self.waiters.register(&self.waiter);
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.waiters.unregister(&self.waiter);
    }
}

#[cfg(all(test, not(brokerless_loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_registered_waiter_is_woken_once() {
        let counter = Arc::new(Counter::default());
        let waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiter.set_waker(&counter.clone().into());
        waiters.register(&waiter);
        waiters.register(&waiter);
        for _ in 0..2 {
            let mut wakes = WakeList::new();
            waiters.drain(&mut wakes);
            wakes.wake_all();
        }
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_unregistered_waiter_sleeps_on() {
        let counter = Arc::new(Counter::default());
        let waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiter.set_waker(&counter.clone().into());
        waiters.register(&waiter);
        waiters.unregister(&waiter);
        let mut wakes = WakeList::new();
        waiters.drain(&mut wakes);
        wakes.wake_all();
        assert_eq!(counter.0.load(Ordering::SeqCst), 0);
    }
}

#[cfg(all(test, brokerless_loom))]
mod loom_tests;
