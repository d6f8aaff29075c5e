//! The book of permissions, charges and refunds, and what each operation does to it.

mod control;
mod notices;
mod sessions;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::Value;

pub use self::control::{ConsentAct, NewConsent, PaySettlement, SellerAct, ShownCharge, ShownConsent, ShownRefund};
pub use self::sessions::{SessionAct, ShownSession};
use self::state::PayPages;
use super::charge::{BookedCharge, ChargeStage};
use super::permission::{
    CARD_OF_LATE_CAPTURES, CARD_THAT_WAITS, CARD_THAT_WAITS_AND_IS_DECLINED, Consent, ConsentState,
};
use super::refund::{BookedRefund, REFUNDS_MAX, RefundStage, refundable};
use super::refusal::PayRefused;
use super::request::{ChargeWish, PayOrder, PayPrice, PayWish};
use super::{PayShown, answer};
use crate::sandbox::chance::Chance;

/// The largest charge in yen.
const CHARGE_YEN_MAX: i64 = 10_000_000;

/// The book. One operation at a time: of two equal ones at once, the second finds the answer of the first.
#[derive(Default)]
pub(in crate::sandbox) struct PayBook {
    pages: Mutex<PayPages>,
}

/// What an operation works with.
struct Desk<'a> {
    pages: &'a mut PayPages,
    merchant_id: &'a str,
    simulation: Option<&'a str>,
    now: DateTime<Utc>,
    chance: &'a Chance,
}

impl PayBook {
    fn pages(&self, now: DateTime<Utc>) -> MutexGuard<'_, PayPages> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.advance(now);
        pages
    }

    /// Carries an order out, or shows the answer that its key had before. Whether Amazon keeps declines under their key is not
    /// published; here it does: what was done (2xx) and what was declined or not allowed (422) is answered the same again. Any other refusal leaves the
    /// key as good as new.
    pub(super) fn perform(
        &self,
        merchant_id: &str,
        order: &PayOrder,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<PayShown, PayRefused> {
        let mut pages = self.pages(now);
        let Some((key, asked)) = &order.key else {
            return Desk::of(&mut pages, merchant_id, order, now, chance).carry_out(&order.wish);
        };
        let place = (merchant_id.to_owned(), key.clone());
        if let Some((before, shown)) = pages.answers.get(&place) {
            let other = || PayRefused::bad("DuplicateIdempotencyKey", "the idempotency key belongs to another request");
            return if before == asked { Ok(shown.clone()) } else { Err(other()) };
        }
        let done = Desk::of(&mut pages, merchant_id, order, now, chance).carry_out(&order.wish);
        let shown = done.unwrap_or_else(PayRefused::shown);
        if shown.status.is_success() || shown.status == StatusCode::UNPROCESSABLE_ENTITY {
            pages.answers.insert(place, (asked.clone(), shown.clone()));
        }
        Ok(shown)
    }
}

impl<'a> Desk<'a> {
    fn of(
        pages: &'a mut PayPages,
        merchant_id: &'a str,
        order: &'a PayOrder,
        now: DateTime<Utc>,
        chance: &'a Chance,
    ) -> Self {
        Self { pages, merchant_id, simulation: order.simulation.as_deref(), now, chance }
    }

    fn carry_out(&mut self, wish: &PayWish) -> Result<PayShown, PayRefused> {
        self.demand_simulation(wish)?;
        match wish {
            PayWish::CreateCharge(wish) => self.create_charge(wish),
            PayWish::GetCharge(id) => Ok(ok(self.shown_charge(id)?)),
            PayWish::Capture { id, price } => self.capture(id, price),
            PayWish::CancelCharge(id) => self.cancel_charge(id),
            PayWish::CreateRefund { charge_id, price } => self.create_refund(charge_id, price),
            PayWish::GetRefund(id) => {
                let merchant_id = self.merchant_id;
                let found = self.pages.refunds.iter().find(|one| one.id == *id && one.merchant_id == merchant_id);
                found.map(|refund| ok(answer::refund(refund))).ok_or_else(|| nothing("refund", id))
            }
            PayWish::GetPermission(id) => self.shown_permission(id),
            PayWish::ClosePermission { id, cancel_pending } => self.close(id, *cancel_pending),
            PayWish::GetSession(id) => Ok(ok(answer::session(self.session(id)?))),
            PayWish::CompleteSession { id, price } => self.complete(id, price),
        }
    }

