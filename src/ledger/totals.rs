//! How far the ledger is counted: sums up to a mark, so that a question adds up only what came after it, and spending by
//! the hour. Whichever replica asks Amazon for a balance counts; no reward waits for it.
//!
//! On PostgreSQL an entry with a smaller id may be committed after one with a larger id. So the mark moves in two steps:
//! the largest id is noted, and becomes the mark once every transaction of that instant has long ended. The instants of
//! entries cannot decide: a process that was frozen writes old ones.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    accounts::Account,
    ambient::Ambient,
    kernel::Currency,
    store::{Committed, Snapshot, Sql, Store, StoreError, execute, fetch_all, fetch_optional, row, statements},
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
    /// Its guard lets one replica count what lies between the old mark and the new one.
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
    SPENT_SINCE = Sql::same(
        "ledger_entries.spent_since",
        "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM ledger_entries \
         WHERE account = $1 AND currency = $2 AND id > $3 AND kind = 'issued'",
    );
}

row! {
    struct MarkRow { through_id: i64, through_at: DateTime<Utc>, mark_id: i64, mark_at: DateTime<Utc> }
}

row! {
    struct SpentRow { amount_minor: i64 }
}

row! {
    struct HourRow { hour: i64, issued_minor: i64, canceled_minor: i64 }
}

/// After this time every transaction that had an id has ended: the database ends one that idles for 10 s.
const SETTLED: TimeDelta = TimeDelta::minutes(10);
/// Ids counted in one transaction.
const STEP: i64 = 20_000;
/// Which ledger: an account's, in its currency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerKey<'a> {
    pub(crate) account: &'a str,
    pub(crate) currency: Currency,
}

impl<'a> LedgerKey<'a> {
    pub(crate) fn of(account: &'a Account) -> Self {
        Self { account: account.id(), currency: account.currency() }
    }
}

/// Counts on to the mark, when the mark has settled; `true` when all of it is counted now.
/// After an error, what was counted stays counted, and the next call counts the rest.
pub(crate) async fn advance(store: &Store, ambient: &Ambient, key: LedgerKey<'_>) -> Result<bool, StoreError> {
    let now = ambient.now();
    loop {
        let mut snapshot = store.snapshot().await?;
        let known = fetch_optional!(MarkRow, snapshot, MARK, key.account, key.currency.code())?;
        drop(snapshot);
        let Some(mark) = known else {
            let mut tx = store.begin().await?;
            execute!(tx, BEGIN, key.account, key.currency.code(), now)?;
            return tx.commit(false).await.map(Committed::into_inner);
        };
        // Where the clock went back, the distance counts as well: nobody knows when the mark was noted.
        if now.signed_duration_since(mark.mark_at).abs() < SETTLED {
            return Ok(false);
        }
        match step(store, key, &mark, now).await? {
            Counted::More => {}
            Counted::Last => return Ok(true),
            Counted::Overtaken => return Ok(false),
        }
    }
}

/// What a step came to.
enum Counted {
    /// Entries are left before the mark.
    More,
    /// The mark is reached.
    Last,
    /// Another replica counted these entries first.
    Overtaken,
}

async fn step(store: &Store, key: LedgerKey<'_>, mark: &MarkRow, now: DateTime<Utc>) -> Result<Counted, StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let to = mark.mark_id.min(mark.through_id.saturating_add(STEP));
    let last = to >= mark.mark_id;
    let through_at = if last { mark.mark_at } else { mark.through_at };
    let mut tx = store.begin().await?;
    if execute!(tx, MOVE, account, currency, mark.through_id, to, through_at)? != 1 {
        return Ok(Counted::Overtaken);
    }
    execute!(tx, ADD_TOTALS, account, currency, mark.through_id, to)?;
    execute!(tx, ADD_SPENDING, account, currency, mark.through_id, to)?;
    if last {
        execute!(tx, NOTE, account, currency, now)?;
    }
    tx.commit(if last { Counted::Last } else { Counted::More }).await.map(Committed::into_inner)
}

/// What was issued less what was canceled, hour by hour.
#[derive(Default)]
pub(crate) struct Spending {
    /// Minor units, oldest first. Empty before the first purchase.
    pub(crate) by_hour: Vec<i64>,
    /// The hour that follows the last one, in hours since 1970.
    pub(crate) end: i64,
}

/// The spending of at most this many hours, up to the mark.
pub(crate) async fn spending(snapshot: &mut Snapshot, key: LedgerKey<'_>, hours: i64) -> Result<Spending, StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let Some(mark) = fetch_optional!(MarkRow, snapshot, MARK, account, currency)? else {
        return Ok(Spending::default());
    };
    // The mark's own hour is not over yet.
    let end = mark.through_at.timestamp().div_euclid(3600);
    let rows = fetch_all!(HourRow, snapshot, SPENDING, account, currency, end.saturating_sub(hours), end)?;
    let mut rows = rows.into_iter().peekable();
    let first = rows.peek().map_or(end, |row| row.hour);
    let of_hour = |hour| {
        let row = rows.next_if(|row| row.hour == hour);
        row.map_or(0, |row| row.issued_minor.saturating_sub(row.canceled_minor).max(0))
    };
    Ok(Spending { by_hour: (first..end).map(of_hour).collect(), end })
}

/// What was spent in each hour since then, up to the mark: when the hour began, and what was issued less what was canceled, in minor
/// units. An hour in which more was canceled is below zero.
pub(crate) async fn spent_by_hour(
    snapshot: &mut Snapshot,
    key: LedgerKey<'_>,
    since: DateTime<Utc>,
) -> Result<Vec<(DateTime<Utc>, i64)>, StoreError> {
    let first = since.timestamp().div_euclid(3600);
    let rows = fetch_all!(HourRow, snapshot, SPENDING, key.account, key.currency.code(), first, i64::MAX)?;
    let spent = |row: HourRow| {
        let began = DateTime::from_timestamp(row.hour.saturating_mul(3600), 0)?;
        Some((began, row.issued_minor.saturating_sub(row.canceled_minor)))
    };
    Ok(rows.into_iter().filter_map(spent).collect())
}

/// What was issued after this entry, in minor units.
pub(crate) async fn spent_since(snapshot: &mut Snapshot, key: LedgerKey<'_>, entry: i64) -> Result<i64, StoreError> {
    let row = fetch_optional!(SpentRow, snapshot, SPENT_SINCE, key.account, key.currency.code(), entry)?;
    Ok(row.map_or(0, |row| row.amount_minor))
}
