//! Amazon Pay by MWS, the generation that the guides for one-time and recurring payments describe: order references, billing
//! agreements, authorizations, captures and refunds (`PROTOCOL.md`).
//!
//! [`MwsClient`] speaks the neutral words of Checkout v2, so that what is made with it can be carried by the same engine: a charge is an
//! authorization with its one capture, a permission is an order reference or a billing agreement. What differs is here: forms instead of
//! JSON, XML instead of JSON, a key of HMAC instead of RSA, and the ids under which a call is made at most once, which are ours and come
//! back in every answer.

mod ask;
mod call;
mod classify;
mod client;
mod neutral;
pub(super) mod notice;
mod read;
mod seen;
mod sign;
mod simulation;
mod xml;

pub use ask::MwsOperation;
pub use call::{
    MwsAgreementDetails, MwsAuthorize, MwsCall, MwsCapture, MwsCaptureId, MwsNewOrder, MwsOrderDetails, MwsRefund,
};
pub use client::{MwsClient, MwsSettings};
pub use seen::{
    MwsAgreementSeen, MwsAuthorizationSeen, MwsCaptureSeen, MwsHealth, MwsOrderSeen, MwsRefundSeen, MwsSeen, MwsState,
    MwsStatus, MwsValidationSeen,
};
pub use sign::{MwsKey, MwsKeyProblem};
