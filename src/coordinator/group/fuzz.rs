//! `group_ops`: bytes become events of one shard, and records of its log. Compiled under `--cfg fuzzing` only.
//!
//! The first byte says what the rest is: a history of requests, whose every field comes from the input, or a log that
//! somebody else has written. Whatever the bytes are, the shard must not panic, must keep its invariants, must answer
//! each token once, and must read its own log back.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::*;
use crate::error::ErrorCode;
use crate::types::{LeaderEpoch, OffsetAndMetadata, TopicPartition};

/// Longer histories find nothing that shorter ones do not, and take the fuzzer's time.
const MAX_EVENTS: usize = 200;
const GROUPS: [&str; 4] = ["g", "h", "", "a-group-with-a-longer-name"];
const TOPICS: [&str; 4] = ["t", "u", "", "a.topic"];

/// Runs what the bytes say.
pub(crate) fn group_ops(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => read_foreign_log(&mut input, false),
        1 => read_foreign_log(&mut input, true),
        _ => live(&mut input),
    }
}

/// The bytes not used yet. Where they are at an end, zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn i32(&mut self) -> i32 {
        let mut bytes = [0; 4];
        let taken = self.take(4);
        bytes[..taken.len()].copy_from_slice(taken);
        i32::from_be_bytes(bytes)
    }

    fn i64(&mut self) -> i64 {
        i64::from(self.i32()) << 32 | i64::from(self.i32())
    }

    /// Mostly what a sane client would send, sometimes anything.
    fn timeout_ms(&mut self) -> i32 {
        match self.byte() {
            0 => self.i32(),
            byte => 6_000 + i32::from(byte) * 100,
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.byte() as usize % from.len()]
    }

    fn blob(&mut self) -> Bytes {
        let length = self.byte() as usize;
        Bytes::copy_from_slice(self.take(length))
    }

    fn text(&mut self) -> String {
        let length = self.byte() as usize % 40;
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    fn partition(&mut self) -> TopicPartition {
        TopicPartition::new(self.pick(&TOPICS), i32::from(self.byte() as i8))
    }

    fn group_id(&mut self) -> String {
        match self.byte() {
            255 => self.text(),
            254 => "x".repeat(40_000),
            byte => GROUPS[byte as usize % GROUPS.len()].to_owned(),
        }
    }

    /// One of the ids that the shard has given out, or anything.
    fn member_id(&mut self, known: &[String]) -> String {
        match self.byte() {
            0 => String::new(),
            1 => self.text(),
            byte => known.get(byte as usize % known.len().max(1)).cloned().unwrap_or_default(),
        }
    }

    fn instance_id(&mut self) -> Option<String> {
        match self.byte() {
            0..180 => None,
            255 => Some(self.text()),
            byte => Some(format!("i{}", byte % 3)),
        }
    }

    fn protocols(&mut self) -> Vec<(String, Bytes)> {
        let names = ["range", "sticky", ""];
        (0..self.byte() % 4).map(|_| (self.pick(&names).to_owned(), self.blob())).collect()
    }
}

/// A shard with everything that its driver keeps for it.
struct Driver {
    shard: GroupShard,
    config: GroupConfig,
    log: Vec<CoordinatorRecord>,
    now_ms: i64,
    next_token: Token,
    waiting: HashSet<Token>,
    cancelled: HashSet<Token>,
    member_ids: Vec<String>,
    generations: BTreeMap<String, i32>,
    /// Whether the log lacks what the shard believes to have written.
    has_lost_appends: bool,
}

fn live(input: &mut Input<'_>) {
    let config = GroupConfig {
        initial_rebalance_delay_ms: input.pick(&[0, 3_000]),
        max_size: input.pick(&[usize::MAX, 1, 2, 3]),
        max_groups: input.pick(&[100, 1, 2]),
        offsets_retention_ms: input.pick(&[600_000, 60_000]),
        offsets_retention_check_interval_ms: input.pick(&[30_000, 600_000]),
        ..GroupConfig::default()
    };
    let mut driver = Driver {
        shard: GroupShard::new(config.clone(), 1, GroupCount::default()),
        config,
        log: Vec::new(),
        now_ms: 1_700_000_000_000,
        next_token: 0,
        waiting: HashSet::new(),
        cancelled: HashSet::new(),
        member_ids: Vec::new(),
        generations: BTreeMap::new(),
        has_lost_appends: false,
    };
    for _ in 0..MAX_EVENTS {
        if input.0.is_empty() {
            break;
        }
        driver.event(input);
        driver.check();
    }
    driver.finish();
}

