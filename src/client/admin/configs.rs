//! Settings of topics and brokers: describing and altering them.

use crate::client::admin::Admin;
use crate::client::admin::topics::only;
use crate::config::{AlterConfigOp, ConfigEntry, ConfigResource};
use crate::error::Result;

impl Admin {
    /// All settings of topics and brokers, each resource on its own: every setting there is, in order of name, with its
    /// value, where that comes from and what it would be without. Of [`ConfigResource::BrokerDefault`] only what was set
    /// there.
    ///
    /// ```
    /// use brokerless::admin::{ConfigResource, ConfigSource};
    /// use brokerless::{Cluster, NewTopic};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// let admin = Cluster::in_memory().admin();
    /// admin.create_topic(NewTopic::new("orders").config("retention.ms", "3600000")).await?;
    /// for entry in admin.describe_configs([ConfigResource::topic("orders")]).await.remove(0)? {
    ///     if !entry.is_default() && entry.source() == ConfigSource::DynamicTopic {
    ///         assert_eq!((entry.name(), entry.value()), ("retention.ms", Some("3600000")));
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_TOPIC_EXCEPTION` for what cannot be a topic's name; `INVALID_REQUEST` for a
    /// broker that is not there, and for groups, client metrics and loggers, which have no settings here yet.
    pub async fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
    ) -> Vec<Result<Vec<ConfigEntry>>> {
        resources.into_iter().map(|resource| self.cluster.describe_configs(&resource)).collect()
    }

    /// All settings of a topic. As [`Admin::describe_configs`] for one.
    pub async fn describe_topic_config(&self, topic: impl Into<String>) -> Result<Vec<ConfigEntry>> {
        self.cluster.describe_configs(&ConfigResource::Topic(topic.into()))
    }

    /// Alters settings while topics and brokers are in use (KIP-339), of each resource on its own: all of its changes or,
    /// with an error, none. They are in effect when this returns: the next append is checked against a topic's new
    /// settings, the next look of retention goes by them. A broker's setting changes every topic that does not override
    /// it.
    ///
    /// Of a broker's settings only defaults of topics (`log.retention.ms`, `message.max.bytes`, ...), `log.cleaner.*` and
    /// `producer.id.expiration.ms` can be altered, on [`ConfigResource::Broker`] or for all brokers on
    /// [`ConfigResource::BrokerDefault`]; [`ConfigEntry::is_read_only`] tells which.
    ///
    /// ```
    /// use brokerless::admin::{AlterConfigOp, ConfigResource};
    /// # use brokerless::{Cluster, NewTopic};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
    /// # let admin = Cluster::in_memory().admin();
    /// # admin.create_topic(NewTopic::new("orders")).await?;
    /// let orders = ConfigResource::topic("orders");
    /// let changes = [AlterConfigOp::set("retention.ms", "60000"), AlterConfigOp::append("cleanup.policy", "compact")];
    /// admin.incremental_alter_configs([(orders, changes)]).await.remove(0)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For a topic: `INVALID_CONFIG` for a setting that does not exist or a value that does not fit, as when a topic is
    /// created, and for a list operation on what is no list; `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_TOPIC_EXCEPTION`.
    /// For a broker: `INVALID_REQUEST` for a setting that is read-only, a value that does not fit, or a broker that is not
    /// there; `INVALID_CONFIG` for a setting that does not exist, and for `min.insync.replicas`, which is the cluster's
    /// and no broker's own. For either: `INVALID_REQUEST` for a resource, or a setting of a resource, that is there twice,
    /// and for what has no settings; `POLICY_VIOLATION` past 10,000 changes.
    pub async fn incremental_alter_configs<O: IntoIterator<Item = AlterConfigOp>>(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, O)>,
    ) -> Vec<Result<()>> {
        self.alter_configs(changes, false)
    }

    /// Checks whether [`Admin::incremental_alter_configs`] would succeed; alters nothing. Kafka's `validateOnly`.
    pub async fn validate_alter_configs<O: IntoIterator<Item = AlterConfigOp>>(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, O)>,
    ) -> Vec<Result<()>> {
        self.alter_configs(changes, true)
    }

    /// Alters settings of one topic. As [`Admin::incremental_alter_configs`] for one.
    pub async fn alter_topic_config(
        &self,
        topic: impl Into<String>,
        changes: impl IntoIterator<Item = AlterConfigOp>,
    ) -> Result<()> {
        only(self.alter_configs([(ConfigResource::Topic(topic.into()), changes)], false))
    }

    fn alter_configs<O: IntoIterator<Item = AlterConfigOp>>(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, O)>,
        validate_only: bool,
    ) -> Vec<Result<()>> {
        let changes = changes.into_iter().map(|(resource, changes)| (resource, changes.into_iter().collect()));
        self.cluster.incremental_alter_configs(&changes.collect::<Vec<_>>(), validate_only)
    }
}
