//! What a key may do with webhooks.

use crate::identity::Scope;

/// See the endpoints of one's own, and what was delivered to them.
pub(crate) const WEBHOOKS_READ: Scope = Scope::on_request("webhooks:read");
/// Make, change and delete endpoints, and have events sent again.
pub(crate) const WEBHOOKS_WRITE: Scope = Scope::on_request("webhooks:write");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[WEBHOOKS_READ, WEBHOOKS_WRITE];
