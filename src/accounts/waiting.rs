//! Who waits for a slot in this process, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::Slot;
use crate::kernel::ClientId;

/// What a slot is wanted for: the first goes first. What is paid for goes before what is new, and every second time it lets
/// what is new pass: a caller may ask for the same code without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A cancel, while Amazon's window is open.
    Cancel,
    /// What may have been bought.
    Recovery,
    /// What is paid for, and what the account has: codes shown again, balances, reports.
    Look,
    /// A new reward.
    Purchase,
    /// A reward of a batch, for which nobody waits.
    Batch,
}

/// So many slots go to whoever looks or buys before one that a batch waits for: a batch is slow then, and never stands still.
const PASSED_MAX: usize = 9;

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
pub(super) struct Waiting {
    lines: BTreeMap<Purpose, VecDeque<CallerLine>>,
    /// How many slots in a row went by the batches that wait.
    passed: usize,
}

/// The requests of one caller, oldest first; never empty.
struct CallerLine {
    caller: Option<ClientId>,
    requests: VecDeque<oneshot::Sender<Slot>>,
}

impl Waiting {
    /// Forgets those who have given up.
    pub(super) fn tidy(&mut self) {
        for lines in self.lines.values_mut() {
            for line in lines.iter_mut() {
                line.requests.retain(|give| !give.is_closed());
            }
            lines.retain(|line| !line.requests.is_empty());
        }
        self.lines.retain(|_purpose, lines| !lines.is_empty());
    }

    /// What the next slot is wanted for; `None` when nobody waits.
    pub(super) fn next(&self, looks: Looks) -> Option<Purpose> {
        let first = *self.lines.first_key_value()?.0;
        if !first.is_urgent() && self.passed >= PASSED_MAX && self.has(Purpose::Batch) {
            return Some(Purpose::Batch);
        }
        let yields = first == Purpose::Look && looks == Looks::Yield && self.has(Purpose::Purchase);
        Some(if yields { Purpose::Purchase } else { first })
    }

    /// How many requests wait for this purpose.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.lines(purpose).map(|line| line.requests.len()).sum()
    }

    /// Whether somebody waits for this purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.lines.contains_key(&purpose)
    }

    fn lines(&self, purpose: Purpose) -> impl Iterator<Item = &CallerLine> {
        self.lines.get(&purpose).into_iter().flatten()
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
            .lines
            .range(..wanted.purpose)
            .map(|(purpose, _lines)| match (wanted.purpose, purpose) {
                // One of them goes before each new reward.
                (Purpose::Purchase, Purpose::Look) => self.count(*purpose).min(of_purpose.saturating_add(1)),
                // A batch is passed by some, and not by all.
                (Purpose::Batch, Purpose::Look | Purpose::Purchase) => {
                    self.count(*purpose).min(of_purpose.saturating_add(1).saturating_mul(PASSED_MAX))
                }
                (_, purpose) => self.count(*purpose),
            })
            .sum();
        // And one new reward goes before each of them but the first.
        let between = if wanted.purpose == Purpose::Look { self.count(Purpose::Purchase).min(of_purpose) } else { 0 };
        let first = of_purpose.saturating_add(before).saturating_add(between);
        // One of a batch goes after each few of those who pass it.
        let of_batches = match wanted.purpose {
            Purpose::Look | Purpose::Purchase => {
                self.count(Purpose::Batch).min(first.saturating_add(self.passed) / PASSED_MAX)
            }
            Purpose::Cancel | Purpose::Recovery | Purpose::Batch => 0,
        };
        first.saturating_add(of_batches)
    }

    /// Lets go of all of them: each hears that nobody gives it a slot.
    pub(super) fn send_away(&mut self) {
        self.lines.clear();
    }

    /// Adds a request.
    pub(super) fn push(&mut self, wanted: Wanted, give: oneshot::Sender<Slot>) {
        let lines = self.lines.entry(wanted.purpose).or_default();
        match lines.iter_mut().find(|line| line.caller == wanted.caller) {
            Some(line) => line.requests.push_back(give),
            None => lines.push_back(CallerLine { caller: wanted.caller, requests: VecDeque::from([give]) }),
        }
    }

    /// The request whose turn it is, and its purpose.
    pub(super) fn pop(&mut self, looks: Looks) -> Option<(Purpose, oneshot::Sender<Slot>)> {
        let purpose = self.next(looks)?;
        let lines = self.lines.get_mut(&purpose)?;
        let mut line = lines.pop_front()?;
        let give = line.requests.pop_front()?;
        if !line.requests.is_empty() {
            lines.push_back(line);
        }
        if lines.is_empty() {
            self.lines.remove(&purpose);
        }
        self.passed = match purpose {
            Purpose::Look | Purpose::Purchase if self.has(Purpose::Batch) => self.passed.saturating_add(1),
            Purpose::Look | Purpose::Purchase | Purpose::Batch => 0,
            Purpose::Cancel | Purpose::Recovery => self.passed,
        };
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
    fn a_single_request_passes_a_batch_of_its_own_client_and_of_any_other() {
        let (batch, buy) = (wanted(Purpose::Batch, 1), wanted(Purpose::Purchase, 1));
        let other = wanted(Purpose::Purchase, 2);
        assert_eq!(served(&[batch, batch, batch, buy, other]), [3, 4, 0, 1, 2]);
        assert_eq!(served(&[batch, wanted(Purpose::Batch, 2), batch]), [0, 1, 2], "batches of clients take turns");
        assert!(!Purpose::Batch.is_urgent());
    }

    proptest::proptest! {
        /// Whatever comes in whatever order, with a batch that always waits.
        #[test]
        fn a_batch_gets_what_is_left_and_never_stands_still(arrivals in proptest::collection::vec((0_u8..5, 0_u128..3), 1..120)) {
            let mut waiting = Waiting::default();
            let mut kept = Vec::new();
            let mut push = |waiting: &mut Waiting, want: Wanted| {
                let (give, got) = oneshot::channel();
                waiting.push(want, give);
                kept.push(got);
            };
            let (mut passed, mut looks) = (0, Looks::Go);
            for (purpose, caller) in arrivals {
                let purpose = [Purpose::Cancel, Purpose::Recovery, Purpose::Look, Purpose::Purchase, Purpose::Purchase][usize::from(purpose)];
                push(&mut waiting, wanted(Purpose::Batch, 9));
                push(&mut waiting, wanted(purpose, caller));
                let (buying, ahead) = (waiting.has(Purpose::Purchase), waiting.ahead(wanted(Purpose::Purchase, 7)));
                proptest::prop_assert!(ahead <= waiting.count(Purpose::Purchase) * 2 + waiting.count(Purpose::Look)
                    + waiting.count(Purpose::Cancel) + waiting.count(Purpose::Recovery) + 30, "the batch's length is nothing to it");
                let (served, give) = waiting.pop(looks).unwrap();
                give.send(Slot::UNLIMITED).unwrap();
                looks = if served == Purpose::Look { Looks::Yield } else { Looks::Go };
                match served {
                    Purpose::Batch => {
                        proptest::prop_assert!(!buying || passed >= PASSED_MAX, "a purchase waited behind a batch after {passed}");
                        passed = 0;
                    }
                    Purpose::Look | Purpose::Purchase => passed += 1,
                    Purpose::Cancel | Purpose::Recovery => {}
                }
                proptest::prop_assert!(passed <= PASSED_MAX, "a batch stands still");
            }
        }
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
