//! The signed client of Amazon Pay, Checkout v2, the server's part: charge permissions, charges and refunds (`PROTOCOL.md`).
//!
//! It guarantees what the client of the Incentives API does: the bytes that are signed are the bytes that are sent, each call is sent
//! exactly once, and whatever comes back becomes a [`PayOutcome`]. Amazon lists no charges, so one whose answer was lost is found by
//! its idempotency key and by nothing else: there is no default key, and no call that creates goes without one.

mod button;
mod classify;
mod client;
mod driver;
mod endpoint;
mod ids;
mod key;
pub mod mws;
mod notice;
mod outcome;
mod reason;
mod sign;
mod wire;

pub use crate::kernel::PayRegion;
pub use button::{ButtonAsked, ButtonInterval, PageUrl, SignedButton};
pub use client::{
    AmazonPayRequestId, LiveKey, PayBuildError, PayClient, PayExchange, PayOperation, PaySettings, PayTimeouts,
};
pub use driver::PayDriver;
pub use endpoint::{PayEndpoint, PayStandInBeyondLoopback};
pub use ids::{
    AmazonChargeId, AmazonPermissionId, AmazonRefundId, AmazonSessionId, PayKey, PayReference, SimulationCode,
};
pub use key::{MerchantKey, MerchantKeyProblem};
pub use notice::{NotANotice, NoticeKind, PayNotice};
pub use outcome::{
    ChargeSeen, ChargeState, Decline, DeclineKind, PayDoubt, PayOutcome, PermissionSeen, PermissionState, RefundSeen,
    RefundState, SessionSeen, SessionStage,
};
pub use reason::PayReason;
pub use wire::ChargeAsked;
