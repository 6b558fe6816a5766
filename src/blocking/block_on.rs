//! [`block_on`]: runs a future that needs no runtime on the thread that calls.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::task::coop::unconstrained;

/// Wakes one thread, once for each time that it parks.
#[derive(Debug)]
struct Parker {
    thread: Thread,
    notified: AtomicBool,
}

impl Parker {
    fn of_this_thread() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), notified: AtomicBool::new(false) })
    }

    fn park(&self) {
        while !self.notified.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.notified.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// The thread's parker while nobody uses it. A future that blocks on another one inside of its poll finds it gone
    /// and gets one of its own: with one for both, the inner wait would eat the outer one's wake-ups.
    static IDLE: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

/// Polls the future on this thread until it is ready, parking in between. Brings no timers: a future that waits for time
/// needs a runtime's context around it.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    // The budget of a task that this is called in does not come back before the task is polled again.
    let mut future = pin!(unconstrained(future));
    let parker = IDLE.take().unwrap_or_else(Parker::of_this_thread);
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    let output = loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => break output,
            Poll::Pending => parker.park(),
        }
    };
    IDLE.set(Some(parker));
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_from_other_threads_arrive() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || sender.send(7).unwrap());
        assert_eq!(block_on(receiver), Ok(7));
        other.join().unwrap();
    }

    /// A call within a wait used up the outer one's budget, was put off for want of one, and tried again for ever.
    #[test]
    fn a_wait_within_one_that_has_used_up_its_budget_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // As the blocking clients do it: unlike a runtime's own, it tries again at once.
        runtime.handle().block_on(async {
            for _ in 0..1000 {
                let mut polls = 0;
                block_on(std::future::poll_fn(|cx| {
                    polls += 1;
                    assert!(polls < 10, "there is no budget");
                    pin!(tokio::task::coop::consume_budget()).poll(cx)
                }));
            }
        });
    }

    #[test]
    fn a_nested_wait_leaves_the_outer_ones_wake_up_alone() {
        let mut polls = 0;
        let future = std::future::poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            // The outer wake comes first; the inner wait, woken on its own, must not use it up.
            cx.waker().wake_by_ref();
            let mut yielded = false;
            block_on(std::future::poll_fn(|inner| {
                inner.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
            }));
            Poll::Pending
        });
        block_on(future);
        assert_eq!(polls, 2);
    }
}
