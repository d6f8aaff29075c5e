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
//!
//! One answer proves nothing: it may lag behind what Amazon has done. So a difference opens a [`BalanceWindow`], and is
//! booked or reported once all observations of some minutes agree on it. Each of them is held against the ledger as it
//! was before the first one. What was bought since may be deducted in it or not, so a deposit is found to the cent once
//! so little is bought for some minutes that nothing hides it.

use chrono::{DateTime, TimeDelta, Utc};

use super::position::LedgerPosition;
use crate::{
    kernel::horizon::is_stray,
    ledger::movements::{ADJUSTMENT, CANCEL, DEPOSIT, OPENING, RESERVE},
};

/// How far an answer of Amazon's may lag behind what was bought and paid in.
const LAG_MAX: TimeDelta = TimeDelta::hours(1);

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
    pub(super) least: i64,
    pub(super) most: i64,
    /// What the latest observation allows at most: it is the one that knows of every purchase before the first.
    pub(super) latest: i64,
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

/// The sums of the ledger at one instant, as far as bounds need them. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) expected: i64,
    pub(super) on_the_way: i64,
    pub(super) opening: i64,
    pub(super) deposits: i64,
    pub(super) adjustments: i64,
    pub(super) reserved: i64,
    pub(super) canceled: i64,
}

impl Standing {
    pub(super) fn of(position: &LedgerPosition) -> Self {
        let sums = &position.sums;
        Self {
            expected: sums.expected(),
            on_the_way: sums.on_the_way(),
            opening: sums.of(&OPENING),
            deposits: sums.of(&DEPOSIT),
            adjustments: sums.of(&ADJUSTMENT),
            reserved: sums.of(&RESERVE),
            canceled: sums.of(&CANCEL),
        }
    }

    const fn booked_like(&self, other: &Self) -> bool {
        self.opening == other.opening && self.deposits == other.deposits && self.adjustments == other.adjustments
    }
}

/// A balance that Amazon reported, between two readings of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Sighting<'a> {
    /// Minor units.
    pub(super) available: i64,
    pub(super) before: &'a LedgerPosition,
    pub(super) after: &'a LedgerPosition,
    /// When Amazon was asked, by our clock.
    pub(super) asked_at: DateTime<Utc>,
    /// When Amazon answered, by its clock.
    pub(super) answered_at: Option<DateTime<Utc>>,
    /// Amazon's own time of the balance, by its clock.
    pub(super) reported_at: Option<DateTime<Utc>>,
}

impl Sighting<'_> {
    /// The bounds that follow from it, where the ledger was like this some time before it. `None` if an opening, a deposit
    /// or an adjustment was booked since: we cannot know whether Amazon answered before it or after.
    fn excess_since(&self, before: &Standing) -> Option<Excess> {
        let after = Standing::of(self.after);
        if !before.booked_like(&after) {
            return None;
        }
        let (old, new) = (&self.before.unsure, &self.after.unsure);
        let unsure = old.iter().chain(new.iter().filter(|(id, _)| !old.contains_key(*id)));
        let unsure = unsure.fold(0_i64, |sum, (_id, minor)| sum.saturating_add(*minor));
        let canceled = after.canceled.saturating_sub(before.canceled);
        let reserved = after.reserved.saturating_sub(before.reserved);
        // Reported minus expected balance, assuming that every issued reward was deducted and no pending one was.
        let even = self.available.saturating_sub(before.expected);
        let most = even.saturating_add(before.on_the_way).saturating_add(reserved);
        Some(Excess { least: even.saturating_sub(canceled).saturating_sub(unsure), most, latest: most })
    }

    fn amazons_instant(&self) -> Option<DateTime<Utc>> {
        amazons_instant(self.answered_at, self.reported_at)
    }

    /// The bounds by the two readings of the ledger.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.excess_since(&Standing::of(self.before))
    }
}

/// By Amazon's clock, the instant that an answer speaks of. If its own time of the balance is older than any answer lags, it means
/// something else, perhaps the last change of the balance, and does not delay a deposit for ever.
pub(super) fn amazons_instant(
    answered_at: Option<DateTime<Utc>>,
    reported_at: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let longest_lag = answered_at.and_then(|at| at.checked_sub_signed(LAG_MAX));
    match (reported_at, longest_lag) {
        (Some(reported), Some(limit)) => Some(reported.max(limit)),
        (reported, _) => reported.or(answered_at),
    }
}

