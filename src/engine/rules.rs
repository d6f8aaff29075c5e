//! What differs between kinds of effects, as data.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ladder;

/// What a definite refusal does to the id that it was answered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterRefusal {
    /// The id is as good as new: a refusal that can be cured is tried again under it.
    SameId,
    /// The id is used up: the same order is never tried again.
    NewId,
}

/// How it is found out whether an effect exists, once an attempt ended in doubt or the effect was to be reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// The same bytes are sent again: the remote service is idempotent by the id.
    ReplayForward,
    /// By an operation of its own, before anything is sent again. Where it shows nothing, the same bytes are sent again: the
    /// attempt in doubt may still arrive. The answer to them is that of the id's first use, and shows whose the effect is; that
    /// it still stands, a read must show.
    Operation,
}

/// The rules of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// A reversal starts no later than this after the first send; `None` when the kind knows no reversal.
    pub reverse_within: Option<TimeDelta>,
    /// Before this, counted from the first send, an effect that a read shows live does not prove that a doubtful reversal
    /// failed: it can still land.
    pub verdict_after: TimeDelta,
    /// What a definite refusal does to the id.
    pub after_refusal: AfterRefusal,
    /// How it is found out whether an effect exists.
    pub reading: Reading,
    /// Whether it may end without us in the ordinary course. Then what is found reversed is reversed; otherwise a person looks at it.
    pub ends_by_itself: bool,
    /// Whether a proven effect has a receipt that is handed to the caller, and shown again by a read.
    pub has_receipt: bool,
    /// After this long without proof a person decides, if it was tried often enough ([`ladder::TRIES_MIN`]). Longer than the remote
    /// service takes to decide.
    pub give_up_after: Duration,
}

/// A gift code's, for the engine's own tests.
#[cfg(test)]
pub(super) const LIKE_A_GIFT_CODE: Rules = Rules {
    reverse_within: Some(TimeDelta::seconds(890)),
    verdict_after: TimeDelta::seconds(960),
    after_refusal: AfterRefusal::SameId,
    reading: Reading::ReplayForward,
    ends_by_itself: false,
    has_receipt: true,
    give_up_after: ladder::GIVE_UP_AFTER,
};

impl Rules {
    /// The instant from which on no reversal is started any more; `None` when the kind knows no reversal.
    #[must_use]
    pub fn reversible_until(&self, first_sent_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.reverse_within.map(|within| first_sent_at.checked_add_signed(within).unwrap_or(first_sent_at))
    }

    /// Whether a reversal may be started now.
    #[must_use]
    pub fn may_reverse(&self, first_sent_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.reversible_until(first_sent_at).is_some_and(|until| now < until)
    }

    /// The longest that an order waits until it is due: a step of the ladder, or until the verdict. Beyond this, and a lease,
    /// a due time was written by a clock that was ahead.
    #[must_use]
    pub fn longest_wait(&self) -> TimeDelta {
        self.verdict_after.max(TimeDelta::from_std(ladder::STEP_MAX).unwrap_or(self.verdict_after))
    }

    /// The first instant at which a read that shows the effect live proves that a doubtful reversal did not happen.
    #[must_use]
    pub fn verdict_at(&self, first_sent_at: DateTime<Utc>) -> DateTime<Utc> {
        first_sent_at.checked_add_signed(self.verdict_after).unwrap_or(first_sent_at)
    }
}
