//! What a rebalance costs: 200 consumers in one group, 2,000 partitions, one thread, through the public API.
//!
//! `cargo bench --bench groups` prints processor time and wall time from the moment that the last member comes, or goes,
//! until all of them are stable again: every join, the leader's assignment, every sync, every listener call and the
//! initial fetch of positions. It ends with one line a goal. `cargo bench --bench groups -- range 1` runs one assignor
//! and one round, for profilers.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokerless::{
    AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, PartitionAssignor, RebalanceContext, RebalanceListener,
    TopicPartition,
};
use support::goal_at_most;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const MEMBERS: usize = 200;
const TOPICS: usize = 10;
const PARTITIONS: usize = 2000;
const ROUNDS: usize = 7;
const GOAL_MS: f64 = 50.0;

/// What the members' listeners have heard.
#[derive(Default)]
struct Group {
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    /// How many members the group is to have.
    members: usize,
    owned: usize,
    generation: i32,
    in_generation: usize,
}

impl Group {
    fn heard(&self, generation: i32, gained: usize, lost: usize) {
        let mut state = self.state.lock().unwrap();
        state.owned = state.owned + gained - lost;
        if generation > state.generation {
            (state.generation, state.in_generation) = (generation, 0);
        }
        // Each member is assigned something, if only nothing, once a generation.
        state.in_generation += usize::from(generation > 0);
        if state.in_generation == state.members && state.owned == PARTITIONS {
            self.settled.notify_one();
        }
    }
}

struct Member(Arc<Group>);

impl RebalanceListener for Member {
    fn on_partitions_assigned(&mut self, context: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        let generation = context.group_metadata().unwrap().generation_id();
        self.0.heard(generation, partitions.len(), 0);
    }

    fn on_partitions_revoked(&mut self, _: &mut RebalanceContext<'_>, partitions: &[TopicPartition]) {
        self.0.heard(0, 0, partitions.len());
    }
}

/// A member in a task of its own, idle in its poll until the group rebalances.
fn join(cluster: &Cluster, group: &Arc<Group>, assignor: PartitionAssignor) -> JoinHandle<()> {
    let config = ConsumerConfig::group("g")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .partition_assignment_strategy([assignor]);
    let mut consumer = cluster.consumer(config).unwrap();
    let topics: Vec<_> = (0..TOPICS).map(|topic| format!("topic-{topic}")).collect();
    consumer.subscribe_with_listener(topics, Member(Arc::clone(group))).unwrap();
    tokio::spawn(async move {
        loop {
            consumer.poll(Duration::from_secs(60)).await.unwrap();
        }
    })
}

struct Cost {
    cpu_ms: f64,
    wall_ms: f64,
}

/// Runs `change`, and waits until the group is settled with so many members.
async fn measure(group: &Group, members: usize, change: impl Future<Output = ()>) -> Cost {
    group.state.lock().unwrap().members = members;
    let (cpu, wall) = (cpu_time(), Instant::now());
    change.await;
    group.settled.notified().await;
    let cost = Cost { cpu_ms: (cpu_time() - cpu).as_secs_f64() * 1e3, wall_ms: wall.elapsed().as_secs_f64() * 1e3 };
    // What is left to do for members that are settled already is not part of the next round.
    tokio::time::sleep(Duration::from_millis(20)).await;
    cost
}

/// The processor time of this process, which has one thread; from the scheduler's account in nanoseconds.
fn cpu_time() -> Duration {
    // The account is settled when the scheduler runs, else only at every tick.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("this bench needs Linux");
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(what: &str, costs: &[Cost]) -> f64 {
    let cpu = median(costs.iter().map(|cost| cost.cpu_ms).collect());
    let wall = median(costs.iter().map(|cost| cost.wall_ms).collect());
    println!("  {what:<16} {cpu:8.2} ms CPU  {wall:8.2} ms wall");
    cpu
}

async fn run(assignor: PartitionAssignor, rounds: usize) -> f64 {
    let cluster = Cluster::in_memory();
    for topic in 0..TOPICS {
        let topic = NewTopic::new(format!("topic-{topic}")).partitions((PARTITIONS / TOPICS) as i32);
        cluster.admin().create_topic(topic).await.unwrap();
    }
    let group = Arc::new(Group::default());
    println!("{assignor}");
    let mut members = Vec::new();
    let formed = measure(&group, MEMBERS - 1, async {
        members.extend((1..MEMBERS).map(|_| join(&cluster, &group, assignor)));
    });
    report("all join", &[formed.await]);
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut last = None;
        joins.push(measure(&group, MEMBERS, async { last = Some(join(&cluster, &group, assignor)) }).await);
        let last = last.unwrap();
        let owned = PARTITIONS / MEMBERS;
        let leave = async {
            // A consumer that is dropped leaves the group, and calls no listener.
            last.abort();
            group.heard(0, 0, owned);
        };
        leaves.push(measure(&group, MEMBERS - 1, leave).await);
    }
    let cpu = report("one more joins", &joins);
    let leaves = report("one leaves", &leaves);
    members.iter().for_each(JoinHandle::abort);
    cpu.max(leaves)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let all = [
        PartitionAssignor::Range,
        PartitionAssignor::RoundRobin,
        PartitionAssignor::Sticky,
        PartitionAssignor::CooperativeSticky,
    ];
    let chosen: Option<PartitionAssignor> =
        arguments.first().map(|name| name.parse().expect("the name of an assignor"));
    let rounds = arguments.get(1).map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    println!("{MEMBERS} members, {PARTITIONS} partitions of {TOPICS} topics, median of {rounds} rounds\n");
    let mut goals = Vec::new();
    for assignor in all.into_iter().filter(|assignor| chosen.is_none_or(|chosen| chosen == *assignor)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let cpu_ms = runtime.block_on(run(assignor, rounds));
        goals.push(goal_at_most(&format!("rebalance_200x2000_cpu_ms[{assignor}]"), cpu_ms, GOAL_MS));
    }
    println!();
    goals.iter().for_each(|goal| println!("{goal}"));
}
