//! The balance check beside each reconciliation: the sums of `opening + deposits + adjustments - issued + canceled`, and
//! what Amazon's last balance left unexplained.

use serde::Serialize;
use utoipa::ToSchema;

use super::Reconciliations;
use crate::{
    kernel::{Currency, Money},
    ledger::{
        movements::{ADJUSTMENT, CANCEL, DEPOSIT, ISSUE, OPENING},
        sums::Sums,
        totals::LedgerKey,
    },
    store::StoreError,
    treasury::position,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BalanceCheck {
    pub(crate) sums: Sums,
    /// What is missing at Amazon, in minor units; `None` before the first observation of the balance.
    pub(crate) missing: Option<i64>,
}

/// The check as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BalanceCheck)]
pub(crate) struct BalanceCheckView {
    /// The opening balance.
    opening: String,
    /// Deposits.
    deposits: String,
    /// Corrections by hand.
    adjustments: String,
    /// Issued.
    issued: String,
    /// Canceled.
    canceled: String,
    /// What should be at Amazon.
    expected: String,
    /// What is under way.
    on_the_way: String,
    /// What is missing at Amazon; `null` before the first observation.
    #[schema(required)]
    missing: Option<String>,
}

impl BalanceCheck {
    /// Whether nothing is missing, as far as is known.
    pub(crate) const fn is_clean(&self) -> bool {
        !matches!(self.missing, Some(missing) if missing != 0)
    }

    /// A line for people.
    pub(crate) fn text(&self) -> String {
        let view = BalanceCheckView::from(self);
        let missing = view.missing.map_or_else(
            || "no balance was compared with it yet".to_owned(),
            |missing| format!("{missing} of it missing at Amazon's last balance"),
        );
        format!(
            "\n  balance: opening {} + deposits {} + adjustments {} - issued {} + canceled {} = {} {}; {missing}",
            view.opening,
            view.deposits,
            view.adjustments,
            view.issued,
            view.canceled,
            view.expected,
            self.sums.currency
        )
    }
}

impl From<&BalanceCheck> for BalanceCheckView {
    fn from(check: &BalanceCheck) -> Self {
        let sums = &check.sums;
        let money = |minor| Money::from_minor(minor, sums.currency).to_string();
        Self {
            opening: money(sums.of(&OPENING)),
            deposits: money(sums.of(&DEPOSIT)),
            adjustments: money(sums.of(&ADJUSTMENT)),
            issued: money(sums.of(&ISSUE)),
            canceled: money(sums.of(&CANCEL)),
            expected: money(sums.expected()),
            on_the_way: money(sums.on_the_way()),
            missing: check.missing.map(money),
        }
    }
}

impl Reconciliations {
    pub(crate) async fn balance_check(&self, account: &str, currency: Currency) -> Result<BalanceCheck, StoreError> {
        let (mut snapshot, key) = (self.deps.store.snapshot().await?, LedgerKey { account, currency });
        let sums = position::read(&mut snapshot, key).await?.sums;
        let treasury = position::treasury(&mut snapshot, key).await?;
        Ok(BalanceCheck { sums, missing: treasury.map(|row| row.booking_state().missing) })
    }
}
