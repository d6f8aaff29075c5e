//! Amazon's rate, kept over all replicas: whoever wants to send waits here for a slot.
//!
//! Slots lie a fixed spacing apart in the account's limiter row. One dispatcher per account and process takes them, one
//! after the other, and hands each to who waits longest, cancels and recovery first; the ordinary of all replicas yield
//! while something urgent waits anywhere. Without the database nothing is sent: the limiter fails closed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use tokio::sync::{Notify, oneshot};

use super::limiter::{self, Ask, Breaker, Limiter, STRAY_US};
use crate::{
    ambient::Ambient,
    failpoint,
    kernel::Chain,
    store::{Store, StoreError},
    telemetry::metrics::Metrics,
};

/// How far ahead of its time a slot may be taken: the wait for it is then exact.
const AHEAD: Duration = Duration::from_millis(15);
/// How long to wait when the database does not answer.
const DATABASE_PAUSE: Duration = Duration::from_millis(200);
/// How often the row is read when nobody waits: as old as a breaker of another replica can go unnoticed.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Requests spread over so much more than a second: what the network adds between two of them must not put eleven into
/// one. With ten a second they leave 120 ms apart, and 200 ms of jitter are harmless.
const SPREAD_PERCENT: u32 = 120;

/// How long nothing is sent after Amazon throttled: its window is a second.
const EASE: Duration = Duration::from_secs(1);

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
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
pub struct Quota {
    shared: Arc<Shared>,
}

struct Shared {
    account: String,
    /// `None`: unlimited, for a sandbox.
    spacing: Option<Duration>,
    store: Store,
    ambient: Ambient,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    urgent: VecDeque<oneshot::Sender<()>>,
    ordinary: VecDeque<oneshot::Sender<()>>,
    breaker: Option<(Breaker, i64)>,
}

impl Quota {
    /// The slots of an account that may send so many requests a second; 0 is unlimited.
    #[must_use]
    pub fn new(account: &str, per_second: u32, store: Store, ambient: Ambient, metrics: Arc<Metrics>) -> Self {
        let spacing = Duration::from_millis(10).saturating_mul(SPREAD_PERCENT).checked_div(per_second);
        let shared = Shared {
            account: if failpoint::seeded("B17") {
                format!("{account}-{}", std::process::id())
            } else {
                account.to_owned()
            },
            spacing,
            store,
            ambient,
            metrics,
            waiting: Mutex::default(),
            arrived: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Makes the account's row, where all replicas meet. Before anything else here.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        limiter::ensure(&self.shared.store, &self.shared.account).await
    }

    /// Waits for a slot, at most so long. Refuses at once when those who wait already would take longer than that.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub async fn slot(&self, priority: Priority, patience: Duration) -> Result<(), NoSlot> {
        let began = self.shared.ambient.monotonic();
        let slot = self.wait(priority, patience).await;
        self.shared.metrics.waited_for_slot(&self.shared.account, slot.is_ok().then(|| began.elapsed()));
        slot
    }

