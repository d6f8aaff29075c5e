//! The book of what buyers consented to, and of what sellers made of it; and what each operation does to it.

mod consents;
mod control;
mod money;
mod notices;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Datelike, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

pub use self::control::{
    MwsBuyerAct, NewMwsAgreement, NewMwsOrder, ShownMwsAuthorization, ShownMwsCapture, ShownMwsConsent, ShownMwsRefund,
};

use super::action::MwsAction;
use super::form::MwsForm;
use super::objects::{
    MWS_PENDING, MwsAuthorized, MwsCaptured, MwsConsented, MwsRefunded, MwsStage, MwsVerdict, after, with_headroom,
};
use super::refusal::MwsRefused;
use crate::sandbox::chance::Chance;

/// Who asked first under a reference id, for what, and what came of it: its kind of object, seller and reference id.
type ReferencePlace = (&'static str, String, String);

/// Everything, in the order in which it came.
#[derive(Default)]
struct MwsPages {
    consents: Vec<MwsConsented>,
    authorizations: Vec<MwsAuthorized>,
    captures: Vec<MwsCaptured>,
    refunds: Vec<MwsRefunded>,
    /// What was asked under each reference id, and the object that came of it. It is kept without end.
    asked: HashMap<ReferencePlace, (BTreeMap<String, String>, String)>,
}

/// The book. One operation at a time.
#[derive(Default)]
pub(in crate::sandbox) struct MwsBook {
    pages: Mutex<MwsPages>,
}

/// What an operation works with.
struct MwsDesk<'a> {
    pages: &'a mut MwsPages,
    seller_id: &'a str,
    form: &'a MwsForm,
    now: DateTime<Utc>,
    chance: &'a Chance,
}

type MwsWorked = Result<Value, MwsRefused>;

impl MwsBook {
    fn pages(&self, now: DateTime<Utc>) -> MutexGuard<'_, MwsPages> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.advance(now);
        pages
    }

    /// Carries an operation out.
    pub(super) fn perform(
        &self,
        seller_id: &str,
        action: MwsAction,
        form: &MwsForm,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> MwsWorked {
        let mut pages = self.pages(now);
        let mut desk = MwsDesk { pages: &mut pages, seller_id, form, now, chance };
        match action {
            MwsAction::SetOrderReferenceDetails => desk.set_order("OrderReferenceAttributes", true),
            MwsAction::SetOrderAttributes => desk.set_order("OrderAttributes", false),
            MwsAction::ConfirmOrderReference => desk.confirm("AmazonOrderReferenceId", "InvalidOrderReferenceStatus"),
            MwsAction::GetOrderReferenceDetails => desk.read_order(),
            MwsAction::Authorize => desk.authorize(false),
            MwsAction::GetAuthorizationDetails => desk.read_authorization(),
            MwsAction::Capture => desk.capture(),
            MwsAction::GetCaptureDetails => desk.read_capture(),
            MwsAction::Refund => desk.refund(),
            MwsAction::GetRefundDetails => desk.read_refund(),
            MwsAction::CloseAuthorization => desk.close_authorization(),
            MwsAction::CancelOrderReference => desk.cancel_order(),
            MwsAction::CloseOrderReference => desk.close("AmazonOrderReferenceId"),
            MwsAction::GetServiceStatus => Ok(json!({ "Status": "GREEN", "Timestamp": now })),
            MwsAction::GetBillingAgreementDetails => desk.read_agreement(),
            MwsAction::SetBillingAgreementDetails => desk.set_agreement(),
            MwsAction::ConfirmBillingAgreement => {
                desk.confirm("AmazonBillingAgreementId", "InvalidBillingAgreementStatus")
            }
            MwsAction::ValidateBillingAgreement => desk.validate(),
            MwsAction::AuthorizeOnBillingAgreement => desk.authorize(true),
            MwsAction::CreateOrderReferenceForId => desk.order_of_agreement(),
            MwsAction::CloseBillingAgreement => desk.close("AmazonBillingAgreementId"),
        }
    }
}

impl MwsPages {
    /// Does what time has done by now.
    fn advance(&mut self, now: DateTime<Utc>) {
        for consent in &mut self.consents {
            consent.step(now);
        }
        for at in 0..self.authorizations.len() {
            let Some(one) = self.authorizations.get(at) else { continue };
            let decided = after(one.created, MWS_PENDING);
            if one.standing.stage == MwsStage::Pending && now >= decided {
                self.decide(at, decided);
            }
        }
        for one in &mut self.authorizations {
            let end = one.expires();
            if one.standing.stage == MwsStage::Open && now >= end {
                let reason = match &one.verdict {
                    MwsVerdict::Close { reason, .. } => reason.clone(),
                    MwsVerdict::Accept | MwsVerdict::Decline { .. } => "ExpiredUnused".to_owned(),
                };
                one.standing.becomes(MwsStage::Closed, &reason, end);
            }
        }
        self.captures.iter_mut().for_each(|capture| capture.step(now));
        self.refunds.iter_mut().for_each(|refund| refund.step(now));
        self.close_used_up(now);
    }

