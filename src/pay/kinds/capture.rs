//! A capture: the money of an authorized charge is taken, all or a part of it, once.

use crate::{
    engine::{Action, Sight},
    pay::{
        answer::{PaymentAnswer, PaymentSight},
        kind::{PayErrand, PaymentCall, PaymentSpec},
        model::Payment,
    },
    provider::pay::{AmazonChargeId, ChargeSeen, ChargeState, PayKey, PayOperation, PayOutcome},
};

/// The kind.
pub(in crate::pay) struct Capture;

impl PaymentSpec for Capture {
    fn operation(&self, action: Action) -> &'static str {
        operation(action).as_str()
    }

    fn done(&self) -> &'static str {
        "captured"
    }

    fn call<'a>(&self, errand: PayErrand<'a>) -> PaymentCall<'a> {
        let PayErrand { client, payment, action, asked_at } = errand;
        Box::pin(async move {
            let name = operation(action).as_str();
            let read = |seen: ChargeSeen| read(&seen, payment);
            let Some((key, id)) = asked(payment) else { return PaymentAnswer::unsent(name, asked_at) };
            let look = operation(Action::Read).as_str();
            if action == Action::Read {
                return PaymentAnswer::of(client.get_charge(&id).await, look, asked_at, read);
            }
            let exchange = client.capture_charge(&key, &id, payment.value).await;
            // The charge is in another state by now, taken perhaps: which one, only a read shows. A charge has one capture.
            if matches!(exchange.outcome, PayOutcome::Conflict(_)) {
                return PaymentAnswer::of(client.get_charge(&id).await, look, asked_at, read);
            }
            PaymentAnswer::of(exchange, name, asked_at, read)
        })
    }
}

/// What is taken stays taken, and goes back by a refund: an order of this kind is never reversed.
const fn operation(action: Action) -> PayOperation {
    match action {
        Action::Forward | Action::Reverse => PayOperation::CaptureCharge,
        Action::Read => PayOperation::GetCharge,
    }
}

fn asked(payment: &Payment) -> Option<(PayKey, AmazonChargeId)> {
    Some((PayKey::parse(payment.pay_key.as_str())?, AmazonChargeId::parse(payment.against.as_str())?))
}

/// What a charge of Amazon's shows of the capture that was asked for.
fn read(seen: &ChargeSeen, asked: &Payment) -> PaymentSight {
    let other = seen.id.as_str() != asked.against.as_str();
    let (sight, decline, reason) = match seen.state {
        _ if other => (Sight::Mismatch, None, None),
        ChargeState::Paid if seen.captured.is_some_and(|captured| captured != asked.value) => {
            (Sight::Mismatch, None, None)
        }
        ChargeState::Paid => (Sight::Live, None, None),
        // The capture has not arrived, or the read lags behind it: the same bytes are sent again.
        ChargeState::Authorized => (Sight::Absent, None, None),
        ChargeState::Pending | ChargeState::Capturing | ChargeState::Odd => (Sight::Undecided, None, None),
        ChargeState::Declined(decline) => (Sight::Declined, Some(decline.kind), Some(decline.reason.as_str())),
        ChargeState::Voided(reason) => (Sight::Declined, None, Some(reason.as_str())),
    };
    PaymentSight { id: seen.id.to_string(), sight, decline, reason, expires_at: seen.expires_at }
}
