//! The opening: what Amazon held for an account when its ledger began.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Deposits, Funds};

/// Posted when Amazon's first balances show how much was there.
pub const OPENING: Movement = Movement::new("opening", Funds, Deposits);
