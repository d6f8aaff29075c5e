//! A checkout session: what a buyer agreed to on Amazon's page. Nothing can be charged before the merchant completes it.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::request::PayPrice;

/// How long a session stays open.
const OPEN_HOURS: i64 = 24;

/// A buyer presses the button that a merchant signed, and agrees.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PressedButton {
    /// The key that the button is signed with.
    pub public_key_id: String,
    /// The button's payload, byte for byte.
    pub payload: String,
    /// Its signature.
    pub signature: String,
    /// How much may be charged in each calendar month, where charges may recur. Ten times the amount of the button unless it is said:
    /// what Amazon allows a merchant is between the two. Decimal text.
    #[serde(default)]
    pub limit: Option<String>,
    /// The last four digits of the buyer's card.
    #[serde(default = "good_card")]
    pub card: String,
}

fn good_card() -> String {
    "1111".to_owned()
}

/// Where a session stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SessionState {
    Open,
    Completed { permission_id: String },
    Canceled(String),
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct BookedSession {
    pub(super) id: String,
    pub(super) merchant_id: String,
    pub(super) store_id: String,
    pub(super) return_url: String,
    pub(super) recurs: bool,
    pub(super) price: PayPrice,
    /// Of the permission that comes of it.
    pub(super) limit: Decimal,
    pub(super) card: String,
    pub(super) metadata: Value,
    pub(super) state: SessionState,
    pub(super) created: DateTime<Utc>,
    pub(super) changed: DateTime<Utc>,
}

impl BookedSession {
    pub(super) fn expires(&self) -> DateTime<Utc> {
        self.created.checked_add_signed(TimeDelta::hours(OPEN_HOURS)).unwrap_or(self.created)
    }

    pub(super) fn becomes(&mut self, state: SessionState, at: DateTime<Utc>) {
        self.state = state;
        self.changed = at;
    }

    /// What time has done by now.
    pub(super) fn step(&mut self, now: DateTime<Utc>) {
        if self.state == SessionState::Open && now >= self.expires() {
            self.becomes(SessionState::Canceled("Expired".to_owned()), self.expires());
        }
    }
}
