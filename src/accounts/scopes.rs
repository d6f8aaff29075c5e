//! What a key may do with Amazon's key pairs. They are the accounts', for all clients together: such a key needs `clients:all` as well.

use crate::identity::Scope;

/// Read how the pairs stand.
pub(crate) const KEY_PAIRS_READ: Scope = Scope::on_request("key_pairs:read");
/// Ask Amazon about a pair, and put one in force.
pub(super) const KEY_PAIRS_WRITE: Scope = Scope::on_request("key_pairs:write");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[KEY_PAIRS_READ, KEY_PAIRS_WRITE];
