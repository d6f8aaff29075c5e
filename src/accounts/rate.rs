//! Amazon's request rate, kept over all replicas: every request waits here for a slot.
//!
//! Slots lie a fixed spacing apart, so that no second ever holds more requests than the account may send, however many
//! replicas there are. One dispatcher per account and process takes them from the account's row, one after the other, and
//! hands each to the request whose turn it is ([`Waiting`]). While a cancel or a recovery waits in any replica, the new
//! rewards of all replicas yield. A request that looks at what is paid for goes before new rewards, too, and then leaves them
//! the next slot, here and in every replica. New rewards of all replicas yield to one look of each in a while. Without the
//! database nothing is sent: the limiter fails closed.
//!
//! A new reward that would have to wait books a place in a line that all replicas share, in the same row. Where its turn would
//! come too late it is refused at once. The more requests a caller has waiting, the less of the line is open to it, so that a
//! batch leaves room for others. Each replica asks for slots when it is its turn by what was booked there, or the quickest
//! replica would take them all. A caller who has nothing waiting need not wait for the end of the line.

mod batches;
mod line;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::DateTime;
use tokio::sync::{Notify, oneshot};

use line::{Booking, LineSeen, QueuePosition, share};

use super::{
    Breaker, Metrics, NoSlot,
    limiter::{self, Limiter, STRAY_LINE_US, SlotRequest, TakenSlot},
    pace::PurchasePace,
    quota::{RequestRate, Shared, micros},
    slot::{Departure, GOOD_FOR, Slot},
    waiting::{Looks, Purpose, Waiting, Wanted},
};
use crate::{kernel::Chain, lifecycle::workplaces::outside, store::StoreError};

/// How far ahead of its time a slot may be taken: the wait for it is then exact.
const AHEAD: Duration = Duration::from_millis(15);
/// How long to wait when the database does not answer.
const DATABASE_PAUSE: Duration = Duration::from_millis(200);
/// So far ahead a slot is asked for at most, however slow the database is.
const TAKING_MAX: Duration = Duration::from_secs(1);
/// How often the row is read when no request waits. So long another replica's breaker can go unnoticed.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// How often it is read while one does: so long a slot can go unused that another replica has not wanted.
const LOOK_WHILE_WAITING: Duration = Duration::from_millis(250);
/// A second's requests are spread over this much of a second, because two of them may come closer together than their slots
/// lie. With ten a second the slots lie 120 ms apart, so the eleventh lies 1.2 s after the first. The first may leave late by
/// [`GOOD_FOR`] and be another 50 ms on its way before Amazon has both of them within one second.
const SPREAD_PERCENT: u32 = 120;

/// After so many slots a replica's next look goes before new rewards: of several replicas that only look, each has one in so
/// many slots before them.
const LOOKS_URGE_SLOTS: u32 = 8;
/// How long nothing is sent after Amazon throttled: its window is a second.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long what a row said of the line is believed, where that refuses somebody without another look.
const LINE_KNOWN: Duration = Duration::from_millis(100);

/// The slots of one account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rate {
    slots: Arc<Slots>,
}

struct Slots {
    shared: Shared,
    /// The account in whose row the slots lie.
    row: String,
    /// `None`: unlimited, for a sandbox.
    spacing: Option<Duration>,
    /// Stands in the same row, so the dispatcher that reads it keeps the breaker up to date.
    breaker: Breaker,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    /// As the row was last read.
    line: Mutex<Option<LineSeen>>,
    purchases: Mutex<PurchasePace>,
    /// When it is the turn of the new rewards that wait here, the first one first. Whose turn each of them is, is decided then.
    booked: Mutex<Vec<Booking>>,
    arrived: Notify,
    taking: Mutex<Taking>,
}

