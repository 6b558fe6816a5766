//! Random sequences. Mostly what makes sense, so that something happens, and often what does not.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::op::{Change, From, GroupOp, Name, Op, Rec, Reset, Settings, Spec};

/// Some days before now, in ms since 1970: what records without a special timestamp have.
pub(crate) const DAY: i64 = 86_400_000;

/// What the generator remembers, so that most operations hit something.
struct World {
    rng: Rng,
    now: i64,
    /// Name, partitions, and roughly how many records each has.
    topics: Vec<(Name, i32, i64)>,
    count: u32,
}

const SLOTS: [&str; 6] = ["orders", "a.b", "a_b", "clicks", "Z-9", "audit"];

/// A sequence of operations on topics and records.
pub(crate) fn log_sequence(seed: u64, length: usize, now: i64) -> Vec<Op> {
    let mut world = World { rng: Rng::with_seed(seed), now, topics: Vec::new(), count: 0 };
    let mut ops = Vec::with_capacity(length);
    while ops.len() < length {
        ops.push(world.op());
    }
    for (name, partitions, _) in &world.topics {
        ops.push(Op::Describe(name.clone()));
        ops.push(Op::DescribeConfigs(name.clone()));
        for partition in 0..*partitions {
            ops.push(Op::Read { topic: name.clone(), partition, from: From::Beginning, reset: Reset::None });
        }
    }
    ops
}

/// A sequence of what happens in and around groups of consumers.
pub(crate) fn group_sequence(seed: u64, length: usize, now: i64) -> Vec<Op> {
    let mut world = World { rng: Rng::with_seed(seed), now, topics: Vec::new(), count: 0 };
    let mut ops = Vec::with_capacity(length);
    for name in ["orders", "clicks", "audit"] {
        let (name, partitions) = (Name::Slot(name), world.rng.i32(1..6));
        world.learn(&name, partitions);
        ops.push(Op::CreateTopic { name, partitions, replication: 1, configs: Vec::new(), validate_only: false });
        ops.push(world.produce_plainly());
    }
    // Who is in which group, and how that group assigns.
    let assignors = ["range", "roundrobin", "cooperative-sticky"];
    let mut groups = ["g", "h"].map(|name| (name, world.pick(&assignors), Roster::default()));
    while ops.len() < length + 6 {
        if world.rng.u8(0..8) == 0 {
            ops.push(world.produce_plainly());
            continue;
        }
        let index = world.rng.usize(0..2);
        let (group, assignor, members) = &mut groups[index];
        ops.push(Op::Group(group, world.group_op(assignor, members)));
    }
    for (group, _, _) in groups {
        ops.push(Op::Group(group, GroupOp::Describe));
        for (name, partitions, _) in &world.topics {
            for partition in 0..*partitions {
                ops.push(Op::Group(group, GroupOp::Committed { topic: name.clone(), partition }));
            }
        }
    }
    ops.push(Op::Group("g", GroupOp::AllCommitted));
    ops.push(Op::Group("g", GroupOp::List));
    ops
}

/// Who is in a group.
#[derive(Default)]
struct Roster {
    /// Static members with the topics that they subscribe to.
    members: BTreeMap<usize, Option<Vec<Name>>>,
    /// A static member that has closed, and is still a member.
    away: Option<(usize, Vec<Name>)>,
}

impl World {
    fn produce_plainly(&mut self) -> Op {
        let settings = Settings { acks: "all", idempotent: false, codec: "none", together: true };
        let index = self.rng.usize(0..self.topics.len());
        let (topic, partitions, _) = self.topics[index].clone();
        let record = |world: &mut Self| Rec { timestamp: world.now - DAY, ..world.record(partitions, &settings) };
        let mut records: Vec<_> = (0..self.pick(&[3, 6])).map(|_| record(self)).collect();
        records.retain(|record| record.partition.is_none_or(|partition| partition < partitions));
        self.topics[index].2 += records.len() as i64;
        Op::Produce { settings, topic, records }
    }

