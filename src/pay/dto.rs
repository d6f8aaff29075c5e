//! Payments on the wire: what callers send, and what they see.

use std::time::Duration;

use actix_web::{HttpResponse, http::header};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    kind::PaymentKind,
    make::Made,
    model::{Make, Payment, PaymentCommand},
    problems,
};
use crate::{
    engine::{Stage, State},
    events::timeline::EntryRow,
    http::{
        Code, Problem,
        problem::{MoneyMoved, Upstream, timestamp},
        value::{ValueBody, ValueView, printable},
    },
    identity::Principal,
    kernel::{AmazonPayId, IdempotencyKey, Money, PaymentId, claim_code::may_hold_claim_code},
    provider::pay::DeclineKind,
};

/// Characters of the longest `external_id`.
const EXTERNAL_ID_LEN_MAX: usize = 128;

/// The body of `POST /v1/pay/charges`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = ChargeRequest,
    example = json!({
        "consent_id": "C03-1234567-1234567", "value": {"amount": "980", "currency_code": "JPY"}, "external_id": "fee-2026-11"
    })
)]
pub(super) struct ChargeBody {
    /// Amazon's id of what the buyer consented to: a charge permission, for one order or recurring.
    #[schema(example = "C03-1234567-1234567")]
    consent_id: String,
    /// Which account is paid; needed where several are paid in the currency.
    #[schema(example = "shop")]
    account_id: Option<String>,
    /// What the buyer pays.
    value: ValueBody,
    /// Whether Amazon may decide later, within a day. `false` (default) while the buyer waits; `true` for renewals: fewer are declined.
    #[schema(example = false)]
    may_wait: Option<bool>,
    /// Your own reference. Several charges may have the same.
    #[schema(min_length = 1, max_length = 128, example = "fee-2026-11")]
    external_id: Option<String>,
    /// What Amazon's sandbox is to play, as `HardDeclined`. Sandbox only.
    #[schema(example = "SoftDeclined")]
    simulation: Option<String>,
    /// Whether the money is taken at once (`true`, default). With `false` Amazon holds it until you capture or cancel the charge, 30 days at
    /// most; in Amazon's sandbox 2 days.
    #[schema(example = true)]
    capture: Option<bool>,
}

/// The body of `POST /v1/pay/refunds`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = RefundRequest,
    example = json!({
        "charge_id": "pmt_01990000000070008000000000000000", "value": {"amount": "980", "currency_code": "JPY"}
    })
)]
pub(super) struct RefundBody {
    /// Which charge of yours.
    #[schema(example = "pmt_01990000000070008000000000000000")]
    charge_id: String,
    /// What the buyer gets back.
    value: ValueBody,
    /// Your own reference.
    #[schema(min_length = 1, max_length = 128, example = "return-4711")]
    external_id: Option<String>,
    /// What Amazon's sandbox is to play. Sandbox only.
    simulation: Option<String>,
}

pub(super) fn invalid(pointer: &str, detail: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail)
}

pub(super) fn reference(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let text = printable(text, "/external_id", EXTERNAL_ID_LEN_MAX)?;
    if may_hold_claim_code(&text) {
        return Err(invalid("/external_id", "looks like a claim code, which must not be stored"));
    }
    Ok(Some(text))
}

/// A word of Amazon's sandbox, as the row can hold it.
pub(super) fn simulation(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let mut letters = text.bytes();
    let begins = letters.next().is_some_and(|byte| byte.is_ascii_uppercase())
        && letters.next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(Some(text))
    } else {
        Err(invalid("/simulation", "a word of Amazon's sandbox, as HardDeclined"))
    }
}

