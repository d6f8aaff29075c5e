//! The JSON bodies: what is sent, byte for byte, and what is read (`PROTOCOL.md`).
//!
//! A request is written once: the bytes that are hashed are the bytes that are sent. Of an answer every field is optional and kept as
//! raw text until it is asked for: Amazon leaves fields out and writes `null` at any time, and one odd field cannot hide the others.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ids::{AmazonChargeId, AmazonPermissionId, PayReference},
    reason::PayReason,
};
use crate::kernel::{Currency, Environment, Money};

/// Characters of the longest reason for an end that Amazon takes.
const END_REASON_CHARACTERS_MAX: usize = 255;

/// What a charge asks for. A repetition must ask for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeAsked {
    /// By whose consent.
    pub permission: AmazonPermissionId,
    /// How much.
    pub amount: Money,
    /// Takes the money with the authorization. Otherwise a capture takes it.
    pub capture_now: bool,
    /// Whether Amazon may answer before it has decided, and decide within 24 hours: fewer declines, for charges nobody waits for.
    pub may_wait: bool,
    /// Our reference, for people.
    pub reference: PayReference,
}

/// A request that has no JSON form, or that Amazon could not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PayUnwritable;

/// An amount as text, whole where the currency is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceOut {
    amount: String,
    currency_code: &'static str,
}

impl PriceOut {
    /// Nothing, and less, cannot be charged, taken or given back.
    pub(super) fn of(money: Money) -> Result<Self, PayUnwritable> {
        if money.minor() <= 0 {
            return Err(PayUnwritable);
        }
        Ok(Self { amount: money.to_string(), currency_code: money.currency().code() })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetadataOut<'a> {
    merchant_reference_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateChargeOut<'a> {
    charge_permission_id: &'a str,
    charge_amount: PriceOut,
    capture_now: bool,
    can_handle_pending_authorization: bool,
    merchant_metadata: MetadataOut<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CaptureOut {
    capture_amount: PriceOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompleteSessionOut {
    charge_amount: PriceOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelChargeOut<'a> {
    cancellation_reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateRefundOut<'a> {
    charge_id: &'a str,
    refund_amount: PriceOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClosePermissionOut<'a> {
    closure_reason: &'a str,
    cancel_pending_charges: bool,
}

/// The body of Create Charge. The order of the fields is the order of the bytes, and a repetition must send the same bytes: do
/// not reorder. `softDescriptor` is never sent: Japan has none.
pub(super) fn create_charge(asked: &ChargeAsked) -> Result<Vec<u8>, PayUnwritable> {
    written(&CreateChargeOut {
        charge_permission_id: asked.permission.as_str(),
        charge_amount: PriceOut::of(asked.amount)?,
        capture_now: asked.capture_now,
        can_handle_pending_authorization: asked.may_wait,
        merchant_metadata: MetadataOut { merchant_reference_id: asked.reference.as_str() },
    })
}

/// The body of Capture Charge.
pub(super) fn capture(amount: Money) -> Result<Vec<u8>, PayUnwritable> {
    written(&CaptureOut { capture_amount: PriceOut::of(amount)? })
}

/// The body of Complete Checkout Session. The amount must be the session's.
pub(super) fn complete_session(amount: Money) -> Result<Vec<u8>, PayUnwritable> {
    written(&CompleteSessionOut { charge_amount: PriceOut::of(amount)? })
}

/// The body of Cancel Charge.
pub(super) fn cancel_charge(reason: &str) -> Result<Vec<u8>, PayUnwritable> {
    written(&CancelChargeOut { cancellation_reason: end_reason(reason)? })
}

/// The body of Create Refund.
pub(super) fn create_refund(charge: &AmazonChargeId, amount: Money) -> Result<Vec<u8>, PayUnwritable> {
    written(&CreateRefundOut { charge_id: charge.as_str(), refund_amount: PriceOut::of(amount)? })
}

/// The body of Close Charge Permission.
pub(super) fn close_permission(reason: &str, cancel_pending_charges: bool) -> Result<Vec<u8>, PayUnwritable> {
    written(&ClosePermissionOut { closure_reason: end_reason(reason)?, cancel_pending_charges })
}

fn end_reason(reason: &str) -> Result<&str, PayUnwritable> {
    let sized = (1..=END_REASON_CHARACTERS_MAX).contains(&reason.chars().count());
    if sized { Ok(reason) } else { Err(PayUnwritable) }
}

pub(super) fn written(request: &impl Serialize) -> Result<Vec<u8>, PayUnwritable> {
    serde_json::to_vec(request).map_err(|_error| PayUnwritable)
}

/// A field as it stands in the answer; absent and `null` are the same.
type Raw<'a> = Option<&'a RawValue>;

/// The fields of every answer that we look at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayBody<'a> {
    #[serde(borrow)]
    charge_id: Raw<'a>,
    #[serde(borrow)]
    charge_permission_id: Raw<'a>,
    #[serde(borrow)]
    refund_id: Raw<'a>,
    #[serde(borrow)]
    checkout_session_id: Raw<'a>,
    #[serde(borrow)]
    payment_details: Raw<'a>,
    #[serde(borrow)]
    charge_amount: Raw<'a>,
    #[serde(borrow)]
    capture_amount: Raw<'a>,
    #[serde(borrow)]
    refunded_amount: Raw<'a>,
    #[serde(borrow)]
    refund_amount: Raw<'a>,
    #[serde(borrow)]
    status_details: Raw<'a>,
    #[serde(borrow)]
    limits: Raw<'a>,
    #[serde(borrow)]
    charge_permission_type: Raw<'a>,
    #[serde(borrow)]
    merchant_metadata: Raw<'a>,
    #[serde(borrow)]
    expiration_timestamp: Raw<'a>,
    #[serde(borrow)]
    release_environment: Raw<'a>,
    #[serde(borrow)]
    reason_code: Raw<'a>,
    #[serde(borrow)]
    message: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusIn<'a> {
    #[serde(borrow)]
    state: Raw<'a>,
    #[serde(borrow)]
    reason_code: Raw<'a>,
    #[serde(borrow)]
    reasons: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasonIn<'a> {
    #[serde(borrow)]
    reason_code: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsIn<'a> {
    #[serde(borrow)]
    amount_limit: Raw<'a>,
    #[serde(borrow)]
    amount_balance: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentDetailsIn<'a> {
    #[serde(borrow)]
    charge_amount: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceIn<'a> {
    #[serde(borrow)]
    amount: Raw<'a>,
    #[serde(borrow)]
    currency_code: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataIn<'a> {
    #[serde(borrow)]
    merchant_reference_id: Raw<'a>,
}

/// An object's state and the reasons for it, in Amazon's words.
pub(super) struct StatusRead {
    pub(super) state: String,
    pub(super) reasons: Vec<PayReason>,
}

impl<'a> PayBody<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn charge_id(&self) -> Option<String> {
        text(self.charge_id)
    }

