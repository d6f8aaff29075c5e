//! Budgets as gauges, for dashboards and alerts: the money of whole programs, for the first programs by id.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{
    budget::Period,
    journal,
    metrics::{Budget, PROGRAMS_MAX},
    service::Ledger,
};
use crate::{
    events::outbox,
    kernel::Money,
    store::{Sql, StoreError, fetch_all, row, statements},
};

statements! {
    /// The limits in money of whole programs. A program without a limit is one row.
    LIMITS = Sql::same(
        "program_limits.watch",
        "SELECT p.id, p.account, l.span, l.hard FROM (SELECT id, account FROM programs ORDER BY id LIMIT $1) p \
         LEFT JOIN program_limits l ON l.program_id = p.id AND l.holder = 'all' AND l.unit = 'amount' \
         AND l.span <> 'reward'",
    );
    /// An account's day may be another date than ours, so the periods around now are read as well.
    USAGE = Sql::same(
        "budget_usage.watch",
        "WITH wanted (span, period) AS (VALUES ('day', $2), ('day', $3), ('day', $4), ('month', $5), ('month', $6), ('month', $7), \
         ('total', 'ever')) SELECT u.program_id, u.span, u.period, u.reserved_minor, u.used_minor \
         FROM (SELECT id FROM programs ORDER BY id LIMIT $1) p CROSS JOIN wanted CROSS JOIN budget_usage u \
         WHERE u.program_id = p.id AND u.holder = 'all' AND u.span = wanted.span AND u.period = wanted.period",
    );
}

row! {
    struct WatchedLimitRow { id: String, account: String, span: Option<String>, hard: Option<i64> }
}

row! {
    struct WatchedUsageRow { program_id: String, span: String, period: String, reserved_minor: i64, used_minor: i64 }
}

/// How many programs have gauges.
fn programs_max() -> i64 {
    i64::try_from(PROGRAMS_MAX).unwrap_or(i64::MAX)
}

/// The key of the period that includes today.
fn period_key(period: Period, today: NaiveDate) -> String {
    match period {
        Period::Day => today.to_string(),
        Period::Month => today.format("%Y-%m").to_string(),
        Period::Total => "ever".to_owned(),
    }
}

/// The dates that are today in some time zone.
fn days_around(now: DateTime<Utc>) -> [NaiveDate; 3] {
    let today = now.date_naive();
    let one = Days::new(1);
    [today.checked_sub_days(one).unwrap_or(today), today, today.checked_add_days(one).unwrap_or(today)]
}

impl Ledger {
    /// Sets the gauges of budgets, of what was moved and of feeds, from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let [yesterday, today, tomorrow] = days_around(now);
        let mut snapshot = self.store.snapshot().await?;
        let limits = fetch_all!(WatchedLimitRow, snapshot, LIMITS, programs_max())?;
        let usage = fetch_all!(
            WatchedUsageRow,
            snapshot,
            USAGE,
            programs_max(),
            period_key(Period::Day, yesterday),
            period_key(Period::Day, today),
            period_key(Period::Day, tomorrow),
            period_key(Period::Month, yesterday),
            period_key(Period::Month, today),
            period_key(Period::Month, tomorrow)
        )?;
        self.metrics.budgets(&self.budgets(&limits, &usage, now));
        self.publish_moved(&mut snapshot, now).await?;
        let held = [
            ("events", outbox::held_since(&mut snapshot).await?),
            ("ledger_entries", journal::held_since(&mut snapshot).await?),
        ];
        for (feed, since) in held {
            let waited = since.and_then(|since| now.signed_duration_since(since).to_std().ok());
            self.metrics.feed_held(feed, waited.unwrap_or_default());
        }
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.metrics.retract();
    }

    fn budgets(&self, limits: &[WatchedLimitRow], usage: &[WatchedUsageRow], now: DateTime<Utc>) -> Vec<Budget> {
        let usage: BTreeMap<_, _> =
            usage.iter().map(|row| ((row.program_id.as_str(), row.span.as_str(), row.period.as_str()), row)).collect();
        let programs: BTreeSet<_> = limits.iter().map(|row| (row.id.as_str(), row.account.as_str())).collect();
        let mut budgets = Vec::new();
        for (program, account) in programs {
            // A program whose account is not in the settings buys nothing.
            let Some(account) = self.account(account) else { continue };
            let today = now.with_timezone(&account.time_zone()).date_naive();
            let money = |minor| Money::from_minor(minor, account.currency());
            for period in Period::ALL {
                let (word, key) = (period.as_str(), period_key(*period, today));
                let used = usage.get(&(program, word, key.as_str()));
                let of_period = |row: &&WatchedLimitRow| row.id == program && row.span.as_deref() == Some(word);
                budgets.push(Budget {
                    program: program.to_owned(),
                    window: word,
                    limit: limits.iter().find(of_period).and_then(|row| row.hard).map(money),
                    used: money(used.map_or(0, |row| row.used_minor)),
                    reserved: money(used.map_or(0, |row| row.reserved_minor)),
                });
            }
        }
        budgets
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
