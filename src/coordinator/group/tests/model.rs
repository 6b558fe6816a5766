//! Random members against the shard: they join, sync, watch, commit, leave, crash, come back, ask twice, ask too late and
//! go silent; time passes; offsets expire; administrators set and delete offsets, remove members and delete the group;
//! appends fail; the log is compacted; the coordinator restarts.
//!
//! After every event: the machine's own invariants and a legal step from state to state. After every step: one leader and
//! one assignment for each generation, generations that only grow, commits accepted from members of the present
//! generation alone, the last accepted commit in force until it is deleted or has expired by the plain rule, watches that
//! miss nothing, no more members than `group.max.size`, and shards rebuilt from the log, as it is and compacted, that
//! equal the live one. At the end every request has been answered, once, and nothing is left.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::classic::ClassicGroup;
use crate::coordinator::group::record::GroupRecordKey;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::util::testing::cases;

const GROUP: &str = "g";
/// Everybody reads the first topic, nobody the second.
const PARTITIONS: [(&str, i32); 4] = [("t", 0), ("t", 1), ("v", 0), ("v", 1)];
const RETENTION_MS: i64 = 120_000;
const DYNAMIC_CLIENTS: usize = 3;
/// The last two are two processes with one instance id.
const CLIENTS: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    Join {
        client: usize,
        other_topics: bool,
    },
    /// Everybody joins, with a member id if need be, and waits for the generation to begin.
    Gather,
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Watch {
        client: usize,
    },
    Commit {
        client: usize,
        partition: usize,
        stale: bool,
    },
    /// From a consumer that assigns its partitions by hand, or an administrator.
    ManualCommit {
        partition: usize,
    },
    DeleteOffset {
        partition: usize,
    },
    /// By an administrator.
    Remove {
        client: usize,
        by_instance: bool,
    },
    RemoveAll,
    Leave {
        client: usize,
    },
    /// The process dies; another takes its place and knows nothing.
    Crash {
        client: usize,
    },
    Cancel {
        client: usize,
    },
    Pass {
        ms: i64,
    },
    FailNextAppend,
    RestartCoordinator,
    DeleteGroup,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..CLIENTS;
    let step = prop_oneof![
        8 => (client(), prop::bool::weighted(0.1)).prop_map(|(client, other_topics)| Step::Join { client, other_topics }),
        1 => Just(Step::Gather),
        8 => client().prop_map(|client| Step::Sync { client }),
        4 => client().prop_map(|client| Step::Heartbeat { client }),
        2 => client().prop_map(|client| Step::Watch { client }),
        4 => (client(), 0..PARTITIONS.len(), prop::bool::weighted(0.3))
            .prop_map(|(client, partition, stale)| Step::Commit { client, partition, stale }),
        1 => (0..PARTITIONS.len()).prop_map(|partition| Step::ManualCommit { partition }),
        1 => (0..PARTITIONS.len()).prop_map(|partition| Step::DeleteOffset { partition }),
        1 => (client(), any::<bool>()).prop_map(|(client, by_instance)| Step::Remove { client, by_instance }),
        1 => Just(Step::RemoveAll),
        1 => client().prop_map(|client| Step::Leave { client }),
        1 => client().prop_map(|client| Step::Crash { client }),
        1 => client().prop_map(|client| Step::Cancel { client }),
        4 => prop_oneof![0..5_000i64, 0..70_000i64].prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::FailNextAppend),
        1 => Just(Step::RestartCoordinator),
        1 => Just(Step::DeleteGroup),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Debug, Default)]
struct Client {
    request: Option<JoinGroupRequest>,
    joined: Option<Joined>,
    joining: Option<Token>,
    syncing: Option<Token>,
    /// And for whom.
    watching: Option<(Token, Joined)>,
}

/// What the plain model knows of a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    offset: i64,
    committed_ms: i64,
}

