//! A shard, its log and its clock, all in one hand.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::types::{ConsumerProtocolSubscription, OffsetAndMetadata, TopicPartition};

pub(super) const SESSION_MS: i64 = 10_000;
pub(super) const REBALANCE_MS: i64 = 60_000;
pub(super) const DELAY_MS: i64 = 3_000;

/// The same for every shard, so that member ids are drawn again after a restart and have to be told apart.
const SEED: u64 = 7;

/// Plays the runtime: appends to a log, replays from it, releases replies. Checks every invariant after every event.
pub(super) struct Harness {
    pub(super) shard: GroupShard,
    pub(super) log: Vec<CoordinatorRecord>,
    pub(super) now_ms: i64,
    /// Why the next append is going to fail.
    pub(super) fail_next: Option<ErrorCode>,
    next_token: Token,
    waiting: HashSet<Token>,
    replies: HashMap<Token, Reply>,
    /// Generation and state of each group after the last event.
    seen: HashMap<String, (i32, &'static str)>,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with_config(GroupConfig::default())
    }

    pub(super) fn with_config(config: GroupConfig) -> Self {
        Self {
            shard: GroupShard::new(config, SEED, GroupCount::default()),
            log: Vec::new(),
            now_ms: 1_700_000_000_000,
            fail_next: None,
            next_token: 1,
            waiting: HashSet::new(),
            replies: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// A shard that has replayed this one's log and nothing else.
    pub(super) fn rebuilt(&self) -> GroupShard {
        let mut shard = GroupShard::new(self.shard.environment.config.clone(), SEED, GroupCount::default());
        for (offset, record) in self.log.iter().enumerate() {
            shard.replay(offset as i64, &record.key, record.value.as_deref()).unwrap();
        }
        shard
    }

    /// Unloads the shard and loads it again.
    pub(super) fn restart(&mut self) {
        let outcome = self.shard.unload();
        assert!(outcome.records.is_empty());
        self.collect(outcome.replies);
        assert!(self.waiting.is_empty(), "unloading left requests unanswered");
        self.shard = self.rebuilt();
        self.seen.clear();
        self.shard.on_loaded(self.now_ms);
        self.check();
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        if let Some(code) = self.fail_next
            && !outcome.records.is_empty()
        {
            self.fail_next = None;
            let replies = self.shard.on_append_failed(outcome, code);
            self.collect(replies);
        } else {
            for record in &outcome.records {
                self.shard.replay(self.log.len() as i64, &record.key, record.value.as_deref()).unwrap();
                self.log.push(record.clone());
            }
            self.collect(outcome.replies);
        }
        self.check();
    }

    fn check(&mut self) {
        for group in self.shard.groups.values() {
            group.assert_invariants(&self.shard.environment.timers);
            let now = (group.generation_id(), group.state().name());
            if let Some(before) = self.seen.insert(group.id().to_string(), now) {
                assert_legal(before, now);
            }
        }
        let groups = &self.shard.groups;
        self.seen.retain(|group_id, _| groups.contains_key(group_id.as_str()));
        assert!(self.shard.staged.is_none());
    }

    fn collect(&mut self, replies: Vec<(Token, Reply)>) {
        for (token, reply) in replies {
            assert!(self.waiting.remove(&token), "token {token} is answered twice, or was never given: {reply:?}");
            self.replies.insert(token, reply);
        }
    }

    /// The next deadline that a group has set; the shard's own look for expired offsets aside.
    pub(super) fn group_deadline(&self) -> Option<i64> {
        self.shard.environment.timers.next_deadline()
    }

    /// Moves time on, stopping at every deadline.
    pub(super) fn advance(&mut self, ms: i64) {
        let target = self.now_ms + ms;
        while let Some(deadline_ms) = self.shard.poll_timeout().filter(|deadline_ms| *deadline_ms <= target) {
            self.now_ms = self.now_ms.max(deadline_ms);
            let outcome = self.shard.handle_timeout(self.now_ms);
            self.settle(outcome);
        }
        self.now_ms = target;
    }

    fn token(&mut self) -> Token {
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token);
        token
    }

    pub(super) fn is_waiting(&self, token: Token) -> bool {
        self.waiting.contains(&token)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn take(&mut self, token: Token) -> Option<Reply> {
        self.replies.remove(&token)
    }

    pub(super) fn join(&mut self, request: &JoinGroupRequest) -> Token {
        let token = self.token();
        let outcome = self.shard.handle_join(self.now_ms, token, request.clone());
        self.settle(outcome);
        token
    }

    pub(super) fn sync(&mut self, request: SyncGroupRequest) -> Token {
        let token = self.token();
        let outcome = self.shard.handle_sync(self.now_ms, token, request);
        self.settle(outcome);
        token
    }

    pub(super) fn heartbeat(&mut self, member: &Joined) -> ErrorCode {
        let token = self.token();
        let outcome = self.shard.handle_heartbeat(self.now_ms, token, member.heartbeat_request());
        self.settle(outcome);
        match self.take(token) {
            Some(Reply::Heartbeat(error)) => error,
            reply => panic!("a heartbeat is answered {reply:?}"),
        }
    }

    pub(super) fn watch(&mut self, member: &Joined) -> Token {
        let token = self.token();
        let outcome = self.shard.handle_watch(self.now_ms, token, &member.heartbeat_request());
        self.settle(outcome);
        token
    }

    pub(super) fn leave(&mut self, group_id: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
        let token = self.token();
        let members = members.iter().map(|(member_id, instance_id)| LeaveGroupMember {
            member_id: (*member_id).into(),
            group_instance_id: instance_id.map(Into::into),
            reason: None,
        });
        let request = LeaveGroupRequest { group_id: group_id.into(), members: members.collect() };
        let outcome = self.shard.handle_leave(self.now_ms, token, request);
        self.settle(outcome);
        match self.take(token) {
            Some(Reply::Leave(response)) => response,
            reply => panic!("a leave is answered {reply:?}"),
        }
    }

    /// Commits one offset.
    pub(super) fn commit(&mut self, member: &Joined, partition: i32, committed: OffsetAndMetadata) -> ErrorCode {
        self.commit_to(member, "t", partition, committed)
    }

    pub(super) fn commit_to(
        &mut self,
        member: &Joined,
        topic: &str,
        partition: i32,
        committed: OffsetAndMetadata,
    ) -> ErrorCode {
        let token = self.token();
        let request = OffsetCommitRequest {
            group_id: member.group_id.clone(),
            generation_id: member.generation_id,
            member_id: member.member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            offsets: vec![(TopicPartition::new(topic, partition), committed)],
        };
        let outcome = self.shard.handle_offset_commit(self.now_ms, token, request);
        self.settle(outcome);
        match self.take(token) {
            Some(Reply::OffsetCommit(response)) => response.partitions[0].1,
            reply => panic!("a commit is answered {reply:?}"),
        }
    }

    pub(super) fn committed(&self, group_id: &str, partition: i32) -> Option<i64> {
        committed(&self.shard, group_id, partition)
    }

    pub(super) fn delete(&mut self, group_id: &str) -> ErrorCode {
        let token = self.token();
        let outcome = self.shard.handle_delete_group(self.now_ms, token, group_id);
        self.settle(outcome);
        match self.take(token) {
            Some(Reply::DeleteGroup(error)) => error,
            reply => panic!("a delete is answered {reply:?}"),
        }
    }

    /// The error of the whole request, or one for each partition.
    pub(super) fn delete_offsets(
        &mut self,
        group_id: &str,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let token = self.token();
        let partitions: Vec<TopicPartition> = partitions.iter().map(|partition| (*partition).into()).collect();
        let request = OffsetDeleteRequest { group_id: group_id.into(), partitions: partitions.clone() };
        let outcome = self.shard.handle_offset_delete(self.now_ms, token, request);
        self.settle(outcome);
        match self.take(token) {
            Some(Reply::OffsetDelete(response)) if response.error.is_none() => {
                let (answered, codes): (Vec<_>, Vec<_>) = response.partitions.into_iter().unzip();
                assert_eq!(answered, partitions);
                Ok(codes)
            }
            Some(Reply::OffsetDelete(response)) => Err(response.error),
            reply => panic!("a deletion of offsets is answered {reply:?}"),
        }
    }

    /// Puts a record into the log that no handler asked for.
    pub(super) fn append(&mut self, record: CoordinatorRecord) {
        self.shard.replay(self.log.len() as i64, &record.key, record.value.as_deref()).unwrap();
        self.log.push(record);
    }

    pub(super) fn cancel(&mut self, token: Token) {
        self.shard.cancel(self.now_ms, token);
        self.check();
    }

    pub(super) fn join_reply(&mut self, token: Token) -> JoinGroupResponse {
        match self.take(token) {
            Some(Reply::Join(response)) => response,
            reply => panic!("a join is answered {reply:?}"),
        }
    }

    pub(super) fn sync_reply(&mut self, token: Token) -> SyncGroupResponse {
        match self.take(token) {
            Some(Reply::Sync(response)) => response,
            reply => panic!("a sync is answered {reply:?}"),
        }
    }

    pub(super) fn state(&self, group_id: &str) -> &'static str {
        self.shard.describe(group_id).state
    }

    pub(super) fn generation(&self, group_id: &str) -> i32 {
        self.shard.groups[group_id].generation_id()
    }

    /// Goes through `MEMBER_ID_REQUIRED` and returns the request with its member id, and the token under which it waits.
    pub(super) fn join_with_id(&mut self, request: &JoinGroupRequest) -> (JoinGroupRequest, Token) {
        let token = self.join(request);
        let response = self.join_reply(token);
        assert_eq!(response.error, ErrorCode::MemberIdRequired);
        let request = JoinGroupRequest { member_id: response.member_id, ..request.clone() };
        let token = self.join(&request);
        (request, token)
    }

    /// Brings an empty group to `Stable` with these members; the first to join leads. Everybody is assigned its own
    /// member id.
    pub(super) fn stable_group(&mut self, requests: &[JoinGroupRequest]) -> Vec<Joined> {
        let mut tokens = Vec::new();
        for request in requests {
            if request.group_instance_id.is_some() || !request.require_known_member_id {
                tokens.push((request.clone(), self.join(request)));
            } else {
                tokens.push(self.join_with_id(request));
            }
        }
        self.advance(2 * DELAY_MS);
        self.finish_rebalance(tokens)
    }

    /// Takes the answers of joins that are all done, and syncs everybody.
    pub(super) fn finish_rebalance(&mut self, tokens: Vec<(JoinGroupRequest, Token)>) -> Vec<Joined> {
        let mut members = Vec::new();
        for (request, token) in tokens {
            let response = self.join_reply(token);
            assert_eq!(response.error, ErrorCode::None);
            members.push(Joined::new(&request, response));
        }
        let syncs: Vec<_> = members.iter().map(|member| self.sync(member.sync_request())).collect();
        for (member, token) in members.iter().zip(syncs) {
            let response = self.sync_reply(token);
            assert_eq!((response.error, response.assignment), (ErrorCode::None, assignment_of(&member.member_id)));
        }
        assert_eq!(self.state(&members[0].group_id), "Stable");
        members
    }
}

/// What one event may do to a group: begin a generation, or go on in the present one.
fn assert_legal(before: (i32, &'static str), now: (i32, &'static str)) {
    let ((old, from), (new, to)) = (before, now);
    let is_legal = match new - old {
        0 if from == to || to == "Dead" => true,
        0 => matches!(
            (from, to),
            ("Empty" | "CompletingRebalance" | "Stable", "PreparingRebalance") | ("CompletingRebalance", "Stable")
        ),
        // A rebalance may begin and end within one event, though not where first members wait for others.
        1 => matches!(to, "CompletingRebalance" | "Empty") && from != "Empty",
        _ => false,
    };
    assert!(is_legal, "a group went from {before:?} to {now:?}");
}

pub(super) fn committed(shard: &GroupShard, group_id: &str, partition: i32) -> Option<i64> {
    let request = OffsetFetchRequest {
        group_id: group_id.into(),
        partitions: Some(vec![TopicPartition::new("t", partition)]),
        require_stable: true,
    };
    let response = shard.fetch_offsets(&request);
    assert_eq!((response.error, response.partitions.len()), (ErrorCode::None, 1));
    response.partitions[0].1.as_ref().map(OffsetAndMetadata::offset)
}

/// What a member knows after its JoinGroup.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) group_id: String,
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) generation_id: i32,
    pub(super) response: JoinGroupResponse,
    pub(super) request: JoinGroupRequest,
}