    /// Which partition a sticky assignor leaves where is only laid down for members with equal subscriptions.
    fn topics_for(&mut self, assignor: &str) -> Vec<Name> {
        let all: Vec<_> = self.topics.iter().map(|(name, _, _)| name.clone()).collect();
        if assignor == "cooperative-sticky" {
            return all;
        }
        let some: Vec<_> = all.into_iter().filter(|_| self.rng.u8(0..3) > 0).collect();
        if some.is_empty() { vec![self.topics[0].0.clone()] } else { some }
    }

    fn group_op(&mut self, assignor: &'static str, roster: &mut Roster) -> GroupOp {
        let present: Vec<_> = roster.members.keys().copied().collect();
        let (topic, partition, end) = self.some_partition();
        let offset = self.rng.i64(0..=end + 1);
        let note = self.pick(&["", "", "a note", &"n".repeat(4096), &"n".repeat(4097)]).to_owned();
        match self.rng.u8(0..24) {
            // Until its session ends a rebalance would wait for it, so nobody else comes or goes.
            0..11 if roster.away.is_some() => {
                let (member, topics) = roster.away.take().unwrap_or_default();
                roster.members.insert(member, Some(topics.clone()));
                GroupOp::Join { member, assignor, topics, instance: true }
            }
            0..7 if present.len() < 3 => {
                let member = (0..).find(|member| !present.contains(member)).unwrap_or(0);
                let (instance, topics) = (self.rng.u8(0..4) == 0, self.topics_for(assignor));
                roster.members.insert(member, instance.then(|| topics.clone()));
                GroupOp::Join { member, assignor, topics, instance }
            }
            0..9 if !present.is_empty() => {
                let member = self.pick(&present);
                if let Some(Some(topics)) = roster.members.remove(&member) {
                    roster.away = Some((member, topics));
                }
                GroupOp::Leave { member }
            }
            9..11 if !present.is_empty() => {
                let (member, topics) = (self.pick(&present), self.topics_for(assignor));
                if let Some(Some(of_static)) = roster.members.get_mut(&member) {
                    of_static.clone_from(&topics);
                }
                GroupOp::Subscribe { member, topics }
            }
            11..15 => GroupOp::Consume,
            15..17 if !present.is_empty() && assignor != "cooperative-sticky" => {
                GroupOp::Commit { member: self.pick(&present), topic, partition, offset, note }
            }
            17 => GroupOp::CommitOutside { topic, partition, offset, note },
            18..20 => {
                let reset = self.pick(&[Reset::Earliest, Reset::Latest, Reset::None]);
                GroupOp::ReadCommitted { topic, partition, reset }
            }
            20 => match self.rng.u8(0..4) {
                0 => GroupOp::Committed { topic, partition },
                1 => GroupOp::SetOffset { topic, partition, offset, note },
                2 => GroupOp::ForgetOffset { topic, partition },
                _ => GroupOp::AllCommitted,
            },
            21 => GroupOp::Describe,
            22 => GroupOp::List,
            _ => GroupOp::Delete,
        }
    }

    fn op(&mut self) -> Op {
        if self.topics.is_empty() {
            return self.create_topic();
        }
        match self.rng.u8(0..100) {
            0..8 => self.create_topic(),
            8..11 => {
                let (one, two) = (self.slot(), self.slot());
                for name in [&one, &two] {
                    self.learn(name, 1);
                }
                Op::CreateTwo(one, two)
            }
            11..14 => {
                let name = self.some_topic();
                self.topics.retain(|(known, _, _)| *known != name);
                Op::DeleteTopic(name)
            }
            14..19 => {
                let name = self.some_topic();
                let total = self.rng.i32(-1..6);
                if let Some(topic) = self.topics.iter_mut().find(|topic| topic.0 == name && topic.1 < total) {
                    topic.1 = total;
                }
                Op::CreatePartitions(name, total)
            }
            19..21 => Op::Describe(self.some_topic()),
            21..23 => Op::DescribeConfigs(self.some_topic()),
            23..28 => self.alter_configs(),
            28 => {
                let (name, partition, _) = self.some_partition();
                Op::Elect(name, partition, self.rng.bool())
            }
            29..60 => self.produce(),
            60..76 => {
                let (name, partition, end) = self.some_partition();
                let spec = match self.rng.u8(0..6) {
                    0 => Spec::Earliest,
                    1 => Spec::Latest,
                    2 | 3 => Spec::MaxTimestamp,
                    _ => Spec::Timestamp(self.timestamp_near(end)),
                };
                Op::ListOffsets(name, partition, spec)
            }
            76..83 => {
                let (name, partition, end) = self.some_partition();
                let before = match self.rng.u8(0..8) {
                    0 => -1,
                    1 => -2,
                    2 => end + 100,
                    _ => self.rng.i64(0..=end),
                };
                Op::DeleteRecords(name, partition, before)
            }
            _ => {
                let (topic, partition, end) = self.some_partition();
                let from = match self.rng.u8(0..8) {
                    0 => From::Beginning,
                    1 => From::End,
                    2 | 3 => From::Timestamp(self.timestamp_near(end)),
                    4 => From::Offset(end + 1000),
                    _ => From::Offset(self.rng.i64(0..=end)),
                };
                let reset = self.pick(&[Reset::Earliest, Reset::Latest, Reset::None]);
                Op::Read { topic, partition, from, reset }
            }
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(0..from.len())].clone()
    }

