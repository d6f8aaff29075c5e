//! What an API key may do.

use std::{fmt, str::FromStr};

/// One permission. The words are those of the REST surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Issue and validate rewards.
    RewardsWrite,
    /// Read rewards, their events and the catalogue.
    RewardsRead,
    /// Cancel rewards.
    RewardsCancel,
    /// Have a claim code shown again.
    ClaimCodesReveal,
    /// Read balances.
    BalancesRead,
    /// Read the ledger, the events and what reconciliations found.
    LedgerRead,
    /// Read programs and their budgets.
    ProgramsRead,
    /// Make and change programs: an operator's work.
    ProgramsWrite,
    /// Start a reconciliation: an operator's work.
    ReconciliationsWrite,
}

impl Scope {
    /// Every scope, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::RewardsWrite,
        Self::RewardsRead,
        Self::RewardsCancel,
        Self::ClaimCodesReveal,
        Self::BalancesRead,
        Self::LedgerRead,
        Self::ProgramsRead,
        Self::ProgramsWrite,
        Self::ReconciliationsWrite,
    ];

    /// What a caller needs. Whoever spends a budget does not set it.
    pub const CALLER: [Self; 7] = [
        Self::RewardsWrite,
        Self::RewardsRead,
        Self::RewardsCancel,
        Self::ClaimCodesReveal,
        Self::BalancesRead,
        Self::LedgerRead,
        Self::ProgramsRead,
    ];

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RewardsWrite => "rewards:write",
            Self::RewardsRead => "rewards:read",
            Self::RewardsCancel => "rewards:cancel",
            Self::ClaimCodesReveal => "claim_codes:reveal",
            Self::BalancesRead => "balances:read",
            Self::LedgerRead => "ledger:read",
            Self::ProgramsRead => "programs:read",
            Self::ProgramsWrite => "programs:write",
            Self::ReconciliationsWrite => "reconciliations:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no scope of that name; the scopes are rewards:write, rewards:read, rewards:cancel, claim_codes:reveal, balances:read, \
     ledger:read, programs:read, programs:write, reconciliations:write"
)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// The scopes of one key, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// These scopes, sorted and each once.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Each scope.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

/// Words with blanks between, as OAuth writes scopes (RFC 6749, 3.3).
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_unknown_words_are_refused() {
        let all = Scopes::new(Scope::ALL);
        assert_eq!(all.to_string().parse(), Ok(all));
        let two: Scopes = "rewards:read,rewards:write rewards:read".parse().unwrap();
        assert_eq!(two.to_string(), "rewards:write rewards:read");
        assert!(!two.allow(Scope::RewardsCancel));
        assert_eq!("rewards:everything".parse::<Scopes>(), Err(UnknownScope));
    }
}