impl ChargeBody {
    /// The command of this caller, checked for shape.
    ///
    /// # Errors
    /// The problem that names the field.
    pub(super) fn into_command(self, key: IdempotencyKey, principal: &Principal) -> Result<PaymentCommand, Problem> {
        let consent = self.consent_id.parse::<AmazonPayId>().map_err(|_malformed| {
            invalid("/consent_id", "Amazon's id of a charge permission, as C03-1234567-1234567")
        })?;
        let (account, may_wait) = (self.account_id, self.may_wait.unwrap_or(false));
        Ok(PaymentCommand {
            key,
            make: match self.capture {
                Some(false) => Make::Hold { account, consent, may_wait },
                Some(true) | None => Make::Charge { account, consent, may_wait },
            },
            value: self.value.into_money("/value")?,
            asked_by: principal.key,
            external_id: reference(self.external_id)?,
            simulation: simulation(self.simulation)?,
        })
    }
}

impl RefundBody {
    /// The same of a refund.
    ///
    /// # Errors
    /// The problem that names the field.
    pub(super) fn into_command(self, key: IdempotencyKey, principal: &Principal) -> Result<PaymentCommand, Problem> {
        let charge = self.charge_id.parse::<PaymentId>();
        let charge = charge.map_err(|_malformed| {
            invalid("/charge_id", "the id of a charge, as its answer has it: pmt_ and 32 digits")
        })?;
        Ok(PaymentCommand {
            key,
            make: Make::Refund(charge),
            value: self.value.into_money("/value")?,
            asked_by: principal.key,
            external_id: reference(self.external_id)?,
            simulation: simulation(self.simulation)?,
        })
    }
}

/// Why the money did not come, and what must happen next.
#[derive(Serialize, ToSchema)]
#[schema(as = Decline)]
struct DeclineView<'a> {
    /// `soft`, `method`, `final`, `busy`, `timeout` or `cap`; more may come.
    #[schema(example = "method")]
    kind: &'static str,
    /// Amazon's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "HardDeclined")]
    reason: Option<&'a str>,
    /// What must happen before another charge can succeed.
    #[schema(
        example = "The buyer must choose another payment method at Amazon. Then send another charge, under another Idempotency-Key."
    )]
    next: &'static str,
}

/// A charge or a refund on the wire.
#[derive(Serialize, ToSchema)]
#[schema(
    as = Payment,
    example = json!({
        "id": "pmt_01990000000070008000000000000000", "kind": "charge", "status": "paid",
        "value": {"amount": "980", "currency_code": "JPY"}, "account_id": "shop", "consent_id": "C03-1234567-1234567",
        "amazon_id": "C03-1234567-1234567-C123456", "may_wait": false, "external_id": "fee-2026-11",
        "created_at": "2026-11-28T09:30:00.000Z", "updated_at": "2026-11-28T09:30:06.120Z", "settled_at": "2026-11-28T09:30:06.120Z"
    })
)]
pub(super) struct PaymentView<'a> {
    /// Its id.
    #[schema(example = "pmt_01990000000070008000000000000000")]
    id: String,
    /// `charge` or `refund`.
    #[schema(example = "charge")]
    kind: &'static str,
    /// `planned`, `sent`, `unknown`, `pending`, `authorized`, `capturing`, `paid`, `voiding`, `voided`, `refunded`, `declined`, `failed` or
    /// `needs_attention`; more may come.
    #[schema(example = "paid")]
    status: &'static str,
    /// How much.
    value: ValueView,
    /// The account that is paid, or pays back.
    #[schema(example = "shop")]
    account_id: &'a str,
    /// Of a charge: Amazon's id of what the buyer consented to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "C03-1234567-1234567")]
    consent_id: Option<&'a str>,
    /// Of a refund: the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "pmt_01990000000070008000000000000000")]
    charge_id: Option<String>,
    /// Amazon's id of it, once Amazon has named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "C03-1234567-1234567-C123456")]
    amazon_id: Option<&'a str>,
    /// Whether Amazon may decide later.
    #[schema(example = false)]
    may_wait: bool,
    /// The caller's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "fee-2026-11")]
    external_id: Option<&'a str>,
    /// Why the money did not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decline: Option<DeclineView<'a>>,
    /// The last refusal or doubt: Amazon's word, or one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "timeout")]
    last_error: Option<&'a str>,
    /// When it was recorded.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-11-28T09:30:06.120Z")]
    updated_at: String,
    /// When the money had come, or gone back; of a charge whose money was held, when it was authorized.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:06.120Z")]
    settled_at: Option<String>,
    /// Of a charge whose money was held: what was taken of it, or is being taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    captured: Option<ValueView>,
    /// Of a charge whose money is held: when Amazon gives it back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-12-28T09:30:00.000Z")]
    expires_at: Option<String>,
    /// Of a charge: since when Amazon reports that the buyer's bank takes it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-12-28T09:30:00.000Z")]
    charged_back_at: Option<String>,
}

