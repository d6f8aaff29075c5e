//! A charge: authorized and captured in one step, against what the buyer consented to.

use crate::{
    engine::{Action, Sight},
    pay::{
        answer::{PaymentAnswer, PaymentSight},
        kind::{PayErrand, PaymentCall, PaymentSpec},
        model::Payment,
    },
    provider::pay::{
        AmazonChargeId, AmazonPermissionId, ChargeAsked, ChargeSeen, ChargeState, PayKey, PayOperation, PayReference,
    },
};

/// The kind.
pub(in crate::pay) struct Charge;

impl PaymentSpec for Charge {
    fn operation(&self, action: Action) -> &'static str {
        operation(action).as_str()
    }

    fn done(&self) -> &'static str {
        "paid"
    }

    fn call<'a>(&self, errand: PayErrand<'a>) -> PaymentCall<'a> {
        let PayErrand { client, payment, action, asked_at } = errand;
        Box::pin(async move {
            let name = operation(action).as_str();
            let read = |seen: ChargeSeen| read(&seen, payment);
            if action == Action::Read {
                let Some(id) = payment.remote_id.as_ref().and_then(|id| AmazonChargeId::parse(id.as_str())) else {
                    return PaymentAnswer::unsent(name, asked_at);
                };
                return PaymentAnswer::of(client.get_charge(&id).await, name, asked_at, read);
            }
            match asked(payment, true) {
                Some((key, asked)) => PaymentAnswer::of(client.create_charge(&key, &asked).await, name, asked_at, read),
                None => PaymentAnswer::unsent(name, asked_at),
            }
        })
    }
}

/// A charge is captured at once, so there is nothing to void: an order of this kind is never reversed.
const fn operation(action: Action) -> PayOperation {
    match action {
        Action::Forward | Action::Reverse => PayOperation::CreateCharge,
        Action::Read => PayOperation::GetCharge,
    }
}

/// What is asked of Amazon, in each attempt alike.
pub(super) fn asked(payment: &Payment, capture_now: bool) -> Option<(PayKey, ChargeAsked)> {
    let asked = ChargeAsked {
        permission: AmazonPermissionId::parse(payment.against.as_str())?,
        amount: payment.value,
        capture_now,
        may_wait: payment.may_wait,
        // Derived, like the key: after a restored back-up the row has another id, and Amazon takes a key with other bytes for another
        // request.
        reference: PayReference::parse(payment.pay_key.as_str())?,
    };
    Some((PayKey::parse(payment.pay_key.as_str())?, asked))
}

/// Whether what Amazon shows is another charge than the one that was asked for.
pub(super) fn is_other(seen: &ChargeSeen, asked: &Payment) -> bool {
    // Where the answer names no consent, it names the key, which is this charge's alone.
    let other_source = match &seen.permission {
        Some(permission) => permission.as_str() != asked.against.as_str(),
        None => seen.reference.as_ref().map(PayReference::as_str) != Some(asked.pay_key.as_str()),
    };
    seen.amount != asked.value || other_source
}

/// What a charge of Amazon's shows of the one that was asked for.
fn read(seen: &ChargeSeen, asked: &Payment) -> PaymentSight {
    let (value, other) = (asked.value, is_other(seen, asked));
    let (sight, decline, reason) = match seen.state {
        _ if other => (Sight::Mismatch, None, None),
        ChargeState::Paid if seen.captured.is_some_and(|captured| captured != value) => (Sight::Mismatch, None, None),
        ChargeState::Paid => (Sight::Live, None, None),
        // Authorized: the capture comes with it. A word that we do not know is asked about again, and at last by a person.
        ChargeState::Pending | ChargeState::Authorized | ChargeState::Capturing | ChargeState::Odd => {
            (Sight::Undecided, None, None)
        }
        ChargeState::Declined(decline) => (Sight::Declined, Some(decline.kind), Some(decline.reason.as_str())),
        ChargeState::Voided(reason) => (Sight::Declined, None, Some(reason.as_str())),
    };
    PaymentSight { id: seen.id.to_string(), sight, decline, reason, expires_at: None }
}
