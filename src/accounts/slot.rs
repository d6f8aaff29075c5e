//! A place in the account's rate, and how long it is good.

use std::time::{Duration, Instant};

/// How late a request may use its slot. A request that is as late as that comes nearer to those behind it, and still the
/// account sends no more in a second than it may: with ten a second the slots lie 120 ms apart, and the eleventh request
/// leaves 1.05 s or more after the first.
pub(super) const GOOD_FOR: Duration = Duration::from_millis(150);

/// A place in the account's rate. It is good for the present instant: a request that waits after it was given (for a
/// transaction, because the process stood still) must take another, or all that have waited leave at once.
#[derive(Debug)]
#[must_use = "a slot that is not spent is lost"]
pub struct Slot {
    /// `None` where the rate is unlimited.
    given_at: Option<Instant>,
}

impl Slot {
    /// Where the rate is unlimited.
    pub(super) const UNLIMITED: Self = Self { given_at: None };

    /// A slot that is given now.
    pub(super) const fn given(now: Instant) -> Self {
        Self { given_at: Some(now) }
    }

    /// Spends the slot on a request that leaves now; `None` when it is stale.
    #[must_use]
    pub(crate) fn spend(self, now: Instant) -> Option<Departure> {
        let fresh = self.given_at.is_none_or(|given| now.saturating_duration_since(given) <= GOOD_FOR);
        fresh.then_some(Departure(()))
    }
}

/// The right to send one request now: a slot that was fresh when it was spent.
#[derive(Debug)]
#[must_use = "the request leaves now"]
pub(crate) struct Departure(());
