//! Random members against the shard: they join, sync, commit, leave, crash, come back, ask twice, ask too late and go
//! silent; time passes; appends fail; the coordinator restarts; the group is deleted.
//!
//! After every step: the machine's own invariants, one leader and one assignment for each generation, generations that
//! only grow, commits accepted from members of the present generation alone, the last accepted commit in force, and a
//! shard rebuilt from the log that equals the live one. At the end every request has been answered, once.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::coordinator::group::classic::ClassicGroup;
use crate::coordinator::group::*;
use crate::error::ErrorCode;

const GROUP: &str = "g";
const PARTITIONS: i32 = 3;
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
    Commit {
        client: usize,
        partition: i32,
        stale: bool,
    },
    ManualCommit {
        partition: i32,
    },
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
        4 => (client(), 0..PARTITIONS, prop::bool::weighted(0.3))
            .prop_map(|(client, partition, stale)| Step::Commit { client, partition, stale }),
        1 => (0..PARTITIONS).prop_map(|partition| Step::ManualCommit { partition }),
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
}

struct Model {
    harness: Harness,
    clients: Vec<Client>,
    /// What was committed, by partition.
    committed: BTreeMap<i32, i64>,
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
    fn new() -> Self {
        Self {
            harness: Harness::new(),
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
                self.harness.advance(2 * DELAY_MS);
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
            Step::Crash { client } => self.clients[client] = Client::default(),
            Step::Cancel { client } => {
                if let Some(token) = self.clients[client].joining.take_if(|token| self.harness.is_waiting(*token)) {
                    self.harness.cancel(token);
                    self.cancelled += 1;
                }
            }
            Step::Pass { ms } => self.harness.advance(ms),
            Step::FailNextAppend => self.harness.fail_next = Some(ErrorCode::NotEnoughReplicas),
            Step::RestartCoordinator => self.restart(),
            Step::DeleteGroup => {
                if self.harness.delete(GROUP) == ErrorCode::None {
                    self.forget_generations_above(-1);
                    self.committed.clear();
                }
            }
        }
        self.has_lost_appends |= loses_append && self.harness.fail_next.is_none();
        self.read_replies();
        self.check();
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

    fn commit(&mut self, joined: &Joined, partition: i32) {
        self.next_offset += 1;
        let before = self.harness.shard.describe(GROUP);
        let generation_id = self.harness.shard.groups.get(GROUP).map(ClassicGroup::generation_id);
        let error = self.harness.commit(joined, partition, self.next_offset.into());
        if error.is_none() {
            self.committed.insert(partition, self.next_offset);
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
        if let Some(group) = self.harness.shard.groups.get(GROUP) {
            let generation_id = group.generation_id();
            assert!(generation_id >= self.last_generation, "{generation_id} follows {}", self.last_generation);
            assert!(self.leaders.keys().all(|known| *known <= generation_id));
            self.last_generation = generation_id;
        }
        for partition in 0..PARTITIONS {
            let expected = self.committed.get(&partition).copied();
            assert_eq!(self.harness.committed(GROUP, partition), expected, "partition {partition}");
        }
        let rebuilt = self.harness.rebuilt();
        assert_eq!(rebuilt.offsets, self.harness.shard.offsets);
        assert!(rebuilt.groups.keys().eq(self.harness.shard.groups.keys()));
        if !self.has_lost_appends {
            for (live, restored) in self.harness.shard.groups.values().zip(rebuilt.groups.values()) {
                live.assert_restored_as(restored);
            }
        }
    }

    /// Everybody falls silent: whatever waits is answered, and nobody is left.
    fn finish(&mut self) {
        self.harness.fail_next = None;
        self.harness.advance(3_600_000);
        assert_eq!(self.harness.waiting(), self.cancelled, "requests were never answered");
        assert_eq!(self.harness.group_deadline(), None);
        assert!(self.harness.shard.list().iter().all(|group| group.state == "Empty"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn invariants_27_28_30_hold_for_members_that_do_whatever_they_like(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.finish();
    }
}
