//! From what Amazon answered to what happened: an `Outcome` becomes an [`Event`] and an entry of the timeline.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    machine::{Action, CancelFailure, Card, Event},
    model::LastError,
    timeline::{Detail, operation},
};
use crate::{
    kernel::{
        CardProof, ClaimCode, NotSent, Outcome,
        outcome::{ErrorType, Family},
    },
    provider::incentives::Exchange,
};

/// One attempt's result, before it is written.
pub(super) struct Sent {
    pub(super) event: Event,
    /// When the request left: what came after it at Amazon, its answer does not show.
    pub(super) asked_at: DateTime<Utc>,
    /// The code, while it is in hand. Dropped, and wiped, with this value.
    pub(super) code: Option<ClaimCode>,
    pub(super) detail: Detail,
    pub(super) error: Option<LastError>,
}

/// What a create's outcome, or its replay's, is to the machine, and the code while it is in hand.
pub fn event_of_create(outcome: Outcome<CardProof>) -> (Event, Option<ClaimCode>) {
    match outcome {
        Outcome::Proven(CardProof::Fulfilled(code)) => (Event::Seen(Card::Fulfilled), Some(code)),
        Outcome::Proven(CardProof::Refunded) => (Event::Seen(Card::Refunded), None),
        Outcome::Proven(CardProof::OddStatus) => (Event::Seen(Card::Odd), None),
        Outcome::Proven(CardProof::Mismatch) => (Event::Seen(Card::Mismatch), None),
        Outcome::Refused(refusal) => (Event::Refused(refusal), None),
        // Turned away before the operation was looked at: this attempt did nothing.
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => (Event::NotSent, None),
        Outcome::Unknown(_) => (Event::Lost, None),
    }
}

/// What a cancel's outcome is to the machine.
#[must_use]
pub fn event_of_cancel(outcome: &Outcome<()>) -> Event {
    match outcome {
        Outcome::Proven(()) => Event::CancelDone,
        Outcome::Refused(refusal) => match (refusal.family, refusal.error_type) {
            (_, ErrorType::CancelRequestArrivedAfterTimeLimit) => Event::CancelRefused(CancelFailure::TooLate),
            (Family::F200, _) | (Family::F300, ErrorType::OperationNotPermitted) => {
                Event::CancelRefused(CancelFailure::NotPermitted)
            }
            // The account's trouble, not the card's: nothing was done, and it can be cured.
            (Family::F300, _) => Event::CancelNotSent,
        },
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::CancelNotSent,
        Outcome::Unknown(_) => Event::CancelLost,
    }
}

/// Reads the answer to a create, or to a replay of it.
pub(super) fn of_create(
    action: Action,
    exchange: Exchange<CardProof>,
    asked_at: DateTime<Utc>,
    took: Duration,
) -> Sent {
    let (detail, error) = (detail_of(action, &exchange, took), error_of(&exchange.outcome));
    let (event, code) = event_of_create(exchange.outcome);
    Sent { event, asked_at, code, detail, error }
}

/// Reads the answer to a cancel.
pub(super) fn of_cancel(exchange: Exchange<()>, asked_at: DateTime<Utc>, took: Duration) -> Sent {
    let (detail, error) = (detail_of(Action::Cancel, &exchange, took), error_of(&exchange.outcome));
    Sent { event: event_of_cancel(&exchange.outcome), asked_at, code: None, detail, error }
}

/// There was no slot of Amazon's rate in time: nothing was sent.
pub(super) fn without_slot(canceling: bool, asked_at: DateTime<Utc>) -> Sent {
    let why = NotSent::Quota.as_str();
    Sent {
        event: if canceling { Event::CancelNotSent } else { Event::NotSent },
        asked_at,
        code: None,
        detail: Detail { outcome: Some("not_sent"), error: Some(why), ..Detail::default() },
        error: Some(LastError { code: why.to_owned(), error_type: None }),
    }
}

fn detail_of<T>(action: Action, exchange: &Exchange<T>, took: Duration) -> Detail {
    Detail {
        operation: Some(operation(action)),
        outcome: Some(exchange.outcome.class()),
        error: Some(exchange.outcome.reason()).filter(|reason| *reason != "none"),
        error_type: match &exchange.outcome {
            Outcome::Refused(refusal) => Some(refusal.error_type.as_str()),
            Outcome::Proven(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
        },
        http_status: exchange.http_status,
        duration_ms: u64::try_from(took.as_millis()).ok(),
        amazon_request_id: exchange.request_id.as_ref().map(ToString::to_string),
        ..Detail::default()
    }
}

fn error_of<T>(outcome: &Outcome<T>) -> Option<LastError> {
    let code = outcome.reason().to_owned();
    match outcome {
        Outcome::Proven(_) => None,
        Outcome::Refused(refusal) => Some(LastError { code, error_type: Some(refusal.error_type.as_str().to_owned()) }),
        Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
            Some(LastError { code, error_type: None })
        }
    }
}
