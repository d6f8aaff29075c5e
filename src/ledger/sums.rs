//! What the entries of one partner account add up to: by movement, and by ledger account.

use std::collections::BTreeMap;

use super::{
    chart::{LedgerAccount, NormalSide},
    movements::Movement,
};
use crate::kernel::Currency;

/// The sums of one partner account's entries, in minor units. Everything else about its money follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    /// The currency of every sum.
    pub(crate) currency: Currency,
    /// How many entries there are.
    pub(crate) entries: i64,
    /// By the movement's kind; a movement that has no entry is absent.
    by_kind: BTreeMap<&'static str, (&'static Movement, i64)>,
}

impl Sums {
    /// The sums of no entry at all.
    #[must_use]
    pub(crate) const fn none(currency: Currency) -> Self {
        Self { currency, entries: 0, by_kind: BTreeMap::new() }
    }

    /// Adds the value of entries of one movement that all debit the same ledger account.
    pub(crate) fn add(&mut self, movement: &'static Movement, debit: LedgerAccount, minor: i64) {
        let (_, sum) = self.by_kind.entry(movement.kind).or_insert((movement, 0));
        // An entry that debits the other account went the other way.
        *sum = sum.saturating_add(if debit == movement.debit { minor } else { minor.saturating_neg() });
    }

    /// What a movement has moved, ever; below zero when most of it went the other way.
    #[must_use]
    pub(crate) fn of(&self, movement: &Movement) -> i64 {
        self.by_kind.get(movement.kind).map_or(0, |(_, sum)| *sum)
    }

    /// The balance of a ledger account, on its normal side.
    #[must_use]
    pub(crate) fn balance(&self, account: LedgerAccount) -> i64 {
        let debits_less_credits = self.by_kind.values().fold(0_i64, |balance, (movement, sum)| {
            if movement.debit == account {
                balance.saturating_add(*sum)
            } else if movement.credit == account {
                balance.saturating_sub(*sum)
            } else {
                balance
            }
        });
        match account.normal_side() {
            NormalSide::Debit => debits_less_credits,
            NormalSide::Credit => debits_less_credits.saturating_neg(),
        }
    }

    /// What Amazon must report as available once no purchase is unfinished: the balances of the accounts that say so.
    #[must_use]
    pub(crate) fn expected(&self) -> i64 {
        let counted = LedgerAccount::ALL.iter().filter(|account| account.in_expected_balance());
        counted.fold(0_i64, |sum, account| match account.normal_side() {
            NormalSide::Debit => sum.saturating_add(self.balance(*account)),
            NormalSide::Credit => sum.saturating_sub(self.balance(*account)),
        })
    }

    /// What unfinished purchases hold. Amazon may have taken some of it already.
    #[must_use]
    pub(crate) fn on_the_way(&self) -> i64 {
        self.balance(LedgerAccount::Reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::movements::{self, ADJUSTMENT, CANCEL, DEPOSIT, ISSUE, OPENING, RELEASE, RESERVE};

    fn sums() -> Sums {
        let mut sums = Sums::none(Currency::Jpy);
        for (movement, minor) in [
            (&OPENING, 10_000),
            (&DEPOSIT, 5_000),
            (&RESERVE, 3_000),
            (&ISSUE, 1_500),
            (&RELEASE, 500),
            (&CANCEL, 300),
            (&ADJUSTMENT, 20),
        ] {
            sums.add(movement, movement.debit, minor);
        }
        sums.add(&ADJUSTMENT, ADJUSTMENT.credit, 27);
        sums
    }

    #[test]
    fn the_expected_balance_is_what_was_paid_in_less_what_was_bought() {
        assert_eq!(sums().expected(), 10_000 + 5_000 - 7 - 1_500 + 300);
        assert_eq!(sums().on_the_way(), 3_000 - 1_500 - 500);
        assert_eq!(sums().of(&ADJUSTMENT), -7);
    }

    #[test]
    fn every_ledger_account_has_the_balance_that_its_entries_leave() {
        let balances = LedgerAccount::ALL.iter().map(|account| (account.as_str(), sums().balance(*account)));
        let funds = 10_000 + 5_000 - 7 - 3_000 + 500 + 300;
        let wanted =
            [("funds", funds), ("reserved", 1_000), ("issued", 1_200), ("deposits", 15_000), ("adjustments", -7)];
        assert_eq!(balances.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn debits_and_credits_cancel_out_whatever_moved() {
        for movement in movements::ALL {
            let mut sums = Sums::none(Currency::Usd);
            sums.add(movement, movement.debit, 700);
            let total: i64 = LedgerAccount::ALL
                .iter()
                .map(|account| match account.normal_side() {
                    NormalSide::Debit => sums.balance(*account),
                    NormalSide::Credit => -sums.balance(*account),
                })
                .sum();
            assert_eq!(total, 0, "{}", movement.kind);
        }
    }
}
