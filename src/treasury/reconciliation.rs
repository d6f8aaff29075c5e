//! Reconciliation: Amazon's own activity report, or a file of its portal, against our rewards, id by id. The second witness:
//! it finds what no other part of the program can see, a card that we do not know of, or one that is not there.
//!
//! Nothing is changed silently. What differs is written down for people; only a card that Amazon alone knows, under an id
//! that could only have come from us, gets a row, and that row waits for a person, or for the caller who bought it
//! (`reward::adoption`). Neither side is ever held in memory: pages go into a table, and comparing walks it in steps.

pub mod compare;
pub mod csv;
pub mod daily;
pub mod equation;
pub mod findings;
pub mod gap;
pub mod gather;
pub mod http;
pub mod model;
pub mod pairs;
pub mod period;
pub mod report;
pub mod run;
pub mod sql;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use self::{
    model::{Item, Reconciliation, State, Tally},
    period::{BadPeriod, Period},
    run::{Chunks, Run, RunError},
};
use super::Metrics;
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    kernel::{Chain, ReconciliationId},
    lifecycle::Tasks,
    store::{Store, StoreError},
};

/// Compares, and tells what was found. Cheap to clone.
#[derive(Clone)]
pub struct Reconciliations {
    parts: Arc<Parts>,
}

/// What it is built from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Time and randomness.
    pub ambient: Ambient,
    /// The accounts of the settings.
    pub accounts: Accounts,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where runs run.
    pub tasks: Tasks,
    /// How far apart pages of the report are asked for, over all replicas.
    pub page_spacing: Duration,
}

/// What is to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The account.
    pub account: String,
    /// The days.
    pub period: Period,
    /// Amazon's side comes as a file.
    pub file: bool,
    /// Begun by the service itself.
    pub daily: bool,
}

