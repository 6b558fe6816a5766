//! [`Sending`]: the future of a record being accepted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

use crate::client::producer::delivery::Callback;
use crate::client::producer::shared::{Attempt, Blocked, Sent};
use crate::client::producer::{Delivery, Producer, ProducerRecord, SendError};

/// Resolves once a record was put into its batch: see [`Producer::send`]. Nothing happens before it is polled.
///
/// Written by hand, because an async function would move the record twice more than it has to.
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'p, 'a> {
    producer: &'p Producer,
    state: State<'p, 'a>,
    /// Whether it has resolved at its first poll. What is left in `state` is then dropped with the future, once.
    sent: bool,
}

type Waiting<'p, 'a> = Pin<Box<dyn Future<Output = Result<Delivery, SendError<'a>>> + Send + 'p>>;

enum State<'p, 'a> {
    Unsent(ProducerRecord<'a>, Option<Callback>),
    /// In its batch, but other tasks may have waited long enough for their turn.
    Yielding(Option<Delivery>),
    /// In a box, so that the future of an ordinary send stays small.
    Waiting(Waiting<'p, 'a>),
}

impl<'p, 'a: 'p> Sending<'p, 'a> {
    #[inline(always)]
    pub(super) fn new(producer: &'p Producer, record: ProducerRecord<'a>, callback: Option<Callback>) -> Self {
        Self { producer, state: State::Unsent(record, callback), sent: false }
    }

    /// Everything but a record that goes straight into an open batch.
    #[inline(never)]
    fn poll_uncommon(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, SendError<'a>>> {
        assert!(!self.sent, "{RESOLVED}");
        if !self.producer.shared().settings.interceptors.is_empty() {
            self.intercept();
        }
        loop {
            match &mut self.state {
                State::Unsent(record, callback) => {
                    let mut attempt = Attempt::with_callback(callback.take());
                    match self.producer.shared().try_send(record, &mut attempt) {
                        Ok(Sent { delivery, worked: false }) => {
                            self.sent = true;
                            return Poll::Ready(Ok(delivery));
                        }
                        // Sending waits for nothing while memory lasts: let other tasks have their turn.
                        Ok(Sent { delivery, worked: true }) => self.state = State::Yielding(Some(delivery)),
                        Err(blocked) => self.wait(attempt, *blocked),
                    }
                }
                State::Yielding(delivery) => {
                    ready!(poll_proceed(cx)).made_progress();
                    return Poll::Ready(Ok(delivery.take().expect(RESOLVED)));
                }
                State::Waiting(waiting) => return waiting.as_mut().poll(cx),
            }
        }
    }

    /// Has the interceptors see the record.
    fn intercept(&mut self) {
        if matches!(self.state, State::Unsent(..))
            && let State::Unsent(record, callback) = std::mem::replace(&mut self.state, State::Yielding(None))
        {
            self.state = State::Waiting(Box::pin(self.producer.send_intercepted(record, callback)));
        }
    }

    #[cold]
    fn wait(&mut self, attempt: Attempt<'p>, blocked: Blocked) {
        if let State::Unsent(record, _) = std::mem::replace(&mut self.state, State::Yielding(None)) {
            self.state = State::Waiting(Box::pin(self.producer.send_blocked(record, attempt, blocked)));
        }
    }
}

const RESOLVED: &str = "a future is not polled after it has resolved";

impl<'p, 'a: 'p> Future for Sending<'p, 'a> {
    type Output = Result<Delivery, SendError<'a>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::Unsent(record, None) = &this.state
            && !this.sent
            && let Some(delivery) = this.producer.shared().try_send_common(record)
        {
            this.sent = true;
            return Poll::Ready(Ok(delivery));
        }
        this.poll_uncommon(cx)
    }
}

impl fmt::Debug for Sending<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Unsent(..) => "unsent",
            State::Yielding(_) => "yielding",
            State::Waiting(_) => "waiting",
        };
        f.debug_struct("Sending").field("state", &state).finish_non_exhaustive()
    }
}
