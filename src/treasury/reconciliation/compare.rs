//! Compares what Amazon lists of one id with what we hold of it. Pure, and the only place that makes a finding.

use chrono::{DateTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::period::{RunPeriod, Window};
use crate::kernel::word_methods;

/// How far Amazon's clock and ours may be apart without a finding.
pub(super) const SKEW: TimeDelta = TimeDelta::minutes(5);
/// A cancel follows its create by Amazon's 15 minutes at most, plus the difference of two clocks.
const CANCEL_LAG: TimeDelta = TimeDelta::minutes(20);

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// We hold it bought, and Amazon does not list it.
    OursOnly,
    /// Amazon lists it, and we do not hold it.
    TheirsOnly,
    /// Both have it, with different amounts.
    AmountDiffers,
    /// Both have it, live with one and canceled or never bought with the other; or Amazon sold it twice.
    StateDiffers,
    /// Not a finding: our reward is open, and Amazon's record of it is worth a look.
    Unproven,
}

/// What became of a card, as Amazon lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum TheirState {
    /// Bought.
    Live,
    /// Bought and given back.
    Canceled,
    /// Bought once more, long after we held it proven: its id had been forgotten.
    BoughtAgain,
}
word_methods!(Class, TheirState);

/// What Amazon lists of one id in the window that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theirs {
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// In minor units.
    pub(crate) amount: Option<i64>,
    pub(crate) canceled_at: Option<DateTime<Utc>>,
}

/// What our reward says about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OurStatus {
    /// Bought.
    Issued,
    /// Bought and given back, or never bought.
    Canceled,
    /// Never bought.
    NotBought,
    /// Not proven, or an operator decides.
    Open,
    /// An earlier run made the row for a card that only Amazon knew, and no operator has settled it.
    Adopted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ours {
    pub(crate) status: OurStatus,
    /// In minor units.
    pub(crate) amount: i64,
    /// When the request was first sent, or the reward recorded.
    pub(crate) sent_at: DateTime<Utc>,
    pub(crate) issued_at: Option<DateTime<Utc>>,
    pub(crate) canceled_at: Option<DateTime<Utc>>,
}

/// What the comparison of one id comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatchResult {
    /// Another period judges it.
    Elsewhere,
    /// The edge of the window hides one side, so the sides cannot be compared.
    Unchecked,
    /// Both sides say the same.
    Matched,
    /// The sides differ, or our reward is open.
    Found(Class),
}

/// The period that is judged, and the window that was read of Amazon's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) period: RunPeriod,
    pub(crate) read: Window,
}

impl Theirs {
    pub(crate) fn state(&self, ours: Option<&Ours>) -> TheirState {
        if ours.is_some_and(|ours| self.is_bought_again(ours)) {
            return TheirState::BoughtAgain;
        }
        if self.canceled_at.is_some() { TheirState::Canceled } else { TheirState::Live }
    }

    /// What Amazon charged for it, in minor units.
    pub(crate) fn charged(&self) -> i64 {
        if self.canceled_at.is_some() { 0 } else { self.amount.unwrap_or(0) }
    }

    /// Bought after our proof: it cannot be the card that was proven. Amazon had forgotten the id.
    fn is_bought_again(&self, ours: &Ours) -> bool {
        match (self.created_at, ours.issued_at.and_then(|at| at.checked_add_signed(SKEW))) {
            (Some(created), Some(proven)) => created > proven,
            (Some(_) | None, Some(_) | None) => false,
        }
    }
}

impl Ours {
    /// What we hold as charged for it, in minor units.
    pub(crate) fn charged(&self) -> i64 {
        if self.status == OurStatus::Issued { self.amount } else { 0 }
    }
}

impl Frame {
    /// Judges an id that Amazon lists.
    pub(crate) fn seen(&self, theirs: &Theirs, ours: Option<&Ours>) -> MatchResult {
        let placed = theirs.created_at.or(theirs.canceled_at).is_some_and(|at| self.period.holds(at));
        let Some(ours) = ours else { return self.stranger(theirs, placed) };
        if !placed && !ours.issued_at.is_some_and(|at| self.period.holds(at)) {
            return MatchResult::Elsewhere;
        }
        match ours.status {
            OurStatus::Adopted => MatchResult::Found(Class::TheirsOnly),
            OurStatus::Open => MatchResult::Found(Class::Unproven),
            OurStatus::NotBought => MatchResult::Found(Class::StateDiffers),
            OurStatus::Issued | OurStatus::Canceled => self.bought(theirs, ours),
        }
    }

    /// Judges an id that we do not know. A cancel without its create belongs to an earlier create; it is a finding only
    /// if that create must lie in the window that was read.
    fn stranger(&self, theirs: &Theirs, placed: bool) -> MatchResult {
        if !placed {
            return MatchResult::Elsewhere;
        }
        let create = theirs.created_at.or_else(|| theirs.canceled_at?.checked_sub_signed(CANCEL_LAG));
        match create {
            Some(at) if at >= self.read.from => MatchResult::Found(Class::TheirsOnly),
            Some(_) | None => MatchResult::Unchecked,
        }
    }

    fn bought(&self, theirs: &Theirs, ours: &Ours) -> MatchResult {
        if theirs.is_bought_again(ours) {
            return MatchResult::Found(Class::StateDiffers);
        }
        if theirs.amount.is_some_and(|amount| amount != ours.amount) {
            return MatchResult::Found(Class::AmountDiffers);
        }
        let canceled_here = ours.status == OurStatus::Canceled;
        // Amazon lists a cancel after the end of the window in a later report.
        let listed_later =
            ours.canceled_at.and_then(|at| at.checked_add_signed(SKEW)).is_some_and(|at| at > self.read.to);
        if canceled_here == theirs.canceled_at.is_some() || (canceled_here && listed_later) {
            MatchResult::Matched
        } else {
            MatchResult::Found(Class::StateDiffers)
        }
    }

    /// Judges a reward that was proven in the period and that Amazon does not list. The create lies between the first
    /// send and the proof: it is a finding only if all of that lies in the window that was read.
    pub(crate) fn unseen(&self, ours: &Ours) -> MatchResult {
        let earliest = ours.sent_at.checked_sub_signed(SKEW);
        let latest = ours.issued_at.unwrap_or(ours.sent_at).checked_add_signed(SKEW);
        let inside = earliest.is_some_and(|at| at >= self.read.from) && latest.is_some_and(|at| at <= self.read.to);
        match ours.status {
            OurStatus::Issued | OurStatus::Canceled if inside => MatchResult::Found(Class::OursOnly),
            OurStatus::Issued | OurStatus::Canceled => MatchResult::Unchecked,
            OurStatus::Open => MatchResult::Found(Class::Unproven),
            OurStatus::NotBought | OurStatus::Adopted => MatchResult::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests;
