//! The in-process client API.
