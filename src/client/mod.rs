//! The in-process client API.

pub(crate) mod admin;
pub(crate) mod consumer;
pub(crate) mod producer;
