//! Problem codes of rewards.

use crate::http::{Code, Retry};

pub(super) const INSUFFICIENT_FUNDS: Code =
    Code::new("insufficient-funds", 402, Retry::AfterFunding, "The account has insufficient funds");
pub(super) const LIMIT_EXCEEDED: Code = Code::new("limit-exceeded", 403, Retry::Never, "A limit is used up");
pub(super) const CANCEL_WINDOW_CLOSED: Code =
    Code::new("cancel-window-closed", 409, Retry::Never, "The cancel window is closed");
pub(super) const ALREADY_CLAIMED: Code =
    Code::new("already-claimed", 409, Retry::Never, "Amazon does not permit the cancel; the code is probably claimed");
pub(super) const EXTERNAL_ID_CONFLICT: Code =
    Code::new("external-id-conflict", 409, Retry::Never, "The external_id names another reward");
pub(super) const GONE: Code = Code::new("gone", 410, Retry::Never, "The reward is canceled");
pub(super) const LAPSED: Code =
    Code::new("lapsed", 422, Retry::Never, "Amazon refused the reward, and it cannot be tried again");
pub(super) const REVEAL_LIMIT_REACHED: Code = Code::new(
    "reveal-limit-reached",
    429,
    Retry::Later,
    "The API key has revealed as many codes in this hour as it may",
);

/// All of them.
pub(crate) const CODES: &[Code] = &[
    INSUFFICIENT_FUNDS,
    LIMIT_EXCEEDED,
    CANCEL_WINDOW_CLOSED,
    ALREADY_CLAIMED,
    EXTERNAL_ID_CONFLICT,
    GONE,
    LAPSED,
    REVEAL_LIMIT_REACHED,
];
