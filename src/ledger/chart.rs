//! The chart of accounts: the ledger accounts that each partner account has.
//!
//! The same rows stand in the table `ledger_accounts`, where a report in SQL finds them and where entries refer to them;
//! a test compares the two. A new ledger account is a variant here and a row in a migration.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::word_methods;

/// A ledger account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LedgerAccount {
    /// What can be spent.
    Funds,
    /// What unfinished purchases hold.
    Reserved,
    /// What was bought and not given back.
    Issued,
    /// What was paid in.
    Deposits,
    /// What a person corrected.
    Adjustments,
}
word_methods!(LedgerAccount);

/// The side that makes an account's balance grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NormalSide {
    /// A debit: the account says where money is, or went.
    Debit,
    /// A credit: the account says where money came from.
    Credit,
}
word_methods!(NormalSide);

impl LedgerAccount {
    /// The side that makes its balance grow.
    #[must_use]
    pub const fn normal_side(self) -> NormalSide {
        match self {
            Self::Funds | Self::Reserved | Self::Issued => NormalSide::Debit,
            Self::Deposits | Self::Adjustments => NormalSide::Credit,
        }
    }

    /// Whether its balance is money that Amazon still holds for us when no purchase is unfinished. The sum of these
    /// accounts is the expected balance.
    #[must_use]
    pub const fn in_expected_balance(self) -> bool {
        match self {
            Self::Funds | Self::Reserved => true,
            Self::Issued | Self::Deposits | Self::Adjustments => false,
        }
    }
}
