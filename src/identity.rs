//! Who calls: clients, their API keys, and what a key may do.

pub(crate) mod admin_token;
pub mod caller;
pub mod clients;
pub mod endings;
pub mod keys;
pub mod principal;
pub(crate) mod problems;
pub(crate) mod refusals;
pub mod scope;

pub(crate) use admin_token::AdminToken;
pub use caller::{Caller, OwnedBy};
pub(crate) use principal::Principal;
pub use scope::{Scope, Scopes};
