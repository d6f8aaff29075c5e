//! Clients of Amazon's APIs, each a leaf: wire format, signature, and what an answer proves.

pub mod incentives;
pub mod login;
pub mod pay;
pub mod sns;
pub(crate) mod transport;
