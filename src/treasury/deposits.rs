//! What an observation of the balance means for the ledger: an opening, a deposit, or something missing.
//!
//! While purchases are on their way nobody knows which of them Amazon had counted when it answered. So the ledger is read
//! before the question and after the answer, and what was paid in follows within bounds: at least what is there and
//! certainly spent, at most what is there and possibly spent. Only what is certain is booked; the rest follows when it is
//! quieter. What may have been spent without being: rewards on the way of a cancel, canceled meanwhile, or left to a
//! person. What may have been spent unproven: everything reserved then or since.

use super::standing::Standing;

/// What is known of an account besides its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// How much more it may have held when the ledger began; `None` once that is booked.
    pub(super) opening_room: Option<i64>,
    /// What is missing at Amazon and nothing explains.
    pub(super) missing: i64,
    /// The adjustments seen so far.
    pub(super) adjustments: i64,
}

/// How much more was paid in, ever, than the ledger says: within these bounds. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    least: i64,
    most: i64,
}

/// What is to be booked, and what is known then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What the account held when the ledger began, or more of it.
    pub(super) opening: i64,
    /// What was paid in since.
    pub(super) deposit: i64,
    /// What is known from now on.
    pub(super) state: State,
}

/// What follows from Amazon's answer between two readings of the ledger. `None` when someone booked opening, deposit or
/// adjustment in between: whether before Amazon looked or after, nobody knows.
pub(super) fn excess(available: i64, before: &Standing, after: &Standing) -> Option<Excess> {
    let (old, new) = (&before.sums, &after.sums);
    if (old.opening, old.deposits, old.adjustments) != (new.opening, new.deposits, new.adjustments) {
        return None;
    }
    let unsure = before.unsure.iter().chain(after.unsure.iter().filter(|(id, _)| !before.unsure.contains_key(*id)));
    let unsure = unsure.fold(0_i64, |sum, (_id, minor)| sum.saturating_add(*minor));
    let canceled = new.canceled.saturating_sub(old.canceled);
    let reserved = new.reserved.saturating_sub(old.reserved);
    // As much more is there than the ledger says, if every purchase that it proves stood, and none other.
    let even = available.saturating_sub(old.expected());
    Some(Excess {
        least: even.saturating_sub(canceled).saturating_sub(unsure),
        most: even.saturating_add(old.on_the_way()).saturating_add(reserved),
    })
}

impl State {
    /// What an observation means.
    pub(super) fn judge(self, excess: Excess, adjustments: i64) -> Verdict {
        let corrected = adjustments.saturating_sub(self.adjustments);
        // Who takes funds off explains what was missing.
        let missing = if corrected < 0 { self.missing.saturating_add(corrected).max(0) } else { self.missing };
        let room = self.opening_room.map_or(0, |room| room.min(excess.most).max(0));
        let opening = excess.least.clamp(0, room);
        let left = room.saturating_sub(opening);
        let (least, most) = (excess.least.saturating_sub(opening), excess.most.saturating_sub(opening));
        let opening_room = Some(left).filter(|left| *left > 0);
        let rise = least.saturating_add(missing);
        let (deposit, missing) = match rise {
            // Until the opening is known, what is there may have been there.
            1.. if opening_room.is_none() && least > 0 => (rise, missing),
            // What was missing is there again.
            1.. => (0, missing.saturating_sub(rise).max(0)),
            _ => (0, missing.max(most.saturating_neg())),
        };
        Verdict { opening, deposit, state: State { opening_room, missing, adjustments } }
    }
}

#[cfg(test)]
mod tests;
