//! Record batches in Kafka's v2 format: pure bytes, no I/O, no clock.
//!
//! A [`RecordBatch`] is a 61-byte [`BatchHeader`] value and a shared body. Records are parsed lazily; keys, values and
//! header values are slices of the body.
//!
//! 1. What [`RecordBatch::parse`] returns has the right length and CRC, a known codec, and a header that does not
//!    contradict itself. What the body holds is only known once it is iterated.
//! 2. A [`Record`] that exists is well-formed, its headers included. Offsets within a batch ascend strictly and stay in
//!    the header's range.
//! 3. Bytes from outside never panic, and never make anybody allocate more than a stated limit.
//! 4. Base offset and leader epoch lie outside the CRC. Everything else that changes marks the CRC as pending, to be
//!    computed when the batch leaves the process.

mod batch;
mod builder;
mod compression;
mod control;
mod error;
mod filter;
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
