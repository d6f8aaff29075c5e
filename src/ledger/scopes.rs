//! What a key may do with programs.

use crate::identity::Scope;

/// Read programs and their budgets.
pub(super) const PROGRAMS_READ: Scope = Scope::for_callers("programs:read");
/// Make and change programs. Callers spend a budget, so they must not set it.
pub(super) const PROGRAMS_WRITE: Scope = Scope::for_operators("programs:write");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[PROGRAMS_READ, PROGRAMS_WRITE];
