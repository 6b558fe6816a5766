//! What tests of applications use: a [`History`] of what clients did and saw, and whether it keeps Kafka's promises.
//!
//! Feature `testing`. Built on the crate's public API, and of use with any client of any Kafka: see
//! [`history`].

pub mod history;

#[doc(no_inline)]
pub use history::History;
