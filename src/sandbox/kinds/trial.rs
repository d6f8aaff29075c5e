//! The operations of the kind `trial`: a card with a number that is activated, deactivated, and asked about.
//!
//! As far as Amazon's sample code and its Japanese page say (request members, `cardStatus`, the idempotency of the id); no call
//! was ever recorded. Our choices: an activated card stands in the book of cards under its activation's id, with its number in
//! the place of `gcId`, and is paid for like any other; it can be deactivated for as long as a card can be canceled; a status
//! check that names no activation of this card answers `AwaitingActivation`.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{OfKind, Worked};
use crate::sandbox::answer::{Echo, GatewayAnswer, ValueMember};
use crate::sandbox::book::{Canceled, Card, CardState, Created};
use crate::sandbox::errors::{self, AgcodError};
use crate::sandbox::fields::{AmountMember, BadBody, Fields};
use crate::sandbox::operations::{GatewayCall, demand_partner, demand_request_id, refused, unbooked, unread};
use crate::sandbox::world::World;

pub(super) const OPERATIONS: &[OfKind] = &[
    OfKind { name: "ActivateGiftCard", work: activate },
    OfKind { name: "DeactivateGiftCard", work: deactivate },
    OfKind { name: "ActivationStatusCheck", work: check },
];

/// What the three requests have in common: the id, under a name of their own, and the card's number.
struct Asked {
    fields: Fields,
    echo: Echo,
    id: String,
    card_number: String,
}

impl Asked {
    fn read(call: &GatewayCall<'_>, id: &str) -> Result<Self, GatewayAnswer> {
        let echo = Echo { operation: call.operation, request_id: None, value: None };
        let unread = |bad: BadBody| unread(bad, &echo);
        let fields = Fields::read(call.body).map_err(unread)?;
        demand_partner(call.account, &fields, &echo)?;
        let id = fields.text(id).map_err(unread)?;
        let id = id.ok_or_else(|| refused(errors::INVALID_REQUEST_ID_INPUT, &echo))?;
        demand_request_id(call.account, &id).map_err(|refusal| refused(refusal, &echo))?;
        let card_number = fields.text("cardNumber").map_err(unread)?;
        let card_number = card_number.ok_or_else(|| refused(errors::INVALID_CARD_NUMBER_INPUT, &echo))?;
        Ok(Self { fields, echo, id, card_number })
    }

    fn refuse(&self, code: &str, error_type: &str) -> GatewayAnswer {
        self.refuse_as(AgcodError::scripted(code, error_type))
    }

    fn refuse_as(&self, refusal: AgcodError) -> GatewayAnswer {
        refused(refusal, &self.echo)
    }
}

fn activate(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = Asked::read(call, "activationRequestId")?;
    let (amount, currency) = value(&asked)?;
    let of_card = |card: &&Card| card.gc_id == asked.card_number && card.state == CardState::Live;
    // Two activations of one card at once would both pass here; no test of ours has them.
    if world.book.cards().iter().find(of_card).is_some_and(|card| card.creation_request_id != asked.id) {
        return Err(asked.refuse_as(errors::CARD_ALREADY_ACTIVATED_WITH_DIFFERENT_REQUEST_ID));
    }
    let wanted = Card {
        partner_id: call.account.partner_id.clone(),
        creation_request_id: asked.id.clone(),
        gc_id: asked.card_number.clone(),
        claim_code: world.chance.claim_code(),
        amount,
        currency,
        state: CardState::Live,
        created_at: world.clock.now(),
        canceled_at: None,
    };
    match world.book.create(wanted).map_err(|error| unbooked(&error, &asked.echo))? {
        Created::New(card) => done("activationRequestId", &asked, Some(&card), true),
        Created::Existing(card) if card.gc_id == asked.card_number => {
            done("activationRequestId", &asked, Some(&card), false)
        }
        Created::Existing(_) => Err(asked.refuse("F200", "ActivationRequestIdAlreadyBeenUsed")),
        Created::InsufficientFunds => Err(asked.refuse_as(errors::INSUFFICIENT_FUNDS)),
    }
}

fn deactivate(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = Asked::read(call, "activationRequestId")?;
    let partner_id = &call.account.partner_id;
    let canceled = world.book.cancel(partner_id, &asked.id, Some(&asked.card_number), world.clock.now());
    let (card, real_op) = match canceled.map_err(|error| unbooked(&error, &asked.echo))? {
        Canceled::Now(card) => (card, true),
        Canceled::Already(card) => (card, false),
        Canceled::Unknown => return Err(asked.refuse("F200", "NonExistingActivationRequestId")),
        Canceled::WrongGcId => return Err(asked.refuse("F200", "WrongActivationRequestId")),
        Canceled::TooLate => return Err(asked.refuse("F200", "DeactivationNotAllowed")),
    };
    done("activationRequestId", &asked, Some(&card), real_op)
}

fn check(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = Asked::read(call, "statusCheckRequestId")?;
    let cards = world.book.cards();
    let card = cards.iter().find(|card| card.creation_request_id == asked.id && card.gc_id == asked.card_number);
    done("statusCheckRequestId", &asked, card, false)
}

fn value(asked: &Asked) -> Result<(Decimal, String), GatewayAnswer> {
    let unread = |bad: BadBody| unread(bad, &asked.echo);
    let value = asked.fields.object("value").map_err(unread)?;
    let value = value.ok_or_else(|| asked.refuse_as(errors::INVALID_AMOUNT_INPUT))?;
    let AmountMember::Number(amount) = value.amount("amount").map_err(unread)? else {
        return Err(asked.refuse_as(errors::INVALID_AMOUNT_INPUT));
    };
    if amount <= Decimal::ZERO {
        return Err(asked.refuse_as(errors::INVALID_AMOUNT_VALUE));
    }
    let currency = value.text("currencyCode").map_err(unread)?;
    Ok((amount, currency.ok_or_else(|| asked.refuse_as(errors::INVALID_CURRENCY_CODE_INPUT))?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CardInfo<'a> {
    card_number: &'a str,
    card_status: &'static str,
    expiration_date: Option<&'a str>,
    value: Option<ValueMember<'a>>,
}

/// The card as an answer shows it; none that was activated under the id is one that awaits its activation.
fn done(id: &'static str, asked: &Asked, card: Option<&Card>, real_op: bool) -> Result<Worked, GatewayAnswer> {
    let activated = card.is_some_and(|card| card.state == CardState::Live);
    let printed = || -> Result<Box<RawValue>, serde_json::Error> {
        let value = card.map(|card| ValueMember::of(card.amount, &card.currency)).transpose()?;
        let card_info = to_raw_value(&CardInfo {
            card_number: &asked.card_number,
            card_status: if activated { "Activated" } else { "AwaitingActivation" },
            expiration_date: None,
            value,
        })?;
        let id_member = (id, to_raw_value(&asked.id)?);
        let members = [id_member, ("cardInfo", card_info), ("status", to_raw_value("SUCCESS")?)];
        to_raw_value(&std::collections::BTreeMap::from(members))
    };
    let json = printed().map_err(|_unprinted| asked.refuse_as(errors::GENERAL_ERROR_F100))?;
    Ok((json, real_op))
}
