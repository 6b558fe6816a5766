//! Configuration in Kafka's property names: parsing, validation, defaults.
//!
//! Topic and broker settings are here, because the controller, the log and the brokers read them; clients keep theirs
//! beside the client and parse them with [`property`].
//!
//! 1. A name that Kafka does not have, and a value that Kafka does not take, is `INVALID_CONFIG` with Kafka's text.
//! 2. A value that Kafka takes and this crate cannot honour is refused too, and says that it is not built yet.
//! 3. A topic's effective settings are its overrides, over the broker's defaults, over Kafka's defaults. The broker's are
//!    what was set on it while it runs, over what was set for all brokers, over what it was started with.

mod broker_config;
pub(crate) mod broker_property;
mod cleaner_config;
pub(crate) mod describe;
mod entry;
mod log_config;
pub(crate) mod property;
mod resource;
mod topic_config;
pub(crate) mod topic_property;

pub(crate) use broker_config::BrokerConfig;
pub(crate) use cleaner_config::CleanerConfig;
pub use entry::{ConfigEntry, ConfigSource, ConfigSynonym, ConfigType};
#[cfg(any(test, fuzzing))]
pub(crate) use log_config::CleanupPolicy;
pub(crate) use log_config::LogConfig;
pub(crate) use resource::ConfigChange;
pub use resource::{AlterConfigOp, ConfigResource};
pub use topic_config::TopicConfig;