struct Model {
    harness: Harness,
    clients: Vec<Client>,
    /// What was committed, by index into `PARTITIONS`.
    committed: BTreeMap<usize, Known>,
    /// Since when the group has been empty: the live one, and the one in the log.
    empty_since_ms: Option<i64>,
    logged_empty_since_ms: Option<i64>,
    max_size: usize,
    steps: usize,
    next_offset: i64,
    /// Who was told to assign, by generation.
    leaders: HashMap<i32, String>,
    /// Which leader's assignment members have got, by generation.
    assigned: HashMap<i32, String>,
    last_generation: i32,
    /// Tokens whose requests nobody waits for; they may stay unanswered.
    cancelled: usize,
    /// Whether the record of an emptied group may be missing from the log.
    has_lost_appends: bool,
}

impl Model {
    fn new(max_size: usize) -> Self {
        let config = GroupConfig {
            max_size,
            offsets_retention_ms: RETENTION_MS,
            offsets_retention_check_interval_ms: 30_000,
            ..GroupConfig::default()
        };
        Self {
            harness: Harness::with_config(config),
            empty_since_ms: None,
            logged_empty_since_ms: None,
            max_size,
            steps: 0,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            committed: BTreeMap::new(),
            next_offset: 0,
            leaders: HashMap::new(),
            assigned: HashMap::new(),
            last_generation: 0,
            cancelled: 0,
            has_lost_appends: false,
        }
    }

    fn first_request(client: usize) -> JoinGroupRequest {
        if client < DYNAMIC_CLIENTS {
            JoinGroupRequest { require_known_member_id: client != 0, ..member(GROUP, &format!("c{client}")) }
        } else {
            let instance = if client == DYNAMIC_CLIENTS { "i1" } else { "i2" };
            let supports_skipping_assignment = client != DYNAMIC_CLIENTS;
            JoinGroupRequest { supports_skipping_assignment, ..static_member(GROUP, instance) }
        }
    }

