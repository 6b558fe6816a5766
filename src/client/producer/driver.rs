//! [`Driver`]: the producer's one background task, for lingers, retries and expiry.
//!
//! Senders do the work themselves whenever they can; the driver sleeps until the earliest deadline that somebody asked
//! for. In a steady stream it wakes once a linger, not once a batch: a deadline later than the one it sleeps for costs a
//! load and a comparison. With nothing underway it sleeps until it is notified.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::producer::acks::await_acks;
use crate::client::producer::dues::NEVER;
use crate::client::producer::shared::Shared;
use crate::client::producer::slot::Slot;
use crate::client::producer::starved::Starved;
use crate::cluster::Memory;
use crate::util::race::race;

/// What senders tell the background task.
#[derive(Debug)]
pub(super) struct Driver {
    origin: Instant,
    /// The earliest deadline, in ns since `origin`.
    wake_at: AtomicU64,
    notify: Notify,
    /// Slots that need a task to wait for acknowledgements.
    unacknowledged: Mutex<Vec<Arc<Slot>>>,
    starved: Starved,
    stopped: AtomicBool,
}

impl Driver {
    pub(super) fn new(now: Instant, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            origin: now,
            wake_at: AtomicU64::new(NEVER),
            notify: Notify::new(),
            unacknowledged: Mutex::default(),
            starved: Starved::new(memory),
            stopped: AtomicBool::new(false),
        })
    }

    /// A time as the slots' [`Dues`](crate::client::producer::dues::Dues) have it: ns since the driver's origin.
    #[inline]
    pub(super) fn due(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.origin).as_nanos() as u64
    }

    /// Looks for slots that are due at this time, or earlier. The slot that this is for has noted it.
    #[inline]
    pub(super) fn request(&self, deadline: u64) {
        // Either the driver sees what the slot has noted, or it is seen here that the driver has begun to look.
        fence(Ordering::SeqCst);
        if deadline < self.wake_at.load(Ordering::Relaxed)
            && deadline < self.wake_at.fetch_min(deadline, Ordering::AcqRel)
        {
            self.notify.notify_one();
        }
    }

    /// Starts a task that waits for the acknowledgement of what this slot has in flight.
    pub(super) fn await_acks(&self, slot: &Arc<Slot>) {
        self.unacknowledged.lock().push(Arc::clone(slot));
        self.notify.notify_one();
    }

    /// Sends what this slot has put off as soon as memory is freed: since `space_version`, which was noted before the
    /// attempt that found none.
    pub(super) fn await_space(&self, slot: &Arc<Slot>, space_version: u64) {
        self.starved.push(slot, space_version);
        self.notify.notify_one();
    }

    /// Ends the background task, and the tasks that wait for acknowledgements with it.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// The background task. It keeps the producer alive only while it works.
    pub(super) async fn run(self: Arc<Self>, producer: Weak<Shared>) {
        let mut tasks = JoinSet::new();
        loop {
            let called = race(self.notify.notified(), self.starved.wait());
            match self.wake_at.load(Ordering::Acquire) {
                NEVER => {
                    called.await;
                }
                wake_at => {
                    race(called, sleep_until(self.instant(wake_at))).await;
                }
            }
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            for slot in std::mem::take(&mut *self.unacknowledged.lock()) {
                tasks.spawn(await_acks(producer.clone(), slot));
            }
            while tasks.try_join_next().is_some() {}
            let Some(shared) = producer.upgrade() else { return };
            let now = shared.now();
            for slot in self.starved.take_fed() {
                shared.send_again(&slot);
            }
            if self.instant(self.wake_at.load(Ordering::Acquire)) <= now {
                // Whoever asked before has noted it, which is seen now, and whoever asks later counts.
                self.wake_at.swap(NEVER, Ordering::AcqRel);
                fence(Ordering::SeqCst);
                shared.send_due(now);
            }
        }
    }

    fn instant(&self, ns: u64) -> Instant {
        /// Deadlines are far below it, and instants do not overflow at it.
        const CENTURY_NS: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;
        self.origin + std::time::Duration::from_nanos(ns.min(CENTURY_NS))
    }
}

impl Shared {
    /// Sends what was put off, without waiting for the end of the backoff.
    fn send_again(&self, slot: &Arc<Slot>) {
        slot.lock().blocked_until = None;
        self.drain(slot);
    }

    /// Sends batches whose linger or backoff is over, fails those that have expired, and asks for the next deadline.
    fn send_due(&self, now: Instant) {
        let later = self.topics.visit_due(self.driver.due(now), |slot| {
            let mut state = slot.lock();
            if state.draining {
                // That thread notes what it leaves behind, and asks for it.
                return;
            }
            let lingered = state.open.as_ref().is_some_and(|open| open.created + self.settings.linger <= now);
            if lingered && !state.is_blocked(now) {
                slot.close_open(&mut state, false, self.settings.batch_size);
            }
            drop(state);
            self.drain(slot);
        });
        if later != NEVER {
            self.driver.request(later);
        }
    }
}
