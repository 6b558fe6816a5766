//! [`Registry`]: everything that is registered in one cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::metrics::name::tags;
pub(crate) use crate::metrics::sampled::MetricConfig;
use crate::metrics::scope::{Entries, Scope, ScopeKey};
use crate::metrics::snapshot::{Metric, Metrics};

/// The scopes alive in one cluster.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    scopes: Mutex<BTreeMap<ScopeKey, Arc<Entries>>>,
    /// Taken alone, never with `scopes`.
    instances: Mutex<Instances>,
    next_id: AtomicU64,
}

/// Tells clients of one group apart that have the same id. Bounded by the clients alive.
#[derive(Debug, Default)]
struct Instances {
    /// The number of each client.
    clients: HashMap<u64, (ClientName, u64)>,
    used: HashMap<ClientName, Numbers>,
}

/// A group (`producer-metrics`) and a client id.
type ClientName = (&'static str, Arc<str>);

/// Numbers in use, from 1 on, as ranges that do not touch: from the first to the one behind the last.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<u64, u64>);

impl Instances {
    /// The smallest number that no client of this name has.
    fn take(&mut self, client: u64, name: ClientName) -> u64 {
        let number = self.used.entry(name.clone()).or_default().take();
        self.clients.insert(client, (name, number));
        number
    }

    fn release(&mut self, client: u64) {
        let Some((name, number)) = self.clients.remove(&client) else { return };
        if let Some(used) = self.used.get_mut(&name) {
            used.release(number);
            if used.0.is_empty() {
                self.used.remove(&name);
            }
        }
    }
}

impl Numbers {
    fn take(&mut self) -> u64 {
        let number = self.0.get(&1).copied().unwrap_or(1);
        let end = self.0.remove(&(number + 1)).unwrap_or(number + 1);
        self.0.insert(1, end);
        number
    }

    fn release(&mut self, number: u64) {
        let Some((&start, &end)) = self.0.range(..=number).next_back() else { return };
        self.0.remove(&start);
        for (start, end) in [(start, number), (number + 1, end)] {
            if start < end {
                self.0.insert(start, end);
            }
        }
    }
}

impl Registry {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The scope of a new client, its metrics in `group` (`producer-metrics`) under `client-id`; what else it has goes
    /// into [children](Scope::child).
    ///
    /// While another client of that group with that id lives, both are registered: the newer one with a tag `instance`
    /// on top, counting from 2. (Java's clients have a registry each, and the second one's MBean is refused.)
    pub(crate) fn client(self: &Arc<Self>, group: &'static str, client_id: &str, config: MetricConfig) -> Scope {
        let key = (self.next_id(), 0);
        let client_id = Arc::<str>::from(client_id);
        let number = self.instances.lock().take(key.0, (group, Arc::clone(&client_id)));
        let instance = (number > 1).then(|| ("instance", Arc::from(number.to_string())));
        let entries = Arc::new(Entries::new(group, tags([("client-id", client_id)].into_iter().chain(instance))));
        self.insert(key, Arc::clone(&entries));
        Scope::new(Arc::clone(self), key, config, entries)
    }

    /// Everything that is registered, as of now.
    pub(crate) fn collect(&self, now_ms: i64) -> Vec<Metric> {
        let scopes: Vec<_> = self.scopes.lock().values().cloned().collect();
        measure(&scopes, now_ms)
    }

    /// What one client has registered.
    pub(super) fn client_snapshot(&self, client: u64, now_ms: i64) -> Metrics {
        let range = (client, 0)..=(client, u64::MAX);
        let scopes: Vec<_> = self.scopes.lock().range(range).map(|(_, entries)| Arc::clone(entries)).collect();
        Metrics::new(now_ms, measure(&scopes, now_ms))
    }

    /// Ids begin with 1: 0 is a client's first scope.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn insert(&self, key: ScopeKey, entries: Arc<Entries>) {
        self.scopes.lock().insert(key, entries);
    }

    pub(super) fn remove(&self, key: ScopeKey) {
        // Dropped without the lock: a gauge's closure may own anything.
        let removed = self.scopes.lock().remove(&key);
        drop(removed);
        // The number is free again when nothing is registered under it any more.
        if key.1 == 0 {
            self.instances.lock().release(key.0);
        }
    }
}

