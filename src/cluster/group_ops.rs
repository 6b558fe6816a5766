//! What clients ask of the group coordinator.
//!
//! The request is handled before the call returns; the future resolves with the answer, which may have to wait for other
//! members. Dropping the future does not take the request back.

use std::future::Future;

use crate::broker::GroupCoordinator;
use crate::cluster::Cluster;
use crate::coordinator::group::{
    DescribedGroup, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListedGroup, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use crate::error::ErrorCode;
use crate::types::TopicPartition;

impl Cluster {
    pub(crate) fn join_group(
        &self,
        request: JoinGroupRequest,
    ) -> impl Future<Output = JoinGroupResponse> + Send + use<> {
        self.groups().join_group(request)
    }

    pub(crate) fn sync_group(
        &self,
        request: SyncGroupRequest,
    ) -> impl Future<Output = SyncGroupResponse> + Send + use<> {
        self.groups().sync_group(request)
    }

    pub(crate) fn heartbeat(&self, request: HeartbeatRequest) -> impl Future<Output = ErrorCode> + Send + use<> {
        self.groups().heartbeat(request)
    }

    /// Resolves when the member had better send a heartbeat at once: the answer will not be success. May resolve for
    /// less, as when the coordinator goes.
    pub(crate) fn watch_member(&self, request: HeartbeatRequest) -> impl Future<Output = ()> + Send + use<> {
        self.groups().watch_member(request)
    }

    pub(crate) fn leave_group(
        &self,
        request: LeaveGroupRequest,
    ) -> impl Future<Output = LeaveGroupResponse> + Send + use<> {
        self.groups().leave_group(request)
    }

    pub(crate) fn commit_offsets(
        &self,
        mut request: OffsetCommitRequest,
    ) -> impl Future<Output = OffsetCommitResponse> + Send + use<> {
        // Whether a partition exists is the broker's to know, as in Kafka; the coordinator takes any name.
        let image = self.image();
        let asked: Vec<_> = request.offsets.iter().map(|(partition, _)| partition.clone()).collect();
        request.offsets.retain(|(partition, _)| image.has_partition(partition));
        let known = self.groups().commit_offsets(request);
        async move { OffsetCommitResponse { partitions: in_order_of(asked, known.await.partitions) } }
    }

    pub(crate) fn fetch_offsets(
        &self,
        request: OffsetFetchRequest,
    ) -> impl Future<Output = OffsetFetchResponse> + Send + use<> {
        let response = self.groups().fetch_offsets(&request);
        async move { response }
    }

    /// Forgets committed offsets, each on its own, unless the whole request is refused.
    pub(crate) fn delete_offsets(
        &self,
        mut request: OffsetDeleteRequest,
    ) -> impl Future<Output = OffsetDeleteResponse> + Send + use<> {
        // As with commits, whether a partition exists is the broker's to know.
        let image = self.image();
        let asked = request.partitions.clone();
        request.partitions.retain(|partition| image.has_partition(partition));
        let known = self.groups().delete_offsets(request);
        async move {
            let known = known.await;
            if !known.error.is_none() {
                return known;
            }
            let partitions = in_order_of(asked, known.partitions);
            OffsetDeleteResponse { error: ErrorCode::None, partitions }
        }
    }

    pub(crate) fn list_groups(&self) -> Vec<ListedGroup> {
        self.inner.broker.groups.list_groups()
    }

    pub(crate) fn describe_group(&self, group_id: &str) -> DescribedGroup {
        self.groups().describe_group(group_id).unwrap_or_else(|| DescribedGroup {
            error: ErrorCode::CoordinatorNotAvailable,
            group_id: group_id.to_owned(),
            state: "Dead",
            protocol_type: String::new(),
            protocol: String::new(),
            members: Vec::new(),
        })
    }

    pub(crate) fn delete_group(&self, group_id: &str) -> impl Future<Output = ErrorCode> + Send + use<> {
        self.groups().delete_group(group_id)
    }

    /// The coordinator, with the offsets topic in place: Kafka creates it when the first group appears.
    fn groups(&self) -> &GroupCoordinator {
        self.adopt_runtime();
        let groups = &self.inner.broker.groups;
        if !groups.is_loaded() {
            // What fails here is answered by the coordinator: COORDINATOR_NOT_AVAILABLE.
            drop(self.inner.load_groups());
        }
        groups
    }
}

/// One answer for each partition asked about, in that order; the coordinator was not asked about those that do not exist.
fn in_order_of(
    asked: Vec<TopicPartition>,
    known: Vec<(TopicPartition, ErrorCode)>,
) -> Vec<(TopicPartition, ErrorCode)> {
    let mut known = known.into_iter().peekable();
    let answer = |partition: TopicPartition| {
        known.next_if(|(known, _)| *known == partition).unwrap_or((partition, ErrorCode::UnknownTopicOrPartition))
    };
    asked.into_iter().map(answer).collect()
}
