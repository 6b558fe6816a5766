//! Record batches in Kafka's v2 format: pure bytes, no I/O, no clock.
//!
//! A [`RecordBatch`] is a 61-byte [`BatchHeader`] value and a shared body. Records are parsed lazily; keys, values and
//! header values are slices of the body.

mod batch;
mod builder;
mod compression;
mod control;
mod error;
mod header;
#[expect(clippy::module_inception, reason = "the noun is record")]
mod record;
mod records;
#[cfg(test)]
mod tests;

pub use batch::RecordBatch;
pub(crate) use builder::{BatchBuilder, SealOptions};
pub use control::ControlRecord;
pub(crate) use control::EndTxnMarker;
pub use error::RecordError;
pub use header::BatchHeader;
pub use record::{Header, Headers, Record};
pub use records::Records;
pub(crate) use records::RecordsIter;
