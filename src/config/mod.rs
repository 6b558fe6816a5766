//! Configuration in Kafka's property names: parsing, validation, defaults.
//!
//! Topic and broker settings are here, because the controller, the log and the brokers read them; clients keep theirs
//! beside the client and parse them with [`property`].
//!
//! 1. A name that Kafka does not have, and a value that Kafka does not take, is `INVALID_CONFIG` with Kafka's text.
//! 2. A value that Kafka takes and this crate cannot honour is refused too, and says that it is not built yet.
//! 3. A topic's effective settings are its overrides, over the broker's defaults, over Kafka's defaults.

mod broker_config;
mod cleaner_config;
mod log_config;
pub(crate) mod property;
mod topic_config;
pub(crate) mod topic_property;

pub(crate) use broker_config::BrokerConfig;
pub(crate) use cleaner_config::CleanerConfig;
#[cfg(test)]
pub(crate) use log_config::CleanupPolicy;
pub(crate) use log_config::LogConfig;
pub use topic_config::TopicConfig;
