//! Physical cards: ActivateGiftCard, DeactivateGiftCard, ActivationStatusCheck, and the cards that exist.
//!
//! Members of the requests and `cardStatus` are those of Amazon's sample code; that the same id gets the status of its first
//! use again is documented. No call was ever recorded. Our choices:
//!
//! - A card is found by its first 16 digits. Amazon publishes no way to compute the three of the checksum, and the two
//!   neighbors that it prints fit no common one. Those two are kept; the others have the remainder by 997.
//! - An activation stands in the book under its request id and is paid for like a gift code. A card can have one at a time.
//! - A card is deactivated under the id of its activation, for as long as a gift code can be canceled, and can be activated
//!   again under another id.
//! - A status check shows the card as it is now, whoever activated it, and takes any id of the partner's.
//! - The activity report calls the two operations `GCActivation` and `GCDeactivation`, and shows the card's number.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{OfKind, Worked};
use crate::sandbox::activity::ActivityType;
use crate::sandbox::answer::{Echo, GatewayAnswer, ValueMember};
use crate::sandbox::book::{CancelOrder, Canceled, Card, CardState, Created, Product};
use crate::sandbox::errors::{self, AgcodError};
use crate::sandbox::fields::{AmountMember, BadBody, Fields};
use crate::sandbox::members::{CardMembers, CardSource};
use crate::sandbox::mock::Mock;
use crate::sandbox::money;
use crate::sandbox::operations::{
    GatewayCall, OrderedValue, check_value, demand_partner, demand_request_id, mocked_refusal, refused, unbooked,
    unread,
};
use crate::sandbox::world::World;

const ACTIVATION_ID: &str = "activationRequestId";
const CHECK_ID: &str = "statusCheckRequestId";

pub(super) const OPERATIONS: &[OfKind] = &[
    OfKind {
        name: "ActivateGiftCard",
        request_id: ACTIVATION_ID,
        listed: Some(ActivityType::GCActivation),
        work: activate,
    },
    OfKind {
        name: "DeactivateGiftCard",
        request_id: ACTIVATION_ID,
        listed: Some(ActivityType::GCDeactivation),
        work: deactivate,
    },
    OfKind { name: "ActivationStatusCheck", request_id: CHECK_ID, listed: None, work: check },
];

/// The range that Amazon gives as its example. Each card of it exists and is open.
const OPEN_CARDS: RangeInclusive<u64> = 1_400_000_005_567_585..=1_400_000_005_568_000;
/// Cards that were printed for one value.
const CARDS_OF_25: RangeInclusive<u64> = 1_400_000_006_000_000..=1_400_000_006_000_099;
const NUMBER_DIGITS: usize = 16;
const CHECKSUM_DIGITS: usize = 3;
/// The smallest value of a physical card, which Amazon states for the US alone.
const MINIMUM: (&str, Decimal) = ("USD", Decimal::ONE);
/// A card that was printed, and is worth nothing until it is activated.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PhysicalCard {
    /// 16 digits, and the three of the checksum.
    pub card_number: String,
    /// The value that it was printed for. An open card has none: it is activated with any.
    #[serde(default, with = "money::text_or_none")]
    pub denomination: Option<Decimal>,
}

impl PhysicalCard {
    fn of(number: u64, denomination: Option<Decimal>) -> Self {
        let checksum = match number {
            1_400_000_005_567_585 => 358,
            1_400_000_005_567_586 => 149,
            other => other.checked_rem(997).unwrap_or(0),
        };
        Self { card_number: format!("{number:016}{checksum:03}"), denomination }
    }

    fn is_named(&self, number: &str) -> bool {
        self.card_number.get(..NUMBER_DIGITS).is_some_and(|own| number.get(..NUMBER_DIGITS) == Some(own))
    }
}

/// The cards that exist: two ranges, and those that were planted since the start.
#[derive(Default)]
pub(in crate::sandbox) struct Deck {
    planted: Mutex<Vec<PhysicalCard>>,
}

impl Deck {
    /// Every card.
    pub(in crate::sandbox) fn cards(&self) -> Vec<PhysicalCard> {
        let open = OPEN_CARDS.map(|number| PhysicalCard::of(number, None));
        let printed = CARDS_OF_25.map(|number| PhysicalCard::of(number, Some(Decimal::from(25))));
        open.chain(printed).chain(self.planted().iter().cloned()).collect()
    }