    fn apply(&mut self, step: Step) {
        let loses_append = self.harness.fail_next.is_some();
        match step {
            Step::Join { client, other_topics } => self.join(client, other_topics),
            Step::Gather => {
                for client in (0..CLIENTS).chain(0..CLIENTS) {
                    if self.clients[client].joining.is_none() {
                        self.join(client, false);
                        self.read_replies();
                    }
                }
                self.pass(2 * DELAY_MS);
            }
            Step::Sync { client } => {
                if let Some(joined) = &self.clients[client].joined {
                    let mut request = joined.sync_request();
                    // An assignment says which leader made it. Followers hand one in too, which must go unheeded.
                    request.assignments.push((joined.member_id.clone(), "".into()));
                    for (_, assignment) in &mut request.assignments {
                        *assignment = joined.member_id.clone().into();
                    }
                    self.clients[client].syncing = Some(self.harness.sync(request));
                }
            }
            Step::Heartbeat { client } => {
                if let Some(joined) = self.clients[client].joined.clone() {
                    let error = self.harness.heartbeat(&joined);
                    self.on_error(client, error);
                }
            }
            Step::Watch { client } => {
                if let Some(joined) = self.clients[client].joined.clone() {
                    let token = self.harness.watch(&joined);
                    self.clients[client].watching = Some((token, joined));
                }
            }
            Step::Commit { client, partition, stale } => {
                if let Some(mut joined) = self.clients[client].joined.clone() {
                    joined.generation_id -= i32::from(stale);
                    self.commit(&joined, partition);
                }
            }
            Step::ManualCommit { partition } => self.commit(&Joined::nobody(GROUP), partition),
            Step::Leave { client } => {
                if let Some(joined) = self.clients[client].joined.take() {
                    self.harness.leave(GROUP, &[(&joined.member_id, joined.instance_id.as_deref())]);
                    self.clients[client] = Client::default();
                }
            }
            Step::DeleteOffset { partition } => self.delete_offset(partition),
            Step::Remove { client, by_instance } => {
                if let Some(joined) = &self.clients[client].joined {
                    let instance_id = joined.instance_id.clone();
                    let leaving = match instance_id.as_deref().filter(|_| by_instance) {
                        Some(instance_id) => ("", Some(instance_id)),
                        None => (joined.member_id.as_str(), None),
                    };
                    let was_known = self.knows(&leaving);
                    let response = self.harness.leave(GROUP, &[leaving]);
                    if response.error.is_none() {
                        let expected = if was_known { ErrorCode::None } else { ErrorCode::UnknownMemberId };
                        assert_eq!(response.members, [expected]);
                    }
                    assert!(!self.knows(&leaving), "{leaving:?} is still there");
                }
            }
            Step::RemoveAll => {
                let members = self.harness.shard.describe(GROUP).members;
                let leaving: Vec<_> = members
                    .iter()
                    .map(|member| match &member.group_instance_id {
                        Some(instance_id) => ("", Some(instance_id.as_str())),
                        None => (member.member_id.as_str(), None),
                    })
                    .collect();
                self.harness.leave(GROUP, &leaving);
                assert_eq!(self.harness.shard.describe(GROUP).members, []);
            }
            Step::Crash { client } => self.clients[client] = Client::default(),
            Step::Cancel { client } => {
                if let Some(token) = self.clients[client].joining.take_if(|token| self.harness.is_waiting(*token)) {
                    self.harness.cancel(token);
                    self.cancelled += 1;
                }
            }
            Step::Pass { ms } => self.pass(ms),
            Step::FailNextAppend => self.harness.fail_next = Some(ErrorCode::NotEnoughReplicas),
            Step::RestartCoordinator => self.restart(),
            Step::DeleteGroup => {
                let state = self.harness.state(GROUP);
                let error = self.harness.delete(GROUP);
                match state {
                    "Dead" => assert_eq!(error, ErrorCode::GroupIdNotFound),
                    "Empty" if error.is_none() => self.committed.clear(),
                    "Empty" => assert!(loses_append, "{error} is no reason to keep an empty group"),
                    _ => assert_eq!(error, ErrorCode::NonEmptyGroup),
                }
            }
        }
        let lost_append = loses_append && self.harness.fail_next.is_none();
        self.has_lost_appends |= lost_append;
        self.note_emptiness(lost_append);
        self.read_replies();
        self.steps += 1;
        self.check();
    }

    /// Lets time pass, and holds every offset that goes meanwhile against the plain rule.
    fn pass(&mut self, ms: i64) {
        let target_ms = self.harness.now_ms + ms;
        let next = |shard: &GroupShard| shard.poll_timeout().filter(|deadline_ms| *deadline_ms <= target_ms);
        while let Some(deadline_ms) = next(&self.harness.shard) {
            self.harness.now_ms = self.harness.now_ms.max(deadline_ms);
            let state = self.harness.state(GROUP);
            let outcome = self.harness.shard.handle_timeout(self.harness.now_ms);
            let fails = self.harness.fail_next.is_some() && !outcome.records.is_empty();
            let mut left = self.committed.clone();
            for record in outcome.records.iter().filter(|record| record.value.is_none()) {
                match GroupRecordKey::decode(&record.key).unwrap().unwrap() {
                    GroupRecordKey::OffsetCommit { topic_partition, .. } => {
                        let is_it = |(topic, index)| topic_partition == (topic, index).into();
                        let partition = PARTITIONS.into_iter().position(is_it).unwrap();
                        let known = left.remove(&partition).expect("an offset goes that was not there");
                        assert!(
                            self.has_expired(partition, known, state),
                            "{topic_partition} went too early: {self:?}"
                        );
                    }
                    GroupRecordKey::GroupMetadata { .. } => {
                        assert_eq!((state, left.len()), ("Empty", 0), "the group went too early");
                    }
                }
            }
            if !fails {
                self.committed = left;
            }
            self.harness.settle(outcome);
            self.has_lost_appends |= fails;
            self.note_emptiness(fails);
        }
        self.harness.now_ms = target_ms;
    }

