//! Watches that the database stays the one that was opened (the file under its name, or the database under its address, with
//! all that was read in it before), and that it takes writes.

use std::{sync::Arc, time::Duration};

use crate::{
    accounts::Accounts,
    kernel::Chain,
    ledger::journal,
    lifecycle::Tasks,
    store::{self, Store, StoreError},
};

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);

/// Looks until the process stops.
pub(super) async fn run(store: Store, accounts: Accounts, metrics: Arc<store::Metrics>, tasks: Tasks) {
    let (mut newest, mut was_lost) = (0, false);
    let mut writes = WriteWatch { accounts, refused: false };
    while !tasks.stopping().is_cancelled() {
        writes.look(&store, &metrics).await;
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
