//! What was issued and given back in the windows that finance looks at: the last hour, today, this month and the last one. Days
//! and months are those of the account's time zone. All of it is read from the ledger, so it is right to the cent from the first
//! reward on, and every replica reports the same.
//!
//! Whole hours up to the mark are counted already (`totals`), and what came after the mark is added up. A window may begin or end
//! within an hour of UTC: what lies in such a part of an hour is read entry by entry.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{service::Ledger, totals::LedgerKey};
use crate::{
    kernel::{Money, calendar::day_begins, word_methods},
    store::{Snapshot, Sql, StoreError, fetch_optional, row, statements},
};

/// A sum over the hours from one parameter up to another, which is not included.
macro_rules! sum_of_hours {
    ($column:literal, $from:literal, $to:literal, $name:literal) => {
        concat!(
            "CAST(COALESCE(SUM(",
            $column,
            ") FILTER (WHERE hour >= ",
            $from,
            " AND hour < ",
            $to,
            "), 0) AS BIGINT) AS ",
            $name
        )
    };
}

/// The text of `WHOLE_HOURS`, with how the database counts an entry's hour. Behind the mark nothing selects by kind or time: a
/// database that chose an index of these would read the whole month.
macro_rules! whole_hours {
    ($hour:literal) => {
        concat!(
            "SELECT ",
            sum_of_hours!("issued_minor", "$3", "$4", "day_issued"),
            ", ",
            sum_of_hours!("canceled_minor", "$3", "$4", "day_canceled"),
            ", ",
            sum_of_hours!("issued_minor", "$5", "$6", "month_issued"),
            ", ",
            sum_of_hours!("canceled_minor", "$5", "$6", "month_canceled"),
            ", ",
            sum_of_hours!("issued_minor", "$7", "$8", "last_month_issued"),
            ", ",
            sum_of_hours!("canceled_minor", "$7", "$8", "last_month_canceled"),
            " FROM (SELECT hour, issued_minor, canceled_minor FROM hourly_spending \
             WHERE account = $1 AND currency = $2 AND hour >= $7 \
             UNION ALL SELECT ",
            $hour,
            ", CASE WHEN kind = 'issued' THEN amount_minor ELSE 0 END, \
             CASE WHEN kind = 'canceled' THEN amount_minor ELSE 0 END FROM ledger_entries \
             WHERE account = $1 AND currency = $2 AND id > COALESCE((SELECT through_id FROM ledger_marks \
             WHERE account = $1 AND currency = $2), 0)) AS moved"
        )
    };
}

statements! {
    /// One statement, because two would read two marks.
    WHOLE_HOURS = Sql::each(
        "hourly_spending.moved",
        whole_hours!("unixepoch(at) / 3600"),
        whole_hours!("CAST(FLOOR(EXTRACT(EPOCH FROM at) / 3600) AS BIGINT)"),
    );
    /// Whether they are counted already does not matter here.
    BETWEEN = Sql::same(
        "ledger_entries.moved",
        "SELECT CAST(COALESCE(SUM(CASE WHEN kind = 'issued' THEN amount_minor END), 0) AS BIGINT) AS issued_minor, \
         CAST(COALESCE(SUM(CASE WHEN kind = 'canceled' THEN amount_minor END), 0) AS BIGINT) AS canceled_minor, \
         CAST(COALESCE(SUM(CASE WHEN kind = 'released' THEN amount_minor END), 0) AS BIGINT) AS released_minor \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND kind IN ('issued', 'canceled', 'released') \
         AND at >= $3 AND at < $4",
    );
}

row! {
    struct WholeHoursRow {
        day_issued: i64, day_canceled: i64, month_issued: i64, month_canceled: i64, last_month_issued: i64,
        last_month_canceled: i64,
    }
}

row! {
    struct MovedRow { issued_minor: i64, canceled_minor: i64, released_minor: i64 }
}

/// The windows, by the words of their label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MovedWindow {
    /// The sixty minutes before now.
    Hour,
    /// The account's day that includes now.
    Day,
    /// The account's month that includes now.
    Month,
    /// The month before.
    LastMonth,
}
word_methods!(MovedWindow);

