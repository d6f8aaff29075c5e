//! The rate limit: so many requests in any second for each partner, counted as they arrive.
//!
//! A refused request is not counted: who keeps knocking still gets his ten a second.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests a partner may make in any second, over all operations.
pub(super) const REQUESTS_PER_SECOND: usize = 10;
/// Of these, how many may ask for the balance.
pub(super) const FUNDS_REQUESTS_PER_SECOND: usize = 1;

const WINDOW: Duration = Duration::from_secs(1);

/// Sliding windows by partner.
pub(super) struct Throttle {
    enabled: AtomicBool,
    windows: Mutex<HashMap<String, Windows>>,
}

#[derive(Default)]
struct Windows {
    all: VecDeque<Instant>,
    funds: VecDeque<Instant>,
}

impl Throttle {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled: AtomicBool::new(enabled), windows: Mutex::default() }
    }

    pub(super) fn enabled(&self) -> bool {
        self.enabled.load(Ordering::SeqCst)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::SeqCst);
    }

    /// Whether a request that arrives now may pass. Counts it if so.
    pub(super) fn admits(&self, partner_id: &str, asks_for_funds: bool, now: Instant) -> bool {
        if !self.enabled() {
            return true;
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { all, funds } = windows.entry(partner_id.to_owned()).or_default();
        for window in [&mut *all, &mut *funds] {
            while window.front().is_some_and(|arrived| now.duration_since(*arrived) >= WINDOW) {
                window.pop_front();
            }
        }
        if all.len() >= REQUESTS_PER_SECOND || (asks_for_funds && funds.len() >= FUNDS_REQUESTS_PER_SECOND) {
            return false;
        }
        all.push_back(now);
        if asks_for_funds {
            funds.push_back(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;

    #[test]
    fn the_eleventh_request_in_any_second_is_refused_and_not_counted() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!((0..10).all(|index| throttle.admits("Awssb", false, at(index * 50))));
        assert!(!throttle.admits("Awssb", false, at(999)));
        assert!(throttle.admits("Other", false, at(999)), "another partner has a limit of its own");
        assert!(throttle.admits("Awssb", false, at(1_000)), "the first one has left the window");
        assert!(!throttle.admits("Awssb", false, at(1_049)));
    }

    #[test]
    fn the_balance_may_be_asked_for_once_a_second() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        assert!(throttle.admits("Awssb", true, start));
        assert!(!throttle.admits("Awssb", true, start + Duration::from_millis(999)));
        assert!(throttle.admits("Awssb", true, start + Duration::from_secs(1)));
    }
}
