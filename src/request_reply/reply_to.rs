//! [`ReplyTo`]: where a request wants its reply.

use bytes::Bytes;

use crate::client::consumer::OwnedConsumerRecord;
use crate::client::producer::{Payload, ProducerRecord};
use crate::request_reply::{CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC};

/// Where a request wants its reply: for answering outside of a [`Responder`](super::Responder).
///
/// ```
/// use brokerless::request_reply::ReplyTo;
/// use brokerless::{OwnedConsumerRecord, Producer};
///
/// async fn answer(request: &OwnedConsumerRecord, producer: &Producer) -> brokerless::Result<()> {
///     if let Some(reply_to) = ReplyTo::of(request) {
///         producer.send(reply_to.reply("done")).await?.await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    topic: String,
    partition: Option<i32>,
    correlation_id: Bytes,
}

impl ReplyTo {
    /// What a record's headers say; `None` if it is no request: without correlation id or reply topic.
    pub fn of(request: &OwnedConsumerRecord) -> Option<Self> {
        let topic = std::str::from_utf8(header(request, REPLY_TOPIC)?).ok()?;
        let correlation_id = Bytes::copy_from_slice(header(request, CORRELATION_ID)?);
        let partition = header(request, REPLY_PARTITION).and_then(|bytes| bytes.try_into().ok());
        Some(Self { topic: topic.to_owned(), partition: partition.map(i32::from_be_bytes), correlation_id })
    }

    /// The topic that the reply goes to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition that it goes to; `None` if any will do.
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }

    /// What ties the reply to the request.
    pub fn correlation_id(&self) -> &[u8] {
        &self.correlation_id
    }

    /// The reply, to be sent: more headers may be added.
    pub fn reply<'a>(&'a self, value: impl Into<Payload<'a>>) -> ProducerRecord<'a> {
        let mut reply = ProducerRecord::to(&self.topic).value(value).header(CORRELATION_ID, &self.correlation_id);
        reply.partition = self.partition;
        reply
    }
}

/// The value of the last header of this name.
pub(super) fn header<'a>(record: &'a OwnedConsumerRecord, name: &str) -> Option<&'a [u8]> {
    record.headers().filter(|(key, _)| *key == name).last()?.1
}
