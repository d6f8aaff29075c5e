//! Balances of Amazon accounts that are loaded: ValidateAccountForAmazonBalanceLoad, LoadAmazonBalance, VoidAmazonBalanceLoad.
//!
//! Amazon publishes little of this product. Documented: the three operations; that a void names the request id, the account and the
//! amount of its load, and fails where one of them is another; that a voided barcode is not validated; mock ids, also as the
//! account's id. One client's fragment has `account{id, type}` with type 1 for a barcode, and `amount{currencyCode, value}` with a
//! value that only fits minor units. Our choices:
//!
//! - Type 2 is a phone number, type 3 the id that Login with Amazon returns.
//! - A load and its void have their id in `loadBalanceRequestId`; a validation has none.
//! - `loadStatus` shows whether the load still stands: `Loaded`, then `Voided`. The same id gets it again, at no charge.
//! - A load is voided for as long as a gift code can be canceled.
//! - The activity report lists none of them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{OfKind, Worked};
use crate::sandbox::answer::{Echo, GatewayAnswer};
use crate::sandbox::book::{CancelOrder, Canceled, Card, CardState, Created, Product};
use crate::sandbox::errors::{self, AgcodError};
use crate::sandbox::fields::{AmountMember, BadBody, Fields};
use crate::sandbox::market;
use crate::sandbox::members::CardMembers;
use crate::sandbox::mock::Mock;
use crate::sandbox::operations::{
    GatewayCall, OrderedValue, check_value, demand_partner, demand_request_id, mocked_refusal, refused, unbooked,
    unread,
};
use crate::sandbox::shoppers::{Shopper, ShopperName};
use crate::sandbox::world::World;

const LOAD_ID: &str = "loadBalanceRequestId";

pub(super) const OPERATIONS: &[OfKind] = &[
    OfKind { name: "ValidateAccountForAmazonBalanceLoad", request_id: LOAD_ID, listed: None, work: validate },
    OfKind { name: "LoadAmazonBalance", request_id: LOAD_ID, listed: None, work: load },
    OfKind { name: "VoidAmazonBalanceLoad", request_id: LOAD_ID, listed: None, work: void },
];

/// What the three requests have in common, once it was checked.
struct LoadCall {
    echo: Echo,
    /// Empty in a validation.
    id: String,
    account: LoadAccount,
    value: OrderedValue,
    /// `None` under the mock id of a success, which needs no account.
    shopper: Option<Shopper>,
}

/// The account as the request names it.
struct LoadAccount {
    kind: u8,
    id: String,
}

impl LoadCall {
    fn read(world: &World, call: &GatewayCall<'_>) -> Result<Self, GatewayAnswer> {
        let mut echo = Echo { operation: call.operation, request_id: None, value: None };
        let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
        if let Some(answer) = mocked_refusal(call, &fields, &echo)? {
            return Err(answer);
        }
        demand_partner(call.account, &fields, &echo)?;
        let id = fields.text(LOAD_ID).map_err(|bad| unread(bad, &echo))?.unwrap_or_default();
        let validates = call.operation.name() == "ValidateAccountForAmazonBalanceLoad";
        if !validates || !id.is_empty() {
            if id.is_empty() {
                return Err(refused(errors::INVALID_REQUEST_ID_INPUT, &echo));
            }
            echo.request_id = Some(id.clone());
            demand_request_id(call.account, &id).map_err(|refusal| refused(refusal, &echo))?;
        }
        let account = named(&fields, &echo)?;
        if let Some(Mock::Refused(refusal)) = Mock::of(&account.id) {
            return Err(refused(refusal, &echo));
        }
        let value = value(&fields, &mut echo)?;
        let mut asked = Self { echo, id, account, value, shopper: None };
        if Mock::of(&asked.id).is_none() && Mock::of(&asked.account.id).is_none() {
            check_value(call, &asked.value).map_err(|refusal| asked.refuse_as(refusal))?;
            asked.shopper = Some(asked.find_shopper(world)?);
        }
        Ok(asked)
    }

    fn find_shopper(&self, world: &World) -> Result<Shopper, GatewayAnswer> {
        let id = self.account.id.as_str();
        let named = match self.account.kind {
            1 => ShopperName::Barcode(id),
            2 => ShopperName::Phone(id),
            _ => ShopperName::UserId(id),
        };
        let shopper = world.shoppers.find(named).ok_or_else(|| self.refuse("AccountNotFound"))?;
        if shopper.active { Ok(shopper) } else { Err(self.refuse("AccountNotActive")) }
    }

    fn refuse(&self, error_type: &str) -> GatewayAnswer {
        self.refuse_as(AgcodError::scripted("F200", error_type))
    }

    fn refuse_as(&self, refusal: AgcodError) -> GatewayAnswer {
        refused(refusal, &self.echo)
    }
}

fn validate(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = LoadCall::read(world, call)?;
    done(&asked, None, false)
}

fn load(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = LoadCall::read(world, call)?;
    if asked.shopper.is_none() {
        return done(&asked, Some(CardState::Live), false);
    }
    let wanted = Card {
        partner_id: call.account.partner_id.clone(),
        creation_request_id: asked.id.clone(),
        gc_id: asked.account.id.clone(),
        claim_code: world.chance.claim_code(),
        amount: asked.value.amount,
        currency: asked.value.currency.clone(),
        state: CardState::Live,
        created_at: world.clock.now(),
        canceled_at: None,
        product: Product::BalanceLoad,
        members: CardMembers::default(),
    };
    match world.book.create(wanted).map_err(|error| unbooked(&error, &asked.echo))? {
        Created::New(_) => done(&asked, Some(CardState::Live), true),
        Created::Existing(first) if first.product == Product::BalanceLoad && first.gc_id == asked.account.id => {
            if is_of(&first, &asked.value) {
                done(&asked, Some(first.state), false)
            } else {
                Err(asked.refuse("RequestedDenominationMismatch"))
            }
        }
        Created::Existing(_) | Created::Taken => Err(asked.refuse("LoadBalanceRequestIdAlreadyBeenUsed")),
        Created::InsufficientFunds => Err(asked.refuse_as(errors::INSUFFICIENT_FUNDS)),
    }
}

