//! [`Pending`]: the requests that wait for a reply.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::client::consumer::OwnedConsumerRecord;
use crate::error::{Error, Result};

/// Correlation ids, whom they belong to, and what else arrived.
///
/// An id is 16 bytes: eight that tell requesters apart, and a number that is never used twice.
#[derive(Debug)]
pub(super) struct Pending {
    requester: u64,
    state: Mutex<State>,
    late: AtomicU64,
    foreign: AtomicU64,
}

/// Bounded by the requests in flight.
#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<OwnedConsumerRecord>>,
    /// Why no reply comes any more.
    failure: Option<Error>,
}

impl Pending {
    pub(super) fn new(requester: u64) -> Self {
        Self { requester, state: Mutex::default(), late: AtomicU64::new(0), foreign: AtomicU64::new(0) }
    }

    /// Makes room for a reply, until what is returned is dropped.
    pub(super) fn expect_reply(&self) -> Result<Expected<'_>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, sender);
        Ok(Expected { pending: self, number, receiver })
    }

    /// Hands a reply to whoever waits for it.
    pub(super) fn complete(&self, correlation_id: Option<&[u8]>, reply: OwnedConsumerRecord) {
        let number = correlation_id
            .and_then(|id| id.strip_prefix(&self.requester.to_be_bytes()))
            .and_then(|number| number.try_into().ok())
            .map(u64::from_be_bytes);
        let Some(number) = number else {
            self.foreign.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let sender = self.state.lock().waiting.remove(&number);
        // Nobody waits, or stopped waiting at this moment.
        if sender.is_none_or(|sender| sender.send(reply).is_err()) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Fails what waits, and what comes after it.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        state.failure.get_or_insert(error);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    pub(super) fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

/// A reply to come.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pending: &'a Pending,
    number: u64,
    receiver: oneshot::Receiver<OwnedConsumerRecord>,
}

impl Expected<'_> {
    pub(super) fn correlation_id(&self) -> [u8; 16] {
        (u128::from(self.pending.requester) << 64 | u128::from(self.number)).to_be_bytes()
    }

    pub(super) async fn reply(&mut self) -> Result<OwnedConsumerRecord> {
        match (&mut self.receiver).await {
            Ok(reply) => Ok(reply),
            Err(_) => {
                let failure = self.pending.state.lock().failure.clone();
                Err(failure.unwrap_or_else(|| Error::closed("the requester")))
            }
        }
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        // Dropped without the lock: a sender wakes whom it belongs to.
        let sender = self.pending.state.lock().waiting.remove(&self.number);
        drop(sender);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};

    use super::*;

    /// Notes whether the lock was free whenever it was woken.
    struct Looks(Arc<Pending>, Mutex<Vec<bool>>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0.state.try_lock().is_some());
        }
    }

    #[test]
    fn giving_up_wakes_without_the_lock() {
        let pending = Arc::new(Pending::new(1));
        let looks = Arc::new(Looks(Arc::clone(&pending), Mutex::default()));
        let mut expected = pending.expect_reply().unwrap();
        let waker = Waker::from(Arc::clone(&looks));
        assert!(pin!(expected.reply()).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(expected);
        assert_eq!(*looks.1.lock(), [true]);
        assert_eq!(pending.in_flight(), 0);
    }
}