    pub(super) fn permission_id(&self) -> Option<String> {
        text(self.charge_permission_id)
    }

    pub(super) fn refund_id(&self) -> Option<String> {
        text(self.refund_id)
    }

    pub(super) fn session_id(&self) -> Option<String> {
        text(self.checkout_session_id)
    }

    /// What a session is about.
    pub(super) fn agreed_amount(&self) -> Option<Money> {
        let details: PaymentDetailsIn<'_> = object(self.payment_details)?;
        price(details.charge_amount)
    }

    pub(super) fn charge_amount(&self) -> Option<Money> {
        price(self.charge_amount)
    }

    pub(super) fn capture_amount(&self) -> Option<Money> {
        price(self.capture_amount)
    }

    pub(super) fn refunded_amount(&self) -> Option<Money> {
        price(self.refunded_amount)
    }

    pub(super) fn refund_amount(&self) -> Option<Money> {
        price(self.refund_amount)
    }

    /// A charge and a refund have one reason, a permission has a list of them.
    pub(super) fn status(&self) -> Option<StatusRead> {
        let status: StatusIn<'_> = object(self.status_details)?;
        let listed: Vec<ReasonIn<'_>> = object(status.reasons).unwrap_or_default();
        let words = listed.iter().map(|reason| reason.reason_code).chain([status.reason_code]);
        let reasons = words.filter_map(text).map(|word| PayReason::from_amazon(&word)).collect();
        Some(StatusRead { state: text(status.state)?, reasons })
    }

    /// The limit of a permission, and what is left of it.
    pub(super) fn limits(&self) -> (Option<Money>, Option<Money>) {
        let limits: Option<LimitsIn<'_>> = object(self.limits);
        limits.map_or((None, None), |limits| (price(limits.amount_limit), price(limits.amount_balance)))
    }

    pub(super) fn recurs(&self) -> Option<bool> {
        match text(self.charge_permission_type)?.as_str() {
            "Recurring" => Some(true),
            "OneTime" => Some(false),
            _ => None,
        }
    }

    pub(super) fn reference(&self) -> Option<PayReference> {
        let metadata: MetadataIn<'_> = object(self.merchant_metadata)?;
        PayReference::parse(&text(metadata.merchant_reference_id)?)
    }

    pub(super) fn expires_at(&self) -> Option<DateTime<Utc>> {
        instant(&text(self.expiration_timestamp)?)
    }

    pub(super) fn environment(&self) -> Option<Environment> {
        match text(self.release_environment)?.as_str() {
            "Sandbox" => Some(Environment::Sandbox),
            "Live" => Some(Environment::Production),
            _ => None,
        }
    }

    /// The word of a refusal.
    pub(super) fn reason(&self) -> Option<PayReason> {
        text(self.reason_code).map(|word| PayReason::from_amazon(&word))
    }

    /// Whether the answer is an object of the API, and no refusal.
    pub(super) fn is_refusal(&self) -> bool {
        self.reason_code.is_some()
    }

    /// What a refusal says to people. It is compared with, and never shown.
    pub(super) fn message(&self) -> Option<String> {
        text(self.message)
    }
}

fn object<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn text(raw: Raw<'_>) -> Option<String> {
    object(raw)
}

/// Amazon writes amounts as text; a number is read as well.
fn price(raw: Raw<'_>) -> Option<Money> {
    let price: PriceIn<'_> = object(raw)?;
    let currency: Currency = text(price.currency_code)?.parse().ok()?;
    let amount = text(price.amount).or_else(|| price.amount.map(|number| number.get().to_owned()))?;
    Money::from_amazon_number(&amount, currency).ok()
}

/// `20260102T030405Z`.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok().map(|naive| naive.and_utc())
}

#[cfg(test)]
mod tests;
