//! Amazon Pay, Checkout v2, as far as a server needs it: charge permissions, charges and refunds, on the gateway's own port.
//!
//! No browser and no buyer is here: the control port makes a permission, which stands for the buyer's consent, and suspends, mends and
//! closes it as the buyer and the bank would. Of requests it takes every form that one of Amazon's own libraries sends, and nothing
//! else. Merchants, permissions, charges and refunds are forgotten when the sandbox stops.
//!
//! Where Amazon says nothing, the code names its choice.

mod answer;
mod authorization;
mod book;
mod buckets;
mod charge;
mod merchants;
mod permission;
mod refund;
mod refusal;
mod request;
mod route;
mod session;
mod signature;

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::Value;

pub use self::book::{
    ConsentAct, NewConsent, PaySettlement, SellerAct, SessionAct, ShownCharge, ShownConsent, ShownRefund, ShownSession,
};
pub use self::merchants::{NewPayMerchant, ShownPayMerchant};
pub use self::route::PayCall;
pub use self::session::PressedButton;

pub(super) use self::refusal::PayRefused;
pub(super) use self::route::is_pay;

use self::book::PayBook;
use self::buckets::Buckets;
use self::merchants::Merchants;
use self::request::{ButtonWish, PayOrder};
use super::chance::Chance;
use super::clock::Clock;

/// Where Amazon serves it, by region.
pub(super) const HOSTS: [&str; 3] = ["pay-api.amazon.jp", "pay-api.amazon.com", "pay-api.amazon.eu"];

/// All that the sandbox knows of Amazon Pay.
#[derive(Default)]
pub(super) struct PayOffice {
    pub(super) merchants: Merchants,
    pub(super) book: PayBook,
    buckets: Buckets,
}

/// A request for Amazon Pay, as it arrived.
pub(super) struct PayArrival {
    pub(super) method: Method,
    /// The path as it was sent, which is also the path as it is signed.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is known of a request whose signature holds.
#[derive(Clone, Debug)]
pub(super) struct PayAdmitted {
    pub(super) call: PayCall,
    pub(super) merchant_id: String,
    /// The object that the path names.
    id: Option<String>,
}

/// An answer: its status, and its JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PayShown {
    pub(super) status: StatusCode,
    pub(super) json: Value,
    /// The reason code, where it is a refusal.
    pub(super) reason: Option<String>,
}

impl PayArrival {
    /// What the request is called in the log: the operation, or the path where there is none.
    pub(super) fn name(&self) -> String {
        match route::route(&self.method, &self.path) {
            Ok(routed) => routed.call.name().to_owned(),
            Err(_) => self.path.trim_matches('/').chars().take(64).collect(),
        }
    }

    /// What fault rules and the log know it by: its idempotency key, or the object that it is about.
    pub(super) fn request_id(&self) -> Option<String> {
        let key = self.header(request::IDEMPOTENCY_KEY).map(str::to_owned);
        key.or_else(|| route::route(&self.method, &self.path).ok().and_then(|routed| routed.id))
    }

    /// The key id that the request claims to be signed with.
    pub(super) fn public_key_id(&self) -> Option<String> {
        let claimed = authorization::PayAuthorization::parse(self.header("authorization")?).ok()?;
        Some(claimed.public_key_id.to_owned())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl PayOffice {
    /// The order of the checks is: route, signature, environment of the key, rate.
    pub(super) fn admit(&self, arrival: &PayArrival, clock: &Clock, throttle: bool) -> Result<PayAdmitted, PayRefused> {
        let routed = route::route(&arrival.method, &arrival.path)?;
        let merchant = signature::verify(arrival, &self.merchants, clock.signature_now())?;
        if !merchant.names_sandbox && !routed.names_sandbox {
            return Err(PayRefused::missing("a key whose id names no environment needs /sandbox/v2 in the path"));
        }
        if throttle && !self.buckets.admits(&merchant.merchant_id, routed.call, Clock::monotonic()) {
            return Err(PayRefused::throttled());
        }
        Ok(PayAdmitted { call: routed.call, merchant_id: merchant.merchant_id, id: routed.id })
    }

    /// A buyer presses a merchant's button, and agrees on Amazon's page: the session is open until the merchant completes it. Answers
    /// its id, and where the buyer's browser is sent with it.
    pub(super) fn press(
        &self,
        pressed: &PressedButton,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> Result<ShownSession, PayRefused> {
        let PressedButton { public_key_id, payload, signature, limit, card } = pressed;
        let signer = signature::of_button(public_key_id, payload, signature, &self.merchants)?;
        let wish = ButtonWish::read(payload)?;
        self.book.open_session(signer.merchant_id, wish, (limit.as_deref(), card), now, chance)
    }

    /// Does the call's work.
    pub(super) fn perform(
        &self,
        admitted: &PayAdmitted,
        arrival: &PayArrival,
        now: DateTime<Utc>,
        chance: &Chance,
    ) -> PayShown {
        let order = PayOrder::read(admitted.call, admitted.id.clone(), &arrival.headers, &arrival.body);
        order
            .and_then(|order| self.book.perform(&admitted.merchant_id, &order, now, chance))
            .unwrap_or_else(PayRefused::shown)
    }
}
