//! The use cases of programs, for the API: make, change, suspend, resume, list, and report what is spent.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::{
    Metrics,
    budget::{self, Period, Usage},
    programs::{self, ChangedBy, NewProgram, Program, ProgramLimit, ProgramState},
};
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    audit::Scribe,
    identity::clients,
    kernel::{ClientId, ProgramId},
    store::{Read, Store, StoreError, Tx},
};

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    /// The accounts of the settings.
    pub(crate) accounts: Accounts,
    /// Where the budgets' gauges are set.
    pub(crate) metrics: Arc<Metrics>,
    /// Writes down who changes a program.
    pub(crate) scribe: Scribe,
}

/// Why a program was not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// There is no such program, or it is another client's.
    #[error("there is no such program")]
    NotFound,
    /// There is no such client.
    #[error("there is no client of that name")]
    UnknownClient,
    /// The id is taken.
    #[error("there is a program of that id")]
    Taken,
    /// The settings name no such account.
    #[error("there is no account of that id")]
    UnknownAccount,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A program with its limits.
#[derive(Debug, Clone)]
pub(crate) struct ProgramDetails {
    pub(crate) program: Program,
    pub(crate) limits: Vec<ProgramLimit>,
}

impl ProgramDetails {
    /// The client that it belongs to.
    #[must_use]
    pub(crate) fn owner(&self) -> Option<ClientId> {
        self.program.owner.as_ref().map(|owner| owner.client)
    }
}

/// What a program has spent and reserved.
#[derive(Debug, Clone)]
pub(crate) struct ProgramSpending {
    pub(crate) details: ProgramDetails,
    /// Each budget's usage: today's, this month's, and ever. A budget that has a limit is there before it is drawn on.
    pub(crate) usage: Vec<Usage>,
    /// When each period begins anew.
    pub(crate) resets: Vec<(Period, Option<DateTime<Utc>>)>,
}

impl ProgramSpending {
    fn new(details: ProgramDetails, mut usage: Vec<Usage>, day: NaiveDate, zone: Tz) -> Self {
        budget::complete(&mut usage, &details.limits, day);
        let resets = Period::ALL.iter().map(|period| (*period, budget::resets_at(*period, day, zone))).collect();
        Self { details, usage, resets }
    }
}

/// What is to be changed in a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgramChange {
    pub(crate) name: Option<String>,
    /// Its new limits; they replace all that it has.
    pub(crate) limits: Option<Vec<ProgramLimit>>,
}

impl Ledger {
    /// The account that pays for a program; `None` when the settings no longer name it.
    #[must_use]
    pub(crate) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// Makes a program with its limits.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was made.
    pub(crate) async fn create(
        &self,
        new: NewProgram<'_>,
        limits: &[ProgramLimit],
        by: &ChangedBy,
    ) -> Result<ProgramDetails, ProgramError> {
        if self.account(new.account).is_none() {
            return Err(ProgramError::UnknownAccount);
        }
        let now = self.ambient.now();
        let mut tx = self.store.begin().await?;
        let made = programs::create(&mut tx, new, by, now).await?;
        tx = tx.or_undo(if made { Ok(()) } else { Err(ProgramError::Taken) }).await?;
        if !limits.is_empty() {
            programs::set_limits(&mut tx, new.id, limits, by, now).await?;
        }
        commit(tx, new.id).await
    }

    /// The client of this name.
    ///
    /// # Errors
    /// [`ProgramError`], also when there is none.
    pub(crate) async fn client_of_name(&self, name: &str) -> Result<ClientId, ProgramError> {
        let found = clients::find(&mut self.store.snapshot().await?, name).await?;
        found.ok_or(ProgramError::UnknownClient)
    }

    /// Changes a program.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was changed.
    pub(crate) async fn change(
        &self,
        id: &ProgramId,
        change: &ProgramChange,
        by: &ChangedBy,
    ) -> Result<ProgramDetails, ProgramError> {
        self.details(id).await?;
        let now = self.ambient.now();
        let mut tx = self.store.begin().await?;
        if let Some(name) = &change.name {
            programs::rename(&mut tx, id, name, by, now).await?;
        }
        if let Some(limits) = &change.limits {
            programs::set_limits(&mut tx, id, limits, by, now).await?;
        }
        commit(tx, id).await
    }

    /// Suspends or resumes a program. The change holds at all replicas from its commit on.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing was changed.
    pub(crate) async fn set_state(
        &self,
        id: &ProgramId,
        state: ProgramState,
        by: &ChangedBy,
    ) -> Result<ProgramDetails, ProgramError> {
        self.details(id).await?;
        let mut tx = self.store.begin().await?;
        programs::set_state(&mut tx, id, state, by, self.ambient.now()).await?;
        commit(tx, id).await
    }

    /// A program with its limits.
    pub(crate) async fn details(&self, id: &ProgramId) -> Result<ProgramDetails, ProgramError> {
        details_on(&mut self.store.question().await?, id).await
    }

    /// Every program with its limits.
    pub(crate) async fn list(&self) -> Result<Vec<ProgramDetails>, StoreError> {
        let mut snapshot = self.store.question().await?;
        let programs = programs::list(&mut snapshot).await?;
        let mut limits = programs::all_limits(&mut snapshot).await?;
        let mut with_limits = |program: Program| {
            let limits = limits.remove(program.id.as_str()).unwrap_or_default();
            ProgramDetails { program, limits }
        };
        Ok(programs.into_iter().map(&mut with_limits).collect())
    }

    /// What these programs themselves have spent and reserved by now; nothing of their keys.
    pub(crate) async fn spendings(&self, programs: Vec<ProgramDetails>) -> Result<Vec<ProgramSpending>, StoreError> {
        let today: Vec<_> = programs.into_iter().map(|details| (self.today(&details), details)).collect();
        let days: Vec<_> = today.iter().map(|((day, _zone), details)| (&details.program.id, *day)).collect();
        let mut usage = budget::usage::of_programs(&mut self.store.question().await?, &days).await?;
        let spending = |((day, zone), details): ((NaiveDate, Tz), ProgramDetails)| {
            let usage = usage.remove(details.program.id.as_str()).unwrap_or_default();
            ProgramSpending::new(details, usage, day, zone)
        };
        Ok(today.into_iter().map(spending).collect())
    }

    /// The account's day, and the time zone that it is one of.
    fn today(&self, details: &ProgramDetails) -> (NaiveDate, Tz) {
        let zone = self.account(&details.program.account).map_or(Tz::UTC, Account::time_zone);
        (self.ambient.now().with_timezone(&zone).date_naive(), zone)
    }

    /// What a program has spent and reserved by now.
    pub(crate) async fn spending(&self, id: &ProgramId) -> Result<ProgramSpending, ProgramError> {
        let details = self.details(id).await?;
        let (day, zone) = self.today(&details);
        let usage = budget::usage::of_program(&mut self.store.question().await?, id, day).await?;
        Ok(ProgramSpending::new(details, usage, day, zone))
    }
}

async fn details_on(on: &mut impl Read, id: &ProgramId) -> Result<ProgramDetails, ProgramError> {
    let program = programs::find(on, id).await?.ok_or(ProgramError::NotFound)?;
    Ok(ProgramDetails { program, limits: programs::limits(on, id).await? })
}

/// Commits a change of a program, and answers with the program. It is read before the commit: whoever is answered by an error may believe
/// that nothing was changed.
async fn commit(mut tx: Tx, id: &ProgramId) -> Result<ProgramDetails, ProgramError> {
    let changed = details_on(&mut tx, id).await?;
    Ok(tx.commit(changed).await?.into_inner())
}
