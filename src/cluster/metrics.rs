//! What is read as metrics: the clients' as they registered them, the broker's as they stand when somebody reads.
//!
//! A broker's metric is named as in Kafka: the MBean's `name` is the name, its `type` the group, its other keys the tags.
//! Where an MBean has several attributes (a meter's count and rates) each is a metric: `MessagesInPerSec` is the rate,
//! `MessagesInTotal` the count.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::broker::{PartitionHandle, PartitionStats, TrafficCounts};
use crate::cluster::{Cluster, ClusterInner};
use crate::metrics::{Metric, MetricConfig, MetricKind, MetricName, Metrics, Scope, Tags, TotalRate, tags};
use crate::types::{BrokerId, TopicId};

/// What Kafka calls a log directory: there is one, that is none.
pub(crate) const LOG_DIRECTORY: &str = "memory";

/// The rates of what brokers count.
#[derive(Debug, Default)]
pub(crate) struct TrafficRates {
    /// By topic; of all topics at `None`. As many as there are topics.
    rates: Mutex<HashMap<Option<TopicId>, [TotalRate; TRAFFIC.len()]>>,
}

/// What is counted of topics: the rate's name, the total's name, what it is, where it is.
type TrafficMetric = (&'static str, &'static str, &'static str, fn(&TrafficCounts) -> u64);

const TRAFFIC: [TrafficMetric; 7] = [
    ("MessagesInPerSec", "MessagesInTotal", "Records appended", |counts| counts.messages_in),
    ("BytesInPerSec", "BytesInTotal", "Bytes appended, as producers sent them", |counts| counts.bytes_in),
    ("BytesOutPerSec", "BytesOutTotal", "Bytes read by consumers", |counts| counts.bytes_out),
    ("TotalProduceRequestsPerSec", "TotalProduceRequestsTotal", "Batches that producers sent", |counts| {
        counts.produce_requests
    }),
    (
        "FailedProduceRequestsPerSec",
        "FailedProduceRequestsTotal",
        "Batches that were refused, but for errors that Kafka expects",
        |counts| counts.failed_produce_requests,
    ),
    ("TotalFetchRequestsPerSec", "TotalFetchRequestsTotal", "Reads of a partition", |counts| counts.fetch_requests),
    (
        "FailedFetchRequestsPerSec",
        "FailedFetchRequestsTotal",
        "Reads that were refused, but for errors that Kafka expects",
        |counts| counts.failed_fetch_requests,
    ),
];

impl Cluster {
    /// Everything that the cluster and all of its living clients measure, as of now.
    ///
    /// Names are Kafka's: a client's metric has Kafka's name, group and tags; a broker's has the MBean's `name` as its
    /// name, the `type` as its group, and the other keys as tags (`UnderReplicatedPartitions` in `ReplicaManager`). A
    /// meter's rate keeps the name (`MessagesInPerSec`), its count ends in `Total` (`MessagesInTotal`).
    ///
    /// A producer is in it until its last clone is dropped, closed or not; a consumer until it is closed or dropped. Where
    /// several clients have one `client.id`, the
    /// second and later ones carry a tag `instance`.
    ///
    /// Cost: every partition is locked for a moment, if it is to be compacted for a look at each of its segments, and has
    /// four metrics. Nothing is measured while nobody reads, except totals.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// use brokerless::{Cluster, NewTopic};
    ///
    /// let cluster = Cluster::in_memory();
    /// cluster.admin().create_topic(NewTopic::new("orders").partitions(6)).await?;
    /// let metrics = cluster.metrics();
    /// assert_eq!(metrics.value("PartitionCount", "ReplicaManager", &[]), Some(6.0));
    /// let size = metrics.get("Size", "Log", &[("topic", "orders"), ("partition", "0")]).unwrap();
    /// assert_eq!((size.value(), size.name().description()), (0.0, "Bytes of all segments"));
    /// # Ok(()) }
    /// ```
    pub fn metrics(&self) -> Metrics {
        let now_ms = self.clock().now_ms();
        let mut collected = self.inner.metrics.collect(now_ms);
        self.inner.collect(now_ms, &mut collected);
        Metrics::new(now_ms, collected)
    }

    /// The scope of a new client, in Kafka's group for its kind (`producer-metrics`), under its `client.id`. It is
    /// unregistered when it is dropped, so the client keeps it.
    pub(crate) fn client_metrics(&self, group: &'static str, client_id: &str, config: MetricConfig) -> Scope {
        self.inner.metrics.client(group, client_id, config)
    }
}

/// What one topic, or all of them, counted since some time.
struct TopicTraffic {
    tags: Tags,
    since_ms: i64,
    counts: TrafficCounts,
}

/// Metrics of one group and subject.
struct Collector<'m> {
    group: &'static str,
    tags: Tags,
    metrics: &'m mut Vec<Metric>,
}

