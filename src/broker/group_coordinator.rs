//! [`GroupCoordinator`]: runs the group shards of one broker over the partitions of `__consumer_offsets`.
//!
//! Per request: lock the shard, hand it the request, append the records that it returns, replay them, release the
//! replies once they are committed, unlock, wake. Time comes from the clock, randomness from the cluster's seed.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::broker::{Clock, PartitionHandle};
use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::{
    DescribedGroup, GroupConfig, GroupCount, GroupShard, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListedGroup, Note, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, Outcome, Reply,
    SyncGroupRequest, SyncGroupResponse, Token, partition_for,
};
use crate::error::{Error, ErrorCode};
use crate::log::AppendOrigin;
use crate::record::{BatchBuilder, SealOptions};
use crate::types::{Acks, IsolationLevel, Offset};
use crate::util::block_pool::Block;
use crate::util::trace;
use crate::util::wake_list::WakeList;

/// The name of the topic that holds groups and committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How many due timers one request may settle before it leaves the rest to the driver, which yields in between.
const MAX_STEPS: usize = 100;

/// The group coordinator of one broker.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    clock: Clock,
    config: GroupConfig,
    /// Of the next shard to load: each gets its own, so that member ids are never handed out again.
    next_seed: AtomicU64,
    next_token: AtomicU64,
    completed_rebalances: AtomicU64,
    /// Of all shards together.
    group_count: GroupCount,
    /// One per partition of `__consumer_offsets` that this broker leads, by index. Empty until the topic exists.
    shards: RwLock<Vec<Arc<Shard>>>,
    /// Called after anything that may have moved the earliest deadline.
    timers_changed: Arc<tokio::sync::Notify>,
}

#[derive(Debug)]
struct Shard {
    partition: Arc<PartitionHandle>,
    state: Mutex<ShardState>,
}

#[derive(Debug)]
struct ShardState {
    machine: GroupShard,
    /// Who waits for which answer. Bounded by the requests in flight.
    pending: HashMap<Token, oneshot::Sender<Reply>>,
    /// The earliest deadline that the driver was told of.
    announced: Option<i64>,
}

impl GroupCoordinator {
    pub(crate) fn new(clock: Clock, config: GroupConfig, seed: u64, timers_changed: Arc<tokio::sync::Notify>) -> Self {
        Self {
            clock,
            config,
            next_seed: AtomicU64::new(seed),
            next_token: AtomicU64::new(0),
            completed_rebalances: AtomicU64::new(0),
            group_count: GroupCount::default(),
            shards: RwLock::default(),
            timers_changed,
        }
    }

    /// Whether the offsets topic's partitions are loaded.
    pub(crate) fn is_loaded(&self) -> bool {
        !self.shards.read().is_empty()
    }

