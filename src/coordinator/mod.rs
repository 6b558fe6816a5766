//! Coordinators: replicated state machines over internal topics. A handler never mutates hard state; it returns
//! records and replies, the runtime appends the records, replays them and then releases the replies.

pub(crate) mod group;

use bytes::Bytes;

/// A record that a coordinator wants in its internal topic. A `None` value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoordinatorRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}