impl<'a> PaymentView<'a> {
    pub(super) fn new(payment: &'a Payment) -> Self {
        let refund = payment.kind == PaymentKind::Refund;
        let holding = payment.holding.unwrap_or_default();
        let yet_held = holding.capture.is_none() && payment.state() == State::Issued;
        let captured = holding.captured_minor.map(|minor| Money::from_minor(minor, payment.value.currency()));
        Self {
            id: payment.id.to_string(),
            kind: payment.kind.as_str(),
            status: payment.status(),
            value: payment.value.into(),
            account_id: &payment.account,
            consent_id: (!refund).then(|| payment.against.as_str()),
            charge_id: payment.parent.map(|id| id.to_string()),
            amazon_id: payment.remote_id.as_ref().map(AmazonPayId::as_str),
            may_wait: payment.may_wait,
            external_id: payment.external_id.as_deref(),
            decline: payment.decline.map(|kind| DeclineView {
                kind: kind.as_str(),
                reason: payment.last_error.as_deref(),
                next: next_of(payment.kind, kind),
            }),
            last_error: payment.last_error.as_deref(),
            created_at: timestamp(payment.order.created_at),
            updated_at: timestamp(payment.order.updated_at),
            settled_at: payment.order.stage.proven_at().map(timestamp),
            captured: captured.map(ValueView::from),
            expires_at: holding.expires_at.filter(|_at| yet_held).map(timestamp),
            charged_back_at: payment.charged_back_at.map(timestamp),
        }
    }
}

/// An entry of a payment's timeline.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentEvent)]
pub(super) struct PaymentEventView {
    /// Its place in the timeline, from 1.
    #[schema(example = 2)]
    seq: i64,
    /// When.
    #[schema(format = DateTime, example = "2026-11-28T09:30:06.120Z")]
    at: String,
    /// What happened; more kinds may come.
    #[schema(example = "charge.paid")]
    kind: String,
    /// More.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    detail: Option<Box<RawValue>>,
}

impl From<EntryRow> for PaymentEventView {
    fn from(row: EntryRow) -> Self {
        let detail = row.detail.and_then(|json| RawValue::from_string(json).ok());
        Self { seq: row.seq, at: timestamp(row.at), kind: row.kind, detail }
    }
}

/// What must happen before the money can come, or go back.
const fn next_of(kind: PaymentKind, decline: DeclineKind) -> &'static str {
    match (kind, decline) {
        (PaymentKind::Refund, DeclineKind::Final | DeclineKind::Method) => {
            "Amazon gives nothing back by this way. Pay the buyer back in another way."
        }
        (PaymentKind::Refund, _) => {
            "Look at Amazon whether the buyer has the money by a claim or a chargeback. If not, send another refund, under another Idempotency-Key."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Soft) => {
            "The payment method was refused for now. Send another charge later, under another Idempotency-Key."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Method) => {
            "The buyer must choose another payment method at Amazon. Then send another charge, under another Idempotency-Key."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Final) => {
            "Amazon refuses, and has ended the consent. The buyer must pay in another way, or consent anew."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Busy) => {
            "Amazon could not process it. Send another charge in some minutes, under another Idempotency-Key."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Timeout) => {
            "Amazon did not decide in time. Send another charge on another day, under another Idempotency-Key; with may_wait it has a day."
        }
        (PaymentKind::Charge | PaymentKind::Capture, DeclineKind::Cap) => {
            "The consent allows no more now. Send a charge that it still allows, or another one when the month is over, under another Idempotency-Key."
        }
    }
}

