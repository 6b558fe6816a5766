//! Scenarios in virtual time, and a model of random members.

mod commit;
mod harness;
mod join;
mod lifecycle;
mod liveness;
mod model;
mod static_membership;
mod sync;

use harness::*;
