//! [`MetadataDelta`]: records on their way from one [`MetadataImage`] to the next.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::config::LogConfig;
use crate::controller::topic_name::unify;
use crate::controller::{BrokerImage, MetadataImage, MetadataRecord, PartitionImage, TopicImage};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicId};

/// A record that does not fit the image: the metadata log is damaged, or was written by something else. Kafka's
/// controller stops at such a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayError {
    pub(crate) offset: Offset,
    pub(crate) reason: String,
}

impl ReplayError {
    pub(crate) fn code(&self) -> ErrorCode {
        ErrorCode::UnknownServerError
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot replay the metadata record at offset {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for ReplayError {}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        Self::new(error.code(), error.to_string()).with_source(error)
    }
}

/// The image to be. A topic that no record touches stays the same allocation.
#[derive(Debug)]
pub(crate) struct MetadataDelta {
    image: MetadataImage,
    /// The broker whose settings are those of the topics that have none of their own.
    node: BrokerId,
    /// Topics whose overrides changed, by name: what they amount to is worked out once, at the end.
    reconfigured: BTreeSet<Arc<str>>,
    /// Whether a broker's settings changed, and with them what every topic's amount to.
    brokers_reconfigured: bool,
}

impl MetadataDelta {
    pub(crate) fn new(base: &MetadataImage, node: BrokerId) -> Self {
        Self { image: base.clone(), node, reconfigured: BTreeSet::new(), brokers_reconfigured: false }
    }

    /// Adds what `record`, at this offset of the log, says. After an error the delta is good for nothing.
    pub(crate) fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ReplayError> {
        let result = if offset > self.image.offset {
            self.apply_record(record)
        } else {
            Err(format!("the image is at offset {} already", self.image.offset))
        };
        result.map_err(|reason| ReplayError { offset, reason })?;
        self.image.offset = offset;
        Ok(())
    }

    fn apply_record(&mut self, record: &MetadataRecord) -> Result<(), String> {
        match record {
            MetadataRecord::RegisterBroker { broker_id, incarnation_id, broker_epoch, rack, fenced } => {
                let broker = BrokerImage {
                    id: *broker_id,
                    epoch: *broker_epoch,
                    incarnation_id: *incarnation_id,
                    fenced: *fenced,
                    rack: rack.clone(),
                };
                let old = self.image.brokers.insert(*broker_id, broker);
                match old {
                    Some(old) if old.epoch > *broker_epoch => {
                        Err(format!("broker {broker_id} has epoch {} already, not {broker_epoch}", old.epoch))
                    }
                    _ => Ok(()),
                }
            }
            MetadataRecord::FenceBroker { broker_id, broker_epoch, fenced } => {
                let broker = self.image.brokers.get_mut(broker_id).filter(|broker| broker.epoch == *broker_epoch);
                let broker =
                    broker.ok_or_else(|| format!("no broker {broker_id} with epoch {broker_epoch} is known"))?;
                broker.fenced = *fenced;
                Ok(())
            }
            MetadataRecord::Topic { name, id } => self.create_topic(name, *id),
            MetadataRecord::TopicConfig { topic, name, value } => {
                let (key, image) =
                    self.image.topics.get_key_value(&**topic).ok_or_else(|| format!("no topic {topic} is known"))?;
                let (key, mut image) = (key.clone(), image.clone());
                let configs = &mut Arc::make_mut(&mut image).configs;
                match value {
                    Some(value) => configs.insert(name.clone(), value.clone()),
                    None => configs.remove(name),
                };
                self.image.topics.insert(key.clone(), image);
                self.reconfigured.insert(key);
                Ok(())
            }
            MetadataRecord::BrokerConfig { broker, name, value } => {
                let configs = self.image.broker_configs.entry(*broker).or_default();
                match value {
                    Some(value) => configs.insert(name.clone(), value.clone()),
                    None => configs.remove(name),
                };
                if configs.is_empty() {
                    self.image.broker_configs.remove(broker);
                }
                self.brokers_reconfigured = true;
                Ok(())
            }
            MetadataRecord::Partition { topic_id, partition, replicas, isr, leader, leader_epoch, partition_epoch } => {
                let topic = self.topic_mut(*topic_id)?;
                if usize::try_from(*partition) != Ok(topic.partitions.len()) {
                    return Err(format!("partition {partition} follows {} partitions", topic.partitions.len()));
                }
                topic.partitions.push(PartitionImage {
                    replicas: replicas.clone(),
                    isr: isr.clone(),
                    leader: *leader,
                    leader_epoch: *leader_epoch,
                    partition_epoch: *partition_epoch,
                });
                self.image.partition_count += 1;
                Ok(())
            }
            MetadataRecord::PartitionChange { topic_id, partition, isr, leader } => {
                let topic = self.topic_mut(*topic_id)?;
                let image = usize::try_from(*partition).ok().and_then(|index| topic.partitions.get_mut(index));
                let image = image.ok_or_else(|| format!("no partition {partition} of topic {topic_id} is known"))?;
                *image = image.changed(isr.as_deref(), *leader);
                Ok(())
            }
            MetadataRecord::RemoveTopic { id } => {
                let name = self.image.topic_names.remove(id).ok_or_else(|| unknown_topic(*id))?;
                let removed = self.image.topics.remove(&name);
                self.image.partition_count -= removed.map_or(0, |topic| topic.partitions.len());
                if let Some(unified) = unify(&name)
                    && let Some(names) = self.image.collidable.get_mut(&*unified)
                {
                    names.retain(|other| *other != name);
                    if names.is_empty() {
                        self.image.collidable.remove(&*unified);
                    }
                }
                self.reconfigured.remove(&name);
                Ok(())
            }
            MetadataRecord::ProducerIds { next_producer_id, .. } => {
                let current = self.image.next_producer_id;
                if *next_producer_id <= current {
                    return Err(format!(
                        "next producer id {next_producer_id} is not greater than the current {current}"
                    ));
                }
                self.image.next_producer_id = *next_producer_id;
                Ok(())
            }
        }
    }

