//! When periods begin. Amazon Pay has no calendar: what recurs is charged when we say so.
//!
//! Periods are counted from an anchor, the day on which the first of them begins by the clock of the account's time zone. So whoever joins on
//! the 31st pays on the last day of shorter months, and on the 31st again where there is one. A count that begins anew on such a last day keeps in
//! mind which day is meant.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::{calendar::day_begins, word_methods};

/// What a period is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum SpanUnit {
    /// Months of the calendar.
    Months,
    /// Days of the calendar: one of them may have 23 or 25 hours.
    Days,
}
word_methods!(SpanUnit);

/// From which day periods are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeriodAnchor {
    /// The day on which the first of them begins.
    pub on: NaiveDate,
    /// The day of the month that is meant, where that one is the last of a month that has none of it.
    pub meant: Option<u32>,
}

impl From<NaiveDate> for PeriodAnchor {
    fn from(on: NaiveDate) -> Self {
        Self { on, meant: None }
    }
}

impl PeriodAnchor {
    /// The same day of the month, counted from this day on.
    #[must_use]
    pub fn moved_to(self, on: NaiveDate) -> Self {
        let meant = self.day_of_month();
        Self { on, meant: Some(meant).filter(|meant| *meant > on.day() && is_last(on)) }
    }

    /// A day that is meant says something of the last day of a month alone: a program that knows none of it moves the day, and leaves it.
    fn day_of_month(self) -> u32 {
        let day = self.on.day();
        self.meant.filter(|meant| *meant > day && is_last(self.on)).unwrap_or(day)
    }

    fn months_later(self, months: u32) -> Option<NaiveDate> {
        let first = self.on.with_day(1)?.checked_add_months(Months::new(months))?;
        // A month has 28 days at least.
        (28..=self.day_of_month()).rev().find_map(|day| first.with_day(day)).or_else(|| first.with_day(self.on.day()))
    }
}

fn is_last(day: NaiveDate) -> bool {
    day.succ_opt().is_none_or(|next| next.month() != day.month())
}

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeriodSpan {
    /// In what.
    pub unit: SpanUnit,
    /// How many.
    pub length: u32,
}

impl PeriodSpan {
    /// The day on which the period begins that follows so many others, counted from the anchor; `None` beyond what both databases keep.
    #[must_use]
    pub fn day_after(self, anchor: impl Into<PeriodAnchor>, periods: u32) -> Option<NaiveDate> {
        let (all, anchor) = (self.length.checked_mul(periods)?, anchor.into());
        match self.unit {
            SpanUnit::Months => anchor.months_later(all),
            SpanUnit::Days => anchor.on.checked_add_days(Days::new(u64::from(all))),
        }
        .filter(|day| crate::kernel::calendar::is_storable(*day))
    }

