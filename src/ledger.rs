//! The books: the ledger, and the programs whose budgets rewards are charged to. What a reward writes here is written in
//! the transaction that makes it true, so the books can be no other than the rewards.

pub mod budget;
pub mod http;
pub mod journal;
pub(crate) mod metrics;
pub(crate) mod problems;
pub mod programs;
pub(crate) mod scopes;
pub mod service;
pub mod watch;

pub use metrics::Metrics;
pub use service::Books;
