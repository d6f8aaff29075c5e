//! The second check: the balance equation. What Amazon says can be spent is opening + deposits + adjustments − issued +
//! canceled. What the last balance left unexplained is told beside each reconciliation.

use serde::Serialize;

use super::Reconciliations;
use crate::{kernel::Money, ledger::journal::Sums, store::StoreError, treasury::standing};

/// The ledger's sums of an account, and what the last balance of Amazon's left unexplained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equation {
    /// The sums.
    pub sums: Sums,
    /// What is missing at Amazon, in minor units; `None` before a balance was compared.
    pub missing: Option<i64>,
}

/// The equation as callers see it.
#[derive(Debug, Serialize)]
pub struct EquationView {
    opening: String,
    deposits: String,
    adjustments: String,
    issued: String,
    canceled: String,
    expected: String,
    on_the_way: String,
    missing: Option<String>,
}

impl Equation {
    /// Whether nothing is missing, as far as is known.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        !matches!(self.missing, Some(missing) if missing != 0)
    }

    /// A line for people.
    #[must_use]
    pub fn text(&self) -> String {
        let view = EquationView::from(self);
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

impl From<&Equation> for EquationView {
    fn from(equation: &Equation) -> Self {
        let sums = &equation.sums;
        let money = |minor| Money::from_minor(minor, sums.currency).to_string();
        Self {
            opening: money(sums.opening),
            deposits: money(sums.deposits),
            adjustments: money(sums.adjustments),
            issued: money(sums.issued),
            canceled: money(sums.canceled),
            expected: money(sums.expected()),
            on_the_way: money(sums.on_the_way()),
            missing: equation.missing.map(money),
        }
    }
}

impl Reconciliations {
    /// The balance equation of an account, as it stands.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn equation(&self, (account, currency): (&str, crate::kernel::Currency)) -> Result<Equation, StoreError> {
        let mut snapshot = self.parts.store.snapshot().await?;
        let sums = standing::read(&mut snapshot, account, currency).await?.sums;
        let state = standing::state(&mut snapshot, (account, currency.code())).await?;
        Ok(Equation { sums, missing: state.map(|row| row.state().missing) })
    }
}
