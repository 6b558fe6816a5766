//! [`BufferMemory`]: the bound on what waits in a producer, Kafka's `buffer.memory`.

use tokio::sync::Semaphore;

use crate::client::producer::signal::Signal;

/// Counts the bytes of open and unacknowledged batches, by the capacity of their blocks. One permit is one byte.
///
/// Released bytes go to waiting senders first, in the order in which they came.
#[derive(Debug)]
pub(super) struct BufferMemory {
    available: Semaphore,
    total: usize,
    waiting: Signal,
}

impl BufferMemory {
    pub(super) fn new(total: usize) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        Self { available: Semaphore::new(total), total, waiting: Signal::default() }
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn available(&self) -> usize {
        self.available.available_permits()
    }

    /// Takes bytes that are there. The grant gives them back when dropped, unless a batch keeps them.
    #[inline]
    pub(super) fn try_acquire(&self, bytes: usize) -> Option<Grant<'_>> {
        let permit = self.available.try_acquire_many(u32::try_from(bytes).ok()?).ok()?;
        permit.forget();
        Some(Grant { memory: self, bytes })
    }

    /// Waits for bytes, however long that takes.
    pub(super) async fn acquire(&self, bytes: usize) -> Grant<'_> {
        let permits = u32::try_from(bytes).expect("a batch is smaller than 2 GiB");
        let permit = self.available.acquire_many(permits).await.expect("the semaphore is never closed");
        permit.forget();
        Grant { memory: self, bytes }
    }

    /// Announces a sender that is about to wait. Returns the announcement, and whether it is the only one.
    pub(super) fn announce_waiter(&self) -> (Waiting<'_>, bool) {
        let others = self.waiting.raise();
        (Waiting(self), others == 0)
    }

    /// Senders that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.raised()
    }

    /// Whether senders wait, so that nothing should linger.
    #[inline]
    pub(super) fn is_exhausted(&self) -> bool {
        self.waiting.raised() > 0
    }

    /// Gives back what a batch kept.
    pub(super) fn release(&self, bytes: usize) {
        self.available.add_permits(bytes);
    }
}

/// Bytes taken for a batch about to be opened.
#[derive(Debug)]
pub(super) struct Grant<'a> {
    memory: &'a BufferMemory,
    bytes: usize,
}

impl Grant<'_> {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the bytes until [`BufferMemory::release`].
    pub(super) fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.release(self.bytes);
        }
    }
}

/// A sender that waits for memory, or is about to.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a BufferMemory);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.lower();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_taken_kept_and_given_back() {
        let memory = BufferMemory::new(100);
        let kept = memory.try_acquire(60).unwrap().keep();
        assert!(memory.try_acquire(60).is_none());
        drop(memory.try_acquire(40).unwrap());
        assert_eq!(memory.available(), 40);
        let mut waiter = Box::pin(memory.acquire(60));
        assert!(futures::poll!(&mut waiter).is_pending());
        memory.release(kept);
        let grant = waiter.await;
        assert_eq!((grant.bytes(), memory.available()), (60, 40));
    }

    #[test]
    fn waiters_are_counted() {
        let memory = BufferMemory::new(1);
        assert!(!memory.is_exhausted());
        let (first, alone) = memory.announce_waiter();
        assert!(alone && memory.is_exhausted());
        let (second, alone) = memory.announce_waiter();
        assert!(!alone);
        drop((first, second));
        assert!(!memory.is_exhausted());
    }
}
