//! The daily run: each day once over all replicas. The first replica begins it; a unique index refuses a second run.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Timelike, Utc};

use super::{BeginError, Reconciliations, RunRequest, period::RunPeriod, run::RunError, sql};
use crate::{kernel::Chain, store::StoreError};

/// How often to check whether a day is due.
const LOOK: Duration = Duration::from_secs(60);
/// The pause after a failed run of a day.
const REST: TimeDelta = TimeDelta::hours(1);
/// How many days back a missed day is still reconciled.
const CATCH_UP_DAYS: u64 = 7;

impl Reconciliations {
    /// Reconciles each account's days until the process stops. From this hour (UTC) on, the day before is due.
    pub(crate) async fn daily_until_stopped(&self, hour: u32) {
        let stopping = self.deps.tasks.stopping();
        while !stopping.is_cancelled() {
            for account in self.deps.accounts.iter() {
                self.look(account.id(), hour).await;
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Reconciles the account's next day, if one is due. The run itself logs its failure.
    async fn look(&self, account: &str, hour: u32) {
        let ended = match self.due_day(account, hour).await {
            Ok(Some(day)) => self.reconcile_day(account, day).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(account, error = %Chain(&error), "a day could not be reconciled");
        }
    }

    async fn reconcile_day(&self, account: &str, day: NaiveDate) -> Result<(), StoreError> {
        let Ok(period) = RunPeriod::days(day, day) else { return Ok(()) };
        let order = RunRequest { account: account.to_owned(), period, file: false, daily: true };
        match self.begin(&order).await {
            Ok(begun) => {
                drop(self.run(begun, None).await);
                Ok(())
            }
            // Another replica or an operator was first, or a clock is behind: the next check decides.
            Err(BeginError::Running(_) | BeginError::Period(_) | BeginError::UnknownAccount) => Ok(()),
            Err(BeginError::Store(error)) => Err(error),
        }
    }

    /// The first day that is not reconciled: yesterday, or the day after the newest reconciled period if the service
    /// was down for some days.
    async fn due_day(&self, account: &str, hour: u32) -> Result<Option<NaiveDate>, StoreError> {
        let now = self.deps.ambient.now();
        let Some(yesterday) = yesterday(now, hour) else { return Ok(None) };
        let mut snapshot = self.deps.store.snapshot().await?;
        let newest = sql::newest(&mut snapshot, account).await?;
        let next = newest.map_or(yesterday, |run| run.period.to.date_naive());
        let earliest = yesterday.checked_sub_days(Days::new(CATCH_UP_DAYS)).unwrap_or(yesterday);
        let day = next.max(earliest);
        if day > yesterday {
            return Ok(None);
        }
        let Ok(period) = RunPeriod::days(day, day) else { return Ok(None) };
        let failed = sql::last_failed(&mut snapshot, account, period.from).await?;
        // A run that a stop interrupted may be repeated at once.
        let failed = failed.filter(|run| run.failure.as_deref() != Some(RunError::Interrupted.word()));
        let rests_until = failed.and_then(|run| run.ended_at?.checked_add_signed(REST));
        Ok(Some(day).filter(|_day| rests_until.is_none_or(|until| until <= now)))
    }
}

/// The day before, once the hour has come.
fn yesterday(now: DateTime<Utc>, hour: u32) -> Option<NaiveDate> {
    now.date_naive().pred_opt().filter(|_day| now.hour() >= hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_before_is_due_from_its_hour_on() {
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(yesterday(at("2026-11-02T05:59:59Z"), 6), None);
        assert_eq!(yesterday(at("2026-11-02T06:00:00Z"), 6), Some("2026-11-01".parse().unwrap()));
        assert_eq!(yesterday(at("2026-11-02T23:59:59Z"), 6), Some("2026-11-01".parse().unwrap()));
    }
}
