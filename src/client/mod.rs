//! The in-process client API.

mod consumer;
