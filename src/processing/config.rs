//! [`ProcessingConfig`], [`ProcessingOrder`] and [`FailurePolicy`].

use std::time::Duration;

use crate::config::property::bounded;
use crate::error::{Error, Result};

/// In what order records get to the handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessingOrder {
    /// The records of a partition one after the other: as much parallelism as there are partitions.
    Partition,
    /// The records of a partition that have the same key one after the other; those without a key in no order. What
    /// most applications need, and as much parallelism as there are keys.
    #[default]
    Key,
    /// In no order.
    Unordered,
}

/// What becomes of a record that the handler failed on, after its retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// Finish what is at handlers, commit what is complete, and return the record with its error. It is read again by
    /// whoever gets its partition next.
    #[default]
    Stop,
    /// Count it as skipped, take it for complete, and go on.
    Skip,
}

/// The settings of a [`ParallelConsumer`](crate::processing::ParallelConsumer).
///
/// ```
/// use brokerless::processing::{ProcessingConfig, ProcessingOrder};
/// let config = ProcessingConfig::default().order(ProcessingOrder::Partition).max_concurrency(64);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ProcessingConfig {
    pub(super) order: ProcessingOrder,
    pub(super) max_concurrency: usize,
    pub(super) max_in_flight: usize,
    pub(super) commit_interval: Duration,
    pub(super) retries: u32,
    pub(super) retry_backoff: Duration,
    pub(super) retry_backoff_max: Duration,
    pub(super) on_failure: FailurePolicy,
    pub(super) revoke_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
}

impl Default for ProcessingConfig {
    fn default() -> Self {
        Self {
            order: ProcessingOrder::Key,
            max_concurrency: 16,
            max_in_flight: 10_000,
            commit_interval: Duration::from_secs(5),
            retries: 0,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
            on_failure: FailurePolicy::Stop,
            revoke_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl ProcessingConfig {
    /// In what order records get to the handler. Default: by key.
    pub fn order(mut self, order: ProcessingOrder) -> Self {
        self.order = order;
        self
    }

    /// How many records may be at handlers at a time, each in a task of its own. Default: 16; at least 1.
    pub fn max_concurrency(mut self, records: usize) -> Self {
        self.max_concurrency = records;
        self
    }

    /// How many records may be taken at a time without being ready to commit: waiting, at a handler, or complete behind
    /// one of their partition that is not. Partitions are paused to keep to it, first those that hold more than their
    /// share, so that one record that takes for ever does not hold up the other partitions. A quarter of it takes the
    /// place of `max.poll.records`. Default: 10,000; at least 1.
    ///
    /// The records share the memory of the batches that they arrived in.
    pub fn max_in_flight(mut self, records: usize) -> Self {
        self.max_in_flight = records;
        self
    }

    /// How often to commit what is complete; that is done before partitions are given away and at the end, too. Default:
    /// 5 s, as `auto.commit.interval.ms`.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = bounded(interval);
        self
    }

    /// How many times a record that the handler failed on is tried again, and how long to wait before that: `first`,
    /// then twice as long each time, at most `longest`. The records behind it in its order wait, and so does its share
    /// of `max_concurrency`. Default: 0; 100 ms, 10 s.
    pub fn retries(mut self, times: u32, first: Duration, longest: Duration) -> Self {
        (self.retries, self.retry_backoff, self.retry_backoff_max) = (times, first, longest);
        self
    }

    /// What becomes of a record that the handler failed on, after its retries. Default: stop.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }

    /// How long a rebalance waits for the records of revoked partitions that are at handlers. Those that take longer are
    /// cancelled, and read again by the partition's next owner. Keep it well below `max.poll.interval.ms`. Default: 30 s.
    pub fn revoke_timeout(mut self, timeout: Duration) -> Self {
        self.revoke_timeout = timeout;
        self
    }

    /// How long a shutdown waits for the records that are taken. What takes longer is cancelled, and read again by the
    /// partition's next owner. Default: 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = bounded(timeout);
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [("max_concurrency", self.max_concurrency), ("max_in_flight", self.max_in_flight)] {
            if value == 0 {
                return Err(Error::config(format!("{name} must be at least 1")));
            }
        }
        if self.commit_interval.is_zero() {
            return Err(Error::config("commit_interval must be longer than 0"));
        }
        Ok(())
    }

    /// What one poll may bring: little enough of `max_in_flight` to keep to it, enough to be worth the poll.
    pub(super) fn max_poll_records(&self) -> usize {
        (self.max_in_flight / 4).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Duration::MAX` is how one says "never", and nothing can be that much later than now.
    #[test]
    fn for_ever_can_be_added_to_an_instant() {
        let config = ProcessingConfig::default().commit_interval(Duration::MAX).shutdown_timeout(Duration::MAX);
        let now = tokio::time::Instant::now();
        assert!(now.checked_add(config.commit_interval).is_some());
        assert!(now.checked_add(config.shutdown_timeout).is_some());
    }
}
