//! What the buyer, the bank and Amazon do, by the control port.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::PayBook;
use crate::sandbox::chance::Chance;
use crate::sandbox::pay::charge::{BookedCharge, ChargeStage};
use crate::sandbox::pay::permission::{Consent, ConsentState};
use crate::sandbox::pay::refund::RefundStage;
use crate::sandbox::pay::request::price;

/// A consent that a buyer gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewConsent {
    /// To which merchant.
    pub merchant_id: String,
    /// How much: of one order, or of each calendar month. Decimal text.
    pub limit: String,
    /// Whether charges may recur.
    #[serde(default)]
    pub recurring: bool,
    /// Its currency.
    #[serde(default = "yen")]
    pub currency: String,
    /// The last four digits of the card. That of 0701 waits, that of 4354 waits and is declined, that of 0702 is captured
    /// late, and every other is good.
    #[serde(default = "good_card")]
    pub card: String,
    /// The merchant's own reference.
    #[serde(default)]
    pub reference: Option<String>,
}

fn yen() -> String {
    "JPY".to_owned()
}

fn good_card() -> String {
    "1111".to_owned()
}

/// Something that happens to a consent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum ConsentAct {
    /// It cannot be charged for now.
    Suspend {
        /// Which.
        charge_permission_id: String,
        /// Amazon's word for why.
        #[serde(default = "invalid_method")]
        reason: String,
    },
    /// It can be charged again: the buyer changed the payment method.
    Mend {
        /// Which.
        charge_permission_id: String,
    },
    /// It ends, on the buyer's page or by Amazon.
    Close {
        /// Which.
        charge_permission_id: String,
        /// Amazon's word for why.
        #[serde(default = "by_the_buyer")]
        reason: String,
    },
}

fn invalid_method() -> String {
    "PaymentMethodInvalid".to_owned()
}

fn by_the_buyer() -> String {
    "BuyerClosed".to_owned()
}

/// What the merchant's own staff does to a charge that holds money, past every program.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum SellerAct {
    /// Takes all that it holds.
    Capture {
        /// Which.
        charge_id: String,
    },
    /// Gives back what it holds.
    Cancel {
        /// Which.
        charge_id: String,
    },
}

/// Declines what is pending: an authorization, a capture, or a refund.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaySettlement {
    /// The charge, or the refund.
    pub id: String,
    /// Amazon's word for why.
    pub reason: String,
}