    /// The instant at which that day begins.
    #[must_use]
    pub fn begins_after(
        self,
        anchor: impl Into<PeriodAnchor>,
        periods: u32,
        zone: &impl TimeZone,
    ) -> Option<DateTime<Utc>> {
        day_begins(self.day_after(anchor, periods)?, zone)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    const MONTH: PeriodSpan = PeriodSpan { unit: SpanUnit::Months, length: 1 };

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_joins_on_the_31st_pays_on_the_last_day_and_on_the_31st_again() {
        let days = |anchor: &str, periods: std::ops::Range<u32>| {
            let of = |periods| MONTH.day_after(day(anchor), periods).unwrap().to_string();
            periods.map(of).collect::<Vec<_>>()
        };
        assert_eq!(days("2027-01-31", 0..4), ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]);
        assert_eq!(days("2028-01-31", 1..2), ["2028-02-29"]);
        assert_eq!(days("2028-01-30", 1..3), ["2028-02-29", "2028-03-30"]);
        let year = PeriodSpan { unit: SpanUnit::Months, length: 12 };
        let leap = |periods| year.day_after(day("2028-02-29"), periods).unwrap().to_string();
        assert_eq!([leap(1), leap(2), leap(4)], ["2029-02-28", "2030-02-28", "2032-02-29"]);
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_account_where_there_is_one() {
        let at = |zone: Tz, text: &str| MONTH.begins_after(day(text), 0, &zone).unwrap().to_rfc3339();
        assert_eq!(at(Tz::Asia__Tokyo, "2026-12-01"), "2026-11-30T15:00:00+00:00");
        assert_eq!(at(Tz::America__New_York, "2027-03-15"), "2027-03-15T04:00:00+00:00");
        assert_eq!(at(Tz::America__New_York, "2027-03-14"), "2027-03-14T05:00:00+00:00");
        // There is no midnight on this day: it begins at one.
        assert_eq!(at(Tz::America__Asuncion, "2023-10-01"), "2023-10-01T04:00:00+00:00");
    }

    #[test]
    fn a_count_that_begins_anew_on_the_last_day_of_a_month_keeps_the_day_that_is_meant() {
        let on_the_31st = PeriodAnchor::from(day("2027-01-31"));
        let anew = on_the_31st.moved_to(day("2027-02-28"));
        let of = |anchor: PeriodAnchor, periods| MONTH.day_after(anchor, periods).unwrap().to_string();
        assert_eq!([of(anew, 0), of(anew, 1), of(anew, 2)], ["2027-02-28", "2027-03-31", "2027-04-30"]);
        let once_more = anew.moved_to(day("2027-04-30"));
        assert_eq!((once_more.meant, of(once_more, 1)), (Some(31), "2027-05-31".to_owned()));
        assert_eq!(once_more.moved_to(day("2027-05-31")).meant, None, "a month that has it");
        let of_29 = PeriodAnchor::from(day("2027-01-29")).moved_to(day("2027-02-28"));
        assert_eq!((of_29.meant, of(of_29, 1)), (Some(29), "2027-03-29".to_owned()));
        // Of the 28th nothing is meant but the 28th.
        assert_eq!(PeriodAnchor::from(day("2027-01-28")).moved_to(day("2027-02-28")).meant, None);
        // A program that knows none of it has moved the day.
        assert_eq!(of(PeriodAnchor { on: day("2027-04-12"), meant: Some(31) }, 1), "2027-05-12");
        assert_eq!(on_the_31st.moved_to(day("2027-04-12")).meant, None);
    }

    #[test]
    fn what_no_database_keeps_is_no_day() {
        assert_eq!(MONTH.day_after(day("9999-12-31"), 1), None);
        assert_eq!(PeriodSpan { unit: SpanUnit::Days, length: u32::MAX }.day_after(day("2026-01-01"), 2), None);
    }

    fn zones() -> impl Strategy<Value = Tz> {
        prop_oneof![
            Just(Tz::Asia__Tokyo),
            Just(Tz::America__New_York),
            Just(Tz::Europe__London),
            Just(Tz::Australia__Lord_Howe),
            Just(Tz::America__Sao_Paulo),
        ]
    }

    proptest! {
        /// Against the calendar itself, month by month: the anchored day, or the last one of a month that is too short.
        #[test]
        fn the_nth_month_has_the_anchored_day_or_its_last(
            offset in 0_u64..40_000, length in 1_u32..37, periods in 0_u32..400,
        ) {
            let anchor = day("1995-01-01").checked_add_days(Days::new(offset)).unwrap();
            let found = PeriodSpan { unit: SpanUnit::Months, length }.day_after(anchor, periods).unwrap();
            let months = anchor.month0() + length * periods;
            let expected = (1..=anchor.day()).rev().find_map(|day| {
                NaiveDate::from_ymd_opt(anchor.year() + i32::try_from(months / 12).unwrap(), months % 12 + 1, day)
            });
            prop_assert_eq!(Some(found), expected);
        }

        /// Periods follow each other without a gap and never go back, and each begins on its own day by the account's clock.
        #[test]
        fn each_period_begins_on_its_day_and_ends_where_the_next_begins(
            zone in zones(), offset in 0_u64..20_000, length in 1_u32..40, months in any::<bool>(), periods in 0_u32..60,
        ) {
            let anchor = day("1999-06-01").checked_add_days(Days::new(offset)).unwrap();
            let unit = if months { SpanUnit::Months } else { SpanUnit::Days };
            let span = PeriodSpan { unit, length };
            let at = |number| span.begins_after(anchor, number, &zone).unwrap();
            let (begins, ends) = (at(periods), at(periods + 1));
            prop_assert!(begins < ends);
            prop_assert_eq!(begins.with_timezone(&zone).date_naive(), span.day_after(anchor, periods).unwrap());
            // The instant before is of the day before.
            let before = begins.checked_sub_signed(TimeDelta::seconds(1)).unwrap().with_timezone(&zone).date_naive();
            prop_assert!(before < span.day_after(anchor, periods).unwrap());
        }
    }
}
