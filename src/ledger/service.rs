//! The use cases of the books: programs are made and changed here, by the API and by the command line alike.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    Metrics,
    budget::{self, Span, Usage},
    programs::{self, By, Limit, Program, State},
};
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    kernel::ProgramId,
    store::{Store, StoreError},
};

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Books {
    pub(super) parts: Arc<Parts>,
}

/// What they are built from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Time.
    pub ambient: Ambient,
    /// The accounts of the settings.
    pub accounts: Accounts,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// Why a program was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is no such program.
    #[error("there is no such program")]
    NotFound,
    /// Another program has the id.
    #[error("there is a program of that id")]
    Taken,
    /// The settings name no such account.
    #[error("there is no account of that id")]
    UnknownAccount,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A program, and everything that is set for it.
#[derive(Debug, Clone)]
pub struct Detailed {
    /// The program.
    pub program: Program,
    /// Its limits.
    pub limits: Vec<Limit>,
}

/// What is spent in a program now.
#[derive(Debug, Clone)]
pub struct Spent {
    /// The program.
    pub detailed: Detailed,
    /// Its budgets' usage, today, this month and ever.
    pub usage: Vec<Usage>,
    /// When the day and the month are over.
    pub resets: Vec<(Span, Option<DateTime<Utc>>)>,
}

/// What of a program is to be changed.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its name.
    pub name: Option<String>,
    /// All its limits.
    pub limits: Option<Vec<Limit>>,
}

impl Books {
    /// Puts them together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The account that pays for a program; `None` when the settings do not name it any more.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.parts.accounts.get(id)
    }

    /// Makes a program, with its limits.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was made.
    pub async fn create(
        &self,
        id: &ProgramId,
        (name, account): (&str, &str),
        limits: &[Limit],
        by: &By,
    ) -> Result<Detailed, ProgramError> {
        if self.account(account).is_none() {
            return Err(ProgramError::UnknownAccount);
        }
        let now = self.parts.ambient.now();
        let mut tx = self.parts.store.begin().await?;
        if !programs::create(&mut tx, id, (name, account), by, now).await? {
            return Err(ProgramError::Taken);
        }
        if !limits.is_empty() {
            programs::set_limits(&mut tx, id, limits, by, now).await?;
        }
        tx.commit(()).await?;
        self.detailed(id).await
    }

    /// Changes a program.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was changed.
    pub async fn change(&self, id: &ProgramId, change: &Change, by: &By) -> Result<Detailed, ProgramError> {
        self.detailed(id).await?;
        let now = self.parts.ambient.now();
        let mut tx = self.parts.store.begin().await?;
        if let Some(name) = &change.name {
            programs::rename(&mut tx, id, name, by, now).await?;
        }
        if let Some(limits) = &change.limits {
            programs::set_limits(&mut tx, id, limits, by, now).await?;
        }
        tx.commit(()).await?;
        self.detailed(id).await
    }

    /// Suspends or resumes a program, in all replicas from this commit on.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was changed.
    pub async fn set_state(&self, id: &ProgramId, state: State, by: &By) -> Result<Detailed, ProgramError> {
        self.detailed(id).await?;
        let mut tx = self.parts.store.begin().await?;
        programs::set_state(&mut tx, id, state, by, self.parts.ambient.now()).await?;
        tx.commit(()).await?;
        self.detailed(id).await
    }

    /// A program with its limits.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub async fn detailed(&self, id: &ProgramId) -> Result<Detailed, ProgramError> {
        let mut snapshot = self.parts.store.snapshot().await?;
        let program = programs::find(&mut snapshot, id).await?.ok_or(ProgramError::NotFound)?;
        Ok(Detailed { program, limits: programs::limits(&mut snapshot, id).await? })
    }

    /// Every program with its limits.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn all(&self) -> Result<Vec<Detailed>, StoreError> {
        let mut snapshot = self.parts.store.snapshot().await?;
        let mut all = Vec::new();
        for program in programs::list(&mut snapshot).await? {
            let limits = programs::limits(&mut snapshot, &program.id).await?;
            all.push(Detailed { program, limits });
        }
        Ok(all)
    }

    /// What is spent in a program now.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub async fn spent(&self, id: &ProgramId) -> Result<Spent, ProgramError> {
        let detailed = self.detailed(id).await?;
        let zone = self.account(&detailed.program.account).map_or(chrono_tz::Tz::UTC, Account::time_zone);
        let day = self.parts.ambient.now().with_timezone(&zone).date_naive();
        let usage = budget::usage(&mut self.parts.store.snapshot().await?, id, day).await?;
        let resets = Span::ALL.iter().map(|span| (*span, budget::resets_at(*span, day, zone))).collect();
        Ok(Spent { detailed, usage, resets })
    }
}
