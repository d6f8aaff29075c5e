//! What came of one call, before it is written: for the engine an event, for the timeline an entry's detail, and the code
//! while it is in hand.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{model::LastError, timeline::Detail};
use crate::{
    accounts::NoSlot,
    engine::{Action, Event, drive::DatedEvent},
    kernel::{CardId, ClaimCode, NotSent},
    provider::incentives::{AmznRequestId, Exchange, Outcome},
    sealing::Fingerprint,
};

/// One attempt's result.
pub struct Answer {
    /// What it is to the engine, and when the request left.
    pub(super) event: DatedEvent,
    /// The code. Dropped, and wiped, with this value.
    pub(super) code: Option<ClaimCode>,
    /// Which card it is, where Amazon says so and the kind has cards. Dropped, and wiped, once it was recognised.
    pub(super) card: Option<CardId>,
    /// Of that card, where the row has none yet.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What is known of the call.
    pub(super) outcome: Outcome<()>,
    pub(super) call: Option<CallFacts>,
}

/// What the transport knows of a call.
pub(super) struct CallFacts {
    pub(super) operation: &'static str,
    /// Set by the one who waited for the call.
    pub(super) took: Duration,
    pub(super) http_status: Option<u16>,
    pub(super) request_id: Option<AmznRequestId>,
    /// Amazon's clock, and ours when the call was signed.
    pub(super) clocks: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Answer {
    /// Reads a call's exchange with the kind's own eyes.
    pub(super) fn of<T>(
        exchange: Exchange<T>,
        operation: &'static str,
        asked_at: DateTime<Utc>,
        read: impl FnOnce(Outcome<T>) -> (Event, Option<ClaimCode>),
    ) -> Self {
        let outcome = without_proof(&exchange.outcome);
        let (event, code) = read(exchange.outcome);
        let clocks = exchange.server_date.map(|theirs| (theirs, exchange.signed_at));
        let call = CallFacts {
            operation,
            took: Duration::ZERO,
            http_status: exchange.http_status,
            request_id: exchange.request_id,
            clocks,
        };
        Self { event: DatedEvent { event, asked_at }, code, card: None, fingerprint: None, outcome, call: Some(call) }
    }

    /// Nothing was sent, for a reason of ours.
    pub(super) fn unsent(why: NotSent, action: Action, asked_at: DateTime<Utc>) -> Self {
        let outcome = Outcome::NotSent(why);
        let event = match action {
            Action::Forward | Action::Read => Event::NotSent,
            Action::Reverse => Event::ReversalNotSent,
        };
        let event = DatedEvent { event, asked_at };
        Self { event, code: None, card: None, fingerprint: None, outcome, call: None }
    }

    /// What an entry of the timeline says of it.
    pub(super) fn detail(&self) -> Detail {
        let call = self.call.as_ref();
        Detail {
            operation: call.map(|call| call.operation),
            outcome: Some(self.outcome.class()),
            error: Some(self.outcome.reason()).filter(|reason| *reason != "none"),
            error_type: match &self.outcome {
                Outcome::Refused(refusal) => Some(refusal.error_type.as_str()),
                Outcome::Proven(()) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
            },
            http_status: call.and_then(|call| call.http_status),
            duration_ms: call.and_then(|call| u64::try_from(call.took.as_millis()).ok()),
            amazon_request_id: call.and_then(|call| call.request_id.as_ref().map(ToString::to_string)),
            ..Detail::default()
        }
    }

    /// The refusal or the doubt, where it was not proven.
    pub(super) fn error(&self) -> Option<LastError> {
        let code = self.outcome.reason().to_owned();
        match &self.outcome {
            Outcome::Proven(()) => None,
            Outcome::Refused(refusal) => {
                Some(LastError { code, error_type: Some(refusal.error_type.as_str().to_owned()) })
            }
            Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                Some(LastError { code, error_type: None })
            }
        }
    }
}

/// The outcome without its proof, which may hold a code.
const fn without_proof<T>(outcome: &Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Proven(_) => Outcome::Proven(()),
        Outcome::Refused(refusal) => Outcome::Refused(*refusal),
        Outcome::AuthRejected(why) => Outcome::AuthRejected(*why),
        Outcome::NotSent(why) => Outcome::NotSent(*why),
        Outcome::Unknown(reason) => Outcome::Unknown(*reason),
    }
}

/// What became of an action that was given no slot, and the action as of then.
pub(super) fn without_slot(
    none: NoSlot,
    action: &impl Fn(DateTime<Utc>) -> Action,
    now: DateTime<Utc>,
) -> (Answer, Action) {
    let action = action(now);
    (Answer::unsent(none.into(), action, now), action)
}
