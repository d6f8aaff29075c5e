//! Reconciliation compares Amazon's activity report, or a file of its portal, with our rewards, id by id. It is the
//! second witness: only it can find a card that we do not know, or a card that Amazon does not have.
//!
//! Nothing is corrected silently: differences are written down, and an operator decides. One case makes a row: a card
//! that only Amazon knows, under an id that can only have come from us. The row waits for an operator, or for the
//! caller who bought the card (`incentives::orphans`). Pages go into a table and are compared in steps, so that neither
//! side has to fit into memory.

pub(crate) mod amount;
pub(crate) mod balance_check;
pub mod compare;
pub(crate) mod csv;
mod daily;
pub mod days;
pub(crate) mod fetch;
pub mod findings;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gap;
pub(crate) mod http;
pub mod join;
pub mod model;
pub(crate) mod period;
pub(crate) mod report;
pub(crate) mod run;
pub mod sql;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::NaiveDate;
use uuid::Uuid;

use self::{
    csv::preview::{Preview, PreviewReport},
    model::{Item, Reconciliation, RunState, Tally},
    period::{BadPeriod, RunPeriod},
    run::{Chunk, PortalFile, Run, RunError},
};
use super::Metrics;
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    identity::OwnedBy,
    kernel::{Chain, ReconciliationId, horizon::is_stray},
    lifecycle::Tasks,
    store::{Store, StoreError},
};

/// Compares Amazon's report with our rewards, and keeps and shows what was found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reconciliations {
    deps: Arc<ReconciliationDependencies>,
}

/// What [`Reconciliations`] works with.
pub(crate) struct ReconciliationDependencies {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: Tasks,
    /// The time between two pages of the report, over all replicas.
    pub(crate) page_spacing: Duration,
    /// From this hour (UTC) on, the day before is due.
    pub(crate) hour: u32,
}

/// What to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRequest {
    pub(crate) account: String,
    pub(crate) period: RunPeriod,
    /// Amazon's side comes as a file of the portal.
    pub(crate) file: bool,
    /// The service itself begins the run.
    pub(crate) daily: bool,
}

