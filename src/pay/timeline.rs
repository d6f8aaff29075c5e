//! The timeline's entries of payments: what happened, in words and numbers of ours. Nothing of an answer's body can be put in.

use serde::Serialize;

use super::{answer::PaymentAnswer, kind::PaymentKind, model::Payment};
use crate::{
    engine::{
        Event, State,
        drive::{Change, Milestone},
    },
    kernel::ApiKeyId,
};

/// What the caller of a drive brings: who wishes that held money be given back, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct VoidWish {
    pub(super) reason: Option<String>,
    pub(super) key: Option<ApiKeyId>,
}

/// One entry, to be written in the transaction that makes it true.
#[derive(Debug, Clone)]
pub(super) struct PaymentEntry {
    pub(super) kind: &'static str,
    detail: PaymentDetail,
}

/// What an entry says besides its kind.
#[derive(Debug, Clone, Default, Serialize)]
struct PaymentDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amazon_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<String>,
    /// A caller's or an operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl PaymentEntry {
    /// A caller asked for it.
    pub(super) fn received(kind: PaymentKind, key: ApiKeyId) -> Self {
        let kind = match kind {
            PaymentKind::Charge => "charge.received",
            PaymentKind::Refund => "refund.received",
            PaymentKind::Capture => "charge.capture_received",
        };
        let detail = PaymentDetail { attempt: Some(1), api_key_id: Some(key.to_string()), ..PaymentDetail::default() };
        Self { kind, detail }
    }

    /// Another attempt is about to be sent.
    pub(super) fn attempt(attempt: i64) -> Self {
        Self { kind: "attempt.sent", detail: PaymentDetail { attempt: Some(attempt), ..PaymentDetail::default() } }
    }

    /// Automation has ended, and the payment is this.
    pub(super) fn given_up(after: &Payment) -> Self {
        Self { kind: outcome_of(after).unwrap_or("attempt.ended"), detail: PaymentDetail::default() }
    }

    /// An operator found out that this became of it. Whoever listens hears of it as if Amazon had shown it.
    pub(super) fn settled(after: &Payment, reason: String) -> Self {
        let detail = PaymentDetail { reason: Some(reason), ..PaymentDetail::default() };
        Self { kind: outcome_of(after).unwrap_or("operator.settled"), detail }
    }

    /// The entry of a change that the engine made, with what is known of the answer, and with the wish that it came from.
    pub(super) fn of_change(after: &Payment, change: &Change, answer: Option<&PaymentAnswer>, wish: &VoidWish) -> Self {
        let led = |event| {
            let new = after.state() != change.from;
            outcome_of(after).filter(|_word| new).unwrap_or_else(|| of_attempt(event))
        };
        let detail = answer.map(PaymentDetail::of).unwrap_or_default();
        match change.milestone {
            Milestone::Settled { event, attempt } => {
                Self { kind: led(event), detail: PaymentDetail { attempt: Some(attempt), ..detail } }
            }
            Milestone::Shown { .. } => Self { kind: led(Event::Lost), detail },
            Milestone::ReversalWanted => Self {
                kind: "charge.void_received",
                detail: PaymentDetail {
                    reason: wish.reason.clone(),
                    api_key_id: wish.key.map(|key| key.to_string()),
                    ..PaymentDetail::default()
                },
            },
            Milestone::Sent => Self::attempt(change.order.attempts),
        }
    }

    pub(super) fn detail_json(&self) -> Option<String> {
        serde_json::to_string(&self.detail).ok().filter(|text| text != "{}")
    }
}

impl PaymentDetail {
    fn of(answer: &PaymentAnswer) -> Self {
        let call = &answer.call;
        Self {
            operation: Some(call.operation),
            outcome: Some(call.class),
            error: answer.error,
            decline: answer.decline.map(crate::provider::pay::DeclineKind::as_str),
            http_status: call.http_status,
            duration_ms: u64::try_from(call.took.as_millis()).ok(),
            amazon_request_id: call.request_id.as_ref().map(ToString::to_string),
            ..Self::default()
        }
    }
}

/// What an entry is called that led to a state of its own.
fn outcome_of(after: &Payment) -> Option<&'static str> {
    let (is_held, declined) = (after.holding.is_some(), after.decline.is_some());
    Some(match (after.kind, after.state()) {
        (_, State::Pending | State::Issuing | State::Unresolved | State::Canceling) => return None,
        (PaymentKind::Charge, State::Issued) if is_held => "charge.authorized",
        (PaymentKind::Charge, State::Canceled) if is_held => "charge.voided",
        (PaymentKind::Charge | PaymentKind::Capture, State::Issued) => "charge.paid",
        (PaymentKind::Charge | PaymentKind::Capture, State::Failed | State::Canceled) if declined => "charge.declined",
        (PaymentKind::Charge, State::Failed | State::Canceled) => "charge.failed",
        (PaymentKind::Capture, State::Failed | State::Canceled) => "charge.capture_failed",
        (PaymentKind::Charge | PaymentKind::Capture, State::NeedsAttention) => "charge.needs_attention",
        (PaymentKind::Refund, State::Issued) => "refund.refunded",
        (PaymentKind::Refund, State::Failed | State::Canceled) if declined => "refund.declined",
        (PaymentKind::Refund, State::Failed | State::Canceled) => "refund.failed",
        (PaymentKind::Refund, State::NeedsAttention) => "refund.needs_attention",
    })
}

/// What an entry about an attempt is called that led nowhere new.
const fn of_attempt(event: Event) -> &'static str {
    match event {
        Event::Seen(_) => "attempt.read",
        Event::Refused(_) => "attempt.refused",
        Event::Lost => "attempt.unknown",
        Event::NotSent => "attempt.not_sent",
        Event::Begin
        | Event::Abandoned
        | Event::ReversalAsked
        | Event::ReversalDone
        | Event::ReversalRefused(_)
        | Event::ReversalLost
        | Event::ReversalNotSent
        | Event::GiveUp => "attempt.ended",
    }
}
