//! [`Updater`]: the background task that reads the topic into the table.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::client::admin::Admin;
use crate::cluster::Cluster;
use crate::error::{Error, ErrorCode, Result};
use crate::table_view::Change;
use crate::table_view::shared::Shared;
use crate::typed::{PollError, TypedConsumer};
use crate::types::{Offset, TopicId, TopicPartition};

/// How often a table looks for new partitions and for positions behind the last record, at least.
/// [`TableView::caught_up`](super::TableView::caught_up) does not wait for it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Owned by its task; however that ends, the table says so.
#[derive(Debug)]
pub(super) struct Updater<K, V> {
    pub(super) shared: Arc<Shared<K, V>>,
    pub(super) consumer: TypedConsumer<K, V>,
    pub(super) cluster: Cluster,
    pub(super) admin: Admin,
    pub(super) topic_id: TopicId,
    pub(super) changes: broadcast::Sender<Change<K, V>>,
    /// All of the topic's that are known, assigned to the consumer. At the index of the partition.
    pub(super) partitions: Vec<TopicPartition>,
}

/// How a poll ended.
enum Read {
    Records,
    Nothing,
    /// Somebody waits for partitions or positions.
    Woken,
}

impl<K: Clone + Hash + Eq, V> Updater<K, V> {
    pub(super) async fn run(mut self) {
        let Err(error) = self.follow().await;
        self.end(error);
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible> {
        loop {
            let (looked, version) = (self.cluster.clock().now(), self.cluster.metadata_version());
            self.find_partitions().await?;
            let mut read = self.read(Duration::ZERO).await?;
            if matches!(read, Read::Records) {
                // A busy topic has no end at which to do it.
                self.publish_positions().await?;
            }
            // To the end, and then on as more comes.
            while matches!(read, Read::Records)
                && self.cluster.metadata_version() == version
                && self.cluster.clock().now().duration_since(looked) < LOOK_AROUND
            {
                read = self.read(Duration::ZERO).await?;
            }
            if matches!(read, Read::Nothing) {
                self.publish_positions().await?;
                self.read(LOOK_AROUND).await?;
            }
        }
    }

    /// Takes up partitions that were added.
    async fn find_partitions(&mut self) -> Result<()> {
        let topic = self.admin.describe_topic(&self.shared.topic).await?;
        if topic.topic_id() != self.topic_id {
            let message = format!("topic {} was deleted and created again", self.shared.topic);
            return Err(Error::new(ErrorCode::UnknownTopicId, message));
        }
        let known = self.partitions.len();
        let name = &self.shared.topic;
        self.partitions.extend(
            (topic.partitions().skip(known))
                .map(|partition| TopicPartition::new(Arc::clone(name), partition.partition())),
        );
        if self.partitions.len() > known {
            self.consumer.assign(&self.partitions)?;
            self.consumer.seek_to_beginning(&self.partitions[known..])?;
        }
        Ok(())
    }

    /// Polls once, and applies what came.
    async fn read(&mut self, wait: Duration) -> Result<Read> {
        let records = match self.consumer.poll(wait).await {
            Ok(records) => records,
            Err(PollError::Client(error)) if error.is_wakeup() => return Ok(Read::Woken),
            Err(error) => return Err(error.into()),
        };
        let positions: Vec<(i32, Offset)> =
            records.next_offsets().map(|(partition, next)| (partition.partition(), next.offset())).collect();
        let records = records.into_parts().map(|(key, value)| (key, value.map(Arc::new)));
        for change in self.shared.apply(records, &self.changes) {
            // With no subscriber any more, nobody needs it.
            drop(self.changes.send(change));
        }
        self.publish(&positions);
        Ok(if positions.is_empty() { Read::Nothing } else { Read::Records })
    }

    /// Where the consumer stands: it may have passed offsets that hold no records.
    async fn publish_positions(&mut self) -> Result<()> {
        let mut positions = Vec::with_capacity(self.partitions.len());
        for partition in &self.partitions {
            positions.push((partition.partition(), self.consumer.position(partition).await?));
        }
        self.publish(&positions);
        Ok(())
    }

    fn publish(&self, positions: &[(i32, Offset)]) {
        self.shared.progress.send_if_modified(|progress| {
            let mut changed = false;
            for (partition, position) in positions {
                let index = *partition as usize;
                if progress.positions.len() <= index {
                    progress.positions.resize(index + 1, 0);
                    changed = true;
                }
                changed |= std::mem::replace(&mut progress.positions[index], *position) != *position;
            }
            (progress.skipped, progress.dead_lettered) = (self.consumer.skipped(), self.consumer.dead_lettered());
            changed
        });
    }
}

impl<K, V> Updater<K, V> {
    fn end(&self, error: Error) {
        self.shared.progress.send_if_modified(|progress| {
            let first = progress.failure.is_none();
            progress.failure.get_or_insert(error);
            first
        });
    }
}

impl<K, V> Drop for Updater<K, V> {
    fn drop(&mut self) {
        self.end(Error::closed("the table view"));
    }
}
