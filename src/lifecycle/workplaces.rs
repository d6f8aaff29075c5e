//! How many requests the service itself works on at once. Beyond a number of them each one more makes all the others slower, and
//! none is done sooner. So room is asked for before anything is looked up, and whoever finds none is refused at once.
//!
//! A request has a *workplace* only while something is done for it here: not while it waits for Amazon, for a slot of Amazon's rate,
//! for its caller to send the body, or for a question ([`outside`]). So an account that hangs takes no workplace, and whoever has
//! begun goes on whatever comes meanwhile.
//!
//! A batch that comes at once is no overload: for a moment there may be as many as may be under way. There is another batch once for
//! as long nobody has found all workplaces taken. Until then the service is asked for more than it can do.
//!
//! A key that has many leaves a part to others. Requests on whose connection nobody has shown a key have half, until they show one, and share
//! that by the key that they claim to have. A quarter of what a key with many leaves is theirs: a caller whose connections were idle
//! comes by a new one. The rest is left to those who have shown a key and have few.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::kernel::ApiKeyId;

/// Sixty-four requests of one key keep either database busy (`benches/README.md`), and three quarters of these are one key's.
const WORKPLACES: usize = 96;
/// How long there may be more of them, and how long nobody may need more before there is another batch.
const BATCH_FOR: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The workplace of the request that the task works for.
    static HERE: Arc<Workplace>;
}

/// The workplaces of this process. All clones are the same.
#[derive(Clone)]
pub(crate) struct Workplaces(Arc<Inner>);

struct Inner {
    batch_max: usize,
    taken: Mutex<TakenPlaces>,
}

#[derive(Default)]
struct TakenPlaces {
    all: usize,
    /// No count is zero.
    held: HashMap<PlaceHolder, usize>,
    /// How many of all are strangers'.
    strangers: usize,
    full: Option<Fullness>,
}

/// All workplaces were taken when somebody came.
#[derive(Clone, Copy)]
struct Fullness {
    /// When they were for the first time, and for the last one.
    began: Instant,
    last: Instant,
}

/// Whose a workplace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PlaceHolder {
    /// Of whoever has shown this key.
    Key(ApiKeyId),
    /// Of somebody who has shown none yet, by the key that they claim to have.
    Stranger(Option<ApiKeyId>),
}

impl PlaceHolder {
    const fn is_stranger(self) -> bool {
        match self {
            Self::Key(_) => false,
            Self::Stranger(_) => true,
        }
    }
}

/// How many of so many are left to others by whoever has some: none by who has few, a quarter by who has many.
const fn left_free(most: usize, own: usize) -> usize {
    let quarter = most / 4;
    quarter - quarter / own.saturating_add(1)
}

impl TakenPlaces {
    /// Whether they may have one of so many. In a batch strangers are no fewer than others.
    fn have_room(&self, who: PlaceHolder, most: usize, is_batch: bool) -> bool {
        let own = self.held.get(&who).copied().unwrap_or(0);
        if let PlaceHolder::Stranger(claimed) = who
            && !is_batch
        {
            let half = most.div_ceil(2);
            // Whoever shows the key that they claim holds its places next: those of a key that floods are refused as it is.
            let of_key = claimed.and_then(|key| self.held.get(&PlaceHolder::Key(key))).copied().unwrap_or(0);
            let kept = (left_free(most, most) * 3 / 4).max(left_free(most, of_key));
            return self.strangers < half.saturating_sub(left_free(half, own)) && self.all < most.saturating_sub(kept);
        }
        self.all < most.saturating_sub(left_free(most, own))
    }

    fn add(&mut self, who: PlaceHolder) {
        self.all = self.all.saturating_add(1);
        self.strangers = self.strangers.saturating_add(usize::from(who.is_stranger()));
        let own = self.held.entry(who).or_default();
        *own = own.saturating_add(1);
    }

    fn remove(&mut self, who: PlaceHolder) {
        self.all = self.all.saturating_sub(1);
        self.strangers = self.strangers.saturating_sub(usize::from(who.is_stranger()));
        let own = self.held.get(&who).copied().unwrap_or(0);
        if own > 1 {
            self.held.insert(who, own.saturating_sub(1));
        } else {
            self.held.remove(&who);
        }
    }