    /// Decides about an authorization, and captures where that was asked for.
    fn decide(&mut self, at: usize, when: DateTime<Utc>) {
        let Some(one) = self.authorizations.get_mut(at) else { return };
        match one.verdict.clone() {
            MwsVerdict::Decline { reason, soft, mended_in } => {
                one.standing.becomes(MwsStage::Declined, &reason, when);
                one.soft = soft;
                let (consent_id, order_id) = (one.consent_id.clone(), one.order_id.clone());
                let method = reason == "InvalidPaymentMethod" && !soft;
                for consent in self.consents.iter_mut().filter(|consent| consent.id == consent_id) {
                    if method {
                        consent.suspend(mended_in, when);
                    }
                }
                // Later text of Amazon's: the order ends, and the agreement stays.
                if reason == "AmazonRejected" {
                    for order in self.consents.iter_mut().filter(|order| order.id == order_id && !order.recurs) {
                        order.standing.becomes(MwsStage::Closed, "AmazonClosed", when);
                    }
                }
            }
            MwsVerdict::Accept if one.capture_now => {
                one.standing.becomes(MwsStage::Closed, "MaxCapturesProcessed", when);
                let capture = MwsCaptured {
                    id: format!(
                        "{}-C{}",
                        one.order_id,
                        one.id.rsplit_once("-A").map_or("000000", |(_, digits)| digits)
                    ),
                    seller_id: one.seller_id.clone(),
                    authorization_id: one.id.clone(),
                    reference: one.reference.clone(),
                    note: None,
                    currency: one.currency.clone(),
                    amount: one.amount,
                    standing: super::objects::MwsStanding::new(MwsStage::Completed, when),
                    created: when,
                };
                self.captures.push(capture);
            }
            MwsVerdict::Accept | MwsVerdict::Close { .. } => one.standing.becomes(MwsStage::Open, "", when),
        }
    }

    /// An order ends when as much as may be is taken, or as often.
    fn close_used_up(&mut self, now: DateTime<Utc>) {
        for order in self.consents.iter_mut().filter(|consent| !consent.recurs) {
            let Some(total) = order.limit.filter(|_total| order.standing.stage == MwsStage::Open) else { continue };
            let of_order = |capture: &&MwsCaptured| {
                let by = self.authorizations.iter().find(|one| one.id == capture.authorization_id);
                capture.is_paid() && by.is_some_and(|one| one.order_id == order.id)
            };
            let taken: Decimal = self.captures.iter().filter(of_order).map(|capture| capture.amount).sum();
            if taken >= with_headroom(total, &order.currency) {
                order.standing.becomes(MwsStage::Closed, "MaxAmountCharged", now);
            } else if self.captures.iter().filter(of_order).count() >= super::objects::AUTHORIZATIONS_MAX {
                order.standing.becomes(MwsStage::Closed, "MaxAuthorizationsCaptured", now);
            }
        }
    }

    fn captured_of(&self, authorization_id: &str) -> Option<&MwsCaptured> {
        self.captures.iter().find(|capture| capture.authorization_id == authorization_id)
    }

    /// What is taken of a consent's limit: of all of it, or of this month's.
    fn used(&self, consent: &MwsConsented, now: DateTime<Utc>) -> Decimal {
        let month = |at: DateTime<Utc>| (at.year(), at.month());
        let counts = |one: &&MwsAuthorized| {
            one.consent_id == consent.id && (!consent.recurs || month(one.created) == month(now))
        };
        let weight =
            |one: &MwsAuthorized| {
                let capture = self.captured_of(&one.id);
                let taken = capture.map(|capture| {
                    if capture.standing.stage == MwsStage::Declined { Decimal::ZERO } else { capture.amount }
                });
                one.weight(taken)
            };
        self.authorizations.iter().filter(counts).map(weight).sum()
    }

    /// How many refunds a capture has, and of how much.
    fn returned(&self, capture_id: &str) -> (usize, Decimal) {
        let of_capture = || self.refunds.iter().filter(|refund| refund.capture_id == capture_id);
        (of_capture().count(), of_capture().map(MwsRefunded::weight).sum())
    }
}

impl MwsDesk<'_> {
    /// What was made before under this reference id. The same question has the same answer, and another one is refused.
    fn made_before(&self, kind: &'static str, reference: &str, under: &str) -> Result<Option<String>, MwsRefused> {
        let place = (kind, self.seller_id.to_owned(), reference.to_owned());
        let Some((asked, id)) = self.pages.asked.get(&place) else { return Ok(None) };
        if *asked == self.form.asked() {
            return Ok(Some(id.clone()));
        }
        let same_object = asked.get(under) == self.form.asked().get(under);
        let code = if same_object { "DuplicateRequest" } else { "DuplicateReferenceId" };
        Err(MwsRefused::of(400, code, "the reference id belongs to another request"))
    }

    fn remember(&mut self, kind: &'static str, reference: &str, id: &str) {
        let place = (kind, self.seller_id.to_owned(), reference.to_owned());
        self.pages.asked.insert(place, (self.form.asked(), id.to_owned()));
    }
}
