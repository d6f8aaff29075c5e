//! What is compared: whole days in UTC, and how far around them Amazon is asked.
//!
//! A card belongs to the day on which Amazon made it; a reward of ours also to the day on which it was proven. The two can
//! lie a day apart: a replay may prove up to 24 hours later what a lost answer had bought, or buy it only then. So Amazon
//! is asked from 25 hours before the period, and until an hour after it, for a cancel follows its create by 15 minutes at
//! most. Inside these margins Amazon's records are looked up and never judged: each is judged in its own period.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Days of the longest period.
pub const DAYS_MAX: i64 = 366;

/// A reward proven in the period may have been bought so long before it: 24 hours of replays, and an hour for clocks.
const BEFORE: TimeDelta = TimeDelta::hours(25);
/// A card of the period may be canceled so long after it.
const AFTER: TimeDelta = TimeDelta::hours(1);

/// Why days make no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPeriod {
    /// The last day lies before the first.
    #[error("the last day lies before the first")]
    Reversed,
    /// Too long.
    #[error("a period has at most {DAYS_MAX} days")]
    TooLong,
    /// The days of a calendar far away.
    #[error("there is no such day")]
    OutOfRange,
    /// Rewards of its last hour may still be on their way.
    #[error("the period is not over for an hour yet")]
    NotOver,
}

/// Whole days: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Midnight of the first day.
    pub from: DateTime<Utc>,
    /// Midnight after the last day.
    pub to: DateTime<Utc>,
}

impl Period {
    /// From the first day to the last, both in it.
    ///
    /// # Errors
    /// [`BadPeriod`].
    pub fn days(first: NaiveDate, last: NaiveDate) -> Result<Self, BadPeriod> {
        if last < first {
            return Err(BadPeriod::Reversed);
        }
        if last.signed_duration_since(first).num_days() >= DAYS_MAX {
            return Err(BadPeriod::TooLong);
        }
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let after = last.succ_opt().ok_or(BadPeriod::OutOfRange)?;
        let period = Self { from: midnight(first), to: midnight(after) };
        period.asked().map(|_window| period).ok_or(BadPeriod::OutOfRange)
    }

    /// Whether everything that Amazon is to list of it has happened.
    ///
    /// # Errors
    /// [`BadPeriod::NotOver`].
    pub fn is_over(&self, now: DateTime<Utc>) -> Result<(), BadPeriod> {
        if self.asked().is_some_and(|window| window.to <= now) { Ok(()) } else { Err(BadPeriod::NotOver) }
    }

    /// Whether an instant lies in it.
    #[must_use]
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// What Amazon is asked for.
    #[must_use]
    pub fn asked(&self) -> Option<Window> {
        Some(Window { from: self.from.checked_sub_signed(BEFORE)?, to: self.to.checked_add_signed(AFTER)? })
    }

    /// What a file covers at least, that names the period and has records from the one instant to the other.
    #[must_use]
    pub fn filed(&self, records: Option<(DateTime<Utc>, DateTime<Utc>)>) -> Window {
        let (first, last) = records.unwrap_or((self.from, self.to));
        Window { from: self.from.min(first), to: self.to.max(last) }
    }

    /// Its first and its last day.
    #[must_use]
    pub fn first_and_last(&self) -> (NaiveDate, NaiveDate) {
        let last = self.to.date_naive();
        (self.from.date_naive(), last.pred_opt().unwrap_or(last))
    }
}

/// The instants between which everything that Amazon did is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From here on.
    pub from: DateTime<Utc>,
    /// Until here.
    pub to: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_is_whole_days_and_both_of_those_named_are_in_it() {
        let period = Period::days(day("2026-11-01"), day("2026-11-02")).unwrap();
        assert_eq!(
            (period.from.to_rfc3339(), period.to.to_rfc3339()),
            ("2026-11-01T00:00:00+00:00".to_owned(), "2026-11-03T00:00:00+00:00".to_owned())
        );
        assert!(period.holds(period.from) && !period.holds(period.to));
        assert_eq!(period.first_and_last(), (day("2026-11-01"), day("2026-11-02")));
        assert_eq!(Period::days(day("2026-11-02"), day("2026-11-01")), Err(BadPeriod::Reversed));
        assert_eq!(Period::days(day("2024-01-01"), day("2025-01-01")), Err(BadPeriod::TooLong));
        assert_eq!(Period::days(NaiveDate::MAX, NaiveDate::MAX), Err(BadPeriod::OutOfRange));
    }

    #[test]
    fn a_period_is_compared_an_hour_after_its_end() {
        let period = Period::days(day("2026-11-01"), day("2026-11-01")).unwrap();
        let over = period.to + TimeDelta::hours(1);
        assert_eq!(period.is_over(over), Ok(()));
        assert_eq!(period.is_over(over - TimeDelta::microseconds(1)), Err(BadPeriod::NotOver));
    }
}