    /// Takes over the partitions of the offsets topic, in order of index: replays what they hold. Does nothing if they
    /// are loaded already.
    pub(crate) fn load(&self, partitions: Vec<Arc<PartitionHandle>>) -> Result<(), Error> {
        let mut shards = self.shards.write();
        if !shards.is_empty() {
            return Ok(());
        }
        let mut loaded = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
            let mut machine = GroupShard::new(self.config.clone(), seed, self.group_count.clone());
            replay_log(&partition, &mut machine)?;
            machine.on_loaded(self.clock.now_ms());
            let state = ShardState { machine, pending: HashMap::new(), announced: None };
            loaded.push(Arc::new(Shard { partition, state: Mutex::new(state) }));
        }
        *shards = loaded;
        Ok(())
    }

    pub(crate) fn join_group(
        &self,
        request: JoinGroupRequest,
    ) -> impl Future<Output = JoinGroupResponse> + Send + use<> {
        let member_id = request.member_id.clone();
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_join(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::Join(response)) => response,
                other => JoinGroupResponse {
                    error: unexpected(other),
                    generation_id: -1,
                    protocol_type: None,
                    protocol_name: None,
                    leader: String::new(),
                    skip_assignment: false,
                    member_id,
                    members: Vec::new(),
                },
            }
        }
    }

    pub(crate) fn sync_group(
        &self,
        request: SyncGroupRequest,
    ) -> impl Future<Output = SyncGroupResponse> + Send + use<> {
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_sync(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::Sync(response)) => response,
                other => SyncGroupResponse {
                    error: unexpected(other),
                    protocol_type: None,
                    protocol_name: None,
                    assignment: bytes::Bytes::new(),
                },
            }
        }
    }

    pub(crate) fn heartbeat(&self, request: HeartbeatRequest) -> impl Future<Output = ErrorCode> + Send + use<> {
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_heartbeat(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::Heartbeat(code)) => code,
                other => unexpected(other),
            }
        }
    }

    /// Resolves when the member's next heartbeat is worth sending at once, or when the coordinator is gone.
    pub(crate) fn watch_member(&self, request: HeartbeatRequest) -> impl Future<Output = ()> + Send + use<> {
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_watch(now_ms, token, &request)
        });
        async move { drop(reply.wait().await) }
    }

    pub(crate) fn leave_group(
        &self,
        request: LeaveGroupRequest,
    ) -> impl Future<Output = LeaveGroupResponse> + Send + use<> {
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_leave(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::Leave(response)) => response,
                other => LeaveGroupResponse { error: unexpected(other), members: Vec::new() },
            }
        }
    }

    pub(crate) fn commit_offsets(
        &self,
        request: OffsetCommitRequest,
    ) -> impl Future<Output = OffsetCommitResponse> + Send + use<> {
        let partitions: Vec<_> = request.offsets.iter().map(|(partition, _)| partition.clone()).collect();
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_offset_commit(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::OffsetCommit(response)) => response,
                other => {
                    let code = unexpected(other);
                    OffsetCommitResponse {
                        partitions: partitions.into_iter().map(|partition| (partition, code)).collect(),
                    }
                }
            }
        }
    }

    pub(crate) fn delete_group(&self, group_id: &str) -> impl Future<Output = ErrorCode> + Send + use<> {
        let group = group_id.to_owned();
        let reply =
            self.submit(group_id, move |machine, now_ms, token| machine.handle_delete_group(now_ms, token, &group));
        async move {
            match reply.wait().await {
                Ok(Reply::DeleteGroup(code)) => code,
                other => unexpected(other),
            }
        }
    }

    pub(crate) fn delete_offsets(
        &self,
        request: OffsetDeleteRequest,
    ) -> impl Future<Output = OffsetDeleteResponse> + Send + use<> {
        let reply = self.submit(&request.group_id.clone(), move |machine, now_ms, token| {
            machine.handle_offset_delete(now_ms, token, request)
        });
        async move {
            match reply.wait().await {
                Ok(Reply::OffsetDelete(response)) => response,
                other => OffsetDeleteResponse { error: unexpected(other), partitions: Vec::new() },
            }
        }
    }

    pub(crate) fn fetch_offsets(&self, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        match self.shard(&request.group_id) {
            Some(shard) => shard.state.lock().machine.fetch_offsets(request),
            None => OffsetFetchResponse { error: ErrorCode::CoordinatorNotAvailable, partitions: Vec::new() },
        }
    }

    pub(crate) fn list_groups(&self) -> Vec<ListedGroup> {
        let shards = self.shards.read().clone();
        let mut groups: Vec<_> = shards.iter().flat_map(|shard| shard.state.lock().machine.list()).collect();
        groups.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        groups
    }

    /// How many offsets are committed, over all groups and partitions.
    pub(crate) fn num_offsets(&self) -> usize {
        let shards = self.shards.read().clone();
        shards.iter().map(|shard| shard.state.lock().machine.num_offsets()).sum()
    }

    /// `None` while the offsets topic is not loaded.
    pub(crate) fn describe_group(&self, group_id: &str) -> Option<DescribedGroup> {
        Some(self.shard(group_id)?.state.lock().machine.describe(group_id))
    }

    /// Forgets what was committed for topics that are gone.
    pub(crate) fn on_topics_deleted(&self, topics: &[Arc<str>]) {
        if topics.is_empty() {
            return;
        }
        let topics: HashSet<&str> = topics.iter().map(|topic| &**topic).collect();
        let shards = self.shards.read().clone();
        for shard in &shards {
            // Batch by batch, with the lock let go in between; until nothing is left, or nothing can be appended.
            let mut appended = None;
            let mut next = Some(String::new());
            while let Some(group_id) = next.take() {
                self.run(shard, None, |machine, _| {
                    let (outcome, rest) = machine.on_topics_deleted(&topics, &group_id);
                    let first = outcome.records.first().cloned();
                    if first.is_some() && first == appended {
                        return Outcome::default();
                    }
                    (appended, next) = (first, rest);
                    outcome
                });
            }
        }
    }

    /// Answers everybody who waits with `NOT_COORDINATOR` and lets go of the shards.
    pub(crate) fn unload(&self) {
        let shards = std::mem::take(&mut *self.shards.write());
        for shard in &shards {
            let mut state = shard.state.lock();
            let outcome = state.machine.unload();
            let replies = state.take_waiting(outcome.replies);
            drop(state);
            release(replies);
        }
    }

    /// How many rebalances ended with an assignment.
    pub(crate) fn completed_rebalances(&self) -> u64 {
        self.completed_rebalances.load(Ordering::Relaxed)
    }

    /// Counts and traces what became of groups.
    fn tell(&self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::MemberJoined { group_id, member_id } => {
                    trace::event!(INFO, "member joined", group = &**group_id, member = &**member_id);
                }
                Note::MemberRemoved { group_id, member_id } => {
                    trace::event!(INFO, "member removed", group = &**group_id, member = &**member_id);
                }
                Note::SessionExpired { group_id, member_id } => {
                    trace::event!(WARN, "session expired", group = &**group_id, member = &**member_id);
                }
                Note::RebalanceBegan { group_id, generation_id } => {
                    trace::event!(INFO, "rebalance began", group = &**group_id, generation = *generation_id);
                }
                Note::GenerationBegan { group_id, generation_id, members, protocol } => trace::event!(
                    INFO,
                    "generation began",
                    group = &**group_id,
                    generation = *generation_id,
                    members = *members as u64,
                    protocol = protocol.as_str()
                ),
                Note::RebalanceCompleted { group_id, generation_id } => {
                    self.completed_rebalances.fetch_add(1, Ordering::Relaxed);
                    trace::event!(INFO, "rebalance completed", group = &**group_id, generation = *generation_id);
                }
            }
        }
    }

    /// The earliest deadline of all shards, in ms.
    pub(crate) fn poll_timeout(&self) -> Option<i64> {
        let shards = self.shards.read();
        shards
            .iter()
            .filter_map(|shard| {
                let mut state = shard.state.lock();
                state.announced = state.machine.poll_timeout();
                state.announced
            })
            .min()
    }

    /// Feeds every shard whose deadline has passed.
    pub(crate) fn handle_timeouts(&self) {
        let now_ms = self.clock.now_ms();
        let shards = self.shards.read().clone();
        for shard in &shards {
            let due = shard.state.lock().machine.poll_timeout().is_some_and(|deadline| deadline <= now_ms);
            if due {
                self.run(shard, None, |_, _| Outcome::default());
            }
        }
    }

    fn shard(&self, group_id: &str) -> Option<Arc<Shard>> {
        let shards = self.shards.read();
        let index = partition_for(group_id, i32::try_from(shards.len()).ok().filter(|count| *count > 0)?);
        shards.get(index as usize).cloned()
    }

    fn submit(&self, group_id: &str, handle: impl FnOnce(&mut GroupShard, i64, Token) -> Outcome) -> PendingReply {
        let Some(shard) = self.shard(group_id) else {
            return PendingReply::Failed(ErrorCode::CoordinatorNotAvailable);
        };
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.run(&shard, Some((token, sender)), |machine, now_ms| handle(machine, now_ms, token));
        PendingReply::Waiting(receiver)
    }

    /// One step of a shard: handle, append, replay, answer. Answers and wake-ups leave after the lock is released.
    fn run(
        &self,
        shard: &Arc<Shard>,
        request: Option<(Token, oneshot::Sender<Reply>)>,
        handle: impl FnOnce(&mut GroupShard, i64) -> Outcome,
    ) {
        let now_ms = self.clock.now_ms();
        let mut wakes = WakeList::new();
        let mut state = shard.state.lock();
        if let Some((token, sender)) = request {
            state.pending.insert(token, sender);
        }
        let outcome = handle(&mut state.machine, now_ms);
        let mut answers = vec![shard.commit(&mut state, outcome, now_ms, &mut wakes)];
        // What is due at once, such as a rebalance without an initial delay, need not wait for the driver.
        for _ in 0..MAX_STEPS {
            if state.machine.poll_timeout().is_none_or(|deadline| deadline > now_ms) {
                break;
            }
            let outcome = state.machine.handle_timeout(now_ms);
            answers.push(shard.commit(&mut state, outcome, now_ms, &mut wakes));
        }
        let answers: Vec<_> =
            answers.into_iter().map(|(replies, awaited)| (state.take_waiting(replies), awaited)).collect();
        let notes = state.machine.take_notes();
        let deadline = state.machine.poll_timeout();
        let sooner = deadline.is_some_and(|deadline| state.announced.is_none_or(|announced| deadline < announced));
        drop(state);
        wakes.wake_all();
        self.tell(&notes);
        if sooner {
            self.timers_changed.notify_one();
        }
        for (replies, awaited) in answers {
            match awaited {
                None => release(replies),
                Some(required_offset) => shard.release_when_committed(required_offset, replies),
            }
        }
    }
}