    fn slot(&mut self) -> Name {
        Name::Slot(self.pick(&SLOTS))
    }

    fn learn(&mut self, name: &Name, partitions: i32) {
        if !self.topics.iter().any(|(known, _, _)| known == name) {
            self.topics.push((name.clone(), partitions, 0));
        }
    }

    fn some_topic(&mut self) -> Name {
        match self.rng.u8(0..20) {
            0 => self.slot(),
            1 => Name::Raw(self.pick(&["no/such", "missing"])),
            _ => {
                let index = self.rng.usize(0..self.topics.len());
                self.topics[index].0.clone()
            }
        }
    }

    fn some_partition(&mut self) -> (Name, i32, i64) {
        let index = self.rng.usize(0..self.topics.len());
        let (name, partitions, records) = self.topics[index].clone();
        match self.rng.u8(0..40) {
            0 => (Name::Slot("missing"), 0, 0),
            1 => (name, partitions, 0),
            _ => (name, self.rng.i32(0..partitions), records / i64::from(partitions) + 1),
        }
    }

    fn create_topic(&mut self) -> Op {
        let name = match self.rng.u8(0..16) {
            0 => Name::Raw(self.pick(&["", ".", "..", "a b", "a/b", "ü", "a:b"])),
            1 => Name::Long(self.pick(&[249, 250])),
            _ => self.slot(),
        };
        let partitions = self.pick(&[1, 1, 1, 2, 3, 4, -1, 0, -2]);
        let replication = self.pick(&[1, 1, 1, 1, 1, -1, -1, 2, 0, -2]);
        let mut configs: Vec<(&'static str, String)> = Vec::new();
        for _ in 0..self.pick(&[0, 0, 1, 1, 2]) {
            let (name, value) = self.config();
            if !configs.iter().any(|(known, _)| *known == name) {
                configs.push((name, value));
            }
        }
        let validate_only = self.rng.u8(0..10) == 0;
        if !validate_only && partitions != 0 && partitions != -2 && matches!(name, Name::Slot(_)) {
            self.learn(&name, partitions.max(1));
        }
        Op::CreateTopic { name, partitions, replication, configs, validate_only }
    }

    fn alter_configs(&mut self) -> Op {
        let topic = self.some_topic();
        let mut changes = Vec::new();
        for _ in 0..self.pick(&[1, 1, 2, 3]) {
            let (name, value) = self.config();
            let change =
                self.pick(&[Change::Set, Change::Set, Change::Set, Change::Delete, Change::Append, Change::Subtract]);
            changes.push((change, name, value));
        }
        Op::AlterConfigs { topic, changes, validate_only: self.rng.u8(0..6) == 0 }
    }

    fn config(&mut self) -> (&'static str, String) {
        let (name, values): (_, &[&str]) = self.pick(&[
            ("max.message.bytes", &["200", "1000", "100000", "-1", "0", "x"][..]),
            ("message.timestamp.type", &["CreateTime", "LogAppendTime", "LogAppendTime", "logappendtime", ""]),
            ("message.timestamp.before.max.ms", &["86400000", "9223372036854775807", "-1"]),
            ("message.timestamp.after.max.ms", &["0", "60000", "9223372036854775807", "1.5"]),
            ("min.insync.replicas", &["1", "2", "0"]),
            ("retention.ms", &["-1", "0", "604800000", "-2", "1e3", " 5 "]),
            ("retention.bytes", &["-1", "1073741824", "0", "-5"]),
            ("segment.bytes", &["1048576", "14", "1048575", "2147483648"]),
            ("segment.ms", &["1", "0", "604800000"]),
            ("compression.type", &["producer", "lz4", "gzip", "snappy", "uncompressed", "none", "LZ4"]),
            (
                "cleanup.policy",
                &["delete", "compact", "compact,delete", "DELETE", "", "delete,delete", "shred", " compact"],
            ),
            ("cleanup.policy", &["compact", "delete"]),
            ("unknown.setting", &["1"]),
            ("flush.ms", &["1000", "-1"]),
            ("preallocate", &["false", "False", "yes"]),
            ("delete.retention.ms", &["0", "-1"]),
            ("min.cleanable.dirty.ratio", &["0.5", "0", "1.1", "NaN"]),
            ("index.interval.bytes", &["0", "4096", "-1"]),
        ]);
        (name, self.pick(values).to_owned())
    }

    fn timestamp(&mut self) -> i64 {
        let minutes = self.rng.i64(0..1000) * 60_000;
        match self.rng.u8(0..24) {
            0 => 1 + minutes,
            1 => self.now + 10 * 60_000,
            2 => self.now + 2 * DAY,
            _ => self.now - 3 * DAY + minutes,
        }
    }

    fn timestamp_near(&mut self, end: i64) -> i64 {
        match self.rng.u8(0..10) {
            0 => 0,
            1 => self.now + 3 * DAY,
            2 => end,
            _ => self.now - 3 * DAY + self.rng.i64(0..1000) * 60_000 + self.rng.i64(-1..2),
        }
    }

    fn produce(&mut self) -> Op {
        let settings = self.settings();
        let (topic, partitions) = match self.rng.u8(0..60) {
            0 if settings.acks != "0" => (Name::Slot("missing"), 1),
            _ => {
                let index = self.rng.usize(0..self.topics.len());
                (self.topics[index].0.clone(), self.topics[index].1)
            }
        };
        let count = self.pick(&[1, 1, 2, 3, 5, 8]);
        if let Some(known) = self.topics.iter_mut().find(|known| known.0 == topic) {
            known.2 += count;
        }
        let records = (0..count).map(|_| self.record(partitions, &settings)).collect();
        Op::Produce { settings, topic, records }
    }

    fn settings(&mut self) -> Settings {
        let acks = self.pick(&["all", "all", "all", "1", "0"]);
        Settings {
            acks,
            idempotent: acks == "all" && self.rng.bool(),
            codec: self.pick(&["none", "none", "none", "lz4", "snappy", "gzip"]),
            together: self.rng.bool(),
        }
    }

    fn record(&mut self, partitions: i32, settings: &Settings) -> Rec {
        self.count += 1;
        let key = match self.rng.u8(0..6) {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(format!("k{}", self.rng.u8(0..20)).into_bytes()),
        };
        // Without a key the choice is a random one in either client.
        let partition = match self.rng.u8(0..30) {
            0 if settings.acks != "0" => Some(partitions),
            1..10 => Some(self.rng.i32(0..partitions)),
            _ if key.is_none() => Some(self.rng.i32(0..partitions)),
            _ => None,
        };
        let value = match self.rng.u8(0..12) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![b'v'; self.pick(&[100, 900, 5000])]),
            _ => Some(format!("v{}", self.count).into_bytes()),
        };
        let headers = (0..self.pick(&[0, 0, 0, 1, 2]))
            .map(|_| (self.pick(&["h", "trace", ""]), self.pick(&[None, Some(b"1".to_vec()), Some(Vec::new())])))
            .collect();
        let timestamp = if settings.acks == "0" { self.now - DAY } else { self.timestamp() };
        Rec { partition, timestamp, key, value, headers }
    }
}
