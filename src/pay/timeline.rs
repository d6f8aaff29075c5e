//! The timeline's entries of payments: what happened, in words and numbers of ours. Nothing of an answer's body can be put in.

use serde::Serialize;

use super::{answer::PaymentAnswer, kind::PaymentKind};
use crate::{
    engine::{
        Event, State,
        drive::{Change, Milestone},
    },
    kernel::ApiKeyId,
};

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
    /// An operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl PaymentEntry {
    /// A caller asked for it.
    pub(super) fn received(kind: PaymentKind, key: ApiKeyId) -> Self {
        let kind = match kind {
            PaymentKind::Charge => "charge.received",
            PaymentKind::Refund => "refund.received",
        };
        let detail = PaymentDetail { attempt: Some(1), api_key_id: Some(key.to_string()), ..PaymentDetail::default() };
        Self { kind, detail }
    }

    /// Another attempt is about to be sent.
    pub(super) fn attempt(attempt: i64) -> Self {
        Self { kind: "attempt.sent", detail: PaymentDetail { attempt: Some(attempt), ..PaymentDetail::default() } }
    }

    /// Automation has ended, in this state.
    pub(super) fn given_up(kind: PaymentKind, after: State) -> Self {
        Self { kind: outcome_of(kind, after).unwrap_or("attempt.ended"), detail: PaymentDetail::default() }
    }

    /// An operator found out what became of it.
    pub(super) fn settled(reason: String) -> Self {
        Self { kind: "operator.settled", detail: PaymentDetail { reason: Some(reason), ..PaymentDetail::default() } }
    }

    /// The entry of a change that the engine made, with what is known of the answer.
    pub(super) fn of_change(kind: PaymentKind, change: &Change, answer: Option<&PaymentAnswer>) -> Self {
        let (after, before) = (change.order.state(), change.from);
        match change.milestone {
            Milestone::Settled { event, attempt } => {
                let word = outcome_of(kind, after).filter(|_word| after != before).unwrap_or_else(|| of_attempt(event));
                let detail = answer.map(PaymentDetail::of).unwrap_or_default();
                Self { kind: word, detail: PaymentDetail { attempt: Some(attempt), ..detail } }
            }
            Milestone::Sent | Milestone::ReversalWanted | Milestone::Shown { .. } => {
                Self::attempt(change.order.attempts)
            }
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
const fn outcome_of(kind: PaymentKind, after: State) -> Option<&'static str> {
    Some(match (kind, after) {
        (PaymentKind::Charge, State::Issued) => "charge.paid",
        (PaymentKind::Charge, State::Failed | State::Canceled) => "charge.failed",
        (PaymentKind::Charge, State::NeedsAttention) => "charge.needs_attention",
        (PaymentKind::Refund, State::Issued) => "refund.refunded",
        (PaymentKind::Refund, State::Failed | State::Canceled) => "refund.failed",
        (PaymentKind::Refund, State::NeedsAttention) => "refund.needs_attention",
        (_, State::Pending | State::Issuing | State::Unresolved | State::Canceling) => return None,
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