    fn create_topic(&mut self, name: &str, id: TopicId) -> Result<(), String> {
        let name: Arc<str> = name.into();
        if self.image.topics.contains_key(&name) || self.image.topic_names.contains_key(&id) {
            return Err(format!("topic {name} or topic id {id} exists already"));
        }
        let image = TopicImage {
            id,
            name: name.clone(),
            partitions: Vec::new(),
            configs: Default::default(),
            log_config: self.image.config.log_config().clone(),
        };
        if let Some(unified) = unify(&name) {
            match self.image.collidable.get_mut(&*unified) {
                Some(names) => names.push(name.clone()),
                None => drop(self.image.collidable.insert(unified.into(), vec![name.clone()])),
            }
        }
        self.image.topics.insert(name.clone(), Arc::new(image));
        self.image.topic_names.insert(id, name);
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, String> {
        let name = self.image.topic_names.get(&id).ok_or_else(|| unknown_topic(id))?;
        let topic = self.image.topics.get_mut(name).ok_or_else(|| unknown_topic(id))?;
        Ok(Arc::make_mut(topic))
    }

    /// The image with every record in it.
    pub(crate) fn apply(mut self) -> Result<MetadataImage, ReplayError> {
        let offset = self.image.offset;
        if self.brokers_reconfigured {
            let image = &mut self.image;
            let config = image
                .config
                .with_dynamic(image.broker_config(None), image.broker_config(Some(self.node)))
                .map_err(|error| ReplayError { offset, reason: format!("broker {}: {error}", self.node) })?;
            if *config.log_config() != *image.config.log_config() {
                self.reconfigured.extend(image.topics.keys().cloned());
            }
            image.config = Arc::new(config);
        }
        let defaults = Arc::clone(self.image.config.log_config());
        for name in &self.reconfigured {
            let Some(topic) = self.image.topics.get(name) else { continue };
            let resolved = if topic.configs.is_empty() {
                defaults.clone()
            } else {
                let resolved = LogConfig::resolve(&defaults, &topic.configs);
                let reason = |error| ReplayError { offset, reason: format!("topic {name}: {error}") };
                Arc::new(resolved.map_err(reason)?)
            };
            // A topic that comes to the same, because it overrides what changed, stays the same allocation.
            if resolved != topic.log_config
                && let Some(topic) = self.image.topics.get_mut(name)
            {
                Arc::make_mut(topic).log_config = resolved;
            }
        }
        Ok(self.image)
    }
}

impl PartitionImage {
    /// What a `PartitionChangeRecord` makes of this partition: every change counts in the partition epoch, every
    /// election, even of the same leader or of none, in the leader epoch.
    pub(crate) fn changed(&self, isr: Option<&[BrokerId]>, leader: Option<BrokerId>) -> Self {
        Self {
            replicas: self.replicas.clone(),
            isr: isr.unwrap_or(&self.isr).to_vec(),
            leader: leader.unwrap_or(self.leader),
            leader_epoch: LeaderEpoch(self.leader_epoch.0 + i32::from(leader.is_some())),
            partition_epoch: self.partition_epoch + 1,
        }
    }
}

fn unknown_topic(id: TopicId) -> String {
    format!("no topic with id {id} is known")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(records: &[MetadataRecord]) -> Result<MetadataImage, ReplayError> {
        delta_on(&MetadataImage::default(), records)
    }

    fn delta_on(base: &MetadataImage, records: &[MetadataRecord]) -> Result<MetadataImage, ReplayError> {
        let mut delta = MetadataDelta::new(base, BrokerId(1));
        for (offset, record) in (base.offset + 1..).zip(records) {
            delta.replay(offset, record)?;
        }
        delta.apply()
    }

    fn topic(name: &str, bits: u128) -> MetadataRecord {
        MetadataRecord::Topic { name: name.into(), id: TopicId::from_u128(bits) }
    }

    fn partition(bits: u128, partition: i32) -> MetadataRecord {
        MetadataRecord::Partition {
            topic_id: TopicId::from_u128(bits),
            partition,
            replicas: vec![BrokerId(1)],
            isr: vec![BrokerId(1)],
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        }
    }

    fn config(topic: &str, name: &str, value: Option<&str>) -> MetadataRecord {
        MetadataRecord::TopicConfig { topic: topic.into(), name: name.into(), value: value.map(str::to_owned) }
    }

    #[test]
    fn overrides_are_resolved() {
        let image = delta(&[topic("t", 1), config("t", "retention.ms", Some("5")), partition(1, 0)]).unwrap();
        assert_eq!(image.offset, 2);
        assert_eq!(image.topic("t").unwrap().log_config.retention_ms, Some(5));
        let image = delta_on(&image, &[config("t", "retention.ms", None)]).unwrap();
        assert_eq!(*image.topic("t").unwrap().log_config, LogConfig::default());
    }

    #[test]
    fn untouched_topics_are_shared() {
        let before = delta(&[topic("a", 1), partition(1, 0), topic("b", 2), partition(2, 0)]).unwrap();
        let after = delta_on(&before, &[partition(2, 1)]).unwrap();
        assert!(Arc::ptr_eq(before.topic("a").unwrap(), after.topic("a").unwrap()));
        assert_eq!(before.topic("b").unwrap().partitions.len(), 1);
        assert_eq!(after.topic("b").unwrap().partitions.len(), 2);
    }

    #[test]
    fn records_that_do_not_fit_are_refused() {
        let refuse = |records: &[MetadataRecord]| delta(records).unwrap_err();
        let gap = refuse(&[topic("t", 1), partition(1, 1)]);
        assert_eq!(gap, ReplayError { offset: 1, reason: "partition 1 follows 0 partitions".into() });
        assert_eq!(refuse(&[topic("t", 1), topic("t", 2)]).offset, 1);
        assert_eq!(refuse(&[topic("t", 1), topic("u", 1)]).offset, 1);
        assert_eq!(refuse(&[partition(1, 0)]).offset, 0);
        assert_eq!(refuse(&[config("t", "retention.ms", None)]).reason, "no topic t is known");
        assert_eq!(refuse(&[topic("t", 1), config("t", "retention.ms", Some("x"))]).offset, 1);
        assert_eq!(refuse(&[MetadataRecord::RemoveTopic { id: TopicId::from_u128(9) }]).offset, 0);
        let ids = |next_producer_id| MetadataRecord::ProducerIds {
            broker_id: BrokerId(1),
            broker_epoch: 0,
            next_producer_id,
        };
        assert_eq!(refuse(&[ids(1000), ids(1000)]).offset, 1);

        let mut delta = MetadataDelta::new(&MetadataImage::default(), BrokerId(1));
        delta.replay(4, &topic("t", 1)).unwrap();
        let error = Error::from(delta.replay(4, &topic("u", 2)).unwrap_err());
        assert_eq!(error.code(), ErrorCode::UnknownServerError);
    }
}
