//! [`Report`]: what the checker found, for a person to read.

use std::collections::BTreeSet;
use std::fmt;

use crate::testing::history::Operation;
use crate::types::{Offset, TopicPartition};

/// What is wrong, by the names of Jepsen's test of Kafka. What it means is Kafka's promise with `acks=all`, an idempotent
/// producer and clean elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AnomalyKind {
    /// One offset stood for two records.
    InconsistentOffsets,
    /// A record was acknowledged and nobody polled it, though somebody polled a later one of its partition.
    LostWrite,
    /// One record lies at two places.
    Duplicate,
    /// Two records that one producer sent to one partition lie there in the other order.
    NonmonotonicSend,
    /// A consumer polled a record again, or an earlier one, without having been positioned anew.
    NonmonotonicPoll,
    /// A consumer polled a record, but not one before it that is known to be there, without having been positioned anew.
    PollSkip,
    /// A record was acknowledged, and nobody has polled that far: it is lost, or the test ended too early.
    Unseen,
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::LostWrite => "lost-write",
            Self::Duplicate => "duplicate",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::PollSkip => "poll-skip",
            Self::Unseen => "unseen",
        })
    }
}

/// One thing that cannot be.
#[derive(Clone, Debug)]
pub struct Anomaly {
    kind: AnomalyKind,
    topic_partition: TopicPartition,
    offset: Offset,
    detail: String,
    operations: Vec<usize>,
}

impl Anomaly {
    pub(super) fn new(
        kind: AnomalyKind,
        topic_partition: &TopicPartition,
        offset: Offset,
        detail: String,
        mut operations: Vec<usize>,
    ) -> Self {
        operations.sort_unstable();
        operations.dedup();
        Self { kind, topic_partition: topic_partition.clone(), offset, detail, operations }
    }

    pub(super) fn key(&self) -> (AnomalyKind, &TopicPartition, Offset, &[usize]) {
        (self.kind, &self.topic_partition, self.offset, &self.operations)
    }

    /// What it is.
    pub fn kind(&self) -> AnomalyKind {
        self.kind
    }

    /// Where.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The offset of the record that it is about.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The indexes of the operations that do not go together, ascending: see
    /// [`History::operations`](crate::testing::History::operations).
    pub fn operations(&self) -> &[usize] {
        &self.operations
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) sends: usize,
    pub(super) acknowledged: usize,
    pub(super) failed: usize,
    pub(super) polled: usize,
}

/// Anomalies that are shown with the operations around them; the others are counted.
const SHOWN: usize = 10;

/// Of each anomaly that is shown, what happened around it, as text.
#[derive(Clone, Debug)]
pub(super) struct Excerpts(Vec<String>);

impl Excerpts {
    pub(super) fn of(operations: &[Operation], anomalies: &[Anomaly]) -> Self {
        Self(anomalies.iter().take(SHOWN).map(|anomaly| excerpt(operations, anomaly)).collect())
    }
}

/// The operations that an anomaly names, and those next to them that are about its partition.
fn excerpt(operations: &[Operation], anomaly: &Anomaly) -> String {
    /// On either side.
    const AROUND: usize = 2;
    let concerns = |index: &usize| operations[*index].concerns(&anomaly.topic_partition);
    let mut lines = BTreeSet::new();
    for &named in &anomaly.operations {
        lines.insert(named);
        lines.extend((0..named).rev().filter(concerns).take(AROUND));
        lines.extend((named + 1..operations.len()).filter(concerns).take(AROUND));
    }
    let line = |index: usize| {
        let mark = if anomaly.operations.contains(&index) { '>' } else { ' ' };
        format!("   {mark} #{index:<6} {}\n", operations[index].about(&anomaly.topic_partition))
    };
    lines.into_iter().map(line).collect()
}

/// What [`History::check`](crate::testing::History::check) found. Its `Display` shows the anomalies with the operations
/// around them.
#[derive(Clone, Debug)]
#[must_use = "look whether it is valid"]
pub struct Report {
    anomalies: Vec<Anomaly>,
    counts: Counts,
    excerpts: Excerpts,
}

impl Report {
    pub(super) fn new(anomalies: Vec<Anomaly>, counts: Counts, excerpts: Excerpts) -> Self {
        Self { anomalies, counts, excerpts }
    }

    /// Whether nothing was found.
    pub fn is_valid(&self) -> bool {
        self.anomalies.is_empty()
    }

    /// What was found, by kind, then by place.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// How many of this kind were found.
    pub fn count(&self, kind: AnomalyKind) -> usize {
        self.anomalies.iter().filter(|anomaly| anomaly.kind == kind).count()
    }

    /// Records that were sent.
    pub fn sends(&self) -> usize {
        self.counts.sends
    }

    /// Of those, how many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.counts.acknowledged
    }

    /// Records that were polled, each as often as that happened.
    pub fn polled(&self) -> usize {
        self.counts.polled
    }

    /// Panics with the report unless nothing was found.
    #[track_caller]
    pub fn assert_valid(&self) {
        assert!(self.is_valid(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sends, acknowledged, failed, polled } = self.counts;
        let unknown = sends.saturating_sub(acknowledged + failed);
        write!(
            f,
            "{sends} sends ({acknowledged} acknowledged, {failed} failed, {unknown} unknown), {polled} records polled: "
        )?;
        let kinds: BTreeSet<_> = self.anomalies.iter().map(Anomaly::kind).collect();
        if kinds.is_empty() {
            return f.write_str("valid");
        }
        let counts: Vec<_> = kinds.into_iter().map(|kind| format!("{} {kind}", self.count(kind))).collect();
        writeln!(f, "{}", counts.join(", "))?;
        for (anomaly, excerpt) in self.anomalies.iter().zip(&self.excerpts.0) {
            write!(f, "\n{anomaly}\n{excerpt}")?;
        }
        match self.anomalies.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}
