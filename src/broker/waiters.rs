//! [`Waiters`]: readers parked on a partition, and how an append finds out that there are none.

use std::sync::Arc;
use std::task::Waker;

use crate::util::sync::Mutex;
use crate::util::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::util::wake_list::WakeList;

/// A reader that waits. One per consumer, registered with every partition that it waits for.
///
/// A reader of many partitions registers with a [`Token`] for each. It may stay registered while it does not wait: what
/// moved is in its list of ready tokens then, and it looks there before it waits. So neither waking nor waiting costs it
/// anything for partitions that stand still.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiter {
    state: Mutex<WaiterState>,
    /// Whether there are ready tokens: for a look without the lock.
    has_ready: AtomicBool,
}

#[derive(Debug, Default)]
struct WaiterState {
    /// While the reader is parked.
    waker: Option<Waker>,
    /// At most one for each registration.
    ready: Vec<Token>,
}

/// What a reader calls a partition, when it is told that it moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The assignment that `index` belongs to.
    pub(crate) epoch: u32,
    pub(crate) index: u32,
}

impl FetchWaiter {
    /// Remembers whom to wake; registering again replaces the earlier waker.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let slot = &mut self.state.lock().waker;
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Takes the waker, if the reader is parked.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.state.lock().waker.take()
    }

    /// Whether a partition moved that the reader was registered with under a token.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.has_ready.load(Ordering::Acquire)
    }

    /// Takes the tokens of the partitions that moved. Each has to be registered with again.
    pub(crate) fn take_ready(&self) -> Vec<Token> {
        let mut state = self.state.lock();
        self.has_ready.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.ready)
    }

    /// A partition moved. Returns the waker, if the reader is parked.
    fn notice(&self, token: Option<Token>) -> Option<Waker> {
        let mut state = self.state.lock();
        if let Some(token) = token {
            state.ready.push(token);
            self.has_ready.store(true, Ordering::Release);
        }
        state.waker.take()
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
    parked: Mutex<Vec<(Arc<FetchWaiter>, Option<Token>)>>,
    count: AtomicUsize,
}

impl Waiters {
    /// Adds a reader, unless it is registered already. Check the offsets again afterwards.
    pub(crate) fn register(&self, waiter: &Arc<FetchWaiter>) {
        let mut parked = self.parked.lock();
        if !parked.iter().any(|(other, _)| Arc::ptr_eq(other, waiter)) {
            parked.push((Arc::clone(waiter), None));
            self.count.store(parked.len(), Ordering::Relaxed);
        }
        drop(parked);
        fence(Ordering::SeqCst);
    }

    /// Adds a reader that is to be told under this token, and is not registered: nobody looks whether it is. Check the
    /// offsets again afterwards.
    pub(crate) fn register_as(&self, waiter: &Arc<FetchWaiter>, token: Token) {
        let mut parked = self.parked.lock();
        // Most partitions have one reader, and a cluster may have many partitions.
        if parked.capacity() == 0 {
            parked.reserve_exact(1);
        }
        parked.push((Arc::clone(waiter), Some(token)));
        self.count.store(parked.len(), Ordering::Relaxed);
        drop(parked);
        fence(Ordering::SeqCst);
    }

    /// Removes a reader that gave up waiting.
    pub(crate) fn unregister(&self, waiter: &Arc<FetchWaiter>) {
        let mut parked = self.parked.lock();
        parked.retain(|(other, _)| !Arc::ptr_eq(other, waiter));
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
        for (waiter, token) in parked.drain(..) {
            if let Some(waker) = waiter.notice(token) {
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
    fn what_moves_while_nobody_waits_is_ready_afterwards() {
        let waiters = [Waiters::default(), Waiters::default()];
        let waiter = Arc::new(FetchWaiter::default());
        let token = |index| Token { epoch: 7, index };
        waiters[0].register_as(&waiter, token(0));
        waiters[1].register_as(&waiter, token(1));
        assert!(!waiter.has_ready());
        for _ in 0..2 {
            let mut wakes = WakeList::new();
            waiters[1].drain(&mut wakes);
            wakes.wake_all();
        }
        assert!(waiter.has_ready());
        assert_eq!(waiter.take_ready(), [token(1)]);
        assert!(!waiter.has_ready());
        // The other one is still registered.
        let mut wakes = WakeList::new();
        waiters[0].drain(&mut wakes);
        assert_eq!(waiter.take_ready(), [token(0)]);
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
