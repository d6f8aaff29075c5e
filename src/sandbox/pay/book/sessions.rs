//! Checkout sessions: a buyer opens one, and the merchant completes it.

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Desk, PayBook, nothing, ok};
use crate::sandbox::chance::Chance;
use crate::sandbox::pay::permission::{Consent, ConsentState};
use crate::sandbox::pay::refusal::PayRefused;
use crate::sandbox::pay::request::{ButtonWish, PayPrice, price};
use crate::sandbox::pay::session::{BookedSession, SessionState};
use crate::sandbox::pay::{PayShown, answer};

/// How many times a recurring button's amount may be charged in a month, where the control port says nothing.
const TIMES_A_MONTH: i64 = 10;

/// What a buyer does about a session.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum SessionAct {
    /// The buyer goes back, and agrees to nothing.
    Leave {
        /// Which.
        checkout_session_id: String,
    },
}

/// A session as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members of Amazon's own object")]
pub struct ShownSession {
    pub checkout_session_id: String,
    pub merchant_id: String,
    pub recurring: bool,
    pub currency: String,
    pub amount: String,
    pub state: String,
    pub reason: Option<String>,
    pub charge_permission_id: Option<String>,
    /// Where the buyer's browser is sent.
    pub return_url: String,
    pub expires_at: DateTime<Utc>,
}

impl PayBook {
    /// Opens a session, as a buyer does who agrees.
    pub(in crate::sandbox::pay) fn open_session(
        &self,
        merchant_id: String,
        wish: ButtonWish,
        buyer: (Option<&str>, &str),
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<ShownSession, PayRefused> {
        let ButtonWish { store_id, return_url, recurs, price: asked, metadata } = wish;
        let (said, card) = buyer;
        let limit = match said {
            Some(text) => price(text, &asked.currency).map(|price| price.amount).ok_or_else(|| {
                PayRefused::bad("InvalidParameterValue", "limit must be an amount above zero of the button's currency")
            })?,
            None if recurs => asked.amount.saturating_mul(Decimal::from(TIMES_A_MONTH)),
            None => asked.amount,
        };
        let id = ["8", "4", "4", "4", "12"].map(|part| chance.digits(part.parse().unwrap_or(4))).join("-");
        let session = BookedSession {
            id,
            merchant_id,
            store_id,
            return_url,
            recurs,
            price: asked,
            limit,
            card: card.to_owned(),
            metadata,
            state: SessionState::Open,
            created: now,
            changed: now,
        };
        let opened = shown(&session);
        self.pages(now).sessions.push(session);
        Ok(opened)
    }

    /// Does what a buyer does.
    pub(in crate::sandbox) fn act_on_session(&self, act: SessionAct, now: DateTime<Utc>) -> Result<(), String> {
        let SessionAct::Leave { checkout_session_id: id } = act;
        let mut pages = self.pages(now);
        let found = pages.sessions.iter_mut().find(|session| session.id == id);
        let session = found.ok_or_else(|| format!("there is no checkout session {id:?}"))?;
        if session.state != SessionState::Open {
            return Err(format!("the checkout session {id} is not open"));
        }
        session.becomes(SessionState::Canceled("BuyerCanceled".to_owned()), now);
        Ok(())
    }

    pub(in crate::sandbox) fn shown_sessions(&self, now: DateTime<Utc>) -> Vec<ShownSession> {
        self.pages(now).sessions.iter().map(shown).collect()
    }
}

fn shown(session: &BookedSession) -> ShownSession {
    let (state, reason, charge_permission_id) = match &session.state {
        SessionState::Open => ("Open", None, None),
        SessionState::Completed { permission_id } => ("Completed", None, Some(permission_id.clone())),
        SessionState::Canceled(reason) => ("Canceled", Some(reason.clone()), None),
    };
    let joint = if session.return_url.contains('?') { '&' } else { '?' };
    ShownSession {
        checkout_session_id: session.id.clone(),
        merchant_id: session.merchant_id.clone(),
        recurring: session.recurs,
        currency: session.price.currency.clone(),
        amount: session.price.amount.to_string(),
        state: state.to_owned(),
        reason,
        charge_permission_id,
        return_url: format!("{}{joint}amazonCheckoutSessionId={}", session.return_url, session.id),
        expires_at: session.expires(),
    }
}

impl Desk<'_> {
    pub(super) fn session(&mut self, id: &str) -> Result<&mut BookedSession, PayRefused> {
        let merchant_id = self.merchant_id;
        let found = self.pages.sessions.iter_mut().find(|one| one.id == id && one.merchant_id == merchant_id);
        found.ok_or_else(|| nothing("checkout session", id))
    }

    /// Nothing is charged: what the buyer agreed to becomes a charge permission.
    pub(super) fn complete(&mut self, id: &str, price: &PayPrice) -> Result<PayShown, PayRefused> {
        let (now, simulated) = (self.now, self.simulation.map(str::to_owned));
        let permission_digits = [self.digits(7), self.digits(7)];
        let session = self.session(id)?;
        match &session.state {
            SessionState::Open => {}
            SessionState::Completed { .. } => {
                return Err(PayRefused::undone("InvalidCheckoutSessionStatus", "the checkout session is Completed"));
            }
            SessionState::Canceled(reason) => return Err(canceled(reason)),
        }
        if session.price != *price {
            let message = "the amount is another than the checkout session's";
            return Err(PayRefused::of(StatusCode::CONFLICT, "AmountMismatch", message));
        }
        if let Some(code) = simulated {
            session.becomes(SessionState::Canceled(code.clone()), now);
            return Err(canceled(&code));
        }
        let prefix = if session.recurs { "C03" } else { "S03" };
        let permission_id = format!("{prefix}-{}-{}", permission_digits[0], permission_digits[1]);
        let reference = session.metadata.get("merchantReferenceId").and_then(Value::as_str).map(str::to_owned);
        let consent = Consent {
            id: permission_id.clone(),
            merchant_id: session.merchant_id.clone(),
            recurs: session.recurs,
            currency: session.price.currency.clone(),
            limit: session.limit,
            card: session.card.clone(),
            state: ConsentState::Chargeable,
            created: now,
            changed: now,
            reference,
        };
        session.becomes(SessionState::Completed { permission_id }, now);
        let json = answer::session(session);
        self.pages.consents.push(consent);
        Ok(ok(json))
    }
}

fn canceled(reason: &str) -> PayRefused {
    PayRefused::undone("CheckoutSessionCanceled", format!("the checkout session is Canceled, {reason}"))
}
