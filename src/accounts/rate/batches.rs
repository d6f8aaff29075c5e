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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::super::*;
    use crate::{
        accounts::waiting::Wanted,
        ambient::Ambient,
        store::{Store, StoreOptions, migrate::migrate},
        telemetry::metrics::Registry,
    };

    /// Longer than a test takes, and no stray line.
    const LINE_US: i64 = 50_000_000;

    /// Of an account with one request a second, so that a batch leaves slots to others for half a minute; and the folder of its database.
    async fn rate() -> (Rate, tempfile::TempDir) {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display());
        let store =
            Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url.into(), 1) }).await.unwrap();
        migrate(&store).await.unwrap();
        let shared = Shared { account: "main".to_owned(), store, ambient: Ambient::movable(1) };
        let metrics = Arc::new(Metrics::new(&Registry::new().unwrap(), &[("main", "USD")], &[]).unwrap());
        let of_one = RequestRate { per_second: 1, account: "main".to_owned(), accounts: 1 };
        let rate = Rate::new(shared.clone(), of_one, Breaker::new(shared), metrics);
        rate.prepare().await.unwrap();
        (rate, folder)
    }

    /// The batch has its turn because enough of the new rewards here went by. If it left its slot to a line that is theirs, they would
    /// stand behind it until it has waited long enough, and the account would stand still meanwhile.
    #[tokio::test]
    async fn a_batch_whose_turn_it_is_leaves_slots_to_the_line_of_others_and_none_to_that_of_its_own_replica() {
        let (rate, _folder) = rate().await;
        let slots = &rate.slots;
        let now = slots.shared.now_us();
        slots.batch_was_served(slots.shared.ambient.monotonic());
        assert_eq!(slots.yields_to_line(now).await, None, "there is no line");
        limiter::book(&slots.shared.store, "main", now, LINE_US, now.saturating_add(LINE_US)).await.unwrap().unwrap();
        slots.look().await.unwrap();
        assert!(slots.yields_to_line(now).await.is_some(), "new rewards wait in another replica");

        let (give, waits) = oneshot::channel();
        slots.waiting().push(Wanted { purpose: Purpose::Purchase, caller: None }, give);
        assert_eq!(slots.yields_to_line(now).await, None, "they wait here, behind the batch");
        drop(waits);
        slots.waiting().tidy();
        assert!(slots.yields_to_line(now).await.is_some(), "the one that waited here gave up");
        slots.taking().batch_yields = None;
        assert_eq!(slots.yields_to_line(now).await, None, "it has waited long enough");
        slots.shared.store.close().await;
    }
}
