//! [`Outcome`].

use crate::coordinator::CoordinatorRecord;
use crate::coordinator::group::{
    JoinGroupResponse, LeaveGroupResponse, OffsetDeleteResponse, Reply, SyncGroupResponse, Token,
};
use crate::error::ErrorCode;

/// What an event leads to: records to append as one batch, and answers to release when they are committed.
///
/// The records are replayed, or the whole outcome is handed to `on_append_failed`, before the next event.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Outcome {
    /// In the order in which they are to be appended.
    pub(crate) records: Vec<CoordinatorRecord>,
    /// Each token occurs at most once, here and in every other outcome.
    pub(crate) replies: Vec<(Token, Reply)>,
}

impl Outcome {
    pub(super) fn reply(token: Token, reply: Reply) -> Self {
        Self { records: Vec::new(), replies: vec![(token, reply)] }
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty()
    }
}

impl Reply {
    pub(super) fn join_error(member_id: &str, error: ErrorCode) -> Self {
        Self::Join(JoinGroupResponse {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        })
    }

    pub(super) fn sync_error(error: ErrorCode) -> Self {
        Self::Sync(SyncGroupResponse {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: bytes::Bytes::new(),
        })
    }

    /// The same answer for a client whose effect could not be made durable. Refusals stay what they are.
    pub(super) fn failed(self, error: ErrorCode) -> Self {
        match self {
            Self::Join(response) if matches!(response.error, ErrorCode::None | ErrorCode::MemberIdRequired) => {
                Self::join_error("", error)
            }
            Self::Sync(response) if response.error.is_none() => Self::sync_error(error),
            Self::Heartbeat(ErrorCode::None) => Self::Heartbeat(error),
            Self::Leave(response) if response.error.is_none() => {
                Self::Leave(LeaveGroupResponse { error, members: Vec::new() })
            }
            Self::OffsetCommit(mut response) => {
                for (_, code) in response.partitions.iter_mut().filter(|(_, code)| code.is_none()) {
                    *code = error;
                }
                Self::OffsetCommit(response)
            }
            Self::DeleteGroup(ErrorCode::None) => Self::DeleteGroup(error),
            Self::OffsetDelete(response) if response.error.is_none() => {
                Self::OffsetDelete(OffsetDeleteResponse { error, partitions: Vec::new() })
            }
            refusal => refusal,
        }
    }
}

/// What a failed append looks like to a member: Kafka shows coordinator errors, which make clients look for the
/// coordinator again, in place of those of its log.
pub(super) fn append_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        // A failure must not look like success.
        ErrorCode::None => ErrorCode::UnknownServerError,
        other => other,
    }
}
