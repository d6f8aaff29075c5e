//! What is known after one call to Amazon Pay, in neutral words.
//!
//! As everywhere, what is not proven is unknown. Only a refusal that Amazon types with a reason is one.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, AmazonSessionId, PayReference},
    reason::PayReason,
};
use crate::kernel::{Money, NotSent, word_methods};

/// What is known after one call.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayOutcome<T> {
    /// Amazon answered, and the answer is about what was asked. What it shows may still be a decline: look at its state.
    Seen(T),
    /// Amazon declined, and made nothing.
    Declined(Decline),
    /// The object is in another state than the call needs. Look at it, then decide.
    Conflict(PayReason),
    /// The idempotency key belongs to another request: something may have been made under it. A person decides.
    KeyConflict,
    /// There is no such object, in this environment.
    Missing,
    /// Amazon does not take the request as it is: our mistake, or our configuration's. Nothing was done.
    Rejected(PayReason),
    /// Amazon does not take our key or our account. Nothing was done.
    TurnedAway(PayReason),
    /// It is proven that no byte of the request reached Amazon.
    NotSent(NotSent),
    /// Anything else: it may have been done. Send the same bytes under the same key again.
    Unknown(PayDoubt),
}

impl<T> PayOutcome<T> {
    /// The same outcome with another sight.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> PayOutcome<U> {
        self.and_then(|seen| PayOutcome::Seen(f(seen)))
    }

    /// The same outcome, with what is seen judged once more.
    pub(super) fn and_then<U>(self, f: impl FnOnce(T) -> PayOutcome<U>) -> PayOutcome<U> {
        match self {
            Self::Seen(seen) => f(seen),
            Self::Declined(decline) => PayOutcome::Declined(decline),
            Self::Conflict(reason) => PayOutcome::Conflict(reason),
            Self::KeyConflict => PayOutcome::KeyConflict,
            Self::Missing => PayOutcome::Missing,
            Self::Rejected(reason) => PayOutcome::Rejected(reason),
            Self::TurnedAway(reason) => PayOutcome::TurnedAway(reason),
            Self::NotSent(why) => PayOutcome::NotSent(why),
            Self::Unknown(doubt) => PayOutcome::Unknown(doubt),
        }
    }

    /// The outcome's class as a metric label.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Seen(_) => "seen",
            Self::Declined(_) => "declined",
            Self::Conflict(_) => "conflict",
            Self::KeyConflict => "key_conflict",
            Self::Missing => "missing",
            Self::Rejected(_) => "rejected",
            Self::TurnedAway(_) => "turned_away",
            Self::NotSent(_) => "not_sent",
            Self::Unknown(_) => "ambiguous",
        }
    }

    /// What exactly it was, as a metric label and for the timeline: a word of a closed set, never free text.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Seen(_) => "none",
            Self::Declined(decline) => decline.reason.as_str(),
            Self::Conflict(reason) | Self::Rejected(reason) | Self::TurnedAway(reason) => reason.as_str(),
            Self::KeyConflict => PayReason::DuplicateIdempotencyKey.as_str(),
            Self::Missing => PayReason::ResourceNotFound.as_str(),
            Self::NotSent(why) => why.as_str(),
            Self::Unknown(doubt) => doubt.as_str(),
        }
    }
}

/// Why it is not known what came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PayDoubt {
    /// No complete answer within the time limit, or Amazon's own (408).
    Timeout,
    /// The connection ended before or inside the answer.
    ConnectionLost,
    /// The answer is larger than the cap.
    TooLarge,
    /// The answer is not JSON, is labelled as something else, or is cut.
    NotJson,
    /// The answer is not XML, has a document type or unknown entities, or is cut.
    NotXml,
    /// JSON or XML, but not the operation's answer.
    WrongShape,
    /// The answer is about another amount, currency, permission, charge or environment than was asked for.
    Mismatch,
    /// Over the allowed rate (429), or too early (425).
    Throttled,
    /// Amazon's internal fault, typed `ProcessingFailure`: no proof that nothing was made.
    Busy,
    /// Any other 5xx.
    ServerError,
    /// A redirect: never followed.
    Redirect,
    /// A refusal without a reason that we know.
    Unlisted,
}

