//! Sending: one thread at a time takes a slot's batches, in order, to the partition's leader.
//!
//! ```text
//!            close              drain                    high watermark
//!   open ----------> ready ----------------> in flight ----------------> complete
//!                      ^          |   |          |                          ^
//!                      |  put off |   +----------|--- acknowledged, failed -+
//!                      +----------+--------------+
//! ```
//!
//! 1. Only the thread that set `draining` pops `ready`, so batches reach the leader in the order in which they were
//!    closed, and complete in that order.
//! 2. The leader is called, deliveries are completed and callbacks run with no lock held; senders go on filling the open
//!    batch meanwhile.
//! 3. A batch that is put off goes back to the front, and nothing overtakes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::producer::batch::Batch;
use crate::client::producer::delivery::{Outcome, producer_closed};
use crate::client::producer::dues::NEVER;
use crate::client::producer::metrics::Tally;
use crate::client::producer::shared::Shared;
use crate::client::producer::slot::{Ack, InFlight, InHand, Leader, Slot, SlotState};
use crate::cluster::{AppendInfo, PartitionHandle};
use crate::error::{Error, ErrorCode, Result};
use crate::types::Acks;
use crate::util::sync::MutexGuard;
use crate::util::trace;

/// What became of a batch in hand.
enum Fate {
    Done(Batch, Outcome),
    /// Its leader has it, and waits for the other replicas.
    Appended(Batch, AppendInfo, Arc<PartitionHandle>),
    /// To be sent again at once.
    Again(Batch),
    /// To be sent again after backing off.
    PutOff(Batch),
    Split(Box<[Batch; 2]>),
}

/// Says of a batch that it did not go as it was.
#[inline]
fn trace_fate(slot: &Slot, fate: &Fate) {
    let topic_partition = slot.topic_partition();
    match fate {
        Fate::PutOff(batch) => trace::event!(
            DEBUG,
            "batch to be sent again",
            topic = topic_partition.topic(),
            partition = topic_partition.partition(),
            records = batch.count,
            attempts = batch.attempts,
            error = batch.last_error.as_ref().map(trace::display)
        ),
        Fate::Split(parts) => trace::event!(
            DEBUG,
            "batch split",
            topic = topic_partition.topic(),
            partition = topic_partition.partition(),
            records = parts.iter().map(|part| part.count).sum::<u32>()
        ),
        Fate::Done(..) | Fate::Appended(..) | Fate::Again(_) => {}
    }
}

impl Shared {
    /// Sends what is ready. If another thread is at it already, that thread sees what is ready now, too.
    pub(super) fn drain(&self, slot: &Arc<Slot>) {
        let send = |InHand { batch, now, is_expired, is_too_late, is_behind }, leader: &mut Option<Leader>| {
            let fate = if is_too_late {
                Fate::Done(batch, Outcome::Failed(producer_closed()))
            } else if is_expired {
                self.expire(slot, batch)
            } else {
                self.send_batch(slot, leader, batch, now)
            };
            trace_fate(slot, &fate);
            self.settle(slot, fate, is_behind)
        };
        let Some(mut state) = slot.drain(|state| self.take_next(slot, state), send) else { return };
        let deadline = state.next_deadline(self.settings.linger, self.settings.delivery_timeout);
        let due = deadline.map_or(NEVER, |deadline| self.driver.due(deadline));
        slot.set_due(&mut state, due);
        drop(state);
        if due != NEVER {
            self.driver.request(due);
        }
    }

    /// The batch whose turn it is, numbered; `None` if nothing can be sent now.
    fn take_next(&self, slot: &Slot, state: &mut SlotState) -> Option<InHand> {
        if let Some(error) = state.lost.take() {
            self.take_back(slot, state, &error);
        }
        let is_terminated = self.is_terminated();
        // Of a producer that was dropped, whoever is at it still offers each batch to its leader, once.
        let is_too_late = is_terminated && (state.blocked_until.is_some() || !self.is_last_call());
        // What is open waits for its linger, which is the driver's business, unless there is none; or it has expired,
        // for which it must have been blocked.
        let may_close = self.settings.linger.is_zero() || state.blocked_until.is_some() || is_terminated;
        if state.ready.is_empty() && (state.open.is_none() || !may_close) {
            return None;
        }
        let now = self.now();
        let is_expired = now >= state.oldest()? + self.settings.delivery_timeout;
        let is_held_back = state.is_blocked(now) || state.in_flight.len() >= self.settings.max_in_flight;
        if is_held_back && !is_expired && !is_terminated {
            return None;
        }
        if !is_too_late {
            // The backoff is over, or the batch that it was for is.
            state.blocked_until = None;
        }
        if state.ready.is_empty() {
            if !self.settings.linger.is_zero() && !is_expired && !is_terminated {
                return None;
            }
            slot.close_open(state, false, self.settings.batch_size);
        }
        let mut batch = state.ready.pop_front()?;
        let is_behind = !state.in_flight.is_empty() || state.acknowledging.is_some();
        if self.settings.idempotence && batch.sequence.is_none() && !is_expired && !is_too_late {
            use crate::client::producer::identity::Unnumbered;
            match state.sequences.assign(batch.count, &self.identity, !is_behind) {
                Ok(sequence) => batch.sequence = Some(sequence),
                // Asked for without the lock.
                Err(Unnumbered::NeedsIdentity) => {}
                Err(Unnumbered::MustSettle) if is_terminated => {
                    return Some(InHand { batch, now, is_expired, is_too_late: true, is_behind });
                }
                Err(Unnumbered::MustSettle) => {
                    state.ready.push_front(batch);
                    return None;
                }
            }
        }
        Some(InHand { batch, now, is_expired, is_too_late, is_behind })
    }

