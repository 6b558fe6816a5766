//! The manual: how the crate is built and what it guarantees. The truth where it differs from any plan.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("semantics.md")]
pub mod semantics {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("locking.md")]
pub mod locking {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("performance.md")]
pub mod performance {}