impl Collector<'_> {
    fn gauge(&mut self, name: &'static str, description: &'static str, value: f64) {
        self.push(name, description, MetricKind::Gauge, value);
    }

    fn count(&mut self, name: &'static str, description: &'static str, value: usize) {
        self.gauge(name, description, value as f64);
    }

    fn total(&mut self, name: &'static str, description: &'static str, value: u64) {
        self.push(name, description, MetricKind::Counter, value as f64);
    }

    fn push(&mut self, name: &'static str, description: &'static str, kind: MetricKind, value: f64) {
        let name = MetricName::new(name, self.group, description, Arc::clone(&self.tags));
        self.metrics.push(Metric::new(name, kind, value));
    }
}

impl ClusterInner {
    fn collect(&self, now_ms: i64, metrics: &mut Vec<Metric>) {
        let (partitions, retired) = self.broker.replicas.partitions_and_retired();
        let stats: Vec<_> = partitions.iter().filter_map(|partition| partition.stats()).collect();
        for partition in &stats {
            collect_log(partition, metrics);
        }
        collect_replicas(&stats, metrics);
        self.collect_cleaner(&stats, metrics);
        self.collect_traffic(&partitions, retired, now_ms, metrics);
        self.collect_controller(metrics);
        self.collect_groups(metrics);
        self.collect_memory(&stats, metrics);
    }

    fn collect_traffic(
        &self,
        partitions: &[Arc<PartitionHandle>],
        retired: TrafficCounts,
        now_ms: i64,
        metrics: &mut Vec<Metric>,
    ) {
        let mut all = TopicTraffic { tags: tags([]), since_ms: self.started_ms, counts: retired };
        let mut topics: BTreeMap<Option<TopicId>, TopicTraffic> = BTreeMap::new();
        // Of those as well whose data is gone: a topic that is being deleted, and all once the cluster is shut down.
        for partition in partitions {
            let (counts, created_ms) = (partition.traffic().counts(), partition.created_ms());
            all.counts += counts;
            let topic = topics.entry(Some(partition.topic_id())).or_insert_with(|| TopicTraffic {
                tags: tags([("topic", partition.topic_partition().topic().into())]),
                since_ms: created_ms,
                counts: TrafficCounts::default(),
            });
            topic.counts += counts;
            topic.since_ms = topic.since_ms.min(created_ms);
        }
        topics.insert(None, all);
        let mut rates = self.traffic_rates.rates.lock();
        rates.retain(|topic, _| topics.contains_key(topic));
        for (topic, TopicTraffic { tags, since_ms, counts }) in topics {
            let rates = rates.entry(topic).or_insert([TotalRate::new(since_ms); TRAFFIC.len()]);
            let mut collector = Collector { group: "BrokerTopicMetrics", tags, metrics };
            for ((rate_name, total_name, description, count), rate) in TRAFFIC.iter().zip(rates) {
                let total = count(&counts);
                collector.gauge(rate_name, description, rate.read(total, now_ms));
                collector.total(total_name, description, total);
            }
        }
    }

    fn collect_controller(&self, metrics: &mut Vec<Metric>) {
        let image = self.metadata.image();
        let partitions = || image.topics.values().flat_map(|topic| &topic.partitions);
        let offline = partitions().filter(|partition| partition.leader == BrokerId::NONE).count();
        let imbalanced = partitions().filter(|partition| partition.replicas.first() != Some(&partition.leader)).count();
        let fenced = image.brokers.values().filter(|broker| broker.fenced).count();
        let mut collector = Collector { group: "KafkaController", tags: tags([]), metrics };
        collector.count("ActiveControllerCount", "1 on the controller that is active", 1);
        collector.count("ActiveBrokerCount", "Brokers that may lead", image.brokers.len() - fenced);
        collector.count("FencedBrokerCount", "Brokers that are registered and may not lead", fenced);
        collector.count("GlobalTopicCount", "Topics", image.topics.len());
        collector.count("GlobalPartitionCount", "Partitions of all topics", partitions().count());
        collector.count("OfflinePartitionsCount", "Partitions without a leader", offline);
        collector.count("PreferredReplicaImbalanceCount", "Partitions not led by their preferred replica", imbalanced);
    }

    fn collect_groups(&self, metrics: &mut Vec<Metric>) {
        let groups = self.broker.groups.list_groups();
        let of = |state: &str| groups.iter().filter(|group| group.state == state).count();
        let mut collector = Collector { group: "GroupMetadataManager", tags: tags([]), metrics };
        collector.count("NumGroups", "Consumer groups", groups.len());
        collector.count("NumGroupsPreparingRebalance", "Groups that wait for their members", of("PreparingRebalance"));
        collector.count(
            "NumGroupsCompletingRebalance",
            "Groups that wait for their leader's assignment",
            of("CompletingRebalance"),
        );
        collector.count("NumGroupsStable", "Groups with a settled assignment", of("Stable"));
        collector.count("NumGroupsEmpty", "Groups without members", of("Empty"));
        collector.count("NumGroupsDead", "Groups that are going", of("Dead"));
        collector.count("NumOffsets", "Committed offsets", self.broker.groups.num_offsets());
        let completed = self.broker.groups.completed_rebalances();
        let mut collector = Collector { group: "group-coordinator-metrics", tags: tags([]), metrics };
        collector.total("group-completed-rebalance-count", "Rebalances that ended with an assignment", completed);
    }

