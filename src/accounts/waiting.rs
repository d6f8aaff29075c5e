//! Who waits for a slot in this process, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::Slot;
use crate::kernel::ClientId;

/// What a slot is wanted for: the first goes first. What is paid for goes before what is new, and every second time it lets
/// what is new pass: a caller may ask for the same code without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// A cancel, while Amazon's window is open.
    Cancel,
    /// What may have been bought.
    Recovery,
    /// What is paid for, and what the account has: codes shown again, balances, reports.
    Look,
    /// A new reward.
    Purchase,
}

impl Purpose {
    /// Whether the new rewards of all replicas wait for it, each time.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(self, Self::Cancel | Self::Recovery)
    }
}

/// Whether those who look may have the next slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// They may.
    Go,
    /// They had the last one, and leave this one to a new reward.
    Yield,
}

/// What a slot is wanted for, and by whom; `None` is the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) purpose: Purpose,
    pub(crate) caller: Option<ClientId>,
}

/// Those who wait: by purpose, and within a purpose each caller in turn.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<Purpose, VecDeque<CallerLine>>);

/// The requests of one caller, oldest first; never empty.
struct CallerLine {
    caller: Option<ClientId>,
    requests: VecDeque<oneshot::Sender<Slot>>,
}

impl Waiting {
    /// Forgets those who have given up.
    pub(super) fn tidy(&mut self) {
        for lines in self.0.values_mut() {
            for line in lines.iter_mut() {
                line.requests.retain(|give| !give.is_closed());
            }
            lines.retain(|line| !line.requests.is_empty());
        }
        self.0.retain(|_purpose, lines| !lines.is_empty());
    }

    /// What the next slot is wanted for; `None` when nobody waits.
    pub(super) fn next(&self, looks: Looks) -> Option<Purpose> {
        let first = *self.0.first_key_value()?.0;
        let yields = first == Purpose::Look && looks == Looks::Yield && self.has(Purpose::Purchase);
        Some(if yields { Purpose::Purchase } else { first })
    }