    /// Adds cards; none, with the reason, where one of them cannot be a card or is there already.
    pub(in crate::sandbox) fn plant(&self, cards: Vec<PhysicalCard>) -> Result<(), String> {
        let mut known = self.cards();
        for card in &cards {
            let (number, digits) = (&card.card_number, NUMBER_DIGITS + CHECKSUM_DIGITS);
            if number.len() != digits || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("card_number must have {digits} digits: {number:?}"));
            }
            if card.denomination.is_some_and(|amount| amount <= Decimal::ZERO) {
                return Err(format!("the denomination of card {number} must be above zero"));
            }
            if known.iter().any(|other| other.is_named(number)) {
                return Err(format!("there is a card {number} already, perhaps with another checksum"));
            }
            known.push(card.clone());
        }
        self.planted().extend(cards);
        Ok(())
    }

    fn find(&self, number: &str) -> Option<PhysicalCard> {
        let parsed = number.get(..NUMBER_DIGITS).and_then(|digits| digits.parse::<u64>().ok())?;
        if OPEN_CARDS.contains(&parsed) {
            return Some(PhysicalCard::of(parsed, None));
        }
        if CARDS_OF_25.contains(&parsed) {
            return Some(PhysicalCard::of(parsed, Some(Decimal::from(25))));
        }
        self.planted().iter().find(|card| card.is_named(number)).cloned()
    }

    fn planted(&self) -> MutexGuard<'_, Vec<PhysicalCard>> {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the three requests have in common.
struct CardCall {
    fields: Fields,
    echo: Echo,
    id: String,
    card_number: String,
    /// `None` under the mock id of a success, which needs no card.
    card: Option<PhysicalCard>,
}

impl CardCall {
    fn read(world: &World, call: &GatewayCall<'_>, id: &'static str) -> Result<Self, GatewayAnswer> {
        let mut echo = Echo { operation: call.operation, request_id: None, value: None };
        let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
        if let Some(answer) = mocked_refusal(call, &fields, &echo)? {
            return Err(answer);
        }
        demand_partner(call.account, &fields, &echo)?;
        let id = fields.text(id).map_err(|bad| unread(bad, &echo))?;
        let id = id.ok_or_else(|| refused(errors::INVALID_REQUEST_ID_INPUT, &echo))?;
        echo.request_id = Some(id.clone());
        demand_request_id(call.account, &id).map_err(|refusal| refused(refusal, &echo))?;
        let card_number = fields.text("cardNumber").map_err(|bad| unread(bad, &echo))?;
        let card_number = card_number.ok_or_else(|| refused(errors::INVALID_CARD_NUMBER_INPUT, &echo))?;
        let mut asked = Self { fields, echo, id, card_number, card: None };
        if Mock::of(&asked.id).is_none() {
            asked.card = Some(asked.find_card(&world.deck)?);
        }
        Ok(asked)
    }

    fn find_card(&self, deck: &Deck) -> Result<PhysicalCard, GatewayAnswer> {
        let number = &self.card_number;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.refuse_as(errors::INVALID_CARD_NUMBER_INPUT));
        }
        if number.len() < NUMBER_DIGITS + CHECKSUM_DIGITS {
            return Err(self.refuse("CardNumberTooShort"));
        }
        match deck.find(number) {
            Some(card) if card.card_number == *number => Ok(card),
            Some(_) => Err(self.refuse("CardNumberCheckSumError")),
            None => Err(self.refuse("CardNumberNotFound")),
        }
    }

    fn refuse(&self, error_type: &str) -> GatewayAnswer {
        self.refuse_as(AgcodError::scripted("F200", error_type))
    }

    fn refuse_as(&self, refusal: AgcodError) -> GatewayAnswer {
        refused(refusal, &self.echo)
    }
}

