//! Who calls: clients, their API keys, and what a key may do.

pub mod caller;
pub mod clients;
pub mod keys;
pub mod principal;
pub(crate) mod problems;
pub mod scope;

pub use caller::{Caller, OwnedBy};
pub(crate) use principal::Principal;
pub use scope::{Scope, Scopes};
