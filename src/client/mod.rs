//! The in-process client API.

pub(crate) mod producer;
