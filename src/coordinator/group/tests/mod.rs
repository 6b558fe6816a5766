//! Scenarios in virtual time, and a model of random members.

mod commit;
mod expiry;
mod harness;
mod join;
mod lifecycle;
mod limits;
mod liveness;
mod model;
mod static_membership;
mod sync;
mod watch;

use harness::*;
