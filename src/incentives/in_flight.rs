//! How many requests are under way at once in this process. No caller, and none of a caller's accounts, takes all the room: a
//! part of it is left to whoever has few.

use crate::kernel::{
    ClientId,
    held::{HeldCounts, HeldOne},
};

/// Room for requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct InFlight {
    most: usize,
    held: HeldCounts<Party>,
}

/// A caller, and what the request says of the account that it is about: requests for an account that hangs leave room for the
/// caller's others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) caller: ClientId,
    pub(super) account: String,
}

impl InFlight {
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: HeldCounts::default() }
    }

    /// A place for a request of this party's; `None` when there is none. All of the room is open to the first one, and three
    /// quarters of it to one who has many.
    pub(super) fn enter(&self, party: Party) -> Option<HeldOne<Party>> {
        let asking = party.clone();
        self.held.take_if(party, |held| {
            let (all, own) = (held.values().sum::<usize>(), held.get(&asking).copied().unwrap_or(0));
            let kept_free = self.most / 4 - self.most / 4 / own.saturating_add(1);
            all < self.most.saturating_sub(kept_free)
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn party(caller: u128, account: &str) -> Party {
        Party { caller: ClientId::new(Uuid::from_u128(caller)), account: account.to_owned() }
    }

    fn fill(room: &InFlight, party: &Party) -> Vec<HeldOne<Party>> {
        std::iter::from_fn(|| room.enter(party.clone())).collect()
    }

    #[test]
    fn whoever_has_many_requests_under_way_leaves_room_for_others_and_for_their_own_other_accounts() {
        let room = InFlight::new(256);
        let greedy = fill(&room, &party(1, "hangs"));
        assert!((192..=200).contains(&greedy.len()), "{}", greedy.len());
        let (other, own) = (room.enter(party(2, "main")), room.enter(party(1, "main")));
        assert!(other.is_some() && own.is_some());
        drop(greedy);
        assert!(room.enter(party(1, "hangs")).is_some());
    }

    #[test]
    fn all_of_the_room_is_used_by_many_who_have_few() {
        let room = InFlight::new(16);
        let places: Vec<_> = (0..20).filter_map(|caller| room.enter(party(caller, "main"))).collect();
        assert_eq!(places.len(), 16);
        drop(places);
        assert!(room.held.counts().is_empty());
        assert!(InFlight::new(1).enter(party(1, "main")).is_some());
    }
}
