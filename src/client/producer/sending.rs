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
    /// In a box, so that the future of an ordinary send stays small.
    Waiting(Waiting<'p, 'a>),
    /// On its way from one to the other.
    Taken,
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
        if let State::Unsent(record, callback) = &mut self.state {
            // Sending waits for nothing while memory lasts, so here other tasks get their turn: before the record is sent,
            // because a future that has not resolved has sent nothing.
            let turn = ready!(poll_proceed(cx));
            let mut attempt = Attempt::with_callback(callback.take());
            match self.producer.shared().try_send(record, &mut attempt) {
                Ok(Sent { delivery, worked }) => {
                    if worked {
                        turn.made_progress();
                    }
                    self.sent = true;
                    return Poll::Ready(Ok(delivery));
                }
                Err(blocked) => self.wait(attempt, *blocked),
            }
        }
        match &mut self.state {
            State::Waiting(waiting) => waiting.as_mut().poll(cx),
            State::Unsent(..) | State::Taken => unreachable!("what was not sent waits"),
        }
    }

    /// Has the interceptors see the record.
    fn intercept(&mut self) {
        if matches!(self.state, State::Unsent(..))
            && let State::Unsent(record, callback) = std::mem::replace(&mut self.state, State::Taken)
        {
            self.state = State::Waiting(Box::pin(self.producer.send_intercepted(record, callback)));
        }
    }

    #[cold]
    fn wait(&mut self, attempt: Attempt<'p>, blocked: Blocked) {
        if let State::Unsent(record, _) = std::mem::replace(&mut self.state, State::Taken) {
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
            State::Unsent(..) if !self.sent => "unsent",
            State::Waiting(_) => "waiting",
            State::Unsent(..) | State::Taken => "sent",
        };
        f.debug_struct("Sending").field("state", &state).finish_non_exhaustive()
    }
}
