//! What an observed balance means for the ledger: an opening, a deposit, or missing money.
//!
//! While purchases are on the way, we cannot know which of them Amazon had deducted when it answered. So the ledger is
//! read before the question and after the answer, and the deposits lie within bounds. The lower bound counts the
//! reported balance and what was certainly spent; the upper bound counts the balance and what was possibly spent. Only
//! the lower bound is booked; the rest follows once fewer purchases are on the way.
//!
//! Amazon may have given money back for a reward that is booked as issued, if its cancel is under way, if it was
//! canceled meanwhile, or if it waits for an operator. Amazon may have deducted everything that was reserved before or
//! in between.

use super::position::LedgerPosition;
use crate::ledger::movements::{ADJUSTMENT, CANCEL, DEPOSIT, OPENING, RESERVE};

/// What one observation hands to the next: it decides what is booked. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BookingState {
    /// How much more the account may have held when the ledger began; `None` once the opening is fully booked.
    pub(super) opening_room: Option<i64>,
    /// What is missing at Amazon without an explanation.
    pub(super) missing: i64,
    /// The adjustments seen so far.
    pub(super) adjustments: i64,
}

/// Bounds of the money that was ever paid in beyond what the ledger has booked. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    least: i64,
    most: i64,
}

/// What an observation comes to: what to book now, and the state for the next observation. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assessment {
    /// What the account held when the ledger began, or a further part of it.
    pub(super) opening: i64,
    /// What was paid in since then.
    pub(super) deposit: i64,
    pub(super) state: BookingState,
}

/// The bounds that follow from a balance that Amazon reported between two readings of the ledger. `None` if an opening,
/// a deposit or an adjustment was booked in between: we cannot know whether Amazon answered before it or after.
pub(super) fn excess(available: i64, before: &LedgerPosition, after: &LedgerPosition) -> Option<Excess> {
    let (old, new) = (&before.sums, &after.sums);
    if [OPENING, DEPOSIT, ADJUSTMENT].iter().any(|movement| old.of(movement) != new.of(movement)) {
        return None;
    }
    let unsure = before.unsure.iter().chain(after.unsure.iter().filter(|(id, _)| !before.unsure.contains_key(*id)));
    let unsure = unsure.fold(0_i64, |sum, (_id, minor)| sum.saturating_add(*minor));
    let canceled = new.of(&CANCEL).saturating_sub(old.of(&CANCEL));
    let reserved = new.of(&RESERVE).saturating_sub(old.of(&RESERVE));
    // Reported minus expected balance, assuming that every issued reward was deducted and no pending one was.
    let even = available.saturating_sub(old.expected());
    Some(Excess {
        least: even.saturating_sub(canceled).saturating_sub(unsure),
        most: even.saturating_add(old.on_the_way()).saturating_add(reserved),
    })
}

impl BookingState {
    pub(super) fn assess(self, excess: Excess, adjustments: i64) -> Assessment {
        let corrected = adjustments.saturating_sub(self.adjustments);
        // A downward adjustment by an operator explains money that was missing.
        let missing = if corrected < 0 { self.missing.saturating_add(corrected).max(0) } else { self.missing };
        let room = self.opening_room.map_or(0, |room| room.min(excess.most).max(0));
        let opening = excess.least.clamp(0, room);
        let left = room.saturating_sub(opening);
        let (least, most) = (excess.least.saturating_sub(opening), excess.most.saturating_sub(opening));
        let opening_room = Some(left).filter(|left| *left > 0);
        let rise = least.saturating_add(missing);
        let (deposit, missing) = match rise {
            // Before the opening is fully booked, the money may have been there from the start.
            1.. if opening_room.is_none() && least > 0 => (rise, missing),
            // Missing money has come back.
            1.. => (0, missing.saturating_sub(rise).max(0)),
            _ => (0, missing.max(most.saturating_neg())),
        };
        Assessment { opening, deposit, state: BookingState { opening_room, missing, adjustments } }
    }
}

#[cfg(test)]
mod tests;
