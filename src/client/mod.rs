//! The in-process client API.

pub(crate) mod consumer;
