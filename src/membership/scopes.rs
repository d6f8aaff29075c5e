//! What a key may do with memberships. A key has none of it unless its maker says so: behind it lies what buyers pay, and what they get.

use crate::identity::Scope;

/// Read plans and memberships.
pub(crate) const MEMBERSHIP_READ: Scope = Scope::on_request("membership:read");
/// Make plans and memberships, and change them.
pub(crate) const MEMBERSHIP_WRITE: Scope = Scope::on_request("membership:write");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[MEMBERSHIP_READ, MEMBERSHIP_WRITE];
