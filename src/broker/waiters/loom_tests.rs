//! A writer that publishes and drains, and readers that check, register and check again: every interleaving of two
//! threads, and of three every one with up to three preemptions (`LOOM_MAX_PREEMPTIONS` for more).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool as PlainBool, Ordering::Relaxed};
use std::task::{Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use super::*;
use crate::broker::PublishedOffsets;

/// Parks a thread of the model until it is woken. A waker that is lost leaves the model in a deadlock, which loom reports.
struct Parker {
    notify: Notify,
    woken: PlainBool,
}

impl Parker {
    fn new() -> Arc<Self> {
        Arc::new(Self { notify: Notify::new(), woken: PlainBool::new(false) })
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Relaxed);
        self.notify.notify();
    }
}

fn model_of_three(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(run);
}

fn drain(waiters: &Waiters) {
    let mut wakes = WakeList::new();
    waiters.drain(&mut wakes);
    wakes.wake_all();
}

/// What a consumer's poll and an acknowledgement's wait do: check, register, check again, park.
fn wait_until(waiters: &Waiters, is_ready: impl Fn() -> bool) {
    let waiter = Arc::new(FetchWaiter::default());
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    while !is_ready() {
        waiter.set_waker(&waker);
        waiters.register(&waiter);
        if is_ready() {
            break;
        }
        parker.notify.wait();
    }
    waiters.unregister(&waiter);
}

#[test]
fn loom_no_wake_up_is_lost() {
    loom::model(|| {
        let shared = Arc::new((PublishedOffsets::default(), Waiters::default()));
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (offsets, waiters) = &*shared;
                for end in 1..=2 {
                    offsets.store(0, end, end, end);
                    drain(waiters);
                }
            }
        });
        let (offsets, waiters) = &*shared;
        wait_until(waiters, || offsets.high_watermark() >= 2);
        writer.join().unwrap();
    });
}

#[test]
fn loom_every_reader_is_woken() {
    model_of_three(|| {
        let shared = Arc::new((PublishedOffsets::default(), Waiters::default()));
        let reader = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (offsets, waiters) = &*shared;
                wait_until(waiters, || offsets.log_start() >= 1);
            }
        });
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (offsets, waiters) = &*shared;
                offsets.store(1, 1, 1, 1);
                drain(waiters);
            }
        });
        let (offsets, waiters) = &*shared;
        wait_until(waiters, || offsets.high_watermark() >= 1);
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// A reader that gives up takes nobody else's wake-up with it, and is not woken once it is gone.
#[test]
fn loom_giving_up_disturbs_nobody() {
    model_of_three(|| {
        let shared = Arc::new((PublishedOffsets::default(), Waiters::default()));
        let quitter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let waiter = Arc::new(FetchWaiter::default());
                waiter.set_waker(&Waker::from(Parker::new()));
                shared.1.register(&waiter);
                shared.1.unregister(&waiter);
            }
        });
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.0.store(0, 1, 1, 1);
                drain(&shared.1);
            }
        });
        let (offsets, waiters) = &*shared;
        wait_until(waiters, || offsets.high_watermark() >= 1);
        quitter.join().unwrap();
        writer.join().unwrap();
        assert!(waiters.parked.lock().is_empty());
        assert_eq!(waiters.count.load(Ordering::Relaxed), 0);
    });
}

/// Two partitions, one waiter in both, as a consumer has it: whichever moves wakes it.
#[test]
fn loom_one_waiter_in_two_lists() {
    loom::model(|| {
        let shared = Arc::new([0, 1].map(|_| (PublishedOffsets::default(), Waiters::default())));
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (offsets, waiters) = &shared[1];
                offsets.store(0, 1, 1, 1);
                drain(waiters);
            }
        });
        let waiter = Arc::new(FetchWaiter::default());
        let parker = Parker::new();
        let waker = Waker::from(Arc::clone(&parker));
        let is_ready = || shared.iter().any(|(offsets, _)| offsets.high_watermark() >= 1);
        while !is_ready() {
            waiter.set_waker(&waker);
            for (_, waiters) in &*shared {
                waiters.register(&waiter);
            }
            if is_ready() {
                break;
            }
            parker.notify.wait();
        }
        writer.join().unwrap();
    });
}

/// A consumer that stays registered where nothing moved: it looks only at what was made ready, and at what it registers
/// with anew, and misses nothing.
#[test]
fn loom_a_reader_stays_registered_between_waits() {
    loom::model(|| {
        let shared = Arc::new([0, 1].map(|_| (PublishedOffsets::default(), Waiters::default())));
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for (offsets, waiters) in &*shared {
                    offsets.store(0, 1, 1, 1);
                    drain(waiters);
                }
            }
        });
        let waiter = Arc::new(FetchWaiter::default());
        let parker = Parker::new();
        let waker = Waker::from(Arc::clone(&parker));
        let (mut hot, mut seen) = (vec![0, 1], [false; 2]);
        while seen != [true; 2] {
            hot.extend(waiter.take_ready().iter().map(|token| token.index as usize));
            for index in std::mem::take(&mut hot) {
                seen[index] |= shared[index].0.high_watermark() >= 1;
                if !seen[index] {
                    waiter.set_waker(&waker);
                    shared[index].1.register_as(&waiter, Token { epoch: 0, index: index as u32 });
                    if shared[index].0.high_watermark() >= 1 {
                        // It is registered still, and will be told again.
                        seen[index] = true;
                    }
                }
            }
            waiter.set_waker(&waker);
            if seen != [true; 2] && !waiter.has_ready() {
                parker.notify.wait();
            }
        }
        writer.join().unwrap();
    });
}
