//! What a key may do with rewards.

use crate::identity::Scope;

/// Issue and validate rewards.
pub(crate) const REWARDS_WRITE: Scope = Scope::by_default("rewards:write");
/// Read rewards, their events and the catalogue.
pub(crate) const REWARDS_READ: Scope = Scope::by_default("rewards:read");
/// Cancel rewards.
pub(crate) const REWARDS_CANCEL: Scope = Scope::by_default("rewards:cancel");
/// Have a claim code shown again.
pub(crate) const CLAIM_CODES_REVEAL: Scope = Scope::on_request("claim_codes:reveal");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[REWARDS_WRITE, REWARDS_READ, REWARDS_CANCEL, CLAIM_CODES_REVEAL];
