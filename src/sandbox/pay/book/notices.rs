//! What notifications are sent about.

use chrono::{DateTime, Utc};

use super::PayBook;
use crate::sandbox::notices::NoticeState;
use crate::sandbox::pay::permission::ConsentState;

impl PayBook {
    /// How everything stands.
    pub(in crate::sandbox) fn notice_states(&self, now: DateTime<Utc>) -> Vec<NoticeState> {
        let pages = self.pages(now);
        let state = |merchant_id: &String, kind, id: &String, under: &String, state: &str| NoticeState {
            merchant_id: merchant_id.clone(),
            kind,
            id: id.clone(),
            under: under.clone(),
            reference: String::new(),
            state: state.to_owned(),
        };
        let consents = pages.consents.iter().map(|one| {
            let word = match one.state {
                ConsentState::Chargeable => "Chargeable",
                ConsentState::NonChargeable(_) => "NonChargeable",
                ConsentState::Closed(_) => "Closed",
            };
            state(&one.merchant_id, "CHARGE_PERMISSION", &one.id, &one.id, word)
        });
        let charges = pages
            .charges
            .iter()
            .map(|one| state(&one.merchant_id, "CHARGE", &one.id, &one.permission_id, one.stage.into()));
        let refunds = pages.refunds.iter().map(|one| {
            let charge = pages.charges.iter().find(|charge| charge.id == one.charge_id);
            let under = charge.map_or(&one.charge_id, |charge| &charge.permission_id);
            state(&one.merchant_id, "REFUND", &one.id, under, one.stage.into())
        });
        consents.chain(charges).chain(refunds).collect()
    }
}
