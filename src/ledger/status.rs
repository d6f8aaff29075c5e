//! Where a reward's value stands in the ledger, and what moves it: entries in the journal, and usage in its budgets.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    budget::{self, BudgetRef},
    journal::{self, Posting},
    movements::{CANCEL, ISSUE, Movement, RELEASE, RESERVE},
};
use crate::{
    kernel::{Money, RewardId, word_methods},
    store::{StoreError, Tx},
};

/// Where a reward's value stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LedgerStatus {
    /// Nowhere: nothing was bought, or it was given back.
    None,
    /// Held for an unfinished purchase.
    Reserved,
    /// Spent.
    Issued,
}
word_methods!(LedgerStatus);

/// The movements that lead from one status to another, in the order of their entries.
#[must_use]
pub(crate) const fn postings_between(from: LedgerStatus, to: LedgerStatus) -> &'static [&'static Movement] {
    match (from, to) {
        (LedgerStatus::None, LedgerStatus::None)
        | (LedgerStatus::Reserved, LedgerStatus::Reserved)
        | (LedgerStatus::Issued, LedgerStatus::Issued) => &[],
        (LedgerStatus::None, LedgerStatus::Reserved) => &[&RESERVE],
        // A version before the ledger made the reward, or a person found out that the purchase went through.
        (LedgerStatus::None, LedgerStatus::Issued) => &[&RESERVE, &ISSUE],
        (LedgerStatus::Reserved, LedgerStatus::Issued) => &[&ISSUE],
        (LedgerStatus::Reserved, LedgerStatus::None) => &[&RELEASE],
        (LedgerStatus::Issued, LedgerStatus::None) => &[&CANCEL],
        (LedgerStatus::Issued, LedgerStatus::Reserved) => &[&CANCEL, &RESERVE],
    }
}

/// A value that has a status in the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding<'a> {
    /// The partner account that pays.
    pub(crate) account: &'a str,
    pub(crate) value: Money,
    /// What was bought, or is to be bought.
    pub(crate) reward: RewardId,
    /// The budgets that the value draws on.
    pub(crate) budget: Option<&'a BudgetRef>,
}

/// Writes what a change of status means for the journal and for the budgets. A new reservation in a budget is not part of
/// it: a budget may refuse one, so [`budget::reserve`] comes first.
pub(crate) async fn change(
    tx: &mut Tx,
    holding: &Holding<'_>,
    from: LedgerStatus,
    to: LedgerStatus,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    for movement in postings_between(from, to) {
        let posting = Posting {
            reward: Some(holding.reward),
            program: holding.budget.map(|budget| &budget.program),
            ..Posting::new(movement, holding.account, holding.value)
        };
        journal::write(tx, &posting, at).await?;
    }
    match holding.budget {
        Some(budget) => budget::move_usage(tx, budget, holding.value, from, to).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::chart::LedgerAccount;

    #[test]
    fn the_postings_between_two_statuses_lead_from_one_to_the_other() {
        let held =
            |status: LedgerStatus| [LedgerStatus::Reserved, LedgerStatus::Issued].map(|of| i64::from(status == of));
        for from in LedgerStatus::ALL {
            for to in LedgerStatus::ALL {
                let mut now = held(*from);
                for movement in postings_between(*from, *to) {
                    for (at, account) in [LedgerAccount::Reserved, LedgerAccount::Issued].into_iter().enumerate() {
                        now[at] += i64::from(movement.debit == account) - i64::from(movement.credit == account);
                    }
                }
                assert_eq!(now, held(*to), "{from:?} to {to:?}");
            }
        }
    }
}