/// What a decline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeclineKind {
    /// The same may succeed later.
    Soft,
    /// The buyer must change the payment method.
    Method,
    /// Amazon refuses, and ends the permission.
    Final,
    /// Amazon's internal fault.
    Busy,
    /// Amazon did not come to a decision in time.
    Timeout,
    /// A limit of money or number is reached.
    Cap,
}

word_methods!(PayDoubt, DeclineKind);

/// A decline, of a charge or of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decline {
    /// What it asks for; it decides.
    pub kind: DeclineKind,
    /// Amazon's word.
    pub reason: PayReason,
}

/// Where a charge stands. A word of Amazon's that we do not know is `Odd`: look again later, or let a person look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeState {
    /// The authorization is not decided, for up to 24 hours.
    Pending,
    /// The money is held, not taken.
    Authorized,
    /// The money is being taken, and may still be declined.
    Capturing,
    /// The money is taken: the one state that pays for anything.
    Paid,
    /// No money is or will be taken.
    Declined(Decline),
    /// What was held is given back, for this reason.
    Voided(PayReason),
    /// A state that we do not know.
    Odd,
}

/// A charge as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeSeen {
    /// Which.
    pub id: AmazonChargeId,
    /// By whose consent, where the answer says it: those of Checkout v2 do.
    pub permission: Option<AmazonPermissionId>,
    /// Where it stands.
    pub state: ChargeState,
    /// What was asked for.
    pub amount: Money,
    /// What was taken, where the answer says it.
    pub captured: Option<Money>,
    /// What was given back, where the answer says it.
    pub refunded: Option<Money>,
    /// Our reference, where the answer has one of our form. In Checkout v2 a person may have edited it. In MWS it is the key, and nobody can.
    pub reference: Option<PayReference>,
    /// When an authorization ends that is not used, where the answer says it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// Begun; every refund is at first.
    Pending,
    /// The buyer has the money.
    Done,
    /// The buyer gets nothing by this refund.
    Declined(Decline),
    /// A state that we do not know.
    Odd,
}

/// A refund as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundSeen {
    /// Which.
    pub id: AmazonRefundId,
    /// Of which charge, where the answer says it: those of Checkout v2 do.
    pub charge: Option<AmazonChargeId>,
    /// Where it stands.
    pub state: RefundState,
    /// How much.
    pub amount: Money,
    /// Under which key it was made, where the answer says it: those of MWS do.
    pub reference: Option<PayReference>,
}

/// Whether a permission can be charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermissionState {
    /// It can.
    Usable,
    /// Not now, for these reasons. With `ChargeInProgress` alone it can after a while; with any other the buyer must act.
    Blocked(Vec<PayReason>),
    /// Never again, for these reasons.
    Ended(Vec<PayReason>),
    /// A state that we do not know.
    Odd,
}

/// A charge permission as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionSeen {
    /// Which.
    pub id: AmazonPermissionId,
    /// Whether it can be charged.
    pub state: PermissionState,
    /// Whether it is for charges that recur, where the answer says it.
    pub recurs: Option<bool>,
    /// How much it allows in all, or each month, where the answer says it.
    pub limit: Option<Money>,
    /// What is left of that now, where the answer says it.
    pub balance: Option<Money>,
    /// When it ends by itself, where the answer says it.
    pub expires_at: Option<DateTime<Utc>>,
    /// Our reference, where the answer has one of our form. A person may have edited it.
    pub reference: Option<PayReference>,
}

/// Where a checkout session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStage {
    /// The buyer has agreed, or is about to. Nothing can be charged.
    Open,
    /// What the buyer agreed to is this permission.
    Completed(AmazonPermissionId),
    /// Nothing came of it, for this reason.
    Canceled(PayReason),
    /// A state that we do not know.
    Odd,
}

/// A checkout session as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSeen {
    /// Which.
    pub id: AmazonSessionId,
    /// Where it stands.
    pub stage: SessionStage,
    /// Whether the permission is for charges that recur, where the answer says it.
    pub recurs: Option<bool>,
    /// What the buyer agreed to, where the answer says it: Amazon shows it while the session is open.
    pub amount: Option<Money>,
    /// Until when it is open, where the answer says it.
    pub expires_at: Option<DateTime<Utc>>,
}