    fn has_expired(&self, partition: usize, known: Known, state: &str) -> bool {
        let group = self.harness.shard.list().into_iter().find(|group| group.group_id == GROUP).unwrap();
        let since_ms = match (group.protocol_type.as_str(), state) {
            ("", _) => known.committed_ms,
            (_, "Empty") => self.empty_since_ms.unwrap(),
            (_, "Stable") if PARTITIONS[partition].0 == "v" => known.committed_ms,
            _ => return false,
        };
        self.harness.now_ms - since_ms >= RETENTION_MS
    }

    /// Follows the group into and out of emptiness.
    fn note_emptiness(&mut self, lost_append: bool) {
        match self.harness.state(GROUP) {
            "Empty" => {
                let now_ms = self.harness.now_ms;
                if self.empty_since_ms.is_none() {
                    self.empty_since_ms = Some(now_ms);
                    if !lost_append {
                        self.logged_empty_since_ms = self.empty_since_ms;
                    }
                }
            }
            _ => self.empty_since_ms = None,
        }
    }

    fn knows(&self, (member_id, instance_id): &(&str, Option<&str>)) -> bool {
        let members = self.harness.shard.describe(GROUP).members;
        members.iter().any(|member| match instance_id {
            Some(_) => member.group_instance_id.as_deref() == *instance_id,
            None => member.member_id == *member_id,
        })
    }

    fn delete_offset(&mut self, partition: usize) {
        let (state, loses_append) = (self.harness.state(GROUP), self.harness.fail_next.is_some());
        let was_committed = self.committed.contains_key(&partition);
        let (topic, index) = PARTITIONS[partition];
        match (state, self.harness.delete_offsets(GROUP, &[(topic, index)])) {
            ("Dead", answer) => assert_eq!(answer, Err(ErrorCode::GroupIdNotFound)),
            (_, Err(error)) => {
                assert!(loses_append && was_committed, "{error}");
                assert_eq!(error, ErrorCode::CoordinatorNotAvailable);
            }
            (_, Ok(codes)) => {
                let is_read = codes == [ErrorCode::GroupSubscribedToTopic];
                match state {
                    "Empty" => assert!(!is_read),
                    // In between, the generation before decides, if there was one.
                    "PreparingRebalance" => {}
                    _ => assert_eq!(is_read, topic == "t"),
                }
                if !is_read {
                    self.committed.remove(&partition);
                }
            }
        }
    }

    fn join(&mut self, client: usize, other_topics: bool) {
        let mut request = self.clients[client].request.clone().unwrap_or_else(|| Self::first_request(client));
        if other_topics {
            request.protocols[0].1 = subscription(&["t", "u"]);
        }
        self.clients[client].joining = Some(self.harness.join(&request));
        self.clients[client].request = Some(request);
    }

    fn restart(&mut self) {
        // A cancelled request is nobody's, so unloading does not answer it.
        if self.cancelled > 0 {
            return;
        }
        self.harness.restart();
        self.empty_since_ms = (self.harness.state(GROUP) == "Empty").then_some(self.logged_empty_since_ms).flatten();
        // A generation that got no assignment before the restart is begun again by the next rebalance.
        if self.harness.shard.groups.contains_key(GROUP) {
            self.forget_generations_above(self.harness.generation(GROUP));
        } else {
            self.forget_generations_above(-1);
        }
        self.has_lost_appends = false;
    }

    fn forget_generations_above(&mut self, generation_id: i32) {
        let was_assigned = self.assigned.keys().any(|assigned| *assigned > generation_id);
        assert!(generation_id < 0 || !was_assigned, "a restart lost an assigned generation");
        self.leaders.retain(|known, _| *known <= generation_id);
        self.assigned.retain(|known, _| *known <= generation_id);
        self.last_generation = generation_id.max(0);
    }

