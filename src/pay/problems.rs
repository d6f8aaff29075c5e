//! Problem codes of payments.

use crate::http::{Code, Retry};

pub(super) const PAYMENT_DECLINED: Code =
    Code::new("payment-declined", 402, Retry::Never, "The buyer's money did not come");
pub(super) const NOT_REFUNDABLE: Code =
    Code::new("not-refundable", 409, Retry::Never, "So much of the charge cannot be given back");
pub(super) const PAYMENT_UNDECIDED: Code =
    Code::new("payment-undecided", 409, Retry::Later, "The charge is not decided yet, and the request needs that");

pub(super) const NOTIFICATION_REFUSED: Code =
    Code::new("notification-refused", 403, Retry::Never, "Amazon did not send this notification for the account");

/// All of them.
pub(crate) const CODES: &[Code] = &[PAYMENT_DECLINED, NOT_REFUNDABLE, PAYMENT_UNDECIDED, NOTIFICATION_REFUSED];