    /// How many requests wait for this purpose.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.lines(purpose).map(|line| line.requests.len()).sum()
    }

    /// Whether somebody waits for this purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.0.contains_key(&purpose)
    }

    fn lines(&self, purpose: Purpose) -> impl Iterator<Item = &CallerLine> {
        self.0.get(&purpose).into_iter().flatten()
    }

    /// How many requests of this purpose the caller has waiting.
    pub(super) fn own(&self, wanted: Wanted) -> usize {
        self.lines(wanted.purpose).find(|line| line.caller == wanted.caller).map_or(0, |line| line.requests.len())
    }

    /// How many slots go to others before one that is asked for now has its turn.
    pub(super) fn ahead(&self, wanted: Wanted) -> usize {
        let own = self.own(wanted);
        let beside = self.lines(wanted.purpose).filter(|line| line.caller != wanted.caller);
        // Each of the others has as many turns as this caller before it is the caller's turn again.
        let of_purpose =
            beside.fold(own, |sum, line| sum.saturating_add(line.requests.len().min(own.saturating_add(1))));
        let before: usize = self
            .0
            .range(..wanted.purpose)
            .map(|(purpose, _lines)| match (wanted.purpose, purpose) {
                // One of them goes before each new reward.
                (Purpose::Purchase, Purpose::Look) => self.count(*purpose).min(of_purpose.saturating_add(1)),
                (_, purpose) => self.count(*purpose),
            })
            .sum();
        // And one new reward goes before each of them but the first.
        let between = if wanted.purpose == Purpose::Look { self.count(Purpose::Purchase).min(of_purpose) } else { 0 };
        of_purpose.saturating_add(before).saturating_add(between)
    }

    /// Lets go of all of them: each hears that nobody gives it a slot.
    pub(super) fn send_away(&mut self) {
        self.0.clear();
    }

    /// Adds a request.
    pub(super) fn push(&mut self, wanted: Wanted, give: oneshot::Sender<Slot>) {
        let lines = self.0.entry(wanted.purpose).or_default();
        match lines.iter_mut().find(|line| line.caller == wanted.caller) {
            Some(line) => line.requests.push_back(give),
            None => lines.push_back(CallerLine { caller: wanted.caller, requests: VecDeque::from([give]) }),
        }
    }

    /// The request whose turn it is, and its purpose.
    pub(super) fn pop(&mut self, looks: Looks) -> Option<(Purpose, oneshot::Sender<Slot>)> {
        let purpose = self.next(looks)?;
        let lines = self.0.get_mut(&purpose)?;
        let mut line = lines.pop_front()?;
        let give = line.requests.pop_front()?;
        if !line.requests.is_empty() {
            lines.push_back(line);
        }
        if lines.is_empty() {
            self.0.remove(&purpose);
        }
        Some((purpose, give))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn wanted(purpose: Purpose, caller: u128) -> Wanted {
        Wanted { purpose, caller: Some(ClientId::new(Uuid::from_u128(caller))) }
    }

    /// Gives every slot, and says in which order those who wait had them.
    fn served(wants: &[Wanted]) -> Vec<usize> {
        let mut waiting = Waiting::default();
        let mut given = Vec::new();
        for want in wants {
            let (give, got) = oneshot::channel();
            waiting.push(*want, give);
            given.push(got);
        }
        let (mut order, mut looks) = (Vec::new(), Looks::Go);
        while let Some((purpose, give)) = waiting.pop(looks) {
            looks = if purpose == Purpose::Look { Looks::Yield } else { Looks::Go };
            give.send(Slot::UNLIMITED).unwrap();
            let at = given.iter_mut().position(|got| got.try_recv().is_ok()).unwrap();
            order.push(at);
        }
        order
    }

    #[test]
    fn what_is_paid_for_goes_before_what_is_new_and_a_deadline_before_all() {
        let wants = [Purpose::Purchase, Purpose::Look, Purpose::Recovery, Purpose::Cancel].map(|of| wanted(of, 1));
        assert_eq!(served(&wants), [3, 2, 1, 0]);
    }

    /// Asking for the same code again costs its caller nothing, and new rewards must not wait for the end of it.
    #[test]
    fn whoever_looks_without_end_leaves_every_second_slot_to_new_rewards() {
        let (look, buy) = (wanted(Purpose::Look, 1), wanted(Purpose::Purchase, 2));
        assert_eq!(served(&[look, look, look, look, buy, buy]), [0, 4, 1, 5, 2, 3]);
        let mut waiting = Waiting::default();
        let mut kept = Vec::new();
        for want in [look; 50] {
            let (give, got) = oneshot::channel();
            waiting.push(want, give);
            kept.push(got);
        }
        assert_eq!(waiting.ahead(buy), 1);
        assert_eq!(waiting.ahead(wanted(Purpose::Look, 3)), 1, "callers who look have their turns, too");
        assert!(!Purpose::Look.is_urgent(), "new rewards of other replicas do not wait for it");
    }

    #[test]
    fn each_caller_has_a_turn_however_many_requests_another_has_waiting() {
        let of = |caller| wanted(Purpose::Purchase, caller);
        assert_eq!(served(&[of(1), of(1), of(1), of(2), of(3), of(2)]), [0, 3, 4, 1, 5, 2]);
    }

    #[test]
    fn what_goes_before_is_counted_in_turns() {
        let mut waiting = Waiting::default();
        let mut kept = Vec::new();
        for want in [(Purpose::Cancel, 9), (Purpose::Purchase, 1), (Purpose::Purchase, 1), (Purpose::Purchase, 1)] {
            let (give, got) = oneshot::channel();
            waiting.push(wanted(want.0, want.1), give);
            kept.push(got);
        }
        assert_eq!(waiting.ahead(wanted(Purpose::Purchase, 1)), 4);
        assert_eq!(waiting.ahead(wanted(Purpose::Purchase, 2)), 2, "the cancel, and one of the other caller's");
        assert_eq!(waiting.ahead(wanted(Purpose::Cancel, 2)), 1);
        assert_eq!(waiting.ahead(wanted(Purpose::Recovery, 2)), 1);
        kept.clear();
        waiting.tidy();
        assert_eq!((waiting.next(Looks::Go), waiting.ahead(wanted(Purpose::Purchase, 1))), (None, 0));
    }
}