/// What was moved in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) window: MovedWindow,
    pub(super) issued: Money,
    pub(super) canceled: Money,
    /// What was reserved and bought nothing. It is known of the last hour alone.
    pub(super) released: Option<Money>,
}

/// From an instant up to another, which is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// Seconds of an hour, which both databases count from 1970 on.
pub(super) const HOUR: i64 = 3600;

impl Stretch {
    /// The first whole hour, and the one that follows the last.
    fn hours(self) -> (i64, i64) {
        let from = self.from.timestamp();
        let begun = from.div_euclid(HOUR);
        let first = if from.rem_euclid(HOUR) == 0 { begun } else { begun.saturating_add(1) };
        (first, self.to.timestamp().div_euclid(HOUR))
    }

    /// What lies before the first whole hour, and after the last one. Where clocks differ from UTC by whole hours there is none.
    fn odd_parts(self) -> impl Iterator<Item = Self> {
        let at = |hour: i64| DateTime::from_timestamp(hour.saturating_mul(HOUR), 0);
        let (first, end) = self.hours();
        let before = at(first).map(|to| Self { from: self.from, to });
        let after = at(end).map(|from| Self { from, to: self.to });
        [before, after].into_iter().flatten().filter(|part| part.from < part.to)
    }
}

/// The windows of the calendar.
#[derive(Debug, Clone, Copy)]
struct CalendarWindows {
    day: Stretch,
    month: Stretch,
    last_month: Stretch,
}

impl CalendarWindows {
    /// Those that include this day; `None` where the calendar ends.
    fn of(today: NaiveDate, zone: &impl TimeZone) -> Option<Self> {
        let one = Months::new(1);
        let month = today.with_day(1)?;
        let stretch = |from, to| Some(Stretch { from: day_begins(from, zone)?, to: day_begins(to, zone)? });
        Some(Self {
            day: stretch(today, today.checked_add_days(Days::new(1))?)?,
            month: stretch(month, month.checked_add_months(one)?)?,
            last_month: stretch(month.checked_sub_months(one)?, month)?,
        })
    }
}

async fn between(snapshot: &mut Snapshot, key: LedgerKey<'_>, stretch: Stretch) -> Result<MovedRow, StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let row = fetch_optional!(MovedRow, snapshot, BETWEEN, account, currency, stretch.from, stretch.to)?;
    Ok(row.unwrap_or(MovedRow { issued_minor: 0, canceled_minor: 0, released_minor: 0 }))
}

/// What was moved in an account's day, month and last month.
async fn by_calendar(
    snapshot: &mut Snapshot,
    key: LedgerKey<'_>,
    windows: CalendarWindows,
) -> Result<Vec<Moved>, StoreError> {
    let CalendarWindows { day, month, last_month } = windows;
    let [of_day, of_month, of_last_month] = [day, month, last_month].map(Stretch::hours);
    let row = fetch_optional!(
        WholeHoursRow,
        snapshot,
        WHOLE_HOURS,
        key.account,
        key.currency.code(),
        of_day.0,
        of_day.1,
        of_month.0,
        of_month.1,
        of_last_month.0,
        of_last_month.1
    )?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (window, stretch, mut issued, mut canceled) in [
        (MovedWindow::Day, day, row.day_issued, row.day_canceled),
        (MovedWindow::Month, month, row.month_issued, row.month_canceled),
        (MovedWindow::LastMonth, last_month, row.last_month_issued, row.last_month_canceled),
    ] {
        for part in stretch.odd_parts() {
            let more = between(snapshot, key, part).await?;
            issued = issued.saturating_add(more.issued_minor);
            canceled = canceled.saturating_add(more.canceled_minor);
        }
        let money = |minor| Money::from_minor(minor, key.currency);
        all.push(Moved { window, issued: money(issued), canceled: money(canceled), released: None });
    }
    Ok(all)
}

