//! Sequences by hand: corners that random ones rarely reach.

use crate::generate::DAY;
use crate::op::{From, Name, Op, Rec, Reset, Settings, Spec};

pub(crate) type Script = fn(i64) -> Vec<Op>;

pub(crate) fn sequences() -> Vec<Script> {
    vec![lookup_after_deletion]
}

const T: Name = Name::Slot("t");

fn create(partitions: i32, configs: &[(&'static str, &str)]) -> Op {
    let configs = configs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Op::CreateTopic { name: T, partitions, replication: 1, configs, validate_only: false }
}

const PLAIN: Settings = Settings { acks: "all", idempotent: false, codec: "none", together: false };

fn record(timestamp: i64, value: &str) -> Rec {
    Rec {
        partition: Some(0),
        timestamp,
        key: Some(b"k".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn produce(settings: Settings, records: Vec<Rec>) -> Op {
    Op::Produce { settings, topic: T, records }
}

/// What a lookup by time finds once the log does not begin at 0.
fn lookup_after_deletion(now: i64) -> Vec<Op> {
    let mut ops = vec![create(1, &[]), produce(PLAIN, vec![record(5_000_000, "old")])];
    ops.push(Op::DeleteRecords(T, 0, 1));
    ops.push(Op::ListOffsets(T, 0, Spec::Timestamp(0)));
    for round in 1..4 {
        ops.push(produce(PLAIN, vec![record(now - DAY + round, "new")]));
        ops.push(Op::ListOffsets(T, 0, Spec::Timestamp(0)));
        ops.push(Op::ListOffsets(T, 0, Spec::Timestamp(now - DAY)));
    }
    ops.push(Op::Read { topic: T, partition: 0, from: From::Beginning, reset: Reset::None });
    ops
}
