//! [`Deliveries`]: the deliveries of records that were sent in one call; and [`SendAllError`].

use std::fmt;
use std::sync::Arc;

use crate::client::producer::Delivery;
use crate::client::producer::delivery::BatchCell;
use crate::error::{Error, Result};

/// The deliveries of one [`send_all`](crate::Producer::send_all), in the order of the records.
///
/// Neighbours of one batch share an entry, so a thousand records take little more room than one. Iterate it for a
/// [`Delivery`] each, or wait for all of them.
#[derive(Default)]
pub struct Deliveries {
    runs: Vec<Run>,
    count: usize,
}

/// Neighbours in one batch.
struct Run {
    cell: Arc<BatchCell>,
    first: u32,
    count: u32,
}

impl Deliveries {
    pub(super) fn push(&mut self, delivery: &Delivery) {
        let (cell, index) = delivery.whereabouts();
        self.push_run(cell, index, 1);
    }

    /// Adds `count` records of one batch, from this index on.
    pub(super) fn push_run(&mut self, cell: &Arc<BatchCell>, first: u32, count: u32) {
        self.count += count as usize;
        match self.runs.last_mut() {
            Some(last) if Arc::ptr_eq(&last.cell, cell) && last.first + last.count == first => last.count += count,
            _ => self.runs.push(Run { cell: Arc::clone(cell), first, count }),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Waits until each record is acknowledged or has failed.
    ///
    /// # Errors
    ///
    /// That of the first record that failed.
    pub async fn all(self) -> Result<()> {
        let mut result = Ok(());
        for run in self.runs {
            // All of them resolve together, unless the batch was split.
            let first = Delivery::new(Arc::clone(&run.cell), run.first).await;
            result = result.and(first.map(drop));
            if run.cell.is_split() {
                for index in run.first..run.first + run.count {
                    let metadata = Delivery::new(Arc::clone(&run.cell), index).await;
                    result = result.and(metadata.map(drop));
                }
            }
        }
        result
    }
}

impl IntoIterator for Deliveries {
    type Item = Delivery;
    type IntoIter = Box<dyn Iterator<Item = Delivery> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.runs.into_iter().flat_map(|Run { cell, first, count }| {
            (first..first + count).map(move |index| Delivery::new(Arc::clone(&cell), index))
        }))
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Why [`send_all`](crate::Producer::send_all) ended before it had sent all records: the first one that could not be sent,
/// and the deliveries of those before it. Those behind it were not sent.
///
/// It turns into an [`Error`] with `?`.
#[derive(Debug)]
pub struct SendAllError(Box<Ended>);

#[derive(Debug)]
struct Ended {
    error: Error,
    deliveries: Deliveries,
}

impl SendAllError {
    pub(super) fn new(error: Error, deliveries: Deliveries) -> Self {
        Self(Box::new(Ended { error, deliveries }))
    }

    /// What was wrong with the record.
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    /// How many records were sent: the index of the one that was not.
    pub fn sent(&self) -> usize {
        self.0.deliveries.len()
    }

    /// The deliveries of those.
    pub fn into_deliveries(self) -> Deliveries {
        self.0.deliveries
    }
}

impl From<SendAllError> for Error {
    fn from(error: SendAllError) -> Self {
        error.0.error
    }
}

impl fmt::Display for SendAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} was not sent: {}", self.sent(), self.0.error)
    }
}

impl std::error::Error for SendAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.error)
    }
}
