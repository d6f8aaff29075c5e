//! What the buyer and the bank do, by the control port, and what is seen of it.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{MwsBook, MwsPages};
use crate::sandbox::chance::Chance;
use crate::sandbox::mws::objects::{MwsConsented, MwsStage, MwsStanding, Notes};

/// An order reference that a buyer's page makes: a draft, or with an amount one that is confirmed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMwsOrder {
    /// Of which seller.
    pub seller_id: String,
    /// How much; decimal text.
    #[serde(default)]
    pub amount: Option<String>,
    /// Its currency.
    #[serde(default = "yen")]
    pub currency: String,
}

/// A billing agreement that a buyer's page makes: a draft, or one that the buyer agreed to and that is confirmed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMwsAgreement {
    /// Of which seller.
    pub seller_id: String,
    /// How much a month; decimal text.
    pub limit: String,
    /// The buyer agreed, and it is confirmed.
    #[serde(default)]
    pub open: bool,
    /// Its currency.
    #[serde(default = "yen")]
    pub currency: String,
}

fn yen() -> String {
    "JPY".to_owned()
}

/// Something that the buyer, the bank or Amazon does to an order or an agreement.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum MwsBuyerAct {
    /// The buyer agrees to charges that recur.
    Agree {
        /// Which.
        id: String,
    },
    /// The payment method is not good any more.
    Suspend {
        /// Which.
        id: String,
    },
    /// The buyer changed it at Amazon's site.
    Mend {
        /// Which.
        id: String,
    },
    /// Amazon ends it, or the buyer does.
    Close {
        /// Which.
        id: String,
        /// Amazon's word for why.
        #[serde(default = "by_amazon")]
        reason: String,
    },
}

fn by_amazon() -> String {
    "AmazonClosed".to_owned()
}

/// An order or an agreement as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownMwsConsent {
    pub id: String,
    pub seller_id: String,
    pub recurring: bool,
    pub currency: String,
    pub limit: Option<String>,
    pub used: String,
    pub state: String,
    pub reason: Option<String>,
}

/// An authorization as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownMwsAuthorization {
    pub authorization_id: String,
    pub consent_id: String,
    pub reference_id: String,
    pub amount: String,
    pub state: String,
    pub reason: Option<String>,
}

