//! A charge, and how it changes with time.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use strum::IntoStaticStr;

use super::refusal::PayRefused;

/// How long an authorization, a capture or a refund is pending, by the sandbox's clock.
pub(super) const PENDING_SECONDS: i64 = 30;
/// How long Amazon's sandbox holds an authorization.
const AUTHORIZED_DAYS: i64 = 2;

/// Where a charge stands, in Amazon's words.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
pub(super) enum ChargeStage {
    AuthorizationInitiated,
    Authorized,
    CaptureInitiated,
    Captured,
    Declined,
    Canceled,
}

/// A charge.
#[derive(Clone, Debug)]
pub(super) struct BookedCharge {
    pub(super) id: String,
    pub(super) merchant_id: String,
    pub(super) permission_id: String,
    pub(super) currency: String,
    pub(super) amount: Decimal,
    pub(super) captured: Decimal,
    pub(super) capture_now: bool,
    pub(super) may_wait: bool,
    pub(super) metadata: Value,
    pub(super) stage: ChargeStage,
    pub(super) reason: Option<String>,
    /// What a pending authorization will come to.
    pub(super) will_be_declined: bool,
    pub(super) created: DateTime<Utc>,
    pub(super) changed: DateTime<Utc>,
}

impl BookedCharge {
    pub(super) fn becomes(&mut self, stage: ChargeStage, reason: Option<&str>, at: DateTime<Utc>) {
        self.stage = stage;
        self.reason = reason.map(str::to_owned);
        self.changed = at;
    }

    pub(super) fn expires(&self) -> DateTime<Utc> {
        self.created.checked_add_signed(TimeDelta::days(AUTHORIZED_DAYS)).unwrap_or(self.created)
    }

    /// What it takes of its permission's limit.
    pub(super) fn weight(&self) -> Decimal {
        match self.stage {
            ChargeStage::AuthorizationInitiated | ChargeStage::Authorized => self.amount,
            ChargeStage::CaptureInitiated | ChargeStage::Captured => self.captured,
            ChargeStage::Declined | ChargeStage::Canceled => Decimal::ZERO,
        }
    }

    /// Begins to take the money. It is taken at once, or after a while.
    pub(super) fn capture(&mut self, amount: Decimal, late: bool, at: DateTime<Utc>) {
        self.captured = amount;
        self.becomes(if late { ChargeStage::CaptureInitiated } else { ChargeStage::Captured }, None, at);
    }

    /// No money is taken.
    pub(super) fn decline(&mut self, reason: &str, at: DateTime<Utc>) {
        self.captured = Decimal::ZERO;
        self.becomes(ChargeStage::Declined, Some(reason), at);
    }

    /// The next thing that time has done by now, if any.
    pub(super) fn step(&mut self, now: DateTime<Utc>) -> bool {
        let decided = self.changed.checked_add_signed(TimeDelta::seconds(PENDING_SECONDS)).unwrap_or(self.changed);
        match self.stage {
            ChargeStage::AuthorizationInitiated if now >= decided && self.will_be_declined => {
                self.decline("HardDeclined", decided);
            }
            ChargeStage::AuthorizationInitiated if now >= decided && self.capture_now => {
                self.capture(self.amount, false, decided);
            }
            ChargeStage::AuthorizationInitiated if now >= decided => {
                self.becomes(ChargeStage::Authorized, None, decided);
            }
            ChargeStage::CaptureInitiated if now >= decided => self.becomes(ChargeStage::Captured, None, decided),
            ChargeStage::Authorized if now >= self.expires() => {
                self.becomes(ChargeStage::Canceled, Some("ExpiredUnused"), self.expires());
            }
            ChargeStage::AuthorizationInitiated
            | ChargeStage::Authorized
            | ChargeStage::CaptureInitiated
            | ChargeStage::Captured
            | ChargeStage::Declined
            | ChargeStage::Canceled => return false,
        }
        true
    }

    pub(super) fn demand(&self, stages: &[ChargeStage]) -> Result<(), PayRefused> {
        if stages.contains(&self.stage) {
            return Ok(());
        }
        let word: &'static str = self.stage.into();
        Err(PayRefused::undone("InvalidChargeStatus", format!("the charge is {word}")))
    }
}
