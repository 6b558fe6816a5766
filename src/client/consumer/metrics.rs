//! What a consumer counts, under Kafka's names: [`FetchMetrics`], [`PollMetrics`], [`CoordinatorMetrics`].
//!
//! A poll that has records at hand reads no clock for this and takes no lock: totals are plain stores of the one task that
//! polls, and what goes into windows is put by until the consumer waits, is asked, or has polled [`PUT_BY`] times.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::consumer::listener::Event;
use crate::client::consumer::partition_state::PartitionState;
use crate::client::consumer::{Consumer, ConsumerConfig};
use crate::cluster::{Clock, Cluster};
use crate::metrics::{Counter, MetricConfig, Metrics, Scope, Sensor, TotalRate, Values};
use crate::types::{IsolationLevel, Offset, TopicPartition};

/// Not in [`Fetches::lags`].
const NOWHERE: usize = usize::MAX;

/// After how many fetches, or polls, what was put by goes into its windows at the latest.
const PUT_BY: u64 = 64;

impl Consumer {
    /// The consumer's metrics, under Kafka's names, at this moment: the groups `consumer-metrics`,
    /// `consumer-fetch-manager-metrics` and `consumer-coordinator-metrics`, tagged with `client-id`, and some of the
    /// second with `topic` and `partition`. They are part of [`Cluster::metrics`], too.
    ///
    /// Without `client.id` the tag is `consumer-` and the group's id, or `consumer`. `consumer-metrics` and
    /// `consumer-coordinator-metrics` are those of a consumer with a group: without one nobody waits for its polls.
    ///
    /// Cost: the end of each assigned partition is looked up. What counts time within polls, and the windows, may lag
    /// behind by 64 polls in [`Cluster::metrics`]; here it does not.
    pub fn metrics(&self) -> Metrics {
        let now = self.now();
        self.fetcher.metrics().put_in(self.cluster.clock().ms_at(now));
        if let Some(group) = &self.group {
            group.metrics.polls.put_in(self.cluster.clock().ms_at(now));
        }
        self.fetcher.metrics().scope.metrics(self.cluster.clock().ms_at(now))
    }
}

/// `consumer-fetch-manager-metrics`: what is read.
#[derive(Debug)]
pub(super) struct FetchMetrics {
    scope: Scope,
    clock: Clock,
    records: Counter,
    bytes: Counter,
    fetches: Counter,
    fetch_size: Sensor,
    records_per_fetch: Sensor,
    put_by: Mutex<Fetches>,
    topics: HashMap<Arc<str>, Arc<TopicMetrics>>,
    partitions: Arc<Mutex<Vec<Arc<PartitionMetrics>>>>,
}

/// Fetches whose sizes have not gone into windows yet, and the lags since.
#[derive(Debug, Default)]
struct Fetches {
    bytes: Values,
    records: Values,
    /// Of partitions of which records were handed out: as many as there are in an assignment.
    lags: Vec<(Arc<PartitionMetrics>, Values)>,
}

/// What was read of one topic; it shares the scope of that.
#[derive(Debug)]
struct TopicMetrics {
    records: Counter,
    bytes: Counter,
    _scope: Scope,
}

/// How far the consumer is in one partition, for who asks.
#[derive(Debug)]
pub(super) struct PartitionMetrics {
    topic_partition: TopicPartition,
    topic: Arc<TopicMetrics>,
    /// -1 while it is unknown.
    position: AtomicI64,
    /// What polls left behind.
    lag: Sensor,
    /// Where in [`Fetches::lags`] it is, if it is there.
    place: AtomicUsize,
}

