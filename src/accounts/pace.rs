//! How long things have taken lately: what an expectation is made of.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
