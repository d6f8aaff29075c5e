//! The gateway's front: from an accepted connection to the last byte of the answer. What an operation means is elsewhere.

mod delivery;
mod distort;
mod gateway;
mod mws;
mod pay;
mod report;
mod route;
mod server;
mod socket;

pub(super) use self::gateway::Gateway;
pub use self::report::RequestLines;
pub(super) use self::server::{Answered, Handler, accept, whole_body};
pub(super) use self::socket::Switch;