    /// A code is good at one operation. Those of captures and refunds are not published, and so there are none.
    fn demand_simulation(&self, wish: &PayWish) -> Result<(), PayRefused> {
        let Some(code) = self.simulation else { return Ok(()) };
        let fits = match wish {
            PayWish::CreateCharge(wish) => match code {
                "SoftDeclined" | "HardDeclined" | "AmazonRejected" | "TransactionTimedOut" => true,
                "CaptureInitiated" => wish.capture_now,
                _ => false,
            },
            PayWish::ClosePermission { .. } => code == "AmazonClosed",
            PayWish::CompleteSession { .. } => matches!(code, "BuyerCanceled" | "AmazonCanceled" | "Declined"),
            PayWish::GetCharge(_)
            | PayWish::Capture { .. }
            | PayWish::CancelCharge(_)
            | PayWish::CreateRefund { .. }
            | PayWish::GetRefund(_)
            | PayWish::GetPermission(_)
            | PayWish::GetSession(_) => false,
        };
        let wrong = || {
            PayRefused::bad(
                "InvalidSandboxSimulationSpecified",
                format!("{code} cannot be simulated at this operation"),
            )
        };
        fits.then_some(()).ok_or_else(wrong)
    }

    fn create_charge(&mut self, wish: &ChargeWish) -> Result<PayShown, PayRefused> {
        let ChargeWish { permission_id, price, capture_now, may_wait, metadata } = wish;
        let consent = self.consent(permission_id)?;
        consent.demand_chargeable()?;
        demand_currency(price, &consent.currency)?;
        let (recurs, card) = (consent.recurs, consent.card.clone());
        if price.currency == "JPY" && price.amount > Decimal::from(CHARGE_YEN_MAX) {
            return Err(PayRefused::bad("TransactionAmountExceeded", "a charge has at most 10,000,000 yen"));
        }
        if price.amount > self.pages.balance(permission_id, self.now) {
            let reason = if recurs { "PeriodicAmountExceeded" } else { "TransactionAmountExceeded" };
            return Err(PayRefused::bad(reason, "the charge permission's limit has not as much left"));
        }
        let now = self.now;
        if let Some(code) = self.simulation.filter(|code| *code != "CaptureInitiated") {
            let consent = self.consent(permission_id)?;
            if code == "HardDeclined" {
                consent.becomes(ConsentState::NonChargeable("PaymentMethodInvalid".to_owned()), now);
            } else if code == "AmazonRejected" {
                consent.becomes(ConsentState::Closed("AmazonCanceled".to_owned()), now);
            }
            return Err(PayRefused::undone(code, "simulated"));
        }
        // A header beats a card.
        let waits =
            self.simulation.is_none() && [CARD_THAT_WAITS, CARD_THAT_WAITS_AND_IS_DECLINED].contains(&card.as_str());
        if waits && !may_wait {
            let message = "this card needs canHandlePendingAuthorization";
            return Err(PayRefused::bad("InvalidParameterCombination", message));
        }
        let mut charge = BookedCharge {
            id: self.charge_id(permission_id, recurs),
            merchant_id: self.merchant_id.to_owned(),
            permission_id: permission_id.clone(),
            currency: price.currency.clone(),
            amount: price.amount,
            captured: Decimal::ZERO,
            capture_now: *capture_now,
            may_wait: *may_wait,
            metadata: metadata.clone(),
            stage: if waits { ChargeStage::AuthorizationInitiated } else { ChargeStage::Authorized },
            reason: None,
            will_be_declined: card == CARD_THAT_WAITS_AND_IS_DECLINED,
            created: now,
            changed: now,
        };
        if *capture_now && !waits {
            charge.capture(price.amount, self.simulation.is_some(), now);
        }
        let json = answer::charge(&charge, Decimal::ZERO);
        self.pages.charges.push(charge);
        self.pages.close_used_up(now);
        Ok(answer::shown(StatusCode::CREATED, json))
    }

    fn capture(&mut self, id: &str, price: &PayPrice) -> Result<PayShown, PayRefused> {
        let now = self.now;
        let permission_id = self.charge(id)?.permission_id.clone();
        let late = self.consent(&permission_id)?.card == CARD_OF_LATE_CAPTURES;
        let charge = self.charge(id)?;
        charge.demand(&[ChargeStage::Authorized])?;
        demand_currency(price, &charge.currency)?;
        if price.amount > charge.amount {
            return Err(PayRefused::bad("TransactionAmountExceeded", "more than was authorized"));
        }
        charge.capture(price.amount, late, now);
        self.pages.close_used_up(now);
        Ok(ok(self.shown_charge(id)?))
    }

