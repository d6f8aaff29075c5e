//! Amazon's mock ids. A caller sends one as `creationRequestId`, without the partner's prefix, in a call that is valid
//! otherwise. Each has its fixed answer, and changes neither the book nor the funds.

use super::errors::{self, AgcodError};

/// The card of a mocked success.
pub(super) const GC_ID: &str = "ABC123ZYX987";
/// Its claim code.
pub(super) const CLAIM_CODE: &str = "ZYXW-VUTS-RQPO";

/// What a mock id asks for.
pub(super) enum Mock {
    Success,
    Refused(AgcodError),
}

/// The refusal of each mock id.
const REFUSALS: &[(&str, AgcodError)] = &[
    ("F1000", errors::GENERAL_ERROR_F100),
    ("F2000", errors::INVALID_REQUEST_INPUT),
    ("F2001", errors::INVALID_CARD_NUMBER_INPUT),
    ("F2002", errors::INVALID_PARTNER_ID_INPUT),
    ("F2003", errors::INVALID_AMOUNT_INPUT),
    ("F2004", errors::INVALID_AMOUNT_VALUE),
    ("F2005", errors::INVALID_CURRENCY_CODE_INPUT),
    ("F2010", errors::CARD_ALREADY_ACTIVATED_WITH_DIFFERENT_REQUEST_ID),
    ("F2015", errors::MAX_AMOUNT_EXCEEDED),
    ("F2016", errors::CURRENCY_CODE_MISMATCH),
    ("F2017", errors::FRACTIONAL_AMOUNT_NOT_ALLOWED),
    ("F2047", errors::CANCEL_REQUEST_ARRIVED_AFTER_TIME_LIMIT),
    ("F3003", errors::INSUFFICIENT_FUNDS),
    // Amazon documents AccountHasProblems; the real sandbox answers this.
    ("F3005", errors::GENERAL_ERROR_F300),
    ("F3010", errors::CUSTOMER_SURPASSED_DAILY_VELOCITY_LIMIT),
    ("F4000", errors::SYSTEM_TEMPORARILY_UNAVAILABLE),
    ("F5000", errors::GENERAL_ERROR_F500),
];
const SUCCESS: &str = "F0000";

impl Mock {
    /// The mock of a request id. An unknown `F` number is an ordinary id without the partner's prefix.
    pub(super) fn of(request_id: &str) -> Option<Self> {
        if request_id == SUCCESS {
            return Some(Self::Success);
        }
        let (_, refusal) = REFUSALS.iter().find(|(id, _refusal)| *id == request_id)?;
        Some(Self::Refused(refusal.clone()))
    }

    /// Every mock id, and what it answers in a few words.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, String)> {
        let refusals = REFUSALS.iter().map(|(id, refusal)| {
            let resend = if refusal.status() == "RESEND" { ", status RESEND" } else { "" };
            (*id, format!("{} {}{resend}", refusal.code, refusal.error_type))
        });
        std::iter::once((SUCCESS, "SUCCESS, a card that is always the same".to_owned())).chain(refusals)
    }
}
