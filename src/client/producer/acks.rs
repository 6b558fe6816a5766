//! Waiting for acknowledgements of batches that their leader has appended and other replicas have not.

use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep_until};

use crate::client::producer::delivery::Outcome;
use crate::client::producer::shared::Shared;
use crate::client::producer::slot::{Ack, InFlight, Slot};
use crate::cluster::PartitionHandle;
use crate::error::{Error, Result};
use crate::types::Offset;
use crate::util::race::{Either, race};

/// The oldest batch in flight.
struct Oldest {
    handle: Arc<PartitionHandle>,
    required_offset: Offset,
    /// When to give up and send it again.
    deadline: Instant,
}

/// Completes a slot's batches in flight, in order, until there are none. It keeps the producer alive only between waits.
pub(super) async fn await_acks(producer: Weak<Shared>, slot: Arc<Slot>) {
    loop {
        let Some(oldest) = oldest_in_flight(&producer, &slot) else { return };
        let reached = oldest.handle.wait_for_high_watermark(oldest.required_offset);
        let result = match race(reached, sleep_until(oldest.deadline)).await {
            Either::Left(result) => result,
            Either::Right(()) => {
                let offset = oldest.required_offset;
                Err(Error::timeout(format!("{}: no acknowledgement up to offset {offset}", slot.topic_partition())))
            }
        };
        let Some(shared) = producer.upgrade() else { return };
        if !shared.acknowledge(&slot, result) {
            return;
        }
    }
}

/// `None`, and the task may end, if nothing is in flight any more, or the producer is gone.
fn oldest_in_flight(producer: &Weak<Shared>, slot: &Arc<Slot>) -> Option<Oldest> {
    let shared = producer.upgrade()?;
    let oldest = shared.oldest_in_flight(slot);
    if oldest.is_none() {
        // What had to wait until nothing is in flight can go now.
        shared.drain(slot);
    }
    oldest
}

impl Shared {
    /// Completes those that only waited for others, up to the first one that waits for its acknowledgement.
    fn oldest_in_flight(&self, slot: &Slot) -> Option<Oldest> {
        let mut state = slot.lock();
        loop {
            match state.in_flight.front() {
                Some(InFlight { batch, ack: Ack::Waiting { handle, required_offset, sent, .. } }) => {
                    let deadline =
                        (*sent + self.settings.request_timeout).min(batch.created + self.settings.delivery_timeout);
                    return Some(Oldest { handle: Arc::clone(handle), required_offset: *required_offset, deadline });
                }
                Some(InFlight { ack: Ack::Done(_), .. }) => {
                    let InFlight { batch, ack } = state.in_flight.pop_front()?;
                    state.acknowledging = Some(Arc::clone(batch.completion.cell()));
                    drop(state);
                    self.finish(slot, batch, ack.outcome());
                    state = slot.lock();
                    state.acknowledging = None;
                }
                None => {
                    state.awaiting_acks = false;
                    return None;
                }
            }
        }
    }

    /// Completes the oldest batch in flight, or has all of them sent again. Returns whether to go on waiting.
    fn acknowledge(&self, slot: &Arc<Slot>, result: Result<()>) -> bool {
        let now = self.now();
        let mut state = slot.lock();
        if let Some(InFlight { ack: Ack::Waiting { sent, .. }, .. }) = state.in_flight.front() {
            let latency = now.saturating_duration_since(*sent);
            self.count(slot, now, |tally| tally.answered(latency));
        }
        let goes_on = match result {
            Err(error) if error.is_retriable() => {
                state.lost = Some(error);
                state.awaiting_acks = false;
                false
            }
            result => {
                let Some(InFlight { batch, ack }) = state.in_flight.pop_front() else { return true };
                state.acknowledging = Some(Arc::clone(batch.completion.cell()));
                if result.is_err() && batch.sequence.is_some() {
                    state.sequences.fail();
                }
                drop(state);
                self.finish(slot, batch, result.map_or_else(Outcome::Failed, |()| ack.outcome()));
                state = slot.lock();
                state.acknowledging = None;
                true
            }
        };
        drop(state);
        // Batches may be held back by those that were in flight.
        self.drain(slot);
        goes_on
    }
}

impl Ack {
    fn outcome(self) -> Outcome {
        match self {
            Self::Waiting { outcome, .. } | Self::Done(outcome) => outcome,
        }
    }
}
