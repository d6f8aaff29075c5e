//! How far ahead an instant may lie that something waits for.
//!
//! A clock that was ahead (a node without a battery before NTP reached it, a server's fail-over) writes instants that lie
//! ahead of the true clock by as much. Whoever waits for such an instant waits as long as the clock was wrong. So every
//! instant that is waited for has a horizon: the farthest that anyone sets it ahead. An instant beyond the horizon is
//! stray, and counts as due.

use chrono::{DateTime, TimeDelta, Utc};

/// More than the clocks of two replicas may differ by, in microseconds. An instant beyond the farthest that anyone sets is
/// stray only when it lies farther than this beyond it.
pub const STRAY_US: i64 = 10_000_000;

/// The last instant that is waited for, where nobody sets one farther ahead than `farthest`. What lies beyond is stray.
#[must_use]
pub fn horizon(now: DateTime<Utc>, farthest: TimeDelta) -> DateTime<Utc> {
    let ahead = farthest.checked_add(&TimeDelta::microseconds(STRAY_US)).unwrap_or(farthest);
    now.checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Whether what waits for `at` is due: its instant has come, or is stray.
#[must_use]
pub fn is_due(at: DateTime<Utc>, now: DateTime<Utc>, farthest: TimeDelta) -> bool {
    at <= now || at > horizon(now, farthest)
}

/// Whether an instant that was written as the present one lies ahead of it. It says nothing: a clock that was ahead wrote it.
#[must_use]
pub fn is_stray(written: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    written > horizon(now, TimeDelta::zero())
}

/// How long something lasts that began at `since`. An instant ahead of now was written by a clock that was ahead, and then
/// nobody knows how long it lasts. What it lies ahead shows how wrong the clock was, and is reported instead: an alarm on
/// the age must not stay silent meanwhile.
#[must_use]
pub fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> TimeDelta {
    now.signed_duration_since(since).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_farthest_wait_is_due_and_what_lies_within_it_is_waited_for() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let farthest = TimeDelta::minutes(15);
        let ahead = |seconds| now + TimeDelta::seconds(seconds);
        for due in [-86_400, -1, 0, 911, 3_600, 86_400] {
            assert!(is_due(ahead(due), now, farthest), "{due}");
        }
        for waits in [1, 900, 905, 910] {
            assert!(!is_due(ahead(waits), now, farthest), "{waits}");
        }
        assert!(horizon(DateTime::<Utc>::MAX_UTC, farthest) >= now, "no wait overflows");
        assert!(is_stray(ahead(11), now) && !is_stray(ahead(10), now) && !is_stray(ahead(-86_400), now));
    }

    #[test]
    fn an_age_is_never_hidden_by_a_clock_that_was_ahead() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(age(now - TimeDelta::minutes(3), now), TimeDelta::minutes(3));
        assert_eq!(age(now + TimeDelta::hours(1), now), TimeDelta::hours(1));
    }
}
