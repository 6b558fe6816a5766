//! The same requests to a Kafka's coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use brokerless::oracle::{Described, Joined, Synced};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::ask::Ask;
use crate::book::{Book, metadata};
use crate::kafka::kafka;
use crate::op::Facts;
use crate::wire::{Wire, text};

pub(crate) struct Theirs {
    wire: Wire,
    group: String,
    pub(crate) book: Book,
    /// Connections by request: a broker answers one connection's requests in order.
    pub(crate) waiting: BTreeMap<usize, (usize, Wire, bool, i16)>,
    idle: Vec<Wire>,
}

pub(crate) fn optional(text: Option<&str>) -> Option<StrBytes> {
    text.map(|text| StrBytes::from_string(text.to_owned()))
}

impl Theirs {
    pub(crate) fn new(group: &str) -> Self {
        let wire = Wire::connect(&kafka().bootstrap).expect("a connection to Kafka");
        Self { wire, group: group.to_owned(), book: Book::default(), waiting: BTreeMap::new(), idle: Vec::new() }
    }

    pub(crate) fn connection(&mut self) -> Wire {
        self.idle.pop().unwrap_or_else(|| Wire::connect(&kafka().bootstrap).expect("a connection to Kafka"))
    }

    /// The answer; or none yet, see [`answer`](Self::answer).
    pub(crate) fn ask(&mut self, index: usize, ask: &Ask) -> Option<Facts> {
        let group = GroupId(text(&self.group));
        let book = &self.book;
        Some(match ask {
            Ask::Join { slot, id, instance, protocols, kind, known: require, session } => {
                let _ = require;
                let version = ask.version();
                let instance = instance.then(|| format!("i{slot}"));
                let request = JoinGroupRequest::default()
                    .with_group_id(group)
                    .with_session_timeout_ms(*session)
                    .with_rebalance_timeout_ms(60_000)
                    .with_member_id(text(book.id(*slot, *id)))
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
                return None;
            }
            Ask::Sync { slot, id, generation, instance, kind, protocol } => {
                let who = book.who(&self.group, *slot, *id, book.generations[*slot] + generation, *instance);
                let protocol =
                    protocol.map(str::to_owned).or_else(|| book.protocol.clone()).or(Some("none".to_owned()));
                let protocol = protocol.filter(|_| kind.is_some());
                let assignments = book.assignments(&who.member_id).into_iter().map(|(id, assignment)| {
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
                return None;
            }
            Ask::Heartbeat { slot, id, generation, instance } => {
                let who = book.who(&self.group, *slot, *id, book.generations[*slot] + generation, *instance);
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
                        .with_member_id(text(book.id(*slot, *id)))
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
                let generation = generation.map_or(-1, |generation| book.generations[*slot] + generation);
                let who = book.who(&self.group, *slot, *id, generation, *instance);
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
                book.described(&Described {
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

    pub(crate) fn is_answered(&mut self, index: usize, within: Duration) -> bool {
        self.waiting.get_mut(&index).is_some_and(|(_, wire, _, _)| wire.is_answered(within))
    }

    /// The answer to this request, if it comes in time.
    pub(crate) fn answer(&mut self, index: usize, within: Duration) -> Option<Facts> {
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
                self.book.joined(*slot, *version == 3, &joined)
            }
            false => {
                let answer = wire.receive::<SyncGroupRequest>(*version).expect("an answer");
                Book::synced(
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
