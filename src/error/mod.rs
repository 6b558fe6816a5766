//! The public error: one opaque word that carries Kafka's code, what was attempted, and on what.
//!
//! Layers below keep private enums with a `code()` each; this type is what leaves the crate.

mod code;

use std::fmt;
use std::sync::Arc;

pub use code::{ErrorClass, ErrorCode};

use crate::types::TopicPartition;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in Kafka's terms.
///
/// One word wide and cheap to clone. [`Error::code`] is Kafka's number for the failure; conditions that only a client
/// knows (a local timeout, a wakeup, a closed client) have predicates of their own, because Kafka gives them an
/// exception class and no number.
///
/// ```
/// use brokerless::{Cluster, ErrorCode, NewTopic};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let cluster = Cluster::in_memory();
/// let error = cluster.admin().create_topic(NewTopic::new("not a name")).await.unwrap_err();
/// assert_eq!(error.code(), ErrorCode::InvalidTopic);
/// assert!(!error.is_retriable());
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    kind: Kind,
    message: String,
    topic_partition: Option<TopicPartition>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The conditions that Kafka's clients express as exception classes without a protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The code says it all.
    Code,
    /// Kafka's client-side `TimeoutException`.
    Timeout,
    /// Kafka's `WakeupException`.
    Wakeup,
    /// The client, or the cluster behind it, is closed.
    Closed,
    /// Kafka's `IllegalStateException`: the call does not fit the state the client is in.
    IllegalState,
    /// Kafka's `SerializationException`.
    Serialization,
}

impl Error {
    /// An error with a code of Kafka's and what was attempted, on what, with the numbers.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::build(code, Kind::Code, message.into())
    }

    /// A wait that ended without its event: Kafka's `TimeoutException`, code `REQUEST_TIMED_OUT`.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::build(ErrorCode::RequestTimedOut, Kind::Timeout, message.into())
    }

    /// Kafka's `WakeupException`.
    pub(crate) fn wakeup() -> Self {
        Self::build(ErrorCode::None, Kind::Wakeup, "the consumer was woken up".into())
    }

    /// The client or cluster named in `what` is closed.
    pub(crate) fn closed(what: &str) -> Self {
        Self::build(ErrorCode::None, Kind::Closed, format!("{what} is closed"))
    }

    /// Kafka's `IllegalStateException`.
    pub(crate) fn illegal_state(message: impl Into<String>) -> Self {
        Self::build(ErrorCode::None, Kind::IllegalState, message.into())
    }

    /// Kafka's `SerializationException`.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::build(ErrorCode::None, Kind::Serialization, message.into())
    }

    /// A setting that does not parse or is out of range: Kafka's `ConfigException`, code `INVALID_CONFIG`.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::build(ErrorCode::InvalidConfig, Kind::Code, message.into())
    }

    fn build(code: ErrorCode, kind: Kind, message: String) -> Self {
        Self(Arc::new(Inner { code, kind, message, topic_partition: None, source: None }))
    }

    /// Names the partition that the error is about.
    pub(crate) fn with_topic_partition(mut self, topic_partition: TopicPartition) -> Self {
        Arc::make_mut(&mut self.0).topic_partition = Some(topic_partition);
        self
    }

    /// Keeps the cause.
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(source.into().into());
        self
    }

    /// Kafka's code. [`ErrorCode::None`] for wakeups, closed clients, illegal states and serialization, which have no
    /// number.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What was attempted, on what, without the code that [`Display`](fmt::Display) adds.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed later (Kafka's `RetriableException`).
    pub fn is_retriable(&self) -> bool {
        self.0.code.is_retriable()
    }

    /// Whether the open transaction must be aborted, after which the client is usable again.
    pub fn is_abortable(&self) -> bool {
        matches!(self.0.code.class(), ErrorClass::Abortable)
    }

    /// Whether neither a retry nor an abort can help.
    pub fn is_fatal(&self) -> bool {
        !self.is_wakeup() && !self.is_retriable() && !self.is_abortable()
    }

    /// Whether a deadline passed: `delivery.timeout.ms`, `max.block.ms`, `default.api.timeout.ms` or the caller's own.
    pub fn is_timeout(&self) -> bool {
        self.0.code == ErrorCode::RequestTimedOut
    }

    /// Whether a `wakeup` of the consumer ended the call.
    pub fn is_wakeup(&self) -> bool {
        self.0.kind == Kind::Wakeup
    }

    /// Whether the client or its cluster had been closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// Whether the call did not fit the client's state, as in `seek` on a partition that is not assigned.
    pub fn is_illegal_state(&self) -> bool {
        self.0.kind == Kind::IllegalState
    }

    /// Whether a typed record could not be turned into bytes, or bytes not into a typed record. The source says why.
    pub fn is_serialization(&self) -> bool {
        self.0.kind == Kind::Serialization
    }

    /// The partition that the error is about, where there is one.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.0.topic_partition.as_ref()
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.topic_partition.as_ref().map(ToString::to_string) {
            Some(name) if !self.0.message.contains(&name) => write!(f, "{name}: {}", self.0.message)?,
            // The text names the partition already, or there is none.
            _ => f.write_str(&self.0.message)?,
        }
        if self.0.code.is_none() { Ok(()) } else { write!(f, " [{}]", self.0.code) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("code", &self.0.code).field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(topic_partition) = &self.0.topic_partition {
            debug.field("topic_partition", topic_partition);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
