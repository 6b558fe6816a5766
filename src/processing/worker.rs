//! A worker: a task that has one record after the other at the handler, until there is none for it.

use std::sync::Arc;

use super::schedule::{Job, Shared, WorkerId};
use super::{FailedRecord, FailurePolicy, ProcessingConfig};
use crate::client::consumer::OwnedConsumerRecord;

/// Processes `job` and what comes after it. Returns the record that it ends for, if it does.
pub(super) async fn work<H, F, E>(
    shared: Arc<Shared>,
    config: Arc<ProcessingConfig>,
    handler: Arc<H>,
    id: WorkerId,
    mut job: Job,
) -> Option<FailedRecord<E>>
where
    H: Fn(OwnedConsumerRecord) -> F,
    F: Future<Output = Result<(), E>>,
{
    loop {
        // Handlers that are always ready must not keep the thread to themselves.
        tokio::task::coop::consume_budget().await;
        let is_skipped = match process(&*handler, &config, &job.record).await {
            Ok(()) => false,
            Err(_) if config.on_failure == FailurePolicy::Skip => true,
            Err(error) => {
                let is_failed = shared.change(|schedule| schedule.fail(id));
                return is_failed.then_some(FailedRecord { record: job.record, error });
            }
        };
        job = shared.change(|schedule| schedule.complete(id, &job, is_skipped))?;
    }
}

async fn process<H, F, E>(handler: &H, config: &ProcessingConfig, record: &OwnedConsumerRecord) -> Result<(), E>
where
    H: Fn(OwnedConsumerRecord) -> F,
    F: Future<Output = Result<(), E>>,
{
    let mut backoff = config.retry_backoff;
    for _ in 0..config.retries {
        if handler(record.clone()).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(config.retry_backoff_max);
    }
    handler(record.clone()).await
}