impl ShardState {
    /// Pairs answers with those who wait for them.
    fn take_waiting(&mut self, replies: Vec<(Token, Reply)>) -> Vec<(oneshot::Sender<Reply>, Reply)> {
        replies.into_iter().filter_map(|(token, reply)| Some((self.pending.remove(&token)?, reply))).collect()
    }
}

impl Shard {
    /// Appends and replays an outcome's records. Returns its replies and, unless they are committed already, the offset
    /// that the high watermark must reach before the replies may leave.
    fn commit(
        &self,
        state: &mut ShardState,
        outcome: Outcome,
        now_ms: i64,
        wakes: &mut WakeList,
    ) -> (Vec<(Token, Reply)>, Option<Offset>) {
        if outcome.records.is_empty() {
            return (outcome.replies, None);
        }
        let appended = coordinator_batch(&outcome.records, now_ms)
            .and_then(|batch| self.partition.append_collecting(batch, Acks::All, AppendOrigin::Coordinator, wakes));
        match appended {
            Ok(info) => {
                for (index, record) in outcome.records.iter().enumerate() {
                    let replayed =
                        state.machine.replay(info.base_offset + index as i64, &record.key, record.value.as_deref());
                    debug_assert!(replayed.is_ok(), "a coordinator cannot read its own record: {replayed:?}");
                }
                (outcome.replies, (!info.acked).then_some(info.required_offset))
            }
            Err(error) => (state.machine.on_append_failed(outcome, error.code()), None),
        }
    }