fn measure(scopes: &[Arc<Entries>], now_ms: i64) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for scope in scopes {
        scope.measure(now_ms, &mut metrics);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(registry: &Registry, now_ms: i64) -> Metrics {
        Metrics::new(now_ms, registry.collect(now_ms))
    }

    fn values(metrics: &Metrics) -> Vec<(String, f64)> {
        metrics.iter().map(|metric| (metric.name().to_string(), metric.value())).collect()
    }

    #[test]
    fn a_client_reads_its_own_and_the_cluster_reads_all() {
        let registry = Registry::new();
        let a = registry.client("producer-metrics", "a", MetricConfig::default());
        let b = registry.client("producer-metrics", "b", MetricConfig::default());
        a.counter("record-error-total", "").add(3);
        b.counter("record-error-total", "").add(4);
        let topic = a.child("producer-topic-metrics", [("topic", Arc::from("t"))]);
        topic.gauge("x", "", |_| 1.5);
        let of_a = [
            ("producer-metrics:record-error-total{client-id=a}".to_owned(), 3.0),
            ("producer-topic-metrics:x{client-id=a,topic=t}".to_owned(), 1.5),
        ];
        assert_eq!(values(&a.metrics(0)), of_a);
        assert_eq!(values(&topic.metrics(0)), of_a);
        assert_eq!(values(&b.metrics(0)), [("producer-metrics:record-error-total{client-id=b}".to_owned(), 4.0)]);
        assert_eq!(all(&registry, 0).len(), 3);
    }

    #[test]
    fn what_is_dropped_is_unregistered() {
        let registry = Registry::new();
        for _ in 0..100 {
            let scope = registry.client("g", "a", MetricConfig::default());
            let child = scope.child("h", [("topic", Arc::from("t"))]);
            scope.gauge("now", "", |now_ms| now_ms as f64);
            child.counter("c", "");
            assert_eq!(
                values(&scope.metrics(7)),
                [("g:now{client-id=a}".into(), 7.0), ("h:c{client-id=a,topic=t}".into(), 0.0)]
            );
            drop(child);
            assert_eq!(all(&registry, 7).len(), 1);
        }
        assert!(all(&registry, 7).is_empty());
        assert!(registry.scopes.lock().is_empty());
    }

    #[test]
    fn clients_with_the_same_id_are_told_apart() {
        let registry = Registry::new();
        let client = |group, id| {
            let scope = registry.client(group, id, MetricConfig::default());
            scope.counter("c", "");
            scope
        };
        let first = client("g", "a");
        let second = client("g", "a");
        let _third = client("g", "a");
        let _other = client("h", "a");
        let names = || values(&all(&registry, 0)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let numbered =
            ["g:c{client-id=a}", "g:c{client-id=a,instance=2}", "g:c{client-id=a,instance=3}", "h:c{client-id=a}"];
        assert_eq!(names(), numbered);
        drop((first, second));
        let _again = client("g", "a");
        assert_eq!(names(), [numbered[0], numbered[2], numbered[3]]);
    }

    /// Numbering costs nothing that grows with the clients: otherwise this takes minutes.
    #[test]
    fn thousands_of_clients_share_an_id() {
        const CLIENTS: u64 = 5000;
        let registry = Registry::new();
        let client = || registry.client("g", "a", MetricConfig::default());
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
        let number = |client: &Scope| {
            client.counter("c", "");
            let metrics = client.metrics(0);
            let name = metrics.iter().next().unwrap().name().to_string();
            name.split_once("instance=").map_or(1, |(_, number)| number.trim_end_matches('}').parse().unwrap())
        };
        assert_eq!(number(&clients[CLIENTS as usize - 1]), CLIENTS);
        // Holes are filled from the front, wherever they are.
        let removed = [clients.remove(7), clients.remove(0), clients.remove(3000), clients.remove(8)];
        let mut free: Vec<_> = removed.iter().map(number).collect();
        drop(removed);
        free.sort_unstable();
        clients.extend((0..5).map(|_| client()));
        free.push(CLIENTS + 1);
        assert_eq!(clients[CLIENTS as usize - 4..].iter().map(number).collect::<Vec<u64>>(), free);
        assert_eq!(registry.instances.lock().used.values().map(|used| used.0.len()).sum::<usize>(), 1);
        drop(clients);
        let instances = registry.instances.lock();
        assert!(instances.clients.is_empty() && instances.used.is_empty());
    }

    #[test]
    fn while_two_scopes_have_one_name_the_newer_is_read() {
        let registry = Registry::new();
        let client = registry.client("g", "a", MetricConfig::default());
        let of = |value| {
            let child = client.child("g", [("topic", Arc::from("t"))]);
            child.gauge("v", "", move |_| value);
            child
        };
        let old = of(1.0);
        let new = of(2.0);
        assert_eq!(values(&client.metrics(0)), [("g:v{client-id=a,topic=t}".to_owned(), 2.0)]);
        drop(old);
        assert_eq!(values(&client.metrics(0)), [("g:v{client-id=a,topic=t}".to_owned(), 2.0)]);
        drop(new);
        assert!(client.metrics(0).is_empty());
    }

    #[test]
    fn one_sensor_feeds_many_metrics() {
        let registry = Registry::new();
        let scope = registry.client("g", "a", MetricConfig::default());
        let sensor = scope
            .sensor()
            .avg("latency-avg", "")
            .max("latency-max", "")
            .occurrences(("rate", ""), ("total", ""))
            .occurrences_per_hour("rate-per-hour", "")
            .meter(("sum-rate", ""), ("sum-total", ""))
            .build();
        for value in [1.0, 2.0, 6.0] {
            sensor.record(value, 0);
        }
        let metrics = scope.metrics(10_000);
        let value = |name| metrics.value(name, "g", &[("client-id", "a")]).unwrap();
        assert_eq!((value("latency-avg"), value("latency-max")), (3.0, 6.0));
        assert_eq!((value("rate"), value("rate-per-hour"), value("total")), (3.0 / 40.0, 270.0, 3.0));
        assert_eq!((value("sum-rate"), value("sum-total")), (9.0 / 40.0, 9.0));
    }
}