/// A consent as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownConsent {
    pub charge_permission_id: String,
    pub merchant_id: String,
    pub recurring: bool,
    pub currency: String,
    pub limit: String,
    pub balance: String,
    pub state: String,
    pub reason: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// A charge as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownCharge {
    pub charge_id: String,
    pub charge_permission_id: String,
    pub merchant_id: String,
    pub currency: String,
    pub amount: String,
    pub captured: String,
    pub refunded: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A refund as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownRefund {
    pub refund_id: String,
    pub charge_id: String,
    pub merchant_id: String,
    pub currency: String,
    pub amount: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl PayBook {
    /// Makes a consent, and returns its id.
    pub(in crate::sandbox) fn consent(
        &self,
        new: NewConsent,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<String, String> {
        let NewConsent { merchant_id, limit, recurring, currency, card, reference } = new;
        let limit = price(&limit, &currency).ok_or("limit must be an amount above zero of the currency")?.amount;
        if merchant_id.is_empty() || card.len() != 4 || !card.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("merchant_id must not be empty, and card must have four digits".to_owned());
        }
        let prefix = if recurring { "C03" } else { "S03" };
        let id = format!("{prefix}-{}-{}", chance.digits(7), chance.digits(7));
        let consent = Consent {
            id: id.clone(),
            merchant_id,
            recurs: recurring,
            currency,
            limit,
            card,
            state: ConsentState::Chargeable,
            created: now,
            changed: now,
            reference,
        };
        self.pages(now).consents.push(consent);
        Ok(id)
    }

    /// Does something to a consent, as only the buyer, the bank or Amazon can.
    pub(in crate::sandbox) fn act(&self, act: ConsentAct, now: DateTime<Utc>) -> Result<(), String> {
        let (id, state) = match act {
            ConsentAct::Suspend { charge_permission_id, reason } => {
                (charge_permission_id, ConsentState::NonChargeable(reason))
            }
            ConsentAct::Mend { charge_permission_id } => (charge_permission_id, ConsentState::Chargeable),
            ConsentAct::Close { charge_permission_id, reason } => (charge_permission_id, ConsentState::Closed(reason)),
        };
        let mut pages = self.pages(now);
        let consent = pages.consents.iter_mut().find(|consent| consent.id == id);
        let consent = consent.ok_or_else(|| format!("there is no charge permission {id:?}"))?;
        if consent.is_closed() {
            return Err(format!("the charge permission {id} is closed, and stays closed"));
        }
        consent.becomes(state, now);
        Ok(())
    }

    /// Captures or cancels a charge that holds money.
    pub(in crate::sandbox) fn act_as_seller(&self, act: &SellerAct, now: DateTime<Utc>) -> Result<(), String> {
        let (SellerAct::Capture { charge_id: id } | SellerAct::Cancel { charge_id: id }) = act;
        let mut pages = self.pages(now);
        let held = pages.charges.iter_mut().find(|charge| charge.id == *id && charge.stage == ChargeStage::Authorized);
        let charge = held.ok_or_else(|| format!("no charge of the id {id:?} holds money"))?;
        match act {
            SellerAct::Capture { .. } => charge.capture(charge.amount, false, now),
            SellerAct::Cancel { .. } => charge.becomes(ChargeStage::Canceled, Some("MerchantCanceled"), now),
        }
        pages.close_used_up(now);
        Ok(())
    }

    /// Declines what is pending.
    pub(in crate::sandbox) fn decline(&self, settlement: &PaySettlement, now: DateTime<Utc>) -> Result<(), String> {
        let PaySettlement { id, reason } = settlement;
        let mut pages = self.pages(now);
        let pending = |stage| matches!(stage, ChargeStage::AuthorizationInitiated | ChargeStage::CaptureInitiated);
        if let Some(charge) = pages.charges.iter_mut().find(|charge| charge.id == *id && pending(charge.stage)) {
            charge.decline(reason, now);
            return Ok(());
        }
        let initiated = RefundStage::RefundInitiated;
        let refund = pages.refunds.iter_mut().find(|refund| refund.id == *id && refund.stage == initiated);
        let refund = refund.ok_or_else(|| format!("nothing of the id {id:?} is pending"))?;
        refund.stage = RefundStage::Declined;
        refund.reason = Some(reason.clone());
        refund.changed = now;
        Ok(())
    }

    pub(in crate::sandbox) fn shown_consents(&self, now: DateTime<Utc>) -> Vec<ShownConsent> {
        let pages = self.pages(now);
        let shown = |consent: &Consent| {
            let (state, reason) = match &consent.state {
                ConsentState::Chargeable => ("Chargeable", None),
                ConsentState::NonChargeable(reason) => ("NonChargeable", Some(reason.clone())),
                ConsentState::Closed(reason) => ("Closed", Some(reason.clone())),
            };
            ShownConsent {
                charge_permission_id: consent.id.clone(),
                merchant_id: consent.merchant_id.clone(),
                recurring: consent.recurs,
                currency: consent.currency.clone(),
                limit: consent.limit.to_string(),
                balance: pages.balance(&consent.id, now).to_string(),
                state: state.to_owned(),
                reason,
                expires_at: consent.expires(),
            }
        };
        pages.consents.iter().map(shown).collect()
    }

    pub(in crate::sandbox) fn shown_charges(&self, now: DateTime<Utc>) -> Vec<ShownCharge> {
        let pages = self.pages(now);
        let shown = |charge: &BookedCharge| {
            let (state, refunded): (&'static str, Decimal) = (charge.stage.into(), pages.refunded(&charge.id).1);
            ShownCharge {
                charge_id: charge.id.clone(),
                charge_permission_id: charge.permission_id.clone(),
                merchant_id: charge.merchant_id.clone(),
                currency: charge.currency.clone(),
                amount: charge.amount.to_string(),
                captured: charge.captured.to_string(),
                refunded: refunded.to_string(),
                state: state.to_owned(),
                reason: charge.reason.clone(),
                created_at: charge.created,
            }
        };
        pages.charges.iter().map(shown).collect()
    }

    pub(in crate::sandbox) fn shown_refunds(&self, now: DateTime<Utc>) -> Vec<ShownRefund> {
        let pages = self.pages(now);
        let shown = pages.refunds.iter().map(|refund| {
            let state: &'static str = refund.stage.into();
            ShownRefund {
                refund_id: refund.id.clone(),
                charge_id: refund.charge_id.clone(),
                merchant_id: refund.merchant_id.clone(),
                currency: refund.currency.clone(),
                amount: refund.amount.to_string(),
                state: state.to_owned(),
                reason: refund.reason.clone(),
                created_at: refund.created,
            }
        });
        shown.collect()
    }
}