    async fn wait(&self, priority: Priority, patience: Duration) -> Result<(), NoSlot> {
        let Some(spacing) = self.shared.spacing else { return Ok(()) };
        let (give, given) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
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
        self.shared.arrived.notify_one();
        match tokio::time::timeout(patience, given).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NoSlot),
        }
    }

    /// Amazon throttled: nothing of this account leaves for a second, from any replica.
    pub async fn ease(&self) {
        if self.shared.spacing.is_none() {
            return;
        }
        let until = self.shared.now_us().saturating_add(micros(EASE));
        if let Err(error) = limiter::ease(&self.shared.store, &self.shared.account, until).await {
            tracing::warn!(account = self.shared.account, error = %Chain(&error), "the rate was not lowered");
        }
    }

    /// Why new rewards of the account are refused now, as last read; at most a second old.
    #[must_use]
    pub fn breaker(&self) -> Option<(Breaker, i64)> {
        self.shared.waiting().breaker
    }

    /// Refuses new rewards of the account for a while, in all replicas.
    pub async fn trip(&self, why: Breaker, pause: Duration) {
        let until = self.shared.now_us().saturating_add(micros(pause));
        self.shared.waiting().breaker = Some((why, until));
        if let Err(error) = limiter::trip(&self.shared.store, &self.shared.account, why, until).await {
            tracing::error!(account = self.shared.account, error = %Chain(&error), "a breaker could not be kept");
        }
    }

    /// Takes new rewards again, after one succeeded. Says whether they were refused.
    pub async fn clear(&self) -> bool {
        if self.shared.waiting().breaker.take().is_none() {
            return false;
        }
        limiter::clear(&self.shared.store, &self.shared.account).await.unwrap_or(false)
    }

    /// Whether this request may go through although the breaker is tripped until then: one may try each `pause`, over all
    /// replicas.
    pub async fn probe(&self, tripped_until_us: i64, pause: Duration) -> bool {
        let now = self.shared.now_us();
        let until = now.saturating_add(micros(pause));
        if tripped_until_us > now && tripped_until_us <= until.saturating_add(STRAY_US) {
            return false;
        }
        limiter::probe(&self.shared.store, &self.shared.account, now, until).await.unwrap_or(false)
    }

    /// Whether this replica may ask for the balance now: nobody has for `every`, and never twice in a second.
    pub async fn may_ask_funds(&self, every: Duration) -> bool {
        // A little less than the period, or the poll that comes just in time would be a period late.
        let every = every.saturating_sub(every / 10);
        limiter::take_funds(&self.shared.store, &self.shared.account, self.shared.now_us(), micros(every))
            .await
            .unwrap_or(false)
    }

    /// Whether this replica may ask for a page of the activity report now: once in `every` over all of them.
    ///
    /// # Errors
    /// [`StoreError`] from the database: without it nothing may be sent.
    pub async fn may_ask_activity(&self, every: Duration) -> Result<bool, StoreError> {
        limiter::take_activity(&self.shared.store, &self.shared.account, self.shared.now_us(), micros(every)).await
    }

    /// Hands out slots, for ever: money work needs them to the end of a drain.
    pub async fn dispatch(self) {
        let shared = &self.shared;
        loop {
            let pause = match shared.next_urgency() {
                Some(urgent) => shared.serve_one(urgent).await,
                None => shared.look_around().await,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.arrived.notified() => {}
            }
        }
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> i64 {
        self.ambient.now().timestamp_micros()
    }

    /// Whether who goes next is urgent; `None` when nobody waits.
    fn next_urgency(&self) -> Option<bool> {
        let mut waiting = self.waiting();
        waiting.urgent.retain(|give| !give.is_closed());
        waiting.ordinary.retain(|give| !give.is_closed());
        (!waiting.urgent.is_empty()).then_some(true).or_else(|| (!waiting.ordinary.is_empty()).then_some(false))
    }

    /// Tries to take the next slot for who goes next; says how long to wait before the next try.
    async fn serve_one(&self, urgent: bool) -> Duration {
        let now = self.now_us();
        let spacing = self.spacing.unwrap_or_default();
        let ask = Ask { now_us: now, by_us: now.saturating_add(micros(AHEAD)), spacing_us: micros(spacing), urgent };
        match limiter::take(&self.store, &self.account, ask).await {
            Ok(Some(slot_us)) => {
                tokio::time::sleep(until(slot_us, self.now_us())).await;
                self.give();
                Duration::ZERO
            }
            Ok(None) => match limiter::look(&self.store, &self.account).await {
                Ok(limiter) => self.wait_for(&limiter, urgent),
                Err(_unreadable) => DATABASE_PAUSE,
            },
            Err(error) => {
                tracing::warn!(account = self.account, error = %Chain(&error), "no slot without the database");
                DATABASE_PAUSE
            }
        }
    }

    /// How long until a slot may be free for us.
    fn wait_for(&self, limiter: &Limiter, urgent: bool) -> Duration {
        self.waiting().breaker = limiter.breaker;
        let now = self.now_us();
        let yielded = if urgent { 0 } else { limiter.urgent_until_us };
        let free_us = limiter.next_send_us.max(yielded).saturating_sub(micros(AHEAD));
        // Whatever the row says, it is looked at again before long.
        until(free_us, now).clamp(Duration::from_millis(1), IDLE_LOOK)
    }

    /// Nobody waits: see what other replicas have noted.
    async fn look_around(&self) -> Duration {
        if let Ok(limiter) = limiter::look(&self.store, &self.account).await {
            self.waiting().breaker = limiter.breaker;
        }
        IDLE_LOOK
    }

    /// Gives the slot in hand to who goes next. When everybody has gone meanwhile it is lost.
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

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// From now to an instant, nothing when it has passed.
fn until(instant_us: i64, now_us: i64) -> Duration {
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at(instant_us).signed_duration_since(at(now_us)).to_std().unwrap_or_default()
}
