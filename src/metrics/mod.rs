//! Metrics under Kafka's names: what clients and brokers count, and how it is read.
//!
//! ```text
//!   Registry  1 a cluster
//!     └ Scope     1 a client (or a part of one): a group and tags that all of its metrics share; gone when dropped
//!         ├ Sensor    windowed: rates, averages, extremes, with totals; one short leaf lock a record
//!         ├ Counter   a total; one relaxed addition
//!         ├ gauge     a closure, called when somebody reads
//!         └ collector a closure that has many values, whose tags change
//!   Metrics   a snapshot, sorted and immutable
//! ```
//!
//! Invariants
//! 1. No two metrics of a snapshot have the same name, group and tags.
//! 2. A total never falls while its scope lives.
//! 3. Windows are Kafka's: `metrics.num.samples` of `metrics.sample.window.ms`, and a rate divides by at least
//!    `metrics.num.samples - 1` whole windows.
//! 4. What is registered is bounded by the scopes alive: recording never registers anything.
//!
//! Recording is meant for batches and requests, not for records. No clock: `now_ms` is an argument. Gauges are called
//! with no lock held.

mod name;
#[cfg(feature = "prometheus")]
mod prometheus;
mod registry;
mod sampled;
mod scope;
mod sensor;
mod snapshot;
mod total_rate;

pub use name::MetricName;
pub(crate) use name::{Tags, tags};
pub(crate) use registry::{MetricConfig, Registry};
pub(crate) use sampled::Values;
pub(crate) use scope::{Counter, Scope};
pub(crate) use sensor::Sensor;
pub use snapshot::{Metric, MetricKind, Metrics};
pub(crate) use total_rate::TotalRate;