    fn commit(&mut self, joined: &Joined, partition: usize) {
        self.next_offset += 1;
        let (topic, index) = PARTITIONS[partition];
        let before = self.harness.shard.describe(GROUP);
        let generation_id = self.harness.shard.groups.get(GROUP).map(ClassicGroup::generation_id);
        let error = self.harness.commit_to(joined, topic, index, self.next_offset.into());
        if error.is_none() {
            let known = Known { offset: self.next_offset, committed_ms: self.harness.now_ms };
            self.committed.insert(partition, known);
            if joined.generation_id < 0 {
                assert!(before.members.is_empty(), "somebody from outside committed for {before:?}");
            } else {
                assert_eq!(Some(joined.generation_id), generation_id);
                assert!(before.members.iter().any(|member| member.member_id == joined.member_id));
                assert_ne!(before.state, "CompletingRebalance");
            }
        }
    }

    fn on_error(&mut self, client: usize, error: ErrorCode) {
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.clients[client] = Client::default(),
            ErrorCode::IllegalGeneration => self.clients[client].joined = None,
            _ => {}
        }
    }

    fn read_replies(&mut self) {
        for client in 0..CLIENTS {
            if let Some(Reply::Join(response)) = self.clients[client].joining.and_then(|token| self.harness.take(token))
            {
                self.clients[client].joining = None;
                match response.error {
                    ErrorCode::None => self.on_joined(client, response),
                    ErrorCode::MemberIdRequired => {
                        self.clients[client].request.as_mut().unwrap().member_id = response.member_id;
                    }
                    error => self.on_error(client, error),
                }
            }
            if let Some(Reply::Sync(response)) = self.clients[client].syncing.and_then(|token| self.harness.take(token))
            {
                self.clients[client].syncing = None;
                if response.error.is_none() {
                    let generation_id = self.clients[client].joined.as_ref().unwrap().generation_id;
                    let leader = String::from_utf8(response.assignment.to_vec()).unwrap();
                    let known = self.assigned.entry(generation_id).or_insert_with(|| leader.clone());
                    assert_eq!(*known, leader, "generation {generation_id} has two assignments");
                    assert_eq!(self.leaders.get(&generation_id), Some(&leader), "a stranger assigned");
                }
                self.on_error(client, response.error);
            }
        }
    }

    fn on_joined(&mut self, client: usize, response: JoinGroupResponse) {
        if response.leader == response.member_id && !response.skip_assignment {
            let known = self.leaders.entry(response.generation_id).or_insert_with(|| response.leader.clone());
            assert_eq!(*known, response.leader, "generation {} has two leaders", response.generation_id);
        }
        let request = self.clients[client].request.clone().unwrap();
        let joined = Joined::new(&request, response);
        self.clients[client].request = Some(joined.request.clone());
        self.clients[client].joined = Some(joined);
    }

    fn check(&mut self) {
        match self.harness.shard.groups.get(GROUP) {
            Some(group) => {
                let generation_id = group.generation_id();
                assert!(generation_id >= self.last_generation, "{generation_id} follows {}", self.last_generation);
                assert!(self.leaders.keys().all(|known| *known <= generation_id));
                self.last_generation = generation_id;
            }
            None => {
                self.forget_generations_above(-1);
                (self.empty_since_ms, self.logged_empty_since_ms) = (None, None);
            }
        }
        for (partition, (topic, index)) in PARTITIONS.into_iter().enumerate() {
            let committed = self.harness.shard.offsets.get(GROUP, &(topic, index).into());
            let committed =
                committed.map(|it| Known { offset: it.offset.offset(), committed_ms: it.commit_timestamp_ms });
            assert_eq!(committed, self.committed.get(&partition).copied(), "{topic}-{index}");
        }
        self.check_members();
        self.check_rebuilt();
    }

    fn check_members(&self) {
        let group = self.harness.shard.describe(GROUP);
        if matches!(group.state, "CompletingRebalance" | "Stable") {
            // Static members keep their place while they are away.
            let dynamic = group.members.iter().filter(|member| member.group_instance_id.is_none());
            assert!(dynamic.count() <= self.max_size, "{group:?}");
        }
        for (token, joined) in self.clients.iter().filter_map(|client| client.watching.as_ref()) {
            if self.harness.is_waiting(*token) {
                assert!(matches!(group.state, "CompletingRebalance" | "Stable"), "a watch missed {}", group.state);
                assert_eq!(joined.generation_id, self.last_generation);
                assert!(group.members.iter().any(|member| member.member_id == joined.member_id));
            }
        }
    }

    fn check_rebuilt(&self) {
        let live = &self.harness.shard;
        let rebuilt = self.harness.rebuilt();
        assert_eq!(rebuilt.offsets, live.offsets);
        assert!(rebuilt.groups.keys().eq(live.groups.keys()));
        if !self.has_lost_appends {
            for (live, restored) in live.groups.values().zip(rebuilt.groups.values()) {
                live.assert_restored_as(restored);
            }
        }
        // How far the cleaner is, and up to where tombstones have served their time, differs from step to step.
        let length = self.harness.log.len();
        let cleaned = self.steps * 7919 % (length + 1);
        let compacted = compacted(&self.harness.log, cleaned, self.steps * 31 % (cleaned + 1));
        let mut shard = GroupShard::new(GroupConfig::default(), 0, GroupCount::default());
        for (offset, record) in compacted {
            shard.replay(offset as i64, &record.key, record.value.as_deref()).unwrap();
        }
        assert_eq!(shard.offsets, live.offsets, "compaction changed what is committed");
        assert!(shard.groups.keys().all(|group_id| rebuilt.groups.contains_key(group_id)));
        for (group_id, group) in rebuilt.groups.iter() {
            match shard.groups.get(group_id) {
                Some(restored) => group.assert_restored_as(restored),
                // Nothing but the record of an offset that is gone spoke of it.
                None => assert_eq!((group.generation_id(), live.offsets.count(group_id)), (0, 0)),
            }
        }
    }

    /// Everybody falls silent: whatever waits is answered, nobody is left, and at last nothing is.
    fn finish(&mut self) {
        self.harness.fail_next = None;
        self.pass(3_600_000);
        assert_eq!(self.harness.waiting(), self.cancelled, "requests were never answered");
        assert_eq!(self.harness.shard.list(), []);
        assert_eq!(self.harness.shard.poll_timeout(), None);
        self.check();
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let now_ms = self.harness.now_ms;
        write!(f, "at {now_ms}, empty since {:?}: {:?}", self.empty_since_ms, self.committed)
    }
}

/// What is left of a log after the cleaner has been through its first `cleaned` records: of each key the last, except for
/// tombstones among the first `expired`.
fn compacted(log: &[CoordinatorRecord], cleaned: usize, expired: usize) -> Vec<(usize, &CoordinatorRecord)> {
    let mut seen = HashSet::new();
    let mut left: Vec<_> = log.iter().enumerate().skip(cleaned).rev().collect();
    for (offset, record) in log.iter().enumerate().take(cleaned).rev() {
        if seen.insert(&record.key) && !(record.value.is_none() && offset < expired) {
            left.push((offset, record));
        }
    }
    left.reverse();
    left
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn invariants_27_28_30_hold_for_members_that_do_whatever_they_like(
        steps in steps(),
        max_size in prop_oneof![Just(usize::MAX), 1..4usize],
    ) {
        let mut model = Model::new(max_size);
        for step in steps {
            model.apply(step);
        }
        model.finish();
    }
}