impl Joined {
    pub(super) fn new(request: &JoinGroupRequest, response: JoinGroupResponse) -> Self {
        Self {
            group_id: request.group_id.clone(),
            member_id: response.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation_id: response.generation_id,
            request: JoinGroupRequest { member_id: response.member_id.clone(), ..request.clone() },
            response,
        }
    }

    /// Somebody who claims no membership.
    pub(super) fn nobody(group_id: &str) -> Self {
        let request = member(group_id, "nobody");
        let Reply::Join(response) = Reply::join_error("", ErrorCode::None) else { unreachable!() };
        Self::new(&request, response)
    }

    pub(super) fn is_leader(&self) -> bool {
        self.response.leader == self.member_id
    }

    pub(super) fn heartbeat_request(&self) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group_id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
        }
    }

    /// The leader gives everybody its own member id as assignment.
    pub(super) fn sync_request(&self) -> SyncGroupRequest {
        let members = self.response.members.iter();
        SyncGroupRequest {
            group_id: self.group_id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: members.map(|member| (member.member_id.clone(), assignment_of(&member.member_id))).collect(),
        }
    }
}

pub(super) fn assignment_of(member_id: &str) -> Bytes {
    format!("for {member_id}").into()
}

pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    ConsumerProtocolSubscription { topics, ..Default::default() }.encode()
}

/// The first JoinGroup of a dynamic member.
pub(super) fn member(group_id: &str, client_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group_id.into(),
        session_timeout_ms: SESSION_MS as i32,
        rebalance_timeout_ms: REBALANCE_MS as i32,
        member_id: String::new(),
        group_instance_id: None,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        client_id: client_id.into(),
        client_host: "/127.0.0.1".into(),
        require_known_member_id: true,
        supports_skipping_assignment: true,
        reason: None,
    }
}

/// The first JoinGroup of a static member.
pub(super) fn static_member(group_id: &str, instance_id: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance_id.into()), ..member(group_id, "client") }
}