    /// Somebody finds no workplace now. Whether they are of a batch.
    fn are_a_batch(&mut self, now: Instant) -> bool {
        let lasts = |full: &Fullness| now.saturating_duration_since(full.last) < BATCH_FOR;
        let began = self.full.filter(lasts).map_or(now, |full| full.began);
        self.full = Some(Fullness { began, last: now });
        now.saturating_duration_since(began) < BATCH_FOR
    }
}

impl Workplaces {
    /// For a service that has so many requests under way at most.
    #[must_use]
    pub(crate) fn new(under_way_max: usize) -> Self {
        Self(Arc::new(Inner { batch_max: under_way_max.max(WORKPLACES), taken: Mutex::default() }))
    }

    /// A workplace for a request; `None` where there is too much to do.
    #[must_use]
    pub(crate) fn take(&self, who: PlaceHolder, now: Instant) -> Option<Arc<Workplace>> {
        let mut taken = self.taken();
        let is_let_in = taken.have_room(who, WORKPLACES, false)
            || taken.are_a_batch(now) && taken.have_room(who, self.0.batch_max, true);
        if !is_let_in {
            return None;
        }
        taken.add(who);
        Some(Arc::new(Workplace { of: self.clone(), standing: Mutex::new(PlaceStanding { who, outside: 0 }) }))
    }

    fn taken(&self) -> MutexGuard<'_, TakenPlaces> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workplace of one request. It is free while whoever works for the request waits outside, and once all of them have ended.
pub(crate) struct Workplace {
    of: Workplaces,
    standing: Mutex<PlaceStanding>,
}

struct PlaceStanding {
    who: PlaceHolder,
    /// How many of those who work for it wait for somebody else.
    outside: usize,
}

impl Workplace {
    /// Does this work at the workplace.
    pub(crate) async fn hold<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        HERE.scope(self, work).await
    }

    fn standing(&self) -> MutexGuard<'_, PlaceStanding> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut PlaceStanding)) {
        let mut standing = self.standing();
        let before = (standing.outside == 0, standing.who);
        change(&mut standing);
        let after = (standing.outside == 0, standing.who);
        if before != after {
            let mut taken = self.of.taken();
            if before.0 {
                taken.remove(before.1);
            }
            if after.0 {
                taken.add(after.1);
            }
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Whoever is outside holds it, so that nobody is now.
        let who = self.standing().who;
        self.of.taken().remove(who);
    }
}

/// Whoever waits for somebody else, until this is dropped.
#[must_use = "the wait is over when it is dropped"]
pub(crate) struct Outside(Option<Arc<Workplace>>);

impl Outside {
    /// The request that this task works for waits from now on. Where it works for none, nothing changes.
    pub(crate) fn step_out() -> Self {
        let here = HERE.try_with(Arc::clone).ok();
        if let Some(place) = &here {
            place.change(|standing| standing.outside = standing.outside.saturating_add(1));
        }
        Self(here)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.change(|standing| standing.outside = standing.outside.saturating_sub(1));
        }
    }
}

/// Waits for somebody else: Amazon, the caller, a turn. Meanwhile the workplace is another's. Who comes back has it again at once.
pub(crate) async fn outside<F: Future>(wait: F) -> F::Output {
    let _outside = Outside::step_out();
    wait.await
}

/// Work for the same request on another task.
pub(crate) fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let here = HERE.try_with(Arc::clone).ok();
    async move {
        match here {
            Some(place) => HERE.scope(place, work).await,
            None => work.await,
        }
    }
}

/// The request that this task works for has shown a good key.
pub(crate) fn belongs_to(key: ApiKeyId) {
    // One that came by no door, as in a test of a handler, has no workplace.
    if let Ok(place) = HERE.try_with(Arc::clone) {
        place.change(|standing| standing.who = PlaceHolder::Key(key));
    }
}

#[cfg(test)]
mod tests;
