//! [`ReplicaManager`]: the replicas that live on one broker, kept in step with the metadata image.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::broker::{Clock, Memory, PartitionHandle, TrafficCounts};
use crate::controller::{MetadataImage, PartitionImage, TopicImage, is_internal_topic};
use crate::error::{Error, ErrorCode};
use crate::partition::{Partition, PartitionRegistration};
use crate::types::{BrokerId, TopicPartition};
use crate::util::wake_list::WakeList;

/// Kafka's default of `replica.lag.time.max.ms`, which says when a follower has fallen out of sync.
pub(crate) const REPLICA_LAG_TIME_MAX_MS: i64 = 30_000;

/// The replicas that live on one broker.
#[derive(Debug)]
pub(crate) struct ReplicaManager {
    broker: BrokerId,
    clock: Clock,
    memory: Arc<Memory>,
    partitions: RwLock<HashMap<TopicPartition, Arc<PartitionHandle>>>,
    /// What partitions had counted that are gone; changed together with `partitions`, under its lock.
    retired: Mutex<TrafficCounts>,
}

/// Which topics came and went.
#[derive(Debug, Default)]
pub(crate) struct TopicChanges {
    pub(crate) created: Vec<Arc<TopicImage>>,
    /// Their names.
    pub(crate) deleted: Vec<Arc<str>>,
}

impl ReplicaManager {
    pub(crate) fn new(broker: BrokerId, clock: Clock, memory: Arc<Memory>) -> Self {
        Self { broker, clock, memory, partitions: RwLock::default(), retired: Mutex::default() }
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The replica of this partition. `UNKNOWN_TOPIC_OR_PARTITION` where there is none.
    pub(crate) fn partition(&self, topic_partition: &TopicPartition) -> Result<Arc<PartitionHandle>, Error> {
        self.partitions.read().get(topic_partition).cloned().ok_or_else(|| {
            Error::from(ErrorCode::UnknownTopicOrPartition).with_topic_partition(topic_partition.clone())
        })
    }

    /// Every replica, in no order.
    pub(crate) fn partitions(&self) -> Vec<Arc<PartitionHandle>> {
        self.partitions.read().values().cloned().collect()
    }

    /// Every replica, and what those counted that are gone: together everything that was ever counted.
    pub(crate) fn partitions_and_retired(&self) -> (Vec<Arc<PartitionHandle>>, TrafficCounts) {
        let partitions = self.partitions.read();
        (partitions.values().cloned().collect(), *self.retired.lock())
    }

    /// Creates, changes and deletes replicas until they are as `new` says; `old` is the image before it.
    /// Whoever waits on partitions that are gone is collected in `wakes`.
    pub(crate) fn apply(
        &self,
        old: &MetadataImage,
        new: &MetadataImage,
        wakes: &mut WakeList,
    ) -> Result<TopicChanges, Error> {
        let mut changes = TopicChanges::default();
        let (before, after) = old.topics.unshared(&new.topics);
        for (name, topic) in before {
            if new.topics.get(name).is_none_or(|successor| successor.id != topic.id) {
                self.delete(topic, wakes);
                changes.deleted.push(Arc::clone(name));
            }
        }
        for (name, topic) in after {
            let before = old.topics.get(name);
            if before.is_none_or(|before| before.id != topic.id) {
                changes.created.push(Arc::clone(topic));
            }
            if !before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                self.apply_topic(before.filter(|before| before.id == topic.id), topic, wakes)?;
            }
        }
        Ok(changes)
    }

    fn apply_topic(
        &self,
        before: Option<&Arc<TopicImage>>,
        topic: &TopicImage,
        wakes: &mut WakeList,
    ) -> Result<(), Error> {
        for (index, partition) in topic.partitions.iter().enumerate() {
            let unchanged = before.is_some_and(|before| {
                before.partitions.get(index) == Some(partition) && before.log_config == topic.log_config
            });
            if !unchanged && partition.replicas.contains(&self.broker) {
                self.apply_partition(topic, index as i32, partition, wakes)?;
            }
        }
        Ok(())
    }

    fn apply_partition(
        &self,
        topic: &TopicImage,
        index: i32,
        image: &PartitionImage,
        wakes: &mut WakeList,
    ) -> Result<(), Error> {
        let topic_partition = TopicPartition::new(Arc::clone(&topic.name), index);
        let existing = self.partitions.read().get(&topic_partition).cloned();
        let registration = PartitionRegistration {
            leader: image.leader,
            leader_epoch: image.leader_epoch,
            replicas: image.replicas.clone(),
            isr: image.isr.clone(),
            partition_epoch: image.partition_epoch,
        };
        if let Some(handle) = existing {
            return handle.apply(&registration, &topic.log_config, wakes);
        }
        let partition = Partition::new(
            topic_partition.clone(),
            topic.id,
            self.broker,
            REPLICA_LAG_TIME_MAX_MS,
            Arc::clone(&topic.log_config),
            self.clock.now_ms(),
        );
        let account = (!is_internal_topic(&topic.name)).then(|| self.memory.open_account(topic.id));
        let handle = Arc::new(PartitionHandle::new(partition, self.clock, account));
        handle.apply(&registration, &topic.log_config, wakes)?;
        self.memory.enroll(&handle);
        self.partitions.write().insert(topic_partition, handle);
        Ok(())
    }

    fn delete(&self, topic: &TopicImage, wakes: &mut WakeList) {
        let indexes = 0..topic.partitions.len() as i32;
        let names = || indexes.clone().map(|index| TopicPartition::new(Arc::clone(&topic.name), index));
        let handles: Vec<_> = {
            let partitions = self.partitions.read();
            names().filter_map(|name| partitions.get(&name).cloned()).collect()
        };
        for handle in &handles {
            handle.delete(wakes);
        }
        // Only now are their counts final. All go at once, or whoever reads would see the topic's totals fall.
        let mut partitions = self.partitions.write();
        for handle in handles {
            *self.retired.lock() += handle.traffic().counts();
            partitions.remove(handle.topic_partition());
        }
        drop(partitions);
        self.memory.forget_topic(topic.id);
    }
}
