//! Sums of the ledger up to a mark, so that a balance check reads only what came after the mark, and spending by the hour.
//! The replica that asks for a balance adds them up; buying a reward costs nothing extra.
//!
//! On PostgreSQL an entry with a smaller id may be committed after one with a larger id. So the mark moves in two steps:
//! the largest id at one instant is noted, and becomes the mark once every transaction of that instant has ended long ago.
//! The instants in the entries do not help: a process that was frozen writes old ones.

use chrono::{DateTime, TimeDelta, Utc};

use super::{position::LedgerKey, runway};
use crate::{
    ambient::Ambient,
    store::{Snapshot, Sql, Store, StoreError, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    MARK = Sql::same(
        "ledger_marks.of",
        "SELECT through_id, through_at, mark_id, mark_at FROM ledger_marks WHERE account = $1 AND currency = $2",
    );
    BEGIN = Sql::same(
        "ledger_marks.begin",
        "INSERT INTO ledger_marks (account, currency, through_id, through_at, mark_id, mark_at) \
         SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), 0, $3, COALESCE(MAX(id), 0), $3 FROM ledger_entries WHERE TRUE \
         ON CONFLICT (account, currency) DO NOTHING",
    );
    /// Within the step: everything between the old mark and the new one.
    MOVE = Sql::same(
        "ledger_marks.move",
        "UPDATE ledger_marks SET through_id = $4, through_at = $5 WHERE account = $1 AND currency = $2 AND through_id = $3",
    );
    NOTE = Sql::same(
        "ledger_marks.note",
        "UPDATE ledger_marks SET mark_id = (SELECT COALESCE(MAX(id), 0) FROM ledger_entries), mark_at = $3 \
         WHERE account = $1 AND currency = $2 AND through_id = mark_id",
    );
    ADD_TOTALS = Sql::same(
        "ledger_totals.add",
        "INSERT INTO ledger_totals (account, currency, kind, debit, amount_minor, entries) \
         SELECT account, currency, kind, debit, CAST(SUM(amount_minor) AS BIGINT), COUNT(*) FROM ledger_entries \
         WHERE account = $1 AND currency = $2 AND id > $3 AND id <= $4 GROUP BY account, currency, kind, debit \
         ON CONFLICT (account, currency, kind, debit) DO UPDATE SET \
         amount_minor = ledger_totals.amount_minor + excluded.amount_minor, \
         entries = ledger_totals.entries + excluded.entries",
    );
    ADD_SPENDING = Sql::each(
        "hourly_spending.add",
        "INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) \
         SELECT account, currency, unixepoch(at) / 3600, SUM(CASE WHEN kind = 'issued' THEN amount_minor ELSE 0 END), \
         SUM(CASE WHEN kind = 'canceled' THEN amount_minor ELSE 0 END), SUM(CASE WHEN kind = 'issued' THEN 1 ELSE 0 END) \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > $3 AND id <= $4 \
         AND kind IN ('issued', 'canceled') GROUP BY account, currency, unixepoch(at) / 3600 \
         ON CONFLICT (account, currency, hour) DO UPDATE SET \
         issued_minor = hourly_spending.issued_minor + excluded.issued_minor, \
         canceled_minor = hourly_spending.canceled_minor + excluded.canceled_minor, \
         rewards = hourly_spending.rewards + excluded.rewards",
        "INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) \
         SELECT account, currency, CAST(FLOOR(EXTRACT(EPOCH FROM at) / 3600) AS BIGINT), \
         SUM(CASE WHEN kind = 'issued' THEN amount_minor ELSE 0 END), \
         SUM(CASE WHEN kind = 'canceled' THEN amount_minor ELSE 0 END), SUM(CASE WHEN kind = 'issued' THEN 1 ELSE 0 END) \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > $3 AND id <= $4 \
         AND kind IN ('issued', 'canceled') GROUP BY 1, 2, 3 \
         ON CONFLICT (account, currency, hour) DO UPDATE SET \
         issued_minor = hourly_spending.issued_minor + excluded.issued_minor, \
         canceled_minor = hourly_spending.canceled_minor + excluded.canceled_minor, \
         rewards = hourly_spending.rewards + excluded.rewards",
    );
    SPENDING = Sql::same(
        "hourly_spending.of",
        "SELECT hour, issued_minor, canceled_minor FROM hourly_spending \
         WHERE account = $1 AND currency = $2 AND hour >= $3 AND hour < $4 ORDER BY hour",
    );
    THIN = Sql::same(
        "balance_observations.thin",
        "DELETE FROM balance_observations WHERE account = $1 AND (hour < $2 OR hour < $3 AND EXISTS \
         (SELECT 1 FROM balance_observations AS earlier WHERE earlier.account = balance_observations.account \
         AND earlier.hour = balance_observations.hour AND earlier.as_of < balance_observations.as_of))",
    );
}

row! {
    struct MarkRow { through_id: i64, through_at: DateTime<Utc>, mark_id: i64, mark_at: DateTime<Utc> }
}

row! {
    struct HourRow { hour: i64, issued_minor: i64, canceled_minor: i64 }
}

/// After this time every transaction that had an id has ended: the database itself ends one that idles for 10 s.
const SETTLED: TimeDelta = TimeDelta::minutes(10);
/// Ids that one transaction adds up.
const STEP: i64 = 20_000;
/// Hours for which every observation is kept, and hours for which one observation an hour is kept.
const KEEP_ALL: i64 = 48;
const KEEP_ONE: i64 = 400 * 24;

/// What was spent in each hour of the last weeks, less what was given back in it.
pub(super) struct Spending {
    /// Minor units, oldest first. Empty before anything was spent.
    pub(super) by_hour: Vec<i64>,
    /// The hour that follows the last one, in hours since 1970.
    pub(super) end: i64,
}

/// Moves the mark on as far as possible. After an error, what was added up stays added up, and the rest follows.
pub(super) async fn advance(store: &Store, ambient: &Ambient, key: LedgerKey<'_>) -> Result<(), StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let now = ambient.now();
    loop {
        let mut snapshot = store.snapshot().await?;
        let known = fetch_optional!(MarkRow, snapshot, MARK, account, currency)?;
        drop(snapshot);
        let Some(mark) = known else {
            let mut tx = store.begin().await?;
            execute!(tx, BEGIN, account, currency, now)?;
            return tx.commit(()).await.map(|_done| ());
        };
        // `abs`: after the clock went back we do not know when the mark was noted.
        let settled = now.signed_duration_since(mark.mark_at).abs() >= SETTLED;
        if !settled {
            return Ok(());
        }
        if step(store, key, &mark, now).await? {
            return Ok(());
        }
    }
}

/// Adds up one step; `true` if it was the last.
async fn step(store: &Store, key: LedgerKey<'_>, mark: &MarkRow, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let to = mark.mark_id.min(mark.through_id.saturating_add(STEP));
    let last = to >= mark.mark_id;
    let through_at = if last { mark.mark_at } else { mark.through_at };
    let mut tx = store.begin().await?;
    if execute!(tx, MOVE, account, currency, mark.through_id, to, through_at)? != 1 {
        // Another replica was first.
        return Ok(true);
    }
    execute!(tx, ADD_TOTALS, account, currency, mark.through_id, to)?;
    execute!(tx, ADD_SPENDING, account, currency, mark.through_id, to)?;
    if last {
        let hour = now.timestamp().div_euclid(3600);
        execute!(tx, NOTE, account, currency, now)?;
        execute!(tx, THIN, account, hour.saturating_sub(KEEP_ONE), hour.saturating_sub(KEEP_ALL))?;
    }
    tx.commit(last).await.map(crate::store::Committed::into_inner)
}

/// Reads the spending of the last weeks.
pub(super) async fn spending(snapshot: &mut Snapshot, key: LedgerKey<'_>) -> Result<Spending, StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let Some(mark) = fetch_optional!(MarkRow, snapshot, MARK, account, currency)? else {
        return Ok(Spending { by_hour: Vec::new(), end: 0 });
    };
    // The mark lies within its hour, so that hour is not complete yet.
    let end = mark.through_at.timestamp().div_euclid(3600);
    let from = end.saturating_sub(i64::try_from(runway::HISTORY).unwrap_or(0));
    let rows = fetch_all!(HourRow, snapshot, SPENDING, account, currency, from, end)?;
    let mut rows = rows.into_iter().peekable();
    let first = rows.peek().map_or(end, |row| row.hour);
    let of_hour = |hour| {
        let row = rows.next_if(|row| row.hour == hour);
        row.map_or(0, |row| row.issued_minor.saturating_sub(row.canceled_minor).max(0))
    };
    Ok(Spending { by_hour: (first..end).map(of_hour).collect(), end })
}