impl Driver {
    fn event(&mut self, input: &mut Input<'_>) {
        let event = input.byte();
        let fails = input.byte() > 240;
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token);
        let group_id = input.group_id();
        let generation_id = match (input.byte(), self.generations.get(&group_id)) {
            (0, _) => -1,
            (1, _) => input.i32(),
            (_, known) => known.copied().unwrap_or(0),
        };
        let member_id = input.member_id(&self.member_ids);
        let group_instance_id = input.instance_id();
        let (shard, now_ms) = (&mut self.shard, self.now_ms);
        let outcome = match event % 14 {
            0..=2 => {
                let request = JoinGroupRequest {
                    group_id,
                    session_timeout_ms: input.timeout_ms(),
                    rebalance_timeout_ms: input.timeout_ms(),
                    member_id,
                    group_instance_id,
                    protocol_type: input.pick(&["consumer", "connect", ""]).to_owned(),
                    protocols: input.protocols(),
                    client_id: input.text(),
                    client_host: String::new(),
                    require_known_member_id: input.byte() % 4 != 0,
                    supports_skipping_assignment: input.byte() % 2 == 0,
                    reason: None,
                };
                shard.handle_join(now_ms, token, request)
            }
            3..=4 => {
                let to = |input: &mut Input<'_>| (input.member_id(&self.member_ids), input.blob());
                let request = SyncGroupRequest {
                    group_id,
                    generation_id,
                    member_id,
                    group_instance_id,
                    protocol_type: input.pick(&[Some("consumer"), None, Some("connect")]).map(str::to_owned),
                    protocol_name: input.pick(&[Some("range"), None, Some("sticky")]).map(str::to_owned),
                    assignments: (0..input.byte() % 4).map(|_| to(input)).collect(),
                };
                shard.handle_sync(now_ms, token, request)
            }
            5 | 6 => {
                let request = HeartbeatRequest { group_id, generation_id, member_id, group_instance_id };
                match event % 14 {
                    5 => shard.handle_heartbeat(now_ms, token, request),
                    _ => shard.handle_watch(now_ms, token, &request),
                }
            }
            7 => {
                let mut members = vec![LeaveGroupMember { member_id, group_instance_id, reason: None }];
                for _ in 0..input.byte() % 3 {
                    let (member_id, group_instance_id) = (input.member_id(&self.member_ids), input.instance_id());
                    members.push(LeaveGroupMember { member_id, group_instance_id, reason: None });
                }
                shard.handle_leave(now_ms, token, LeaveGroupRequest { group_id, members })
            }
            8 | 9 => {
                let offset = |input: &mut Input<'_>| {
                    let committed = OffsetAndMetadata::new(input.i64()).metadata_text(input.text());
                    (input.partition(), committed.with_leader_epoch(Some(LeaderEpoch(i32::from(input.byte())))))
                };
                let offsets = (0..input.byte() % 4).map(|_| offset(input)).collect();
                let request = OffsetCommitRequest { group_id, generation_id, member_id, group_instance_id, offsets };
                shard.handle_offset_commit(now_ms, token, request)
            }
            10 => {
                let partitions = (0..input.byte() % 4).map(|_| input.partition()).collect();
                shard.handle_offset_delete(now_ms, token, OffsetDeleteRequest { group_id, partitions })
            }
            11 => shard.handle_delete_group(now_ms, token, &group_id),
            12 => {
                self.waiting.remove(&token);
                return self.disturb(input);
            }
            _ => {
                self.waiting.remove(&token);
                let ms = i64::from(input.byte()) * input.pick(&[1, 100, 1_000, 60_000]);
                return self.pass(ms, fails);
            }
        };
        self.settle(outcome, fails);
    }

    /// What is not a request.
    fn disturb(&mut self, input: &mut Input<'_>) {
        match input.byte() % 4 {
            0 => self.reload(),
            1 => {
                let (outcome, _) = self.shard.on_topics_deleted(&[input.pick(&TOPICS)].into(), "");
                self.settle(outcome, false);
            }
            2 => {
                let waiting = self.waiting.iter().copied().min_by_key(|token| token.wrapping_mul(0x9e37_79b9) % 251);
                if let Some(token) = waiting {
                    self.shard.cancel(self.now_ms, token);
                    self.cancelled.insert(token);
                }
            }
            _ => {
                let request = OffsetFetchRequest { group_id: input.group_id(), partitions: None, require_stable: true };
                let fetched = self.shard.fetch_offsets(&request);
                assert!(fetched.error.is_none() && fetched.partitions.iter().all(|(_, offset)| offset.is_some()));
            }
        }
    }

    fn pass(&mut self, ms: i64, fails: bool) {
        let target_ms = self.now_ms + ms;
        let mut fails = fails;
        for step in 0.. {
            let next = self.shard.poll_timeout().filter(|deadline_ms| *deadline_ms <= target_ms);
            let Some(deadline_ms) = next else { break };
            assert!(step < 200_000, "time stands still at {deadline_ms}");
            self.now_ms = self.now_ms.max(deadline_ms);
            let outcome = self.shard.handle_timeout(self.now_ms);
            self.settle(outcome, std::mem::take(&mut fails));
        }
        self.now_ms = target_ms;
    }

    fn settle(&mut self, outcome: Outcome, fails: bool) {
        if fails && !outcome.records.is_empty() {
            self.has_lost_appends = true;
            let replies = self.shard.on_append_failed(outcome, ErrorCode::NotEnoughReplicas);
            return self.collect(replies);
        }
        for record in outcome.records {
            let replayed = self.shard.replay(self.log.len() as i64, &record.key, record.value.as_deref());
            replayed.expect("a shard reads its own records");
            self.log.push(record);
        }
        self.collect(outcome.replies);
    }

    fn collect(&mut self, replies: Vec<(Token, Reply)>) {
        for (token, reply) in replies {
            assert!(self.waiting.remove(&token), "token {token} is answered twice: {reply:?}");
            if let Reply::Join(response) = reply
                && !response.member_id.is_empty()
                && self.member_ids.len() < 200
            {
                self.member_ids.push(response.member_id);
            }
        }
    }

    fn reload(&mut self) {
        let outcome = self.shard.unload();
        assert!(outcome.records.is_empty());
        self.collect(outcome.replies);
        self.waiting.retain(|token| self.cancelled.contains(token));
        self.shard = self.rebuilt();
        self.shard.on_loaded(self.now_ms);
        self.has_lost_appends = false;
        self.generations.clear();
    }

    fn rebuilt(&self) -> GroupShard {
        let mut shard = GroupShard::new(self.config.clone(), self.next_token, GroupCount::default());
        for (offset, record) in self.log.iter().enumerate() {
            shard.replay(offset as i64, &record.key, record.value.as_deref()).expect("a shard reads its own records");
        }
        shard
    }

    fn check(&mut self) {
        assert!(self.shard.staged.is_none());
        for (group_id, group) in self.shard.groups.iter() {
            group.assert_invariants(&self.shard.environment.timers);
            // After the highest there is, generations begin anew; only a log of somebody else's gets there.
            let before = self.generations.insert(group_id.to_string(), group.generation_id());
            assert!(before.is_none_or(|before| before <= group.generation_id()), "{group:?}");
            let described = self.shard.describe(group_id);
            assert_eq!((described.error, described.state), (ErrorCode::None, group.state().name()));
        }
        let groups = &self.shard.groups;
        self.generations.retain(|group_id, _| groups.contains_key(group_id.as_str()));
    }

    /// Everybody falls silent.
    fn finish(mut self) {
        self.pass(3_600_000 * 24, false);
        self.check();
        let rebuilt = self.rebuilt();
        assert_eq!(rebuilt.offsets, self.shard.offsets);
        if !self.has_lost_appends {
            assert!(rebuilt.groups.keys().eq(self.shard.groups.keys()));
            for (live, restored) in self.shard.groups.values().zip(rebuilt.groups.values()) {
                live.assert_restored_as(restored);
            }
        }
        let unanswered = self.waiting.iter().filter(|token| !self.cancelled.contains(token)).count();
        let absent = self.shard.groups.values().all(|group| !group.has_waiting_requests());
        assert!(unanswered == 0 || !absent, "{unanswered} requests were never answered");
    }
}