/// How the dispatcher gets on with the row.
#[derive(Default)]
struct Taking {
    /// How long it took to take the last slot, and the one before. A slot is asked for as of the shorter of both from now,
    /// or where the database is slow each would be stale when it comes.
    took: [Duration; 2],
    /// The last slot was stale when it came. A second one in a row is used all the same: one that is late is a stall, and a
    /// database that always is must not stop the account.
    was_stale: bool,
    /// The database did not answer the last time.
    failed: bool,
    /// From then on those who look may have a slot again…
    looks_again: Option<Instant>,
    /// …and from then on the new rewards of all replicas yield to one of them.
    looks_urge: Option<Instant>,
    /// Until then a batch leaves slots to the new rewards that wait in other replicas.
    batch_yields: Option<Instant>,
}

impl Rate {
    pub(super) fn new(shared: Shared, rate: RequestRate, breaker: Breaker, metrics: Arc<Metrics>) -> Self {
        let spacing = Duration::from_millis(10).saturating_mul(SPREAD_PERCENT).checked_div(rate.per_second);
        let slots = Slots {
            shared,
            row: rate.account,
            spacing,
            breaker,
            metrics,
            waiting: Mutex::default(),
            line: Mutex::default(),
            purchases: Mutex::default(),
            booked: Mutex::default(),
            arrived: Notify::new(),
            taking: Mutex::default(),
        };
        Self { slots: Arc::new(slots) }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.slots.metrics
    }

