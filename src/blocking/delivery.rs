//! Waiting for a [`Delivery`] on a plain thread.

use crate::blocking::block_on::block_on;
use crate::client::producer::{Deliveries, Delivery, RecordMetadata};
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

impl Deliveries {
    /// Blocks the thread until each record is acknowledged or has failed: [`Deliveries::all`] without a runtime, and as
    /// little for asynchronous code as [`Delivery::wait`].
    ///
    /// # Errors
    /// That of the first record that failed.
    pub fn wait(self) -> Result<()> {
        block_on(self.all())
    }
}
