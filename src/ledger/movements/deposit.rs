//! A deposit: someone paid funds in at Amazon.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Deposits, Funds};

/// Posted when Amazon reports more than the ledger can explain.
pub const DEPOSIT: Movement = Movement::new("deposit", Funds, Deposits);
