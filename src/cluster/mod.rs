//! The cluster: brokers, controller and clock under one handle.

mod admin_ops;

use std::future::Future;
use std::sync::Arc;

pub(crate) use crate::broker::{AppendInfo, Clock, FetchWaiter, PartitionHandle};
pub(crate) use crate::controller::{CreatableTopic, MetadataImage, PartitionImage, TopicImage, is_internal_topic};
pub(crate) use crate::coordinator::group;
use crate::coordinator::group::*;
use crate::error::{Error, ErrorCode};
use crate::types::{ProducerEpoch, ProducerId, TopicPartition};
use crate::util::block_pool::BlockPool;
pub(crate) use admin_ops::{TopicSelector, validate_topic_name};

/// A Kafka cluster inside this process.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<ClusterInner>,
}

#[derive(Debug)]
pub(crate) struct ClusterInner {
    clock: Clock,
}

// What clients call. All of it is cheap, and none of it blocks.
impl Cluster {
    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The current metadata. Load it once per operation.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        todo!()
    }

    /// The offset of the current image: one atomic load, to see whether a cached route is stale.
    #[inline]
    pub(crate) fn metadata_version(&self) -> i64 {
        todo!()
    }

    /// Resolves once the image is newer than `version`.
    pub(crate) async fn metadata_changed(&self, version: i64) {
        let _ = version;
        todo!()
    }

    /// The leader's handle. `UNKNOWN_TOPIC_OR_PARTITION`, `LEADER_NOT_AVAILABLE`, or closed.
    pub(crate) fn leader(&self, topic_partition: &TopicPartition) -> Result<Arc<PartitionHandle>, Error> {
        let _ = topic_partition;
        todo!()
    }

    /// Recycled memory in blocks of this size, shared by all producers of the cluster.
    pub(crate) fn block_pool(&self, block_size: usize) -> Arc<BlockPool> {
        let _ = block_size;
        todo!()
    }

    /// A fresh id for an idempotent producer.
    pub(crate) fn init_producer_id(&self) -> Result<(ProducerId, ProducerEpoch), Error> {
        todo!()
    }

    /// Runs a client's background task on the runtime that the caller is in (or that the cluster was started on).
    /// The task must end by itself when its client is dropped; the handle aborts it earlier.
    /// Outside of any runtime: an illegal-state error that says so.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<()>, Error> {
        let _ = task;
        todo!()
    }

    /// Fails once the cluster is shut down.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        todo!()
    }

    /// The cluster's id, as Kafka prints it.
    pub fn cluster_id(&self) -> &str {
        todo!()
    }

    // The group coordinator. The request is handled before the call returns; the future resolves with the answer, which
    // may have to wait for other members. Dropping the future does not take the request back.
    pub(crate) fn join_group(
        &self,
        request: JoinGroupRequest,
    ) -> impl Future<Output = JoinGroupResponse> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn sync_group(
        &self,
        request: SyncGroupRequest,
    ) -> impl Future<Output = SyncGroupResponse> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn heartbeat(&self, request: HeartbeatRequest) -> impl Future<Output = ErrorCode> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn leave_group(
        &self,
        request: LeaveGroupRequest,
    ) -> impl Future<Output = LeaveGroupResponse> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn commit_offsets(
        &self,
        request: OffsetCommitRequest,
    ) -> impl Future<Output = OffsetCommitResponse> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn fetch_offsets(
        &self,
        request: OffsetFetchRequest,
    ) -> impl Future<Output = OffsetFetchResponse> + Send + 'static {
        let _ = request;
        async { todo!() }
    }
    pub(crate) fn list_groups(&self) -> Vec<ListedGroup> {
        todo!()
    }
    pub(crate) fn describe_group(&self, group_id: &str) -> DescribedGroup {
        let _ = group_id;
        todo!()
    }
    pub(crate) fn delete_group(&self, group_id: &str) -> impl Future<Output = ErrorCode> + Send + 'static {
        let _ = group_id;
        async { todo!() }
    }
}
