//! The period of a run: whole days in UTC. Amazon is asked for a wider window around them.
//!
//! A card belongs to the day on which Amazon made it; our reward belongs also to the day of its proof. The two can lie
//! a day apart: when an answer was lost, a replay may prove the purchase up to 24 hours later, or buy the card only
//! then. So the window begins 25 hours before the period. It ends an hour after it, because a cancel follows its create
//! by 15 minutes at most. Records inside these margins are only looked up; the run of their own period judges them.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::kernel::calendar::is_storable;

/// Days of the longest period.
pub(crate) const DAYS_MAX: i64 = 366;

/// How long before the period a reward may have been bought that was proven in it: 24 hours of replays, and an hour for
/// clocks.
const BEFORE: TimeDelta = TimeDelta::hours(25);
/// How long after the period a card of it may be canceled.
const AFTER: TimeDelta = TimeDelta::hours(1);

/// Why a run cannot cover these days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPeriod {
    #[error("the last day lies before the first")]
    Reversed,
    #[error("a period has at most {DAYS_MAX} days")]
    TooLong,
    #[error("there is no such day")]
    OutOfRange,
    /// Amazon may not yet list everything that belongs to the last hour.
    #[error("the period is not over for an hour yet")]
    NotOver,
}

/// Whole days: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunPeriod {
    /// Midnight of the first day.
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

impl RunPeriod {
    /// From the first day to the last, both in it.
    pub(crate) fn days(first: NaiveDate, last: NaiveDate) -> Result<Self, BadPeriod> {
        if last < first {
            return Err(BadPeriod::Reversed);
        }
        if last.signed_duration_since(first).num_days() >= DAYS_MAX {
            return Err(BadPeriod::TooLong);
        }
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let after = last.succ_opt().ok_or(BadPeriod::OutOfRange)?;
        let period = Self { from: midnight(first), to: midnight(after) };
        let ends = period.asked().map(|window| [window.from, window.to].map(|at| at.date_naive()));
        ends.filter(|ends| ends.iter().all(|day| is_storable(*day))).map(|_ends| period).ok_or(BadPeriod::OutOfRange)
    }

    /// Refuses a period while something that Amazon would list of it can still happen.
    pub(crate) fn is_over(&self, now: DateTime<Utc>) -> Result<(), BadPeriod> {
        if self.asked().is_some_and(|window| window.to <= now) { Ok(()) } else { Err(BadPeriod::NotOver) }
    }

    pub(crate) fn holds(&self, at: DateTime<Utc>) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// The window that Amazon is asked for; `None` at the edge of the calendar.
    pub(crate) fn asked(&self) -> Option<Window> {
        Some(Window { from: self.from.checked_sub_signed(BEFORE)?, to: self.to.checked_add_signed(AFTER)? })
    }

    /// The window that a file covers at least: the period that its sender names, and the instants of its records.
    pub(crate) fn filed(&self, records: Option<(DateTime<Utc>, DateTime<Utc>)>) -> Window {
        let (first, last) = records.unwrap_or((self.from, self.to));
        Window { from: self.from.min(first), to: self.to.max(last) }
    }

    /// Its first and its last day.
    pub(crate) fn first_and_last(&self) -> (NaiveDate, NaiveDate) {
        let last = self.to.date_naive();
        (self.from.date_naive(), last.pred_opt().unwrap_or(last))
    }
}

/// The instants between which we have read everything that Amazon did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_is_whole_days_and_both_of_those_named_are_in_it() {
        let period = RunPeriod::days(day("2026-11-01"), day("2026-11-02")).unwrap();
        assert_eq!(
            (period.from.to_rfc3339(), period.to.to_rfc3339()),
            ("2026-11-01T00:00:00+00:00".to_owned(), "2026-11-03T00:00:00+00:00".to_owned())
        );
        assert!(period.holds(period.from) && !period.holds(period.to));
        assert_eq!(period.first_and_last(), (day("2026-11-01"), day("2026-11-02")));
        assert_eq!(RunPeriod::days(day("2026-11-02"), day("2026-11-01")), Err(BadPeriod::Reversed));
        assert_eq!(RunPeriod::days(day("2024-01-01"), day("2025-01-01")), Err(BadPeriod::TooLong));
        for edge in [
            NaiveDate::MIN,
            day("-0001-01-01"),
            day("0000-12-31"),
            day("0001-01-01"),
            day("9999-12-31"),
            NaiveDate::MAX,
        ] {
            assert_eq!(RunPeriod::days(edge, edge), Err(BadPeriod::OutOfRange), "{edge}");
        }
        assert!(RunPeriod::days(day("0001-01-03"), day("9998-12-31")).is_err_and(|bad| bad == BadPeriod::TooLong));
    }

    #[test]
    fn a_period_is_compared_an_hour_after_its_end() {
        let period = RunPeriod::days(day("2026-11-01"), day("2026-11-01")).unwrap();
        let over = period.to + TimeDelta::hours(1);
        assert_eq!(period.is_over(over), Ok(()));
        assert_eq!(period.is_over(over - TimeDelta::microseconds(1)), Err(BadPeriod::NotOver));
    }
}
