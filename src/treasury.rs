//! What looks at rewards and accounts from above: balances now, reconciliation later.

pub mod balances;
pub mod http;

pub use balances::Balances;
