//! An adjustment: a person corrects the funds by what nothing else explains.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Adjustments, Funds};

/// Posted by `noshi ledger adjust`. A value below zero takes funds off.
pub const ADJUSTMENT: Movement = Movement { kind: "adjustment", debit: Funds, credit: Adjustments, reversible: true };
