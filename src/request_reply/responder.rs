//! [`Responder`]: answers requests in a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::consumer::{Consumer, ConsumerRecords, ConsumerWaker, OwnedConsumerRecord};
use crate::client::producer::{Payload, Producer};
use crate::error::{Error, ErrorCode, Result};
use crate::request_reply::ReplyTo;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Answers requests, one after the other in the order of each partition: see the [module](super).
///
/// For more at a time, run several in one group, or answer by hand with [`ReplyTo`].
#[derive(Debug)]
pub struct Responder {
    consumer: Consumer,
    producer: Producer,
    stopping: Arc<AtomicBool>,
}

/// Ends a [`Responder`], from anywhere: see [`Responder::shutdown_handle`].
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    stopping: Arc<AtomicBool>,
    waker: ConsumerWaker,
}

impl ShutdownHandle {
    /// Has the responder answer what its last poll returned, commit, leave its group, and end.
    pub fn shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.waker.wakeup();
    }
}

/// What a responder did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponderSummary {
    replies: u64,
    undelivered: u64,
    passed_over: u64,
}

impl ResponderSummary {
    /// How many replies were acknowledged.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// How many replies could not be sent, to a topic that does not exist for example.
    pub fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// How many records were no requests: without correlation id or reply topic.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

impl Responder {
    /// Answers what this consumer reads, which is to be subscribed or assigned already, through this producer.
    pub fn new(consumer: Consumer, producer: Producer) -> Self {
        Self { consumer, producer, stopping: Arc::default() }
    }

    /// What ends [`run`](Self::run).
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle { stopping: Arc::clone(&self.stopping), waker: self.consumer.wakeup_handle() }
    }

    /// Answers each request with what the handler makes of it, until [shut down](ShutdownHandle::shutdown).
    ///
    /// Positions are committed, if the consumer has a group, once all replies of a poll are acknowledged: a request whose
    /// responder disappears is answered by another. The first time that a partition brings requests, its position is
    /// committed before they are answered, so that this holds for a new group as well. A reply that cannot be sent is counted and given up: by then,
    /// nobody waits for it. With a producer whose `max.block.ms` is short, a request for a reply to a topic that does not
    /// exist holds up the others only that long.
    ///
    /// # Errors
    /// Those of [`Consumer::poll`] and [`Consumer::commit`], and a closed producer. What was not committed is answered
    /// again by whoever reads it next.
    pub async fn run<F, R>(mut self, mut handler: impl FnMut(OwnedConsumerRecord) -> F) -> Result<ResponderSummary>
    where
        F: Future<Output = R>,
        R: Into<Payload<'static>>,
    {
        let mut summary = ResponderSummary::default();
        let has_group = self.consumer.group_metadata().is_ok();
        let mut begun = BTreeSet::new();
        while !self.stopping.load(Ordering::Acquire) {
            let requests = match self.consumer.poll(Duration::MAX).await {
                Ok(requests) => requests,
                Err(error) if error.is_wakeup() => continue,
                Err(error) => return Err(error),
            };
            if has_group {
                self.begin(&requests, &mut begun).await?;
            }
            let mut deliveries = Vec::with_capacity(requests.len());
            for request in requests {
                let Some(reply_to) = ReplyTo::of(&request) else {
                    summary.passed_over += 1;
                    continue;
                };
                let value: Payload<'_> = handler(request).await.into();
                match self.producer.send(reply_to.reply(value)).await.map_err(Error::from) {
                    Ok(delivery) => deliveries.push(delivery),
                    Err(error) if error.is_closed() => return Err(error),
                    Err(_) => summary.undelivered += 1,
                }
            }
            for delivery in deliveries {
                match delivery.await {
                    Ok(_) => summary.replies += 1,
                    Err(error) if error.is_closed() => return Err(error),
                    Err(_) => summary.undelivered += 1,
                }
            }
            if has_group {
                unless_passing(self.consumer.commit().await)?;
            }
        }
        if has_group {
            // Those of partitions that stand still, too.
            unless_passing(self.consumer.commit().await)?;
        }
        self.consumer.close().await?;
        Ok(summary)
    }

    /// Commits where partitions begin that bring their first requests. Without a committed offset, another would begin
    /// where `auto.offset.reset` says, and miss these requests if that is `latest`.
    async fn begin(&mut self, requests: &ConsumerRecords, begun: &mut BTreeSet<TopicPartition>) -> Result<()> {
        let mut first = BTreeMap::new();
        for request in requests.iter().filter(|request| !begun.contains(request.topic_partition())) {
            first.entry(request.topic_partition().clone()).or_insert(OffsetAndMetadata::new(request.offset()));
        }
        if !first.is_empty() {
            begun.extend(first.keys().cloned());
            unless_passing(self.consumer.commit_offsets(first).await)?;
        }
        Ok(())
    }
}

/// Lets a refused commit pass if the group went on without this member, in which case others answer the same requests
/// again and the next poll rejoins, or if a partition was deleted.
fn unless_passing(committed: Result<()>) -> Result<()> {
    use ErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId, UnknownTopicOrPartition};
    match committed {
        Err(error) => match error.code() {
            RebalanceInProgress | IllegalGeneration | UnknownMemberId | UnknownTopicOrPartition => Ok(()),
            _ => Err(error),
        },
        Ok(()) => Ok(()),
    }
}
