//! How often Amazon is asked about one reward. A check buys nothing and needs no more than the right to read, yet each takes a slot of
//! Amazon's rate from whoever buys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::kernel::RewardId;

/// Checks of one reward in any [`SPAN`], at this process.
const CHECKS_MAX: usize = 10;
const SPAN: Duration = Duration::from_secs(60);

/// The checks of the last while, by reward. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct CheckPace(Arc<Mutex<HashMap<RewardId, Vec<Instant>>>>);

impl CheckPace {
    /// Counts a check.
    ///
    /// # Errors
    /// In how long the next one may come; this one is not counted.
    pub(super) fn admit(&self, id: RewardId, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |at: &Instant| now.saturating_duration_since(*at) >= SPAN;
        // What has rested is forgotten, so that no more is kept than Amazon's rate lets through in the span.
        all.retain(|_id, checks| {
            checks.retain(|at| !rested(at));
            !checks.is_empty()
        });
        let checks = all.entry(id).or_default();
        match checks.first() {
            Some(first) if checks.len() >= CHECKS_MAX => {
                Err(SPAN.saturating_sub(now.saturating_duration_since(*first)))
            }
            Some(_) | None => {
                checks.push(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn a_reward_is_checked_ten_times_in_a_minute_and_another_reward_as_well() {
        let (pace, began) = (CheckPace::default(), Ambient::movable(1).monotonic());
        let (one, other) = (RewardId::new(Uuid::from_u128(1)), RewardId::new(Uuid::from_u128(2)));
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!((0..10).all(|second| pace.admit(one, at(second)).is_ok()));
        assert_eq!(pace.admit(one, at(10)), Err(Duration::from_secs(50)));
        assert_eq!(pace.admit(other, at(10)), Ok(()));
        assert_eq!(pace.admit(one, at(60)), Ok(()), "the first has rested");
        assert_eq!(pace.admit(one, at(60)), Err(Duration::from_secs(1)));
        pace.admit(other, at(1_000)).unwrap();
        assert_eq!(pace.0.lock().unwrap().len(), 1, "what has rested is forgotten");
    }
}
