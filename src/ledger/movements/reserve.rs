//! A reservation: a purchase begins, and holds its value until Amazon proves an outcome.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Funds, Reserved};

/// Posted in the transaction that commits the intent to buy.
pub const RESERVE: Movement = Movement::new("reserved", Reserved, Funds);
