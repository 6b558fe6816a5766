//! Where the two differ on purpose: one table, each row with its reason.

use crate::ask::{Ask, Id};
use crate::batches::{Step, Wrong};
use crate::op::{Facts, From, GroupOp, Name, Op, Spec};
use crate::requests::Difference;

struct Deviation {
    reason: &'static str,
    applies: fn(&Case<'_>) -> bool,
}

struct Case<'a> {
    before: &'a [Op],
    op: &'a Op,
    ours: &'a Facts,
    theirs: &'a Facts,
}

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        reason: "ListOffsets -3 after DeleteRecords: Kafka may answer with a record that was deleted, until the segment's \
                 file is gone; here it is the largest timestamp of what can be read",
        applies: |case| {
            matches!(case.op, Op::ListOffsets(topic, partition, Spec::MaxTimestamp)
                if is_none_or_below(case.theirs, case.deleted(topic, *partition)))
                && case.only_differ(&["offset", "timestamp", "leader epoch"])
        },
    },
    Deviation {
        reason: "a lookup by time after DeleteRecords: Kafka looks into the first segment whose largest timestamp is late \
                 enough and nowhere else, and finds nothing if all of it was deleted and its file is still there; here it \
                 is the first record that can be read",
        applies: |case| {
            matches!(case.op, Op::ListOffsets(topic, partition, Spec::Timestamp(_))
                if case.deleted(topic, *partition).next().is_some())
                && case.theirs.get("offset") == Some("-1")
                && case.only_differ(&["offset", "timestamp", "leader epoch"])
        },
    },
    Deviation {
        reason: "reading from there: so Kafka's consumer begins at the end",
        applies: |case| {
            matches!(case.op, Op::Read { topic, partition, from: From::Timestamp(_), .. }
                if case.deleted(topic, *partition).next().is_some())
                && case.theirs.0 == [("read".to_owned(), "end".to_owned())]
        },
    },
    Deviation {
        reason: "to subscribe to the same topics again: librdkafka joins again, Java's consumer and this one do not",
        applies: |case| matches!(case.op, Op::Group(_, GroupOp::Subscribe { .. })) && case.differing() == [("0", "1")],
    },
    Deviation {
        reason: "a batch in which several records are bad: librdkafka says INVALID_RECORD of those, and does not tell what \
                 the broker said; the broker says INVALID_TIMESTAMP, as here",
        applies: |case| {
            matches!(case.op, Op::Produce { .. })
                && case.differing().iter().all(|(ours, theirs)| *ours == "32" && *theirs == "87")
        },
    },
];

/// The same for the requests of a group's members.
struct RequestDeviation {
    reason: &'static str,
    applies: fn(&Ask, &Difference) -> bool,
}

const REQUEST_DEVIATIONS: &[RequestDeviation] = &[
    RequestDeviation {
        reason: "a request that a later one of the same member replaces, and the SyncGroup of a member that leaves: Kafka \
                 leaves them to time out, here they are answered",
        applies: |ask, difference| {
            let replaces = ask.slot().is_some() || matches!(ask, Ask::Leave(_));
            replaces && *difference == Difference::OnlyHere { is_older: true }
        },
    },
    RequestDeviation {
        reason: "a static member that returns with other topics: here it causes a rebalance (KAFKA-12759), or nobody would \
                 read what is new",
        applies: |ask, difference| match (ask, difference) {
            (Ask::Join { instance: true, id: Id::Empty, .. }, Difference::Facts { ours, theirs }) => {
                let joined = |facts: &Facts| facts.get("join") == Some("0");
                joined(ours) && joined(theirs) && theirs.get("skip assignment") == Some("true")
            }
            _ => false,
        },
    },
    RequestDeviation {
        reason: "which of several members leads once the leader is gone: Kafka takes the first of a hash map, which is \
                 random as member ids are; here it is the first in order",
        applies: |_, difference| match difference {
            Difference::Facts { ours, theirs } => {
                let joined = |facts: &Facts| facts.get("join") == Some("0");
                let others = |facts: &Facts| {
                    facts
                        .0
                        .iter()
                        .filter(|(name, _)| name != "leader" && name != "members")
                        .cloned()
                        .collect::<Vec<_>>()
                };
                joined(ours) && others(ours) == others(theirs) && ours.get("leader") != theirs.get("leader")
            }
            _ => false,
        },
    },
];

