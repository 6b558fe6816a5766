//! [`Note`]: what became of a group, for those who watch it from outside: metrics and events.

use std::sync::Arc;

/// Something that an operator may want to hear of. Nothing depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    MemberJoined {
        group_id: Arc<str>,
        member_id: Arc<str>,
    },
    /// A member left or was evicted.
    MemberRemoved {
        group_id: Arc<str>,
        member_id: Arc<str>,
    },
    /// Nothing was heard of a member for its session timeout; it is removed next.
    SessionExpired {
        group_id: Arc<str>,
        member_id: Arc<str>,
    },
    RebalanceBegan {
        group_id: Arc<str>,
        /// The generation that ends.
        generation_id: i32,
    },
    /// Everybody is there; the leader assigns.
    GenerationBegan {
        group_id: Arc<str>,
        generation_id: i32,
        members: usize,
        /// The assignor; empty for a group without members.
        protocol: String,
    },
    /// The leader has assigned.
    RebalanceCompleted {
        group_id: Arc<str>,
        generation_id: i32,
    },
}
