//! Days, as callers write them and as both databases keep them.

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};

/// Whether both databases keep the day and its instants, and compare them in the right order: four digits are a year to them,
/// and there is no year 0.
#[must_use]
pub fn is_storable(day: NaiveDate) -> bool {
    (1..=9999).contains(&day.year())
}

/// A day as in 2026-11-01; `None` for anything else.
#[must_use]
pub fn day(text: &str) -> Option<NaiveDate> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    text.parse().ok().filter(|day| plain && is_storable(*day))
}

/// The first day of a month as in 2026-11; `None` for anything else.
#[must_use]
pub fn month(text: &str) -> Option<NaiveDate> {
    day(&format!("{text}-01"))
}

/// When a day begins by the clock of a zone.
#[must_use]
pub fn day_begins(day: NaiveDate, zone: &impl TimeZone) -> Option<DateTime<Utc>> {
    // Where daylight saving skips midnight, the day begins an hour later.
    let local = |hour| zone.from_local_datetime(&day.and_hms_opt(hour, 0, 0)?).earliest();
    local(0).or_else(|| local(1)).map(|begins| begins.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_seven_characters_of_the_years_1_to_9999() {
        for text in ["2026-11", "0001-01", "9999-12"] {
            assert_eq!(month(text).map(|day| day.to_string()), Some(format!("{text}-01")));
        }
        for text in
            ["2026-13", "2026-00", "2026-1", "2026-11-01", "2026", "", "2026/11", "0000-01", "-026-11", "2026-11 "]
        {
            assert_eq!(month(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_ten_characters_of_the_years_1_to_9999() {
        for text in ["2026-11-01", "0001-01-01", "9999-12-31", "2028-02-29"] {
            assert_eq!(day(text).map(|day| day.to_string()).as_deref(), Some(text));
        }
        for text in [
            "-0001-01-01",
            "0000-01-01",
            "+2026-11-01",
            "10000-01-01",
            "2026-1-1",
            "2026-02-29",
            "2026-11-1 ",
            "2026/11/01",
            "20261101",
            "",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
