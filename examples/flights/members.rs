//! The groups: each member is a task with a consumer of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brokerless::{AutoOffsetReset, Cluster, Consumer, ConsumerConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tally::Tally;
use crate::{Error, TOPIC};

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
    members: Vec<Member>,
    first_record: Option<Instant>,
    finished: Option<Instant>,
}

/// What the report says about a member.
#[derive(Clone, Default)]
pub(crate) struct Member {
    pub(crate) counted: u64,
    /// Its partitions when the group was complete.
    pub(crate) at_start: Vec<i32>,
    /// Its partitions when it last polled before the end.
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
            members: vec![Member::default(); members],
            first_record: None,
            finished: None,
        };
        let state = Arc::new(watch::Sender::new(state));
        let member = |index| {
            let config = ConsumerConfig::group(name)
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .max_poll_records(max_poll_records)
                .enable_auto_commit(false);
            let leaves_at = last_leaves_at.filter(|_| index + 1 == members);
            read(cluster.clone(), config, state.clone(), index, leaves_at)
        };
        let members = (0..members).map(member).collect();
        Self { state, members }
    }

    /// Waits until the partitions are divided evenly.
    pub(crate) async fn balanced(&mut self, partitions: i32) -> Result<(), Error> {
        let share = partitions as usize / self.members.len();
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
    leaves_at: Option<u64>,
) -> Result<T, Error> {
    let mut consumer = cluster.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    let mut tally = T::default();
    loop {
        let records = consumer.poll(Duration::from_millis(20)).await?;
        for record in records.iter() {
            tally.add(&record)?;
        }
        if !records.is_empty() {
            consumer.commit().await?;
        }
        let mut goes = false;
        state.send_if_modified(|state| {
            let is_done = |state: &State| state.total.is_some_and(|total| state.counted >= total);
            // Once all is read the members leave one by one; who has what then is of no interest.
            if is_done(state) {
                goes = true;
                return false;
            }
            let member = &mut state.members[index];
            let partitions = partitions(&consumer);
            let changed = member.latest != partitions || !records.is_empty();
            member.latest = partitions;
            member.counted += records.len() as u64;
            state.counted += records.len() as u64;
            if !records.is_empty() {
                let now = Instant::now();
                state.first_record.get_or_insert(now);
                state.finished = Some(now);
            }
            if !is_done(state) && leaves_at.is_some_and(|count| state.counted >= count) {
                state.members[index].left_at = Some(state.counted);
            }
            goes = is_done(state) || state.members[index].left_at.is_some();
            changed
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
