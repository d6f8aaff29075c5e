//! A kind that tests alone have: a card with a number is activated, and deactivated within its window. It rehearses what
//! Amazon's web-activated cards need (ActivateGiftCard, DeactivateGiftCard, ActivationStatusCheck), by what the sample code and
//! the Japanese page say of them, and shows that a kind is this file, a line among the kinds, and its part of the sandbox.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    engine::{
        Action, Event, RefusalClass, ReversalFailure, Rules, Sight,
        rules::{AfterRefusal, Reading},
    },
    http::body::SecretTexts,
    incentives::{
        answer::Answer,
        kind::{Call, Errand, InvalidTarget, KeepsTarget, Spec},
    },
    kernel::{ClaimCode, Money, NotSent},
    provider::incentives::{
        Amount, Comparison, ErrorType, Family, Field, Operation, Outcome, RequestValue, object, text,
    },
    sealing::Target,
};

const ACTIVATE: Operation = Operation::named("ActivateGiftCard");
const DEACTIVATE: Operation = Operation::named("DeactivateGiftCard");
const CHECK: Operation = Operation::named("ActivationStatusCheck");

/// Amazon states no window for a deactivation; this one is a gift code's.
const RULES: Rules = Rules {
    reverse_within: Some(TimeDelta::seconds(890)),
    verdict_after: TimeDelta::seconds(960),
    after_refusal: AfterRefusal::SameId,
    reading: Reading::Operation,
    has_receipt: false,
};

/// The kind.
pub struct Trial;

impl Spec for Trial {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn keeps_target(&self) -> KeepsTarget {
        KeepsTarget::UntilIrreversible
    }

    fn target(&self, given: Option<SecretTexts>) -> Result<Option<Target>, InvalidTarget> {
        let missing =
            InvalidTarget { pointer: "/target", expected: "an object with the card's card_number and nothing else" };
        let malformed = InvalidTarget { pointer: "/target/card_number", expected: "16 to 19 digits" };
        let mut given = given.ok_or(missing)?;
        let number = given.take("card_number").filter(|_number| given.is_empty()).ok_or(missing)?;
        let digits = (16..=19).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        Target::new(number).filter(|_number| digits).map(Some).ok_or(malformed)
    }

    fn operation(&self, action: Action) -> &'static str {
        match action {
            Action::Forward => ACTIVATE.name(),
            Action::Reverse => DEACTIVATE.name(),
            Action::Read => CHECK.name(),
        }
    }

    fn call<'a>(&'a self, errand: Errand<'a>) -> Call<'a> {
        Box::pin(call(errand))
    }
}

async fn call(errand: Errand<'_>) -> Answer {
    let Errand { client, reward, target: Some(target), action, asked_at } = errand else {
        return Answer::unsent(NotSent::Sealed, errand.action, errand.asked_at);
    };
    let (partner_id, id, card_number) = (client.partner_id(), reward.creation_request_id.as_str(), target.in_clear());
    let read = |success: &RawValue| Success::read(success, id, card_number, reward.value);
    match action {
        Action::Forward => {
            let value = RequestValue::of(reward.value);
            let request = value.map(|value| Activation { activation_request_id: id, partner_id, card_number, value });
            Answer::of(client.call(ACTIVATE, request, read).await, ACTIVATE.name(), asked_at, event_of_activation)
        }
        Action::Reverse => {
            let request = Deactivation { activation_request_id: id, partner_id, card_number };
            Answer::of(
                client.call(DEACTIVATE, Ok(request), read).await,
                DEACTIVATE.name(),
                asked_at,
                event_of_deactivation,
            )
        }
        Action::Read => {
            let request = StatusCheck { status_check_request_id: id, partner_id, card_number };
            Answer::of(client.call(CHECK, Ok(request), read).await, CHECK.name(), asked_at, event_of_check)
        }
    }
}

/// The order of the members is the order of the bytes, and a replay sends the same bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Activation<'a> {
    activation_request_id: &'a str,
    partner_id: &'a str,
    card_number: &'a str,
    value: RequestValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deactivation<'a> {
    activation_request_id: &'a str,
    partner_id: &'a str,
    card_number: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusCheck<'a> {
    status_check_request_id: &'a str,
    partner_id: &'a str,
    card_number: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Success<'a> {
    #[serde(borrow)]
    activation_request_id: Field<'a>,
    #[serde(borrow)]
    status_check_request_id: Field<'a>,
    #[serde(borrow)]
    card_info: Field<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActivatedCard<'a> {
    #[serde(borrow)]
    card_number: Field<'a>,
    #[serde(borrow)]
    card_status: Field<'a>,
    #[serde(borrow)]
    value: Field<'a>,
}

impl Success<'_> {
    /// What a success shows of this activation of this card; `None` when it does not say enough.
    fn read(success: &RawValue, id: &str, card_number: &str, asked: Money) -> Option<Sight> {
        let success: Success<'_> = object(success)?;
        let card: ActivatedCard<'_> = object(success.card_info?)?;
        let (named, number) =
            (text(success.activation_request_id.or(success.status_check_request_id))?, text(card.card_number)?);
        if named != id || number != card_number {
            return Some(Sight::Mismatch);
        }
        match &*text(card.card_status)? {
            "AwaitingActivation" => Some(Sight::Absent),
            "Activated" => match object::<Amount<'_>>(card.value?)?.compare(asked) {
                Comparison::Same => Some(Sight::Live),
                Comparison::Other => Some(Sight::Mismatch),
                Comparison::Unreadable => None,
            },
            _ => Some(Sight::Odd),
        }
    }
}

fn event_of_activation(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(sight) => Event::Seen(sight),
        Outcome::Refused(refusal) if refusal.is_retryable() => Event::Refused(RefusalClass::Curable),
        Outcome::Refused(_) => Event::Refused(RefusalClass::Final),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::NotSent,
        Outcome::Unknown(_) => Event::Lost,
    };
    (event, None)
}

/// A refused check refuses the check and says nothing of the card.
fn event_of_check(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(sight) => Event::Seen(sight),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::NotSent,
        Outcome::Refused(_) | Outcome::Unknown(_) => Event::Lost,
    };
    (event, None)
}

fn event_of_deactivation(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(Sight::Absent) => Event::ReversalDone,
        Outcome::Refused(refusal) => match (refusal.family, refusal.error_type) {
            (Family::F200, _) | (Family::F300, ErrorType::OperationNotPermitted) => {
                Event::ReversalRefused(ReversalFailure::NotPermitted)
            }
            (Family::F300, _) => Event::ReversalNotSent,
        },
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::ReversalNotSent,
        // A success that shows another card, or this one still active.
        Outcome::Proven(_) | Outcome::Unknown(_) => Event::ReversalLost,
    };
    (event, None)
}

#[cfg(test)]
mod tests;
