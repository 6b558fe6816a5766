//! Control records: transaction markers and the like.

/// The type of a control record, from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlRecord {
    /// The transaction of this producer id was aborted.
    Abort,
    /// The transaction of this producer id was committed.
    Commit,
}

/// The marker that ends a transaction on one partition: key `version i16, type i16`, value `version i16, coordinator epoch i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndTxnMarker {
    pub(crate) control: ControlRecord,
    pub(crate) coordinator_epoch: i32,
}
