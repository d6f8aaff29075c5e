//! The ledger: every movement of money as double entry, and the programs whose budgets rewards draw on. Each change of a
//! reward writes here in its own transaction, so the ledger and the rewards cannot disagree.
//!
//! `journal` holds the entries, `chart` the ledger accounts, `movements` what can move money between them. `sums` is what
//! the entries add up to, `totals` how far they are added up already, `moved` what was spent in the windows that finance
//! looks at, `statement` a month's books. `status` leads a reward's value through all of these. `programs`, `budget`, `ceilings` and `floor` decide
//! whether a new reward may be bought.

pub mod budget;
pub mod ceilings;
pub mod chart;
pub mod floor;
pub mod http;
pub mod journal;
pub(crate) mod metrics;
pub mod moved;
pub mod movements;
pub(crate) mod problems;
pub mod programs;
pub(crate) mod scopes;
pub mod service;
pub mod statement;
pub mod status;
pub mod sums;
pub mod totals;
pub mod watch;

pub use metrics::Metrics;
pub(crate) use service::Ledger;
pub use status::LedgerStatus;
