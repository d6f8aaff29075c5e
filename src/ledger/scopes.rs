//! What a key may do with programs.

use crate::identity::Scope;

/// Read programs and their budgets.
pub(crate) const PROGRAMS_READ: Scope = Scope::by_default("programs:read");
/// Make and change programs. Callers spend a budget, so they must not set it.
pub(super) const PROGRAMS_WRITE: Scope = Scope::on_request("programs:write");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[PROGRAMS_READ, PROGRAMS_WRITE];
