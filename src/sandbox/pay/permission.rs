//! A charge permission: the buyer's consent, to one order or to charges that recur.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::refusal::PayRefused;

/// How long a consent to one order lasts.
const ONE_TIME_DAYS: i64 = 180;
/// How long a consent to recurring charges lasts; about thirteen months is reported.
const RECURRING_DAYS: i64 = 395;

/// The cards with a meaning of their own, by their last four digits. Every other card is good.
pub(super) const CARD_THAT_WAITS: &str = "0701";
pub(super) const CARD_THAT_WAITS_AND_IS_DECLINED: &str = "4354";
/// Our own: Amazon publishes none whose capture takes its time, as one does a week after its authorization.
pub(super) const CARD_OF_LATE_CAPTURES: &str = "0702";

/// Where a consent stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ConsentState {
    Chargeable,
    NonChargeable(String),
    Closed(String),
}

/// A consent.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) id: String,
    pub(super) merchant_id: String,
    /// Its limit is of a calendar month; in UTC, because Amazon names no time zone.
    pub(super) recurs: bool,
    pub(super) currency: String,
    pub(super) limit: Decimal,
    /// The last four digits of the buyer's card.
    pub(super) card: String,
    pub(super) state: ConsentState,
    pub(super) created: DateTime<Utc>,
    pub(super) changed: DateTime<Utc>,
    pub(super) reference: Option<String>,
}

impl Consent {
    pub(super) fn expires(&self) -> DateTime<Utc> {
        let days = if self.recurs { RECURRING_DAYS } else { ONE_TIME_DAYS };
        self.created.checked_add_signed(TimeDelta::days(days)).unwrap_or(self.created)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, ConsentState::Closed(_))
    }

    /// A closed consent stays closed, for the reason that it was closed for.
    pub(super) fn becomes(&mut self, state: ConsentState, at: DateTime<Utc>) {
        if !self.is_closed() && self.state != state {
            self.state = state;
            self.changed = at;
        }
    }

    pub(super) fn demand_chargeable(&self) -> Result<(), PayRefused> {
        let word = match &self.state {
            ConsentState::Chargeable => return Ok(()),
            ConsentState::NonChargeable(reason) => format!("NonChargeable, {reason}"),
            ConsentState::Closed(reason) => format!("Closed, {reason}"),
        };
        Err(PayRefused::undone("InvalidChargePermissionStatus", format!("the charge permission is {word}")))
    }
}
