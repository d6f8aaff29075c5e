//! Movements: every way in which money can move between two ledger accounts, one file each. A new movement is a new file
//! and a line in [`ALL`]. Its word goes into the column `kind` of its entries.

pub mod adjustment;
pub mod cancel;
pub mod deposit;
pub mod issue;
pub mod opening;
pub mod release;
pub mod reserve;

pub use self::{
    adjustment::ADJUSTMENT, cancel::CANCEL, deposit::DEPOSIT, issue::ISSUE, opening::OPENING, release::RELEASE,
    reserve::RESERVE,
};
use super::chart::LedgerAccount;

/// One way in which money moves.
#[derive(Debug, PartialEq, Eq)]
pub struct Movement {
    /// The word in the column `kind`, in answers and in streams.
    pub kind: &'static str,
    /// The ledger account that the value goes to.
    pub debit: LedgerAccount,
    /// The ledger account that the value comes from.
    pub credit: LedgerAccount,
    /// Whether a value below zero may be posted: then the value goes the other way.
    pub reversible: bool,
}

/// Every movement.
pub const ALL: [&Movement; 7] = [&OPENING, &DEPOSIT, &RESERVE, &ISSUE, &RELEASE, &CANCEL, &ADJUSTMENT];

impl Movement {
    /// The movement of this word.
    #[must_use]
    pub fn from_kind(kind: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|movement| movement.kind == kind)
    }

    const fn new(kind: &'static str, debit: LedgerAccount, credit: LedgerAccount) -> Self {
        Self { kind, debit, credit, reversible: false }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_movement_has_a_word_of_its_own_and_two_accounts() {
        let kinds: BTreeSet<_> = ALL.into_iter().map(|movement| movement.kind).collect();
        assert_eq!(kinds.len(), ALL.len(), "{kinds:?}");
        for movement in ALL {
            assert_ne!(movement.debit, movement.credit, "{}", movement.kind);
            assert_eq!(Movement::from_kind(movement.kind), Some(movement));
        }
        assert_eq!(Movement::from_kind("refund"), None);
    }

    #[test]
    fn the_files_of_movements_are_those_of_the_list() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/movements");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), ALL.len(), "one file a movement");
    }
}
