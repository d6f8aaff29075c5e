//! A physical card that was printed with a number and is worth nothing until it is activated: ActivateGiftCard, DeactivateGiftCard,
//! ActivationStatusCheck (`PROTOCOL.md` 3.6). The customer has the card in hand, so there is no code to show.
//!
//! What is not proven is asked for by a status check. That shows the card as it is, and not who activated it. So where it is active
//! the same bytes are sent again: Amazon answers our id with what came of its first use, or says that another id did it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::{
    engine::{
        Action, Event, RefusalClass, ReversalFailure, Rules, Sight, Stage, ladder,
        rules::{AfterRefusal, Reading},
    },
    incentives::{
        answer::Answer,
        kind::{Call, Errand, Given, KeepsTarget, Listing, Spec, TargetEnding, WrongField},
        till::Till,
    },
    kernel::{ClaimCode, Money, NotSent},
    provider::incentives::{
        CardInfo, Comparison, ErrorType, Family, Field, Operation, Outcome, Refusal, RequestValue, TransactionSource,
        object, text,
    },
    sealing::Target,
};

const ACTIVATE: Operation = Operation::named("ActivateGiftCard");
const DEACTIVATE: Operation = Operation::named("DeactivateGiftCard");
const CHECK: Operation = Operation::named("ActivationStatusCheck");

/// A card's 16 digits, and the three of the checksum.
const NUMBER_DIGITS: usize = 19;
/// Without those of the checksum.
const CARD_DIGITS: usize = 16;
/// Stands between the parts of a target. No part has it: a part has no control characters.
const SEPARATOR: char = '\u{1f}';

/// The rules of an activation.
///
/// Amazon states no window for a deactivation. Ours is a gift code's, because what a till takes back it takes back at once.
///
/// With no window at Amazon, a delayed deactivation lands as long as its signature holds: five minutes. The last one starts after
/// 890 s, so from 1,200 s on an active card proves that none has landed.
pub const RULES: Rules = Rules {
    reverse_within: Some(TimeDelta::seconds(890)),
    verdict_after: TimeDelta::seconds(1_200),
    after_refusal: AfterRefusal::SameId,
    reading: Reading::Operation,
    ends_by_itself: false,
    has_receipt: false,
    give_up_after: ladder::GIVE_UP_AFTER,
};

const NO_CARD: WrongField =
    WrongField { pointer: "/target", expected: "an object with the card's card_number and nothing else" };
const NO_NUMBER: WrongField = WrongField {
    pointer: "/target/card_number",
    expected: "19 digits: the card's number of 16, and the three of its checksum",
};
const UNKNOWN_CARD: WrongField = WrongField { pointer: "/target/card_number", expected: "a card that Amazon knows" };
const ACTIVE_CARD: WrongField =
    WrongField { pointer: "/target/card_number", expected: "a card that nobody has activated yet" };
const OTHER_VALUE: WrongField =
    WrongField { pointer: "/value/amount", expected: "the value that the card was printed for" };

/// The field of the request that a refusal is about.
const BLAMED: [(ErrorType, WrongField); 10] = [
    (
        ErrorType::CardNumberCheckSumError,
        WrongField { pointer: "/target/card_number", expected: "a number with its own checksum" },
    ),
    (ErrorType::CardNotFound, UNKNOWN_CARD),
    (ErrorType::CardNumberNotFound, UNKNOWN_CARD),
    (ErrorType::CardNumberTooShort, UNKNOWN_CARD),
    (ErrorType::InvalidCardNumberInput, UNKNOWN_CARD),
    (ErrorType::CardAlreadyActivatedWithDifferentRequestId, ACTIVE_CARD),
    (ErrorType::CardActivatedWithDifferentRequestId, ACTIVE_CARD),
    (
        ErrorType::ActivationNotAllowed,
        WrongField { pointer: "/target/card_number", expected: "a card that this partner may activate" },
    ),
    (ErrorType::CardActivatedWithDifferentDenomination, OTHER_VALUE),
    (ErrorType::RequestedDenominationMismatch, OTHER_VALUE),
];

/// The kind.
pub struct CardActivation;

impl Spec for CardActivation {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn keeps_target(&self) -> KeepsTarget {
        KeepsTarget::UntilIrreversible
    }

    fn target(&self, given: Given) -> Result<Option<Target>, WrongField> {
        let mut target = given.target.ok_or(NO_CARD)?;
        let number = target.take("card_number").filter(|_number| target.is_empty()).ok_or(NO_CARD)?;
        if number.len() != NUMBER_DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NO_NUMBER);
        }
        let whole = match given.transaction_source {
            Some(source) => with_till(&number, &Till::read(source)?),
            None => number,
        };
        Target::new(whole).map(Some).ok_or(NO_NUMBER)
    }

    fn ending(&self, target: &Target) -> Option<TargetEnding> {
        let (number, _source) = parts(target);
        TargetEnding::of(number)
    }

    /// The checksum follows from the others.
    fn secret<'a>(&self, target: &'a Target) -> Option<&'a str> {
        let (number, _source) = parts(target);
        number.get(..CARD_DIGITS)
    }

    fn listing(&self) -> Listing {
        Listing::Unknown
    }

    fn operation(&self, action: Action) -> &'static str {
        match action {
            Action::Forward => ACTIVATE.name(),
            Action::Reverse => DEACTIVATE.name(),
            Action::Read => CHECK.name(),
        }
    }

    fn blamed(&self, error_type: ErrorType) -> Option<WrongField> {
        BLAMED.iter().find(|(word, _field)| *word == error_type).map(|(_word, field)| *field)
    }

    fn call<'a>(&'a self, errand: Errand<'a>) -> Call<'a> {
        Box::pin(call(errand))
    }
}

