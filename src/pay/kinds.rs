//! One file a kind of payment.

pub(super) mod charge;
pub(super) mod refund;
