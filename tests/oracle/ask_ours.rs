//! Requests to the coordinator here.

use std::collections::BTreeMap;

use brokerless::oracle::{Answer, Join, Joined, Requests, Synced};
use brokerless::types::OffsetAndMetadata;
use brokerless::{Cluster, NewTopic, TopicPartition};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::ask::Ask;
use crate::book::{Book, metadata};
use crate::op::Facts;

pub(crate) enum OursAnswer {
    Joined(Joined),
    Synced(Synced),
}

pub(crate) struct Ours {
    runtime: Runtime,
    pub(crate) requests: Requests,
    group: String,
    pub(crate) book: Book,
    pub(crate) waiting: BTreeMap<usize, (usize, bool, JoinHandle<OursAnswer>)>,
}

impl Ours {
    pub(crate) fn new(group: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = runtime.block_on(async {
            let cluster =
                Cluster::builder().broker_property("offsets.topic.num.partitions", "5").start().await.unwrap();
            cluster.admin().create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
            cluster.admin().create_topic(NewTopic::new("u")).await.unwrap();
            cluster
        });
        let book = Book::default();
        Self { runtime, requests: Requests(cluster), group: group.to_owned(), book, waiting: BTreeMap::new() }
    }

    pub(crate) fn wait<T: Send + 'static>(
        &self,
        answer: Answer<T>,
        into: fn(T) -> OursAnswer,
    ) -> JoinHandle<OursAnswer> {
        self.runtime.spawn(async move { into(answer.await) })
    }

    /// The answer; or none yet, see [`answers`](Self::answers).
    pub(crate) fn ask(&mut self, index: usize, ask: &Ask) -> Option<Facts> {
        let _entered = self.runtime.enter();
        let (group, book) = (self.group.clone(), &self.book);
        Some(match ask {
            Ask::Join { slot, id, instance, protocols, kind, known: require, session } => {
                let answer = self.requests.join_group(Join {
                    group_id: group,
                    session_timeout_ms: *session,
                    rebalance_timeout_ms: 60_000,
                    member_id: book.id(*slot, *id),
                    group_instance_id: instance.then(|| format!("i{slot}")),
                    protocol_type: (*kind).to_owned(),
                    protocols: protocols.iter().map(|it| ((*it).to_owned(), metadata(kind, *slot, it))).collect(),
                    client_id: format!("c{slot}"),
                    require_known_member_id: *require && ask.version() > 3,
                });
                self.waiting.insert(index, (*slot, ask.version() == 3, self.wait(answer, OursAnswer::Joined)));
                return None;
            }
            Ask::Sync { slot, id, generation, instance, kind, protocol } => {
                let who = book.who(&group, *slot, *id, book.generations[*slot] + generation, *instance);
                let protocol =
                    protocol.map(str::to_owned).or_else(|| book.protocol.clone()).or(Some("none".to_owned()));
                let protocol = protocol.filter(|_| kind.is_some());
                let assignments = book.assignments(&who.member_id);
                let answer = self.requests.sync_group(who, kind.map(str::to_owned), protocol, assignments);
                self.waiting.insert(index, (*slot, ask.version() == 4, self.wait(answer, OursAnswer::Synced)));
                return None;
            }
            Ask::Heartbeat { slot, id, generation, instance } => {
                let who = book.who(&group, *slot, *id, book.generations[*slot] + generation, *instance);
                Facts::one("heartbeat", self.runtime.block_on(self.requests.heartbeat(who)))
            }
            Ask::Leave(who) => {
                let members = who
                    .iter()
                    .map(|(slot, id, instance)| (book.id(*slot, *id), instance.then(|| format!("i{slot}"))))
                    .collect();
                let (error, members) = self.runtime.block_on(self.requests.leave_group(group, members));
                let mut facts = Facts::one("leave", error);
                facts.add("members", format!("{members:?}"));
                facts
            }
            Ask::Commit { slot, id, generation, instance, partition, offset, note } => {
                let generation = generation.map_or(-1, |generation| book.generations[*slot] + generation);
                let who = book.who(&group, *slot, *id, generation, *instance);
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
            Ask::Describe => book.described(&self.requests.describe_group(&group)),
            Ask::Delete => {
                let deleted = self.runtime.block_on(self.requests.0.admin().delete_group(&group));
                Facts::one("delete group", deleted.err().map_or(0, |error| error.code().as_i16()))
            }
        })
    }

    /// The answers that have come by now.
    pub(crate) fn answers(&mut self) -> Vec<(usize, usize, bool, OursAnswer)> {
        let done: Vec<_> =
            self.waiting.iter().filter(|(_, (_, _, it))| it.is_finished()).map(|(index, _)| *index).collect();
        let take = |index| {
            let (slot, is_old, handle) = self.waiting.remove(&index).expect("a pending request");
            (index, slot, is_old, self.runtime.block_on(handle).expect("an answer"))
        };
        done.into_iter().map(take).collect()
    }
}