fn void(world: &World, call: &GatewayCall<'_>) -> Result<Worked, GatewayAnswer> {
    let asked = LoadCall::read(world, call)?;
    if asked.shopper.is_none() {
        return done(&asked, Some(CardState::Refunded), false);
    }
    let partner_id = &call.account.partner_id;
    if world.book.named(partner_id, &asked.id).is_some_and(|card| !is_of(&card, &asked.value)) {
        return Err(asked.refuse("RequestedDenominationMismatch"));
    }
    let request = CancelOrder {
        partner_id,
        request_id: &asked.id,
        product: Product::BalanceLoad,
        gc_id: Some(&asked.account.id),
    };
    let voided = world.book.cancel(request, world.clock.now());
    match voided.map_err(|error| unbooked(&error, &asked.echo))? {
        Canceled::Now(_) => done(&asked, Some(CardState::Refunded), true),
        Canceled::Already(_) => done(&asked, Some(CardState::Refunded), false),
        Canceled::Unknown => Err(asked.refuse("NonExistingLoadBalanceRequestId")),
        Canceled::WrongGcId => Err(asked.refuse("WrongLoadBalanceRequestId")),
        Canceled::TooLate => Err(asked.refuse_as(errors::CANCEL_REQUEST_ARRIVED_AFTER_TIME_LIMIT)),
    }
}

fn is_of(card: &Card, value: &OrderedValue) -> bool {
    (card.amount, &card.currency) == (value.amount, &value.currency)
}

fn named(fields: &Fields, echo: &Echo) -> Result<LoadAccount, GatewayAnswer> {
    let unread = |bad: BadBody| unread(bad, echo);
    let missing = || refused(AgcodError::scripted("F200", "InvalidAccountInput"), echo);
    let account = fields.object("account").map_err(unread)?.ok_or_else(missing)?;
    let id = account.text("id").map_err(unread)?.ok_or_else(missing)?;
    let AmountMember::Number(kind) = account.amount("type").map_err(unread)? else { return Err(missing()) };
    match kind.to_u8().filter(|number| Decimal::from(*number) == kind) {
        Some(kind @ 1..=3) => Ok(LoadAccount { kind, id }),
        Some(_) | None => Err(missing()),
    }
}

/// The amount, of which the request has minor units.
fn value(fields: &Fields, echo: &mut Echo) -> Result<OrderedValue, GatewayAnswer> {
    let read = fields.object("amount").map_err(|bad| unread(bad, echo))?;
    let read = read.ok_or_else(|| refused(errors::INVALID_AMOUNT_INPUT, echo))?;
    let AmountMember::Number(minor) = read.amount("value").map_err(|bad| unread(bad, echo))? else {
        return Err(refused(errors::INVALID_AMOUNT_INPUT, echo));
    };
    if minor <= Decimal::ZERO {
        return Err(refused(errors::INVALID_AMOUNT_VALUE, echo));
    }
    let currency = read.text("currencyCode").map_err(|bad| unread(bad, echo))?;
    let currency = currency.ok_or_else(|| refused(errors::INVALID_CURRENCY_CODE_INPUT, echo))?;
    if !minor.is_integer() {
        return Err(refused(errors::FRACTIONAL_AMOUNT_NOT_ALLOWED, echo));
    }
    let digits = market::fraction_digits(&currency);
    let amount = minor.to_i64().map(|minor| Decimal::new(minor, digits));
    let amount = amount.ok_or_else(|| refused(errors::MAX_AMOUNT_EXCEEDED, echo))?;
    echo.value = Some((amount, currency.clone()));
    Ok(OrderedValue { amount, currency })
}

#[derive(Serialize)]
struct AccountMember<'a> {
    id: &'a str,
    r#type: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadedAmount<'a> {
    currency_code: &'a str,
    value: i64,
}

/// A success. A validation shows no status of a load.
fn done(asked: &LoadCall, state: Option<CardState>, real_op: bool) -> Result<Worked, GatewayAnswer> {
    let printed = || -> Result<Box<RawValue>, serde_json::Error> {
        let OrderedValue { amount, currency } = &asked.value;
        let mut minor = *amount;
        minor.rescale(market::fraction_digits(currency));
        let value = i64::try_from(minor.mantissa()).unwrap_or(i64::MAX);
        let account = AccountMember { id: &asked.account.id, r#type: asked.account.kind };
        let mut members = BTreeMap::from([
            ("account", to_raw_value(&account)?),
            ("amount", to_raw_value(&LoadedAmount { currency_code: currency, value })?),
            ("status", to_raw_value("SUCCESS")?),
        ]);
        if let Some(state) = state {
            let word = match state {
                CardState::Live => "Loaded",
                CardState::Refunded => "Voided",
            };
            members.insert("loadStatus", to_raw_value(word)?);
            members.insert(LOAD_ID, to_raw_value(&asked.id)?);
        }
        to_raw_value(&members)
    };
    let json = printed().map_err(|_unprinted| asked.refuse_as(errors::GENERAL_ERROR_F100))?;
    Ok(Worked { json, real_op })
}
