//! What looks at rewards and accounts from above: balances, and reconciliation with Amazon's own report.

pub mod balances;
mod deposits;
pub mod http;
mod metrics;
mod observe;
pub(crate) mod problems;
pub mod reconciliation;
pub mod runway;
pub(crate) mod scopes;
pub mod standing;
pub mod totals;
pub mod value_date;

pub use balances::Balances;
pub use metrics::Metrics;
pub use reconciliation::Reconciliations;