    /// Batches in flight whose leader cannot tell any more whether they are stored: they go first again. The leader
    /// recognizes those of an idempotent producer by their sequence numbers, if it has them.
    fn take_back(&self, slot: &Slot, state: &mut SlotState, error: &Error) {
        let now = self.now();
        while let Some(InFlight { mut batch, ack }) = state.in_flight.pop_back() {
            match ack {
                Ack::Done(outcome) => batch.decided = Some(outcome),
                Ack::Waiting { .. } => {
                    batch.attempts += 1;
                    batch.backoffs += 1;
                    batch.last_error = Some(error.clone());
                    self.count(slot, now, |tally| tally.retried(batch.count));
                }
            }
            state.ready.push_front(batch);
        }
        if let Some(batch) = state.ready.front() {
            state.blocked_until = Some(now + self.settings.backoff(batch.backoffs));
        }
    }

    /// Takes a batch to its leader.
    fn send_batch(&self, slot: &Slot, leader: &mut Option<Leader>, mut batch: Batch, now: Instant) -> Fate {
        if let Some(outcome) = batch.decided.take() {
            return Fate::Done(batch, outcome);
        }
        if batch.attempts > self.settings.retries
            && let Some(error) = batch.last_error.take()
        {
            return self.fail(slot, batch, error);
        }
        if self.settings.idempotence && batch.sequence.is_none() {
            return match self.cluster.init_producer_id() {
                Ok((id, epoch)) => {
                    self.identity.initialize(id, epoch);
                    Fate::Again(batch)
                }
                Err(error) => self.put_off(slot, batch, error),
            };
        }
        let sealed = match batch.sealed(self.settings.compression, self.settings.compression_level) {
            Ok(sealed) => sealed,
            Err(error) => {
                let error = Error::new(error.code(), error.to_string()).with_source(error);
                return self.fail(slot, batch, error);
            }
        };
        let handle = match self.leader(slot, leader) {
            Ok(handle) => handle,
            Err(error) => return self.put_off(slot, batch, error),
        };
        let acks = self.settings.acks;
        batch.space_version = self.cluster.memory().space_version();
        let sent = batch.as_sent(sealed.size_in_bytes(), now);
        let answer = handle.append(sealed, acks);
        self.count(slot, now, |tally| {
            tally.sent(sent);
            if acks != Acks::None && answer.as_ref().map_or(true, |info| info.acked) {
                // Within the call.
                tally.answered(Duration::ZERO);
            }
        });
        match answer {
            // Nobody answers, so nobody knows: not even an error is seen.
            _ if acks == Acks::None => Fate::Done(batch, Outcome::WITHOUT_OFFSET),
            Ok(info) if info.acked => Fate::Done(batch, Outcome::stored(info)),
            Ok(info) => Fate::Appended(batch, info, Arc::clone(handle)),
            Err(error) => {
                *leader = None;
                let fate = self.refused(slot, batch, error);
                match &fate {
                    Fate::PutOff(batch) => self.count(slot, now, |tally| tally.retried(batch.count)),
                    Fate::Split(_) => self.count(slot, now, Tally::split),
                    _ => {}
                }
                fate
            }
        }
    }

