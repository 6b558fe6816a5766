//! The rules that a history is held against.
//!
//! What is known of a partition is put together from acknowledgements and polls: which record lies at which offset, as
//! the first to say so has it. Everything else is looked for in that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::testing::history::operation::Name;
use crate::testing::history::report::{Counts, Excerpts};
use crate::testing::history::{Anomaly, AnomalyKind, Event, Operation, Report};
use crate::types::{Offset, TopicPartition};

/// What lies at an offset.
struct Version {
    id: Bytes,
    /// The operation that first said so.
    seen: usize,
    /// The operation that acknowledged it.
    acknowledged: Option<usize>,
    /// The first poll that returned what lies there.
    polled: Option<usize>,
}

/// How far a consumer has read a partition.
struct Cursor {
    offset: Offset,
    poll: usize,
}

/// An acknowledgement that is held against those of its producer's other sends to the partition.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Acknowledgement {
    send: usize,
    offset: Offset,
    seen: usize,
}

/// Records between two that a consumer polled one after the other; perhaps there are none.
struct Gap {
    topic_partition: TopicPartition,
    after: Cursor,
    before: Cursor,
}

#[derive(Default)]
struct Checker<'o> {
    partitions: BTreeMap<TopicPartition, BTreeMap<Offset, Version>>,
    /// Where each record was first seen.
    places: HashMap<Bytes, (TopicPartition, Offset, usize)>,
    polled: HashSet<Bytes>,
    /// Of each producer in each partition.
    acknowledgements: BTreeMap<(Arc<str>, TopicPartition), Vec<Acknowledgement>>,
    cursors: HashMap<(Arc<str>, &'o TopicPartition), Cursor>,
    gaps: Vec<Gap>,
    anomalies: Vec<Anomaly>,
    counts: Counts,
}

pub(super) fn check(operations: &[Operation], log_starts: &HashMap<TopicPartition, Offset>) -> Report {
    let mut checker = Checker::default();
    for (index, operation) in operations.iter().enumerate() {
        checker.read(operations, index, operation);
    }
    checker.find_skipped();
    checker.find_misordered_sends();
    checker.find_missing(log_starts);
    let Checker { mut anomalies, counts, .. } = checker;
    anomalies.sort_by(|left, right| left.key().cmp(&right.key()));
    let excerpts = Excerpts::of(operations, &anomalies);
    Report::new(anomalies, counts, excerpts)
}

impl<'o> Checker<'o> {
    fn read(&mut self, operations: &'o [Operation], index: usize, operation: &'o Operation) {
        match &operation.event {
            Event::Send { .. } => self.counts.sends += 1,
            Event::Failed { .. } => self.counts.failed += 1,
            Event::Acknowledged { send, topic_partition, offset } => {
                self.counts.acknowledged += 1;
                let Some(offset) = *offset else { return };
                // The indexes are the history's own.
                let Event::Send { id, .. } = &operations[*send].event else { return };
                let version = self.see(index, topic_partition, offset, id);
                version.acknowledged.get_or_insert(index);
                let sender = (Arc::clone(&operation.process), topic_partition.clone());
                let acknowledgement = Acknowledgement { send: *send, offset, seen: index };
                self.acknowledgements.entry(sender).or_default().push(acknowledgement);
            }
            Event::Positioned { partitions } => {
                for topic_partition in partitions {
                    self.cursors.remove(&(Arc::clone(&operation.process), topic_partition));
                }
            }
            Event::Polled { records } => {
                self.counts.polled += records.len();
                for (topic_partition, offset, id) in records {
                    self.see(index, topic_partition, *offset, id).polled.get_or_insert(index);
                    self.polled.insert(id.clone());
                    self.follow(&operation.process, index, topic_partition, *offset);
                }
            }
            Event::Committed { .. } => {}
        }
    }

