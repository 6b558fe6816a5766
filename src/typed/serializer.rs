//! [`Serializer`]: values to bytes.

use std::borrow::Cow;
use std::fmt;

use crate::client::producer::{Payload, RecordHeader};

/// Whatever went wrong in a serializer or deserializer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which half of a record is meant: Kafka's `isKey`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// Turns values into bytes: Kafka's `Serializer`.
///
/// A key or value that is absent is Kafka's null and never gets here.
///
/// ```
/// use brokerless::typed::{BoxError, SerializeContext, Serializer};
///
/// /// Temperatures as text, with the unit in a header.
/// struct Celsius;
///
/// impl Serializer<f32> for Celsius {
///     fn serialize(&self, value: &f32, context: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
///         if *value < -273.15 {
///             return Err(format!("{value} is below absolute zero").into());
///         }
///         context.add_header("unit", "C");
///         out.extend_from_slice(value.to_string().as_bytes());
///         Ok(())
///     }
/// }
/// ```
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// Appends the value's bytes to `out`, which may hold others already. What is there after an error is not used.
    ///
    /// # Errors
    /// The value cannot be written. The record is not sent.
    fn serialize(&self, value: &T, context: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError>;
}

/// What a [`Serializer`] may know about the record, and add to it. The key comes first, then the value.
#[derive(Debug)]
pub struct SerializeContext<'a> {
    topic: &'a str,
    pub(super) part: Part,
    given: &'a [RecordHeader<'a>],
    pub(super) added: Vec<RecordHeader<'static>>,
}

impl<'a> SerializeContext<'a> {
    /// The context of a record for this topic, without headers.
    pub fn new(topic: &'a str, part: Part) -> Self {
        Self::with_headers(topic, part, &[])
    }

    pub(super) fn with_headers(topic: &'a str, part: Part, given: &'a [RecordHeader<'a>]) -> Self {
        Self { topic, part, given, added: Vec::new() }
    }

    /// The topic that the record goes to.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Whether this is the key or the value.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The headers so far, in order: the record's own, then those that serializers added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.given.iter().chain(&self.added).map(|header| (&*header.name, header.value.as_deref()))
    }

    /// Adds a header to the record.
    pub fn add_header(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Payload<'static>>) {
        self.added.push(RecordHeader { name: name.into(), value: Some(value.into()) });
    }
}
