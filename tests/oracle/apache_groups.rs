//! Groups of librdkafka's consumers at a Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, DeleteGroupsRequest, DescribeGroupsRequest, GroupId,
    HeartbeatRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::Decodable;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::apache::{Apache, PATIENCE, code, read_to_end, seen_record};
use crate::op::{Facts, GroupOp, GroupView, MemberView, Name, Partitions, Reset, finish_consume, reader};
use crate::wire::text;

/// A rebalance of librdkafka's consumers takes a second at most.
const SETTLING: Duration = Duration::from_secs(12);

/// What the coordinator says while it comes up: COORDINATOR_LOAD_IN_PROGRESS, _NOT_AVAILABLE, NOT_COORDINATOR.
const NOT_YET: [i16; 3] = [14, 15, 16];

#[derive(Default)]
pub(crate) struct Members {
    active: BTreeMap<usize, Member>,
    /// Static members that closed and did not leave.
    ghosts: BTreeSet<usize>,
    topics: BTreeMap<usize, Vec<String>>,
    generation: i32,
    /// Who had what when the group was last settled.
    before: BTreeMap<String, Partitions>,
    is_sticky: bool,
}

struct Member {
    consumer: BaseConsumer<Paused>,
    is_static: bool,
    is_cooperative: bool,
    /// Where reading begins, by partition: librdkafka knows no position before the first record.
    starts: BTreeMap<(String, i32), i64>,
}

/// Members read in `Consume` only: what they read while a group settles would depend on how long that takes.
struct Paused;

impl ClientContext for Paused {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ConsumerContext for Paused {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            consumer.pause(partitions).unwrap();
        }
    }
}

fn done(result: &KafkaResult<()>) -> String {
    result.as_ref().err().map_or("0".to_owned(), code)
}

fn list(partitions: impl IntoIterator<Item = (String, i32)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(&topic, partition);
    }
    list
}

fn offset_list(topic: &str, partition: i32, offset: i64, note: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut partition = list.add_partition(topic, partition);
    partition.set_offset(Offset::Offset(offset)).unwrap();
    partition.set_metadata(note);
    list
}

fn assignment(consumer: &BaseConsumer<Paused>) -> Partitions {
    let assignment = consumer.assignment().unwrap();
    assignment.elements().iter().map(|it| (it.topic().to_owned(), it.partition())).collect()
}