impl PartitionMetrics {
    /// The position moved, or is not known.
    #[inline]
    pub(super) fn set_position(&self, position: Option<Offset>) {
        self.position.store(position.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Batches were read.
    #[inline]
    pub(super) fn fetched(&self, bytes: usize) {
        self.topic.bytes.add_alone(bytes as u64);
    }
}

impl FetchMetrics {
    pub(super) fn new(cluster: &Cluster, config: &ConsumerConfig) -> Self {
        let id = match (&*config.client_id, &config.group_id) {
            ("", Some(group_id)) => format!("consumer-{group_id}"),
            ("", None) => "consumer".to_owned(),
            (id, _) => id.to_owned(),
        };
        let scope = cluster.client_metrics("consumer-fetch-manager-metrics", &id, MetricConfig::default());
        let now_ms = cluster.clock().now_ms();
        let partitions: Arc<Mutex<Vec<Arc<PartitionMetrics>>>> = Arc::default();
        collect_partitions(&scope, Arc::clone(&partitions), cluster.clone(), config.isolation_level);
        Self {
            records: rated(
                &scope,
                now_ms,
                ("records-consumed-rate", "Records returned a second"),
                ("records-consumed-total", "Records returned"),
            ),
            bytes: rated(
                &scope,
                now_ms,
                ("bytes-consumed-rate", "Bytes of batches read a second"),
                ("bytes-consumed-total", "Bytes of batches read"),
            ),
            fetches: rated(
                &scope,
                now_ms,
                ("fetch-rate", "Rounds of reading that brought something, a second"),
                ("fetch-total", "Rounds of reading that brought something"),
            ),
            fetch_size: scope
                .sensor()
                .avg("fetch-size-avg", "Bytes of batches that a round of reading brought, on average")
                .max("fetch-size-max", "The most bytes of batches that a round of reading brought")
                .build(),
            records_per_fetch: scope
                .sensor()
                .avg("records-per-request-avg", "Records that a round of reading brought, on average")
                .build(),
            put_by: Mutex::default(),
            topics: HashMap::new(),
            partitions,
            clock: *cluster.clock(),
            scope,
        }
    }

    /// There is another assignment.
    pub(super) fn assigned(&mut self, states: &mut [PartitionState]) {
        let mut topics = HashMap::new();
        for state in &mut *states {
            let topic = state.topic_partition.topic_arc();
            if !topics.contains_key(topic) {
                let metrics = self.topics.remove(topic).unwrap_or_else(|| Arc::new(self.of_topic(topic)));
                topics.insert(Arc::clone(topic), metrics);
            }
            if state.metrics.is_none() {
                let metrics = Arc::new(PartitionMetrics {
                    topic_partition: state.topic_partition.clone(),
                    topic: Arc::clone(&topics[topic]),
                    position: AtomicI64::new(-1),
                    lag: self.scope.sensor().build(),
                    place: AtomicUsize::new(NOWHERE),
                });
                metrics.set_position(state.known_position());
                state.metrics = Some(metrics);
            }
        }
        // Topics of which nothing is assigned any more are gone with this.
        self.topics = topics;
        *self.partitions.lock() = states.iter().filter_map(|state| state.metrics.clone()).collect();
    }

    fn of_topic(&self, topic: &Arc<str>) -> TopicMetrics {
        let scope = self.scope.child("consumer-fetch-manager-metrics", [("topic", Arc::clone(topic))]);
        let now_ms = self.clock.now_ms();
        TopicMetrics {
            records: rated(
                &scope,
                now_ms,
                ("records-consumed-rate", "Records of the topic returned a second"),
                ("records-consumed-total", "Records of the topic returned"),
            ),
            bytes: rated(
                &scope,
                now_ms,
                ("bytes-consumed-rate", "Bytes of batches of the topic read a second"),
                ("bytes-consumed-total", "Bytes of batches of the topic read"),
            ),
            _scope: scope,
        }
    }

    /// A round of reading brought something.
    #[inline]
    pub(super) fn fetched(&mut self, bytes: usize, records: usize) {
        self.bytes.add_alone(bytes as u64);
        self.fetches.add_alone(1);
        let put_by = self.put_by.get_mut();
        put_by.bytes.add(bytes as f64);
        put_by.records.add(records as f64);
        if put_by.bytes.count == PUT_BY {
            self.put_in(self.clock.now_ms());
        }
    }

    /// So many records of a partition were handed out. Without a leader there is no lag.
    #[inline]
    pub(super) fn handed_out(
        &mut self,
        partition: &Arc<PartitionMetrics>,
        records: usize,
        position: Offset,
        lag: Option<Offset>,
    ) {
        partition.topic.records.add_alone(records as u64);
        partition.position.store(position, Ordering::Relaxed);
        let Some(lag) = lag.filter(|_| records > 0) else { return };
        let lags = &mut self.put_by.get_mut().lags;
        match lags.get_mut(partition.place.load(Ordering::Relaxed)) {
            Some((_, values)) => values.add(lag.max(0) as f64),
            None => {
                partition.place.store(lags.len(), Ordering::Relaxed);
                let mut values = Values::default();
                values.add(lag.max(0) as f64);
                lags.push((Arc::clone(partition), values));
            }
        }
    }

    /// A poll returned records.
    #[inline]
    pub(super) fn consumed(&self, records: usize) {
        self.records.add_alone(records as u64);
    }

    /// Puts into windows what was put by.
    pub(super) fn put_in(&self, now_ms: i64) {
        let mut put_by = self.put_by.lock();
        self.fetch_size.record_all(std::mem::take(&mut put_by.bytes), now_ms);
        self.records_per_fetch.record_all(std::mem::take(&mut put_by.records), now_ms);
        for (partition, lags) in put_by.lags.drain(..) {
            partition.place.store(NOWHERE, Ordering::Relaxed);
            partition.lag.record_all(lags, now_ms);
        }
    }
}

/// Lag and lead of each partition, and the extremes of both, as of the moment of asking; averages and maxima of lags also
/// of what polls left behind.
fn collect_partitions(
    scope: &Scope,
    partitions: Arc<Mutex<Vec<Arc<PartitionMetrics>>>>,
    cluster: Cluster,
    isolation: IsolationLevel,
) {
    scope.collector(move |now_ms, collected| {
        let partitions = partitions.lock().clone();
        let (mut lag_max, mut lead_min) = (f64::NAN, f64::NAN);
        for partition in partitions {
            let position = partition.position.load(Ordering::Relaxed);
            let (true, Ok(leader)) = (position >= 0, cluster.leader(&partition.topic_partition)) else { continue };
            let lag = (leader.offsets().visible_end(isolation) - position).max(0) as f64;
            let lead = (position - leader.offsets().log_start()).max(0) as f64;
            let (lag_avg, partition_lag_max) = partition.lag.avg_and_max(now_ms);
            let partition_lag_max = partition_lag_max.max(lag);
            (lag_max, lead_min) = (lag_max.max(partition_lag_max), lead_min.min(lead));
            collected.under([
                ("topic", Arc::clone(partition.topic_partition.topic_arc())),
                ("partition", partition.topic_partition.partition().to_string().into()),
            ]);
            collected.gauge("records-lag", "Records between the position and the end of the partition", lag);
            collected.gauge("records-lag-avg", "What polls left of the partition to be read, on average", lag_avg);
            collected.gauge(
                "records-lag-max",
                "The most that polls left of the partition to be read, or that is left now",
                partition_lag_max,
            );
            collected.gauge("records-lead", "Records between the start of the partition and the position", lead);
        }
        collected.under([]);
        collected.gauge("records-lag-max", "The largest records-lag-max of an assigned partition", lag_max);
        collected.gauge("records-lead-min", "The smallest records-lead of an assigned partition", lead_min);
    });
}

/// A total that one task counts without a clock, and its rate.
fn rated(
    scope: &Scope,
    now_ms: i64,
    rate: (&'static str, &'static str),
    total: (&'static str, &'static str),
) -> Counter {
    let counter = scope.counter(total.0, total.1);
    let (counted, state) = (counter.clone(), Mutex::new(TotalRate::new(now_ms)));
    scope.gauge(rate.0, rate.1, move |now_ms| state.lock().read(counted.get(), now_ms));
    counter
}

/// What a consumer with a group counts beside what it reads.
#[derive(Debug)]
pub(super) struct GroupMetrics {
    pub(super) polls: PollMetrics,
    pub(super) coordinator: Arc<CoordinatorMetrics>,
}

impl GroupMetrics {
    /// For the consumer whose reading this counts.
    pub(super) fn new(fetches: &FetchMetrics, assigned: &Arc<AtomicUsize>) -> Self {
        let (scope, clock) = (&fetches.scope, fetches.clock);
        let coordinator = CoordinatorMetrics::new(scope, clock, Arc::clone(assigned));
        Self { polls: PollMetrics::new(scope), coordinator: Arc::new(coordinator) }
    }
}

/// `consumer-metrics`: how a member of a group polls.
#[derive(Debug)]
pub(super) struct PollMetrics {
    _scope: Scope,
    between: Sensor,
    idle_ratio: Sensor,
    last_ms: Arc<AtomicI64>,
    put_by: Mutex<Polls>,
    commit_sync_ns: Counter,
    committed_ns: Counter,
}

/// Polls that have not gone into windows yet.
#[derive(Debug, Default)]
struct Polls {
    /// Ms from the beginning of one to that of the next.
    between: Values,
    /// Of those, what polls waited.
    waited_ms: i64,
}

impl PollMetrics {
    fn new(scope: &Scope) -> Self {
        let scope = scope.child("consumer-metrics", []);
        let last_ms = Arc::new(AtomicI64::new(NEVER));
        seconds_ago(&scope, "last-poll-seconds-ago", "Seconds since the last poll began; -1: none did", &last_ms);
        Self {
            between: scope
                .sensor()
                .avg("time-between-poll-avg", "Ms between the beginnings of polls, on average")
                .max("time-between-poll-max", "The most ms between the beginnings of two polls")
                .build(),
            idle_ratio: scope
                .sensor()
                .avg(
                    "poll-idle-ratio-avg",
                    "The part of its time that the consumer waits in polls, as against processing",
                )
                .build(),
            last_ms,
            put_by: Mutex::default(),
            commit_sync_ns: scope
                .counter("commit-sync-time-ns-total", "Ns spent in commits that wait for their answer"),
            committed_ns: scope.counter("committed-time-ns-total", "Ns spent in asking what is committed"),
            _scope: scope,
        }
    }

    /// A commit that waits for its answer took this long, whatever came of it.
    pub(super) fn waited_for_commit(&self, waited: Duration) {
        self.commit_sync_ns.add(nanoseconds(waited));
    }

    /// To ask what is committed took this long, whatever came of it.
    pub(super) fn waited_for_committed(&self, waited: Duration) {
        self.committed_ns.add(nanoseconds(waited));
    }

    /// A poll begins.
    #[inline]
    pub(super) fn begin(&mut self, now_ms: i64) {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        self.last_ms.store(now_ms, Ordering::Relaxed);
        if last_ms != NEVER {
            let put_by = self.put_by.get_mut();
            put_by.between.add((now_ms - last_ms) as f64);
            if put_by.between.count == PUT_BY {
                self.put_in(now_ms);
            }
        }
    }

    /// A poll waited until now since it began.
    pub(super) fn waited(&mut self, now_ms: i64) {
        // Before this wait is added, which is part of the time until the next poll begins.
        self.put_in(now_ms);
        self.put_by.get_mut().waited_ms += now_ms - self.last_ms.load(Ordering::Relaxed).min(now_ms);
    }

    pub(super) fn put_in(&self, now_ms: i64) {
        let mut put_by = self.put_by.lock();
        let between = std::mem::take(&mut put_by.between);
        if between.count > 0 {
            let waited_ms = std::mem::take(&mut put_by.waited_ms);
            // Polls within a millisecond have no ratio.
            if between.sum > 0.0 {
                self.idle_ratio.record((waited_ms as f64 / between.sum).min(1.0), now_ms);
            }
        }
        drop(put_by);
        self.between.record_all(between, now_ms);
    }
}

/// `consumer-coordinator-metrics`: commits and the membership. What the consumer, its background task and its commits
/// share.
#[derive(Debug)]
pub(super) struct CoordinatorMetrics {
    _scope: Scope,
    clock: Clock,
    commits: Sensor,
    joins: Sensor,
    syncs: Sensor,
    heartbeats: Sensor,
    last_heartbeat_ms: Arc<AtomicI64>,
    rebalances: Sensor,
    failed_rebalances: Sensor,
    last_rebalance_ms: Arc<AtomicI64>,
    assigned: Sensor,
    revoked: Sensor,
    lost: Sensor,
}

impl CoordinatorMetrics {
    fn new(scope: &Scope, clock: Clock, assigned: Arc<AtomicUsize>) -> Self {
        let scope = scope.child("consumer-coordinator-metrics", []);
        scope.gauge("assigned-partitions", "Partitions that the consumer has", move |_| {
            assigned.load(Ordering::Relaxed) as f64
        });
        let (last_heartbeat_ms, last_rebalance_ms) = (Arc::new(AtomicI64::new(NEVER)), Arc::new(AtomicI64::new(NEVER)));
        let ago = |name, description, at_ms| seconds_ago(&scope, name, description, at_ms);
        ago(
            "last-heartbeat-seconds-ago",
            "Seconds since the last heartbeat was sent; -1: none was",
            &last_heartbeat_ms,
        );
        ago("last-rebalance-seconds-ago", "Seconds since the last rebalance ended; -1: none did", &last_rebalance_ms);
        let callback = |avg, max| {
            let sensor = scope.sensor().avg(avg, "Ms that the rebalance listener's callback took, on average");
            sensor.max(max, "The most ms that the rebalance listener's callback took").build()
        };
        Self {
            commits: scope
                .sensor()
                .avg("commit-latency-avg", "Ms until a commit was answered, on average")
                .max("commit-latency-max", "The most ms until a commit was answered")
                .occurrences(("commit-rate", "Commits answered a second"), ("commit-total", "Commits answered"))
                .build(),
            joins: scope
                .sensor()
                .avg("join-time-avg", "Ms until a join was answered, on average")
                .max("join-time-max", "The most ms until a join was answered")
                .occurrences(("join-rate", "Joins a second"), ("join-total", "Joins"))
                .build(),
            syncs: scope
                .sensor()
                .avg("sync-time-avg", "Ms until a sync was answered, on average")
                .max("sync-time-max", "The most ms until a sync was answered")
                .occurrences(("sync-rate", "Syncs a second"), ("sync-total", "Syncs"))
                .build(),
            heartbeats: scope
                .sensor()
                .max("heartbeat-response-time-max", "The most ms until a heartbeat was answered")
                .occurrences(("heartbeat-rate", "Heartbeats a second"), ("heartbeat-total", "Heartbeats"))
                .build(),
            last_heartbeat_ms,
            rebalances: scope
                .sensor()
                .avg("rebalance-latency-avg", "Ms from joining to the new assignment, on average")
                .max("rebalance-latency-max", "The most ms from joining to a new assignment")
                .total("rebalance-latency-total", "Ms from joining to new assignments, in all")
                .count("rebalance-total", "Rebalances that ended with an assignment")
                .occurrences_per_hour("rebalance-rate-per-hour", "Rebalances that ended with an assignment, an hour")
                .build(),
            failed_rebalances: scope
                .sensor()
                .count("failed-rebalance-total", "Joins that ended without an assignment")
                .occurrences_per_hour(
                    "failed-rebalance-rate-per-hour",
                    "Joins that ended without an assignment, an hour",
                )
                .build(),
            last_rebalance_ms,
            assigned: callback("partition-assigned-latency-avg", "partition-assigned-latency-max"),
            revoked: callback("partition-revoked-latency-avg", "partition-revoked-latency-max"),
            lost: callback("partition-lost-latency-avg", "partition-lost-latency-max"),
            clock,
            _scope: scope,
        }
    }

    /// When something begins that one of the methods below ends.
    pub(super) fn start(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn committed(&self, start: Instant) {
        self.record(&self.commits, start);
    }

    pub(super) fn joined(&self, start: Instant) {
        self.record(&self.joins, start);
    }

    pub(super) fn synced(&self, start: Instant) {
        self.record(&self.syncs, start);
    }

    pub(super) fn heartbeat_sent(&self) -> Instant {
        let start = self.start();
        self.last_heartbeat_ms.store(self.clock.ms_at(start), Ordering::Relaxed);
        start
    }

    pub(super) fn heartbeat_answered(&self, start: Instant) {
        self.record(&self.heartbeats, start);
    }

    pub(super) fn rebalanced(&self, start: Instant) {
        let now_ms = self.record(&self.rebalances, start);
        self.last_rebalance_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn rebalance_failed(&self) {
        self.failed_rebalances.record(1.0, self.clock.now_ms());
    }

    pub(super) fn listener_called(&self, event: Event, start: Instant) {
        let sensor = match event {
            Event::Assigned => &self.assigned,
            Event::Revoked => &self.revoked,
            Event::Lost => &self.lost,
        };
        self.record(sensor, start);
    }

    fn record(&self, sensor: &Sensor, start: Instant) -> i64 {
        let now = self.clock.now();
        let now_ms = self.clock.ms_at(now);
        sensor.record((now - start).as_secs_f64() * 1e3, now_ms);
        now_ms
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Stands for a time that has not come.
const NEVER: i64 = i64::MIN;

fn seconds_ago(scope: &Scope, name: &'static str, description: &'static str, at_ms: &Arc<AtomicI64>) {
    let at_ms = Arc::clone(at_ms);
    scope.gauge(name, description, move |now_ms| match at_ms.load(Ordering::Relaxed) {
        NEVER => -1.0,
        at_ms => ((now_ms - at_ms).max(0) / 1000) as f64,
    });
}
