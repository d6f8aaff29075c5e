//! The breaker of an account: while it is open, new rewards are refused before a row is made, in all replicas.
//!
//! It opens when Amazon refuses the account, and not when Amazon refuses an order: two different orders have to be refused,
//! each at its first try, with no purchase in between. An order that can never succeed may be tried again for ever, and closes
//! nothing. Keys that Amazon turns away at the door are the account's alone, so that one of them is enough.
//!
//! Funds that are used up are used up for an amount: what is smaller than the smallest that was refused still passes. They are
//! there again once such a purchase goes through, or once Amazon reports a balance that covers the amount.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    limiter,
    quota::{Shared, micros},
};
use crate::kernel::{Chain, CreationRequestId, horizon::STRAY_US, word_methods};

/// How long a first refusal waits for a second one.
const SUSPECTED_FOR: Duration = Duration::from_secs(10 * 60);

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum BreakerCause {
    /// The account's funds are used up.
    Funds,
    /// Amazon refuses the account.
    Account,
}
word_methods!(BreakerCause);

/// A breaker that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenBreaker {
    pub(crate) cause: BreakerCause,
    /// From this instant on one request may try whether the account works again.
    pub(crate) until_us: i64,
    /// For [`BreakerCause::Funds`]: the smallest amount that was refused, in minor units.
    pub(crate) minor: Option<i64>,
}

impl OpenBreaker {
    /// Whether it is no obstacle to a reward of this value.
    fn lets_pass(&self, minor: i64) -> bool {
        self.cause == BreakerCause::Funds && self.minor.is_some_and(|refused| minor < refused)
    }

    /// What was refused for want of funds, if this balance covers it.
    fn covered(&self, available: i64) -> Option<i64> {
        let refused = self.minor.filter(|_minor| self.cause == BreakerCause::Funds);
        refused.filter(|refused| *refused <= available)
    }
}

/// A request for a reward, as the breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// A new reward of this value, in minor units.
    New { minor: i64 },
    /// Another try of one that was refused. If it fails again, that says nothing of the account.
    Retry { minor: i64 },
}

/// A breaker lets this request pass in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paced {
    /// Why it is open.
    pub cause: BreakerCause,
    /// In so long.
    pub retry_after: Duration,
}

/// What Amazon said of the account, in answer to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// It has no funds for so much.
    NoFunds { minor: i64 },
    /// The order was refused for a reason that is the account's, perhaps. `first` at its first try.
    OrderRefused { order: &'a CreationRequestId, first: bool },
    /// The account's keys were turned away.
    KeysRejected,
}

/// The breaker of one account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Breaker {
    shared: Shared,
    state: Arc<Mutex<BreakerState>>,
}

#[derive(Default)]
struct BreakerState {
    /// As the row was last read.
    seen: Option<OpenBreaker>,
    /// The order that was refused last, and when.
    suspect: Option<Suspect>,
    /// When another try of a refused order may pass while the breaker is open. It has turns of its own, so that an order
    /// which can never succeed does not use up those of new ones.
    next_retry_us: i64,
    /// How often this process has opened or closed it. What was read of the row before is older than that.
    changes: u64,
    /// What a balance promised by which this process closed it, until that shows to be true.
    promise: Option<Promise>,
}

/// A balance covered what was refused, so that the breaker was closed by it.
#[derive(Debug, Clone, Copy)]
struct Promise {
    /// What was refused, in minor units.
    refused: i64,
    available: i64,
    /// Amazon has refused again what the balance covers. If each balance closed the breaker and each order opened it, nobody
    /// would see that it is open.
    broken: bool,
}

struct Suspect {
    order: CreationRequestId,
    at_us: i64,
}

