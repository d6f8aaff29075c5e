//! Order references and billing agreements: set, confirm, read, validate, end.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{MwsDesk, MwsWorked};
use crate::sandbox::mws::objects::{MwsConsented, MwsStage, MwsStanding, ORDER_YEN_MAX};
use crate::sandbox::mws::refusal::MwsRefused;
use crate::sandbox::mws::shown;
use crate::sandbox::mws::simulation::Play;

/// Characters of the longest note.
const NOTE_MAX: usize = 1024;
const AGREEMENT: &str = "AmazonBillingAgreementId";
const ORDER: &str = "AmazonOrderReferenceId";

impl MwsDesk<'_> {
    /// What a parameter names, of the seller's own.
    pub(super) fn consent(&mut self, parameter: &str) -> Result<&mut MwsConsented, MwsRefused> {
        let (id, recurs) = (self.form.need(parameter)?, parameter == AGREEMENT || parameter == "Id");
        let seller_id = self.seller_id;
        let found = self.pages.consents.iter_mut().find(|one| one.id == id && one.seller_id == seller_id);
        let code = if recurs { "InvalidBillingAgreementId" } else { "InvalidOrderReferenceId" };
        found.filter(|one| one.recurs == recurs).ok_or_else(|| MwsRefused::of(404, code, format!("there is no {id}")))
    }

    pub(super) fn read_order(&mut self) -> MwsWorked {
        let order = self.consent(ORDER)?.clone();
        let own = self.pages.authorizations.iter().filter(|one| one.order_id == order.id);
        Ok(shown::order(&order, &own.map(|one| one.id.clone()).collect::<Vec<_>>()))
    }

    pub(super) fn read_agreement(&mut self) -> MwsWorked {
        let agreement = self.consent(AGREEMENT)?.clone();
        let left = agreement.limit.unwrap_or_default().saturating_sub(self.pages.used(&agreement, self.now));
        Ok(shown::agreement(&agreement, left.max(Decimal::ZERO)))
    }

    /// The details of an order: its total before it is confirmed, and the rest later as well where the operation is the later one.
    pub(super) fn set_order(&mut self, prefix: &str, only_draft: bool) -> MwsWorked {
        let form = self.form;
        let named = |name: &str| format!("{prefix}.{name}");
        let total_named = form.text(&named("OrderTotal.Amount")).is_some();
        let total = if only_draft || total_named { Some(form.price(&named("OrderTotal"))?) } else { None };
        let note = form.short(&named("SellerNote"), NOTE_MAX)?;
        let text = |name: &str| form.text(&named(&format!("SellerOrderAttributes.{name}"))).map(str::to_owned);
        let order = self.consent(ORDER)?;
        let is_draft = order.standing.stage == MwsStage::Draft;
        if !is_draft && (only_draft || total.is_some()) || order.standing.is_over() {
            return Err(MwsRefused::state("OrderReferenceNotModifiable", "the order reference is no draft"));
        }
        if let Some(total) = total {
            if total.currency != order.currency {
                return Err(MwsRefused::of(400, "CurrencyMismatch", format!("the currency is {}", order.currency)));
            }
            if total.currency == "JPY" && total.amount > Decimal::from(ORDER_YEN_MAX) {
                return Err(MwsRefused::of(400, "TransactionAmountExceeded", "an order is of 10,000,000 yen at most"));
            }
            order.limit = Some(total.amount);
        }
        order.notes.seller_note = note.map(str::to_owned).or_else(|| order.notes.seller_note.take());
        order.notes.own_id = text("SellerOrderId").or_else(|| order.notes.own_id.take());
        order.notes.store_name = text("StoreName").or_else(|| order.notes.store_name.take());
        order.notes.custom = text("CustomInformation").or_else(|| order.notes.custom.take());
        self.read_order()
    }

    pub(super) fn set_agreement(&mut self) -> MwsWorked {
        let form = self.form;
        let note = form.short("BillingAgreementAttributes.SellerNote", NOTE_MAX)?;
        let text = |name: &str| {
            form.text(&format!("BillingAgreementAttributes.SellerBillingAgreementAttributes.{name}")).map(str::to_owned)
        };
        let play = Play::read(note)?;
        if let Some(play) = &play {
            play.demand(&[("", "InvalidPaymentMethod"), ("Declined", "ValidationTimedOut")])?;
        }
        let agreement = self.consent(AGREEMENT)?;
        if agreement.standing.stage != MwsStage::Draft {
            return Err(MwsRefused::state("BillingAgreementNotModifiable", "the billing agreement is no draft"));
        }
        agreement.is_set = true;
        agreement.validation = play.map(|play| (play.reason_code, play.payment_method_update_time_in_mins));
        agreement.notes.seller_note = note.map(str::to_owned);
        agreement.notes.own_id = text("SellerBillingAgreementId");
        agreement.notes.store_name = text("StoreName");
        agreement.notes.custom = text("CustomInformation");
        self.read_agreement()
    }

    /// A draft is opened where nothing keeps it from that. An agreement may be confirmed again: the buyer chose another payment method.
    pub(super) fn confirm(&mut self, parameter: &str, wrong_state: &str) -> MwsWorked {
        let now = self.now;
        let consent = self.consent(parameter)?;
        let again = consent.recurs && matches!(consent.standing.stage, MwsStage::Open | MwsStage::Suspended);
        if consent.standing.stage != MwsStage::Draft && !again {
            return Err(MwsRefused::of(400, wrong_state, "it cannot be confirmed"));
        }
        let constraints = consent.constraints();
        if !constraints.is_empty() {
            let code = if consent.recurs { "BillingAgreementConstraintsExist" } else { "ConstraintsExist" };
            return Err(MwsRefused::of(400, code, constraints.join(", ")));
        }
        if consent.standing.stage != MwsStage::Open {
            consent.standing.becomes(MwsStage::Open, "", now);
            consent.mended_at = None;
        }
        Ok(json!({}))
    }

    pub(super) fn validate(&mut self) -> MwsWorked {
        let now = self.now;
        let agreement = self.consent(AGREEMENT)?;
        if agreement.standing.stage != MwsStage::Open {
            return Err(MwsRefused::of(400, "InvalidBillingAgreementStatus", "the billing agreement is not open"));
        }
        let validation = agreement.validation.clone();
        if let Some((reason, minutes)) = &validation
            && reason == "InvalidPaymentMethod"
        {
            agreement.suspend(*minutes, now);
        }
        Ok(shown::validation(validation.as_ref().map(|(reason, _minutes)| reason.as_str()), &agreement.standing))
    }

    /// Ends an order or an agreement. What is held stays held, and can be captured.
    pub(super) fn close(&mut self, parameter: &str) -> MwsWorked {
        let (now, form) = (self.now, self.form);
        let play = Play::read(form.short("ClosureReason", NOTE_MAX)?)?;
        if let Some(play) = &play {
            play.demand(&[("Closed", "AmazonClosed")])?;
        }
        let consent = self.consent(parameter)?;
        let open = matches!(consent.standing.stage, MwsStage::Open | MwsStage::Suspended);
        if !open && consent.standing.stage != MwsStage::Closed {
            return Err(MwsRefused::of(400, "InvalidCloseAttempt", "it is neither open nor suspended"));
        }
        if open {
            consent.standing.becomes(MwsStage::Closed, play.map_or("SellerClosed", |_play| "AmazonClosed"), now);
        }
        Ok(json!({}))
    }

    /// Cancels an order of which nothing was taken, and gives back what is held for it.
    pub(super) fn cancel_order(&mut self) -> MwsWorked {
        let now = self.now;
        self.form.short("CancelationReason", NOTE_MAX)?;
        let order = self.consent(ORDER)?.clone();
        let own = |id: &str| self.pages.authorizations.iter().any(|one| one.id == id && one.order_id == order.id);
        let taken = self
            .pages
            .captures
            .iter()
            .any(|capture| own(&capture.authorization_id) && !matches!(capture.standing.stage, MwsStage::Declined));
        let open = matches!(order.standing.stage, MwsStage::Open | MwsStage::Suspended);
        if taken || !(open || order.standing.stage == MwsStage::Canceled) {
            return Err(MwsRefused::of(400, "InvalidCancelAttempt", "it is not open, or something of it was taken"));
        }
        for one in self.pages.authorizations.iter_mut().filter(|one| one.order_id == order.id) {
            if matches!(one.standing.stage, MwsStage::Pending | MwsStage::Open) {
                one.standing.becomes(MwsStage::Closed, "OrderReferenceCanceled", now);
            }
        }
        if open {
            self.consent(ORDER)?.standing.becomes(MwsStage::Canceled, "SellerCanceled", now);
        }
        Ok(json!({}))
    }

    /// An order that is made of an agreement: any number of an open one, and one of a draft, which is confirmed at once.
    pub(super) fn order_of_agreement(&mut self) -> MwsWorked {
        let form = self.form;
        if form.need("IdType")? != "BillingAgreement" {
            return Err(MwsRefused::bad("IdType must be BillingAgreement"));
        }
        let confirm = form.flag("ConfirmNow", false)?;
        let total = if confirm { Some(form.price("OrderReferenceAttributes.OrderTotal")?) } else { None };
        let agreement = self.consent("Id")?.clone();
        let others =
            self.pages.consents.iter().filter(|one| one.parent.as_deref() == Some(agreement.id.as_str())).count();
        match agreement.standing.stage {
            MwsStage::Open => {}
            MwsStage::Draft if confirm && others == 0 => {}
            MwsStage::Draft => {
                return Err(MwsRefused::state("OrderReferenceCountExceeded", "a draft has one order, with ConfirmNow"));
            }
            MwsStage::Pending
            | MwsStage::Suspended
            | MwsStage::Completed
            | MwsStage::Declined
            | MwsStage::Closed
            | MwsStage::Canceled => {
                return Err(MwsRefused::of(400, "InvalidBillingAgreementStatus", "the billing agreement is not open"));
            }
        }
        let id = self.order_id();
        let stage = if confirm { MwsStage::Open } else { MwsStage::Draft };
        let order = MwsConsented {
            id: id.clone(),
            recurs: false,
            parent: Some(agreement.id.clone()),
            limit: total.map(|total| total.amount),
            standing: MwsStanding::new(stage, self.now),
            created: self.now,
            validation: None,
            ..agreement
        };
        self.pages.consents.push(order.clone());
        Ok(shown::order(&order, &[]))
    }

    pub(super) fn order_id(&self) -> String {
        format!("S03-{}-{}", self.chance.digits(7), self.chance.digits(7))
    }

    pub(super) fn done() -> Value {
        json!({})
    }
}
