//! What an answer of MWS shows.

use chrono::{DateTime, Utc};

use super::call::MwsCaptureId;
use crate::{
    kernel::Money,
    provider::pay::{
        ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayReference},
        reason::PayReason,
    },
};

/// Where an object stands. A word that we do not know is `Odd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are Amazon's words themselves; `PROTOCOL.md` says what each means")]
pub enum MwsState {
    Draft,
    Pending,
    Open,
    Suspended,
    Completed,
    Declined,
    Closed,
    Canceled,
    Odd,
}

/// Where an object stands, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MwsStatus {
    /// Where.
    pub state: MwsState,
    /// Why, where the answer says it in a word: `Other` for one that we do not know.
    pub reason: Option<PayReason>,
}

/// An order reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsOrderSeen {
    /// Which.
    pub id: AmazonPermissionId,
    /// Where it stands.
    pub status: MwsStatus,
    /// How much in all, once it was said.
    pub total: Option<Money>,
    /// What keeps it from being confirmed.
    pub constraints: Vec<PayReason>,
    /// Its authorizations.
    pub authorizations: Vec<AmazonChargeId>,
    /// The billing agreement that it was made of.
    pub parent: Option<AmazonPermissionId>,
    /// The seller's own number.
    pub seller_order_id: Option<PayReference>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A billing agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsAgreementSeen {
    /// Which.
    pub id: AmazonPermissionId,
    /// Where it stands.
    pub status: MwsStatus,
    /// Whether the buyer consented to charges that recur.
    pub consented: bool,
    /// How much it allows a month. Amazon says it: it is never a figure of ours.
    pub limit: Option<Money>,
    /// What is left of that.
    pub balance: Option<Money>,
    /// What keeps it from being confirmed.
    pub constraints: Vec<PayReason>,
    /// The seller's own number.
    pub seller_agreement_id: Option<PayReference>,
}

/// An authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsAuthorizationSeen {
    /// Which.
    pub id: AmazonChargeId,
    /// The reference id that it was made under.
    pub reference: PayReference,
    /// Where it stands.
    pub status: MwsStatus,
    /// How much.
    pub amount: Money,
    /// Its captures: none, or one.
    pub captures: Vec<MwsCaptureId>,
    /// Of a decline for the payment method: the same method may do another time.
    pub soft_decline: bool,
    /// When it ends that is not used.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsCaptureSeen {
    /// Which.
    pub id: MwsCaptureId,
    /// The reference id that it was made under; with `CaptureNow` its authorization's.
    pub reference: PayReference,
    /// Where it stands. A closed one was paid.
    pub status: MwsStatus,
    /// How much.
    pub amount: Money,
    /// How much of it went back.
    pub refunded: Option<Money>,
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsRefundSeen {
    /// Which.
    pub id: AmazonRefundId,
    /// The reference id that it was made under.
    pub reference: PayReference,
    /// Where it stands.
    pub status: MwsStatus,
    /// How much.
    pub amount: Money,
}

/// Whether a billing agreement's payment method is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsValidationSeen {
    /// It is.
    pub valid: bool,
    /// Why it is not.
    pub reason: Option<PayReason>,
    /// Where the billing agreement stands now.
    pub status: Option<MwsStatus>,
}

/// How Amazon's service says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are Amazon's words themselves")]
pub enum MwsHealth {
    Green,
    GreenWithInformation,
    Yellow,
    Red,
    Odd,
}

/// The object that an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants name the objects")]
pub enum MwsSeen {
    Order(MwsOrderSeen),
    Agreement(MwsAgreementSeen),
    Authorization(MwsAuthorizationSeen),
    Capture(MwsCaptureSeen),
    Refund(MwsRefundSeen),
    Validation(MwsValidationSeen),
    Health(MwsHealth),
    /// The operation has nothing to show: it is done.
    Done,
}
