//! [`SendError`]: a record that was not accepted, given back.

use std::fmt;

use crate::client::producer::ProducerRecord;
use crate::error::Error;

/// Why `send` did not accept a record, together with the record.
///
/// It turns into an [`Error`] with `?`. To keep the record, take it out with [`SendError::into_record`].
#[derive(Clone)]
pub struct SendError<'a>(Box<Refused<'a>>);

#[derive(Clone)]
struct Refused<'a> {
    error: Error,
    record: ProducerRecord<'a>,
}

impl<'a> SendError<'a> {
    pub(super) fn new(error: Error, record: ProducerRecord<'a>) -> Self {
        Self(Box::new(Refused { error, record }))
    }

    /// What went wrong.
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    /// The record, as it was sent.
    pub fn record(&self) -> &ProducerRecord<'a> {
        &self.0.record
    }

    /// The record, as it was sent, to keep or to send again.
    pub fn into_record(self) -> ProducerRecord<'a> {
        self.0.record
    }
}

impl From<SendError<'_>> for Error {
    fn from(error: SendError<'_>) -> Self {
        error.0.error
    }
}

impl fmt::Display for SendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl fmt::Debug for SendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("error", &self.0.error).field("topic", &self.0.record.topic).finish()
    }
}

impl std::error::Error for SendError<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.error)
    }
}

const _: () = assert!(size_of::<SendError<'_>>() == size_of::<usize>());
