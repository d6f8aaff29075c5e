//! Amazon partner accounts: their terms, their key pairs, the request rate that all replicas share, and the breaker that
//! refuses new rewards while Amazon refuses the account.

pub mod account;
pub mod key_pairs;
pub mod limiter;
pub mod quota;

pub use account::{Account, Accounts, Terms};
pub use quota::{NoSlot, Priority, Quota};