    fn release_when_committed(
        self: &Arc<Self>,
        required_offset: Offset,
        replies: Vec<(oneshot::Sender<Reply>, Reply)>,
    ) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Dropped senders answer NOT_COORDINATOR; without a runtime nothing could await the replicas anyway.
            return;
        };
        let partition = Arc::clone(&self.partition);
        runtime.spawn(async move {
            if partition.wait_for_high_watermark(required_offset).await.is_ok() {
                release(replies);
            }
        });
    }
}

fn release(replies: Vec<(oneshot::Sender<Reply>, Reply)>) {
    for (sender, reply) in replies {
        // A client that no longer waits for its answer has dropped the receiver.
        drop(sender.send(reply));
    }
}

/// An answer that is on its way.
enum PendingReply {
    Failed(ErrorCode),
    Waiting(oneshot::Receiver<Reply>),
}

impl PendingReply {
    async fn wait(self) -> Result<Reply, ErrorCode> {
        match self {
            Self::Failed(code) => Err(code),
            Self::Waiting(receiver) => receiver.await.map_err(|_| ErrorCode::NotCoordinator),
        }
    }
}

fn unexpected(reply: Result<Reply, ErrorCode>) -> ErrorCode {
    match reply {
        Err(code) => code,
        Ok(reply) => {
            debug_assert!(false, "the coordinator answered another question: {reply:?}");
            ErrorCode::UnknownServerError
        }
    }
}

/// One batch of coordinator records, of exactly the size they need.
fn coordinator_batch(records: &[CoordinatorRecord], now_ms: i64) -> Result<crate::record::RecordBatch, Error> {
    let size = records
        .iter()
        .map(|record| BatchBuilder::upper_bound(Some(&record.key), record.value.as_deref(), std::iter::empty()))
        .sum();
    let mut builder = BatchBuilder::new(Block::unpooled(size));
    for record in records {
        let appended = builder.try_append(now_ms, Some(&record.key), record.value.as_deref(), std::iter::empty());
        assert!(appended.is_some(), "a block of {size} bytes holds what its upper bound promised");
    }
    builder.seal(SealOptions::default()).map_err(|error| Error::new(error.code(), error.to_string()))
}

/// Replays everything that a partition of the offsets topic holds.
fn replay_log(partition: &PartitionHandle, machine: &mut GroupShard) -> Result<(), Error> {
    const CHUNK_BYTES: usize = 1 << 20;
    let mut position = partition.offsets().log_start();
    let mut batches = Vec::new();
    while position < partition.offsets().high_watermark() {
        partition.read(position, CHUNK_BYTES, IsolationLevel::ReadUncommitted, &mut batches)?;
        if batches.is_empty() {
            // Compaction may have left nothing of the log's end.
            break;
        }
        for batch in batches.drain(..) {
            position = batch.header().next_offset();
            let corrupt = |what: String| {
                Error::new(ErrorCode::CorruptMessage, what).with_topic_partition(partition.topic_partition().clone())
            };
            let mut records = batch.records().map_err(|error| corrupt(error.to_string()))?;
            while let Some(record) = records.next_record() {
                let record = record.map_err(|error| corrupt(error.to_string()))?;
                let key = record.key().ok_or_else(|| corrupt(format!("offset {} has no key", record.offset())))?;
                machine
                    .replay(record.offset(), key, record.value())
                    .map_err(|error| corrupt(format!("offset {}: {error}", record.offset())))?;
            }
        }
    }
    Ok(())
}
