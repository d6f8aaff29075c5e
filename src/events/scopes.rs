//! What a key may do with the events.

use crate::identity::Scope;

/// Read the events, the ledger and what reconciliations found, as far as they are the client's own.
pub(crate) const LEDGER_READ: Scope = Scope::on_request("ledger:read");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[LEDGER_READ];
