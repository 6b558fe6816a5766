//! [`Answer`]: a coordinator's answer that a consumer keeps until it has come.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;

/// A boxed future that its owner keeps and polls.
///
/// The mutex is never locked: it makes a consumer that holds answers `Sync`, whose shared references cannot reach them.
pub(super) struct Answer<T>(Mutex<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Answer<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(future)))
    }

    /// One that is there.
    pub(super) fn ready(value: T) -> Self {
        Self::new(std::future::ready(value))
    }
}

impl<T> Answer<T> {
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.0.get_mut().as_mut().poll(cx)
    }
}

impl<T> Future for Answer<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.poll_answer(cx)
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