/// Observations that differ from the ledger, until they have agreed for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BalanceWindow {
    /// When Amazon was asked first, by our clock…
    pub(super) since: DateTime<Utc>,
    /// …and when it answered, by its own.
    pub(super) amazon_since: Option<DateTime<Utc>>,
    /// The ledger before the first question.
    pub(super) before: Standing,
    /// What all observations allow.
    pub(super) excess: Excess,
}

impl BalanceWindow {
    fn open(seen: &Sighting<'_>, excess: Excess) -> Self {
        Self { since: seen.asked_at, amazon_since: seen.answered_at, before: Standing::of(seen.before), excess }
    }

    /// With one more observation; `None` if it cannot be held against the first one.
    fn with(self, seen: &Sighting<'_>) -> Option<Self> {
        if is_stray(self.since, seen.asked_at) {
            return None;
        }
        let next = seen.excess_since(&self.before)?;
        let (least, most) = (self.excess.least.min(next.least), self.excess.most.max(next.most));
        Some(Self { excess: Excess { least, most, latest: next.latest }, ..self })
    }

    /// Whether this observation lies `distance` after the first one: by our clock, and by Amazon's if it shows one. What
    /// Amazon says of an instant before the first question would agree with anything.
    fn agrees_after(&self, distance: TimeDelta, seen: &Sighting<'_>) -> bool {
        let theirs = seen.amazons_instant().zip(self.amazon_since);
        seen.asked_at.signed_duration_since(self.since) >= distance
            && theirs.is_none_or(|(now, since)| now.signed_duration_since(since) >= distance)
    }
}

/// What an observation leads to, and what is kept for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weighed {
    pub(super) assessment: Assessment,
    pub(super) window: Option<BalanceWindow>,
}

impl BookingState {
    pub(super) fn assess(self, excess: Excess) -> Assessment {
        let room = self.opening_room.map_or(0, |room| room.min(excess.latest).max(0));
        let opening = excess.least.clamp(0, room);
        let left = room.saturating_sub(opening);
        let (least, most) = (excess.least.saturating_sub(opening), excess.most.saturating_sub(opening));
        let opening_room = Some(left).filter(|left| *left > 0);
        let rise = least.saturating_add(self.missing);
        let (deposit, missing) = match rise {
            // Before the opening is fully booked, the money may have been there from the start.
            1.. if opening_room.is_none() && least > 0 => (rise, self.missing),
            // Missing money has come back.
            1.. => (0, self.missing.saturating_sub(rise).max(0)),
            _ => (0, self.missing.max(most.saturating_neg())),
        };
        Assessment { opening, deposit, state: Self { opening_room, missing, ..self } }
    }

    /// A downward adjustment by an operator explains money that was missing.
    fn adjusted_to(self, adjustments: i64) -> Self {
        let corrected = adjustments.saturating_sub(self.adjustments);
        let missing = if corrected < 0 { self.missing.saturating_add(corrected).max(0) } else { self.missing };
        Self { missing, adjustments, ..self }
    }

    /// Weighs an observation with those before it: what is booked now, and what waits for observations that agree for so
    /// long.
    pub(super) fn weigh(self, window: Option<BalanceWindow>, seen: &Sighting<'_>, distance: TimeDelta) -> Weighed {
        let state = self.adjusted_to(seen.after.sums.of(&ADJUSTMENT));
        let nothing = Assessment { opening: 0, deposit: 0, state };
        let differs = |window: &BalanceWindow| state.assess(window.excess) != nothing;
        let kept = window.and_then(|window| window.with(seen)).filter(differs);
        let fresh = || seen.excess().map(|excess| BalanceWindow::open(seen, excess)).filter(differs);
        match kept.or_else(fresh) {
            None => Weighed { assessment: nothing, window: None },
            // Before the first purchase there is nothing that the answer could lag behind.
            Some(window) if window.agrees_after(distance, seen) || seen.before.sums.entries == 0 => {
                Weighed { assessment: state.assess(window.excess), window: None }
            }
            waiting @ Some(_) => Weighed { assessment: nothing, window: waiting },
        }
    }
}

#[cfg(test)]
mod tests;