/// Why a run was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// No account of this id.
    #[error("there is no account of that id")]
    UnknownAccount,
    /// The days.
    #[error(transparent)]
    Period(#[from] BadPeriod),
    /// One of the account is under way, or the day was reconciled.
    #[error("a reconciliation of the account is under way")]
    Running(Option<ReconciliationId>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run that was begun and is this process's.
#[derive(Debug)]
pub struct Begun {
    /// As it was begun.
    pub run: Reconciliation,
    token: Uuid,
}

impl Reconciliations {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.parts.accounts
    }

    fn account(&self, id: &str) -> Result<&Account, BeginError> {
        self.parts.accounts.get(id).ok_or(BeginError::UnknownAccount)
    }

    /// Makes a run, which [`Reconciliations::run`] then runs. What a run that died left behind is cleared away first.
    ///
    /// # Errors
    /// [`BeginError`]; there is no run then.
    pub async fn begin(&self, order: &Order) -> Result<Begun, BeginError> {
        let (parts, account) = (&self.parts, self.account(&order.account)?);
        let now = parts.ambient.now();
        order.period.is_over(now)?;
        let run = Reconciliation {
            id: ReconciliationId::new(parts.ambient.row_id(now).map_err(StoreError::from)?),
            account: order.account.clone(),
            currency: account.currency(),
            source: run::source(order.file),
            daily: order.daily,
            period: order.period,
            state: State::Running,
            failure: None,
            started_at: now,
            ended_at: None,
            records: 0,
            tally: Tally::default(),
        };
        let token = parts.ambient.token().map_err(StoreError::from)?;
        let lease = self.under_way(account, &run, token).lease();
        let mut tx = parts.store.begin().await?;
        let made = sql::begin(&mut tx, &run, account, lease).await?;
        tx.commit(()).await?;
        if !made {
            return Err(BeginError::Running(sql::running(&mut parts.store.snapshot().await?, account.id()).await?));
        }
        tracing::info!(
            reconciliation.id = %run.id, account = account.id(), reconciliation.from = %run.period.from,
            reconciliation.to = %run.period.to,
            reconciliation.source = run.source.as_str(), "a reconciliation begins"
        );
        Ok(Begun { run, token })
    }

    fn under_way<'a>(&'a self, account: &'a Account, run: &'a Reconciliation, token: Uuid) -> Run<'a> {
        Run { room: self, account, run, token, tally: Tally::default(), items: 0 }
    }

    /// Runs what was begun, to its end. The file is the one of an order that has one.
    ///
    /// # Errors
    /// [`RunError`]; the run is `failed` then, if the database could still be told.
    pub async fn run(&self, begun: Begun, file: Option<Chunks>) -> Result<Reconciliation, RunError> {
        let Begun { run, token } = begun;
        let account = self.parts.accounts.get(&run.account).ok_or(RunError::Interrupted)?;
        let mut under_way = self.under_way(account, &run, token);
        let ended = match self.clear_leftovers(account).await {
            Ok(()) => under_way.whole(file).await,
            Err(error) => Err(error.into()),
        };
        let lease = under_way.lease();
        let failed = match &ended {
            Ok(()) => Ok(()),
            Err(error) => self.fail(lease, error).await,
        };
        if let Err(error) = failed.and(self.clear(run.id, ended.is_err()).await) {
            tracing::warn!(reconciliation.id = %run.id, error = %Chain(&error), "a reconciliation left something behind; the next one clears it");
        }
        ended?;
        let run = self.find(run.id).await?.ok_or(RunError::Interrupted)?;
        tell(&run);
        Ok(run)
    }

    async fn fail(&self, lease: sql::Lease, error: &RunError) -> Result<(), StoreError> {
        tracing::error!(reconciliation.id = %lease.id, error = %Chain(error), "a reconciliation failed");
        let mut tx = self.parts.store.begin().await?;
        sql::fail(&mut tx, lease, error.word(), self.parts.ambient.now()).await?;
        tx.commit(()).await.map(|_done| ())
    }

    async fn clear_leftovers(&self, account: &Account) -> Result<(), StoreError> {
        let left = sql::leftovers(&mut self.parts.store.snapshot().await?, account.id()).await?;
        for id in left {
            let run = self.find(id).await?;
            self.clear(id, run.is_some_and(|run| run.state == State::Failed)).await?;
        }
        Ok(())
    }

    /// Forgets what a run needed while it was under way; of a failed one also what it had found. In steps: one large
    /// deletion would hold the database for too long.
    async fn clear(&self, id: ReconciliationId, failed: bool) -> Result<(), StoreError> {
        loop {
            let mut tx = self.parts.store.begin().await?;
            let seen = pairs::forget_seen(&mut tx, id).await?;
            let items = if failed { sql::forget_items(&mut tx, id).await? } else { 0 };
            tx.commit(()).await?;
            if seen == 0 && items == 0 {
                return Ok(());
            }
        }
    }

    /// The run of this id.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn find(&self, id: ReconciliationId) -> Result<Option<Reconciliation>, StoreError> {
        sql::find(&mut self.parts.store.snapshot().await?, id).await
    }

    /// Runs, newest first, of all accounts or of one; older than this one.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn list(
        &self,
        before: Uuid,
        account: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Reconciliation>, StoreError> {
        sql::list(&mut self.parts.store.snapshot().await?, before, account, limit).await
    }

    /// What a run found, after this place. Of one that is not finished nothing holds, and nothing is told.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn items(&self, run: &Reconciliation, after: i64, limit: i64) -> Result<Vec<Item>, StoreError> {
        if run.state != State::Finished {
            return Ok(Vec::new());
        }
        sql::items(&mut self.parts.store.snapshot().await?, run.id, after, limit).await
    }

    /// Sets the gauges that speak for the whole service from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn publish(&self) -> Result<(), StoreError> {
        for account in self.parts.accounts.iter() {
            let newest = sql::newest(&mut self.parts.store.snapshot().await?, account.id()).await?;
            if let Some((run, ended_at)) = newest.and_then(|run| run.ended_at.map(|at| (run, at))) {
                let unmatched = (run.tally.ours_only, run.tally.theirs_only);
                self.parts.metrics.reconciled(account.id(), run.difference(), unmatched, ended_at.timestamp());
            }
        }
        Ok(())
    }
}

fn tell(run: &Reconciliation) {
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
