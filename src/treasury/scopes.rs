//! The scopes of balances and reconciliations.

use crate::identity::Scope;

/// Read balances.
pub(super) const BALANCES_READ: Scope = Scope::for_callers("balances:read");
/// Start a reconciliation.
pub(super) const RECONCILIATIONS_WRITE: Scope = Scope::for_operators("reconciliations:write");

/// Every scope of balances.
pub(crate) const OF_BALANCES: &[Scope] = &[BALANCES_READ];
pub(crate) const OF_RECONCILIATIONS: &[Scope] = &[RECONCILIATIONS_WRITE];
