//! The daily run: each day once over all replicas. The first replica begins it; a unique index refuses a second run.

use std::time::Duration;

use chrono::NaiveDate;
use futures_util::future::join_all;

use super::{BeginError, Reconciliations, RunRequest, period::RunPeriod, run::RunError};
use crate::{kernel::Chain, store::StoreError};

/// How often to check whether a day is due.
const LOOK: Duration = Duration::from_secs(60);

impl Reconciliations {
    /// Reconciles the days of all accounts until the process stops. An account whose report takes long holds up no other.
    pub(crate) async fn daily_until_stopped(&self) {
        join_all(self.deps.accounts.iter().map(|account| self.days_of(account.id()))).await;
    }

    async fn days_of(&self, account: &str) {
        let stopping = self.deps.tasks.stopping();
        while !stopping.is_cancelled() {
            if self.look(account).await {
                continue;
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Runs the account's next day, if one is due, and returns whether a run came to its end. The run itself logs its
    /// failure, and a day that failed rests.
    async fn look(&self, account: &str) -> bool {
        let ended = match self.due_day(account).await {
            Ok(Some(day)) => self.reconcile_day(account, day).await,
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        ended.unwrap_or_else(|error| {
            tracing::error!(account, error = %Chain(&error), "a day could not be reconciled");
            false
        })
    }

    async fn reconcile_day(&self, account: &str, day: NaiveDate) -> Result<bool, StoreError> {
        let Ok(period) = RunPeriod::days(day, day) else { return Ok(false) };
        let order = RunRequest { account: account.to_owned(), period, file: false, daily: true };
        match self.begin(&order).await {
            Ok(begun) => Ok(!matches!(self.run(begun, None).await, Err(RunError::Store(_)))),
            // Another replica or an operator was first, or a clock is behind: the next check decides.
            Err(BeginError::Running(_) | BeginError::Period(_) | BeginError::UnknownAccount) => Ok(false),
            Err(BeginError::Store(error)) => Err(error),
        }
    }
}
