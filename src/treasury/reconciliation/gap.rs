//! What a restored back-up does not know, and how much of it is reconciled since (`reward::restored`).

use chrono::{DateTime, Utc};

use super::Reconciliations;
use crate::{
    incentives::restored,
    store::{Sql, StoreError, Tx, fetch_all, row, statements},
};

statements! {
    /// A few: runs since the last restore.
    PERIODS = Sql::same(
        "reconciliations.periods",
        "SELECT period_from, period_to FROM reconciliations WHERE account = $1 AND state = 'finished' \
         AND started_at >= $2 ORDER BY period_from LIMIT 10000",
    );
}

row! {
    struct PeriodRow { period_from: DateTime<Utc>, period_to: DateTime<Utc> }
}

async fn uncovered(tx: &mut Tx, account: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Some(gap) = restored::open_gap(tx, account).await? else { return Ok(None) };
    let rows = fetch_all!(PeriodRow, tx, PERIODS, account, gap.restored_at)?;
    let periods: Vec<_> = rows.into_iter().map(|row| (row.period_from, row.period_to)).collect();
    Ok(gap.uncovered(&periods))
}

/// Writes down that the account's gap is filled, if there was one and this run's period was its last piece: every card that
/// Amazon sold in it has a row now.
pub(super) async fn fill(tx: &mut Tx, account: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    if restored::open_gap(tx, account).await?.is_some() && uncovered(tx, account).await?.is_none() {
        restored::fill_gap(tx, account, now).await?;
    }
    Ok(())
}

impl Reconciliations {
    /// From when on a restored database knows nothing of the account and no reconciliation has looked; `None` without such
    /// a gap.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn uncovered(&self, account: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut tx = self.parts.store.begin().await?;
        let from = uncovered(&mut tx, account).await?;
        tx.commit(from).await.map(crate::store::Committed::into_inner)
    }
}
