//! A cancel: Amazon proved that it took the purchase back, so its value can be spent again.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Funds, Issued};

/// Posted in the transaction that commits the proof of the reversal.
pub const CANCEL: Movement = Movement::new("canceled", Funds, Issued);