fn activate(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let mut asked = CardCall::read(world, call, ACTIVATION_ID)?;
    let value = value(&mut asked)?;
    let transaction_source = CardSource::read(&asked.fields, &asked.echo)?;
    let Some(card) = &asked.card else { return done(ACTIVATION_ID, &asked, Shown::active(&value), false) };
    check_value(call, &value).map_err(|refusal| asked.refuse_as(refusal))?;
    if value.currency == MINIMUM.0 && value.amount < MINIMUM.1 {
        return Err(asked.refuse("AmountBelowMinThreshold"));
    }
    if card.denomination.is_some_and(|printed| printed != value.amount) {
        return Err(asked.refuse("RequestedDenominationMismatch"));
    }
    let wanted = Card {
        partner_id: call.account.partner_id.clone(),
        creation_request_id: asked.id.clone(),
        gc_id: asked.card_number.clone(),
        claim_code: world.chance.claim_code(),
        amount: value.amount,
        currency: value.currency.clone(),
        state: CardState::Live,
        created_at: world.clock.now(),
        canceled_at: None,
        product: Product::PhysicalCard,
        members: CardMembers { transaction_source, ..CardMembers::default() },
    };
    match world.book.create(wanted).map_err(|error| unbooked(&error, &asked.echo))? {
        Created::New(_) => done(ACTIVATION_ID, &asked, Shown::active(&value), true),
        // The status of the first use, whatever has become of the card since.
        Created::Existing(first) if first.gc_id == asked.card_number && first.product == Product::PhysicalCard => {
            if (first.amount, &first.currency) == (value.amount, &value.currency) {
                done(ACTIVATION_ID, &asked, Shown::active(&value), false)
            } else {
                Err(asked.refuse("CardActivatedWithDifferentDenomination"))
            }
        }
        Created::Existing(_) => Err(asked.refuse("ActivationRequestIdAlreadyBeenUsed")),
        Created::Taken => Err(asked.refuse_as(errors::CARD_ALREADY_ACTIVATED_WITH_DIFFERENT_REQUEST_ID)),
        Created::InsufficientFunds => Err(asked.refuse_as(errors::INSUFFICIENT_FUNDS)),
    }
}

fn deactivate(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = CardCall::read(world, call, ACTIVATION_ID)?;
    if asked.card.is_none() {
        return done(ACTIVATION_ID, &asked, Shown::INACTIVE, false);
    }
    let request = CancelOrder {
        partner_id: &call.account.partner_id,
        request_id: &asked.id,
        product: Product::PhysicalCard,
        gc_id: Some(&asked.card_number),
    };
    let canceled = world.book.cancel(request, world.clock.now());
    match canceled.map_err(|error| unbooked(&error, &asked.echo))? {
        Canceled::Now(_) => done(ACTIVATION_ID, &asked, Shown::INACTIVE, true),
        Canceled::Already(_) => done(ACTIVATION_ID, &asked, Shown::INACTIVE, false),
        Canceled::Unknown => Err(asked.refuse("NonExistingActivationRequestId")),
        Canceled::WrongGcId => Err(asked.refuse("WrongActivationRequestId")),
        Canceled::TooLate => Err(asked.refuse("DeactivationNotAllowed")),
    }
}

fn check(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = CardCall::read(world, call, CHECK_ID)?;
    let active = world.book.active(&asked.card_number);
    let value = active.map(|card| OrderedValue { amount: card.amount, currency: card.currency });
    done(CHECK_ID, &asked, value.as_ref().map_or(Shown::INACTIVE, Shown::active), false)
}

fn value(asked: &mut CardCall) -> Result<OrderedValue, GatewayAnswer> {
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
    let currency = currency.ok_or_else(|| asked.refuse_as(errors::INVALID_CURRENCY_CODE_INPUT))?;
    asked.echo.value = Some((amount, currency.clone()));
    Ok(OrderedValue { amount, currency })
}

/// A card as an answer shows it.
struct Shown<'a> {
    status: &'static str,
    value: Option<&'a OrderedValue>,
}

impl<'a> Shown<'a> {
    const INACTIVE: Self = Self { status: "AwaitingActivation", value: None };

    const fn active(value: &'a OrderedValue) -> Self {
        Self { status: "Activated", value: Some(value) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalCardInfo<'a> {
    card_number: &'a str,
    card_status: &'static str,
    expiration_date: Option<&'a str>,
    value: Option<ValueMember<'a>>,
}

fn done(id: &'static str, asked: &CardCall, shown: Shown<'_>, real_op: bool) -> Result<Worked, GatewayAnswer> {
    let printed = || -> Result<Box<RawValue>, serde_json::Error> {
        let value = shown.value.map(|value| ValueMember::of(value.amount, &value.currency)).transpose()?;
        let card_info = to_raw_value(&PhysicalCardInfo {
            card_number: &asked.card_number,
            card_status: shown.status,
            expiration_date: None,
            value,
        })?;
        let id = (id, to_raw_value(&asked.id)?);
        let members = [id, ("cardInfo", card_info), ("status", to_raw_value("SUCCESS")?)];
        to_raw_value(&BTreeMap::from(members))
    };
    let json = printed().map_err(|_unprinted| asked.refuse_as(errors::GENERAL_ERROR_F100))?;
    Ok(Worked { json, real_op })
}
