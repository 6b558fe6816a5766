//! [`Operation`]: one line of a history.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::types::{Offset, TopicPartition};

/// One thing that a process did or saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Operation {
    /// Whose: the name that the process was given.
    pub process: Arc<str>,
    /// What it was.
    pub event: Event,
}

/// What a process did or saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A record is about to be sent. Without a later event for it nobody knows whether it was stored.
    #[non_exhaustive]
    Send {
        /// Where to.
        topic: Arc<str>,
        /// What the record is known by.
        id: Bytes,
    },
    /// It was acknowledged.
    #[non_exhaustive]
    Acknowledged {
        /// The index of its [`Event::Send`].
        send: usize,
        /// Where it is stored.
        topic_partition: TopicPartition,
        /// Its offset; `None` where that is not known, as with `acks=0`.
        offset: Option<Offset>,
    },
    /// The send failed, which does not say that the record was not stored.
    #[non_exhaustive]
    Failed {
        /// The index of its [`Event::Send`].
        send: usize,
        /// What the client said.
        reason: String,
    },
    /// What a consumer polls of these partitions next need not follow what it polled before: they are new to it, or it
    /// has sought.
    #[non_exhaustive]
    Positioned {
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// Records that one poll returned.
    #[non_exhaustive]
    Polled {
        /// Where each lay and what it is known by, in the order of the poll.
        records: Vec<(TopicPartition, Offset, Bytes)>,
    },
    /// Positions were committed.
    #[non_exhaustive]
    Committed {
        /// Of each partition the offset of the next record.
        positions: Vec<(TopicPartition, Offset)>,
    },
}

impl Operation {
    /// Whether it is about this partition, as far as it says.
    pub(super) fn concerns(&self, topic_partition: &TopicPartition) -> bool {
        match &self.event {
            Event::Send { .. } | Event::Failed { .. } => false,
            Event::Acknowledged { topic_partition: other, .. } => other == topic_partition,
            Event::Positioned { partitions } => partitions.contains(topic_partition),
            Event::Polled { records } => records.iter().any(|(other, ..)| other == topic_partition),
            Event::Committed { positions } => positions.iter().any(|(other, _)| other == topic_partition),
        }
    }

    /// The line as far as it is about one partition.
    pub(super) fn about<'o>(&'o self, topic_partition: &'o TopicPartition) -> About<'o> {
        About { operation: self, topic_partition }
    }
}

/// An operation, of its partitions only one.
pub(super) struct About<'o> {
    operation: &'o Operation,
    topic_partition: &'o TopicPartition,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Of a poll, so that a report stays readable.
        const SHOWN: usize = 6;
        let Self { operation: Operation { process, event }, topic_partition } = self;
        write!(f, "{process:<12} ")?;
        match event {
            Event::Send { topic, id } => write!(f, "sends {} to {topic}", Name(id)),
            Event::Acknowledged { send, topic_partition, offset: Some(offset) } => {
                write!(f, "has its send of #{send} acknowledged at {topic_partition}@{offset}")
            }
            Event::Acknowledged { send, topic_partition, offset: None } => {
                write!(f, "has its send of #{send} acknowledged at {topic_partition}, offset unknown")
            }
            Event::Failed { send, reason } => write!(f, "has its send of #{send} fail: {reason}"),
            Event::Positioned { .. } => write!(f, "begins to read {topic_partition} anew"),
            Event::Polled { records } => {
                let ours: Vec<_> = records.iter().filter(|(other, ..)| other == *topic_partition).collect();
                write!(f, "polls {} of {topic_partition}:", ours.len())?;
                for (_, offset, id) in ours.iter().take(SHOWN) {
                    write!(f, " {}@{offset}", Name(id))?;
                }
                match ours.last() {
                    Some((_, offset, id)) if ours.len() > SHOWN => write!(f, " ... {}@{offset}", Name(id)),
                    _ => Ok(()),
                }
            }
            Event::Committed { positions } => {
                let position = positions.iter().find(|(other, _)| other == *topic_partition);
                match position {
                    Some((_, offset)) => write!(f, "commits {topic_partition}@{offset}"),
                    None => write!(f, "commits other partitions"),
                }
            }
        }
    }
}

/// What a record is known by, as text.
pub(super) struct Name<'b>(pub(super) &'b [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > SHOWN { write!(f, "...") } else { Ok(()) }
    }
}
