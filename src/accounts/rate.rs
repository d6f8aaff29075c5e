//! Amazon's request rate, kept over all replicas: every request waits here for a slot.
//!
//! Slots lie a fixed spacing apart, so that no second ever holds more requests than the account may send, however many
//! replicas there are. One dispatcher per account and process takes them from the account's row, one after the other.
//! It hands each to the request that has waited longest, urgent ones first. While an urgent request waits in any
//! replica, the ordinary ones of all replicas yield. Without the database nothing is sent: the limiter fails closed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use tokio::sync::{Notify, oneshot};

use super::{
    Breaker, Metrics,
    limiter::{self, Limiter, SlotRequest},
    quota::{Shared, micros},
};
use crate::kernel::Chain;

/// How far ahead of its time a slot may be taken: the wait for it is then exact.
const AHEAD: Duration = Duration::from_millis(15);
/// How long to wait when the database does not answer.
const DATABASE_PAUSE: Duration = Duration::from_millis(200);
/// How often the row is read when no request waits. So long another replica's breaker can go unnoticed.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// A second's requests are spread over this much of a second, because the network may bring two of them closer together.
/// With ten a second they leave 120 ms apart, and 200 ms of jitter put no eleventh into any second.
const SPREAD_PERCENT: u32 = 120;

/// How long nothing is sent after Amazon throttled: its window is a second.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Which of the waiting requests goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Cancels and recovery.
    Urgent,
    /// New rewards, codes shown again, balances.
    Ordinary,
}

/// There is no slot in time; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Amazon's request rate is used up")]
pub struct NoSlot;

/// The slots of one account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rate {
    slots: Arc<Slots>,
}

struct Slots {
    shared: Shared,
    /// `None`: unlimited, for a sandbox.
    spacing: Option<Duration>,
    /// Stands in the same row, so the dispatcher that reads it keeps the breaker up to date.
    breaker: Breaker,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    urgent: VecDeque<oneshot::Sender<()>>,
    ordinary: VecDeque<oneshot::Sender<()>>,
}

impl Rate {
    /// Of an account that may send `per_second` requests a second; 0 is unlimited.
    pub(super) fn new(shared: Shared, per_second: u32, breaker: Breaker, metrics: Arc<Metrics>) -> Self {
        let spacing = Duration::from_millis(10).saturating_mul(SPREAD_PERCENT).checked_div(per_second);
        let slots = Slots { shared, spacing, breaker, metrics, waiting: Mutex::default(), arrived: Notify::new() };
        Self { slots: Arc::new(slots) }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.slots.metrics
    }

    /// Waits for a slot, at most `patience`. Refuses at once when the requests that wait already take longer than that.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub(crate) async fn slot(&self, priority: Priority, patience: Duration) -> Result<(), NoSlot> {
        let Slots { shared, metrics, .. } = &*self.slots;
        let began = shared.ambient.monotonic();
        let slot = self.wait(priority, patience).await;
        metrics.waited_for_slot(&shared.account, slot.is_ok().then(|| began.elapsed()));
        slot
    }

    async fn wait(&self, priority: Priority, patience: Duration) -> Result<(), NoSlot> {
        let Some(spacing) = self.slots.spacing else { return Ok(()) };
        let (give, given) = oneshot::channel();
        {
            let mut waiting = self.slots.waiting();
            let queue = match priority {
                Priority::Urgent => &mut waiting.urgent,
                Priority::Ordinary => &mut waiting.ordinary,
            };
            queue.retain(|give| !give.is_closed());
            let ahead = u32::try_from(queue.len()).unwrap_or(u32::MAX);
            if spacing.saturating_mul(ahead) > patience {
                return Err(NoSlot);
            }
            queue.push_back(give);
        }
        self.slots.arrived.notify_one();
        match tokio::time::timeout(patience, given).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NoSlot),
        }
    }

    /// Amazon throttled: nothing of this account leaves for a second, from any replica.
    pub(crate) async fn back_off(&self) {
        let Slots { shared, spacing, .. } = &*self.slots;
        if spacing.is_none() {
            return;
        }
        let until = shared.now_us().saturating_add(micros(BACK_OFF));
        if let Err(error) = limiter::back_off(&shared.store, &shared.account, until).await {
            tracing::warn!(account = shared.account, error = %Chain(&error), "the rate was not lowered");
        }
    }

    /// Hands out slots without end: money work needs them until the drain is over.
    pub(crate) async fn dispatch(self) {
        let slots = &self.slots;
        loop {
            let pause = match slots.next_urgency() {
                Some(urgent) => slots.serve_one(urgent).await,
                None => slots.look_around().await,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = slots.arrived.notified() => {}
            }
        }
    }
}

impl Slots {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next request is urgent; `None` when no request waits.
    fn next_urgency(&self) -> Option<bool> {
        let mut waiting = self.waiting();
        waiting.urgent.retain(|give| !give.is_closed());
        waiting.ordinary.retain(|give| !give.is_closed());
        (!waiting.urgent.is_empty()).then_some(true).or_else(|| (!waiting.ordinary.is_empty()).then_some(false))
    }

    /// Tries to take the next slot for the next request. Returns how long to wait before the next try.
    async fn serve_one(&self, urgent: bool) -> Duration {
        let now = self.shared.now_us();
        let spacing = self.spacing.unwrap_or_default();
        let ask =
            SlotRequest { now_us: now, by_us: now.saturating_add(micros(AHEAD)), spacing_us: micros(spacing), urgent };
        match limiter::take(&self.shared.store, &self.shared.account, ask).await {
            Ok(Some(slot_us)) => {
                tokio::time::sleep(until(slot_us, self.shared.now_us())).await;
                self.give();
                Duration::ZERO
            }
            Ok(None) => match limiter::look(&self.shared.store, &self.shared.account).await {
                Ok(limiter) => self.wait_for(&limiter, urgent),
                Err(_unreadable) => DATABASE_PAUSE,
            },
            Err(error) => {
                tracing::warn!(account = self.shared.account, error = %Chain(&error), "no slot without the database");
                DATABASE_PAUSE
            }
        }
    }

    /// How long until a slot may be free for us.
    fn wait_for(&self, limiter: &Limiter, urgent: bool) -> Duration {
        self.breaker.see(limiter.breaker);
        let now = self.shared.now_us();
        let yielded = if urgent { 0 } else { limiter.urgent_until_us };
        let free_us = limiter.next_send_us.max(yielded).saturating_sub(micros(AHEAD));
        // Whatever the row holds, it is read again before long.
        until(free_us, now).clamp(Duration::from_millis(1), IDLE_LOOK)
    }

    /// No request waits: reads what other replicas have written.
    async fn look_around(&self) -> Duration {
        if let Ok(limiter) = limiter::look(&self.shared.store, &self.shared.account).await {
            self.breaker.see(limiter.breaker);
        }
        IDLE_LOOK
    }

    /// Gives the slot in hand to the next request. When all of them have given up meanwhile, the slot is lost.
    fn give(&self) {
        let mut waiting = self.waiting();
        let Waiting { urgent, ordinary, .. } = &mut *waiting;
        while let Some(give) = urgent.pop_front().or_else(|| ordinary.pop_front()) {
            if give.send(()).is_ok() {
                return;
            }
        }
    }
}

/// The time from now to an instant; zero when it has passed.
fn until(instant_us: i64, now_us: i64) -> Duration {
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at(instant_us).signed_duration_since(at(now_us)).to_std().unwrap_or_default()
}
