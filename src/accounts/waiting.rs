//! Who waits for a slot in this process, and whose turn it is.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::Slot;
use crate::kernel::ClientId;

/// What a slot is wanted for: the first goes first. What is paid for goes before what is new.
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
    const COUNT: usize = 4;

    const fn at(self) -> usize {
        match self {
            Self::Cancel => 0,
            Self::Recovery => 1,
            Self::Look => 2,
            Self::Purchase => 3,
        }
    }
}

/// What a slot is wanted for, and by whom; `None` is the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) purpose: Purpose,
    pub(crate) caller: Option<ClientId>,
}

/// Those who wait: by purpose, and within a purpose each caller in turn.
#[derive(Default)]
pub(super) struct Waiting([VecDeque<CallerLine>; Purpose::COUNT]);

/// The requests of one caller, oldest first; never empty.
struct CallerLine {
    caller: Option<ClientId>,
    requests: VecDeque<oneshot::Sender<Slot>>,
}

impl Waiting {
    /// Forgets those who have given up.
    pub(super) fn tidy(&mut self) {
        for lines in &mut self.0 {
            for line in lines.iter_mut() {
                line.requests.retain(|give| !give.is_closed());
            }
            lines.retain(|line| !line.requests.is_empty());
        }
    }

    /// What the next slot is wanted for; `None` when nobody waits.
    pub(super) fn next(&self) -> Option<Purpose> {
        [Purpose::Cancel, Purpose::Recovery, Purpose::Look, Purpose::Purchase]
            .into_iter()
            .find(|purpose| self.has(*purpose))
    }

    /// How many requests wait for this purpose.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.lines(purpose).into_iter().flatten().map(|line| line.requests.len()).sum()
    }

    /// Whether somebody waits for this purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.lines(purpose).is_some_and(|lines| !lines.is_empty())
    }

    fn lines(&self, purpose: Purpose) -> Option<&VecDeque<CallerLine>> {
        self.0.get(purpose.at())
    }

    /// How many requests of this purpose the caller has waiting.
    pub(super) fn own(&self, wanted: Wanted) -> usize {
        let mut lines = self.lines(wanted.purpose).into_iter().flatten();
        lines.find(|line| line.caller == wanted.caller).map_or(0, |line| line.requests.len())
    }

    /// How many slots go to others before one that is asked for now has its turn.
    pub(super) fn ahead(&self, wanted: Wanted) -> usize {
        let before = self.0.iter().take(wanted.purpose.at()).flatten().map(|line| line.requests.len());
        let own = self.own(wanted);
        let beside = self.lines(wanted.purpose).into_iter().flatten().filter(|line| line.caller != wanted.caller);
        // Each of the others has as many turns as this caller before it is the caller's turn again.
        own.saturating_add(before.sum()).saturating_add(beside.map(|line| line.requests.len().min(own + 1)).sum())
    }

    pub(super) fn push(&mut self, wanted: Wanted, give: oneshot::Sender<Slot>) {
        let Some(lines) = self.0.get_mut(wanted.purpose.at()) else { return };
        match lines.iter_mut().find(|line| line.caller == wanted.caller) {
            Some(line) => line.requests.push_back(give),
            None => lines.push_back(CallerLine { caller: wanted.caller, requests: VecDeque::from([give]) }),
        }
    }

    /// The request whose turn it is, and its purpose.
    pub(super) fn pop(&mut self) -> Option<(Purpose, oneshot::Sender<Slot>)> {
        let purpose = self.next()?;
        let lines = self.0.get_mut(purpose.at())?;
        let mut line = lines.pop_front()?;
        let give = line.requests.pop_front()?;
        if !line.requests.is_empty() {
            lines.push_back(line);
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
        let mut order = Vec::new();
        while let Some((_purpose, give)) = waiting.pop() {
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
        assert_eq!((waiting.next(), waiting.ahead(wanted(Purpose::Purchase, 1))), (None, 0));
    }
}
