//! [`OffsetAndMetadata`].

use crate::types::{LeaderEpoch, Offset};

/// A committed position: the offset of the next record to read, and what the committer noted beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    metadata: String,
}

impl OffsetAndMetadata {
    /// A position without a note.
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }

    /// Adds a note of at most `offset.metadata.max.bytes` (4,096; UTF-16 code units, as Kafka counts) and 32,767 bytes; more
    /// is refused at the commit with `OFFSET_METADATA_TOO_LARGE`.
    #[must_use]
    pub fn metadata_text(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Adds the leader epoch of the last consumed record (KIP-320).
    #[must_use]
    pub fn with_leader_epoch(mut self, leader_epoch: Option<LeaderEpoch>) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// The offset of the next record to read.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The leader epoch of the last consumed record, where it is known.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epoch
    }

    /// The committer's note; empty where there is none.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        Self::new(offset)
    }
}
