//! Watches that the database stays the one that was opened (the file under its name, or the database under its address, with
//! all that was read in it before), that it takes writes, and that a back-up of it could be restored.

use std::{sync::Arc, time::Duration};

use crate::{
    accounts::Accounts,
    kernel::Chain,
    ledger::journal,
    lifecycle::Tasks,
    store::{
        self, Store, StoreError,
        restore::{self, RestoreError},
    },
};

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);
/// Looks after which what a back-up would hold is looked at again: ten minutes, and ten seconds for whoever puts it right.
const WELL_FOR: u32 = 300;
const REFUSED_FOR: u32 = 5;

/// Looks until the process stops.
pub(super) async fn run(store: Store, accounts: Accounts, metrics: Arc<store::Metrics>, tasks: Tasks) {
    let (mut newest, mut was_lost) = (0, false);
    let mut writes = WriteWatch { accounts, refused: false };
    let mut backup = BackupWatch::default();
    while !tasks.stopping().is_cancelled() {
        writes.look(&store, &metrics).await;
        backup.look(&store, &metrics).await;
        let lost = match look(&store, newest).await {
            Ok(seen) => {
                newest = seen;
                None
            }
            Err(error) if error.is_loss() => Some(error),
            // A pool that is busy or a server that is away says nothing of which database it is.
            Err(_unknown) => {
                rest(&tasks).await;
                continue;
            }
        };
        metrics.database_lost(lost.is_some());
        match (&lost, was_lost) {
            (Some(error), false) => tracing::error!(
                error = %Chain(error),
                "the database is not the one that was opened: nothing is sold until it is back, or until a restart"
            ),
            (None, true) => tracing::warn!("the database is again the one that was opened"),
            (Some(_), true) | (None, false) => {}
        }
        was_lost = lost.is_some();
        rest(&tasks).await;
    }
}

/// Whether the database takes writes, as it was found last. Who sells finds out that it takes none; that it takes them again is
/// found out here.
struct WriteWatch {
    accounts: Accounts,
    refused: bool,
}

impl WriteWatch {
    async fn look(&mut self, store: &Store, metrics: &store::Metrics) {
        if store.refuses_writes()
            && let Err(error) = self.accounts.prove_writes().await
        {
            tracing::debug!(error = %Chain(&error), "the database still takes no writes");
        }
        let refused = store.refuses_writes();
        metrics.database_unwritable(refused);
        match (self.refused, refused) {
            (false, true) => tracing::error!(
                "the database takes no writes: nothing is sold, and no outcome is recorded, until it does. Look for a full disk, \
                 a server that has become a standby, rights that the role has lost"
            ),
            (true, false) => tracing::warn!("the database takes writes again"),
            (true, true) | (false, false) => {}
        }
        self.refused = refused;
    }
}

/// Whether a back-up of the database could be restored, as it was found last. An index that an operator makes for a report keeps it from
/// that, and the day on which the back-up is needed is no day to find out.
#[derive(Default)]
struct BackupWatch {
    /// Looks until the next one counts.
    left: u32,
    reported: Option<String>,
}

impl BackupWatch {
    async fn look(&mut self, store: &Store, metrics: &store::Metrics) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(1);
            return;
        }
        // What cannot be read now is read at the next look.
        let Ok(refused) = restore::refusal_of_open(store).await else { return };
        // What a later version has migrated, that version restores.
        let refused = refused.filter(RestoreError::is_about_the_schema).map(|refused| refused.to_string());
        metrics.backup_refused(refused.is_some());
        if let Some(why) = refused.as_ref().filter(|_why| self.reported != refused) {
            tracing::warn!(error = %why, "`noshi restore` would refuse a back-up of the database");
        }
        self.left = if refused.is_some() { REFUSED_FOR } else { WELL_FOR };
        self.reported = refused;
    }
}

async fn rest(tasks: &Tasks) {
    tokio::select! {
        () = tasks.stopping().cancelled() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

/// The newest entry of the ledger, which may never be older than the newest that was seen: its rows are never deleted.
async fn look(store: &Store, seen: i64) -> Result<i64, StoreError> {
    let newest = journal::newest(&mut store.snapshot().await?).await?;
    if newest < seen {
        store.lose("the ledger's newest entries are gone: an older copy of the database has taken its place");
    }
    Ok(newest.max(seen))
}
