//! The cluster itself.

use crate::client::admin::Admin;
use crate::error::Result;
use crate::types::BrokerId;

/// The cluster's identity and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    cluster_id: String,
    controller: Option<BrokerId>,
    nodes: Vec<Node>,
}

impl ClusterDescription {
    /// The cluster's id, 22 characters.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The broker to send requests for the controller to; `None` while there is none.
    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// The brokers that are up, in order of id.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    id: BrokerId,
    rack: Option<String>,
}

impl Node {
    /// The broker's `node.id`.
    pub fn id(&self) -> BrokerId {
        self.id
    }

    /// The broker's `broker.rack`.
    pub fn rack(&self) -> Option<&str> {
        self.rack.as_deref()
    }
}

impl Admin {
    /// The cluster's id, its controller and its brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.cluster.check_open()?;
        let image = self.cluster.image();
        let up = image.brokers.values().filter(|broker| !broker.fenced);
        Ok(ClusterDescription {
            cluster_id: self.cluster.cluster_id().to_owned(),
            controller: self.cluster.controller_id(),
            nodes: up.map(|broker| Node { id: broker.id, rack: broker.rack.clone() }).collect(),
        })
    }
}
