//! How long things have taken lately: what an expectation is made of.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long something takes, as the last few times show: their smoothed mean, and four times their smoothed deviation from
/// it. TCP estimates a round trip in the same way (RFC 6298).
#[derive(Default)]
pub(crate) struct Lately(Mutex<Option<CallTimes>>);

#[derive(Clone, Copy)]
struct CallTimes {
    mean: Duration,
    deviation: Duration,
}

impl Lately {
    fn estimate(&self) -> MutexGuard<'_, Option<CallTimes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It took this long.
    pub(crate) fn took(&self, took: Duration) {
        let mut estimate = self.estimate();
        *estimate = Some(match *estimate {
            None => CallTimes { mean: took, deviation: took / 2 },
            Some(CallTimes { mean, deviation }) => CallTimes {
                deviation: deviation.saturating_mul(3).saturating_add(mean.abs_diff(took)) / 4,
                mean: mean.saturating_mul(7).saturating_add(took) / 8,
            },
        });
    }

    /// How long it takes at most, nearly always; zero as long as nothing is known.
    #[must_use]
    pub(crate) fn expected(&self) -> Duration {
        self.estimate()
            .map_or(Duration::ZERO, |CallTimes { mean, deviation }| mean.saturating_add(deviation.saturating_mul(4)))
    }
}

/// How far apart new rewards get slots here while some wait: other replicas, and what goes before, take their share.
#[derive(Default)]
pub(super) struct PurchasePace {
    last: Option<Instant>,
    pub(super) interval: Option<Duration>,
}

impl PurchasePace {
    /// A new reward was given a slot; `more` of them wait.
    pub(super) fn given(&mut self, now: Instant, more: bool) {
        if let Some(last) = self.last {
            let took = now.saturating_duration_since(last);
            self.interval = Some(self.interval.map_or(took, |mean| mean.saturating_mul(3).saturating_add(took) / 4));
        }
        // Once nobody waits, how long the next one takes to come says nothing.
        (self.last, self.interval) = if more { (Some(now), self.interval) } else { (None, None) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn what_is_expected_follows_what_is_seen() {
        let lately = Lately::default();
        assert_eq!(lately.expected(), Duration::ZERO);
        lately.took(Duration::from_millis(100));
        assert_eq!(lately.expected(), Duration::from_millis(300));
        for _time in 0..30 {
            lately.took(Duration::from_millis(100));
        }
        assert!(lately.expected() < Duration::from_millis(110), "it is steady: {:?}", lately.expected());
        for _time in 0..4 {
            lately.took(Duration::from_secs(6));
        }
        assert!(lately.expected() > Duration::from_secs(6), "Amazon hangs: {:?}", lately.expected());
    }

    #[test]
    fn the_pace_is_that_of_slots_while_some_wait() {
        let (mut pace, began) = (PurchasePace::default(), Ambient::movable(1).monotonic());
        let at = |millis| began + Duration::from_millis(millis);
        pace.given(at(0), true);
        assert_eq!(pace.interval, None);
        pace.given(at(400), true);
        pace.given(at(800), true);
        assert_eq!(pace.interval, Some(Duration::from_millis(400)));
        pace.given(at(900), false);
        assert_eq!(pace.interval, None, "nobody waits");
    }
}
