//! What a replica does next about an account's key pairs. Pure: the database, the files and the clock are given.

use super::book::{KeyProof, KnownPair};
use crate::provider::incentives::PairFingerprint;

/// Amazon is asked again about a pair that it refused after so long: an operator may activate it in the portal.
const REFUSED_US: i64 = 60_000_000;
/// And about one that it took and that is not in force: the portal's owner makes the old one inactive one day.
const ACCEPTED_US: i64 = 600_000_000;
/// An answer is believed for so long: until the next one can have come.
pub(super) const BELIEVED_US: i64 = ACCEPTED_US + 60_000_000;
/// No turn to ask lies farther ahead.
const TURN_US: i64 = 30_000_000;
/// And about the one in force, if it turns calls away: at most so often.
const DOUBTED_US: i64 = 3_000_000;

/// What this replica has and does.
#[derive(Debug, Clone)]
pub(super) struct ThisReplica {
    /// The pairs that it could sign with.
    pub(super) held: Vec<HeldPair>,
    /// What it signs with.
    pub(super) signs_with: PairFingerprint,
    /// Amazon has turned calls away that were signed with it, since it was last asked about it.
    pub(super) turned_away: bool,
}

/// A pair that a replica could sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldPair {
    pub(super) pair: PairFingerprint,
    /// It lies in the files of a slot. A pair that has gone from them is held in memory alone.
    pub(super) in_files: bool,
}

/// The whole of what is known.
#[derive(Debug, Clone)]
pub(super) struct PairSituation {
    pub(super) replica: ThisReplica,
    /// What the database says of the account's pairs.
    pub(super) pairs: Vec<KnownPair>,
    /// The pairs of each other replica that lives.
    pub(super) others: Vec<Vec<HeldPair>>,
    /// An operator puts pairs in force, not the service.
    pub(super) by_hand: bool,
    pub(super) now_us: i64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Sign with this pair from now on.
    Sign(PairFingerprint),
    /// Ask Amazon whether it takes this pair.
    Ask(PairFingerprint),
    /// Let every replica sign with this pair.
    PutInForce(PairChange),
    /// Nothing until something changes.
    Rest,
}

/// A change of the pair in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PairChange {
    pub(super) from: Option<PairFingerprint>,
    pub(super) to: PairFingerprint,
    pub(super) why: ChangeReason,
}

/// Why another pair comes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeReason {
    /// Amazon has taken the new one.
    Proven,
    /// Amazon turns the one that was in force away, and takes this one.
    Return,
    /// An operator says so.
    Ordered,
}

impl PairSituation {
    /// The next step. Each of them changes what the next call is given, so it is called until it says [`NextStep::Rest`].
    pub(super) fn next(&self) -> NextStep {
        let in_force = self.in_force();
        if let Some(pair) = in_force.filter(|pair| self.holds(*pair) && *pair != self.replica.signs_with) {
            return NextStep::Sign(pair);
        }
        if let Some(pair) = self.instead(in_force) {
            return NextStep::Sign(pair);
        }
        if let Some(pair) = self.to_ask(in_force) {
            return NextStep::Ask(pair);
        }
        self.change(in_force).map_or(NextStep::Rest, NextStep::PutInForce)
    }

    fn in_force(&self) -> Option<PairFingerprint> {
        self.pairs.iter().find(|pair| pair.in_force).map(|pair| pair.fingerprint)
    }

    /// Where the pair in force is not here: one that Amazon takes, in place of one that it does not.
    fn instead(&self, in_force: Option<PairFingerprint>) -> Option<PairFingerprint> {
        let missing = in_force.is_some_and(|pair| !self.holds(pair));
        let signs_well = self.accepted(|pair| pair.fingerprint == self.replica.signs_with).next().is_some();
        if missing && !signs_well { self.accepted(|_pair| true).next() } else { None }
    }

    /// Whether this replica signs with another pair than the one in force, which another replica holds: what Amazon says of its
    /// signatures says nothing of the account.
    pub(super) fn is_out_of_step(&self) -> bool {
        let elsewhere = |pair: PairFingerprint| self.others.iter().flatten().any(|held| held.pair == pair);
        self.in_force().is_some_and(|pair| pair != self.replica.signs_with && elsewhere(pair))
    }

