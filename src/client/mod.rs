//! The in-process client API.

pub mod consumer;
