//! What a key may do with payments. A key has none of it unless its maker says so: behind it lies what buyers pay.

use crate::identity::Scope;

/// Read charges and refunds.
pub(crate) const PAY_READ: Scope = Scope::on_request("pay:read");
/// Make charges.
pub(crate) const PAY_WRITE: Scope = Scope::on_request("pay:write");
/// Give money back.
pub(crate) const PAY_REFUND: Scope = Scope::on_request("pay:refund");

/// All of them.
pub(crate) const SCOPES: &[Scope] = &[PAY_READ, PAY_WRITE, PAY_REFUND];