    fn cancel_charge(&mut self, id: &str) -> Result<PayShown, PayRefused> {
        let now = self.now;
        let charge = self.charge(id)?;
        charge.demand(&[ChargeStage::AuthorizationInitiated, ChargeStage::Authorized])?;
        charge.becomes(ChargeStage::Canceled, Some("MerchantCanceled"), now);
        Ok(ok(self.shown_charge(id)?))
    }

    fn create_refund(&mut self, charge_id: &str, price: &PayPrice) -> Result<PayShown, PayRefused> {
        let charge = self.charge(charge_id)?;
        charge.demand(&[ChargeStage::Captured])?;
        demand_currency(price, &charge.currency)?;
        let (most, currency) = (refundable(charge.captured, &charge.currency), charge.currency.clone());
        let (count, refunded) = self.pages.refunded(charge_id);
        if count >= REFUNDS_MAX {
            let message = format!("a charge has at most {REFUNDS_MAX} refunds");
            return Err(PayRefused::undone("TransactionCountExceeded", message));
        }
        if refunded.saturating_add(price.amount) > most {
            return Err(PayRefused::bad("TransactionAmountExceeded", "more than may be given back of this charge"));
        }
        let order_id = charge_id.split("-C").next().unwrap_or(charge_id);
        let refund = BookedRefund {
            id: format!("{order_id}-R{}", self.digits(6)),
            merchant_id: self.merchant_id.to_owned(),
            charge_id: charge_id.to_owned(),
            currency,
            amount: price.amount,
            stage: RefundStage::RefundInitiated,
            reason: None,
            created: self.now,
            changed: self.now,
        };
        let json = answer::refund(&refund);
        self.pages.refunds.push(refund);
        Ok(answer::shown(StatusCode::CREATED, json))
    }

    fn close(&mut self, id: &str, cancel_pending: bool) -> Result<PayShown, PayRefused> {
        let (now, by_amazon) = (self.now, self.simulation.is_some());
        let consent = self.consent(id)?;
        if consent.is_closed() {
            let message = "the charge permission is Closed";
            return Err(PayRefused::undone("InvalidChargePermissionStatus", message));
        }
        let reason = if by_amazon { "AmazonClosed" } else { "MerchantClosed" };
        consent.becomes(ConsentState::Closed(reason.to_owned()), now);
        if cancel_pending {
            self.pages.cancel_pending(id, now);
        }
        self.shown_permission(id)
    }

    fn shown_charge(&mut self, id: &str) -> Result<Value, PayRefused> {
        let (_count, refunded) = self.pages.refunded(id);
        Ok(answer::charge(self.charge(id)?, refunded))
    }

    fn shown_permission(&mut self, id: &str) -> Result<PayShown, PayRefused> {
        let balance = self.pages.balance(id, self.now);
        Ok(ok(answer::permission(self.consent(id)?, balance)))
    }

    /// What another merchant has is nothing to this one.
    fn consent(&mut self, id: &str) -> Result<&mut Consent, PayRefused> {
        let merchant_id = self.merchant_id;
        let found = self.pages.consents.iter_mut().find(|one| one.id == id && one.merchant_id == merchant_id);
        found.ok_or_else(|| nothing("charge permission", id))
    }

    fn charge(&mut self, id: &str) -> Result<&mut BookedCharge, PayRefused> {
        let merchant_id = self.merchant_id;
        let found = self.pages.charges.iter_mut().find(|one| one.id == id && one.merchant_id == merchant_id);
        found.ok_or_else(|| nothing("charge", id))
    }

    /// A charge under a recurring permission has an order id of its own.
    fn charge_id(&self, permission_id: &str, recurs: bool) -> String {
        let order_id =
            if recurs { format!("S03-{}-{}", self.digits(7), self.digits(7)) } else { permission_id.to_owned() };
        format!("{order_id}-C{}", self.digits(6))
    }

    fn digits(&self, count: usize) -> String {
        self.chance.digits(count)
    }
}

fn ok(json: Value) -> PayShown {
    answer::shown(StatusCode::OK, json)
}

fn nothing(what: &str, id: &str) -> PayRefused {
    PayRefused::missing(format!("there is no {what} {id:?}"))
}

fn demand_currency(price: &PayPrice, currency: &str) -> Result<(), PayRefused> {
    let wrong = || PayRefused::bad("CurrencyMismatch", format!("the currency is {currency}"));
    (price.currency == currency).then_some(()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
