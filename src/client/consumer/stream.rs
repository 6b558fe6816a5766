//! [`ConsumerStream`]: a consumer's records one by one.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::client::consumer::poll::Wait;
use crate::client::consumer::records::IntoIter;
use crate::client::consumer::{Consumer, OwnedConsumerRecord};
use crate::error::Result;

/// A consumer's records one by one, without end: see [`Consumer::stream`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct ConsumerStream<'a> {
    consumer: &'a mut Consumer,
    /// Of the last poll, what was not yielded yet.
    records: IntoIter,
    wait: Wait,
}

impl Consumer {
    /// The records one by one, without end. It polls by itself; errors are those of [`Consumer::poll`], and the stream
    /// goes on after them.
    ///
    /// What it has not yielded counts as not returned: a stream that is dropped half-way loses nothing, and commits
    /// (see [`ConsumerStream::consumer`]) never go beyond the record that it yielded last. Auto-commit takes a record for
    /// processed once the stream is asked for the next one, so do not combine it with combinators that run ahead.
    pub fn stream(&mut self) -> ConsumerStream<'_> {
        ConsumerStream { consumer: self, records: IntoIter::default(), wait: Wait::forever() }
    }
}

impl ConsumerStream<'_> {
    /// The consumer, between two records: to commit, seek, pause ...
    pub fn consumer(&mut self) -> &mut Consumer {
        self.hand_back();
        self.consumer
    }

    /// Moves positions back to the first record that was not yielded.
    fn hand_back(&mut self) {
        self.consumer.disarm();
        for (topic_partition, offset) in self.records.positions() {
            if let Some(state) = self.consumer.subscriptions.find_mut(&topic_partition) {
                state.seek(offset, None);
            }
        }
        self.records = IntoIter::default();
    }
}

impl Stream for ConsumerStream<'_> {
    type Item = Result<OwnedConsumerRecord>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(record) = this.records.next() {
                return Poll::Ready(Some(Ok(record)));
            }
            ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
            let polled = ready!(this.consumer.poll_records(cx, &mut this.wait));
            this.wait = Wait::forever();
            match polled {
                Ok(records) => this.records = records.into_iter(),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.records.size_hint().0, None)
    }
}

impl Drop for ConsumerStream<'_> {
    fn drop(&mut self) {
        self.hand_back();
    }
}
