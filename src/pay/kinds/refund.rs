//! A refund: money of a charge that goes back to the buyer. Amazon decides about each one later.

use crate::{
    engine::{Action, Sight},
    pay::{
        answer::{PaymentAnswer, PaymentSight},
        kind::{PayErrand, PaymentCall, PaymentSpec},
        model::Payment,
    },
    provider::pay::{AmazonChargeId, AmazonRefundId, PayKey, PayOperation, PayReference, RefundSeen, RefundState},
};

/// The kind.
pub(in crate::pay) struct Refund;

impl PaymentSpec for Refund {
    fn operation(&self, action: Action) -> &'static str {
        operation(action).as_str()
    }

    fn done(&self) -> &'static str {
        "refunded"
    }

    fn call<'a>(&self, errand: PayErrand<'a>) -> PaymentCall<'a> {
        let PayErrand { client, payment, action, asked_at } = errand;
        Box::pin(async move {
            let name = operation(action).as_str();
            let read = |seen: RefundSeen| read(&seen, payment);
            if action == Action::Read {
                let id = payment.remote_id.as_ref().and_then(|id| AmazonRefundId::parse(id.as_str()));
                let Some((id, charge)) = id.zip(AmazonChargeId::parse(payment.against.as_str())) else {
                    return PaymentAnswer::unsent(name, asked_at);
                };
                return PaymentAnswer::of(client.get_refund(&id, &charge).await, name, asked_at, read);
            }
            match asked(payment) {
                Some((key, charge)) => {
                    let exchange = client.create_refund(&key, &charge, payment.value).await;
                    PaymentAnswer::of(exchange, name, asked_at, read)
                }
                None => PaymentAnswer::unsent(name, asked_at),
            }
        })
    }
}

/// A refund cannot be taken back: an order of this kind is never reversed.
const fn operation(action: Action) -> PayOperation {
    match action {
        Action::Forward | Action::Reverse => PayOperation::CreateRefund,
        Action::Read => PayOperation::GetRefund,
    }
}

fn asked(payment: &Payment) -> Option<(PayKey, AmazonChargeId)> {
    Some((PayKey::parse(payment.pay_key.as_str())?, AmazonChargeId::parse(payment.against.as_str())?))
}

/// What a refund of Amazon's shows of the one that was asked for.
fn read(seen: &RefundSeen, asked: &Payment) -> PaymentSight {
    // Where the answer names no charge, it names the key, which is this refund's alone.
    let other_source = match &seen.charge {
        Some(charge) => charge.as_str() != asked.against.as_str(),
        None => seen.reference.as_ref().map(PayReference::as_str) != Some(asked.pay_key.as_str()),
    };
    let other = seen.amount != asked.value || other_source;
    let (sight, decline, reason) = match seen.state {
        _ if other => (Sight::Mismatch, None, None),
        RefundState::Done => (Sight::Live, None, None),
        RefundState::Pending | RefundState::Odd => (Sight::Undecided, None, None),
        RefundState::Declined(decline) => (Sight::Declined, Some(decline.kind), Some(decline.reason.as_str())),
    };
    PaymentSight { id: seen.id.to_string(), sight, decline, reason, expires_at: None }
}
