//! The rate limit: the requests of each partner in any second, counted as they arrive.
//!
//! A refused request is not counted. A partner who sends too many still gets ten a second through.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::NaiveDate;

use super::PartnerAccount;
use super::fault::Operation;

/// Requests a partner may make in any second, over all operations, where its terms say nothing else.
pub(super) const REQUESTS_PER_SECOND: usize = 10;
/// Of these, how many may ask for the balance.
pub(super) const FUNDS_REQUESTS_PER_SECOND: usize = 1;
/// Of all, how many may ask for a page of the activity report in any minute.
pub(super) const ACTIVITY_REQUESTS_PER_MINUTE: usize = 1;

const WINDOW: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Sliding windows by partner.
pub(super) struct Throttle {
    enabled: AtomicBool,
    windows: Mutex<HashMap<String, Windows>>,
}

#[derive(Default)]
struct Windows {
    all: VecDeque<Instant>,
    funds: VecDeque<Instant>,
    activity: VecDeque<Instant>,
    of_day: DayCount,
}

/// The requests of a day.
#[derive(Default)]
struct DayCount {
    day: NaiveDate,
    count: usize,
}

/// When a request arrives: the rate is of the true time, the day is the sandbox clock's, which can be moved.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub(super) at: Instant,
    pub(super) day: NaiveDate,
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
    pub(super) fn admits(&self, account: &PartnerAccount, operation: Operation, arrived: Arrived) -> bool {
        if !self.enabled() {
            return true;
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Arrived { at: now, day } = arrived;
        let Windows { all, funds, activity, of_day } = windows.entry(account.partner_id.clone()).or_default();
        if of_day.day != day {
            *of_day = DayCount { day, count: 0 };
        }
        if account.terms.requests_per_day.is_some_and(|most| of_day.count >= most) {
            return false;
        }
        let of_all = account.terms.requests_per_second.unwrap_or(REQUESTS_PER_SECOND);
        let of_its_own = match operation {
            Operation::CreateGiftCard
            | Operation::CancelGiftCard
            | Operation::OfKind(_)
            | Operation::TokenInfo
            | Operation::UserProfile
            | Operation::Pay(_)
            | Operation::Mws(_) => None,
            Operation::GetAvailableFunds => Some((funds, WINDOW, FUNDS_REQUESTS_PER_SECOND)),
            Operation::GetGiftCardActivityPage => Some((activity, MINUTE, ACTIVITY_REQUESTS_PER_MINUTE)),
        };
        let mut counted = [Some((all, WINDOW, of_all)), of_its_own];
        for (window, span, most) in counted.iter_mut().flatten() {
            while window.front().is_some_and(|arrived| now.duration_since(*arrived) >= *span) {
                window.pop_front();
            }
            if window.len() >= *most {
                return false;
            }
        }
        counted.into_iter().flatten().for_each(|(window, ..)| window.push_back(now));
        of_day.count = of_day.count.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;

    fn arrived(at: Instant) -> Arrived {
        Arrived { at, day: NaiveDate::default() }
    }

    fn partner(partner_id: &str) -> PartnerAccount {
        PartnerAccount { partner_id: partner_id.to_owned(), ..PartnerAccount::default() }
    }

    #[test]
    fn a_partner_has_the_rate_of_its_contract() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        let mut partner = partner("Awssb");
        partner.terms.requests_per_second = Some(2);
        let admitted =
            (0..4).map(|_| throttle.admits(&partner, Operation::CreateGiftCard, arrived(start))).collect::<Vec<_>>();
        assert_eq!(admitted, [true, true, false, false]);
    }

    #[test]
    fn the_eleventh_request_in_any_second_is_refused_and_not_counted() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        let at = |milliseconds| arrived(start + Duration::from_millis(milliseconds));
        assert!((0..10).all(|index| throttle.admits(&partner("Awssb"), Operation::CreateGiftCard, at(index * 50))));
        assert!(!throttle.admits(&partner("Awssb"), Operation::CreateGiftCard, at(999)));
        assert!(
            throttle.admits(&partner("Other"), Operation::CreateGiftCard, at(999)),
            "another partner has a limit of its own"
        );
        assert!(
            throttle.admits(&partner("Awssb"), Operation::CreateGiftCard, at(1_000)),
            "the first one has left the window"
        );
        assert!(!throttle.admits(&partner("Awssb"), Operation::CreateGiftCard, at(1_049)));
    }

    #[test]
    fn the_balance_may_be_asked_for_once_a_second() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        assert!(throttle.admits(&partner("Awssb"), Operation::GetAvailableFunds, arrived(start)));
        assert!(!throttle.admits(
            &partner("Awssb"),
            Operation::GetAvailableFunds,
            arrived(start + Duration::from_millis(999))
        ));
        assert!(throttle.admits(
            &partner("Awssb"),
            Operation::GetAvailableFunds,
            arrived(start + Duration::from_secs(1))
        ));
    }

    #[test]
    fn a_page_of_the_activity_report_may_be_asked_for_once_a_minute() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        let page = |at| throttle.admits(&partner("Awssb"), Operation::GetGiftCardActivityPage, arrived(at));
        assert!(page(start));
        assert!(!page(start + Duration::from_millis(59_999)));
        assert!(throttle.admits(
            &partner("Awssb"),
            Operation::CreateGiftCard,
            arrived(start + Duration::from_secs(30))
        ));
        assert!(page(start + Duration::from_secs(60)));
    }

    #[test]
    fn a_partner_has_the_quota_of_its_day_and_on_the_next_day_another() {
        let (throttle, start) = (Throttle::new(true), Clock::monotonic());
        let mut partner = partner("Awssb");
        partner.terms.requests_per_day = Some(3);
        let day = NaiveDate::default();
        let ask = |seconds, day| {
            let arrived = Arrived { at: start + Duration::from_secs(seconds), day };
            throttle.admits(&partner, Operation::CreateGiftCard, arrived)
        };
        assert_eq!([0, 10, 20, 30].map(|seconds| ask(seconds, day)), [true, true, true, false]);
        let next = day.succ_opt().unwrap();
        assert_eq!([40, 50, 60, 70].map(|seconds| ask(seconds, next)), [true, true, true, false]);
    }
}