impl Case<'_> {
    /// Up to where records of this partition were deleted before; -1 is the high watermark of then.
    fn deleted(&self, topic: &Name, partition: i32) -> impl Iterator<Item = i64> {
        self.before.iter().filter_map(move |op| match op {
            Op::DeleteRecords(name, of, before) if name == topic && *of == partition => Some(*before),
            _ => None,
        })
    }

    /// The values that differ, in pairs; all of them, if the facts do not even have the same names.
    fn differing(&self) -> Vec<(&str, &str)> {
        let pairs = self.ours.0.iter().zip(&self.theirs.0);
        pairs.filter(|(ours, theirs)| ours != theirs).map(|(ours, theirs)| (&*ours.1, &*theirs.1)).collect()
    }

    fn only_differ(&self, names: &[&str]) -> bool {
        self.ours.0.len() == self.theirs.0.len()
            && self
                .ours
                .0
                .iter()
                .zip(&self.theirs.0)
                .all(|(ours, theirs)| ours == theirs || (ours.0 == theirs.0 && names.contains(&&*ours.0)))
    }
}

/// Whether Kafka's answer is nothing at all, or a record that may have been deleted.
fn is_none_or_below(theirs: &Facts, mut deleted: impl Iterator<Item = i64>) -> bool {
    let offset = theirs.get("offset").and_then(|offset| offset.parse::<i64>().ok());
    deleted.any(|before| before == -1 || offset.is_some_and(|offset| offset < before))
}

/// Why these may differ, if they may.
pub(crate) fn deviation(before: &[Op], op: &Op, ours: &Facts, theirs: &Facts) -> Option<&'static str> {
    let case = Case { before, op, ours, theirs };
    DEVIATIONS.iter().find(|deviation| (deviation.applies)(&case)).map(|deviation| deviation.reason)
}

pub(crate) fn deviation_of_requests(ask: &Ask, difference: &Difference) -> Option<&'static str> {
    REQUEST_DEVIATIONS.iter().find(|it| (it.applies)(ask, difference)).map(|it| it.reason)
}

struct BatchDeviation {
    reason: &'static str,
    applies: fn(&[Step], &Step, &Facts, &Facts) -> bool,
}

const BATCH_DEVIATIONS: &[BatchDeviation] = &[
    BatchDeviation {
        reason: "a batch that was appended, longer ago than the five that are remembered: Kafka says \
                 OUT_OF_ORDER_SEQUENCE_NUMBER, which fails a record that is stored; here it is DUPLICATE_SEQUENCE_NUMBER",
        applies: |_, _, ours, theirs| ours.get("produce") == Some("46") && theirs.get("produce") == Some("45"),
    },
    BatchDeviation {
        reason: "a codec that does not exist, and compressed bytes that do not decompress: Kafka fails over them and says \
                 UNKNOWN_SERVER_ERROR; here they are UNSUPPORTED_COMPRESSION_TYPE and CORRUPT_MESSAGE",
        applies: |_, step, ours, theirs| {
            let garbage = |step: &Step| match step {
                Step::Produce(batch) => matches!(batch.wrong, Wrong::Garbage | Wrong::Attributes(5 | 7)),
                _ => false,
            };
            garbage(step) && matches!(ours.get("produce"), Some("2" | "76")) && theirs.get("produce") == Some("-1")
        },
    },
    BatchDeviation {
        reason: "a record whose offset delta is not its index: Kafka does not look, and stores offsets that overlap or leave \
                 gaps; here it is INVALID_RECORD",
        applies: |_, step, ours, _| {
            matches!(step, Step::Produce(batch) if batch.wrong == Wrong::OffsetDelta)
                && ours.get("produce") == Some("87")
        },
    },
    BatchDeviation {
        reason: "the largest timestamp of records that have none (-1): Kafka names a record, here there is none",
        applies: |_, step, ours, theirs| {
            matches!(step, Step::ListOffsets(-3))
                && ours.get("offset") == Some("-1")
                && theirs.get("timestamp") == Some("-1")
        },
    },
    BatchDeviation {
        reason: "lookups by time after DeleteRecords, as above",
        applies: |before, step, _, theirs| {
            let deleted = before.iter().filter_map(|step| match step {
                Step::DeleteRecords(before) => Some(*before),
                _ => None,
            });
            matches!(step, Step::ListOffsets(timestamp) if *timestamp == -3 || *timestamp >= 0)
                && is_none_or_below(theirs, deleted)
        },
    },
];

pub(crate) fn deviation_of_batches(before: &[Step], step: &Step, ours: &Facts, theirs: &Facts) -> Option<&'static str> {
    BATCH_DEVIATIONS.iter().find(|it| (it.applies)(before, step, ours, theirs)).map(|it| it.reason)
}