/// Why a run was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error("there is no account of that id")]
    UnknownAccount,
    #[error(transparent)]
    Period(#[from] BadPeriod),
    /// A run of the account is under way, or the day has been reconciled.
    #[error("a reconciliation of the account is under way")]
    Running(Option<ReconciliationId>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a file was not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreviewError {
    #[error(transparent)]
    Begin(#[from] BeginError),
    #[error(transparent)]
    Read(#[from] RunError),
}

/// A run that was begun and that this process has leased.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) run: Reconciliation,
    token: Uuid,
}

impl Reconciliations {
    pub(crate) fn new(deps: ReconciliationDependencies) -> Self {
        Self { deps: Arc::new(deps) }
    }

    fn account(&self, id: &str) -> Result<&Account, BeginError> {
        self.deps.accounts.get(id).ok_or(BeginError::UnknownAccount)
    }

    /// Looks at a file of the portal, for these days, both included. Nothing is stored, and Amazon is not asked.
    ///
    /// # Errors
    /// [`PreviewError`]: there is no such account, no such period, it is not over, or the file is no table of the portal's or not whole.
    pub(crate) async fn preview(
        &self,
        account: &str,
        days: (NaiveDate, NaiveDate),
        file: PortalFile,
    ) -> Result<PreviewReport, PreviewError> {
        let account = self.account(account)?;
        let period = RunPeriod::days(days.0, days.1).map_err(BeginError::from)?;
        period.is_over(self.deps.ambient.now()).map_err(BeginError::from)?;
        let PortalFile { mut chunks, decimal } = file;
        let mut preview = Preview::new(account.currency(), decimal, days);
        loop {
            match chunks.recv().await {
                Some(Chunk::Bytes(bytes)) => preview.take(&bytes).map_err(RunError::from)?,
                Some(Chunk::End) => return Ok(preview.finish().map_err(RunError::from)?),
                None => return Err(RunError::Broken.into()),
            }
        }
    }

    /// Makes a run, which [`Reconciliations::run`] then runs. A run whose process died is failed first.
    ///
    /// # Errors
    /// [`BeginError`]; no run was made then.
    pub(crate) async fn begin(&self, order: &RunRequest) -> Result<Begun, BeginError> {
        let (deps, account) = (&self.deps, self.account(&order.account)?);
        let now = deps.ambient.now();
        order.period.is_over(now)?;
        let run = Reconciliation {
            id: ReconciliationId::new(deps.ambient.row_id(now).map_err(StoreError::from)?),
            account: order.account.clone(),
            currency: account.currency(),
            source: run::source(order.file),
            daily: order.daily,
            period: order.period,
            state: RunState::Running,
            failure: None,
            started_at: now,
            ended_at: None,
            records: 0,
            tally: Tally::default(),
        };
        let token = deps.ambient.token().map_err(StoreError::from)?;
        let lease = self.under_way(account, &run, token).lease();
        let mut tx = deps.store.begin().await?;
        let made = sql::begin(&mut tx, &run, account, lease).await?;
        tx.commit(()).await?;
        if !made {
            return Err(BeginError::Running(sql::running(&mut deps.store.snapshot().await?, account.id()).await?));
        }
        tracing::info!(
            reconciliation.id = %run.id, account = account.id(), reconciliation.from = %run.period.from,
            reconciliation.to = %run.period.to,
            reconciliation.source = run.source.as_str(), "a reconciliation begins"
        );
        Ok(Begun { run, token })
    }

    fn under_way<'a>(&'a self, account: &'a Account, run: &'a Reconciliation, token: Uuid) -> Run<'a> {
        Run {
            service: self,
            account,
            run,
            token,
            tally: Tally::default(),
            items: 0,
            lists_activations: false,
            strange_activations: BTreeSet::new(),
        }
    }

    /// Runs a run to its end, with the file if the request has one.
    ///
    /// # Errors
    /// [`RunError`]; the run is `failed` then, or becomes it when its lease ends.
    pub(crate) async fn run(&self, begun: Begun, file: Option<PortalFile>) -> Result<Reconciliation, RunError> {
        let Begun { run, token } = begun;
        let account = self.deps.accounts.get(&run.account).ok_or(RunError::Interrupted)?;
        let mut under_way = self.under_way(account, &run, token);
        let ended = match self.clear_leftovers(account).await {
            Ok(()) => under_way.whole(file).await,
            Err(error) => Err(error.into()),
        };
        let lease = under_way.lease();
        let failed = match &ended {
            Ok(_finished) => Ok(()),
            Err(error) => self.fail(lease, error).await,
        };
        if let Err(error) = failed.and(self.clear(run.id, ended.is_err()).await) {
            tracing::warn!(reconciliation.id = %run.id, error = %Chain(&error), "a reconciliation left something behind; the next one clears it");
        }
        let finished = ended?;
        log_result(&finished);
        Ok(finished)
    }

    /// Gives a run up whose process is asked to stop, so that the next one need not wait for the end of its lease.
    ///
    /// # Errors
    /// [`StoreError`]; the run becomes `failed` when its lease ends.
    pub(crate) async fn give_up(&self, begun: &Begun) -> Result<(), StoreError> {
        let Some(account) = self.deps.accounts.get(&begun.run.account) else { return Ok(()) };
        let lease = self.under_way(account, &begun.run, begun.token).lease();
        self.fail(lease, &RunError::Interrupted).await
    }

    async fn fail(&self, lease: sql::RunLease, error: &RunError) -> Result<(), StoreError> {
        if matches!(error, RunError::Interrupted) {
            tracing::info!(reconciliation.id = %lease.id, "a reconciliation was interrupted");
        } else {
            tracing::error!(reconciliation.id = %lease.id, error = %Chain(error), "a reconciliation failed");
        }
        let mut tx = self.deps.store.begin().await?;
        sql::fail(&mut tx, lease, error.word(), self.deps.ambient.now()).await?;
        tx.commit(()).await.map(|_done| ())
    }

    async fn clear_leftovers(&self, account: &Account) -> Result<(), StoreError> {
        let left = sql::leftovers(&mut self.deps.store.snapshot().await?, account.id()).await?;
        for id in left {
            let run = self.find(id).await?;
            self.clear(id, run.is_some_and(|run| run.state == RunState::Failed)).await?;
        }
        Ok(())
    }

    /// Deletes what a run needed while it was under way; for a failed run also what it had found. In steps, because one
    /// large deletion would block the database for too long.
    async fn clear(&self, id: ReconciliationId, failed: bool) -> Result<(), StoreError> {
        loop {
            let mut tx = self.deps.store.begin().await?;
            let seen = join::forget_seen(&mut tx, id).await?;
            let items = if failed { sql::forget_items(&mut tx, id).await? } else { 0 };
            tx.commit(()).await?;
            if seen == 0 && items == 0 {
                return Ok(());
            }
        }
    }

    pub(crate) async fn find(&self, id: ReconciliationId) -> Result<Option<Reconciliation>, StoreError> {
        sql::find(&mut self.deps.store.question().await?, id).await
    }

    /// Runs, newest first, of all accounts or of one; older than this one.
    pub(crate) async fn list(
        &self,
        before: Uuid,
        account: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Reconciliation>, StoreError> {
        sql::list(&mut self.deps.store.question().await?, before, account, limit).await
    }

    /// The findings of a finished run about what is shown to the reader, after this place. A run under way shows none, because they are
    /// not complete.
    pub(crate) async fn items(
        &self,
        run: &Reconciliation,
        shown: &OwnedBy,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Item>, StoreError> {
        if run.state != RunState::Finished {
            return Ok(Vec::new());
        }
        let mut snapshot = self.deps.store.question().await?;
        sql::items(&mut snapshot, run.id, shown, after, limit).await
    }

    /// Sets the gauges of accounts, which speak for the whole service, from the database.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        for account in self.deps.accounts.iter() {
            self.deps.metrics.open_days(account.id(), &self.open_days_of(account).await?);
            let newest = sql::newest(&mut self.deps.store.snapshot().await?, account.id()).await?;
            if let Some((run, ended_at)) = newest.and_then(|run| run.ended_at.map(|at| (run, at))) {
                let Tally { ours_only, theirs_only, .. } = run.tally;
                let at = (!is_stray(ended_at, self.deps.ambient.now())).then(|| ended_at.timestamp());
                let difference = run.difference();
                self.deps.metrics.reconciled(account.id(), difference, ours_only, theirs_only, at);
            }
        }
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.deps.metrics.retract_reconciliations();
    }
}

fn log_result(run: &Reconciliation) {
    let (tally, difference) = (&run.tally, run.difference());
    if run.is_clean() {
        tracing::info!(reconciliation.id = %run.id, account = run.account, reconciliation.matched = tally.matched, "Amazon's books are ours");
        return;
    }
    tracing::error!(
        reconciliation.id = %run.id,
        account = run.account,
        reconciliation.difference = %difference,
        reconciliation.currency = %run.currency,
        reconciliation.ours_only = tally.ours_only,
        reconciliation.theirs_only = tally.theirs_only,
        reconciliation.amount_differs = tally.amount_differs,
        reconciliation.state_differs = tally.state_differs,
        reconciliation.adopted = tally.adopted,
        "Amazon's books are not ours: a person must look"
    );
}
