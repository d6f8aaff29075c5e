//! The words everything else is built from: money, ids, marketplaces, windows, idempotency, outcomes.
//!
//! Pure: no clock, no randomness, no I/O, and nothing of ours is imported.

pub mod amazon_pay;
pub mod calendar;
pub mod card_id;
pub mod chain;
#[cfg(test)]
pub(crate) mod changed;
pub mod claim_code;
pub mod clock;
pub mod glyphs;
pub mod held;
pub mod horizon;
pub mod https_proxy;
pub mod idempotency;
pub mod ids;
pub mod login_host;
pub mod marketplace;
pub mod money;
pub mod outcome;
pub mod rest;
pub mod trace_context;
mod words;

pub use amazon_pay::{AmazonPayId, NoticeTopic, PayRegion, PaymentKey};
pub use card_id::CardId;
pub use chain::Chain;
pub use claim_code::ClaimCode;
pub use https_proxy::{HttpsProxy, NoHttpsProxy};
pub use idempotency::{CreationRequestId, IdempotencyKey, Intent};
pub use ids::{
    ApiKeyId, BatchId, ClientId, MembershipId, MembershipPlanId, PayNoticeId, PaySubscriptionId, PaymentId, ProgramId,
    ReconciliationId, RewardId, WebhookEndpointId,
};
pub use login_host::LoginHost;
pub use marketplace::{Environment, Marketplace};
pub use money::{Currency, Money};
pub use outcome::{AuthRejection, CardProof, NotSent, UnknownReason};
pub use trace_context::TraceContext;
pub(crate) use words::word_methods;
