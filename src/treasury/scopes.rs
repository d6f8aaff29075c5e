//! The scopes of balances and reconciliations.

use crate::identity::Scope;

/// Read balances: they are the accounts', for all clients together.
pub(crate) const BALANCES_READ: Scope = Scope::on_request("balances:read");
/// Start a reconciliation.
pub(super) const RECONCILIATIONS_WRITE: Scope = Scope::on_request("reconciliations:write");

/// Every scope of balances.
pub(crate) const OF_BALANCES: &[Scope] = &[BALANCES_READ];
pub(crate) const OF_RECONCILIATIONS: &[Scope] = &[RECONCILIATIONS_WRITE];