    /// Somebody says that this record lies there.
    fn see(&mut self, index: usize, topic_partition: &TopicPartition, offset: Offset, id: &Bytes) -> &mut Version {
        let place = (topic_partition.clone(), offset, index);
        let (first_partition, first_offset, first_seen) = self.places.entry(id.clone()).or_insert(place);
        if (&*first_partition, *first_offset) != (topic_partition, offset) {
            let detail =
                format!("{} lies at {first_partition}@{first_offset} and at {topic_partition}@{offset}", Name(id));
            let operations = vec![*first_seen, index];
            self.anomalies.push(Anomaly::new(AnomalyKind::Duplicate, topic_partition, offset, detail, operations));
        }
        if !self.partitions.contains_key(topic_partition) {
            self.partitions.insert(topic_partition.clone(), BTreeMap::new());
        }
        let partition = self.partitions.get_mut(topic_partition).expect("just made");
        let version = partition.entry(offset).or_insert_with(|| Version {
            id: id.clone(),
            seen: index,
            acknowledged: None,
            polled: None,
        });
        if version.id != id {
            let detail = format!("{topic_partition}@{offset} is {} and {}", Name(&version.id), Name(id));
            let operations = vec![version.seen, index];
            let kind = AnomalyKind::InconsistentOffsets;
            self.anomalies.push(Anomaly::new(kind, topic_partition, offset, detail, operations));
        }
        version
    }

    /// A consumer polled what lies there.
    fn follow(&mut self, process: &Arc<str>, poll: usize, topic_partition: &'o TopicPartition, offset: Offset) {
        let cursor = Cursor { offset, poll };
        let Some(last) = self.cursors.insert((Arc::clone(process), topic_partition), cursor) else { return };
        if offset <= last.offset {
            let detail = format!("{process} polled {topic_partition}@{offset} after @{}", last.offset);
            let operations = vec![last.poll, poll];
            let kind = AnomalyKind::NonmonotonicPoll;
            self.anomalies.push(Anomaly::new(kind, topic_partition, offset, detail, operations));
        } else if offset > last.offset + 1 {
            let topic_partition = topic_partition.clone();
            self.gaps.push(Gap { topic_partition, after: last, before: Cursor { offset, poll } });
        }
    }

    /// Offsets that nobody knows a record for are none: markers, or what compaction has taken.
    fn find_skipped(&mut self) {
        for Gap { topic_partition, after, before } in &self.gaps {
            let Some(partition) = self.partitions.get(topic_partition) else { continue };
            let mut skipped = partition.range(after.offset + 1..before.offset);
            let Some((first, version)) = skipped.next() else { continue };
            let more = skipped.count();
            let detail = format!(
                "polled {topic_partition}@{} after @{}, past {}@{first} and {more} more",
                before.offset,
                after.offset,
                Name(&version.id)
            );
            let operations = vec![version.seen, after.poll, before.poll];
            self.anomalies.push(Anomaly::new(AnomalyKind::PollSkip, topic_partition, *first, detail, operations));
        }
    }

    fn find_misordered_sends(&mut self) {
        for ((process, topic_partition), acknowledgements) in &mut self.acknowledgements {
            acknowledgements.sort_unstable();
            for pair in acknowledgements.windows(2) {
                let [first, next] = pair else { continue };
                // Equal ones are two records at one offset, which has a name of its own.
                if next.offset < first.offset {
                    let detail = format!(
                        "{process} sent #{} before #{}, and they lie at {topic_partition}@{} and @{}",
                        first.send, next.send, first.offset, next.offset
                    );
                    let operations = vec![first.send, next.send, first.seen, next.seen];
                    let kind = AnomalyKind::NonmonotonicSend;
                    self.anomalies.push(Anomaly::new(kind, topic_partition, next.offset, detail, operations));
                }
            }
        }
    }

    /// Acknowledged, and polled by nobody.
    fn find_missing(&mut self, log_starts: &HashMap<TopicPartition, Offset>) {
        for (topic_partition, versions) in &self.partitions {
            let log_start = log_starts.get(topic_partition).copied().unwrap_or_default();
            let last_polled = versions.iter().rev().find_map(|(offset, version)| Some((*offset, version.polled?)));
            for (offset, version) in versions.range(log_start..) {
                let Some(acknowledged) = version.acknowledged else { continue };
                if self.polled.contains(&version.id) {
                    continue;
                }
                let (kind, detail, mut operations) = match last_polled {
                    Some((last, poll)) if last > *offset => (
                        AnomalyKind::LostWrite,
                        format!("was acknowledged, and never polled, though @{last} was"),
                        vec![poll],
                    ),
                    _ => (AnomalyKind::Unseen, "was acknowledged, and nobody has polled as far".to_owned(), Vec::new()),
                };
                operations.push(acknowledged);
                let detail = format!("{}, at {topic_partition}@{offset}, {detail}", Name(&version.id));
                self.anomalies.push(Anomaly::new(kind, topic_partition, *offset, detail, operations));
            }
        }
    }
}
