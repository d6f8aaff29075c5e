//! A release: it is proven that nothing was bought, so the reserved value can be spent again.

use super::Movement;
use crate::ledger::chart::LedgerAccount::{Funds, Reserved};

/// Posted in the transaction that commits the refusal.
pub const RELEASE: Movement = Movement::new("released", Funds, Reserved);
