//! What members ask of the coordinator and what it answers: Kafka's requests, less their framing.

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Names a pending request; the caller gives it and finds it again beside the reply.
pub(crate) type Token = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinGroupRequest {
    pub(crate) group_id: String,
    pub(crate) session_timeout_ms: i32,
    /// The consumer's `max.poll.interval.ms`.
    pub(crate) rebalance_timeout_ms: i32,
    /// Empty on a member's first request.
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    /// `consumer`, `connect`, ...
    pub(crate) protocol_type: String,
    /// The assignors that the member supports, most preferred first, each with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// Whether a first request without member id is answered with `MEMBER_ID_REQUIRED` (KIP-394; version 4 and up).
    pub(crate) require_known_member_id: bool,
    /// Whether a returning static leader may be told to skip assignment (KIP-814; version 9 and up).
    pub(crate) supports_skipping_assignment: bool,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinGroupResponse {
    pub(crate) error: ErrorCode,
    /// -1 on errors.
    pub(crate) generation_id: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) leader: String,
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: String,
    /// Everybody's subscription; empty for all but the leader.
    pub(crate) members: Vec<JoinGroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinGroupMember {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncGroupRequest {
    pub(crate) group_id: String,
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    /// By member id; empty from all but the leader.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncGroupResponse {
    pub(crate) error: ErrorCode,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) assignment: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatRequest {
    pub(crate) group_id: String,
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaveGroupRequest {
    pub(crate) group_id: String,
    pub(crate) members: Vec<LeaveGroupMember>,
}

/// A leaving member: by member id, or by instance id with an empty member id (an admin removes a static member).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaveGroupMember {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaveGroupResponse {
    pub(crate) error: ErrorCode,
    /// One for each member of the request, in its order.
    pub(crate) members: Vec<ErrorCode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommitRequest {
    pub(crate) group_id: String,
    /// -1 from a consumer that assigns its partitions by hand.
    pub(crate) generation_id: i32,
    /// Empty from a consumer that assigns its partitions by hand.
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommitResponse {
    /// One for each partition of the request, in its order.
    pub(crate) partitions: Vec<(TopicPartition, ErrorCode)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetFetchRequest {
    pub(crate) group_id: String,
    /// `None` for every partition with a committed offset.
    pub(crate) partitions: Option<Vec<TopicPartition>>,
    pub(crate) require_stable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetFetchResponse {
    pub(crate) error: ErrorCode,
    /// `None` where nothing is committed.
    pub(crate) partitions: Vec<(TopicPartition, Option<OffsetAndMetadata>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetDeleteRequest {
    pub(crate) group_id: String,
    pub(crate) partitions: Vec<TopicPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetDeleteResponse {
    /// Of the whole request; `partitions` is empty then.
    pub(crate) error: ErrorCode,
    /// One for each partition of the request, in its order.
    pub(crate) partitions: Vec<(TopicPartition, ErrorCode)>,
}

/// One line of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedGroup {
    pub(crate) group_id: String,
    pub(crate) protocol_type: String,
    /// Kafka's name: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedGroup {
    /// `GROUP_ID_NOT_FOUND` for a group that does not exist, with state `Dead` (KIP-1043).
    pub(crate) error: ErrorCode,
    pub(crate) group_id: String,
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    /// The assignor's name; empty unless stable.
    pub(crate) protocol: String,
    pub(crate) members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// The answer to a request, released once the records that came with it are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(ErrorCode),
    Leave(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    DeleteGroup(ErrorCode),
    OffsetDelete(OffsetDeleteResponse),
    /// A watched member's next heartbeat is worth sending.
    Watch,
}
