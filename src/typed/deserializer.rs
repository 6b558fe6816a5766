//! [`Deserializer`]: bytes to values.

use bytes::Bytes;

use crate::client::consumer::ConsumerRecord;
use crate::record::Headers;
use crate::typed::{BoxError, Part};

/// Turns bytes into values: Kafka's `Deserializer`.
///
/// Kafka's null, a tombstone for example, is passed on as `None` and never gets here.
///
/// ```
/// use brokerless::typed::{BoxError, DeserializeContext, Deserializer};
///
/// struct Celsius;
///
/// impl Deserializer<f32> for Celsius {
///     fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<f32, BoxError> {
///         match context.header("unit") {
///             Some(b"C") => Ok(std::str::from_utf8(bytes)?.parse()?),
///             _ => Err("the unit is not C".into()),
///         }
///     }
/// }
/// ```
pub trait Deserializer<T>: Send + Sync {
    /// The value that these bytes stand for.
    ///
    /// # Errors
    /// They stand for none: see [`OnUnparsable`](super::OnUnparsable) for what becomes of the record.
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<T, BoxError>;
}

/// What a [`Deserializer`] may know about the record.
#[derive(Clone, Copy, Debug)]
pub struct DeserializeContext<'a> {
    topic: &'a str,
    part: Part,
    record: Option<ConsumerRecord<'a>>,
}

impl<'a> DeserializeContext<'a> {
    /// The context of a record of this topic, without headers.
    pub fn new(topic: &'a str, part: Part) -> Self {
        Self { topic, part, record: None }
    }

    /// The context of a record that was polled.
    #[inline]
    pub fn of(record: ConsumerRecord<'a>, part: Part) -> Self {
        Self { topic: record.topic(), part, record: Some(record) }
    }

    /// The topic that the record was read from.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Whether this is the key or the value.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let headers: Option<Headers<'a>> = self.record.map(|record| record.headers());
        headers.into_iter().flatten().map(|header| (header.key(), header.value()))
    }

    /// The value of the last header of this name; `None` if it is null, or if there is no such header.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|(key, _)| *key == name).last()?.1
    }

    /// These bytes to keep: without a copy if they are part of the record's.
    pub(super) fn share(&self, bytes: &[u8]) -> Bytes {
        let whole = self.record.and_then(|record| match self.part {
            Part::Key => record.key_bytes(),
            Part::Value => record.value_bytes(),
        });
        let within = |whole: &Bytes| {
            let (outer, inner) = (whole.as_ptr_range(), bytes.as_ptr_range());
            outer.start <= inner.start && inner.end <= outer.end
        };
        match whole.filter(within) {
            Some(whole) => whole.slice_ref(bytes),
            None => Bytes::copy_from_slice(bytes),
        }
    }
}
