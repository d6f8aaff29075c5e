//! An issue: Amazon proved the purchase, so its value is spent.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Issued, Reserved};

/// Posted in the transaction that commits the proof.
pub const ISSUE: Movement = Movement::new("issued", Issued, Reserved);
