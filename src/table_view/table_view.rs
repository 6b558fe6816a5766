//! [`TableView`]: the handle.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::client::admin::{Admin, OffsetSpec};
use crate::client::consumer::{AutoOffsetReset, ConsumerConfig, ConsumerWaker};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorCode, Result};
use crate::table_view::Changes;
use crate::table_view::changes::KEPT_CHANGES;
use crate::table_view::shared::{Progress, Shared};
use crate::table_view::updater::Updater;
use crate::typed::{Deserializer, OnUnparsable, Plain, TypedConsumer};
use crate::types::{IsolationLevel, Offset, TopicPartition};

/// A topic as a table: the latest value of each key, in memory, kept up to date in the background.
///
/// Meant for topics with `cleanup.policy=compact`, which keep at least the last record of each key for ever; of others, it
/// shows what was there when it was opened, and everything since. A record without value removes its key; one without
/// key is passed over. The last record of a key is the last of its *partition*, so producers have to send a key to one
/// partition, as they do by default.
///
/// ```
/// use brokerless::TableView;
/// use brokerless::typed::{Plain, TypedProducer, TypedRecord};
/// # use brokerless::{Cluster, NewTopic, ProducerConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// # let cluster = Cluster::in_memory();
/// cluster.admin().create_topic(NewTopic::new("prices").partitions(3).config("cleanup.policy", "compact")).await?;
/// let producer = TypedProducer::<str, f64>::new(cluster.producer(ProducerConfig::default())?, Plain, Plain);
/// producer.send(TypedRecord::to("prices").key("tea").value(&2.5)).await?;
/// producer.send(TypedRecord::to("prices").key("tea").value(&2.75)).await?;
/// producer.send(TypedRecord::to("prices").key("salt").value(&1.0)).await?;
/// producer.send(TypedRecord::to("prices").key("salt")).await?;
/// producer.flush().await?;
///
/// let prices = TableView::<String, f64>::open(&cluster, "prices", Plain, Plain).await?;
/// prices.caught_up().await?;
/// assert_eq!(prices.get("tea").as_deref(), Some(&2.75));
/// assert_eq!(prices.len(), 1);
/// # Ok(()) }
/// ```
///
/// Cloning is cheap, and clones share the table. Its task ends when the last clone is dropped. Memory grows with the
/// number of keys that have a value, and is not bounded otherwise.
///
/// There is no group and nothing is committed: each table reads the topic from its start. Partitions that are added are
/// taken up within a second.
///
/// # When it fails
///
/// The table ends when its topic is deleted, when the cluster is shut down, or when a record does not parse and the policy
/// is [`OnUnparsable::Fail`], the default. It then shows what it had, [`failure`](Self::failure) says why, and
/// everything that waits fails with the same error.
pub struct TableView<K, V> {
    handle: Arc<Handle<K, V>>,
}

#[derive(Debug)]
struct Handle<K, V> {
    shared: Arc<Shared<K, V>>,
    admin: Admin,
    waker: ConsumerWaker,
    task: JoinHandle<()>,
}

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TableView<Vec<u8>, Vec<u8>> {
    /// A table of raw bytes.
    ///
    /// # Errors
    /// As [`TableView::open`].
    pub async fn raw(cluster: &Cluster, topic: impl Into<Arc<str>>) -> Result<Self> {
        Self::open(cluster, topic, Plain, Plain).await
    }
}

