//! The outbox: facts for finance and operators, written in the transaction that makes them true, and the feed that serves
//! them.

pub mod http;
pub mod outbox;
pub(crate) mod scopes;
