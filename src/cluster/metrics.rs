//! What is read as metrics.

use crate::cluster::Cluster;
use crate::metrics::{MetricConfig, Metrics, Scope};

impl Cluster {
    /// Everything that the cluster and all of its living clients measure, as of now.
    ///
    /// Clients that were closed or dropped are not in it any more. Where several clients have one `client.id`, the
    /// second and later ones carry a tag `instance`.
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.snapshot(self.clock().now_ms())
    }

    /// The scope of a new client, in Kafka's group for its kind (`producer-metrics`), under its `client.id`. It is
    /// unregistered when it is dropped, so the client keeps it.
    #[allow(dead_code, reason = "for clients, which take it up one by one")]
    pub(crate) fn client_metrics(&self, group: &'static str, client_id: &str, config: MetricConfig) -> Scope {
        self.inner.metrics.client(group, client_id, config)
    }
}