    /// The partition's leader, looked up again when the metadata has changed.
    #[inline]
    fn leader<'l>(&self, slot: &Slot, leader: &'l mut Option<Leader>) -> Result<&'l Arc<PartitionHandle>> {
        let version = self.cluster.metadata_version();
        if leader.as_ref().is_none_or(|leader| leader.version != version) {
            *leader = None;
            *leader = Some(Leader { version, handle: self.cluster.leader(slot.topic_partition())? });
        }
        Ok(&leader.as_ref().expect("it was just looked up").handle)
    }

    /// The leader's answer was an error.
    fn refused(&self, slot: &Slot, mut batch: Batch, error: Error) -> Fate {
        batch.attempts += 1;
        match (error.code(), batch.sequence) {
            (ErrorCode::MessageTooLarge, sequence) if batch.count > 1 => {
                if let Some(sequence) = sequence {
                    slot.lock().sequences.take_back(sequence);
                }
                match batch.split() {
                    Ok(parts) => Fate::Split(parts),
                    Err(broken) => {
                        let (batch, broken) = *broken;
                        self.fail(slot, batch, error.with_source(broken))
                    }
                }
            }
            // It is stored, so far back that the leader does not know the offset any more.
            (ErrorCode::DuplicateSequenceNumber, Some(_)) => Fate::Done(batch, Outcome::WITHOUT_OFFSET),
            // The leader has forgotten this producer: start over with a new epoch (KIP-360).
            (ErrorCode::UnknownProducerId, Some(_)) => {
                slot.lock().sequences.fail();
                batch.sequence = None;
                batch.backoffs += 1;
                batch.last_error = Some(error);
                Fate::PutOff(batch)
            }
            // There is a gap before this batch, so none of those behind it is stored either: they get new numbers.
            (ErrorCode::OutOfOrderSequenceNumber, Some(_)) => {
                for behind in &mut slot.lock().ready {
                    behind.sequence = None;
                }
                self.fail(slot, batch, error)
            }
            (ErrorCode::InvalidProducerEpoch, Some(sequence)) => {
                self.identity.reset(sequence.identity);
                self.fail(slot, batch, error)
            }
            _ if batch.attempts > self.settings.retries => self.fail(slot, batch, error),
            _ => self.put_off(slot, batch, error),
        }
    }

    /// Tries again later what may then succeed.
    fn put_off(&self, slot: &Slot, mut batch: Batch, error: Error) -> Fate {
        if !error.is_retriable() {
            return self.fail(slot, batch, error);
        }
        batch.backoffs += 1;
        batch.last_error = Some(error);
        Fate::PutOff(batch)
    }

    fn fail(&self, slot: &Slot, batch: Batch, error: Error) -> Fate {
        if batch.sequence.is_some() {
            slot.lock().sequences.fail();
        }
        let error = match error.topic_partition() {
            Some(_) => error,
            None => error.with_topic_partition(slot.topic_partition().clone()),
        };
        Fate::Done(batch, Outcome::Failed(error))
    }

    /// `delivery.timeout.ms` is over.
    fn expire(&self, slot: &Slot, mut batch: Batch) -> Fate {
        if let Some(outcome) = batch.decided.take() {
            return Fate::Done(batch, outcome);
        }
        let (count, topic_partition) = (batch.count, slot.topic_partition());
        let age_ms = self.now().saturating_duration_since(batch.created).as_millis();
        trace::event!(
            WARN,
            "batch expired",
            topic = topic_partition.topic(),
            partition = topic_partition.partition(),
            records = count,
            age_ms = age_ms as u64
        );
        let message =
            format!("expiring {count} record(s) for {topic_partition}: {age_ms} ms has passed since batch creation");
        let mut error = Error::timeout(message);
        if let Some(cause) = batch.last_error.take() {
            error = error.with_source(cause);
        }
        self.fail(slot, batch, error)
    }

    /// Puts the batch where its fate sends it, and takes the lock again.
    fn settle<'s>(&self, slot: &'s Arc<Slot>, fate: Fate, is_behind: bool) -> MutexGuard<'s, SlotState> {
        if let Fate::Done(batch, outcome) = fate {
            if is_behind {
                let mut state = slot.lock();
                if !state.in_flight.is_empty() || state.acknowledging.is_some() {
                    state.in_flight.push_back(InFlight { batch, ack: Ack::Done(outcome) });
                    return state;
                }
                drop(state);
                self.finish(slot, batch, outcome);
                return slot.lock();
            }
            self.finish(slot, batch, outcome);
            return slot.lock();
        }
        let mut state = slot.lock();
        match fate {
            Fate::Done(..) => unreachable!("settled above"),
            Fate::Appended(batch, info, handle) => {
                let ack = Ack::Waiting {
                    handle,
                    required_offset: info.required_offset,
                    sent: self.now(),
                    outcome: Outcome::stored(info),
                };
                state.in_flight.push_back(InFlight { batch, ack });
                if !std::mem::replace(&mut state.awaiting_acks, true) {
                    drop(state);
                    self.driver.await_acks(slot);
                    state = slot.lock();
                }
            }
            Fate::Again(batch) => state.ready.push_front(batch),
            Fate::PutOff(batch) => {
                // Nothing but room will help: the driver tries again when there is some, or after the backoff.
                if batch.last_error.as_ref().is_some_and(|error| error.code() == ErrorCode::KafkaStorageError) {
                    self.driver.await_space(slot, batch.space_version);
                }
                state.blocked_until = Some(self.now() + self.settings.backoff(batch.backoffs));
                state.ready.push_front(batch);
            }
            Fate::Split(parts) => {
                let [first, second] = *parts;
                slot.add_queued(1);
                state.ready.push_front(second);
                state.ready.push_front(first);
            }
        }
        state
    }

    pub(super) fn now(&self) -> Instant {
        self.cluster.clock().now()
    }

    /// Completes a batch: callbacks, deliveries, memory. Call with no lock held.
    pub(super) fn finish(&self, slot: &Slot, batch: Batch, outcome: Outcome) {
        slot.remove_queued(1);
        if let Outcome::Failed(_) = &outcome {
            self.count(slot, self.now(), |tally| tally.failed(batch.count));
        }
        let Batch { completion, timestamps, callbacks, memory, .. } = batch;
        completion.complete(outcome, timestamps, callbacks);
        self.memory.release(memory);
    }
}

#[cfg(test)]
mod tests;
