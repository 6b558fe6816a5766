//! What is done to both: operations that name everything they need, so that any of them can be left out.

use std::collections::{BTreeMap, BTreeSet};

/// A topic's name as a sequence knows it. Each run of a sequence puts a prefix of its own in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// One of the sequence's topics.
    Slot(&'static str),
    /// Filled up with `x` to this length, the prefix included.
    Long(usize),
    /// As it is, without a prefix: names that nobody may create, and Kafka's own topics.
    Raw(&'static str),
}

impl Name {
    pub(crate) fn full(&self, prefix: &str) -> String {
        match self {
            Self::Slot(name) => format!("{prefix}{name}"),
            Self::Long(length) => format!("{prefix}{}", "x".repeat(length.saturating_sub(prefix.len()))),
            Self::Raw(name) => (*name).to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    CreateTopic {
        name: Name,
        partitions: i32,
        replication: i16,
        configs: Vec<(&'static str, String)>,
        validate_only: bool,
    },
    /// Two topics in one request.
    CreateTwo(Name, Name),
    DeleteTopic(Name),
    CreatePartitions(Name, i32),
    Describe(Name),
    DescribeConfigs(Name),
    AlterConfigs {
        topic: Name,
        changes: Vec<(Change, &'static str, String)>,
        validate_only: bool,
    },
    /// A preferred or unclean election of a leader.
    Elect(Name, i32, bool),
    Produce {
        settings: Settings,
        topic: Name,
        records: Vec<Rec>,
    },
    ListOffsets(Name, i32, Spec),
    DeleteRecords(Name, i32, i64),
    Read {
        topic: Name,
        partition: i32,
        from: From,
        reset: Reset,
    },
    Group(&'static str, GroupOp),
}

/// How a setting is altered: the numbers of Kafka's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Set,
    Delete,
    Append,
    Subtract,
}

/// How a producer is set up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Settings {
    pub(crate) acks: &'static str,
    pub(crate) idempotent: bool,
    pub(crate) codec: &'static str,
    /// All records of an operation in one batch a partition, instead of each by itself.
    pub(crate) together: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Rec {
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, Option<Vec<u8>>)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Spec {
    Earliest,
    Latest,
    MaxTimestamp,
    Timestamp(i64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    Beginning,
    End,
    Offset(i64),
    Timestamp(i64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Reset {
    Earliest,
    Latest,
    None,
}

/// What happens in a group of consumers.
#[derive(Clone, Debug)]
pub(crate) enum GroupOp {
    /// A member joins; done when the group has settled.
    Join {
        member: usize,
        assignor: &'static str,
        topics: Vec<Name>,
        instance: bool,
    },
    /// A member changes its subscription; done when the group has settled.
    Subscribe {
        member: usize,
        topics: Vec<Name>,
    },
    /// A member closes; done when the group has settled.
    Leave {
        member: usize,
    },
    /// All members read to the end of what they have, and commit.
    Consume,
    /// A member commits an offset.
    Commit {
        member: usize,
        topic: Name,
        partition: i32,
        offset: i64,
        note: String,
    },
    /// Somebody who is not a member does.
    CommitOutside {
        topic: Name,
        partition: i32,
        offset: i64,
        note: String,
    },
    Committed {
        topic: Name,
        partition: i32,
    },
    /// Somebody without a membership reads from where the group committed.
    ReadCommitted {
        topic: Name,
        partition: i32,
        reset: Reset,
    },
    /// An administrator sets an offset, forgets one, asks for all.
    SetOffset {
        topic: Name,
        partition: i32,
        offset: i64,
        note: String,
    },
    ForgetOffset {
        topic: Name,
        partition: i32,
    },
    AllCommitted,
    Describe,
    List,
    Delete,
}

/// What was seen: named facts, in an order that both sides share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(pub(crate) Vec<(String, String)>);

impl Facts {
    pub(crate) fn one(name: &str, value: impl ToString) -> Self {
        Self(vec![(name.to_owned(), value.to_string())])
    }

    /// The same in any run: without the prefix of names.
    pub(crate) fn without(self, prefix: &str) -> Self {
        let strip = |text: String| if text.contains(prefix) { text.replace(prefix, "") } else { text };
        Self(self.0.into_iter().map(|(name, value)| (strip(name), strip(value))).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(crate) fn add(&mut self, name: impl ToString, value: impl ToString) {
        self.0.push((name.to_string(), value.to_string()));
    }
}

/// One of the two.
pub(crate) trait Driver {
    fn run(&mut self, op: &Op) -> Facts;
}

/// A group as its coordinator describes it.
#[derive(Debug)]
pub(crate) struct GroupView {
    pub(crate) state: String,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberView>,
}

#[derive(Debug)]
pub(crate) struct MemberView {
    pub(crate) client: String,
    pub(crate) instance: Option<String>,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) assignment: Partitions,
}

pub(crate) type Partitions = BTreeSet<(String, i32)>;

pub(crate) fn partition_of(partition: &brokerless::TopicPartition) -> (String, i32) {
    (partition.topic().to_owned(), partition.partition())
}

impl GroupView {
    /// Whether clients may differ in who gets which partition: `cooperative-sticky` only says how many, and that no more
    /// of them move than must.
    pub(crate) fn is_sticky(&self) -> bool {
        self.protocol.ends_with("sticky")
    }

    /// How many partitions went from one member to another that were both there before.
    pub(crate) fn moved(&self, before: &BTreeMap<String, Partitions>) -> usize {
        let lost = |member: &MemberView| before.get(&member.client).map_or(0, |had| (had - &member.assignment).len());
        self.members.iter().map(lost).sum()
    }

    pub(crate) fn assignments(&self) -> BTreeMap<String, Partitions> {
        self.members.iter().map(|member| (member.client.clone(), member.assignment.clone())).collect()
    }

    pub(crate) fn facts(mut self) -> Facts {
        let is_sticky = self.is_sticky();
        self.members.sort_by(|one, two| one.client.cmp(&two.client));
        let mut facts = Facts::one("describe", 0);
        facts.add("state", self.state);
        facts.add("protocol type", self.protocol_type);
        facts.add("protocol", self.protocol);
        for member in self.members {
            let MemberView { client, instance, topics, assignment } = member;
            let has = if is_sticky { assignment.len().to_string() } else { format!("{assignment:?}") };
            facts.add(client, format!("{instance:?} subscribes to {topics:?}, has {has}"));
        }
        facts
    }

    /// Whether there is nothing to come: all members are there, each knows what the coordinator says that it has, and
    /// together they have everything.
    pub(crate) fn has_settled(
        &self,
        own: BTreeMap<String, Partitions>,
        ghosts: &BTreeSet<usize>,
        everything: &Partitions,
    ) -> bool {
        if own.is_empty() && ghosts.is_empty() {
            return self.state == "Empty";
        }
        let here = |member: &MemberView| match own.get(&member.client) {
            Some(assignment) => *assignment == member.assignment,
            None => ghosts.iter().any(|ghost| member.client == format!("m{ghost}")),
        };
        let all: Vec<_> = self.members.iter().flat_map(|member| &member.assignment).collect();
        self.state == "Stable"
            && self.members.len() == own.len() + ghosts.len()
            && self.members.iter().all(here)
            && all.len() == everything.len()
            && all.into_iter().all(|partition| everything.contains(partition))
    }
}

/// Who read a record: with a sticky assignor that may be anybody.
pub(crate) fn reader(is_sticky: bool, member: usize) -> String {
    if is_sticky { "somebody".to_owned() } else { format!("m{member}") }
}

/// What members read, in an order that does not depend on who read it, and what came of their commits.
pub(crate) fn finish_consume(mut facts: Facts, committed: Vec<String>) -> Facts {
    facts.0.sort();
    let errors = committed.into_iter().filter(|code| code != "0").collect::<Vec<_>>();
    facts.add("commits", format!("{errors:?}"));
    facts
}

/// A record as its readers see it.
pub(crate) fn record_fact(
    offset: i64,
    timestamp: Option<i64>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(String, Option<Vec<u8>>)],
) -> (String, String) {
    let bytes = |bytes: Option<&[u8]>| match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 64 => format!("{} bytes, sum {}", bytes.len(), checksum(bytes)),
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    };
    let timestamp = timestamp.map_or("LogAppendTime".to_owned(), |timestamp| timestamp.to_string());
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", bytes(value.as_deref()))).collect();
    (format!("record {offset}"), format!("{timestamp} {} {} {headers:?}", bytes(key), bytes(value)))
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}