impl<K, V> TableView<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Opens a table over a topic. It starts empty: see [`caught_up`](Self::caught_up).
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; an illegal state outside of a tokio runtime.
    pub async fn open(
        cluster: &Cluster,
        topic: impl Into<Arc<str>>,
        key: impl Deserializer<K> + 'static,
        value: impl Deserializer<V> + 'static,
    ) -> Result<Self> {
        Self::open_with(cluster, topic, key, value, OnUnparsable::Fail).await
    }

    /// The same, with what to do about records that do not parse.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(
        cluster: &Cluster,
        topic: impl Into<Arc<str>>,
        key: impl Deserializer<K> + 'static,
        value: impl Deserializer<V> + 'static,
        policy: OnUnparsable,
    ) -> Result<Self> {
        let (topic, admin) = (topic.into(), cluster.admin());
        let topic_id = admin.describe_topic(&topic).await?.topic_id();
        // A table ends with its topic, and must not bring it back.
        let config =
            ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest).allow_auto_create_topics(false);
        let consumer = cluster.consumer(config)?;
        let waker = consumer.wakeup_handle();
        let (changes, _) = broadcast::channel(KEPT_CHANGES);
        let shared = Arc::new(Shared {
            topic,
            entries: Default::default(),
            progress: watch::Sender::new(Progress::default()),
            changes: changes.downgrade(),
        });
        let updater = Updater {
            shared: Arc::clone(&shared),
            consumer: TypedConsumer::new(consumer, key, value).on_unparsable(policy),
            cluster: cluster.clone(),
            admin: admin.clone(),
            topic_id,
            changes,
            partitions: Vec::new(),
        };
        let task = cluster.spawn(updater.run())?;
        Ok(Self { handle: Arc::new(Handle { shared, admin, waker, task }) })
    }

    /// The latest value of a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.shared().entries.read().get(key).cloned()
    }

    /// Whether a key has a value.
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.shared().entries.read().contains_key(key)
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.shared().entries.read().len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries at one moment. Copies the keys, and shares the values.
    pub fn snapshot(&self) -> HashMap<K, Arc<V>> {
        self.shared().entries.read().clone()
    }

    /// What happens to the table from now on. To start from a known state, subscribe first and take a
    /// [`snapshot`](Self::snapshot) then: changes in between come again. A subscriber may fall 1,024 changes behind.
    pub fn changes(&self) -> Changes<K, V> {
        Changes::new(Arc::clone(&self.handle.shared))
    }

    /// Waits until the table shows every record that was in the topic when this was called.
    ///
    /// # Errors
    /// [`failure`](Self::failure).
    pub async fn caught_up(&self) -> Result<()> {
        let topic = &self.shared().topic;
        let partitions = match self.handle.admin.describe_topic(topic).await {
            Ok(description) => description.partitions().len() as i32,
            Err(error) => return Err(self.failure().unwrap_or(error)),
        };
        let latest = (0..partitions).map(|index| (TopicPartition::new(Arc::clone(topic), index), OffsetSpec::Latest));
        let ends = self.handle.admin.list_offsets(latest, IsolationLevel::ReadUncommitted).await;
        let ends = ends.into_iter().map(|end| Ok(end?.offset().unwrap_or(0))).collect::<Result<Vec<_>>>()?;
        self.wait_until(|progress| progress.reaches(&ends)).await
    }

    /// Waits until the table shows the record at this offset, such as that of a delivery. That may take for ever: the
    /// record need not exist yet.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` for another topic; [`failure`](Self::failure).
    pub async fn wait_until_offset(&self, partition: impl Into<TopicPartition>, offset: Offset) -> Result<()> {
        let partition = partition.into();
        if *partition.topic() != *self.shared().topic || partition.partition() < 0 {
            let message = format!("a table of {} has no such partition", self.shared().topic);
            return Err(Error::new(ErrorCode::UnknownTopicOrPartition, message).with_topic_partition(partition));
        }
        let index = partition.partition() as usize;
        self.wait_until(|progress| progress.positions.get(index).is_some_and(|position| *position > offset)).await
    }

    async fn wait_until(&self, mut reached: impl FnMut(&Progress) -> bool) -> Result<()> {
        let mut progress = self.shared().progress.subscribe();
        if !reached(&progress.borrow_and_update()) {
            // A new partition, or the end of the log behind its last record, is looked for now.
            self.handle.waker.wakeup();
        }
        let ended = progress.wait_for(|progress| reached(progress) || progress.failure.is_some()).await;
        match ended {
            Ok(progress) => match &progress.failure {
                Some(failure) if !reached(&progress) => Err(failure.clone()),
                _ => Ok(()),
            },
            Err(_) => Err(Error::closed("the table view")),
        }
    }
}

impl<K, V> TableView<K, V> {
    fn shared(&self) -> &Shared<K, V> {
        &self.handle.shared
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.shared().topic
    }

    /// How many records [`OnUnparsable::Skip`] has passed over.
    pub fn skipped(&self) -> u64 {
        self.shared().progress.borrow().skipped
    }

    /// How many records went to the dead-letter topic.
    pub fn dead_lettered(&self) -> u64 {
        self.shared().progress.borrow().dead_lettered
    }

    /// Why the table does not follow its topic any more; `None` while it does. Of a record that did not parse, the error's
    /// source is the [`UnparsableRecord`](crate::typed::UnparsableRecord).
    pub fn failure(&self) -> Option<Error> {
        self.shared().progress.borrow().failure.clone()
    }
}

impl<K, V> Clone for TableView<K, V> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<K, V> fmt::Debug for TableView<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.shared().progress.borrow();
        f.debug_struct("TableView").field("topic", &self.topic()).field("progress", &*progress).finish_non_exhaustive()
    }
}
