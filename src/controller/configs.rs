//! Altering the settings of topics and brokers while they run (KIP-339, KIP-226).
//!
//! Kafka checks a broker's settings on the broker, before the controller sees the request, and answers most of what it
//! finds there with `INVALID_REQUEST`, where a topic's are `INVALID_CONFIG`; so does this.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::config::topic_property::{self, MAX_VALUE_LENGTH};
use crate::config::{AlterConfigOp, ConfigChange, ConfigResource, ConfigType, broker_property};
use crate::controller::{Controller, MetadataRecord, Outcome, validate_topic_name};
use crate::error::{Error, ErrorCode};
use crate::types::BrokerId;

/// How many settings one request may change: Kafka's own bound on the records of one operation.
const MAX_RECORDS: usize = 10_000;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

type Settings = BTreeMap<String, String>;

impl Controller {
    /// What formatting a Kafka 4.1 cluster or later writes: with eligible leader replicas (KIP-966) the cluster has one
    /// `min.insync.replicas`, which is a cluster-wide default from the start and no broker's own.
    pub(crate) fn bootstrap(&self) -> Outcome<()> {
        let value = self.config().log_config().min_insync_replicas.to_string();
        let record =
            MetadataRecord::BrokerConfig { broker: None, name: MIN_INSYNC_REPLICAS.to_owned(), value: Some(value) };
        Outcome { records: vec![record], response: () }
    }

    /// Alters settings, of each resource on its own: all of a resource's changes or, with an error, none. Answers in the
    /// order of the request; with `validate_only` as if they had been altered, but without records.
    ///
    /// `INVALID_REQUEST`: a resource or a setting that is named twice, a resource that has no settings, a broker's setting
    /// that is read-only or gets a bad value. `INVALID_CONFIG`: a topic's setting that does not exist or gets a bad value,
    /// a list operation on what is no list, a broker's setting that does not exist. `INVALID_TOPIC_EXCEPTION`,
    /// `UNKNOWN_TOPIC_OR_PARTITION`, and `POLICY_VIOLATION` for all of them past 10,000 changes.
    pub(crate) fn incremental_alter_configs(
        &self,
        resources: &[(ConfigResource, Vec<AlterConfigOp>)],
        validate_only: bool,
    ) -> Outcome<Vec<Result<(), Error>>> {
        let mut times: HashMap<&ConfigResource, usize> = HashMap::new();
        for (resource, _) in resources {
            *times.entry(resource).or_default() += 1;
        }
        let (mut records, mut response) = (Vec::new(), Vec::new());
        for (resource, operations) in resources {
            let altered = match times[resource] {
                1 => self.alter_resource(resource, operations),
                _ => Err(invalid_request("Each resource must appear at most once.")),
            };
            response.push(altered.map(|altered| records.extend(altered)));
        }
        if records.len() > MAX_RECORDS {
            let error = Error::new(ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.");
            return Outcome::unchanged(vec![Err(error); resources.len()]);
        }
        if validate_only {
            records.clear();
        }
        Outcome { records, response }
    }

    fn alter_resource(
        &self,
        resource: &ConfigResource,
        operations: &[AlterConfigOp],
    ) -> Result<Vec<MetadataRecord>, Error> {
        let mut names = HashSet::new();
        if !operations.iter().all(|operation| names.insert(&operation.name)) {
            return Err(invalid_request("Error due to duplicate config keys"));
        }
        match resource {
            ConfigResource::Topic(name) => self.alter_topic(name, operations),
            ConfigResource::Broker(id) if *id != self.node => {
                let message = format!("Unexpected broker id, expected {}, but received {id}", self.node);
                Err(invalid_request(message))
            }
            ConfigResource::Broker(id) => self.alter_broker(Some(*id), operations),
            ConfigResource::BrokerDefault => self.alter_broker(None, operations),
            ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) | ConfigResource::BrokerLogger(_) => {
                let kind = resource.kind();
                let message = format!("Unknown resource type {kind}: brokerless has not built settings of it yet");
                Err(invalid_request(message))
            }
        }
    }

