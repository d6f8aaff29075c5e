//! Budgets as gauges, for dashboards and alerts: of whole programs, in money, of the first programs by id.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{
    budget::Span,
    metrics::{Budget, PROGRAMS_MAX},
    service::Books,
};
use crate::{
    accounts::Account,
    kernel::Money,
    store::{Sql, StoreError, fetch_all, row, statements},
};

statements! {
    /// The whole programs' limits in money; a program without one is there once.
    LIMITS = Sql::same(
        "program_limits.watch",
        "SELECT p.id, p.account, l.span, l.hard FROM (SELECT id, account FROM programs ORDER BY id LIMIT $1) p \
         LEFT JOIN program_limits l ON l.program_id = p.id AND l.holder = 'all' AND l.unit = 'amount' \
         AND l.span <> 'reward'",
    );
    /// Days and months begin when the account's do, so yesterday's and tomorrow's are read as well.
    USAGE = Sql::same(
        "budget_usage.watch",
        "SELECT u.program_id, u.span, u.period, u.reserved_minor, u.used_minor \
         FROM (SELECT id FROM programs ORDER BY id LIMIT $1) p \
         JOIN budget_usage u ON u.program_id = p.id AND u.holder = 'all' AND u.span IN ('day', 'month', 'total') \
         AND u.period IN ('ever', $2, $3, $4, $5, $6, $7)",
    );
}

row! {
    struct LimitRow { id: String, account: String, span: Option<String>, hard: Option<i64> }
}

row! {
    struct UsageRow { program_id: String, span: String, period: String, reserved_minor: i64, used_minor: i64 }
}

/// Programs that are shown: the rows of the first so many by id.
fn programs_max() -> i64 {
    i64::try_from(PROGRAMS_MAX).unwrap_or(i64::MAX)
}

/// Which day, month or ever is meant by a span today.
fn period(span: Span, today: NaiveDate) -> String {
    match span {
        Span::Day => today.to_string(),
        Span::Month => today.format("%Y-%m").to_string(),
        Span::Total => "ever".to_owned(),
    }
}

/// The dates that are today somewhere.
fn days_around(now: DateTime<Utc>) -> [NaiveDate; 3] {
    let today = now.date_naive();
    let one = Days::new(1);
    [today.checked_sub_days(one).unwrap_or(today), today, today.checked_add_days(one).unwrap_or(today)]
}

impl Books {
    /// Sets the gauges of budgets from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub async fn publish(&self) -> Result<(), StoreError> {
        let now = self.parts.ambient.now();
        let [yesterday, today, tomorrow] = days_around(now);
        let mut snapshot = self.parts.store.snapshot().await?;
        let limits = fetch_all!(LimitRow, snapshot, LIMITS, programs_max())?;
        let usage = fetch_all!(
            UsageRow,
            snapshot,
            USAGE,
            programs_max(),
            period(Span::Day, yesterday),
            period(Span::Day, today),
            period(Span::Day, tomorrow),
            period(Span::Month, yesterday),
            period(Span::Month, today),
            period(Span::Month, tomorrow)
        )?;
        self.parts.metrics.budgets(&self.budgets(&limits, &usage, now));
        Ok(())
    }

    fn budgets(&self, limits: &[LimitRow], usage: &[UsageRow], now: DateTime<Utc>) -> Vec<Budget> {
        let usage: BTreeMap<_, _> =
            usage.iter().map(|row| ((row.program_id.as_str(), row.span.as_str(), row.period.as_str()), row)).collect();
        let programs: BTreeSet<_> = limits.iter().map(|row| (row.id.as_str(), row.account.as_str())).collect();
        let mut budgets = Vec::new();
        for (program, account) in programs {
            // Without its account in the settings a program buys nothing.
            let Some(account) = self.account(account) else { continue };
            for span in Span::ALL {
                let today = now.with_timezone(&account.time_zone()).date_naive();
                let period = period(*span, today);
                let taken = usage.get(&(program, span.as_str(), period.as_str()));
                let of_span = |row: &&LimitRow| row.id == program && row.span.as_deref() == Some(span.as_str());
                let limit = limits.iter().find(of_span).and_then(|row| row.hard);
                budgets.push(budget(account, (program, *span), taken.copied(), limit));
            }
        }
        budgets
    }
}

fn budget(account: &Account, (program, span): (&str, Span), taken: Option<&UsageRow>, limit: Option<i64>) -> Budget {
    let money = |minor| Money::from_minor(minor, account.currency());
    Budget {
        program: program.to_owned(),
        window: span.as_str(),
        limit: limit.map(money),
        used: money(taken.map_or(0, |row| row.used_minor)),
        reserved: money(taken.map_or(0, |row| row.reserved_minor)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_local_date_is_one_of_those_that_are_read() {
        for hour in 0..48 {
            let now = "2026-12-30T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + chrono::TimeDelta::hours(hour);
            for zone in [chrono_tz::Pacific::Kiritimati, chrono_tz::Pacific::Pago_Pago, chrono_tz::UTC] {
                assert!(days_around(now).contains(&now.with_timezone(&zone).date_naive()), "{now} {zone}");
            }
        }
    }
}