/// A log that this coordinator has not written: any bytes, or keys that fit and values that may not.
fn read_foreign_log(input: &mut Input<'_>, keys_fit: bool) {
    let mut shard = GroupShard::new(GroupConfig::default(), 1, GroupCount::default());
    let mut now_ms = 1_700_000_000_000;
    for offset in 0..MAX_EVENTS as i64 {
        if input.0.is_empty() {
            break;
        }
        let key = if !keys_fit {
            input.blob()
        } else if input.byte() % 2 == 0 {
            record::group_tombstone(input.pick(&GROUPS)).key
        } else {
            record::offset_tombstone(input.pick(&GROUPS), &input.partition()).key
        };
        let value = match input.byte() {
            0..64 => None,
            // A version that exists.
            64..220 => Some([&[0, input.byte() % 5], &input.blob()[..]].concat()),
            _ => Some(input.blob().to_vec()),
        };
        // Refused or not, the shard stays in order.
        let _refused = shard.replay(offset * 3, &key, value.as_deref());
    }
    shard.on_loaded(now_ms);
    let mut offset = i64::from(i32::MAX);
    for _ in 0..1_000 {
        for group in shard.groups.values() {
            group.assert_invariants(&shard.environment.timers);
        }
        let Some(deadline_ms) = shard.poll_timeout().filter(|deadline_ms| *deadline_ms < i64::MAX / 2) else { break };
        now_ms = now_ms.max(deadline_ms);
        for record in shard.handle_timeout(now_ms).records {
            shard.replay(offset, &record.key, record.value.as_deref()).expect("a shard reads its own records");
            offset += 1;
        }
    }
}
