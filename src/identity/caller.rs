//! Whose things a key deals with: its client's, of those perhaps one program's alone, or everybody's.

use super::{Scope, Scopes};
use crate::kernel::{ApiKeyId, ClientId, ProgramId};

/// Deal with what belongs to any client: the whole ledger, every event, program and reconciliation. An operator's.
pub(crate) const CLIENTS_ALL: Scope = Scope::on_request("clients:all");

/// Deal with the rewards of any client. Support's: a customer on the phone knows an order's number, and no client. It is not part of
/// `clients:all`, which a migration gave to keys that release 0.1.0 made.
pub(crate) const REWARDS_ALL: Scope = Scope::on_request("rewards:all");

/// All scopes that are no slice's.
pub(crate) const SCOPES: &[Scope] = &[CLIENTS_ALL];
/// Those that came after the slices had all of theirs: a list of scopes keeps its order from release to release.
pub(crate) const LATER_SCOPES: &[Scope] = &[REWARDS_ALL];

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client: ClientId,
    /// The API key; `None` where the service acts for its client.
    pub key: Option<ApiKeyId>,
    /// The program that the key is bound to: it deals with nothing else.
    program: Option<ProgramId>,
    everyone: bool,
    every_reward: bool,
}

/// Whose entries a list shows. What is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedBy {
    /// Those of this client.
    pub client: Option<ClientId>,
    /// Of those, what this program pays for.
    pub program: Option<ProgramId>,
}

impl Caller {
    /// The holder of a key with these scopes.
    #[must_use]
    pub(super) fn of_key(client: ClientId, key: ApiKeyId, scopes: &Scopes, program: Option<ProgramId>) -> Self {
        let with = |scope| scopes.allow(scope) && program.is_none();
        let (everyone, every_reward) = (with(CLIENTS_ALL), with(REWARDS_ALL));
        Self { client, key: Some(key), program, everyone, every_reward }
    }

    /// The service itself, for this client.
    #[must_use]
    pub const fn of_client(client: ClientId) -> Self {
        Self { client, key: None, program: None, everyone: false, every_reward: false }
    }

    /// The program that the key is bound to.
    #[must_use]
    pub const fn bound_to(&self) -> Option<&ProgramId> {
        self.program.as_ref()
    }

    /// Whether the caller deals with a reward of this client, paid by this program.
    #[must_use]
    pub fn deals_with_reward(&self, client: ClientId, program: Option<&ProgramId>) -> bool {
        let bound = self.program.as_ref().is_none_or(|own| Some(own) == program);
        bound && (self.every_reward || self.client == client)
    }

    /// Whether the caller deals with this program of this owner. One without an owner is everybody's.
    #[must_use]
    pub fn deals_with(&self, program: &ProgramId, owner: Option<ClientId>) -> bool {
        let bound = self.program.as_ref().is_none_or(|own| own == program);
        bound && (self.everyone || owner.is_none_or(|owner| owner == self.client))
    }

    /// Whether the caller deals with what belongs to other clients.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        self.everyone
    }

    /// Whether the caller deals with rewards of other clients.
    #[must_use]
    pub const fn sees_every_reward(&self) -> bool {
        self.every_reward
    }

    /// Whose entries lists show to the caller.
    #[must_use]
    pub fn shown(&self) -> OwnedBy {
        if self.everyone {
            return OwnedBy::default();
        }
        OwnedBy { client: Some(self.client), program: self.program.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_key_deals_with_its_program_alone_whatever_its_scopes() {
        let (mine, theirs) = (ClientId::of_name("mine"), ClientId::of_name("theirs"));
        let [spring, autumn]: [ProgramId; 2] = ["prg_spring", "prg_autumn"].map(|id| id.parse().unwrap());
        let key = ApiKeyId::new(uuid::Uuid::nil());
        let all = Scopes::new([CLIENTS_ALL, REWARDS_ALL]);
        let bound = Caller::of_key(mine, key, &all, Some(spring.clone()));
        assert!(bound.deals_with_reward(mine, Some(&spring)) && bound.deals_with(&spring, None));
        assert!(
            !bound.deals_with_reward(mine, Some(&autumn))
                && !bound.deals_with_reward(mine, None)
                && !bound.deals_with_reward(theirs, Some(&spring))
        );
        assert!(!bound.deals_with(&autumn, Some(mine)) && !bound.deals_with(&spring, Some(theirs)));
        assert_eq!(bound.shown(), OwnedBy { client: Some(mine), program: Some(spring.clone()) });
        let other = Caller::of_key(mine, key, &Scopes::default(), None);
        assert!(other.deals_with_reward(mine, Some(&spring)) && !other.deals_with_reward(theirs, Some(&spring)));
        let finance = Caller::of_key(mine, key, &Scopes::new([CLIENTS_ALL]), None);
        assert!(finance.is_operator() && !finance.deals_with_reward(theirs, None), "clients:all opens no reward");
        let operator = Caller::of_key(mine, key, &all, None);
        assert!(operator.deals_with(&autumn, Some(theirs)) && operator.deals_with_reward(theirs, None));
        assert_eq!(operator.shown(), OwnedBy::default());
    }
}
