//! Order references, billing agreements, authorizations, captures and refunds, and what time does to each.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use strum::IntoStaticStr;

/// How long an authorization, a capture or a refund is pending, by the sandbox's clock.
pub(super) const MWS_PENDING: TimeDelta = TimeDelta::seconds(30);
/// How long a draft lasts.
pub(super) const DRAFT: TimeDelta = TimeDelta::hours(3);
/// How long an order can be authorized.
pub(super) const OPEN: TimeDelta = TimeDelta::days(180);
/// How long Amazon's sandbox holds an authorization.
pub(super) const HELD: TimeDelta = TimeDelta::days(2);
/// How many authorizations an order has. Later text for other regions says 25.
pub(super) const AUTHORIZATIONS_MAX: usize = 10;
/// How many refunds a capture has.
pub(super) const MWS_REFUNDS_MAX: usize = 10;
/// The largest order in yen.
pub(super) const ORDER_YEN_MAX: i64 = 10_000_000;

/// Where an object stands, in Amazon's words.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
pub(super) enum MwsStage {
    Draft,
    Pending,
    Open,
    Suspended,
    Completed,
    Declined,
    Closed,
    Canceled,
}

/// Where an object stands, why, and since when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MwsStanding {
    pub(super) stage: MwsStage,
    pub(super) reason: Option<String>,
    pub(super) since: DateTime<Utc>,
}

impl MwsStanding {
    pub(super) fn new(stage: MwsStage, since: DateTime<Utc>) -> Self {
        Self { stage, reason: None, since }
    }

    pub(super) fn becomes(&mut self, stage: MwsStage, reason: &str, at: DateTime<Utc>) {
        *self = Self { stage, reason: (!reason.is_empty()).then(|| reason.to_owned()), since: at };
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, MwsStage::Closed | MwsStage::Canceled)
    }
}

/// What a seller noted of an order or an agreement.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Notes {
    pub(super) seller_note: Option<String>,
    pub(super) own_id: Option<String>,
    pub(super) store_name: Option<String>,
    pub(super) custom: Option<String>,
}

/// An order reference, or a billing agreement: what a buyer consented to.
#[derive(Clone, Debug)]
pub(super) struct MwsConsented {
    pub(super) id: String,
    pub(super) seller_id: String,
    pub(super) recurs: bool,
    /// Of an order that was made of an agreement: that one.
    pub(super) parent: Option<String>,
    pub(super) currency: String,
    /// Of an order its total, of an agreement how much a month.
    pub(super) limit: Option<Decimal>,
    pub(super) consented: bool,
    /// Of an agreement: the seller has set its details.
    pub(super) is_set: bool,
    pub(super) notes: Notes,
    pub(super) standing: MwsStanding,
    pub(super) created: DateTime<Utc>,
    /// When the buyer will have mended the payment method, where that is simulated.
    pub(super) mended_at: Option<DateTime<Utc>>,
    /// What a validation is to come to.
    pub(super) validation: Option<(String, Option<u32>)>,
}

impl MwsConsented {
    pub(super) fn step(&mut self, now: DateTime<Utc>) {
        let draft_ends = after(self.created, DRAFT);
        let open_ends = after(self.created, OPEN);
        match self.standing.stage {
            MwsStage::Draft if now >= draft_ends => self.standing.becomes(MwsStage::Canceled, "Stale", draft_ends),
            MwsStage::Open | MwsStage::Suspended if !self.recurs && now >= open_ends => {
                self.standing.becomes(MwsStage::Closed, "Expired", open_ends);
            }
            MwsStage::Suspended if self.mended_at.is_some_and(|at| now >= at) => {
                let at = self.mended_at.take().unwrap_or(now);
                self.standing.becomes(MwsStage::Open, "", at);
            }
            MwsStage::Draft
            | MwsStage::Pending
            | MwsStage::Open
            | MwsStage::Suspended
            | MwsStage::Completed
            | MwsStage::Declined
            | MwsStage::Closed
            | MwsStage::Canceled => {}
        }
    }

    /// What keeps it from being confirmed.
    pub(super) fn constraints(&self) -> Vec<&'static str> {
        let mut constraints = Vec::new();
        if self.recurs && !self.consented {
            constraints.push("BuyerConsentNotSet");
        }
        if !self.recurs && self.limit.is_none() {
            constraints.push("AmountNotSet");
        }
        constraints
    }

    /// The payment method is not good, until the buyer mends it.
    pub(super) fn suspend(&mut self, minutes: Option<u32>, at: DateTime<Utc>) {
        if self.standing.stage == MwsStage::Open {
            self.standing.becomes(MwsStage::Suspended, "InvalidPaymentMethod", at);
            self.mended_at = minutes.map(|minutes| after(at, TimeDelta::minutes(minutes.into())));
        }
    }
}

