//! Waiting for a [`Delivery`] on a plain thread.

use crate::blocking::block_on::block_on;
use crate::client::producer::{Delivery, RecordMetadata};
use crate::error::Result;

impl Delivery {
    /// Blocks the thread until the record is acknowledged, or has failed for good: what `await` does, without a runtime. Not for
    /// asynchronous code: a task that blocks keeps others from running, maybe the one that would send the record.
    ///
    /// # Errors
    /// What the delivery resolves to.
    pub fn wait(self) -> Result<RecordMetadata> {
        block_on(self)
    }
}