impl Apache {
    pub(crate) fn run_group(&mut self, group: &str, members: &mut Members, op: &GroupOp) -> Facts {
        let id = format!("{}{group}", self.prefix);
        match op {
            GroupOp::Join { member, assignor, topics, instance } => {
                let mut config = self.consumer(&id, Reset::Earliest);
                config
                    .set("client.id", format!("m{member}"))
                    .set("enable.partition.eof", "false")
                    .set("session.timeout.ms", "30000")
                    .set("heartbeat.interval.ms", "50")
                    .set("reconnect.backoff.ms", "10")
                    .set("coordinator.query.interval.ms", "1000")
                    .set("partition.assignment.strategy", *assignor);
                if *instance {
                    config.set("group.instance.id", format!("i{member}"));
                }
                let consumer: BaseConsumer<Paused> = config.create_with_context(Paused).expect("a consumer");
                let topics = self.names(topics);
                consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
                let is_cooperative = *assignor == "cooperative-sticky";
                let joined = Member { consumer, is_static: *instance, is_cooperative, starts: BTreeMap::new() };
                members.active.insert(*member, joined);
                members.ghosts.remove(member);
                members.topics.insert(*member, topics);
                self.settle(&id, members)
            }
            GroupOp::Subscribe { member, topics } => {
                let topics = self.names(topics);
                let Some(known) = members.active.get(member) else { return Facts::default() };
                known.consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
                members.topics.insert(*member, topics);
                self.settle(&id, members)
            }
            GroupOp::Leave { member } => {
                let Some(known) = members.active.remove(member) else { return Facts::default() };
                match known.is_static {
                    true => drop(members.ghosts.insert(*member)),
                    false => drop(members.topics.remove(member)),
                }
                // Closes it.
                drop(known);
                self.settle(&id, members)
            }
            GroupOp::Consume => self.consume(members),
            GroupOp::Commit { member, topic, partition, offset, note } => {
                let offsets = offset_list(&self.name(topic), *partition, *offset, note);
                let Some(known) = members.active.get(member) else { return Facts::default() };
                Facts::one("commit", done(&known.consumer.commit(&offsets, CommitMode::Sync)))
            }
            GroupOp::CommitOutside { topic, partition, offset, note } => {
                let offsets = offset_list(&self.name(topic), *partition, *offset, note);
                let outsider: BaseConsumer = self.consumer(&id, Reset::Latest).create().expect("a consumer");
                Facts::one("commit", done(&outsider.commit(&offsets, CommitMode::Sync)))
            }
            GroupOp::Committed { topic, partition } => {
                let (offset, note) = self.committed(&id, &self.name(topic), *partition);
                let mut facts = Facts::default();
                facts.add("committed", offset);
                facts.add("note", note);
                facts
            }
            GroupOp::ReadCommitted { topic, partition, reset } => {
                let topic = self.name(topic);
                if self.latest(&topic, *partition).is_err() {
                    return Facts::one("read", "no such partition");
                }
                let consumer: BaseConsumer = self.consumer(&id, *reset).create().expect("a consumer");
                let mut assignment = TopicPartitionList::new();
                assignment.add_partition_offset(&topic, *partition, Offset::Stored).unwrap();
                consumer.assign(&assignment).unwrap();
                read_to_end(&consumer)
            }
            GroupOp::SetOffset { topic, partition, offset, note } => {
                let partition = OffsetCommitRequestPartition::default()
                    .with_partition_index(*partition)
                    .with_committed_offset(*offset)
                    .with_committed_metadata(Some(text(note)));
                let topic = OffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(self.name(topic))))
                    .with_partitions(vec![partition]);
                let request = OffsetCommitRequest::default()
                    .with_group_id(GroupId(text(&id)))
                    .with_generation_id_or_member_epoch(-1)
                    .with_topics(vec![topic]);
                let code = self.patiently(|it| {
                    let code = it.send(request.clone(), 8).topics.remove(0).partitions.remove(0).error_code;
                    (code, code)
                });
                Facts::one("set offset", code)
            }
            GroupOp::ForgetOffset { topic, partition } => {
                let partition = OffsetDeleteRequestPartition::default().with_partition_index(*partition);
                let topic = OffsetDeleteRequestTopic::default()
                    .with_name(TopicName(text(self.name(topic))))
                    .with_partitions(vec![partition]);
                let request = OffsetDeleteRequest::default().with_group_id(GroupId(text(&id))).with_topics(vec![topic]);
                let code = self.patiently(|it| {
                    let mut answer = it.send(request.clone(), 0);
                    let code = match answer.error_code {
                        0 => answer.topics.remove(0).partitions.remove(0).error_code,
                        code => code,
                    };
                    (code, code)
                });
                Facts::one("forget offset", code)
            }
            GroupOp::AllCommitted => {
                let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(&id))).with_topics(None);
                let request = OffsetFetchRequest::default().with_groups(vec![group]);
                let group = self.patiently(|it| {
                    let group = it.send(request.clone(), 8).groups.remove(0);
                    (group.error_code, group)
                });
                let mut facts = Facts::one("all committed", group.error_code);
                let mut committed = Vec::new();
                for topic in &group.topics {
                    for it in &topic.partitions {
                        let note = it.metadata.as_deref().unwrap_or("null");
                        let place = (topic.name.to_string(), it.partition_index);
                        committed.push((place, format!("{} {note:?}", it.committed_offset)));
                    }
                }
                committed.sort();
                for ((topic, partition), value) in committed {
                    facts.add(format!("{topic}-{partition}"), value);
                }
                facts
            }
            GroupOp::Describe => match self.view(&id) {
                Ok(view) => view.facts(),
                Err(error) => Facts::one("describe", error),
            },
            GroupOp::List => {
                let mut facts = Facts::default();
                let mut groups = self.send(ListGroupsRequest::default(), 5).groups;
                groups.retain(|group| group.group_id.starts_with(&self.prefix));
                groups.sort_by(|one, two| one.group_id.cmp(&two.group_id));
                for group in groups {
                    facts.add(&*group.group_id, format!("{:?} {}", &*group.protocol_type, &*group.group_state));
                }
                facts
            }
            GroupOp::Delete => {
                let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(&id))]);
                let answer = self.patiently(|it| {
                    let code = it.send(request.clone(), 2).results.remove(0).error_code;
                    (code, code)
                });
                Facts::one("delete group", answer)
            }
        }
    }

    fn names(&self, topics: &[Name]) -> Vec<String> {
        topics.iter().map(|topic| self.name(topic)).collect()
    }

    /// Asks until the coordinator is there.
    fn patiently<T>(&mut self, mut ask: impl FnMut(&mut Self) -> (i16, T)) -> T {
        let begin = Instant::now();
        loop {
            let (code, answer) = ask(self);
            if !NOT_YET.contains(&code) || begin.elapsed() > PATIENCE {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn committed(&mut self, id: &str, topic: &str, partition: i32) -> (i64, String) {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(topic)))
            .with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(id))).with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        self.patiently(|it| {
            let mut group = it.send(request.clone(), 8).groups.remove(0);
            let code = group.error_code;
            let answer = match code {
                0 => {
                    let partition = group.topics.remove(0).partitions.remove(0);
                    (partition.committed_offset, partition.metadata.as_deref().unwrap_or("null").to_owned())
                }
                code => (-1, code.to_string()),
            };
            (code, answer)
        })
    }

    fn view(&mut self, id: &str) -> Result<GroupView, i16> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(id))]);
        let group = self.patiently(|it| {
            let group = it.send(request.clone(), 6).groups.remove(0);
            (group.error_code, group)
        });
        if group.error_code != 0 {
            return Err(group.error_code);
        }
        let members = group.members.into_iter().map(|member| MemberView {
            client: member.client_id.to_string(),
            instance: member.group_instance_id.map(|id| id.to_string()),
            topics: subscription(member.member_metadata),
            assignment: assigned(member.member_assignment),
        });
        Ok(GroupView {
            members: members.collect(),
            state: group.group_state.to_string(),
            protocol_type: group.protocol_type.to_string(),
            protocol: group.protocol_data.to_string(),
        })
    }

    fn settle(&mut self, id: &str, members: &mut Members) -> Facts {
        let begin = Instant::now();
        let topics: BTreeSet<_> = members.topics.values().flatten().cloned().collect();
        let mut everything = Partitions::new();
        for topic in topics {
            let count = self.metadata(&topic).partitions.len() as i32;
            everything.extend((0..count).map(|partition| (topic.clone(), partition)));
        }
        while begin.elapsed() < SETTLING {
            for member in members.active.values() {
                // No error: a topic that does not exist, a coordinator that is not there yet.
                let polled = member.consumer.poll(Duration::from_millis(1));
                assert!(!matches!(polled, Some(Ok(_))), "a record of a paused partition");
            }
            let Ok(view) = self.view(id) else { continue };
            let own =
                members.active.iter().map(|(index, it)| (format!("m{index}"), assignment(&it.consumer))).collect();
            if !view.has_settled(own, &members.ghosts, &everything) {
                continue;
            }
            for member in members.active.values_mut() {
                let assigned = assignment(&member.consumer);
                if !member.is_cooperative {
                    member.starts.clear();
                }
                member.starts.retain(|partition, _| assigned.contains(partition));
                for (topic, partition) in assigned {
                    let start = self.start(id, &topic, partition);
                    member.starts.entry((topic, partition)).or_insert(start);
                }
            }
            let someone = members.active.keys().next().map(|index| format!("m{index}"));
            let (moved, after, is_sticky) = (view.moved(&members.before), view.assignments(), view.is_sticky());
            let mut facts = view.facts();
            facts.add("moved", moved);
            members.before = after;
            members.is_sticky = is_sticky;
            if let Some(client) = someone {
                let last = std::mem::replace(&mut members.generation, 0);
                members.generation = self.generation(id, &client, last);
                facts.add("generations", members.generation - last);
            }
            return facts;
        }
        Facts::one("settle", "never")
    }

    /// Where a member begins that is assigned this partition now.
    fn start(&mut self, id: &str, topic: &str, partition: i32) -> i64 {
        let first = self.offset_at(topic, partition, -2).unwrap().0;
        let end = self.latest(topic, partition).unwrap();
        Some(self.committed(id, topic, partition).0).filter(|at| (first..=end).contains(at)).unwrap_or(first)
    }

    /// The group's generation, found by heartbeats: no answer of an administrator's shows it.
    fn generation(&mut self, id: &str, client: &str, last: i32) -> i32 {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(id))]);
        let members = self.send(request, 6).groups.remove(0).members;
        let member = members.into_iter().find(|member| &*member.client_id == client).expect("the member");
        for generation in last.max(0)..last + 20 {
            let request = HeartbeatRequest::default()
                .with_group_id(GroupId(text(id)))
                .with_generation_id(generation)
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone());
            const ILLEGAL_GENERATION: i16 = 22;
            if self.send(request, 4).error_code != ILLEGAL_GENERATION {
                return generation;
            }
        }
        -1
    }

    fn consume(&mut self, members: &mut Members) -> Facts {
        let mut facts = Facts::default();
        let begin = Instant::now();
        let mut commits = Vec::new();
        for (index, member) in &members.active {
            let assigned = assignment(&member.consumer);
            let mut behind: BTreeMap<(String, i32), i64> = BTreeMap::new();
            for (topic, partition) in &assigned {
                let end = self.latest(topic, *partition).unwrap();
                let first = self.offset_at(topic, *partition, -2).unwrap().0;
                if member.starts[&(topic.clone(), *partition)].max(first) < end {
                    behind.insert((topic.clone(), *partition), end);
                }
            }
            let mut records: BTreeMap<(String, i32), Vec<(String, String)>> = BTreeMap::new();
            let mut next = BTreeMap::new();
            let partitions = list(assigned);
            if partitions.count() > 0 {
                member.consumer.resume(&partitions).unwrap();
            }
            while !behind.is_empty() {
                if begin.elapsed() > PATIENCE {
                    facts.add(format!("m{index} is behind"), format!("{behind:?}"));
                    break;
                }
                let Some(Ok(message)) = member.consumer.poll(Duration::from_millis(20)) else { continue };
                let (record, of, offset) = seen_record(&message);
                if behind.get(&of).is_some_and(|end| offset + 1 >= *end) {
                    behind.remove(&of);
                }
                next.insert(of.clone(), offset + 1);
                records.entry(of).or_default().push(record);
            }
            if partitions.count() > 0 {
                member.consumer.pause(&partitions).unwrap();
            }
            for ((topic, partition), records) in records {
                for (name, value) in records {
                    facts.add(format!("{} {topic}-{partition} {name}", reader(members.is_sticky, *index)), value);
                }
            }
            if !next.is_empty() {
                let mut offsets = TopicPartitionList::new();
                for ((topic, partition), offset) in &next {
                    offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
                }
                commits.push((*index, offsets, next));
            }
        }
        let mut committed = Vec::new();
        for (index, offsets, next) in commits {
            let Some(member) = members.active.get_mut(&index) else { continue };
            committed.push(done(&member.consumer.commit(&offsets, CommitMode::Sync)));
            member.starts.extend(next);
        }
        finish_consume(facts, committed)
    }
}

fn subscription(mut bytes: Bytes) -> BTreeSet<String> {
    if bytes.is_empty() {
        return BTreeSet::new();
    }
    let version = bytes.get_i16();
    let subscription = ConsumerProtocolSubscription::decode(&mut bytes, version).expect("a subscription");
    subscription.topics.iter().map(ToString::to_string).collect()
}

fn assigned(mut bytes: Bytes) -> Partitions {
    if bytes.is_empty() {
        return Partitions::new();
    }
    let version = bytes.get_i16();
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version).expect("an assignment");
    let of = |topic: &kafka_protocol::messages::consumer_protocol_assignment::TopicPartition| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(|partition| (name.clone(), *partition)).collect::<Vec<_>>()
    };
    assignment.assigned_partitions.iter().flat_map(of).collect()
}