/// What becomes of an authorization once it is decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum MwsVerdict {
    Accept,
    Decline {
        reason: String,
        soft: bool,
        mended_in: Option<u32>,
    },
    /// It is held, and closed after so many minutes.
    Close {
        reason: String,
        minutes: u32,
    },
}

/// An authorization.
#[derive(Clone, Debug)]
pub(super) struct MwsAuthorized {
    pub(super) id: String,
    pub(super) seller_id: String,
    pub(super) order_id: String,
    /// The agreement, or the order itself.
    pub(super) consent_id: String,
    pub(super) reference: String,
    pub(super) note: Option<String>,
    pub(super) currency: String,
    pub(super) amount: Decimal,
    pub(super) capture_now: bool,
    pub(super) verdict: MwsVerdict,
    pub(super) soft: bool,
    pub(super) standing: MwsStanding,
    pub(super) created: DateTime<Utc>,
}

impl MwsAuthorized {
    pub(super) fn expires(&self) -> DateTime<Utc> {
        match &self.verdict {
            MwsVerdict::Close { minutes, .. } => after(self.created, TimeDelta::minutes((*minutes).into())),
            MwsVerdict::Accept | MwsVerdict::Decline { .. } => after(self.created, HELD),
        }
    }

    /// What it takes of its consent's limit.
    pub(super) fn weight(&self, captured: Option<Decimal>) -> Decimal {
        match (self.standing.stage, captured) {
            (_, Some(captured)) => captured,
            (MwsStage::Pending | MwsStage::Open, None) => self.amount,
            _ => Decimal::ZERO,
        }
    }
}

/// A capture.
#[derive(Clone, Debug)]
pub(super) struct MwsCaptured {
    pub(super) id: String,
    pub(super) seller_id: String,
    pub(super) authorization_id: String,
    pub(super) reference: String,
    pub(super) note: Option<String>,
    pub(super) currency: String,
    pub(super) amount: Decimal,
    pub(super) standing: MwsStanding,
    pub(super) created: DateTime<Utc>,
}

impl MwsCaptured {
    pub(super) const fn is_paid(&self) -> bool {
        matches!(self.standing.stage, MwsStage::Completed | MwsStage::Closed)
    }

    pub(super) fn step(&mut self, now: DateTime<Utc>) {
        let decided = after(self.standing.since, MWS_PENDING);
        if self.standing.stage == MwsStage::Pending && now >= decided {
            self.standing.becomes(MwsStage::Completed, "", decided);
        }
    }
}

/// A refund.
#[derive(Clone, Debug)]
pub(super) struct MwsRefunded {
    pub(super) id: String,
    pub(super) seller_id: String,
    pub(super) capture_id: String,
    pub(super) reference: String,
    pub(super) note: Option<String>,
    pub(super) currency: String,
    pub(super) amount: Decimal,
    /// Why it will be declined, if it will.
    pub(super) declined_for: Option<String>,
    pub(super) standing: MwsStanding,
    pub(super) created: DateTime<Utc>,
}

impl MwsRefunded {
    pub(super) fn step(&mut self, now: DateTime<Utc>) {
        let decided = after(self.standing.since, MWS_PENDING);
        if self.standing.stage == MwsStage::Pending && now >= decided {
            match self.declined_for.clone() {
                Some(reason) => self.standing.becomes(MwsStage::Declined, &reason, decided),
                None => self.standing.becomes(MwsStage::Completed, "", decided),
            }
        }
    }

    pub(super) fn weight(&self) -> Decimal {
        if self.standing.stage == MwsStage::Declined { Decimal::ZERO } else { self.amount }
    }
}

pub(super) fn after(at: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(wait).unwrap_or(at)
}

/// So much and the smaller of 15 % and 8,400 yen, or 75 of another currency: what may be held of an order, and given back of a capture.
pub(super) fn with_headroom(amount: Decimal, currency: &str) -> Decimal {
    let (decimals, most) = if currency == "JPY" { (0, 8_400) } else { (2, 75) };
    let share = amount.saturating_mul(Decimal::new(15, 2)).trunc_with_scale(decimals);
    amount.saturating_add(share.min(Decimal::from(most)))
}