    /// Whether Amazon takes the pair in force, and refuses the one that this replica signs with for want of it. Where no replica
    /// has it, none is stranded: they would all be, and serve no other account either.
    pub(super) fn is_stranded(&self) -> bool {
        let verdict = |pair: PairFingerprint| self.known(pair).and_then(|known| known.verdict);
        self.is_out_of_step()
            && self.in_force().and_then(verdict) == Some(KeyProof::Accepted)
            && verdict(self.replica.signs_with) == Some(KeyProof::Refused)
    }

    fn holds(&self, pair: PairFingerprint) -> bool {
        self.replica.held.iter().any(|held| held.pair == pair)
    }

    fn known(&self, pair: PairFingerprint) -> Option<&KnownPair> {
        self.pairs.iter().find(|known| known.fingerprint == pair)
    }

    /// A pair of this replica's that Amazon should be asked about now.
    fn to_ask(&self, in_force: Option<PairFingerprint>) -> Option<PairFingerprint> {
        let refused_at = in_force.and_then(|pair| self.known(pair)).and_then(KnownPair::refused_at_us);
        let due = |known: &KnownPair| {
            let age_us = known.age_us(self.now_us);
            match known.verdict {
                // A turn that lies farther ahead was taken by a clock that has gone back since.
                _ if (self.now_us..=self.now_us.saturating_add(TURN_US)).contains(&known.asking_until_us) => false,
                None => true,
                Some(KeyProof::Refused) => age_us >= REFUSED_US,
                // Its calls show that it works.
                Some(KeyProof::Accepted) if known.fingerprint == self.replica.signs_with => {
                    self.replica.turned_away && age_us >= DOUBTED_US
                }
                // What Amazon said before it refused the pair in force may be out of date.
                Some(KeyProof::Accepted) => age_us >= ACCEPTED_US || refused_at.is_some_and(|at| known.asked_us < at),
            }
        };
        let held = self.replica.held.iter().filter_map(|held| self.known(held.pair));
        held.filter(|pair| due(pair)).map(|pair| pair.fingerprint).next()
    }

    fn change(&self, in_force: Option<PairFingerprint>) -> Option<PairChange> {
        let Some(current) = in_force else {
            // What the settings say, in their order.
            let first = self.accepted(|_pair| true).next()?;
            return Some(PairChange { from: None, to: first, why: ChangeReason::Proven });
        };
        if let Some(refused_at) = self.known(current).and_then(KnownPair::refused_at_us) {
            let works = self.accepted(|pair| pair.asked_us >= refused_at && pair.fingerprint != current).next();
            return works.map(|to| PairChange { from: in_force, to, why: ChangeReason::Return });
        }
        if self.by_hand {
            return None;
        }
        // A pair that has gone from the files of every replica was taken away on purpose, so one that it replaced may come back.
        let in_files = |pairs: &[HeldPair]| pairs.iter().any(|held| held.pair == current && held.in_files);
        let gone = !in_files(&self.replica.held) && !self.others.iter().any(|pairs| in_files(pairs));
        let is_new = |pair: &KnownPair| pair.fingerprint != current && (gone || pair.in_force_us == 0);
        let holds = |pairs: &[HeldPair], pair| pairs.iter().any(|held| held.pair == pair);
        let everywhere = |pair: &PairFingerprint| self.others.iter().all(|pairs| holds(pairs, *pair));
        let to = self.accepted(is_new).find(everywhere)?;
        Some(PairChange { from: in_force, to, why: ChangeReason::Proven })
    }

