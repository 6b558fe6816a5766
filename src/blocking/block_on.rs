//! [`block_on`]: runs a future that needs no runtime on the thread that calls.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

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

/// Polls the future on this thread until it is ready, parking in between. For futures that wait for other threads, but
/// not for time.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
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
