//! The groups: each member is a task with a consumer of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brokerless::{AutoOffsetReset, Cluster, Consumer, ConsumerConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tally::Tally;
use crate::{Error, PARTITIONS, TOPIC};

/// A running group.
pub(crate) struct Group<T> {
    state: Arc<watch::Sender<State>>,
    members: JoinSet<Result<T, Error>>,
}

/// What the members tell each other.
struct State {
    /// Records counted and committed by all.
    counted: u64,
    /// How many there are, once everything is loaded.
    total: Option<u64>,
    /// The last member goes once so many are counted. `None` if it stays, and when it has gone.
    leaves_at: Option<u64>,
    members: Vec<Member>,
    first_record: Option<Instant>,
    finished: Option<Instant>,
}

impl State {
    /// Everything is counted, and every partition has a reader again.
    fn is_done(&self) -> bool {
        let owned: usize = self.members.iter().map(|member| member.latest.len()).sum();
        self.total.is_some_and(|total| self.counted >= total)
            && self.leaves_at.is_none()
            && owned == PARTITIONS as usize
    }
}

/// What the report says about a member.
#[derive(Clone, Default)]
pub(crate) struct Member {
    pub(crate) counted: u64,
    /// Its partitions when the group was complete.
    pub(crate) at_start: Vec<i32>,
    /// Its partitions when it last polled before the end; none if it left.
    pub(crate) latest: Vec<i32>,
    /// How many records the group had counted when it left, if it left early.
    pub(crate) left_at: Option<u64>,
}

/// What a group found.
pub(crate) struct Finished<T> {
    pub(crate) tally: T,
    pub(crate) counted: u64,
    pub(crate) members: Vec<Member>,
    /// From its first record to its last commit.
    pub(crate) elapsed: Duration,
}

impl<T: Tally> Group<T> {
    /// Starts the members. The last one leaves once the group has counted `last_leaves_at` records.
    pub(crate) fn start(
        cluster: &Cluster,
        name: &'static str,
        members: usize,
        max_poll_records: usize,
        last_leaves_at: Option<u64>,
    ) -> Self {
        let state = State {
            counted: 0,
            total: None,
            leaves_at: last_leaves_at,
            members: vec![Member::default(); members],
            first_record: None,
            finished: None,
        };
        let state = Arc::new(watch::Sender::new(state));
        let member = |index| {
            let config = ConsumerConfig::group(name)
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .max_poll_records(max_poll_records)
                // How soon a member notices that another came or went. Kafka's default is 3 s.
                .heartbeat_interval(Duration::from_millis(20))
                .enable_auto_commit(false);
            read(cluster.clone(), config, state.clone(), index)
        };
        let members = (0..members).map(member).collect();
        Self { state, members }
    }

    /// Waits until the partitions are divided evenly.
    pub(crate) async fn balanced(&mut self) -> Result<(), Error> {
        let share = PARTITIONS as usize / self.members.len();
        let mut states = self.state.subscribe();
        tokio::select! {
            balanced = states.wait_for(|state| state.members.iter().all(|member| member.latest.len() == share)) => {
                balanced?;
            }
            Some(ended) = self.members.join_next() => {
                ended??;
                return Err("a member ended before there was anything to read".into());
            }
        }
        self.state.send_modify(|state| {
            for member in &mut state.members {
                member.at_start = member.latest.clone();
            }
        });
        Ok(())
    }

    /// Says how many records there are, and waits until the members have counted that many.
    pub(crate) async fn finish(mut self, total: u64) -> Result<Finished<T>, Error> {
        self.state.send_modify(|state| state.total = Some(total));
        let mut tally = T::default();
        while let Some(member) = self.members.join_next().await {
            tally.merge(member??);
        }
        let state = self.state.borrow();
        let elapsed = state.first_record.zip(state.finished).map_or(Duration::ZERO, |(first, last)| last - first);
        Ok(Finished { tally, counted: state.counted, members: state.members.clone(), elapsed })
    }
}

/// One member: poll, count, commit, until the group is done. What is counted is committed before the next poll, and a
/// partition changes hands only in a poll: so nothing is lost and nothing counted twice.
async fn read<T: Tally>(
    cluster: Cluster,
    config: ConsumerConfig,
    state: Arc<watch::Sender<State>>,
    index: usize,
) -> Result<T, Error> {
    let mut consumer = cluster.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    let mut tally = T::default();
    loop {
        let records = consumer.poll(Duration::from_millis(20)).await?;
        for record in &records {
            tally.add(&record)?;
        }
        if !records.is_empty() {
            consumer.commit().await?;
        }
        let mut goes = false;
        state.send_modify(|state| {
            // Once all is read the members leave one by one; who has what then is of no interest.
            if state.is_done() {
                goes = true;
                return;
            }
            let count = records.len() as u64;
            state.counted += count;
            if count > 0 {
                let now = Instant::now();
                state.first_record.get_or_insert(now);
                state.finished = Some(now);
            }
            let is_last = index + 1 == state.members.len();
            let leaves = is_last && state.leaves_at.is_some_and(|at| state.counted >= at);
            if leaves {
                state.leaves_at = None;
                state.members[index].left_at = Some(state.counted);
            }
            let member = &mut state.members[index];
            member.counted += count;
            member.latest = if leaves { Vec::new() } else { partitions(&consumer) };
            goes = leaves || state.is_done();
        });
        if goes {
            consumer.close().await?;
            return Ok(tally);
        }
    }
}

fn partitions(consumer: &Consumer) -> Vec<i32> {
    let mut partitions: Vec<_> = consumer.assignment().iter().map(|it| it.partition()).collect();
    partitions.sort_unstable();
    partitions
}