    /// The pairs in this replica's files, and those in its memory after them, that Amazon takes: as it said lately.
    fn accepted(&self, also: impl Fn(&KnownPair) -> bool) -> impl Iterator<Item = PairFingerprint> {
        let (mut files, memory): (Vec<&HeldPair>, Vec<&HeldPair>) =
            self.replica.held.iter().partition(|held| held.in_files);
        files.extend(memory);
        let known = files.into_iter().filter_map(|held| self.known(held.pair));
        let lately =
            |pair: &KnownPair| pair.age_us(self.now_us) < BELIEVED_US || pair.fingerprint == self.replica.signs_with;
        known
            .filter(move |pair| pair.verdict == Some(KeyProof::Accepted) && lately(pair) && also(pair))
            .map(|pair| pair.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_000_000_000_000;

    fn print(of: u8) -> PairFingerprint {
        PairFingerprint::from_bytes(&[of; 32]).unwrap()
    }

    fn held(of: u8) -> HeldPair {
        HeldPair { pair: print(of), in_files: true }
    }

    /// A pair that Amazon was asked about a second ago.
    fn pair(of: u8, verdict: Option<KeyProof>) -> KnownPair {
        KnownPair {
            fingerprint: print(of),
            met_us: i64::from(of),
            verdict,
            asked_us: if verdict.is_some() { NOW_US - 1_000_000 } else { 0 },
            asking_until_us: 0,
            in_force: false,
            in_force_us: 0,
        }
    }

    const fn in_force(pair: KnownPair) -> KnownPair {
        KnownPair { in_force: true, in_force_us: NOW_US - 5_000_000, ..pair }
    }

    const fn was_in_force(pair: KnownPair) -> KnownPair {
        KnownPair { in_force_us: NOW_US - 50_000_000, ..pair }
    }

    /// A replica that has these pairs in its files and signs with the first.
    fn situation(pairs: Vec<KnownPair>) -> PairSituation {
        let held = pairs.iter().map(|pair| HeldPair { pair: pair.fingerprint, in_files: true }).collect();
        let replica = ThisReplica { held, signs_with: pairs[0].fingerprint, turned_away: false };
        PairSituation { replica, pairs, others: Vec::new(), by_hand: false, now_us: NOW_US }
    }

    const ACCEPTED: Option<KeyProof> = Some(KeyProof::Accepted);
    const REFUSED: Option<KeyProof> = Some(KeyProof::Refused);

    fn change(from: Option<u8>, to: u8, why: ChangeReason) -> NextStep {
        NextStep::PutInForce(PairChange { from: from.map(print), to: print(to), why })
    }

    #[test]
    fn a_pair_is_asked_about_before_it_comes_in_force() {
        assert_eq!(situation(vec![pair(1, None)]).next(), NextStep::Ask(print(1)));
        assert_eq!(situation(vec![pair(1, ACCEPTED)]).next(), change(None, 1, ChangeReason::Proven));
        assert_eq!(situation(vec![pair(1, REFUSED)]).next(), NextStep::Rest);
        let current = in_force(pair(1, ACCEPTED));
        assert_eq!(situation(vec![current, pair(2, None)]).next(), NextStep::Ask(print(2)));
        assert_eq!(situation(vec![current, pair(2, ACCEPTED)]).next(), change(Some(1), 2, ChangeReason::Proven));
        assert_eq!(situation(vec![current, pair(2, REFUSED)]).next(), NextStep::Rest);
    }

    #[test]
    fn one_replica_asks_at_a_time_and_what_was_refused_is_asked_about_again() {
        let asking = KnownPair { asking_until_us: NOW_US + 1, ..pair(2, None) };
        assert_eq!(situation(vec![in_force(pair(1, ACCEPTED)), asking]).next(), NextStep::Rest);
        let long_ago = |verdict, ago_us| KnownPair { asked_us: NOW_US - ago_us, ..was_in_force(pair(2, verdict)) };
        for (verdict, ago_us) in [(REFUSED, REFUSED_US), (ACCEPTED, ACCEPTED_US)] {
            let next = |ago_us| situation(vec![in_force(pair(1, ACCEPTED)), long_ago(verdict, ago_us)]).next();
            assert_eq!((next(ago_us - 1), next(ago_us)), (NextStep::Rest, NextStep::Ask(print(2))), "{verdict:?}");
            assert_eq!(next(-60_000_000), NextStep::Ask(print(2)), "a clock has gone back");
        }
    }

    #[test]
    fn a_new_pair_waits_for_every_replica_and_for_an_operator_who_wants_to_be_asked() {
        let mut new = situation(vec![in_force(pair(1, ACCEPTED)), pair(2, ACCEPTED)]);
        new.others = vec![vec![held(1), held(2)], vec![held(1)]];
        assert_eq!(new.next(), NextStep::Rest);
        new.others = vec![vec![held(1), held(2)], vec![held(2)]];
        assert_eq!(new.next(), change(Some(1), 2, ChangeReason::Proven));
        new.by_hand = true;
        assert_eq!(new.next(), NextStep::Rest);
    }

    #[test]
    fn every_replica_that_holds_the_pair_in_force_signs_with_it() {
        let pairs = vec![was_in_force(pair(1, ACCEPTED)), in_force(pair(2, ACCEPTED))];
        assert_eq!(situation(pairs.clone()).next(), NextStep::Sign(print(2)));
        let mut without = situation(pairs);
        without.replica.held.truncate(1);
        without.others = vec![vec![held(1), held(2)]];
        assert_eq!(without.next(), NextStep::Rest, "what is not here cannot sign");
        without.others.clear();
        assert_eq!(without.next(), change(Some(2), 1, ChangeReason::Proven), "no replica has it any more");
    }

    #[test]
    fn a_pair_that_turns_calls_away_is_doubted_and_gives_way_to_one_that_amazon_takes_now() {
        let doubted = |ago_us| KnownPair { asked_us: NOW_US - ago_us, ..in_force(pair(1, ACCEPTED)) };
        let next = |turned_away, ago_us| {
            let mut one = situation(vec![doubted(ago_us), was_in_force(pair(2, ACCEPTED))]);
            one.replica.turned_away = turned_away;
            one.next()
        };
        assert_eq!(next(true, DOUBTED_US), NextStep::Ask(print(1)));
        assert_eq!((next(true, 1), next(false, DOUBTED_US)), (NextStep::Rest, NextStep::Rest));
        // What Amazon said of the other pair before is no proof that it takes it now.
        let refused = in_force(pair(1, REFUSED));
        let stale = KnownPair { asked_us: refused.asked_us - 1, ..was_in_force(pair(2, ACCEPTED)) };
        assert_eq!(situation(vec![refused, stale]).next(), NextStep::Ask(print(2)));
        let fresh = KnownPair { asked_us: refused.asked_us, ..stale };
        let mut back = situation(vec![refused, fresh]);
        assert_eq!(back.next(), change(Some(1), 2, ChangeReason::Return));
        // Without a pair that works nobody waits for an operator, nor for a replica.
        (back.by_hand, back.others) = (true, vec![vec![held(1)]]);
        assert_eq!(back.next(), change(Some(1), 2, ChangeReason::Return));
    }

    #[test]
    fn what_gave_way_comes_back_only_if_the_other_one_has_gone_from_the_files() {
        let pairs = vec![in_force(pair(1, ACCEPTED)), was_in_force(pair(2, ACCEPTED))];
        let mut replaced = situation(pairs);
        assert_eq!(replaced.next(), NextStep::Rest);
        replaced.replica.held[0].in_files = false;
        // The files of the other replicas follow within a minute or two.
        replaced.others = vec![vec![held(1), HeldPair { in_files: false, ..held(2) }]];
        assert_eq!(replaced.next(), NextStep::Rest, "it has not gone from every replica's files");
        replaced.others = vec![vec![HeldPair { in_files: false, ..held(1) }, held(2)]];
        assert_eq!(replaced.next(), change(Some(1), 2, ChangeReason::Proven));
        // What Amazon said too long ago is no reason: it may have been made inactive since.
        replaced.pairs[1].asked_us = NOW_US - BELIEVED_US;
        replaced.pairs[1].asking_until_us = NOW_US + 1;
        assert_eq!(replaced.next(), NextStep::Rest);
    }
    /// It has begun with files that hold a bad pair, while the others have the pair in force in memory.
    #[test]
    fn a_replica_without_the_pair_in_force_signs_with_what_amazon_takes_or_is_known_to_be_stranded() {
        let mut late = situation(vec![pair(3, REFUSED), in_force(pair(1, ACCEPTED)), pair(2, ACCEPTED)]);
        late.others = vec![vec![held(1)]];
        late.replica.held.remove(1);
        assert_eq!(late.next(), NextStep::Sign(print(2)));
        late.replica.held.pop();
        assert_eq!(late.next(), NextStep::Rest);
        assert!(late.is_out_of_step() && late.is_stranded());
        late.others[0] = vec![held(3)];
        assert!(
            !late.is_out_of_step() && !late.is_stranded(),
            "no replica has the pair in force: the account is in trouble"
        );
        late.others[0] = vec![held(1)];
        late.replica.signs_with = print(1);
        assert!(!late.is_out_of_step() && !late.is_stranded());
    }

    #[test]
    fn a_turn_that_a_clock_took_which_has_gone_back_is_over() {
        let asking = |ahead_us| KnownPair { asking_until_us: NOW_US + ahead_us, ..pair(2, None) };
        let next = |ahead_us| situation(vec![in_force(pair(1, ACCEPTED)), asking(ahead_us)]).next();
        assert_eq!((next(TURN_US), next(TURN_US + 1)), (NextStep::Rest, NextStep::Ask(print(2))));
    }
}
