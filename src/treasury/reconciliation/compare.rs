//! What Amazon shows of one id against what we hold of it. Pure, and the only place where a finding is made.

use chrono::{DateTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::period::{Period, Window};
use crate::kernel::word_methods;

/// How far the two clocks may be apart without anyone being wrong.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// A cancel follows its create by Amazon's 15 minutes at most, and what two clocks add.
const CANCEL_LAG: TimeDelta = TimeDelta::minutes(20);

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// We hold it bought, and Amazon does not list it.
    OursOnly,
    /// Amazon lists it, and we do not hold it.
    TheirsOnly,
    /// Both have it, with another amount.
    AmountDiffers,
    /// Both have it, live with one and canceled or never bought with the other; or Amazon sold it twice.
    StateDiffers,
    /// No finding: its outcome is open with us, and what Amazon shows of it is worth a look.
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

/// What Amazon lists of one id, in the window that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theirs {
    /// When it was bought.
    pub created_at: Option<DateTime<Utc>>,
    /// For how much, in minor units.
    pub amount: Option<i64>,
    /// When it was given back.
    pub canceled_at: Option<DateTime<Utc>>,
}

/// What a reward of ours says about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Bought.
    Issued,
    /// Bought and given back, or never bought.
    Canceled,
    /// Never bought.
    NotBought,
    /// Not proven, or a person decides.
    Open,
    /// The row was made by an earlier run: only Amazon knew of it, and nobody has settled it.
    Adopted,
}

/// A reward of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ours {
    /// What it says about money.
    pub standing: Standing,
    /// Its value in minor units.
    pub amount: i64,
    /// When it was first sent, or recorded.
    pub sent_at: DateTime<Utc>,
    /// When it was proven.
    pub issued_at: Option<DateTime<Utc>>,
    /// When its cancel was proven.
    pub canceled_at: Option<DateTime<Utc>>,
}

/// What is to be said of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to another period.
    Elsewhere,
    /// The edge of what was read keeps it from being compared.
    Unchecked,
    /// Both sides say the same.
    Matched,
    /// They do not, or it is open.
    Found(Class),
}

/// The period and what was read of Amazon's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What is compared.
    pub period: Period,
    /// What was read.
    pub read: Window,
}

impl Theirs {
    /// What became of the card.
    #[must_use]
    pub fn state(&self, ours: Option<&Ours>) -> TheirState {
        if ours.is_some_and(|ours| self.is_bought_again(ours)) {
            return TheirState::BoughtAgain;
        }
        if self.canceled_at.is_some() { TheirState::Canceled } else { TheirState::Live }
    }

    /// What of it Amazon charged, in minor units.
    #[must_use]
    pub fn charged(&self) -> i64 {
        if self.canceled_at.is_some() { 0 } else { self.amount.unwrap_or(0) }
    }

    /// Bought after we held it proven: it cannot be the card that was proven.
    fn is_bought_again(&self, ours: &Ours) -> bool {
        match (self.created_at, ours.issued_at.and_then(|at| at.checked_add_signed(SKEW))) {
            (Some(created), Some(proven)) => created > proven,
            (Some(_) | None, Some(_) | None) => false,
        }
    }
}

impl Ours {
    /// What of it we hold charged, in minor units.
    #[must_use]
    pub fn charged(&self) -> i64 {
        if self.standing == Standing::Issued { self.amount } else { 0 }
    }
}

impl Frame {
    /// An id that Amazon lists.
    #[must_use]
    pub fn seen(&self, theirs: &Theirs, ours: Option<&Ours>) -> Verdict {
        let placed = theirs.created_at.or(theirs.canceled_at).is_some_and(|at| self.period.holds(at));
        let Some(ours) = ours else { return self.stranger(theirs, placed) };
        if !placed && !ours.issued_at.is_some_and(|at| self.period.holds(at)) {
            return Verdict::Elsewhere;
        }
        match ours.standing {
            Standing::Adopted => Verdict::Found(Class::TheirsOnly),
            Standing::Open => Verdict::Found(Class::Unproven),
            Standing::NotBought => Verdict::Found(Class::StateDiffers),
            Standing::Issued | Standing::Canceled => self.bought(theirs, ours),
        }
    }

    /// An id that we do not know. A cancel without its create belongs to a create that was listed before; only where that
    /// must have been read is it a finding.
    fn stranger(&self, theirs: &Theirs, placed: bool) -> Verdict {
        if !placed {
            return Verdict::Elsewhere;
        }
        let create = theirs.created_at.or_else(|| theirs.canceled_at?.checked_sub_signed(CANCEL_LAG));
        match create {
            Some(at) if at >= self.read.from => Verdict::Found(Class::TheirsOnly),
            Some(_) | None => Verdict::Unchecked,
        }
    }

    fn bought(&self, theirs: &Theirs, ours: &Ours) -> Verdict {
        if theirs.is_bought_again(ours) {
            return Verdict::Found(Class::StateDiffers);
        }
        if theirs.amount.is_some_and(|amount| amount != ours.amount) {
            return Verdict::Found(Class::AmountDiffers);
        }
        let canceled_here = ours.standing == Standing::Canceled;
        // A cancel after the end of what was read is listed later.
        let listed_later =
            ours.canceled_at.and_then(|at| at.checked_add_signed(SKEW)).is_some_and(|at| at > self.read.to);
        if canceled_here == theirs.canceled_at.is_some() || (canceled_here && listed_later) {
            Verdict::Matched
        } else {
            Verdict::Found(Class::StateDiffers)
        }
    }

    /// A reward of ours, proven in the period, that Amazon does not list. It is a finding only where the create lies
    /// inside what was read for certain: between its first send and its proof.
    #[must_use]
    pub fn unseen(&self, ours: &Ours) -> Verdict {
        let earliest = ours.sent_at.checked_sub_signed(SKEW);
        let latest = ours.issued_at.unwrap_or(ours.sent_at).checked_add_signed(SKEW);
        let inside = earliest.is_some_and(|at| at >= self.read.from) && latest.is_some_and(|at| at <= self.read.to);
        match ours.standing {
            Standing::Issued | Standing::Canceled if inside => Verdict::Found(Class::OursOnly),
            Standing::Issued | Standing::Canceled => Verdict::Unchecked,
            Standing::Open => Verdict::Found(Class::Unproven),
            Standing::NotBought | Standing::Adopted => Verdict::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests;