impl Breaker {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, state: Arc::default() }
    }

    /// How the breaker is open, if it is. Another replica's change is seen after a second at most.
    #[must_use]
    pub(crate) fn open_now(&self) -> Option<OpenBreaker> {
        self.state().seen
    }

    /// Lets a request pass if the breaker is closed or no obstacle to it, or if it is the one that may try the account now: one
    /// every `pause`.
    ///
    /// # Errors
    /// [`Paced`]: when another request may try.
    pub(crate) async fn admit(&self, asking: Asking, pause: Duration) -> Result<(), Paced> {
        let (Asking::New { minor } | Asking::Retry { minor }) = asking;
        let Some(open) = self.open_now().filter(|open| !open.lets_pass(minor)) else { return Ok(()) };
        let now = self.shared.now_us();
        let next = now.saturating_add(micros(pause));
        let is_time = |until_us: i64| until_us <= now || until_us > next.saturating_add(STRAY_US);
        let paced = |until_us: i64| {
            let wait = u64::try_from(until_us.saturating_sub(now)).unwrap_or_default();
            Paced { cause: open.cause, retry_after: Duration::from_micros(wait) }
        };
        match asking {
            Asking::Retry { .. } => {
                let mut state = self.state();
                if !is_time(state.next_retry_us) {
                    return Err(paced(state.next_retry_us));
                }
                state.next_retry_us = next;
                Ok(())
            }
            Asking::New { .. } if !is_time(open.until_us) => Err(paced(open.until_us)),
            Asking::New { .. } => {
                let Shared { store, account, .. } = &self.shared;
                let first = limiter::allow_probe(store, account, now, next).await.unwrap_or(false);
                // Whoever was first has moved the instant, which is read within a second.
                self.see_until(next);
                if first { Ok(()) } else { Err(paced(next)) }
            }
        }
    }

    /// Takes a refusal in; answers how the breaker opened by it, or opened further.
    pub(crate) async fn refused(&self, verdict: Verdict<'_>, pause: Duration) -> Option<OpenBreaker> {
        let until_us = self.shared.now_us().saturating_add(micros(pause));
        let (open, changes) = {
            let mut state = self.state();
            let open = state.judge(verdict, until_us, self.shared.now_us())?;
            state.seen = Some(open);
            state.changes = state.changes.wrapping_add(1);
            (open, state.changes)
        };
        let Shared { store, account, .. } = &self.shared;
        if let Err(error) = limiter::open_breaker(store, account, open).await {
            tracing::error!(account, error = %Chain(&error), "a breaker could not be kept");
        }
        let mut state = self.state();
        if state.changes == changes {
            // The row may have been read once more before it was written: what it said then is no news.
            state.seen = Some(open);
            state.changes = changes.wrapping_add(1);
        }
        Some(open)
    }

    /// Closes the breaker if a purchase of this value shows that the account works. Returns whether it did.
    pub(crate) async fn bought(&self, minor: i64) -> bool {
        {
            let mut state = self.state();
            state.suspect = None;
            state.promise.take_if(|promise| promise.refused <= minor);
            if state.seen.take_if(|open| !open.lets_pass(minor)).is_none() {
                return false;
            }
        }
        let closed = limiter::close_breaker(&self.shared.store, &self.shared.account, minor).await.unwrap_or(false);
        let mut state = self.state();
        state.changes = state.changes.wrapping_add(1);
        if closed {
            // The row may have been read once more before it was written.
            state.seen.take_if(|open| !open.lets_pass(minor));
        }
        closed
    }

    /// Closes the breaker if it is open for the account: Amazon has taken other keys of it. Returns whether it did.
    pub(crate) async fn keys_changed(&self) -> bool {
        // As a purchase of nothing would, so what is refused for want of funds stays refused.
        self.bought(0).await
    }

    /// Closes the breaker if it is open for want of funds and this balance covers the amount that was refused. `changes` were
    /// counted before Amazon was asked: a balance of before a refusal says nothing of it. Returns whether it did.
    pub(crate) async fn funded(&self, available: i64, changes: u64) -> bool {
        let Some(refused) = self.state().covered(available, changes) else { return false };
        let Shared { store, account, .. } = &self.shared;
        let closed = limiter::close_funded(store, account, available).await.unwrap_or(false);
        if closed {
            let mut state = self.state();
            state.changes = state.changes.wrapping_add(1);
            state.promise = Some(Promise { refused, available, broken: false });
            state.seen.take_if(|open| open.covered(available).is_some());
        }
        closed
    }

    /// What this process has done to it; to be asked before the row is read, or before Amazon is asked for the balance.
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Takes over what the row says, if this process has done nothing to the breaker since it began to read.
    pub(super) fn see(&self, open: Option<OpenBreaker>, changes: u64) {
        let mut state = self.state();
        if state.changes == changes {
            state.seen = open;
        }
    }

    fn see_until(&self, until_us: i64) {
        if let Some(open) = &mut self.state().seen {
            open.until_us = until_us;
        }
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerState {
    /// What was refused, if it closes by a balance that Amazon was asked for after so many `changes`.
    fn covered(&mut self, available: i64, changes: u64) -> Option<i64> {
        // What was promised is spent.
        self.promise.take_if(|promise| available < promise.refused);
        let is_broken = self.promise.is_some_and(|promise| promise.broken && available <= promise.available);
        let refused = self.seen?.covered(available)?;
        (self.changes == changes && !is_broken).then_some(refused)
    }

    /// How the breaker is to open because of a refusal; `None` when it stays as it is.
    fn judge(&mut self, verdict: Verdict<'_>, until_us: i64, now_us: i64) -> Option<OpenBreaker> {
        let account = OpenBreaker { cause: BreakerCause::Account, until_us, minor: None };
        if let (Verdict::NoFunds { minor }, Some(promise)) = (verdict, &mut self.promise) {
            promise.broken |= minor <= promise.available;
        }
        match (verdict, self.seen) {
            // Somebody tried whether the account works again, and their turn was counted when it began.
            (Verdict::KeysRejected | Verdict::OrderRefused { .. }, Some(open))
                if open.cause == BreakerCause::Account =>
            {
                None
            }
            (Verdict::KeysRejected, _) => Some(account),
            (Verdict::OrderRefused { first: false, .. }, _) => None,
            (Verdict::OrderRefused { order, first: true }, _) => {
                let window = micros(SUSPECTED_FOR);
                let other = self.suspect.replace(Suspect { order: order.clone(), at_us: now_us });
                let other = other
                    .filter(|other| other.order != *order && now_us.abs_diff(other.at_us) <= window.unsigned_abs());
                other.map(|_other| account)
            }
            (Verdict::NoFunds { .. }, Some(open)) if open.cause == BreakerCause::Account => None,
            (Verdict::NoFunds { minor }, Some(open)) if open.minor.is_some_and(|refused| refused <= minor) => None,
            (Verdict::NoFunds { minor }, _) => {
                Some(OpenBreaker { cause: BreakerCause::Funds, until_us, minor: Some(minor) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ambient::Ambient,
        store::{Store, StoreOptions},
    };

    fn id(text: &str) -> CreationRequestId {
        CreationRequestId::from_stored(text.to_owned())
    }

    fn refused<'a>(order: &'a CreationRequestId, first: bool) -> Verdict<'a> {
        Verdict::OrderRefused { order, first }
    }

    /// What opens the breaker of a state that has heard these, one a second.
    fn judged(verdicts: &[Verdict<'_>]) -> Vec<Option<BreakerCause>> {
        let mut state = BreakerState::default();
        let mut now = 0;
        let of_one = |verdict: &Verdict<'_>| {
            now += 1_000_000;
            state.judge(*verdict, now, now).map(|open| open.cause)
        };
        verdicts.iter().map(of_one).collect()
    }

    #[test]
    fn one_order_that_can_never_succeed_closes_nothing_however_often_it_is_tried() {
        let hopeless = id("hopeless");
        let tries = [true, false, false, true, true].map(|first| refused(&hopeless, first));
        assert_eq!(judged(&tries), [None; 5]);
    }

    #[test]
    fn two_orders_that_are_refused_one_after_the_other_show_that_it_is_the_account() {
        let (one, two) = (id("one"), id("two"));
        assert_eq!(judged(&[refused(&one, true), refused(&two, true)]), [None, Some(BreakerCause::Account)]);
        assert_eq!(judged(&[refused(&one, true), refused(&two, false)]), [None, None], "the second was refused before");
        assert_eq!(judged(&[Verdict::KeysRejected]), [Some(BreakerCause::Account)]);
    }

    #[test]
    fn a_refusal_of_long_ago_is_forgotten() {
        let (mut state, one, two) = (BreakerState::default(), id("one"), id("two"));
        let later = micros(SUSPECTED_FOR) + 1;
        assert_eq!(state.judge(refused(&one, true), 0, 0), None);
        assert_eq!(state.judge(refused(&two, true), later, later), None);
    }

    #[test]
    fn funds_are_used_up_for_an_amount() {
        let mut state = BreakerState::default();
        let mut open = |minor| {
            let opened = state.judge(Verdict::NoFunds { minor }, 1, 0);
            state.seen = opened.or(state.seen);
            opened.and_then(|open| open.minor)
        };
        assert_eq!((open(500), open(700), open(300)), (Some(500), None, Some(300)));
        let seen = state.seen.unwrap();
        assert!(seen.lets_pass(299) && !seen.lets_pass(300));
        let of_old = OpenBreaker { minor: None, ..seen };
        assert!(!of_old.lets_pass(1), "the release before keeps no amount");
        assert_eq!(of_old.covered(i64::MAX), None);
    }

    /// A dispatcher reads the row at any moment, also while another task waits for the database to write it.
    #[tokio::test]
    async fn a_row_that_was_read_before_the_breaker_was_written_does_not_close_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display());
        let options = StoreOptions { create: true, ..StoreOptions::of_command(url.into(), 1) };
        let store = Store::open(&options).await.unwrap();
        crate::store::migrate::migrate(&store).await.unwrap();
        limiter::ensure(&store, "main").await.unwrap();
        let shared = Shared { account: "main".to_owned(), store: store.clone(), ambient: Ambient::movable(1) };
        let breaker = Breaker::new(shared);
        let writing = store.begin().await.unwrap();
        let refused = breaker.refused(Verdict::KeysRejected, Duration::from_secs(30));
        let read = async {
            // Not before the refusal is taken in: it waits for the writer then.
            tokio::task::yield_now().await;
            breaker.see(limiter::look(&store, "main").await.unwrap().breaker, breaker.changes());
            drop(writing);
        };
        let (opened, ()) = tokio::join!(refused, read);
        assert_eq!(breaker.open_now(), opened);
        assert!(opened.is_some());
        store.close().await;
    }

    fn open(cause: BreakerCause) -> Option<OpenBreaker> {
        Some(OpenBreaker { cause, until_us: 1, minor: Some(500) })
    }

    #[test]
    fn a_balance_closes_it_that_covers_what_was_refused_and_was_asked_for_after_the_refusal() {
        let mut state = BreakerState { seen: open(BreakerCause::Funds), changes: 3, ..BreakerState::default() };
        assert_eq!(
            [(500, 3), (499, 3), (500, 2)].map(|(available, changes)| state.covered(available, changes)),
            [Some(500), None, None]
        );
        for seen in [open(BreakerCause::Account), None] {
            state.seen = seen;
            assert_eq!(state.covered(500, 3), None, "that is not a question of money");
        }
    }

    #[test]
    fn a_balance_that_amazon_does_not_pay_out_closes_it_once() {
        let promised = || {
            let promise = Some(Promise { refused: 500, available: 900, broken: false });
            BreakerState { promise, ..BreakerState::default() }
        };
        let mut state = promised();
        state.seen = state.judge(Verdict::NoFunds { minor: 500 }, 1, 0);
        assert_eq!(state.covered(900, 0), None, "it would close and open in turns");
        assert_eq!(state.covered(901, 0), Some(500), "more has come");
        assert_eq!(
            (state.covered(400, 0), state.covered(900, 0)),
            (None, Some(500)),
            "it was spent, and has come again"
        );
        let mut state = promised();
        state.seen = state.judge(Verdict::NoFunds { minor: 1000 }, 1, 0);
        assert_eq!(state.covered(1000, 0), Some(1000), "it had promised less than that");
    }
}
