//! The rate of each operation, as Amazon publishes it for its sandbox: a bucket of two that refills by one in two seconds, and of five
//! that refills by one a second for what only reads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::action::MwsAction;

/// What is left, by seller and operation, and until when that was counted.
#[derive(Default)]
pub(super) struct Rates {
    left: Mutex<HashMap<(String, MwsAction), (u32, Instant)>>,
}

/// How much a full bucket has, and how long it takes to get one more.
fn rate(action: MwsAction) -> (u32, Duration) {
    if action == MwsAction::GetServiceStatus {
        (2, Duration::from_secs(300))
    } else if action.reads() {
        (5, Duration::from_secs(1))
    } else {
        (2, Duration::from_secs(2))
    }
}

impl Rates {
    /// Whether a request that arrives now may pass. Counts it if so.
    pub(super) fn admits(&self, seller_id: &str, action: MwsAction, now: Instant) -> bool {
        let (size, refill) = rate(action);
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, counted) = all.entry((seller_id.to_owned(), action)).or_insert((size, now));
        while *left < size && now.saturating_duration_since(*counted) >= refill {
            *left = left.saturating_add(1);
            *counted = counted.checked_add(refill).unwrap_or(now);
        }
        if *left == size {
            *counted = now;
        }
        let passes = *left > 0;
        *left = left.saturating_sub(1);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;

    #[test]
    fn each_operation_has_the_burst_and_the_refill_of_the_guide() {
        let (rates, start) = (Rates::default(), Clock::monotonic());
        let asks = |action, milliseconds| rates.admits("A1", action, start + Duration::from_millis(milliseconds));
        let money = [0, 1, 2, 1_999, 2_000, 2_001, 3_999, 4_000];
        let passed = money.map(|at| asks(MwsAction::Authorize, at));
        assert_eq!(passed, [true, true, false, false, true, false, false, true]);
        assert_eq!((0..6).filter(|_| asks(MwsAction::GetCaptureDetails, 0)).count(), 5);
        assert!(asks(MwsAction::GetCaptureDetails, 1_000) && !asks(MwsAction::GetCaptureDetails, 1_001));
        assert_eq!((0..3).filter(|_| asks(MwsAction::GetServiceStatus, 0)).count(), 2);
        assert!(!asks(MwsAction::GetServiceStatus, 299_999) && asks(MwsAction::GetServiceStatus, 300_000));
        assert!(rates.admits("A2", MwsAction::Authorize, start), "and so has each seller");
    }
}
