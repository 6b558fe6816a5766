//! [`Scope`]: the metrics of one client, or of a part of one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::metrics::name::{MetricName, Tags, tags};
use crate::metrics::registry::Registry;
use crate::metrics::sampled::MetricConfig;
use crate::metrics::sensor::{Sensor, SensorBuilder, Stat};
use crate::metrics::snapshot::{Metric, MetricKind, Metrics};

/// Registers metrics of one group under fixed tags, and unregisters them when it is dropped.
///
/// Handles (sensors, counters) may outlive it; nobody reads them any more then.
#[derive(Debug)]
pub(crate) struct Scope {
    registry: Arc<Registry>,
    key: ScopeKey,
    config: MetricConfig,
    entries: Arc<Entries>,
}

/// The client's number, then the scope's own: a client's scopes are neighbours.
pub(super) type ScopeKey = (u64, u64);

/// What a scope has registered.
pub(super) struct Entries {
    group: &'static str,
    tags: Tags,
    list: Mutex<Vec<Arc<Entry>>>,
    collectors: Mutex<Vec<Arc<Collector>>>,
    before_read: OnceLock<BeforeRead>,
}

type Collector = dyn Fn(i64, &mut Collected<'_>) + Send + Sync;

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("group", &self.group).field("tags", &self.tags).finish_non_exhaustive()
    }
}

/// Called with the time before anything is read.
struct BeforeRead(Box<dyn Fn(i64) + Send + Sync>);

#[derive(Debug)]
struct Entry {
    name: &'static str,
    description: &'static str,
    source: Source,
}

/// Where a value comes from.
pub(super) enum Source {
    Sensor(Sensor, Stat),
    Counter(Counter),
    Gauge(Box<dyn Fn(i64) -> f64 + Send + Sync>),
}

/// A total. A clone is the same counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The same where only one thread adds, for less: no other addition is to be seen.
    #[inline]
    pub(crate) fn add_alone(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Scope {
    /// A scope whose entries are in the registry already.
    pub(super) fn new(registry: Arc<Registry>, key: ScopeKey, config: MetricConfig, entries: Arc<Entries>) -> Self {
        Self { registry, key, config, entries }
    }

    /// Another scope of the same client: with this scope's tags and more, in the same or another group. Give it up
    /// before another with the same group and tags is made (a partition that is lost and assigned again): while both
    /// live, the newer one is read.
    pub(crate) fn child(&self, group: &'static str, more: impl IntoIterator<Item = (&'static str, Arc<str>)>) -> Self {
        let key = (self.key.0, self.registry.next_id());
        let entries = Arc::new(Entries::new(group, tags(self.entries.tags.iter().cloned().chain(more))));
        self.registry.insert(key, Arc::clone(&entries));
        Self::new(Arc::clone(&self.registry), key, self.config, entries)
    }

    /// A new sensor; name its metrics, then build it.
    pub(crate) fn sensor(&self) -> SensorBuilder<'_> {
        SensorBuilder::new(self, self.config)
    }

    pub(crate) fn counter(&self, name: &'static str, description: &'static str) -> Counter {
        let counter = Counter::default();
        self.add(name, description, Source::Counter(counter.clone()));
        counter
    }

    /// A value that is computed from `now_ms` when it is read. The closure must not own this scope, or what does (hold
    /// it weakly): they would keep each other alive.
    pub(crate) fn gauge(
        &self,
        name: &'static str,
        description: &'static str,
        measure: impl Fn(i64) -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, description, Source::Gauge(Box::new(measure)));
    }

    /// Values whose tags change, such as one for each partition that a consumer has now: computed when they are read, and
    /// free until then. What holds for the closure of a [gauge](Scope::gauge) holds for this one.
    pub(crate) fn collector(&self, collect: impl Fn(i64, &mut Collected<'_>) + Send + Sync + 'static) {
        self.entries.collectors.lock().push(Arc::new(collect));
    }

    /// Has this called before this scope and its children are read, for clients that gather values elsewhere; once a
    /// scope. Like a gauge's, the closure must not own the scope.
    pub(crate) fn before_read(&self, gather: impl Fn(i64) + Send + Sync + 'static) {
        let was_free = self.entries.before_read.set(BeforeRead(Box::new(gather))).is_ok();
        debug_assert!(was_free, "one call a scope");
    }

    pub(super) fn add(&self, name: &'static str, description: &'static str, source: Source) {
        let mut list = self.entries.list.lock();
        debug_assert!(list.iter().all(|entry| entry.name != name), "{name} is registered twice");
        list.push(Arc::new(Entry { name, description, source }));
    }

    /// All metrics of this scope's client: its own, its children's and their siblings'.
    pub(crate) fn metrics(&self, now_ms: i64) -> Metrics {
        self.registry.client_snapshot(self.key.0, now_ms)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.registry.remove(self.key);
    }
}

impl Entries {
    pub(super) fn new(group: &'static str, tags: Tags) -> Self {
        Self { group, tags, list: Mutex::default(), collectors: Mutex::default(), before_read: OnceLock::new() }
    }

    pub(super) fn measure(&self, now_ms: i64, into: &mut Vec<Metric>) {
        if let Some(BeforeRead(gather)) = self.before_read.get() {
            gather(now_ms);
        }
        // A gauge may take locks of its client's, which may register something under them.
        let list = self.list.lock().clone();
        into.extend(list.iter().map(|entry| {
            let name = MetricName::new(entry.name, self.group, entry.description, Arc::clone(&self.tags));
            Metric::new(name, entry.source.kind(), entry.source.measure(now_ms))
        }));
        let collectors = self.collectors.lock().clone();
        for collect in collectors {
            collect(now_ms, &mut Collected { scope: self, tags: Arc::clone(&self.tags), into });
        }
    }
}

/// What a collector has to say.
pub(crate) struct Collected<'m> {
    scope: &'m Entries,
    tags: Tags,
    into: &'m mut Vec<Metric>,
}

impl Collected<'_> {
    /// What follows has these tags beside the scope's.
    pub(crate) fn under(&mut self, more: impl IntoIterator<Item = (&'static str, Arc<str>)>) {
        self.tags = tags(self.scope.tags.iter().cloned().chain(more));
    }

    /// A value.
    pub(crate) fn gauge(&mut self, name: &'static str, description: &'static str, value: f64) {
        let name = MetricName::new(name, self.scope.group, description, Arc::clone(&self.tags));
        self.into.push(Metric::new(name, MetricKind::Gauge, value));
    }
}

impl Source {
    fn kind(&self) -> MetricKind {
        match self {
            Self::Sensor(_, stat) => stat.kind(),
            Self::Counter(_) => MetricKind::Counter,
            Self::Gauge(_) => MetricKind::Gauge,
        }
    }

    fn measure(&self, now_ms: i64) -> f64 {
        match self {
            Self::Sensor(sensor, stat) => sensor.measure(*stat, now_ms),
            Self::Counter(counter) => counter.get() as f64,
            Self::Gauge(measure) => measure(now_ms),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sensor(..) => "Sensor",
            Self::Counter(_) => "Counter",
            Self::Gauge(_) => "Gauge",
        })
    }
}
