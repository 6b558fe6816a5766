//! [`Member`].

use std::sync::Arc;

use bytes::Bytes;

use crate::coordinator::group::record::MemberMetadata;
use crate::coordinator::group::{DescribedMember, JoinGroupMember, JoinGroupRequest, Token};

/// One member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(super) id: Arc<str>,
    /// Present for a static member (KIP-345).
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// The assignors it supports, most preferred first, each with its subscription.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// Its JoinGroup that waits for the others.
    pub(super) awaiting_join: Option<Token>,
    /// Its SyncGroup that waits for the leader.
    pub(super) awaiting_sync: Option<Token>,
    /// Its watch, that waits for a reason to send a heartbeat.
    pub(super) watching: Option<Token>,
    /// Whether it has not been part of a generation yet.
    pub(super) is_new: bool,
}

impl Member {
    /// A member that has just asked to join.
    pub(super) fn joining(id: Arc<str>, token: Token, request: JoinGroupRequest) -> Self {
        Self {
            id,
            instance_id: request.group_instance_id.map(Into::into),
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(token),
            awaiting_sync: None,
            watching: None,
            is_new: true,
        }
    }

    /// A member that a record remembers.
    pub(super) fn restored(metadata: MemberMetadata, protocol_name: &str) -> Self {
        Self {
            id: metadata.member_id.into(),
            instance_id: metadata.instance_id.map(Into::into),
            client_id: metadata.client_id,
            client_host: metadata.client_host,
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            session_timeout_ms: metadata.session_timeout_ms,
            protocols: vec![(protocol_name.to_owned(), metadata.subscription)],
            assignment: metadata.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            watching: None,
            is_new: false,
        }
    }

    /// What a record remembers of the member in a group that uses `protocol_name`.
    pub(super) fn to_metadata(&self, protocol_name: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.to_string(),
            instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.subscription(protocol_name),
            assignment,
        }
    }

    /// Takes over what a repeated JoinGroup says.
    pub(super) fn update(&mut self, request: &JoinGroupRequest) {
        self.protocols = request.protocols.clone();
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.session_timeout_ms = request.session_timeout_ms;
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether the coordinator owes it an answer, so that it need not send heartbeats. A new member is watched all the
    /// same, because its first request might come from a client that has gone since.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn supports(&self, protocol_name: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol_name)
    }

    /// What it asks for under this protocol; empty if it does not support it.
    pub(super) fn subscription(&self, protocol_name: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol_name);
        found.map(|(_, subscription)| subscription.clone()).unwrap_or_default()
    }

    /// The member as its leader sees it.
    pub(super) fn for_leader(&self, protocol_name: &str) -> JoinGroupMember {
        JoinGroupMember {
            member_id: self.id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            metadata: self.subscription(protocol_name),
        }
    }

    /// The member as an administrator sees it; the subscription only where there is an agreed protocol.
    pub(super) fn describe(&self, protocol_name: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol_name.map(|name| self.subscription(name)).unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }
}
