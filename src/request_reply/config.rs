//! [`RequesterConfig`].

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a [`Requester`](super::Requester) asks.
///
/// ```
/// use std::time::Duration;
/// use brokerless::request_reply::RequesterConfig;
/// let config = RequesterConfig::new("sums.replies").timeout(Duration::from_secs(1)).max_in_flight(64);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequesterConfig {
    pub(super) reply_topic: Arc<str>,
    pub(super) partition: Option<i32>,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: u32,
}

impl RequesterConfig {
    /// Replies are read from this topic, which has to exist. Requesters may share it.
    pub fn new(reply_topic: impl Into<Arc<str>>) -> Self {
        Self { reply_topic: reply_topic.into(), partition: None, timeout: Duration::from_secs(5), max_in_flight: 1000 }
    }

    /// The partition that replies are read from. Default: one of the topic's, chosen at random.
    ///
    /// Responders have to honour `kafka_replyPartition`, as Spring's do; for those that do not, use a reply topic of one
    /// partition.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// How long a request may take in all: waiting for its turn, for buffer space, and for the reply. Default: 5 s, as in
    /// Spring.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests may be unanswered at a time. Default: 1,000; at least 1.
    pub fn max_in_flight(mut self, requests: u32) -> Self {
        self.max_in_flight = requests;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        // What a semaphore of tokio can count on every platform.
        const MOST: u32 = u32::MAX >> 3;
        match self.max_in_flight {
            1..=MOST => Ok(()),
            other => Err(Error::config(format!("max_in_flight is {other}, which is not between 1 and {MOST}"))),
        }
    }
}