/// The number and the till's words as one text: they are sent together, so they are sealed together.
fn with_till(number: &str, till: &Till) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(String::with_capacity(number.len().saturating_add(Till::BYTES_MAX)));
    whole.push_str(number);
    for part in till.parts() {
        whole.push(SEPARATOR);
        whole.push_str(part);
    }
    whole
}

/// The card's number, and what the till says of itself.
fn parts(target: &Target) -> (&str, Option<TransactionSource<'_>>) {
    let mut parts = target.in_clear().split(SEPARATOR);
    (parts.next().unwrap_or_default(), source_of(&mut parts))
}

async fn call(errand: Errand<'_>) -> Answer {
    let Errand { client, reward, target: Some(target), action, asked_at } = errand else {
        return Answer::unsent(NotSent::Sealed, errand.action, errand.asked_at);
    };
    let (card_number, transaction_source) = parts(target);
    let (id, partner_id) = (&reward.creation_request_id, client.partner_id());
    let (request_id, asked) = (id.as_str(), AskedCard { id: id.as_str(), card_number, value: reward.value });
    match action {
        Action::Forward => {
            let value = RequestValue::of(reward.value);
            let request = value.map(|value| Activation {
                activation_request_id: request_id,
                partner_id,
                card_number,
                value,
                transaction_source,
            });
            let exchange = client.call(ACTIVATE, id, request, |success| asked.read(success)).await;
            Answer::of(exchange, ACTIVATE.name(), asked_at, event_of_activation)
        }
        Action::Reverse => {
            let request = Deactivation { activation_request_id: request_id, partner_id, card_number };
            let exchange = client.call(DEACTIVATE, id, Ok(request), |success| asked.read(success)).await;
            Answer::of(exchange, DEACTIVATE.name(), asked_at, event_of_deactivation)
        }
        Action::Read => {
            let request = StatusCheck { status_check_request_id: request_id, partner_id, card_number };
            let exchange = client.call(CHECK, id, Ok(request), |success| asked.read(success)).await;
            let unproven = matches!(reward.order.stage, Stage::Sending(_) | Stage::Unproven(_));
            Answer::of(exchange, CHECK.name(), asked_at, if unproven { event_of_first_check } else { event_of_check })
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
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_source: Option<TransactionSource<'a>>,
}

fn source_of<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<TransactionSource<'a>> {
    let (source_id, institution_id, source_details) = (parts.next()?, parts.next()?, parts.next()?);
    Some(TransactionSource { source_id, institution_id, source_details })
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

/// What a success must be about.
struct AskedCard<'a> {
    id: &'a str,
    card_number: &'a str,
    value: Money,
}

impl AskedCard<'_> {
    /// What a success shows of this activation of this card; `None` when it does not say enough.
    fn read(&self, success: &RawValue) -> Option<Sight> {
        let success: Success<'_> = object(success)?;
        let card: CardInfo<'_> = object(success.card_info?)?;
        let named = text(success.activation_request_id.or(success.status_check_request_id))?;
        let number = text(card.card_number)?;
        if named != self.id || number != self.card_number {
            return Some(Sight::Mismatch);
        }
        match &*text(card.card_status)? {
            "AwaitingActivation" => Some(Sight::Absent),
            "Activated" => match card.value()?.compare(self.value) {
                Comparison::Same => Some(Sight::Live),
                Comparison::Other => Some(Sight::Mismatch),
                Comparison::Unreadable => None,
            },
            _ => Some(Sight::Odd),
        }
    }
}

/// What the outcome of an activation, or of its replay, is to the engine.
pub fn event_of_activation(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(sight) => Event::Seen(sight),
        Outcome::Refused(refusal) if is_done_elsewhere(refusal) => Event::Refused(RefusalClass::Elsewhere),
        Outcome::Refused(refusal) if refusal.is_retryable() => Event::Refused(RefusalClass::Curable),
        Outcome::Refused(_) => Event::Refused(RefusalClass::Final),
        Outcome::AuthRejected(why) if why.is_of_the_keys() => Event::Refused(RefusalClass::Curable),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::NotSent,
        Outcome::Unknown(_) => Event::Lost,
    };
    (event, None)
}

fn is_done_elsewhere(refusal: Refusal) -> bool {
    let words = [ErrorType::CardAlreadyActivatedWithDifferentRequestId, ErrorType::CardActivatedWithDifferentRequestId];
    refusal.family == Family::F200 && words.contains(&refusal.error_type)
}

/// A check while nothing is proven yet. Amazon documents it for what was activated, so it may refuse it for an id that it never
/// saw: that is an activation that has not arrived.
pub fn event_of_first_check(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let unseen = Refusal { family: Family::F200, error_type: ErrorType::NonExistingActivationRequestId };
    if let Outcome::Refused(refusal) = outcome
        && refusal == unseen
    {
        return (Event::Seen(Sight::Absent), None);
    }
    event_of_check(outcome)
}

/// A refused check refuses the check and says nothing of the card.
pub fn event_of_check(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(Sight::Live) => Event::Seen(Sight::Unattributed),
        Outcome::Proven(sight) => Event::Seen(sight),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::NotSent,
        Outcome::Refused(_) | Outcome::Unknown(_) => Event::Lost,
    };
    (event, None)
}

/// What the outcome of a deactivation is to the engine.
pub fn event_of_deactivation(outcome: Outcome<Sight>) -> (Event, Option<ClaimCode>) {
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
