//! [`ConsumerInterceptor`], and the chain of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::client::consumer::ConsumerRecords;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Sees, and may change, what a consumer returns: Kafka's `ConsumerInterceptor`.
///
/// The methods run on the consumer's task and should not take long. A panic in one of them is caught and passed over:
/// what was there before the call goes to the next interceptor. Give it to
/// [`ConsumerConfig::interceptor`](crate::ConsumerConfig::interceptor).
///
/// ```
/// use brokerless::consumer::ConsumerInterceptor;
/// use brokerless::{ConsumerConfig, ConsumerRecords};
///
/// /// Drops records without a value.
/// struct NoTombstones;
///
/// impl ConsumerInterceptor for NoTombstones {
///     fn on_consume(&self, mut records: ConsumerRecords) -> ConsumerRecords {
///         records.retain(|record| record.value().is_some());
///         records
///     }
/// }
///
/// let config = ConsumerConfig::group("billing").interceptor(NoTombstones);
/// # let _ = config;
/// ```
pub trait ConsumerInterceptor: Send + Sync {
    /// Called with what a poll is about to return, if that is anything; it returns what comes back, which may be
    /// nothing. [`ConsumerRecords::retain`] drops records without a copy, [`Extend`] adds some, and records are replaced
    /// by collecting anew: `records.into_iter().map(decrypt).collect()`.
    ///
    /// Positions and commits of the consumer go by what was read, whatever is returned here.
    fn on_consume(&self, records: ConsumerRecords) -> ConsumerRecords {
        records
    }

    /// Called with the offsets of each commit that the coordinator has accepted, when its answer is taken: in `commit`,
    /// in a later poll, or where a commit handle is awaited. An answer that nobody takes is not told.
    fn on_commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) {
        let _ = offsets;
    }

    /// Called once, when the consumer is closed or dropped.
    fn on_close(&self) {}
}

/// Interceptors in the order in which they were configured. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Interceptors(Vec<Arc<dyn ConsumerInterceptor>>);

impl Interceptors {
    pub(super) fn push(&mut self, interceptor: Arc<dyn ConsumerInterceptor>) {
        self.0.push(interceptor);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cold]
    pub(super) fn on_consume(&self, mut records: ConsumerRecords) -> ConsumerRecords {
        for interceptor in &self.0 {
            // A clone counts references to batches; it takes the place of the records if the interceptor takes them down
            // with it.
            let before = records.clone();
            records = catch(|| interceptor.on_consume(records)).unwrap_or(before);
        }
        records
    }

    pub(super) fn on_commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) {
        for interceptor in &self.0 {
            let _passed_over = catch(|| interceptor.on_commit(offsets));
        }
    }

    pub(super) fn on_close(&self) {
        for interceptor in &self.0 {
            let _passed_over = catch(|| interceptor.on_close());
        }
    }
}

/// The interceptor's own state is its own affair, as after any panic.
fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}