    fn alter_topic(&self, topic: &str, operations: &[AlterConfigOp]) -> Result<Vec<MetadataRecord>, Error> {
        let existing = self.image.topic(topic);
        let nothing = Settings::new();
        let mut settings = existing.map_or(&nothing, |topic| &topic.configs).clone();
        let mut records = Vec::new();
        for AlterConfigOp { name, change } in operations {
            let property = topic_property::find(name);
            let is_list = property.is_some_and(|property| property.kind == ConfigType::List);
            if is_list_operation(change) && !is_list {
                let operation = change.operation();
                let message = format!("Can't {operation} to key {name} because its type is not LIST.");
                return Err(Error::config(message));
            }
            let default = property.and_then(|property| property.default);
            let record = |value| MetadataRecord::TopicConfig { topic: topic.to_owned(), name: name.clone(), value };
            records.extend(alter(&mut settings, name, change, default).map(record));
        }
        if topic.is_empty() {
            return Err(invalid_request("Default topic resources are not allowed."));
        }
        validate_topic_name(topic)?;
        topic_property::validate(self.config(), &settings)?;
        if existing.is_none() {
            let message = format!("The topic '{topic}' does not exist.");
            return Err(Error::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        Ok(records)
    }

    fn alter_broker(
        &self,
        broker: Option<BrokerId>,
        operations: &[AlterConfigOp],
    ) -> Result<Vec<MetadataRecord>, Error> {
        let mut settings = self.image.broker_config(broker).clone();
        let mut records = Vec::new();
        for AlterConfigOp { name, change } in operations {
            let property = broker_property::find(name);
            if is_list_operation(change) {
                match &property {
                    None => return Err(Error::config(format!("Unknown config name: {name}"))),
                    Some(property) if property.kind != ConfigType::List => {
                        let operation = change.operation().to_lowercase();
                        let message = format!("Config value {operation} is not allowed for config key: {name}");
                        return Err(Error::config(message));
                    }
                    Some(_) => {}
                }
            }
            let default = property.as_ref().and_then(|property| property.default.as_deref());
            let record = |value| MetadataRecord::BrokerConfig { broker, name: name.clone(), value };
            records.extend(alter(&mut settings, name, change, default).map(record));
        }
        self.check_broker_settings(broker, &settings)?;
        check_min_insync_replicas(broker, operations)?;
        Ok(records)
    }

    fn check_broker_settings(&self, broker: Option<BrokerId>, settings: &Settings) -> Result<(), Error> {
        let is_read_only = |name: &&str| broker_property::find(name).is_some_and(|property| !property.is_dynamic);
        let read_only: Vec<_> = settings.keys().map(String::as_str).filter(is_read_only).collect();
        if !read_only.is_empty() {
            let names = read_only.join(", ");
            return Err(invalid_request(format!("Cannot update these configs dynamically: [{names}]")));
        }
        // Kafka stores names that it does not know, for plug-ins that might; here nobody would ever read them.
        if let Some(name) = settings.keys().find(|name| broker_property::find(name).is_none()) {
            return Err(Error::config(format!("Unknown configuration '{name}'.")));
        }
        if settings.values().any(|value| value.encode_utf16().count() > MAX_VALUE_LENGTH) {
            return Err(Error::config(format!(
                "The configuration value cannot be added because it exceeds the maximum value size of \
                 {MAX_VALUE_LENGTH} bytes."
            )));
        }
        let others = |other| self.image.broker_config(other);
        let resolved = match broker {
            Some(_) => self.config().with_dynamic(others(None), settings),
            None => self.config().with_dynamic(settings, others(Some(self.node))),
        };
        resolved.map(drop).map_err(|error| invalid_request(error.message()))
    }
}

/// The setting's new value, `None` to take it away; `None` around it if it stays as it is.
fn alter(settings: &mut Settings, name: &str, change: &ConfigChange, default: Option<&str>) -> Option<Option<String>> {
    let current = settings.get(name).map(String::as_str);
    let value = change.apply(current, default);
    if value.as_deref() == current {
        return None;
    }
    match &value {
        Some(value) => settings.insert(name.to_owned(), value.clone()),
        None => settings.remove(name),
    };
    Some(value)
}

fn is_list_operation(change: &ConfigChange) -> bool {
    matches!(change, ConfigChange::Append(_) | ConfigChange::Subtract(_))
}

/// With eligible leader replicas the controller counts on one `min.insync.replicas` for all brokers.
fn check_min_insync_replicas(broker: Option<BrokerId>, operations: &[AlterConfigOp]) -> Result<(), Error> {
    let Some(operation) = operations.iter().find(|operation| operation.name == MIN_INSYNC_REPLICAS) else {
        return Ok(());
    };
    let what = match (broker, &operation.change) {
        (Some(_), _) => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        (None, ConfigChange::Delete) => "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        (None, _) => return Ok(()),
    };
    Err(Error::config(what))
}

fn invalid_request(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidRequest, message.into())
}
