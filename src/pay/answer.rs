//! What came of one call, before it is written: for the engine an event, for the row Amazon's id and a decline, and for the timeline an
//! entry's detail.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    engine::{Event, RefusalClass, Sight, drive::DatedEvent},
    kernel::AmazonPayId,
    provider::pay::{AmazonPayRequestId, DeclineKind, PayDoubt, PayExchange, PayOutcome},
};

/// One attempt's result.
pub(crate) struct PaymentAnswer {
    /// What it is to the engine, and when the request left.
    pub(super) event: DatedEvent,
    /// Amazon's id of the payment, where the answer shows one.
    pub(super) remote_id: Option<AmazonPayId>,
    /// Why the money did not come.
    pub(super) decline: Option<DeclineKind>,
    /// The refusal or the doubt: a word of a closed set. `None` where the answer shows what was asked for.
    pub(super) error: Option<&'static str>,
    pub(super) call: PayCallFacts,
    /// When Amazon gives back by itself what it holds, where the answer says it.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// What is known of a call.
pub(super) struct PayCallFacts {
    pub(super) operation: &'static str,
    pub(super) class: &'static str,
    /// Set by the one who waited for the call.
    pub(super) took: Duration,
    pub(super) http_status: Option<u16>,
    pub(super) request_id: Option<AmazonPayRequestId>,
}

/// What an answer about a payment shows of it.
pub(super) struct PaymentSight {
    /// Amazon's id of it.
    pub(super) id: String,
    pub(super) sight: Sight,
    pub(super) decline: Option<DeclineKind>,
    /// Amazon's word for a decline, or for how a charge ended without money.
    pub(super) reason: Option<&'static str>,
    /// When Amazon gives back by itself what it holds.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl PaymentAnswer {
    /// Reads a call's exchange.
    pub(super) fn of<T>(
        exchange: PayExchange<T>,
        operation: &'static str,
        asked_at: DateTime<Utc>,
        read: impl FnOnce(T) -> PaymentSight,
    ) -> Self {
        let PayExchange { outcome, request_id, http_status, .. } = exchange;
        let (class, reason) = (outcome.class(), outcome.reason());
        let call = PayCallFacts { operation, class, took: Duration::ZERO, http_status, request_id };
        let dated = |event| DatedEvent { event, asked_at };
        let bare = |event, decline| {
            let error = Some(reason).filter(|reason| *reason != "none");
            Self { event: dated(event), remote_id: None, decline, error, call, expires_at: None }
        };
        match outcome {
            PayOutcome::Seen(seen) => {
                let PaymentSight { id, sight, decline, reason, expires_at } = read(seen);
                match id.parse::<AmazonPayId>() {
                    Ok(id) => {
                        let bare = bare(Event::Lost, decline).because(reason);
                        Self { event: dated(Event::Seen(sight)), remote_id: Some(id), expires_at, ..bare }
                    }
                    // The row keeps no id of another form, and what has none cannot be read again or given back.
                    Err(_malformed) => bare(Event::Seen(Sight::Mismatch), None).because(Some("odd_id")),
                }
            }
            PayOutcome::Declined(decline) => bare(Event::Refused(RefusalClass::Final), Some(decline.kind)),
            // The same request is refused the same way, and Amazon has made nothing under the key.
            PayOutcome::Conflict(_) | PayOutcome::Rejected(_) => bare(Event::Refused(RefusalClass::Final), None),
            // Of what may exist this proves nothing, however often it is answered: a key is mended, and a read may lag behind.
            PayOutcome::Missing | PayOutcome::TurnedAway(_) => bare(Event::Refused(RefusalClass::Curable), None),
            // Something was made under our key that is not this.
            PayOutcome::KeyConflict | PayOutcome::Unknown(PayDoubt::Mismatch) => {
                bare(Event::Seen(Sight::Mismatch), None)
            }
            // Amazon says itself that it has not looked at it.
            PayOutcome::NotSent(_) | PayOutcome::Unknown(PayDoubt::Throttled) => bare(Event::NotSent, None),
            PayOutcome::Unknown(_) => bare(Event::Lost, None),
        }
    }

    fn because(self, error: Option<&'static str>) -> Self {
        Self { error, ..self }
    }

    /// Nothing was sent: what would have been asked for cannot be built. Nothing is known of Amazon by that.
    pub(super) fn unsent(operation: &'static str, asked_at: DateTime<Utc>) -> Self {
        Self {
            event: DatedEvent { event: Event::NotSent, asked_at },
            remote_id: None,
            decline: None,
            error: Some("build"),
            call: PayCallFacts {
                operation,
                class: "not_sent",
                took: Duration::ZERO,
                http_status: None,
                request_id: None,
            },
            expires_at: None,
        }
    }

    /// The same as the answer to a wish that what is held be given back.
    pub(super) fn of_reversal(self) -> Self {
        let came = self.event.event;
        // Nothing is held any more, whoever gave it back.
        let event = if matches!(came, Event::Seen(Sight::Reversed | Sight::Declined)) {
            Event::ReversalDone
        } else if matches!(came, Event::Seen(Sight::Live | Sight::Undecided) | Event::Lost) {
            Event::ReversalLost
        } else if came == Event::NotSent {
            Event::ReversalNotSent
        } else {
            came
        };
        Self { event: DatedEvent { event, ..self.event }, ..self }
    }
}
