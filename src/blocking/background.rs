//! [`Background`]: the thread that turns the timers.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

const THREAD_NAME: &str = "brokerless";

/// The one of this process, while anybody holds it.
static CURRENT: Mutex<Weak<Background>> = Mutex::new(Weak::new());

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

    /// Runs a client's future on the calling thread, with this thread's timers. Panics where blocking is out of the
    /// question: on a thread that is running another runtime's tasks.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
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
        if let Some(thread) = self.thread.take()
            // A callback on the thread itself may hold the last handle.
            && thread.thread().id() != thread::current().id()
        {
            // It panics only if a task does, and tokio has caught and reported that.
            let _ = thread.join();
        }
    }
}
