//! Groups of consumers here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use brokerless::types::OffsetAndMetadata;
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, Error, OwnedConsumerRecord, PartitionAssignor,
    RebalanceContext, RebalanceListener, TopicPartition,
};
use futures::future::join_all;

use crate::op::{Facts, GroupOp, GroupView, MemberView, Name, Partitions, finish_consume, partition_of, reader};
use crate::ours::{code, done, read_to_end, reset_of, seen_record};

const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(12);

#[derive(Default)]
pub(crate) struct Members {
    active: BTreeMap<usize, Consumer>,
    /// Static members that closed and did not leave.
    ghosts: BTreeSet<usize>,
    topics: BTreeMap<usize, Vec<String>>,
    generation: i32,
    /// Who had what when the group was last settled.
    before: BTreeMap<String, Partitions>,
    is_sticky: bool,
}

pub(crate) struct Group<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) prefix: &'a str,
    pub(crate) id: String,
    pub(crate) members: &'a mut Members,
}

/// Members read in `Consume` only: what they read while a group settles would depend on how long that takes.
struct Paused;

impl RebalanceListener for Paused {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        context.pause(partitions).unwrap();
    }
}

fn assignor(name: &str) -> PartitionAssignor {
    let all = [
        PartitionAssignor::Range,
        PartitionAssignor::RoundRobin,
        PartitionAssignor::Sticky,
        PartitionAssignor::CooperativeSticky,
    ];
    all.into_iter().find(|it| it.name() == name).expect("an assignor")
}