    /// Makes the row in which the slots lie.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        limiter::ensure(&self.slots.shared.store, &self.slots.row).await
    }

    /// Writes the row as it is, durably: while the database takes no writes this fails.
    pub(super) async fn prove_writes(&self) -> Result<(), StoreError> {
        limiter::rewrite(&self.slots.shared.store, &self.slots.row).await
    }

    /// Waits for a slot, at most `patience`. Refuses at once when its turn would come later than that.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub(crate) async fn slot(&self, wanted: Wanted, patience: Duration) -> Result<Slot, NoSlot> {
        let Slots { shared, metrics, .. } = &*self.slots;
        let began = shared.ambient.monotonic();
        let slot = self.wait(wanted, patience).await;
        // What the database does not give says nothing of Amazon's rate; and a batch waits by design.
        if !matches!(slot, Err(NoSlot::NoDatabase)) && wanted.purpose != Purpose::Batch {
            metrics.waited_for_slot(&shared.account, slot.is_ok().then(|| began.elapsed()));
        }
        slot
    }

    async fn wait(&self, wanted: Wanted, patience: Duration) -> Result<Slot, NoSlot> {
        // Without a record nothing may be sent, whatever the rate.
        if self.slots.shared.store.refuses_writes() {
            return Err(NoSlot::NoDatabase);
        }
        let Some(spacing) = self.slots.spacing else { return Ok(Slot::UNLIMITED) };
        let began = self.slots.shared.ambient.monotonic();
        let (give, mut given) = oneshot::channel();
        // In the queue before the line is asked for a place: of many that come at once, each counts those before it.
        let position = self.slots.enter(wanted, patience, spacing, give)?;
        if let Err(refused) = self.slots.let_in(position, patience, spacing).await {
            return given.try_recv().map_err(|_none| refused);
        }
        self.slots.arrived.notify_one();
        match outside(tokio::time::timeout(patience.saturating_sub(began.elapsed()), given)).await {
            Ok(Ok(slot)) => Ok(slot),
            // Whoever hands out slots sends those away who wait for a database that takes no writes.
            Ok(Err(_gone)) => Err(NoSlot::NoDatabase),
            Err(_elapsed) if self.slots.taking().failed => Err(NoSlot::NoDatabase),
            Err(_elapsed) => Err(NoSlot::UsedUp { retry_after: spacing }),
        }
    }

    /// Waits for the right to send one request at once, at most `patience`: a slot that went stale before its request
    /// could use it is not used.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub(crate) async fn departure(&self, wanted: Wanted, patience: Duration) -> Result<Departure, NoSlot> {
        let ambient = &self.slots.shared.ambient;
        let began = ambient.monotonic();
        loop {
            let slot = self.slot(wanted, patience.saturating_sub(began.elapsed())).await?;
            if let Some(departure) = slot.spend(ambient.monotonic()) {
                return Ok(departure);
            }
        }
    }

    /// Amazon throttled: nothing of this account leaves for a second, from any replica.
    pub(crate) async fn back_off(&self) {
        let Slots { shared, row, spacing, .. } = &*self.slots;
        if spacing.is_none() {
            return;
        }
        let now = shared.now_us();
        let until = now.saturating_add(micros(BACK_OFF));
        if let Err(error) = limiter::back_off(&shared.store, row, now, until).await {
            tracing::warn!(account = shared.account, error = %Chain(&error), "the rate was not lowered");
        }
    }

    /// Hands out slots without end: money work needs them until the drain is over.
    pub(crate) async fn dispatch(self) {
        let slots = &self.slots;
        loop {
            slots.metrics.dispatched(&slots.shared.account, slots.shared.ambient.now().timestamp());
            let pause = match slots.next() {
                // Those who look are not to sleep through their turn behind a new reward whose turn comes later.
                Some(purpose) => slots.serve_one(purpose).await.min(slots.until_looks_again().unwrap_or(IDLE_LOOK)),
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
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn purchases(&self) -> MutexGuard<'_, PurchasePace> {
        self.purchases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taking(&self) -> MutexGuard<'_, Taking> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see_line(&self, booked_us: i64) {
        let seen = LineSeen { booked_us, at: self.shared.ambient.monotonic() };
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// When the line ends, as it was seen just now.
    fn line_seen(&self) -> Option<i64> {
        let seen = *self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // What a clock wrote while it was ahead is no line.
        let stray = self.shared.now_us().saturating_add(STRAY_LINE_US);
        seen.filter(|seen| seen.at.elapsed() <= LINE_KNOWN && seen.booked_us <= stray).map(|seen| seen.booked_us)
    }

    /// Puts a request into the queue of this process, if its turn comes in time there.
    fn enter(
        &self,
        wanted: Wanted,
        patience: Duration,
        spacing: Duration,
        give: oneshot::Sender<Slot>,
    ) -> Result<QueuePosition, NoSlot> {
        let mut waiting = self.waiting();
        waiting.tidy();
        if !waiting.has(Purpose::Purchase) {
            // The last of them gave up: when the next one comes says nothing of the pace.
            *self.purchases() = PurchasePace::default();
        }
        let interval = match wanted.purpose {
            Purpose::Purchase => self.purchases().interval.unwrap_or(spacing).max(spacing),
            Purpose::Cancel | Purpose::Recovery | Purpose::Look | Purpose::Batch => spacing,
        };
        let (ahead, own) = (waiting.ahead(wanted), waiting.own(wanted));
        let expected = interval.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        if expected > patience {
            return Err(NoSlot::UsedUp { retry_after: expected.saturating_sub(patience) });
        }
        waiting.push(wanted, give);
        Ok(QueuePosition { purpose: wanted.purpose, ahead, own })
    }

    /// Books a place in the line of all replicas for a new reward, if its turn comes in time there.
    async fn let_in(&self, position: QueuePosition, patience: Duration, spacing: Duration) -> Result<(), NoSlot> {
        let QueuePosition { purpose, ahead, own } = position;
        // Nobody waits here, nor did just now in another replica: the first slot is as good as taken.
        let now = self.shared.now_us();
        let seen = self.line_seen();
        if purpose != Purpose::Purchase {
            return Ok(());
        }
        if ahead == 0 && seen.is_none_or(|booked| booked <= now) {
            self.book(Booking { at_us: now, jumped: true });
            return Ok(());
        }
        let by = now.saturating_add(micros(share(patience, own)));
        if seen.is_some_and(|booked| booked > by) {
            return Err(NoSlot::UsedUp { retry_after: until(seen.unwrap_or(by), by) });
        }
        match limiter::book(&self.shared.store, &self.row, now, micros(spacing), by).await {
            Ok(Some(booked_us)) => {
                self.see_line(booked_us);
                let jumped = own == 0;
                self.book(Booking {
                    at_us: if jumped { now } else { booked_us.saturating_sub(micros(spacing)) },
                    jumped,
                });
                Ok(())
            }
            Ok(None) => {
                self.look().await;
                Err(NoSlot::UsedUp { retry_after: self.line_seen().map_or(spacing, |booked| until(booked, by)) })
            }
            Err(error) => {
                tracing::warn!(account = self.shared.account, error = %Chain(&error), "no slot without the database");
                Err(NoSlot::NoDatabase)
            }
        }
    }

    fn bookings(&self) -> MutexGuard<'_, Vec<Booking>> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self, booking: Booking) {
        let mut booked = self.bookings();
        let place = booked.partition_point(|earlier| earlier.at_us <= booking.at_us);
        booked.insert(place, booking);
    }

    /// What the next slot is wanted for; `None` when no request waits.
    fn next(&self) -> Option<Purpose> {
        let mut waiting = self.waiting();
        waiting.tidy();
        // Whoever has given up leaves the last turn.
        self.bookings().truncate(waiting.count(Purpose::Purchase));
        waiting.next(self.looks())
    }

    fn looks(&self) -> Looks {
        if self.until_looks_again().is_some() { Looks::Yield } else { Looks::Go }
    }

    /// Whether new rewards yield to the next one who looks. In the race for slots a replica with few who look would lose
    /// against the new rewards of all others.
    fn may_looks_urge(&self) -> bool {
        self.taking().looks_urge.is_none_or(|at| at <= self.shared.ambient.monotonic())
    }

    /// How long those who look still leave slots to new rewards.
    fn until_looks_again(&self) -> Option<Duration> {
        let left = self.taking().looks_again?.saturating_duration_since(self.shared.ambient.monotonic());
        (!left.is_zero()).then_some(left)
    }

    /// Tries to take the next slot for the next request. Returns how long to wait before the next try.
    async fn serve_one(&self, purpose: Purpose) -> Duration {
        let began = self.shared.ambient.monotonic();
        let took = self.taking().took.into_iter().min().unwrap_or_default();
        let now = self.shared.now_us().saturating_add(micros(took));
        let spacing = micros(self.spacing.unwrap_or_default());
        let ahead = now.saturating_add(micros(AHEAD));
        let urgent = purpose.is_urgent() || (purpose == Purpose::Look && self.may_looks_urge());
        let mut ask = SlotRequest { now_us: now, by_us: ahead, spacing_us: spacing, urgent, out_of_turn: true };
        let mut turn = ahead;
        if purpose == Purpose::Look
            && let Some(left) = self.until_looks_again()
            && self.line_seen().is_some_and(|booked| booked > now)
        {
            // New rewards wait in another replica.
            return left;
        }
        if purpose == Purpose::Batch {
            if let Some(pause) = self.yields_to_line(now).await {
                return pause;
            }
            ask.by_us = now.saturating_add(micros(batches::AHEAD));
        }
        if purpose == Purpose::Purchase {
            // Who is still asking for a place has none.
            let Some(first) = self.bookings().first().copied() else { return IDLE_LOOK };
            // Two slots before its turn it may ask as well: of several replicas one is quick enough to lose no time, and the
            // quick ones come to the end of their turns before the others have waited long.
            let early = spacing.saturating_mul(2);
            turn = first.at_us.saturating_sub(early);
            // Where turns are missed, the line was too hopeful, and those who are in it have theirs later, too.
            ask.out_of_turn = !first.jumped && first.at_us < now.saturating_sub(early.saturating_mul(3));
            // Before its turn only a slot that nobody has wanted.
            ask.by_us = if turn <= ahead { ahead } else { now.saturating_sub(early) };
        }
        let taken = limiter::take(&self.shared.store, &self.row, ask).await;
        self.taking().failed = taken.is_err();
        match taken {
            Ok(Some(TakenSlot { at_us, booked_us })) => {
                let taken_after = began.elapsed();
                self.see_line(booked_us);
                // Whatever the clock does meanwhile, a slot lies no further ahead.
                tokio::time::sleep(until(at_us, self.shared.now_us()).min(took.saturating_add(AHEAD))).await;
                let late = until(self.shared.now_us(), at_us);
                let is_used = {
                    let mut taking = self.taking();
                    taking.took = [taken_after.min(TAKING_MAX), taking.took[0]];
                    // One that was slept over is as stale as one that its request slept over.
                    let is_used = late <= GOOD_FOR || taking.was_stale;
                    taking.was_stale = !is_used;
                    is_used
                };
                if is_used {
                    self.give(if late <= GOOD_FOR { late } else { Duration::ZERO });
                }
                Duration::ZERO
            }
            Ok(None) => match self.look().await {
                Some(limiter) => self.wait_for(&limiter, ask.urgent, turn).saturating_add(batches::behind(purpose)),
                None => DATABASE_PAUSE,
            },
            Err(error) => {
                tracing::warn!(account = self.shared.account, error = %Chain(&error), "no slot without the database");
                if self.shared.store.refuses_writes() {
                    // It may be hours until somebody makes room: their callers are to hear so at once.
                    self.waiting().send_away();
                }
                DATABASE_PAUSE
            }
        }
    }

    /// Reads the row, and takes over what it says; `None` when it cannot be read.
    async fn look(&self) -> Option<Limiter> {
        let Shared { store, account, .. } = &self.shared;
        let changes = self.breaker.changes();
        let limiter = limiter::look(store, &self.row).await.ok()?;
        // The breaker is the account's own, whoever it shares the rate with.
        let own = if self.row == *account { limiter } else { limiter::look(store, account).await.ok()? };
        self.breaker.see(own.breaker, changes);
        self.see_line(limiter.booked_us);
        Some(limiter)
    }

    /// How long until a slot may be free for us.
    fn wait_for(&self, limiter: &Limiter, urgent: bool, turn_us: i64) -> Duration {
        let now = self.shared.now_us();
        let yielded = if urgent { 0 } else { limiter.urgent_until_us };
        let free_us = limiter.next_send_us.max(yielded).max(turn_us).saturating_sub(micros(AHEAD));
        // Whatever the row holds, it is read again before long.
        until(free_us, now).clamp(Duration::from_millis(1), LOOK_WHILE_WAITING)
    }

    /// No request waits: reads what other replicas have written.
    async fn look_around(&self) -> Duration {
        self.look().await;
        IDLE_LOOK
    }

    /// Gives the slot in hand, which was due so long ago, to the next request. When all of them have given up meanwhile, the
    /// slot is lost.
    fn give(&self, late: Duration) {
        let now = self.shared.ambient.monotonic();
        let mut slot = Slot::given(now.checked_sub(late).unwrap_or(now));
        let mut waiting = self.waiting();
        while let Some((purpose, give)) = waiting.pop(self.looks()) {
            match give.send(slot) {
                Ok(()) => {
                    if purpose == Purpose::Look {
                        let spacing = self.spacing.unwrap_or_default();
                        let of_slots = |slots| spacing.saturating_mul(slots).saturating_sub(AHEAD.saturating_add(late));
                        let mut taking = self.taking();
                        taking.looks_again = now.checked_add(of_slots(2));
                        taking.looks_urge = now.checked_add(of_slots(LOOKS_URGE_SLOTS));
                    }
                    if purpose == Purpose::Batch {
                        self.batch_was_served(now);
                    }
                    if purpose == Purpose::Purchase {
                        let mut booked = self.bookings();
                        let used = booked.len().min(1);
                        booked.drain(..used);
                        drop(booked);
                        let more = waiting.has(Purpose::Purchase);
                        self.purchases().given(now, more);
                    }
                    return;
                }
                Err(unclaimed) => slot = unclaimed,
            }
        }
    }
}

/// The time from now to an instant; zero when it has passed.
fn until(instant_us: i64, now_us: i64) -> Duration {
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at(instant_us).signed_duration_since(at(now_us)).to_std().unwrap_or_default()
}
