//! The in-process client API.

pub(crate) mod admin;
pub(crate) mod consumer;
mod partition_info;
pub(crate) mod producer;

use crate::client::admin::Admin;
use crate::client::consumer::{Consumer, ConsumerConfig};
use crate::client::producer::{Producer, ProducerConfig};
use crate::cluster::Cluster;
use crate::error::Result;

impl Cluster {
    /// Administration: topics, groups, offsets.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// A producer on this cluster.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for settings that contradict each other; an illegal state outside of a tokio runtime, unless the
    /// cluster was used in one before.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer> {
        Producer::new(self.clone(), config)
    }

    /// A consumer on this cluster.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for settings that contradict each other; `INVALID_GROUP_ID` for a blank `group.id`. A runtime is
    /// needed from the first poll on.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer> {
        Consumer::new(self.clone(), config)
    }
}
