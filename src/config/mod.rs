//! Configuration in Kafka's property names: parsing, validation, defaults.
//!
//! Topic and broker settings are here, because the controller, the log and the brokers read them; clients keep theirs
//! beside the client and parse them with [`property`].

mod log_config;
pub(crate) mod property;

pub(crate) use log_config::{CleanupPolicy, LogConfig};
