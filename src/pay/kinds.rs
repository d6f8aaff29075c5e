//! One file a kind of payment.

pub(super) mod authorization;
pub(super) mod capture;
pub(super) mod charge;
pub(super) mod refund;
