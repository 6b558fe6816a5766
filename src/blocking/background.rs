//! [`Background`]: the thread that turns the timers.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use crate::blocking::block_on::block_on;

const THREAD_NAME: &str = "brokerless";

/// The one of this process, while anybody holds it.
static CURRENT: Mutex<Weak<Background>> = Mutex::new(Weak::new());

thread_local! {
    /// Whether this thread is inside of [`Background::block_on`].
    static WAITING: Cell<bool> = const { Cell::new(false) };
}

/// A thread that runs the timers and background tasks of blocking clusters. Ends with its last holder.
#[derive(Debug)]
pub(super) struct Background {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// The process's background thread, started if there is none.
    ///
    /// # Panics
    /// If the operating system starts no thread.
    pub(super) fn shared() -> Arc<Self> {
        let mut current = CURRENT.lock();
        current.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *current = Arc::downgrade(&started);
            started
        })
    }

    fn start() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O asks nothing of the operating system");
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let run = move || {
            // The sender goes with the last holder, with or without a word.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(run)
            .expect("the operating system starts a thread for timers");
        Self { runtime: handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Runs a client's future on the calling thread, with this thread's timers.
    ///
    /// A listener or an interceptor, called on a plain thread within such a wait, may wait in its turn: tokio refuses
    /// that, for it cannot know that the thread has no tasks to run.
    ///
    /// # Panics
    /// Where it would keep tasks from running: on a thread that is running a runtime's tasks, and on this one, which turns
    /// the timers.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            !self.is_current(),
            "Cannot wait on the thread {THREAD_NAME}, which turns the timers of all blocking clients: what is called back \
             there may send, but not block"
        );
        if WAITING.get() {
            return self.enter(|| block_on(future));
        }
        let _waiting = Waiting::begin();
        self.runtime.block_on(future)
    }

    /// The same for a future that hardly ever waits: unless it does, it may run on any thread.
    pub(super) fn poll_or_block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        // A task that has used up its budget is not asked to wait here.
        let first_look = pin!(unconstrained(future.as_mut()));
        match self.enter(|| first_look.poll(&mut Context::from_waker(Waker::noop()))) {
            Poll::Ready(output) => output,
            Poll::Pending => self.block_on(future),
        }
    }

    fn is_current(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id())
    }

    /// Runs something that may start background tasks.
    pub(super) fn enter<T>(&self, action: impl FnOnce() -> T) -> T {
        let _context = self.runtime.enter();
        action()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A callback on the thread itself may hold the last handle.
        if !self.is_current()
            && let Some(thread) = self.thread.take()
        {
            // It panics only if a task does, and tokio has caught and reported that.
            let _ = thread.join();
        }
    }
}

/// A wait of this thread, over when this is dropped, in a panic, too.
struct Waiting(());

impl Waiting {
    fn begin() -> Self {
        WAITING.set(true);
        Self(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(false);
    }
}