    /// Kafka has the first for each log directory.
    fn collect_cleaner(&self, stats: &[PartitionStats], metrics: &mut Vec<Metric>) {
        let compacted = || stats.iter().filter_map(|partition| partition.compaction);
        let uncleanable = compacted().filter(|log| log.is_uncleanable).count();
        let dirtiest = compacted().map(|log| log.dirty_ratio).fold(0.0, f64::max);
        let mut collector =
            Collector { group: "LogCleanerManager", tags: tags([("logDirectory", LOG_DIRECTORY.into())]), metrics };
        collector.count(
            "uncleanable-partitions-count",
            "Partitions taken out of compaction, because a batch of them cannot be read",
            uncleanable,
        );
        collector.tags = tags([]);
        collector.gauge(
            "max-dirty-percent",
            "Percent of the dirtiest log to be compacted that are dirty",
            (dirtiest * 100.0).floor(),
        );
        let mut collector = Collector { group: "LogCleaner", tags: tags([]), metrics };
        collector.gauge(
            "cleaner-recopy-percent",
            "Percent of the bytes that the last compaction rewrote which it left",
            self.broker.cleaner.recopy_percent() as f64,
        );
    }

    fn collect_memory(&self, stats: &[PartitionStats], metrics: &mut Vec<Metric>) {
        const GROUP: &str = "brokerless-memory";
        let memory = self.broker.replicas.memory();
        let (refused, evicted) = memory.counts();
        let log_bytes = stats.iter().map(|partition| partition.size_in_bytes).sum::<u64>();
        let mut collector = Collector { group: GROUP, tags: tags([]), metrics };
        collector.gauge("log-bytes", "Bytes of all logs, internal ones included", log_bytes as f64);
        collector.total("refused-batches-total", "Batches that did not fit into a memory limit", refused);
        collector.total("evicted-bytes-total", "Bytes that were deleted to make room", evicted);
        if let Some(budget) = memory.cluster() {
            collector.gauge("limit-bytes", "ClusterBuilder::memory_limit", budget.raw_limit() as f64);
            collector.gauge("used-bytes", "Bytes that count against the limit", budget.used() as f64);
        }
        let mut seen = None;
        let mut topics: Vec<_> = stats
            .iter()
            .filter_map(|partition| Some((partition.topic_partition.topic(), partition.topic_memory?)))
            .collect();
        topics.sort_unstable();
        for (topic, (used, limit)) in topics {
            if seen.replace(topic) != Some(topic) {
                let mut collector = Collector { group: GROUP, tags: tags([("topic", topic.into())]), metrics };
                collector.gauge("topic-limit-bytes", "brokerless.memory.max.bytes", limit as f64);
                collector.gauge("topic-used-bytes", "Bytes that count against the topic's limit", used as f64);
            }
        }
    }
}

fn collect_log(partition: &PartitionStats, metrics: &mut Vec<Metric>) {
    let (topic, index) = (partition.topic_partition.topic(), partition.topic_partition.partition());
    let tags = tags([("topic", topic.into()), ("partition", index.to_string().into())]);
    let mut collector = Collector { group: "Log", tags, metrics };
    collector.gauge("Size", "Bytes of all segments", partition.size_in_bytes as f64);
    collector.gauge("LogStartOffset", "The first offset that can be read", partition.log_start as f64);
    collector.gauge("LogEndOffset", "The offset of the next record", partition.log_end as f64);
    collector.count("NumLogSegments", "Segments", partition.segments);
}

fn collect_replicas(stats: &[PartitionStats], metrics: &mut Vec<Metric>) {
    let leading = |wanted: fn(&PartitionStats) -> bool| {
        stats.iter().filter(|partition| partition.in_sync.is_some() && wanted(partition)).count()
    };
    let mut collector = Collector { group: "ReplicaManager", tags: tags([]), metrics };
    collector.count("PartitionCount", "Replicas on this broker", stats.len());
    collector.count("LeaderCount", "Partitions that this broker leads", leading(|_| true));
    collector.count(
        "UnderReplicatedPartitions",
        "Partitions led here with replicas out of sync",
        leading(|partition| partition.in_sync < Some(partition.replicas)),
    );
    collector.count(
        "UnderMinIsrPartitionCount",
        "Partitions led here with fewer replicas in sync than min.insync.replicas",
        leading(|partition| partition.in_sync < Some(partition.min_in_sync)),
    );
    collector.count(
        "AtMinIsrPartitionCount",
        "Partitions led here with just min.insync.replicas in sync",
        leading(|partition| partition.in_sync == Some(partition.min_in_sync)),
    );
    let offline = stats.iter().filter(|partition| partition.is_offline).count();
    collector.count("OfflineReplicaCount", "Replicas without a leader", offline);
}
