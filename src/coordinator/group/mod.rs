//! Consumer groups.

mod request;

pub(crate) use request::*;