/// A capture as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownMwsCapture {
    pub capture_id: String,
    pub authorization_id: String,
    pub consent_id: String,
    pub amount: String,
    pub refunded: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A refund as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownMwsRefund {
    pub refund_id: String,
    pub capture_id: String,
    pub authorization_id: String,
    pub amount: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl MwsBook {
    /// Makes an order, and returns its id.
    pub(in crate::sandbox) fn order(
        &self,
        new: NewMwsOrder,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<String, String> {
        let NewMwsOrder { seller_id, amount, currency } = new;
        let amount = amount.map(|text| above_zero("amount", &text)).transpose()?;
        let id = format!("S03-{}-{}", chance.digits(7), chance.digits(7));
        let stage = if amount.is_some() { MwsStage::Open } else { MwsStage::Draft };
        let consented = made(id.clone(), seller_id, currency, amount, MwsStanding::new(stage, now));
        self.pages(now).consents.push(consented);
        Ok(id)
    }

    /// Makes an agreement, and returns its id.
    pub(in crate::sandbox) fn agreement(
        &self,
        new: NewMwsAgreement,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<String, String> {
        let NewMwsAgreement { seller_id, limit, open, currency } = new;
        let limit = above_zero("limit", &limit)?;
        let id = format!("C03-{}-{}", chance.digits(7), chance.digits(7));
        let standing = MwsStanding::new(if open { MwsStage::Open } else { MwsStage::Draft }, now);
        let made = made(id.clone(), seller_id, currency, Some(limit), standing);
        let agreement = MwsConsented { recurs: true, consented: open, is_set: open, ..made };
        self.pages(now).consents.push(agreement);
        Ok(id)
    }

    /// Does something to an order or an agreement.
    pub(in crate::sandbox) fn act(&self, act: MwsBuyerAct, now: DateTime<Utc>) -> Result<(), String> {
        let mut pages = self.pages(now);
        let (MwsBuyerAct::Agree { id }
        | MwsBuyerAct::Suspend { id }
        | MwsBuyerAct::Mend { id }
        | MwsBuyerAct::Close { id, .. }) = &act;
        let consent = pages.consents.iter_mut().find(|consent| consent.id == *id);
        let consent = consent.ok_or_else(|| format!("there is no {id}"))?;
        if consent.standing.is_over() {
            return Err(format!("{id} is over, and stays so"));
        }
        match act {
            MwsBuyerAct::Agree { .. } => consent.consented = true,
            MwsBuyerAct::Suspend { .. } => consent.suspend(None, now),
            MwsBuyerAct::Mend { .. } if consent.standing.stage == MwsStage::Suspended => {
                consent.standing.becomes(MwsStage::Open, "", now);
            }
            MwsBuyerAct::Mend { .. } => {}
            MwsBuyerAct::Close { reason, .. } => consent.standing.becomes(MwsStage::Closed, &reason, now),
        }
        Ok(())
    }

    pub(in crate::sandbox) fn shown_consents(&self, now: DateTime<Utc>) -> Vec<ShownMwsConsent> {
        let pages = self.pages(now);
        let shown = |consent: &MwsConsented| {
            let state: &'static str = consent.standing.stage.into();
            ShownMwsConsent {
                id: consent.id.clone(),
                seller_id: consent.seller_id.clone(),
                recurring: consent.recurs,
                currency: consent.currency.clone(),
                limit: consent.limit.map(|limit| limit.to_string()),
                used: pages.used(consent, now).to_string(),
                state: state.to_owned(),
                reason: consent.standing.reason.clone(),
            }
        };
        pages.consents.iter().map(shown).collect()
    }

    pub(in crate::sandbox) fn shown_authorizations(&self, now: DateTime<Utc>) -> Vec<ShownMwsAuthorization> {
        let pages = self.pages(now);
        let shown = pages.authorizations.iter().map(|one| {
            let state: &'static str = one.standing.stage.into();
            ShownMwsAuthorization {
                authorization_id: one.id.clone(),
                consent_id: one.consent_id.clone(),
                reference_id: one.reference.clone(),
                amount: one.amount.to_string(),
                state: state.to_owned(),
                reason: one.standing.reason.clone(),
            }
        });
        shown.collect()
    }

    pub(in crate::sandbox) fn shown_captures(&self, now: DateTime<Utc>) -> Vec<ShownMwsCapture> {
        let pages = self.pages(now);
        let shown = pages.captures.iter().map(|capture| {
            let state: &'static str = capture.standing.stage.into();
            let by = pages.authorizations.iter().find(|one| one.id == capture.authorization_id);
            ShownMwsCapture {
                capture_id: capture.id.clone(),
                authorization_id: capture.authorization_id.clone(),
                consent_id: by.map(|one| one.consent_id.clone()).unwrap_or_default(),
                amount: capture.amount.to_string(),
                refunded: pages.returned(&capture.id).1.to_string(),
                state: state.to_owned(),
                reason: capture.standing.reason.clone(),
                created_at: capture.created,
            }
        });
        shown.collect()
    }

    pub(in crate::sandbox) fn shown_mws_refunds(&self, now: DateTime<Utc>) -> Vec<ShownMwsRefund> {
        let pages = self.pages(now);
        let shown = pages.refunds.iter().map(|refund| {
            let state: &'static str = refund.standing.stage.into();
            ShownMwsRefund {
                refund_id: refund.id.clone(),
                capture_id: refund.capture_id.clone(),
                authorization_id: authorization_of(&pages, &refund.capture_id),
                amount: refund.amount.to_string(),
                state: state.to_owned(),
                reason: refund.standing.reason.clone(),
                created_at: refund.created,
            }
        });
        shown.collect()
    }
}

fn authorization_of(pages: &MwsPages, capture_id: &str) -> String {
    let capture = pages.captures.iter().find(|capture| capture.id == capture_id);
    capture.map(|capture| capture.authorization_id.clone()).unwrap_or_default()
}

fn above_zero(name: &str, text: &str) -> Result<Decimal, String> {
    let amount = Decimal::from_str_exact(text).ok().filter(|amount| *amount > Decimal::ZERO);
    amount.ok_or_else(|| format!("{name} must be an amount above zero"))
}

fn made(
    id: String,
    seller_id: String,
    currency: String,
    limit: Option<Decimal>,
    standing: MwsStanding,
) -> MwsConsented {
    let created = standing.since;
    MwsConsented {
        id,
        seller_id,
        recurs: false,
        parent: None,
        currency,
        limit,
        consented: false,
        is_set: false,
        notes: Notes::default(),
        standing,
        created,
        mended_at: None,
        validation: None,
    }
}
