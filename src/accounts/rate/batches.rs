//! Batches at Amazon's rate: they take what nobody else wants, in any replica, and never stand still.
//!
//! Within a process whoever waits for an answer goes first ([`Waiting`](super::Waiting)). Between replicas a batch asks for each slot later than a
//! new reward does, and leaves the slots of a line to those in it, but for one in a while.

use std::time::{Duration, Instant};

use super::{LOOK_WHILE_WAITING, Purpose, Rate, Slots};

/// A batch asks for a slot this much ahead of its time, and so after the new rewards of every replica.
pub(super) const AHEAD: Duration = Duration::from_millis(7);
/// After so many slots a replica's batches go before the new rewards of other replicas.
const URGE_SLOTS: u32 = 30;

/// How much later than others somebody asks for a slot.
pub(super) fn behind(purpose: Purpose) -> Duration {
    match purpose {
        Purpose::Batch => super::AHEAD.saturating_sub(AHEAD),
        Purpose::Cancel | Purpose::Recovery | Purpose::Look | Purpose::Purchase => Duration::ZERO,
    }
}

impl Rate {
    /// How many slots there are in this time; `None` where the rate is unlimited.
    pub(crate) fn slots_in(&self, time: Duration) -> Option<usize> {
        let spacing = self.slots.spacing?.as_micros().max(1);
        Some(usize::try_from(time.as_micros().checked_div(spacing).unwrap_or(0)).unwrap_or(usize::MAX))
    }
}

impl Slots {
    /// How long a batch leaves the slots to new rewards that wait in another replica; `None` where none do, or it has waited long enough.
    pub(super) async fn yields_to_line(&self, now_us: i64) -> Option<Duration> {
        if self.line_seen().is_none() {
            self.look().await;
        }
        // The line may be this replica's own. Its batches are asked for only once so many of those have passed that it is their turn.
        if self.waiting().has(Purpose::Purchase) {
            return None;
        }
        let yields = self.taking().batch_yields.is_some_and(|at| at > self.shared.ambient.monotonic());
        let others_wait = self.line_seen().is_some_and(|booked| booked > now_us);
        (yields && others_wait).then(|| self.spacing.unwrap_or_default().min(LOOK_WHILE_WAITING))
    }

    /// A batch was given a slot.
    pub(super) fn batch_was_served(&self, now: Instant) {
        let pause = self.spacing.unwrap_or_default().saturating_mul(URGE_SLOTS);
        self.taking().batch_yields = now.checked_add(pause);
    }
}
