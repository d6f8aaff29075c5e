//! What a key may do with the events.

use crate::identity::Scope;

/// Read the events, the ledger and what reconciliations found: all that finance reads.
pub(crate) const LEDGER_READ: Scope = Scope::for_callers("ledger:read");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[LEDGER_READ];