impl Group<'_> {
    fn names(&self, topics: &[Name]) -> Vec<String> {
        topics.iter().map(|topic| topic.full(self.prefix)).collect()
    }

    fn partition(&self, topic: &Name, partition: i32) -> TopicPartition {
        TopicPartition::new(topic.full(self.prefix), partition)
    }

    /// Somebody who knows the group's id and is no member.
    fn outsider(&self) -> Consumer {
        self.cluster.consumer(ConsumerConfig::group(&self.id).enable_auto_commit(false)).unwrap()
    }

    pub(crate) async fn run(&mut self, op: &GroupOp) -> Facts {
        let admin = self.cluster.admin();
        match op {
            GroupOp::Join { member, assignor: name, topics, instance } => {
                let mut config = ConsumerConfig::group(&self.id)
                    .client_id(format!("m{member}"))
                    .enable_auto_commit(false)
                    .auto_offset_reset(AutoOffsetReset::Earliest)
                    .session_timeout(Duration::from_secs(30))
                    .heartbeat_interval(Duration::from_millis(50))
                    .partition_assignment_strategy([assignor(name)]);
                if *instance {
                    config = config.group_instance_id(format!("i{member}"));
                }
                let topics = self.names(topics);
                let mut consumer = self.cluster.consumer(config).unwrap();
                consumer.subscribe_with_listener(topics.iter().cloned(), Paused).unwrap();
                self.members.active.insert(*member, consumer);
                self.members.ghosts.remove(member);
                self.members.topics.insert(*member, topics);
                self.settle().await
            }
            GroupOp::Subscribe { member, topics } => {
                let topics = self.names(topics);
                let Some(consumer) = self.members.active.get_mut(member) else { return Facts::default() };
                consumer.subscribe_with_listener(topics.iter().cloned(), Paused).unwrap();
                self.members.topics.insert(*member, topics);
                self.settle().await
            }
            GroupOp::Leave { member } => {
                let Some(consumer) = self.members.active.remove(member) else { return Facts::default() };
                match consumer.group_metadata().unwrap().group_instance_id() {
                    Some(_) => drop(self.members.ghosts.insert(*member)),
                    None => drop(self.members.topics.remove(member)),
                }
                consumer.close().await.unwrap();
                self.settle().await
            }
            GroupOp::Consume => self.consume().await,
            GroupOp::Commit { member, topic, partition, offset, note } => {
                let partition = self.partition(topic, *partition);
                let Some(consumer) = self.members.active.get_mut(member) else { return Facts::default() };
                let committed = OffsetAndMetadata::new(*offset).metadata_text(note);
                Facts::one("commit", done(&consumer.commit_offsets([(partition, committed)]).await))
            }
            GroupOp::CommitOutside { topic, partition, offset, note } => {
                let committed = OffsetAndMetadata::new(*offset).metadata_text(note);
                let offsets = [(self.partition(topic, *partition), committed)];
                Facts::one("commit", done(&self.outsider().commit_offsets(offsets).await))
            }
            GroupOp::Committed { topic, partition } => {
                let partition = self.partition(topic, *partition);
                let committed = self.outsider().committed([&partition]).await.unwrap();
                let mut facts = Facts::default();
                facts.add("committed", committed.get(&partition).map_or(-1, |committed| committed.offset()));
                facts.add("note", committed.get(&partition).map_or("", |committed| committed.metadata()));
                facts
            }
            GroupOp::ReadCommitted { topic, partition, reset } => {
                let partition = self.partition(topic, *partition);
                let config = ConsumerConfig::group(&self.id).enable_auto_commit(false);
                let mut consumer = self.cluster.consumer(config.auto_offset_reset(reset_of(*reset))).unwrap();
                consumer.assign([partition.clone()]).unwrap();
                read_to_end(&mut consumer, &partition).await
            }
            GroupOp::SetOffset { topic, partition, offset, note } => {
                let committed = OffsetAndMetadata::new(*offset).metadata_text(note);
                let altered = admin.alter_group_offsets(&self.id, [(self.partition(topic, *partition), committed)]);
                Facts::one("set offset", done(&altered.await[0]))
            }
            GroupOp::ForgetOffset { topic, partition } => {
                let forgotten = admin.delete_group_offsets(&self.id, [self.partition(topic, *partition)]).await;
                Facts::one("forget offset", done(&forgotten[0]))
            }
            GroupOp::AllCommitted => {
                let committed = admin.list_group_offsets(&self.id).await;
                let mut facts = Facts::one("all committed", done(&committed));
                for (partition, it) in committed.unwrap_or_default() {
                    facts.add(partition, format!("{} {:?}", it.offset(), it.metadata()));
                }
                facts
            }
            GroupOp::Describe => match self.view().await {
                Ok(view) => view.facts(),
                Err(error) => Facts::one("describe", code(&error)),
            },
            GroupOp::List => {
                let mut facts = Facts::default();
                let groups = admin.list_groups().await.unwrap();
                let mut groups: Vec<_> = groups.iter().filter(|it| it.group_id().starts_with(self.prefix)).collect();
                groups.sort_by_key(|group| group.group_id().to_owned());
                for group in groups {
                    facts.add(group.group_id(), format!("{:?} {}", group.protocol_type(), group.state()));
                }
                facts
            }
            GroupOp::Delete => Facts::one("delete group", done(&admin.delete_group(&self.id).await)),
        }
    }

    async fn view(&self) -> Result<GroupView, Error> {
        let group = self.cluster.admin().describe_group(&self.id).await?;
        let member = |member: &brokerless::admin::MemberDescription| MemberView {
            client: member.client_id().to_owned(),
            instance: member.group_instance_id().map(str::to_owned),
            topics: member.subscription().iter().cloned().collect(),
            assignment: member.assignment().iter().map(partition_of).collect(),
        };
        Ok(GroupView {
            state: group.state().to_string(),
            protocol_type: group.protocol_type().to_owned(),
            protocol: group.protocol().to_owned(),
            members: group.members().iter().map(member).collect(),
        })
    }

    /// Polls the members until the group is stable and everybody has what the coordinator says that they have.
    async fn settle(&mut self) -> Facts {
        let begin = Instant::now();
        loop {
            for polled in join_all(self.members.active.values_mut().map(|member| member.poll(Duration::ZERO))).await {
                assert!(polled.unwrap().is_empty(), "records of a paused partition");
            }
            let partitions = |topic: &String| {
                let cluster = self.cluster.clone();
                let topic = topic.clone();
                async move {
                    let described = cluster.admin().describe_topic(&topic).await;
                    let count = described.map_or(0, |topic| topic.partitions().len() as i32);
                    (0..count).map(|partition| (topic.clone(), partition)).collect::<Vec<_>>()
                }
            };
            let topics: BTreeSet<_> = self.members.topics.values().flatten().collect();
            let expected: BTreeSet<_> =
                join_all(topics.into_iter().map(partitions)).await.into_iter().flatten().collect();
            if let Ok(view) = self.view().await {
                let own = self.members.active.iter().map(|(index, consumer)| {
                    (format!("m{index}"), consumer.assignment().iter().map(partition_of).collect())
                });
                if view.has_settled(own.collect(), &self.members.ghosts, &expected) {
                    let (moved, after, is_sticky) =
                        (view.moved(&self.members.before), view.assignments(), view.is_sticky());
                    let mut facts = view.facts();
                    facts.add("moved", moved);
                    self.members.before = after;
                    self.members.is_sticky = is_sticky;
                    if let Some(member) = self.members.active.values().next() {
                        let generation = member.group_metadata().unwrap().generation_id();
                        facts.add("generations", generation - self.members.generation);
                        self.members.generation = generation;
                    }
                    return facts;
                }
            }
            if begin.elapsed() > PATIENCE {
                return Facts::one("settle", "never");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn consume(&mut self) -> Facts {
        let mut facts = Facts::default();
        let mut committed = Vec::new();
        let is_sticky = self.members.is_sticky;
        let begin = Instant::now();
        let mut records: BTreeMap<(usize, String, i32), Vec<OwnedConsumerRecord>> = BTreeMap::new();
        for (index, member) in &mut self.members.active {
            let assigned = member.assignment();
            member.resume(&assigned).unwrap();
            loop {
                for record in &member.poll(POLL).await.unwrap() {
                    let of = (*index, record.topic().to_owned(), record.partition());
                    records.entry(of).or_default().push(record.to_owned());
                }
                let mut behind = false;
                for partition in member.assignment() {
                    let end = member.end_offsets([&partition]).await.unwrap()[&partition];
                    behind |= member.position(&partition).await.unwrap() < end;
                }
                if !behind {
                    break;
                }
                assert!(begin.elapsed() < PATIENCE, "a member does not get to the end");
            }
            member.pause(&assigned).unwrap();
        }
        for (index, member) in &mut self.members.active {
            let mut offsets = Vec::new();
            for ((_, topic, partition), records) in records.iter().filter(|((of, _, _), _)| of == index) {
                for record in records {
                    let (name, value) = seen_record(record);
                    facts.add(format!("{} {topic}-{partition} {name}", reader(is_sticky, *index)), value);
                }
                let next = records.last().unwrap().offset() + 1;
                offsets.push((TopicPartition::new(&**topic, *partition), OffsetAndMetadata::new(next)));
            }
            if !offsets.is_empty() {
                committed.push(done(&member.commit_offsets(offsets).await));
            }
        }
        finish_consume(facts, committed)
    }
}
