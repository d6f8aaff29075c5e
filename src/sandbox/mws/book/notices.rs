//! What notifications are sent about.

use chrono::{DateTime, Utc};

use super::MwsBook;
use crate::sandbox::mws::objects::MwsStage;
use crate::sandbox::notices::NoticeState;

impl MwsBook {
    /// How everything stands.
    pub(in crate::sandbox) fn notice_states(&self, now: DateTime<Utc>) -> Vec<NoticeState> {
        let pages = self.pages(now);
        let state = |seller_id: &String, kind, id: &String, reference: &str, stage: MwsStage| {
            let word: &'static str = stage.into();
            NoticeState {
                merchant_id: seller_id.clone(),
                kind,
                id: id.clone(),
                under: id.get(..19).unwrap_or(id).to_owned(),
                reference: reference.to_owned(),
                state: word.to_owned(),
            }
        };
        let consents = pages.consents.iter().map(|one| {
            let kind = if one.recurs { "BillingAgreementNotification" } else { "OrderReferenceNotification" };
            state(&one.seller_id, kind, &one.id, "", one.standing.stage)
        });
        let authorizations = pages
            .authorizations
            .iter()
            .map(|one| state(&one.seller_id, "PaymentAuthorize", &one.id, &one.reference, one.standing.stage));
        let captures = pages
            .captures
            .iter()
            .map(|one| state(&one.seller_id, "PaymentCapture", &one.id, &one.reference, one.standing.stage));
        let refunds = pages
            .refunds
            .iter()
            .map(|one| state(&one.seller_id, "PaymentRefund", &one.id, &one.reference, one.standing.stage));
        consents.chain(authorizations).chain(captures).chain(refunds).collect()
    }
}
