//! A charge whose money Amazon holds: a capture takes it later, or it is given back.

use super::charge::{asked, is_other};
use crate::{
    engine::{Action, Event, ReversalFailure, Sight, drive::DatedEvent},
    pay::{
        answer::{PaymentAnswer, PaymentSight},
        kind::{PayErrand, PaymentCall, PaymentSpec},
        model::Payment,
    },
    provider::pay::{AmazonChargeId, ChargeSeen, ChargeState, PayDriver, PayOperation, PayOutcome},
};

/// What Amazon is told when money is given back. The caller's own reason stays in the timeline.
const REASON: &str = "given back by the merchant";

/// The kind.
pub(in crate::pay) struct HeldCharge;

impl PaymentSpec for HeldCharge {
    fn operation(&self, action: Action) -> &'static str {
        operation(action).as_str()
    }

    fn done(&self) -> &'static str {
        "authorized"
    }

    fn call<'a>(&self, errand: PayErrand<'a>) -> PaymentCall<'a> {
        let PayErrand { client, payment, action, asked_at } = errand;
        Box::pin(async move {
            let name = operation(action).as_str();
            let read = |seen: ChargeSeen| read(&seen, payment);
            let id = || payment.remote_id.as_ref().and_then(|id| AmazonChargeId::parse(id.as_str()));
            match action {
                Action::Forward => match asked(payment, false) {
                    Some((key, asked)) => {
                        PaymentAnswer::of(client.create_charge(&key, &asked).await, name, asked_at, read)
                    }
                    None => PaymentAnswer::unsent(name, asked_at),
                },
                Action::Read => match id() {
                    Some(id) => PaymentAnswer::of(client.get_charge(&id).await, name, asked_at, read),
                    None => PaymentAnswer::unsent(name, asked_at),
                },
                Action::Reverse => match id() {
                    Some(id) => give_back(client, &id, errand).await,
                    None => {
                        let unsent = PaymentAnswer::unsent(name, asked_at);
                        PaymentAnswer { event: DatedEvent { event: Event::ReversalNotSent, asked_at }, ..unsent }
                    }
                },
            }
        })
    }
}

const fn operation(action: Action) -> PayOperation {
    match action {
        Action::Forward => PayOperation::CreateCharge,
        Action::Read => PayOperation::GetCharge,
        Action::Reverse => PayOperation::CancelCharge,
    }
}

/// Gives back what a charge holds. Amazon refuses that of a charge that is in another state by now, given back already perhaps: which
/// one, only a read shows.
async fn give_back(client: &PayDriver, id: &AmazonChargeId, errand: PayErrand<'_>) -> PaymentAnswer {
    let PayErrand { payment, asked_at, .. } = errand;
    let name = operation(Action::Reverse).as_str();
    let read = |seen: ChargeSeen| read(&seen, payment);
    let exchange = client.cancel_charge(id, REASON).await;
    let (conflict, rejected) =
        (matches!(exchange.outcome, PayOutcome::Conflict(_)), matches!(exchange.outcome, PayOutcome::Rejected(_)));
    let answer = PaymentAnswer::of(exchange, name, asked_at, read);
    if conflict {
        let looked = PaymentAnswer::of(client.get_charge(id).await, operation(Action::Read).as_str(), asked_at, read);
        return looked.of_reversal();
    }
    if rejected {
        let event = Event::ReversalRefused(ReversalFailure::NotPermitted);
        return PaymentAnswer { event: DatedEvent { event, asked_at }, ..answer };
    }
    answer.of_reversal()
}

/// What a charge of Amazon's shows of the one that was asked for.
fn read(seen: &ChargeSeen, asked: &Payment) -> PaymentSight {
    let (sight, decline, reason) = match seen.state {
        _ if is_other(seen, asked) => (Sight::Mismatch, None, None),
        ChargeState::Authorized => (Sight::Live, None, None),
        ChargeState::Pending | ChargeState::Odd => (Sight::Undecided, None, None),
        ChargeState::Declined(decline) => (Sight::Declined, Some(decline.kind), Some(decline.reason.as_str())),
        ChargeState::Voided(reason) => (Sight::Reversed, None, Some(reason.as_str())),
        // No capture of ours is under way while this is asked: somebody took it in Seller Central.
        ChargeState::Capturing | ChargeState::Paid => (Sight::Odd, None, Some("captured_elsewhere")),
    };
    PaymentSight { id: seen.id.to_string(), sight, decline, reason, expires_at: seen.expires_at }
}
