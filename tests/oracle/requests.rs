//! The group coordinator's requests one by one, where clients would only send what fits: unknown members, old
//! generations, sync before join, two at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use brokerless::oracle::{Answer, Described, Identity, Join, Joined, Requests, Synced};
use brokerless::types::OffsetAndMetadata;
use brokerless::{Cluster, NewTopic, TopicPartition};
use bytes::{BufMut, Bytes, BytesMut};
use fastrand::Rng;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, CreateTopicsRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::kafka::kafka;
use crate::op::Facts;
use crate::run;
use crate::wire::{Wire, text};

/// How long what Kafka does not answer is waited for.
const SILENCE: Duration = Duration::from_millis(15);
const PATIENCE: Duration = Duration::from_secs(5);

/// Two members: with more, which of them leads next is a matter of Java's hash codes.
const SLOTS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    /// What the coordinator gave to this slot last; empty at first.
    Own,
    Empty,
    Unknown,
    Other,
}

#[derive(Clone, Debug)]
enum Ask {
    Join {
        slot: usize,
        id: Id,
        instance: bool,
        protocols: &'static [&'static str],
        kind: &'static str,
        known: bool,
        session: i32,
    },
    Sync {
        slot: usize,
        id: Id,
        generation: i32,
        instance: bool,
        kind: Option<&'static str>,
        protocol: Option<&'static str>,
    },
    Heartbeat {
        slot: usize,
        id: Id,
        generation: i32,
        instance: bool,
    },
    Leave(Vec<(usize, Id, bool)>),
    Commit {
        slot: usize,
        id: Id,
        generation: Option<i32>,
        instance: bool,
        partition: (&'static str, i32),
        offset: i64,
        note: String,
    },
    Fetch(Option<Vec<(&'static str, i32)>>),
    DeleteOffsets(Vec<(&'static str, i32)>),
    Describe,
    Delete,
}

impl Ask {
    /// The version that it is sent in. JoinGroup up to 3 gives a member id without asking back; static members came with
    /// 5. SyncGroup up to 4 knows no protocols.
    fn version(&self) -> i16 {
        match self {
            Self::Join { instance, known, .. } if !instance && !known => 3,
            Self::Join { .. } => 9,
            Self::Sync { kind: None, .. } => 4,
            _ => 5,
        }
    }

    /// The slot whose answer has to be there first.
    fn slot(&self) -> Option<usize> {
        match self {
            Self::Join { slot, .. } | Self::Sync { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}

fn sequence(seed: u64, length: usize) -> Vec<Ask> {
    let mut rng = Rng::with_seed(seed);
    // Mostly one kind of group, or nothing ever gets stable.
    let kind = if rng.u8(0..4) == 0 { "connect" } else { "consumer" };
    (0..length).map(|_| ask(&mut rng, kind)).collect()
}

fn ask(rng: &mut Rng, kind: &'static str) -> Ask {
    let slot = rng.usize(0..SLOTS);
    let id = [Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Empty, Id::Unknown, Id::Other]
        [rng.usize(0..10)];
    let generation = [0, 0, 0, 0, 0, 0, -1, 1][rng.usize(0..8)];
    // The second slot is mostly static.
    let instance = (slot == 1) != (rng.u8(0..10) == 0);
    let kind = if rng.u8(0..25) == 0 { "other" } else { kind };
    let partition = [("t", 0), ("t", 1), ("u", 0), ("u", 0), ("missing", 0), ("t", 7)][rng.usize(0..6)];
    match rng.u8(0..40) {
        0..12 => Ask::Join {
            slot,
            id: if id == Id::Unknown && rng.bool() { Id::Own } else { id },
            instance,
            protocols: [
                &["range"][..],
                &["range", "roundrobin"],
                &["range", "roundrobin"],
                &["range", "roundrobin"],
                &["roundrobin"],
                &[],
            ][rng.usize(0..6)],
            kind,
            known: rng.u8(0..3) > 0,
            session: if rng.u8(0..20) == 0 { [1000, 2_000_000, 0, -1][rng.usize(0..4)] } else { 60_000 },
        },
        12..21 => Ask::Sync {
            slot,
            id,
            generation,
            instance,
            kind: [Some(kind), Some(kind), Some(kind), None, Some("other")][rng.usize(0..5)],
            protocol: [None, None, None, Some("range"), Some("roundrobin")][rng.usize(0..5)],
        },
        21..25 => Ask::Heartbeat { slot, id, generation, instance },
        25..28 => Ask::Leave((0..rng.usize(1..3)).map(|_| (rng.usize(0..SLOTS), id, rng.bool())).collect()),
        28..33 => Ask::Commit {
            slot,
            id: if rng.u8(0..4) == 0 { Id::Empty } else { id },
            generation: (rng.u8(0..4) > 0).then_some(generation),
            instance,
            partition,
            offset: [0, 5, 1_000_000, -1, -2][rng.usize(0..5)],
            note: ["", "note"][rng.usize(0..2)].to_owned(),
        },
        33..35 => Ask::Fetch((rng.bool()).then(|| vec![partition, ("t", 1)])),
        35 => Ask::DeleteOffsets(vec![partition, ("t", 0)]),
        36..39 => Ask::Describe,
        _ => Ask::Delete,
    }
}

/// What each side knows of the members.
#[derive(Default)]
struct Known {
    /// Member ids by slot, the last one last.
    ids: [Vec<String>; SLOTS],
    generations: [i32; SLOTS],
    /// Whom the leader of the last generation assigns to.
    members: Vec<String>,
    leader: String,
    protocol: Option<String>,
}

impl Known {
    fn id(&self, slot: usize, id: Id) -> String {
        let last = |slot: usize| self.ids[slot].last().cloned().unwrap_or_default();
        match id {
            Id::Own => last(slot),
            Id::Other => last(SLOTS - 1 - slot),
            Id::Empty => String::new(),
            Id::Unknown => "nobody".to_owned(),
        }
    }

    fn who(&self, group: &str, slot: usize, id: Id, generation: i32, instance: bool) -> Identity {
        Identity {
            group_id: group.to_owned(),
            generation_id: generation,
            member_id: self.id(slot, id),
            group_instance_id: instance.then(|| format!("i{slot}")),
        }
    }

    /// Member ids are random: names instead.
    fn name(&self, id: &str) -> String {
        for (slot, ids) in self.ids.iter().enumerate() {
            if let Some(place) = ids.iter().position(|known| known == id) {
                return format!("m{slot}.{place}");
            }
        }
        if id.is_empty() || id == "nobody" { id.to_owned() } else { "somebody".to_owned() }
    }

    fn joined(&mut self, slot: usize, is_old: bool, joined: &Joined) -> Facts {
        if !joined.member_id.is_empty()
            && joined.member_id != "nobody"
            && !self.ids.iter().flatten().any(|id| *id == joined.member_id)
        {
            self.ids[slot].push(joined.member_id.clone());
        }
        let mut facts = Facts::one("join", joined.error);
        facts.add("generation", joined.generation_id);
        // Version 3 has neither protocol types nor instance ids, and no null.
        match is_old {
            true => facts.add("protocol", joined.protocol_name.as_deref().unwrap_or_default()),
            false => facts.add("protocol", format!("{:?} {:?}", joined.protocol_type, joined.protocol_name)),
        }
        facts.add("leader", self.name(&joined.leader));
        facts.add("skip assignment", joined.skip_assignment);
        facts.add("member", self.name(&joined.member_id));
        let mut members: Vec<_> = joined
            .members
            .iter()
            .map(|(id, instance, metadata)| {
                let instance = instance.as_ref().filter(|_| !is_old);
                format!("{} {instance:?} {}", self.name(id), metadata.escape_ascii())
            })
            .collect();
        members.sort();
        facts.add("members", format!("{members:?}"));
        if joined.error == 0 {
            self.generations[slot] = joined.generation_id;
            self.protocol.clone_from(&joined.protocol_name);
            if joined.leader == joined.member_id {
                self.leader.clone_from(&joined.leader);
                self.members = joined.members.iter().map(|(id, _, _)| id.clone()).collect();
            }
        }
        facts
    }

    fn described(&self, group: &Described) -> Facts {
        let mut facts = Facts::one("describe", group.error);
        facts.add("state", &group.state);
        facts.add("protocol", format!("{:?} {:?}", group.protocol_type, group.protocol));
        let member = |(id, instance, metadata, assignment): &(String, Option<String>, Bytes, Bytes)| {
            let (metadata, assignment) = (metadata.escape_ascii(), assignment.escape_ascii());
            format!("{} {instance:?} {metadata} {assignment}", self.name(id))
        };
        let mut members: Vec<_> = group.members.iter().map(member).collect();
        members.sort();
        facts.add("members", format!("{members:?}"));
        facts
    }

    fn synced(is_old: bool, synced: &Synced) -> Facts {
        let mut facts = Facts::one("sync", synced.error);
        if !is_old {
            facts.add("protocol", format!("{:?} {:?}", synced.protocol_type, synced.protocol_name));
        }
        facts.add("assignment", synced.assignment.escape_ascii());
        facts
    }

    /// What the leader gives to whom: names, so that it is the same on both sides.
    fn assignments(&self, leader: &str) -> Vec<(String, Bytes)> {
        match leader == self.leader && !leader.is_empty() {
            true => self.members.iter().map(|id| (id.clone(), Bytes::from(format!("to {}", self.name(id))))).collect(),
            false => Vec::new(),
        }
    }
}

/// What a member with these protocols says of itself.
fn metadata(kind: &str, slot: usize, protocol: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    match kind {
        "consumer" => {
            let topics = if slot == 0 { vec![text("t")] } else { vec![text("t"), text(protocol)] };
            bytes.put_i16(0);
            ConsumerProtocolSubscription::default().with_topics(topics).encode(&mut bytes, 0).expect("a subscription");
        }
        _ => bytes.put_slice(format!("{slot} {protocol}").as_bytes()),
    }
    bytes.freeze()
}

/// An answer that is there, or is not.
enum Pending<T> {
    Waiting(T),
    Done(Facts),
}

enum OursAnswer {
    Joined(Joined),
    Synced(Synced),
}

struct Ours {
    runtime: Runtime,
    requests: Requests,
    group: String,
    known: Known,
    waiting: BTreeMap<usize, (usize, bool, JoinHandle<OursAnswer>)>,
}

impl Ours {
    fn new(group: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = runtime.block_on(async {
            let cluster =
                Cluster::builder().broker_property("offsets.topic.num.partitions", "5").start().await.unwrap();
            cluster.admin().create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
            cluster.admin().create_topic(NewTopic::new("u")).await.unwrap();
            cluster
        });
        let known = Known::default();
        Self { runtime, requests: Requests(cluster), group: group.to_owned(), known, waiting: BTreeMap::new() }
    }

    fn wait<T: Send + 'static>(&self, answer: Answer<T>, into: fn(T) -> OursAnswer) -> JoinHandle<OursAnswer> {
        self.runtime.spawn(async move { into(answer.await) })
    }

    fn ask(&mut self, index: usize, ask: &Ask) -> Pending<()> {
        let _entered = self.runtime.enter();
        let (group, known) = (self.group.clone(), &self.known);
        Pending::Done(match ask {
            Ask::Join { slot, id, instance, protocols, kind, known: require, session } => {
                let answer = self.requests.join_group(Join {
                    group_id: group,
                    session_timeout_ms: *session,
                    rebalance_timeout_ms: 60_000,
                    member_id: known.id(*slot, *id),
                    group_instance_id: instance.then(|| format!("i{slot}")),
                    protocol_type: (*kind).to_owned(),
                    protocols: protocols.iter().map(|it| ((*it).to_owned(), metadata(kind, *slot, it))).collect(),
                    client_id: format!("c{slot}"),
                    require_known_member_id: *require && ask.version() > 3,
                });
                self.waiting.insert(index, (*slot, ask.version() == 3, self.wait(answer, OursAnswer::Joined)));
                return Pending::Waiting(());
            }
            Ask::Sync { slot, id, generation, instance, kind, protocol } => {
                let who = known.who(&group, *slot, *id, known.generations[*slot] + generation, *instance);
                let protocol =
                    protocol.map(str::to_owned).or_else(|| known.protocol.clone()).or(Some("none".to_owned()));
                let protocol = protocol.filter(|_| kind.is_some());
                let assignments = known.assignments(&who.member_id);
                let answer = self.requests.sync_group(who, kind.map(str::to_owned), protocol, assignments);
                self.waiting.insert(index, (*slot, ask.version() == 4, self.wait(answer, OursAnswer::Synced)));
                return Pending::Waiting(());
            }
            Ask::Heartbeat { slot, id, generation, instance } => {
                let who = known.who(&group, *slot, *id, known.generations[*slot] + generation, *instance);
                Facts::one("heartbeat", self.runtime.block_on(self.requests.heartbeat(who)))
            }
            Ask::Leave(who) => {
                let members = who
                    .iter()
                    .map(|(slot, id, instance)| (known.id(*slot, *id), instance.then(|| format!("i{slot}"))))
                    .collect();
                let (error, members) = self.runtime.block_on(self.requests.leave_group(group, members));
                let mut facts = Facts::one("leave", error);
                facts.add("members", format!("{members:?}"));
                facts
            }
            Ask::Commit { slot, id, generation, instance, partition, offset, note } => {
                let generation = generation.map_or(-1, |generation| known.generations[*slot] + generation);
                let who = known.who(&group, *slot, *id, generation, *instance);
                let committed = OffsetAndMetadata::new(*offset).metadata_text(note);
                let offsets = vec![(TopicPartition::new(partition.0, partition.1), committed)];
                Facts::one("commit", self.runtime.block_on(self.requests.commit_offsets(who, offsets))[0])
            }
            Ask::Fetch(partitions) => {
                let partitions = partitions
                    .as_ref()
                    .map(|all| all.iter().map(|(topic, index)| TopicPartition::new(*topic, *index)).collect());
                let (error, fetched) = self.runtime.block_on(self.requests.fetch_offsets(group, partitions));
                let mut facts = Facts::one("fetch", error);
                let mut fetched: Vec<_> = fetched
                    .into_iter()
                    .map(|(partition, offset)| match offset {
                        Some(offset) => (partition.to_string(), format!("{} {:?}", offset.offset(), offset.metadata())),
                        None => (partition.to_string(), "-1 \"\"".to_owned()),
                    })
                    .collect();
                fetched.sort();
                facts.0.extend(fetched);
                facts
            }
            Ask::DeleteOffsets(partitions) => {
                let partitions = partitions.iter().map(|(topic, index)| TopicPartition::new(*topic, *index)).collect();
                let (error, errors) = self.runtime.block_on(self.requests.delete_offsets(group, partitions));
                let mut facts = Facts::one("delete offsets", error);
                facts.add("partitions", format!("{errors:?}"));
                facts
            }
            Ask::Describe => known.described(&self.requests.describe_group(&group)),
            Ask::Delete => {
                let deleted = self.runtime.block_on(self.requests.0.admin().delete_group(&group));
                Facts::one("delete group", deleted.err().map_or(0, |error| error.code().as_i16()))
            }
        })
    }

    /// The answers that have come by now.
    fn answers(&mut self) -> Vec<(usize, usize, bool, OursAnswer)> {
        let done: Vec<_> =
            self.waiting.iter().filter(|(_, (_, _, it))| it.is_finished()).map(|(index, _)| *index).collect();
        let take = |index| {
            let (slot, is_old, handle) = self.waiting.remove(&index).expect("a pending request");
            (index, slot, is_old, self.runtime.block_on(handle).expect("an answer"))
        };
        done.into_iter().map(take).collect()
    }
}

struct Theirs {
    wire: Wire,
    group: String,
    known: Known,
    /// Connections by request: a broker answers one connection's requests in order.
    waiting: BTreeMap<usize, (usize, Wire, bool, i16)>,
    idle: Vec<Wire>,
}

fn optional(text: Option<&str>) -> Option<StrBytes> {
    text.map(|text| StrBytes::from_string(text.to_owned()))
}

impl Theirs {
    fn new(group: &str) -> Self {
        let wire = Wire::connect(&kafka().bootstrap).expect("a connection to Kafka");
        Self { wire, group: group.to_owned(), known: Known::default(), waiting: BTreeMap::new(), idle: Vec::new() }
    }

    fn connection(&mut self) -> Wire {
        self.idle.pop().unwrap_or_else(|| Wire::connect(&kafka().bootstrap).expect("a connection to Kafka"))
    }

    fn ask(&mut self, index: usize, ask: &Ask) -> Pending<()> {
        let group = GroupId(text(&self.group));
        let known = &self.known;
        Pending::Done(match ask {
            Ask::Join { slot, id, instance, protocols, kind, known: require, session } => {
                let _ = require;
                let version = ask.version();
                let instance = instance.then(|| format!("i{slot}"));
                let request = JoinGroupRequest::default()
                    .with_group_id(group)
                    .with_session_timeout_ms(*session)
                    .with_rebalance_timeout_ms(60_000)
                    .with_member_id(text(known.id(*slot, *id)))
                    .with_group_instance_id(optional(instance.as_deref()))
                    .with_protocol_type(text(*kind))
                    .with_protocols(
                        protocols
                            .iter()
                            .map(|it| {
                                JoinGroupRequestProtocol::default()
                                    .with_name(text(*it))
                                    .with_metadata(metadata(kind, *slot, it))
                            })
                            .collect(),
                    );
                let mut wire = self.connection();
                wire.post(request, version).expect("a sent request");
                self.waiting.insert(index, (*slot, wire, true, version));
                return Pending::Waiting(());
            }
            Ask::Sync { slot, id, generation, instance, kind, protocol } => {
                let who = known.who(&self.group, *slot, *id, known.generations[*slot] + generation, *instance);
                let protocol =
                    protocol.map(str::to_owned).or_else(|| known.protocol.clone()).or(Some("none".to_owned()));
                let protocol = protocol.filter(|_| kind.is_some());
                let assignments = known.assignments(&who.member_id).into_iter().map(|(id, assignment)| {
                    SyncGroupRequestAssignment::default().with_member_id(text(id)).with_assignment(assignment)
                });
                let request = SyncGroupRequest::default()
                    .with_group_id(group)
                    .with_generation_id(who.generation_id)
                    .with_member_id(text(who.member_id))
                    .with_group_instance_id(optional(who.group_instance_id.as_deref()))
                    .with_protocol_type(optional(*kind))
                    .with_protocol_name(optional(protocol.as_deref()))
                    .with_assignments(assignments.collect());
                let mut wire = self.connection();
                wire.post(request, ask.version()).expect("a sent request");
                self.waiting.insert(index, (*slot, wire, false, ask.version()));
                return Pending::Waiting(());
            }
            Ask::Heartbeat { slot, id, generation, instance } => {
                let who = known.who(&self.group, *slot, *id, known.generations[*slot] + generation, *instance);
                let request = HeartbeatRequest::default()
                    .with_group_id(group)
                    .with_generation_id(who.generation_id)
                    .with_member_id(text(who.member_id))
                    .with_group_instance_id(optional(who.group_instance_id.as_deref()));
                Facts::one("heartbeat", self.wire.send(request, 4).expect("an answer").error_code)
            }
            Ask::Leave(who) => {
                let members = who.iter().map(|(slot, id, instance)| {
                    MemberIdentity::default()
                        .with_member_id(text(known.id(*slot, *id)))
                        .with_group_instance_id(instance.then(|| text(format!("i{slot}"))))
                });
                let request = LeaveGroupRequest::default().with_group_id(group).with_members(members.collect());
                let answer = self.wire.send(request, 5).expect("an answer");
                let mut facts = Facts::one("leave", answer.error_code);
                let errors: Vec<_> = answer.members.iter().map(|member| member.error_code).collect();
                facts.add("members", format!("{errors:?}"));
                facts
            }
            Ask::Commit { slot, id, generation, instance, partition, offset, note } => {
                let generation = generation.map_or(-1, |generation| known.generations[*slot] + generation);
                let who = known.who(&self.group, *slot, *id, generation, *instance);
                let (topic, index) = partition;
                let partition = OffsetCommitRequestPartition::default()
                    .with_partition_index(*index)
                    .with_committed_offset(*offset)
                    .with_committed_metadata(Some(text(note)));
                let topic = OffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(*topic)))
                    .with_partitions(vec![partition]);
                let request = OffsetCommitRequest::default()
                    .with_group_id(group)
                    .with_generation_id_or_member_epoch(who.generation_id)
                    .with_member_id(text(who.member_id))
                    .with_group_instance_id(optional(who.group_instance_id.as_deref()))
                    .with_topics(vec![topic]);
                let mut answer = self.wire.send(request, 8).expect("an answer");
                Facts::one("commit", answer.topics.remove(0).partitions.remove(0).error_code)
            }
            Ask::Fetch(partitions) => {
                let topics = partitions.as_ref().map(|all| {
                    let topic = |(topic, index): &(&'static str, i32)| {
                        OffsetFetchRequestTopics::default()
                            .with_name(TopicName(text(*topic)))
                            .with_partition_indexes(vec![*index])
                    };
                    all.iter().map(topic).collect()
                });
                let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
                let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
                let answer = self.wire.send(request, 8).expect("an answer").groups.remove(0);
                let mut facts = Facts::one("fetch", answer.error_code);
                let mut fetched = Vec::new();
                for topic in &answer.topics {
                    for it in &topic.partitions {
                        let note = it.metadata.as_deref().unwrap_or("null");
                        let name = format!("{}-{}", topic.name.as_str(), it.partition_index);
                        fetched.push((name, format!("{} {note:?}", it.committed_offset)));
                    }
                }
                fetched.sort();
                facts.0.extend(fetched);
                facts
            }
            Ask::DeleteOffsets(partitions) => {
                let topic = |(topic, index): &(&'static str, i32)| {
                    let partition = OffsetDeleteRequestPartition::default().with_partition_index(*index);
                    OffsetDeleteRequestTopic::default()
                        .with_name(TopicName(text(*topic)))
                        .with_partitions(vec![partition])
                };
                let topics = partitions.iter().map(topic).collect();
                let request = OffsetDeleteRequest::default().with_group_id(group).with_topics(topics);
                let answer = self.wire.send(request, 0).expect("an answer");
                let of = |(topic, index): &(&'static str, i32)| {
                    let partitions =
                        answer.topics.iter().filter(|it| it.name.as_str() == *topic).flat_map(|it| &it.partitions);
                    partitions.filter(|it| it.partition_index == *index).map(|it| it.error_code).next()
                };
                let errors: Vec<_> = partitions.iter().filter_map(of).collect();
                let mut facts = Facts::one("delete offsets", answer.error_code);
                facts.add("partitions", format!("{errors:?}"));
                facts
            }
            Ask::Describe => {
                let request = DescribeGroupsRequest::default().with_groups(vec![group]);
                let group = self.wire.send(request, 6).expect("an answer").groups.remove(0);
                let members = group.members.into_iter().map(|it| {
                    let instance = it.group_instance_id.map(|id| id.to_string());
                    (it.member_id.to_string(), instance, it.member_metadata, it.member_assignment)
                });
                known.described(&Described {
                    error: group.error_code,
                    state: group.group_state.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    protocol: group.protocol_data.to_string(),
                    members: members.collect(),
                })
            }
            Ask::Delete => {
                let request = DeleteGroupsRequest::default().with_groups_names(vec![group]);
                Facts::one("delete group", self.wire.send(request, 2).expect("an answer").results.remove(0).error_code)
            }
        })
    }

    /// The answer to this request, if it comes in time.
    fn answer(&mut self, index: usize, within: Duration) -> Option<Facts> {
        let (slot, wire, is_join, version) = self.waiting.get_mut(&index)?;
        if !wire.is_answered(within) {
            return None;
        }
        let owned = |text: Option<StrBytes>| text.map(|text| text.to_string());
        let facts = match is_join {
            true => {
                let answer = wire.receive::<JoinGroupRequest>(*version).expect("an answer");
                let joined = Joined {
                    error: answer.error_code,
                    generation_id: answer.generation_id,
                    protocol_type: owned(answer.protocol_type),
                    protocol_name: owned(answer.protocol_name),
                    leader: answer.leader.to_string(),
                    skip_assignment: answer.skip_assignment,
                    member_id: answer.member_id.to_string(),
                    members: answer
                        .members
                        .into_iter()
                        .map(|it| (it.member_id.to_string(), owned(it.group_instance_id), it.metadata))
                        .collect(),
                };
                self.known.joined(*slot, *version == 3, &joined)
            }
            false => {
                let answer = wire.receive::<SyncGroupRequest>(*version).expect("an answer");
                Known::synced(
                    *version == 4,
                    &Synced {
                        error: answer.error_code,
                        protocol_type: owned(answer.protocol_type),
                        protocol_name: owned(answer.protocol_name),
                        assignment: answer.assignment,
                    },
                )
            }
        };
        let (_, wire, _, _) = self.waiting.remove(&index)?;
        self.idle.push(wire);
        Some(facts)
    }
}

/// Both, and what they were asked.
struct Pair {
    ours: Ours,
    theirs: Theirs,
    comparisons: usize,
}

impl Pair {
    /// Asks both. An error says how they differ.
    fn ask(&mut self, index: usize, ask: &Ask) -> Result<(), String> {
        if ask.slot().is_some_and(|slot| self.ours.waiting.values().any(|(waiting, _, _)| *waiting == slot)) {
            return Ok(());
        }
        let (one, two) = (self.ours.ask(index, ask), self.theirs.ask(index, ask));
        if let (Pending::Done(one), Pending::Done(two)) = (one, two) {
            self.same(index, &one, &two)?;
        }
        self.settle()
    }

    fn same(&mut self, index: usize, ours: &Facts, theirs: &Facts) -> Result<(), String> {
        self.comparisons += theirs.0.len();
        match ours == theirs {
            true => Ok(()),
            false => Err(format!("request {index}\n  ours:    {:?}\n  Kafka's: {:?}", ours.0, theirs.0)),
        }
    }

    /// Compares the answers that have come.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            if !self.ours.waiting.is_empty() {
                std::thread::sleep(Duration::from_millis(2));
            }
            let answers = self.ours.answers();
            let count = answers.len();
            for (index, slot, is_old, answer) in answers {
                let Some(theirs) = self.theirs.answer(index, PATIENCE) else {
                    return Err(format!("request {index}: only answered here"));
                };
                let ours = match &answer {
                    OursAnswer::Joined(joined) => self.ours.known.joined(slot, is_old, joined),
                    OursAnswer::Synced(synced) => Known::synced(is_old, synced),
                };
                self.same(index, &ours, &theirs)?;
            }
            if count > 0 {
                continue;
            }
            // Kafka must be silent where we are.
            let waiting: Vec<_> = self.ours.waiting.keys().copied().collect();
            let Some(early) = waiting.into_iter().find(|index| {
                self.theirs.waiting.get_mut(index).is_some_and(|(_, wire, _, _)| wire.is_answered(SILENCE))
            }) else {
                return Ok(());
            };
            let begin = Instant::now();
            while !self.ours.waiting[&early].2.is_finished() {
                if begin.elapsed() > Duration::from_secs(1) {
                    let answer = self.theirs.answer(early, PATIENCE);
                    return Err(format!("request {early}: only Kafka answers, {answer:?}"));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Runs a sequence up to the first disagreement: how far it got, and what that is.
fn run(asks: &[Ask]) -> (usize, Option<(usize, String)>) {
    let group = run::unique("r");
    let mut pair = Pair { ours: Ours::new(&group), theirs: Theirs::new(&group), comparisons: 0 };
    for (index, ask) in asks.iter().enumerate() {
        if let Err(difference) = pair.ask(index, ask) {
            return (pair.comparisons, Some((index, difference)));
        }
    }
    (pair.comparisons, None)
}

pub(crate) fn compare(cases: usize, length: usize) {
    prepare();
    let (operations, comparisons) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
    use std::sync::atomic::Ordering::Relaxed;
    run::cases(
        "group requests",
        cases,
        |seed| {
            let mut asks = sequence(seed, length);
            let (compared, found) = run(&asks);
            comparisons.fetch_add(compared, Relaxed);
            operations.fetch_add(found.as_ref().map_or(asks.len(), |(index, _)| *index), Relaxed);
            let (last, mut difference) = found?;
            asks.truncate(last + 1);
            let kind = |difference: &str| difference.split_once('\n').map_or("", |(_, rest)| rest).to_owned();
            let mut at = asks.len() - 1;
            while at > 0 {
                at -= 1;
                let mut fewer = asks.clone();
                fewer.remove(at);
                if let (_, Some((last, smaller))) = run(&fewer)
                    && last == fewer.len() - 1
                    && kind(&smaller) == kind(&difference)
                {
                    (asks, difference) = (fewer, smaller);
                }
            }
            let asks: Vec<_> = asks.iter().map(|ask| format!("    {ask:?}\n")).collect();
            Some((kind(&difference), format!("{}  {difference}\n", asks.concat())))
        },
        || (operations.load(Relaxed), comparisons.load(Relaxed)),
    );
}

/// The topics, and a coordinator that is up.
fn prepare() {
    let mut wire = Wire::connect(&kafka().bootstrap).expect("a connection to Kafka");
    let topic = |name: &str, partitions| {
        CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
    };
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic("t", 2), topic("u", 1)]).with_timeout_ms(30_000);
    wire.send(request, 7).expect("topics");
    let begin = Instant::now();
    loop {
        let names = (0..20).map(|index| GroupId(text(format!("probe{index}")))).collect::<Vec<_>>();
        let answer = wire.send(DescribeGroupsRequest::default().with_groups(names), 6).expect("an answer");
        if answer.groups.iter().all(|group| ![14, 15, 16].contains(&group.error_code)) {
            return;
        }
        let find =
            kafka_protocol::messages::FindCoordinatorRequest::default().with_coordinator_keys(vec![text("probe")]);
        wire.send(find, 4).expect("an answer");
        assert!(begin.elapsed() < Duration::from_secs(30), "no group coordinator");
        std::thread::sleep(Duration::from_millis(20));
    }
}