/// The answer to a command. 201 says "made now"; what is made already is 200, and what is not decided is 202.
///
/// # Errors
/// A payment that was declined, or failed, answers as a problem.
pub(super) fn made(answer: &Made, now: DateTime<Utc>) -> Result<HttpResponse, Problem> {
    let Made { payment, replayed } = answer;
    if matches!(payment.order.stage, Stage::Refused { .. } | Stage::Reversed(_)) {
        return Err(refused(payment));
    }
    let done = payment.state() == State::Issued;
    let mut response = match (done, replayed) {
        (true, false) => HttpResponse::Created(),
        (true, true) => HttpResponse::Ok(),
        (false, _) => HttpResponse::Accepted(),
    };
    if !done {
        response.insert_header((header::RETRY_AFTER, wait(payment, now).as_secs().to_string()));
    }
    if *replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    let of = if payment.kind == PaymentKind::Refund { "refunds" } else { "charges" };
    response.insert_header((header::LOCATION, format!("/v1/pay/{of}/{}", payment.id)));
    Ok(response.json(PaymentView::new(payment)))
}

/// The answer to a wish about held money: 200 where its outcome is proven, else 202.
///
/// # Errors
/// A charge that was declined answers as a problem.
pub(super) fn changed(answer: &Made, now: DateTime<Utc>, wanted: &str) -> Result<HttpResponse, Problem> {
    let Made { payment, replayed } = answer;
    let status = payment.status();
    let declined = payment.decline.is_some();
    if declined || status == "failed" {
        return Err(refused(payment));
    }
    let mut response = if status == wanted { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if status != wanted {
        response.insert_header((header::RETRY_AFTER, wait(payment, now).as_secs().to_string()));
    }
    if *replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    Ok(response.json(PaymentView::new(payment)))
}

/// Longer than this no caller need wait before it asks again: asking brings the next look about.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long until something can have changed.
fn wait(payment: &Payment, now: DateTime<Utc>) -> Duration {
    // A person decides.
    let Some(due) = payment.order.due_at else { return LONGEST_WAIT };
    due.signed_duration_since(now).to_std().unwrap_or_default().clamp(Duration::from_secs(1), LONGEST_WAIT)
}

/// Why no money came, or went back.
fn refused(payment: &Payment) -> Problem {
    let captured = payment.capture().is_some();
    let operation = if captured { "CaptureCharge" } else { payment.spec().operation(crate::engine::Action::Forward) };
    let error_code = payment.last_error.clone().unwrap_or_else(|| "unknown".to_owned());
    let (code, said) = match payment.decline {
        Some(kind) => (problems::PAYMENT_DECLINED, Some((kind, next_of(payment.kind, kind)))),
        None if payment.is_refused_for_the_account() => (Code::ACCOUNT_PROBLEM, None),
        None => (Code::UPSTREAM_REJECTED, None),
    };
    // The key is used up, whatever the code says of other requests.
    let problem = Problem::new(code).in_vain(true).payment(payment.id).money(MoneyMoved::No);
    let problem = problem.upstream(Upstream { operation, error_code, error_type: None });
    match said {
        Some((kind, next)) => {
            let pointer = if payment.kind == PaymentKind::Charge { "/consent_id" } else { "/charge_id" };
            problem.detail(next).field(pointer, kind.as_str(), next)
        }
        None => problem.detail("nothing was made; another request needs another Idempotency-Key"),
    }
}
