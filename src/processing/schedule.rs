//! [`Schedule`]: which record runs next, and what may be committed. [`Shared`]: the same behind a lock.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::window::Window;
use super::{ProcessingConfig, ProcessingOrder, ProcessingSummary};
use crate::client::consumer::OwnedConsumerRecord;
use crate::types::{OffsetAndMetadata, TopicPartition};

pub(super) type Offsets = Vec<(TopicPartition, OffsetAndMetadata)>;
pub(super) type WindowId = u64;
pub(super) type WorkerId = u64;

/// What must be processed one after the other: the records of a window, or those of one key in it. `None`: no order.
type Lane = Option<(WindowId, Bytes)>;

/// A record, and where it belongs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) record: OwnedConsumerRecord,
    window: WindowId,
    lane: Lane,
}

/// Which partitions not to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holds {
    All,
    Only(BTreeSet<TopicPartition>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Takes nothing new.
    Draining,
    /// Starts nothing, either.
    Stopped,
}

#[derive(Debug)]
struct Worker {
    /// Of the record that it has at the handler.
    window: WindowId,
    abort: Option<AbortHandle>,
}

/// Which record runs next, and what may be committed. Bounded by `max_in_flight`: see [`Schedule::holds`].
#[derive(Debug)]
pub(super) struct Schedule {
    order: ProcessingOrder,
    max_concurrency: usize,
    max_in_flight: usize,
    max_poll_records: usize,
    phase: Phase,
    /// One for each partition that is assigned and has a position, or of which records were taken.
    windows: HashMap<WindowId, Window>,
    assigned: HashMap<TopicPartition, WindowId>,
    /// What was revoked in the rebalance under way. The consumer may still have positions of it, past records that did not
    /// get complete.
    revoked: HashSet<TopicPartition>,
    /// How many of the assigned windows have a share.
    sharing: usize,
    /// Whether one has got its first record.
    has_begun: bool,
    /// What may go to a handler now, in the order in which that came to be.
    ready: VecDeque<Job>,
    /// For each lane of which a record is ready or at a handler, what comes after that.
    lanes: HashMap<Lane, VecDeque<Job>>,
    workers: HashMap<WorkerId, Worker>,
    /// The sum of the windows' lengths.
    in_flight: usize,
    /// How many windows are revoked and not ended.
    revoking: usize,
    /// Whether there is no room for another poll.
    is_full: bool,
    /// Whether [`Schedule::holds`] may have a new answer.
    holds_changed: bool,
    next_id: u64,
    summary: ProcessingSummary,
}

