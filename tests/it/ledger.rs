//! Programs, their budgets, and the ledger.

mod accounts;
mod budgets;
mod journal;
mod million;
mod moved;
mod programs;
mod statement;
pub(crate) mod upgrade;
