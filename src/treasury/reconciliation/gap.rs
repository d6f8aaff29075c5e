//! The gap in the history that a restored back-up leaves (`incentives::restore_note`), and how much of it is reconciled
//! since.

use chrono::{DateTime, Utc};

use super::Reconciliations;
use crate::{
    incentives::restore_note,
    kernel::horizon::is_stray,
    store::{Sql, StoreError, Tx, fetch_all, row, statements},
};

statements! {
    /// A few: runs since the last restore.
    PERIODS = Sql::same(
        "reconciliations.periods",
        "SELECT period_from, period_to, started_at FROM reconciliations WHERE account = $1 AND state = 'finished' \
         AND started_at >= $2 ORDER BY period_from LIMIT 10000",
    );
}

row! {
    struct PeriodRow { period_from: DateTime<Utc>, period_to: DateTime<Utc>, started_at: DateTime<Utc> }
}

async fn uncovered(tx: &mut Tx, account: &str, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Some(mut gap) = restore_note::open_gap(tx, account).await? else { return Ok(None) };
    // A restore from the future was noted by a clock that was ahead. Its runs are those that are not in the back-up, and
    // the first of them began after it.
    let since = if is_stray(gap.restored_at, now) { gap.lost_from } else { gap.restored_at };
    let rows = fetch_all!(PeriodRow, tx, PERIODS, account, since)?;
    let first = rows.iter().map(|row| row.started_at).min();
    gap.restored_at = first.map_or(gap.restored_at, |first| first.min(gap.restored_at));
    let periods: Vec<_> = rows.into_iter().map(|row| (row.period_from, row.period_to)).collect();
    Ok(gap.uncovered(&periods))
}

/// Notes that the account's gap is filled, if this run's period was its last piece: now every card that Amazon sold in
/// the gap has a row.
pub(super) async fn fill(tx: &mut Tx, account: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    if restore_note::open_gap(tx, account).await?.is_some() && uncovered(tx, account, now).await?.is_none() {
        restore_note::fill_gap(tx, account, now).await?;
    }
    Ok(())
}

impl Reconciliations {
    /// The instant from which on a restored database knows nothing of the account, until a reconciliation covers it;
    /// `None` without such a gap.
    pub(crate) async fn uncovered(&self, account: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut tx = self.deps.store.begin().await?;
        let from = uncovered(&mut tx, account, self.deps.ambient.now()).await?;
        tx.commit(from).await.map(crate::store::Committed::into_inner)
    }
}
