//! The pages of the book, and what time does to them.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::sandbox::pay::PayShown;
use crate::sandbox::pay::charge::{BookedCharge, ChargeStage};
use crate::sandbox::pay::permission::{Consent, ConsentState};
use crate::sandbox::pay::refund::BookedRefund;
use crate::sandbox::pay::session::BookedSession;

/// Merchant and idempotency key.
pub(super) type PayKeyPlace = (String, String);

/// Everything, in the order in which it came.
#[derive(Default)]
pub(super) struct PayPages {
    pub(super) consents: Vec<Consent>,
    pub(super) charges: Vec<BookedCharge>,
    pub(super) refunds: Vec<BookedRefund>,
    pub(super) sessions: Vec<BookedSession>,
    /// What was asked under a key first, and the answer. It is kept without end.
    pub(super) answers: HashMap<PayKeyPlace, (Value, PayShown)>,
}

impl PayPages {
    /// Does what time has done by now.
    pub(super) fn advance(&mut self, now: DateTime<Utc>) {
        for charge in &mut self.charges {
            while charge.step(now) {
                if charge.stage == ChargeStage::Declined {
                    let method = ConsentState::NonChargeable("PaymentMethodInvalid".to_owned());
                    let consent = self.consents.iter_mut().find(|consent| consent.id == charge.permission_id);
                    consent.into_iter().for_each(|consent| consent.becomes(method.clone(), charge.changed));
                }
            }
        }
        self.refunds.iter_mut().for_each(|refund| refund.step(now));
        self.sessions.iter_mut().for_each(|session| session.step(now));
        self.close_used_up(now);
        for consent in &mut self.consents {
            let end = consent.expires();
            if now >= end {
                consent.becomes(ConsentState::Closed("Expired".to_owned()), end);
            }
        }
    }

    /// A consent to one order ends when all of it is taken.
    pub(super) fn close_used_up(&mut self, now: DateTime<Utc>) {
        for consent in self.consents.iter_mut().filter(|consent| !consent.recurs) {
            let of_consent =
                |charge: &&BookedCharge| charge.permission_id == consent.id && charge.stage == ChargeStage::Captured;
            let taken: Decimal = self.charges.iter().filter(of_consent).map(|charge| charge.captured).sum();
            if taken >= consent.limit {
                consent.becomes(ConsentState::Closed("AmazonClosed".to_owned()), now);
            }
        }
    }

    /// What is left of a consent's limit: of all of it, or of this month's.
    pub(super) fn balance(&self, permission_id: &str, now: DateTime<Utc>) -> Decimal {
        let Some(consent) = self.consents.iter().find(|consent| consent.id == permission_id) else {
            return Decimal::ZERO;
        };
        let month = |at: DateTime<Utc>| (at.year(), at.month());
        let counts = |charge: &&BookedCharge| {
            charge.permission_id == permission_id && (!consent.recurs || month(charge.created) == month(now))
        };
        let used: Decimal = self.charges.iter().filter(counts).map(BookedCharge::weight).sum();
        consent.limit.saturating_sub(used)
    }

    /// How many refunds a charge has, and of how much.
    pub(super) fn refunded(&self, charge_id: &str) -> (usize, Decimal) {
        let of_charge = || self.refunds.iter().filter(|refund| refund.charge_id == charge_id);
        (of_charge().count(), of_charge().map(BookedRefund::weight).sum())
    }

    /// What is held or pending under a consent is given back.
    pub(super) fn cancel_pending(&mut self, permission_id: &str, now: DateTime<Utc>) {
        let pending = |stage| matches!(stage, ChargeStage::AuthorizationInitiated | ChargeStage::Authorized);
        let of_consent = self.charges.iter_mut().filter(|charge| charge.permission_id == permission_id);
        for charge in of_consent.filter(|charge| pending(charge.stage)) {
            charge.becomes(ChargeStage::Canceled, Some("ChargePermissionCanceled"), now);
        }
    }
}
