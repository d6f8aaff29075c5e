//! A refund, and how much may be given back.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use strum::IntoStaticStr;

use super::charge::PENDING_SECONDS;

/// How many refunds a charge may have. Amazon names no figure for v2; this is that of the generation before.
pub(super) const REFUNDS_MAX: usize = 10;

/// Where a refund stands, in Amazon's words.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
pub(super) enum RefundStage {
    RefundInitiated,
    Refunded,
    Declined,
}

/// A refund.
#[derive(Clone, Debug)]
pub(super) struct BookedRefund {
    pub(super) id: String,
    pub(super) merchant_id: String,
    pub(super) charge_id: String,
    pub(super) currency: String,
    pub(super) amount: Decimal,
    pub(super) stage: RefundStage,
    pub(super) reason: Option<String>,
    pub(super) created: DateTime<Utc>,
    pub(super) changed: DateTime<Utc>,
}

impl BookedRefund {
    pub(super) fn step(&mut self, now: DateTime<Utc>) {
        let done = self.changed.checked_add_signed(TimeDelta::seconds(PENDING_SECONDS)).unwrap_or(self.changed);
        if self.stage == RefundStage::RefundInitiated && now >= done {
            self.stage = RefundStage::Refunded;
            self.changed = done;
        }
    }

    /// What it takes of what may be given back.
    pub(super) fn weight(&self) -> Decimal {
        if self.stage == RefundStage::Declined { Decimal::ZERO } else { self.amount }
    }
}

/// The most that may be given back of what was taken: 15 % more, and at most 8,400 yen more; 75 more in another currency.
pub(super) fn refundable(captured: Decimal, currency: &str) -> Decimal {
    let (places, most) = if currency == "JPY" { (0, Decimal::from(8_400)) } else { (2, Decimal::from(75)) };
    let share = captured.saturating_mul(Decimal::new(15, 2)).trunc_with_scale(places);
    captured.saturating_add(share.min(most))
}