async fn in_the_last_hour(
    snapshot: &mut Snapshot,
    key: LedgerKey<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, StoreError> {
    // Another replica's clock may be ahead of ours.
    let hour = TimeDelta::seconds(HOUR);
    let (Some(from), Some(to)) = (now.checked_sub_signed(hour), now.checked_add_signed(hour)) else { return Ok(None) };
    let row = between(snapshot, key, Stretch { from, to }).await?;
    let money = |minor| Money::from_minor(minor, key.currency);
    Ok(Some(Moved {
        window: MovedWindow::Hour,
        issued: money(row.issued_minor),
        canceled: money(row.canceled_minor),
        released: Some(money(row.released_minor)),
    }))
}

impl Ledger {
    /// Sets the gauges of what was moved, from the database.
    pub(super) async fn publish_moved(&self, snapshot: &mut Snapshot, now: DateTime<Utc>) -> Result<(), StoreError> {
        for account in self.accounts.iter() {
            let (key, zone) = (LedgerKey::of(account), account.time_zone());
            let mut all: Vec<_> = in_the_last_hour(snapshot, key, now).await?.into_iter().collect();
            if let Some(windows) = CalendarWindows::of(now.with_timezone(&zone).date_naive(), &zone) {
                all.extend(by_calendar(snapshot, key, windows).await?);
            }
            self.metrics.moved(account.id(), &all);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_begins_at_the_accounts_midnight_whatever_its_clock_does() {
        for (zone, day, month, last) in [
            // On 1 November daylight saving ends in Newfoundland, half an hour off.
            (chrono_tz::America::St_Johns, "2026-11-27", "2026-11-01T02:30:00Z", "2026-10-01T02:30:00Z"),
            (chrono_tz::America::St_Johns, "2026-12-01", "2026-12-01T03:30:00Z", "2026-11-01T02:30:00Z"),
            // Lord Howe Island's clock goes half an hour ahead in October.
            (chrono_tz::Australia::Lord_Howe, "2026-11-27", "2026-10-31T13:00:00Z", "2026-09-30T13:30:00Z"),
            (chrono_tz::Asia::Kathmandu, "2026-03-01", "2026-02-28T18:15:00Z", "2026-01-31T18:15:00Z"),
            (chrono_tz::Europe::London, "2026-01-31", "2026-01-01T00:00:00Z", "2025-12-01T00:00:00Z"),
            // Midnight of 1 October 2017 is skipped there.
            (chrono_tz::America::Asuncion, "2017-10-02", "2017-10-01T04:00:00Z", "2017-09-01T04:00:00Z"),
        ] {
            let CalendarWindows { month: this, last_month: before, .. } =
                CalendarWindows::of(day.parse().unwrap(), &zone).unwrap();
            assert_eq!((this.from, before.from, before.to), (at(month), at(last), at(month)), "{zone} {day}");
        }
    }

    proptest! {
        #[test]
        fn an_instant_is_in_the_window_of_its_local_date_and_each_second_in_one_part(
            now in 1_500_000_000_i64..1_900_000_000,
            away in -70 * 86_400_i64..40 * 86_400,
            zone in prop::sample::select(vec![
                chrono_tz::UTC, chrono_tz::America::St_Johns, chrono_tz::Australia::Lord_Howe, chrono_tz::Asia::Kathmandu,
                chrono_tz::Asia::Kolkata, chrono_tz::America::New_York, chrono_tz::Pacific::Chatham, chrono_tz::America::Havana,
            ]),
        ) {
            let date = |seconds| DateTime::from_timestamp(seconds, 0).unwrap().with_timezone::<Tz>(&zone).date_naive();
            let (today, day) = (date(now), date(now + away));
            let months = |date: NaiveDate| date.year() * 12 + i32::try_from(date.month()).unwrap();
            let CalendarWindows { day: one, month, last_month } = CalendarWindows::of(today, &zone).unwrap();
            for (window, stretch, expected) in [
                ("day", one, day == today),
                ("month", month, months(day) == months(today)),
                ("last month", last_month, months(day) == months(today) - 1),
            ] {
                let at = DateTime::from_timestamp(now + away, 0).unwrap();
                prop_assert_eq!(stretch.from <= at && at < stretch.to, expected, "{} {} {}", zone, window, at);
                let (first, end) = stretch.hours();
                let whole = usize::from((first..end).contains(&(at.timestamp().div_euclid(HOUR))));
                let odd = stretch.odd_parts().filter(|part| part.from <= at && at < part.to).count();
                prop_assert_eq!(whole + odd, usize::from(expected), "{} {} {}", zone, window, at);
            }
        }
    }
}
