//! [`ProducerInterceptor`], and the chain of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::client::producer::{ProducerRecord, RecordMetadata};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// Sees, and may change, what a producer sends: Kafka's `ProducerInterceptor`.
///
/// A panic in one of the methods is caught and passed over: what was there before the call goes to the next interceptor.
/// Give it to [`ProducerConfig::interceptor`](crate::ProducerConfig::interceptor).
///
/// ```
/// use brokerless::producer::ProducerInterceptor;
/// use brokerless::{ProducerConfig, ProducerRecord, RecordMetadata};
///
/// /// Names the sender in a header, and has the records of one topic go to another one.
/// struct Stamp {
///     detour: String,
/// }
///
/// impl ProducerInterceptor for Stamp {
///     fn on_send<'r>(&'r self, mut record: ProducerRecord<'r>) -> ProducerRecord<'r> {
///         if record.topic == "orders" {
///             record.topic = &self.detour;
///         }
///         record.header("sent-by", "billing-7")
///     }
/// }
///
/// let config = ProducerConfig::default().interceptor(Stamp { detour: "orders-v2".into() });
/// # let _ = config;
/// ```
pub trait ProducerInterceptor: Send + Sync {
    /// Called with each record, once, when its send is first polled, on the sender's task. It returns the record to send
    /// instead, which may have another topic, partition, timestamp, key, value and headers.
    ///
    /// Bytes that it makes are brought along (`record.value(vec)`); what it borrows must be the old record's, static, or
    /// the interceptor's own. A send that fails gives back the record as the application sent it.
    fn on_send<'r>(&'r self, record: ProducerRecord<'r>) -> ProducerRecord<'r> {
        record
    }

    /// Called once the record is acknowledged or has failed, before its callback, in the order of the partition's
    /// records; and when the send itself fails. It runs wherever the batch happens to be completed, with no lock held,
    /// and should be quick. Of errors, [`Error::topic_partition`] says where the record was to go, with partition -1
    /// where none had been chosen.
    ///
    /// A send whose future is dropped before it resolves sends nothing, and is not told.
    fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        let _ = result;
    }

    /// Called once, when the producer has been closed, or its last handle dropped, and what it could deliver is delivered.
    fn on_close(&self) {}
}

/// Interceptors in the order in which they were configured. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Interceptors(Option<Arc<Vec<Arc<dyn ProducerInterceptor>>>>);

impl Interceptors {
    pub(super) fn push(&mut self, interceptor: Arc<dyn ProducerInterceptor>) {
        Arc::make_mut(self.0.get_or_insert_default()).push(interceptor);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &dyn ProducerInterceptor> {
        self.0.iter().flat_map(|list| list.iter()).map(|interceptor| &**interceptor)
    }

    pub(super) fn on_send<'r>(&'r self, mut record: ProducerRecord<'r>) -> ProducerRecord<'r> {
        for interceptor in self.iter() {
            // It takes the place of the record if the interceptor takes that down with it.
            let before = record.clone();
            record = catch(|| interceptor.on_send(record)).unwrap_or(before);
        }
        record
    }

    pub(super) fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        for interceptor in self.iter() {
            let _passed_over = catch(|| interceptor.on_acknowledgement(result));
        }
    }

    /// The send failed, so there is no batch that would tell.
    pub(super) fn on_send_error(&self, record: &ProducerRecord<'_>, error: &Error) {
        let error = match error.topic_partition() {
            Some(_) => error.clone(),
            None => {
                let partition = record.partition.unwrap_or(UNKNOWN_PARTITION);
                error.clone().with_topic_partition(TopicPartition::new(record.topic, partition))
            }
        };
        self.on_acknowledgement(&Err(error));
    }

    pub(super) fn on_close(&self) {
        for interceptor in self.iter() {
            let _passed_over = catch(|| interceptor.on_close());
        }
    }
}

/// Kafka's `RecordMetadata.UNKNOWN_PARTITION`.
const UNKNOWN_PARTITION: i32 = -1;

/// The interceptor's own state is its own affair, as after any panic. The panic hook has reported it.
fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.iter().count())
    }
}
