//! What looks at rewards and accounts from above: balances, and reconciliation with Amazon's own report.

pub mod balances;
pub mod http;
pub mod reconciliation;

pub use balances::Balances;
pub use reconciliation::Reconciliations;