impl Schedule {
    pub(super) fn new(config: &ProcessingConfig) -> Self {
        Self {
            order: config.order,
            max_concurrency: config.max_concurrency,
            max_in_flight: config.max_in_flight,
            max_poll_records: config.max_poll_records(),
            phase: Phase::Running,
            windows: HashMap::new(),
            assigned: HashMap::new(),
            revoked: HashSet::new(),
            sharing: 0,
            has_begun: false,
            ready: VecDeque::new(),
            lanes: HashMap::new(),
            workers: HashMap::new(),
            in_flight: 0,
            revoking: 0,
            is_full: false,
            holds_changed: false,
            next_id: 0,
            summary: ProcessingSummary::default(),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

// Records, from poll to complete.
impl Schedule {
    /// Takes a record that a poll returned. Once it is stopped, that is only noted, for the record to be read again.
    pub(super) fn take(&mut self, record: OwnedConsumerRecord) {
        let id = self.window_of(record.topic_partition());
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.take(record.offset(), record.leader_epoch());
        if !std::mem::replace(&mut window.is_sharing, true) {
            (self.sharing, self.has_begun) = (self.sharing + 1, true);
            // The others' shares are smaller now.
            let share = self.share();
            for window in self.windows.values_mut() {
                self.holds_changed |= window.pause_from(share);
            }
        }
        let share = self.share();
        let Some(window) = self.windows.get_mut(&id) else { return };
        self.in_flight += 1;
        self.holds_changed |= window.pause_from(share);
        self.look_for_room();
        if self.phase == Phase::Stopped {
            return;
        }
        let lane = match self.order {
            ProcessingOrder::Partition => Some((id, Bytes::new())),
            ProcessingOrder::Key => record.key_bytes().map(|key| (id, key.clone())),
            ProcessingOrder::Unordered => None,
        };
        let job = Job { record, window: id, lane };
        if job.lane.is_some() {
            if let Some(behind) = self.lanes.get_mut(&job.lane) {
                return behind.push_back(job);
            }
            self.lanes.insert(job.lane.clone(), VecDeque::new());
        }
        self.ready.push_back(job);
    }

    /// Notes positions of the consumer, once the records that it returned are taken: it may have passed offsets without
    /// records, or with records that interceptors dropped. Partitions that stand still get windows, too: unless their
    /// positions are committed, what comes to them is missed where `auto.offset.reset` is `latest`.
    pub(super) fn advance(&mut self, positions: Offsets) {
        for (topic_partition, position) in positions {
            if !self.revoked.contains(&topic_partition) {
                let id = self.window_of(&topic_partition);
                if let Some(window) = self.windows.get_mut(&id) {
                    window.advance(position);
                }
            }
        }
    }

    /// The window of a partition, which is a new one if nothing was known of it since it was assigned.
    fn window_of(&mut self, topic_partition: &TopicPartition) -> WindowId {
        if let Some(id) = self.assigned.get(topic_partition) {
            return *id;
        }
        let id = self.next_id();
        self.assigned.insert(topic_partition.clone(), id);
        self.windows.insert(id, Window::new(topic_partition.clone()));
        id
    }

    /// Notes whether there is room for another poll. One that there is room for is made, however full it is, so that
    /// partitions go on beside one that stands still with much in its window.
    fn look_for_room(&mut self) {
        let is_full = self.in_flight + self.max_poll_records > self.max_in_flight;
        self.holds_changed |= is_full != self.is_full;
        self.is_full = is_full;
    }

    /// A record for a new worker, if there may be another one.
    pub(super) fn start(&mut self) -> Option<(WorkerId, Job)> {
        if self.workers.len() >= self.max_concurrency {
            return None;
        }
        let job = self.next_job()?;
        let worker = self.next_id();
        self.workers.insert(worker, Worker { window: job.window, abort: None });
        Some((worker, job))
    }

    /// Tells how to cancel a worker, unless it has ended already.
    pub(super) fn attach(&mut self, worker: WorkerId, abort: AbortHandle) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.abort = Some(abort);
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        let job = self.ready.pop_front()?;
        if let Some(window) = self.windows.get_mut(&job.window) {
            window.running += 1;
        }
        Some(job)
    }

    /// A worker's record is complete. Returns its next one; `None` ends the worker.
    pub(super) fn complete(&mut self, worker: WorkerId, done: &Job, is_skipped: bool) -> Option<Job> {
        // It was cancelled, and its window is gone.
        self.workers.get(&worker)?;
        self.summary.processed += u64::from(!is_skipped);
        self.summary.skipped += u64::from(is_skipped);
        let share = self.share();
        if let Some(window) = self.windows.get_mut(&done.window) {
            window.running -= 1;
            self.in_flight -= window.complete(done.record.offset());
            if window.is_paused && window.len() <= share / 2 {
                (window.is_paused, self.holds_changed) = (false, true);
            }
        }
        self.look_for_room();
        if let Some(behind) = self.lanes.get_mut(&done.lane) {
            match behind.pop_front() {
                Some(next) => self.ready.push_back(next),
                None => drop(self.lanes.remove(&done.lane)),
            }
        }
        let next = self.next_job();
        match (&next, self.workers.get_mut(&worker)) {
            (Some(job), Some(worker)) => worker.window = job.window,
            _ => drop(self.workers.remove(&worker)),
        }
        next
    }

    /// A worker's record failed: nothing more is started. Returns false, and does nothing, if it was cancelled: its
    /// window is gone, and the record is another's to fail on.
    pub(super) fn fail(&mut self, worker: WorkerId) -> bool {
        let window = self.workers.remove(&worker).and_then(|it| self.windows.get_mut(&it.window));
        let Some(window) = window else { return false };
        window.running -= 1;
        self.stop();
        true
    }

    /// How many records a partition may hold before it is paused. All together hold at most half of what there is room
    /// for, so that a partition that stands still leaves the others room.
    fn share(&self) -> usize {
        (self.max_in_flight / 2 / self.sharing.max(1)).max(1)
    }

    /// Which partitions not to read; `None` if nothing changed since it was last asked.
    pub(super) fn holds(&mut self) -> Option<Holds> {
        if !std::mem::take(&mut self.holds_changed) {
            return None;
        }
        if self.holds_all() {
            return Some(Holds::All);
        }
        let paused = self.windows.values().filter(|window| window.is_paused && !window.is_revoked);
        Some(Holds::Only(paused.map(|window| window.topic_partition.clone()).collect()))
    }

    /// Whether no partition is to be read, not even one that comes.
    pub(super) fn holds_all(&self) -> bool {
        self.is_full || self.phase != Phase::Running
    }

    /// Whether a partition got its first record since this was last asked: what is to be committed of it had better be
    /// before a handler has it.
    pub(super) fn has_begun(&mut self) -> bool {
        std::mem::take(&mut self.has_begun)
    }

    pub(super) fn uncommitted(&self) -> Offsets {
        let is_ours = |window: &&Window| !window.is_revoked && !self.revoked.contains(&window.topic_partition);
        let assigned = self.windows.values().filter(is_ours);
        assigned.filter_map(Window::uncommitted).collect()
    }

    /// Notes what a commit said that was accepted.
    pub(super) fn committed(&mut self, offsets: &Offsets) {
        for (topic_partition, position) in offsets {
            let window = self.assigned.get(topic_partition).and_then(|id| self.windows.get_mut(id));
            if let Some(window) = window {
                window.committed(position.offset());
            }
        }
    }
}

// Endings: of an assignment, of it all.
impl Schedule {
    /// A rebalance is over, and these partitions came with it. Returns windows to end: interceptors may have brought
    /// records of partitions that were others' then.
    pub(super) fn assign(&mut self, partitions: &[TopicPartition]) -> Vec<WindowId> {
        let windows = self.revoke(partitions);
        self.revoked.clear();
        windows
    }

    /// These partitions are about to go: nothing more of them is started. Returns their windows.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) -> Vec<WindowId> {
        let ids: Vec<_> = partitions.iter().filter_map(|partition| self.assigned.remove(partition)).collect();
        for id in &ids {
            if let Some(window) = self.windows.get_mut(id) {
                window.is_revoked = true;
                self.sharing -= usize::from(window.is_sharing);
            }
        }
        self.revoked.extend(partitions.iter().cloned());
        self.revoking += ids.len();
        self.drop_jobs(|job| ids.contains(&job.window));
        ids
    }

    fn drop_jobs(&mut self, is_dropped: impl Fn(&Job) -> bool) {
        let (dropped, kept): (VecDeque<_>, _) = self.ready.drain(..).partition(&is_dropped);
        self.ready = kept;
        for job in dropped {
            self.lanes.remove(&job.lane);
        }
        for behind in self.lanes.values_mut() {
            behind.retain(|job| !is_dropped(job));
        }
    }

    /// Whether no record of these windows is at a handler.
    pub(super) fn is_idle(&self, windows: &[WindowId]) -> bool {
        windows.iter().filter_map(|id| self.windows.get(id)).all(|window| window.running == 0)
    }

    /// Ends windows that were revoked. Returns what to commit, and the workers to cancel.
    pub(super) fn end(&mut self, windows: &[WindowId]) -> (Offsets, Vec<AbortHandle>) {
        let late = self.workers.extract_if(|_, worker| windows.contains(&worker.window));
        let late = late.filter_map(|(_, worker)| worker.abort).collect();
        self.lanes.retain(|lane, _| lane.as_ref().is_none_or(|(window, _)| !windows.contains(window)));
        let ended: Vec<_> = windows.iter().filter_map(|id| self.windows.remove(id)).collect();
        self.in_flight -= ended.iter().map(Window::len).sum::<usize>();
        self.look_for_room();
        self.holds_changed = true;
        self.revoking -= ended.len();
        (ended.iter().filter_map(Window::uncommitted).collect(), late)
    }

    /// Takes nothing new from now on.
    pub(super) fn drain(&mut self) {
        if self.phase == Phase::Running {
            (self.phase, self.holds_changed) = (Phase::Draining, true);
        }
    }

    /// Starts nothing from now on, either.
    pub(super) fn stop(&mut self) {
        (self.phase, self.holds_changed) = (Phase::Stopped, true);
        self.drop_jobs(|_| true);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether nothing is at a handler or about to get there.
    pub(super) fn is_drained(&self) -> bool {
        self.workers.is_empty() && self.ready.is_empty()
    }

    /// All workers have been cancelled. Returns what was done.
    pub(super) fn cancel(&mut self) -> ProcessingSummary {
        self.stop();
        self.workers.clear();
        self.windows.values_mut().for_each(|window| window.running = 0);
        self.summary()
    }

    /// What was done, and how many records were taken and are not complete.
    pub(super) fn summary(&self) -> ProcessingSummary {
        let windows = self.windows.values().filter(|window| !window.is_revoked);
        let unfinished = windows.map(Window::unfinished).sum::<usize>();
        ProcessingSummary { unfinished: unfinished as u64, ..self.summary }
    }

    /// Whether whoever waits for the schedule should look at it.
    fn is_news(&self) -> bool {
        self.holds_changed || self.revoking > 0
    }
}

/// What the loop, the workers and the listener share.
#[derive(Debug)]
pub(super) struct Shared {
    schedule: Mutex<Schedule>,
    changed: Notify,
}

impl Shared {
    pub(super) fn new(config: &ProcessingConfig) -> Self {
        Self { schedule: Mutex::new(Schedule::new(config)), changed: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock()
    }

    /// Changes the schedule, and then wakes who waits for it, if that may be of interest.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Schedule) -> T) -> T {
        let (result, is_news) = {
            let mut schedule = self.lock();
            (change(&mut schedule), schedule.is_news())
        };
        if is_news {
            self.changed.notify_waiters();
        }
        result
    }

    /// Resolves at the next change, also at one that comes before it is polled.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Ends windows that were revoked: cancels what is still at handlers, and returns what to commit.
    pub(super) fn end(&self, windows: &[WindowId]) -> Offsets {
        let (offsets, late) = self.change(|schedule| schedule.end(windows));
        late.iter().for_each(AbortHandle::abort);
        offsets
    }

    /// Waits until no record of these windows is at a handler.
    pub(super) async fn idle(&self, windows: &[WindowId]) {
        loop {
            let changed = self.changed();
            if self.lock().is_idle(windows) {
                return;
            }
            changed.await;
        }
    }
}
