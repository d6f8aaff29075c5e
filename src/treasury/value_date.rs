//! The value date: when money that is ordered now is at Amazon. Banks count business days.
//!
//! A transfer that is ordered on one day arrives by the end of a later business day. Saturdays and Sundays do not
//! count. Holidays are not known here: an operator raises `funding_lead_days` before several of them.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

/// How long finance may take to order a transfer after the alarm.
pub(crate) const TIME_TO_ORDER: TimeDelta = TimeDelta::hours(12);

/// The instant by which money ordered at `ordered` has arrived: the end of the day that lies `business_days` after it,
/// by the clock of `zone`.
pub(crate) fn value_date(ordered: DateTime<Utc>, business_days: u32, zone: Tz) -> DateTime<Utc> {
    let mut day = ordered.with_timezone(&zone).date_naive();
    let mut left = business_days;
    while left > 0 {
        day = after(day);
        if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
            left = left.saturating_sub(1);
        }
    }
    let midnight = after(day).and_time(NaiveTime::MIN);
    // Where a clock change skips midnight, the day begins an hour later.
    let ends = midnight.and_local_timezone(zone).latest();
    let ends = ends.or_else(|| midnight.checked_add_signed(TimeDelta::hours(1))?.and_local_timezone(zone).latest());
    ends.map_or(ordered, |ends| ends.with_timezone(&Utc))
}

/// How long before the balance is used up the alarm must come: the time from now to the value date of a transfer that
/// is ordered at the end of [`TIME_TO_ORDER`].
pub(crate) fn funding_lead_time(now: DateTime<Utc>, business_days: u32, zone: Tz) -> TimeDelta {
    value_date(now.checked_add_signed(TIME_TO_ORDER).unwrap_or(now), business_days, zone).signed_duration_since(now)
}

fn after(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_of_the_bank_is_no_saturday_and_no_sunday_and_ends_at_midnight_there() {
        let tokyo = chrono_tz::Asia::Tokyo;
        for (ordered, days, there) in [
            // Thursday noon in Tokyo: by the end of Friday. Friday: by the end of Monday, as on Saturday and on Sunday.
            ("2026-11-19T03:00:00Z", 1, "2026-11-20T15:00:00Z"),
            ("2026-11-20T03:00:00Z", 1, "2026-11-23T15:00:00Z"),
            ("2026-11-21T03:00:00Z", 1, "2026-11-23T15:00:00Z"),
            ("2026-11-22T03:00:00Z", 1, "2026-11-23T15:00:00Z"),
            // Still Thursday in London, already Friday in Tokyo.
            ("2026-11-19T15:00:00Z", 1, "2026-11-23T15:00:00Z"),
            ("2026-11-19T03:00:00Z", 0, "2026-11-19T15:00:00Z"),
            ("2026-11-19T03:00:00Z", 6, "2026-11-27T15:00:00Z"),
        ] {
            assert_eq!(value_date(at(ordered), days, tokyo), at(there), "{ordered} + {days}");
        }
        // Where midnight is skipped (Cairo, a Friday in April).
        let cairo = value_date(at("2026-04-23T10:00:00Z"), 0, chrono_tz::Africa::Cairo);
        assert_eq!(cairo, at("2026-04-23T22:00:00Z"));
    }

    #[test]
    fn the_lead_leaves_time_to_react() {
        let tokyo = chrono_tz::Asia::Tokyo;
        assert_eq!(funding_lead_time(at("2026-11-19T02:00:00Z"), 1, tokyo), TimeDelta::hours(37));
        // From Thursday noon on a person may order on Friday only.
        assert_eq!(funding_lead_time(at("2026-11-19T03:00:00Z"), 1, tokyo), TimeDelta::hours(12 + 4 * 24));
    }
}
