//! The row of an account in which all replicas meet: its statements, each one guarded update.
//!
//! Times are microseconds since 1970, by `Ambient`'s clock. An instant that lies farther ahead than anyone sets one was
//! set by a clock that has gone back since (a node without a battery before NTP reached it, a server's fail-over). Waiting
//! for it would stop the account for as long as that clock was wrong, so it counts as past. [`crate::kernel::horizon`] says how
//! much farther, and the statements say it in figures.

use super::breaker::{BreakerCause, OpenBreaker};
use crate::store::{Committed, Sql, Store, StoreError, execute, fetch_optional, row, statements};

/// How far ahead the end of the line lies at most, and more: nobody waits for a slot as long as that.
pub(crate) const STRAY_LINE_US: i64 = 60_000_000;

statements! {
    ENSURE = Sql::same(
        "upstream.ensure",
        "INSERT INTO upstream (account, next_send_us, urgent_until_us, next_funds_us, breaker_until_us) \
         VALUES ($1, 0, 0, 0, 0) ON CONFLICT (account) DO NOTHING",
    );
    REWRITE = Sql::same("upstream.rewrite", "UPDATE upstream SET next_funds_us = next_funds_us WHERE account = $1");
    /// Takes the next slot when it is due by $4. New rewards ($5 is false) yield while something else waits. A slot that
    /// is taken out of turn ($6) puts off those who have booked.
    TAKE = Sql::same(
        "upstream.take",
        "UPDATE upstream SET next_send_us = (CASE WHEN next_send_us > $2 AND next_send_us <= $4 \
         THEN next_send_us ELSE $2 END) + $3, \
         booked_us = CASE WHEN $6 AND booked_us > $2 THEN booked_us + $3 ELSE booked_us END \
         WHERE account = $1 AND (next_send_us <= $4 OR next_send_us > $2 + 10000000) \
         AND (urgent_until_us <= $2 OR urgent_until_us > $2 + 10000000 OR $5) RETURNING next_send_us, booked_us",
    );
    /// Books a place at the end of the line of those who wait in all replicas, if that is reached by $4.
    BOOK = Sql::same(
        "upstream.book",
        "UPDATE upstream SET booked_us = (CASE WHEN booked_us > $2 AND booked_us <= $2 + 60000000 \
         THEN booked_us ELSE $2 END) + $3 \
         WHERE account = $1 AND (booked_us <= $4 OR booked_us > $2 + 60000000) RETURNING next_send_us, booked_us",
    );
    BACK_OFF = Sql::same(
        "upstream.back_off",
        "UPDATE upstream SET next_send_us = $2, booked_us = CASE WHEN booked_us > $3 \
         THEN booked_us + ($2 - CASE WHEN next_send_us > $3 THEN next_send_us ELSE $3 END) ELSE booked_us END WHERE account = $1 AND next_send_us < $2",
    );
    URGE = Sql::same(
        "upstream.urge",
        "UPDATE upstream SET urgent_until_us = $2 WHERE account = $1 \
         AND (urgent_until_us < $2 OR urgent_until_us > $2 + 10000000)",
    );
    LOOK = Sql::same(
        "upstream.look",
        "SELECT next_send_us, urgent_until_us, booked_us, breaker, breaker_until_us, breaker_minor FROM upstream \
         WHERE account = $1",
    );
    /// $3 is the present instant less the wanted distance from the last question, as far as that exceeds Amazon's second.
    TAKE_FUNDS = Sql::same(
        "upstream.take_funds",
        "UPDATE upstream SET next_funds_us = $2 + 1000000 WHERE account = $1 \
         AND (next_funds_us <= $3 OR next_funds_us > $2 + 11000000)",
    );
    RETURN_FUNDS = Sql::same("upstream.return_funds", "UPDATE upstream SET next_funds_us = 0 WHERE account = $1");
    TAKE_ACTIVITY = Sql::same(
        "upstream.take_activity",
        "UPDATE upstream SET next_activity_us = $3 WHERE account = $1 \
         AND (next_activity_us <= $2 OR next_activity_us > $3 + 10000000)",
    );
    OPEN_BREAKER = Sql::same(
        "upstream.open_breaker",
        "UPDATE upstream SET breaker = $2, breaker_until_us = $3, breaker_minor = $4 WHERE account = $1",
    );
    /// After a purchase of $2: one that is smaller than what was refused says nothing of that.
    CLOSE_BREAKER = Sql::same(
        "upstream.close_breaker",
        "UPDATE upstream SET breaker = NULL, breaker_minor = NULL WHERE account = $1 AND breaker IS NOT NULL \
         AND (breaker <> 'funds' OR breaker_minor IS NULL OR breaker_minor <= $2)",
    );
    /// Where a balance of $2 covers what was refused.
    CLOSE_FUNDED = Sql::same(
        "upstream.close_funded",
        "UPDATE upstream SET breaker = NULL, breaker_minor = NULL WHERE account = $1 AND breaker = 'funds' \
         AND breaker_minor <= $2",
    );
    ALLOW_PROBE = Sql::same(
        "upstream.allow_probe",
        "UPDATE upstream SET breaker_until_us = $3 WHERE account = $1 AND breaker IS NOT NULL \
         AND (breaker_until_us <= $2 OR breaker_until_us > $3 + 10000000)",
    );
}

row! {
    struct SlotRow { next_send_us: i64, booked_us: i64 }
}

row! {
    struct LimiterRow {
        next_send_us: i64, urgent_until_us: i64, booked_us: i64, breaker: Option<String>, breaker_until_us: i64,
        breaker_minor: Option<i64>,
    }
}

/// The row, as far as a dispatcher needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limiter {
    /// When the next request may leave.
    pub(crate) next_send_us: i64,
    /// Until when new rewards take no slots.
    pub(crate) urgent_until_us: i64,
    /// When the last of those who wait will have had a slot.
    pub(crate) booked_us: i64,
    pub(crate) breaker: Option<OpenBreaker>,
}

/// A request for a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotRequest {
    pub(crate) now_us: i64,
    /// The latest instant at which the slot may lie.
    pub(crate) by_us: i64,
    /// How far apart requests leave.
    pub(crate) spacing_us: i64,
    /// Whether the request goes before new rewards.
    pub(crate) urgent: bool,
    /// Whether it has booked no place in the line.
    pub(crate) out_of_turn: bool,
}

/// A slot that was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenSlot {
    /// When the request may leave.
    pub(crate) at_us: i64,
    /// As in [`Limiter`].
    pub(crate) booked_us: i64,
}

/// Makes the account's row, unless it exists.
pub(crate) async fn ensure(store: &Store, account: &str) -> Result<(), StoreError> {
    let mut tx = store.begin_alone().await?;
    execute!(tx, ENSURE, account)?;
    tx.commit(()).await.map(|_done| ())
}

/// Writes the row as it is, durably.
pub(crate) async fn rewrite(store: &Store, account: &str) -> Result<(), StoreError> {
    let mut tx = store.begin_alone().await?;
    execute!(tx, REWRITE, account)?;
    tx.prove_writes().await
}

/// Takes the next slot if it is due. An urgent request that comes too early makes the ordinary ones yield for two slots.
///
/// # Errors
/// [`StoreError`] from the database: without it nothing may be sent.
pub(crate) async fn take(store: &Store, account: &str, ask: SlotRequest) -> Result<Option<TakenSlot>, StoreError> {
    let SlotRequest { now_us, by_us, spacing_us, urgent, out_of_turn } = ask;
    let mut tx = store.begin_alone().await?;
    let row = fetch_optional!(SlotRow, tx, TAKE, account, now_us, spacing_us, by_us, urgent, out_of_turn)?;
    if row.is_none() && urgent {
        let until = now_us.saturating_add(spacing_us.saturating_mul(2));
        execute!(tx, URGE, account, until)?;
    }
    let taken =
        row.map(|row| TakenSlot { at_us: row.next_send_us.saturating_sub(spacing_us), booked_us: row.booked_us });
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Books a place in the line of those who wait for a slot in any replica, if it is reached by `by_us`. Returns when it is.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn book(
    store: &Store,
    account: &str,
    now_us: i64,
    spacing_us: i64,
    by_us: i64,
) -> Result<Option<i64>, StoreError> {
    let mut tx = store.begin_alone().await?;
    let by_us = by_us.saturating_sub(spacing_us);
    let row = fetch_optional!(SlotRow, tx, BOOK, account, now_us, spacing_us, by_us)?;
    tx.commit(row.map(|row| row.booked_us)).await.map(Committed::into_inner)
}

/// Moves the next slot to `until_us`, unless it lies later already.
pub(crate) async fn back_off(store: &Store, account: &str, now_us: i64, until_us: i64) -> Result<(), StoreError> {
    let mut tx = store.begin_alone().await?;
    execute!(tx, BACK_OFF, account, until_us, now_us)?;
    tx.commit(()).await.map(|_done| ())
}

/// Reads the account's row.
///
/// # Errors
/// [`StoreError`] from the database, also when there is no row.
pub(crate) async fn look(store: &Store, account: &str) -> Result<Limiter, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "upstream", column };
    let mut snapshot = store.snapshot().await?;
    let row = fetch_optional!(LimiterRow, snapshot, LOOK, account)?.ok_or_else(|| bad("account"))?;
    let breaker = match row.breaker.as_deref() {
        Some(word) => {
            let cause = BreakerCause::from_word(word).ok_or_else(|| bad("breaker"))?;
            Some(OpenBreaker { cause, until_us: row.breaker_until_us, minor: row.breaker_minor })
        }
        None => None,
    };
    let LimiterRow { next_send_us, urgent_until_us, booked_us, .. } = row;
    Ok(Limiter { next_send_us, urgent_until_us, booked_us, breaker })
}

/// Takes the turn to ask for the balance, if the last question of any replica is `every_us` old, and at least the second
/// that Amazon demands.
pub(crate) async fn take_funds(store: &Store, account: &str, now_us: i64, every_us: i64) -> Result<bool, StoreError> {
    let beyond = every_us.saturating_sub(1_000_000).max(0);
    let mut tx = store.begin_alone().await?;
    let taken = execute!(tx, TAKE_FUNDS, account, now_us, now_us.saturating_sub(beyond))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Gives the turn to ask for the balance back.
pub(crate) async fn return_funds(store: &Store, account: &str) -> Result<(), StoreError> {
    let mut tx = store.begin_alone().await?;
    execute!(tx, RETURN_FUNDS, account)?;
    tx.commit(()).await.map(Committed::into_inner)
}

/// Takes the turn to ask for a page of the activity report, once in `every_us` over all replicas.
pub(crate) async fn take_activity(
    store: &Store,
    account: &str,
    now_us: i64,
    every_us: i64,
) -> Result<bool, StoreError> {
    let mut tx = store.begin_alone().await?;
    let taken = execute!(tx, TAKE_ACTIVITY, account, now_us, now_us.saturating_add(every_us))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Opens the account's breaker.
pub(crate) async fn open_breaker(store: &Store, account: &str, open: OpenBreaker) -> Result<(), StoreError> {
    let mut tx = store.begin_alone().await?;
    execute!(tx, OPEN_BREAKER, account, open.cause.as_str(), open.until_us, open.minor)?;
    tx.commit(()).await.map(|_done| ())
}

/// Closes the breaker after a purchase of this value, if that shows that the account works. Returns whether it did.
pub(crate) async fn close_breaker(store: &Store, account: &str, minor: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin_alone().await?;
    let closed = execute!(tx, CLOSE_BREAKER, account, minor)? == 1;
    tx.commit(closed).await.map(Committed::into_inner)
}

/// Closes the breaker that is open for want of funds, if this balance covers what was refused. Returns whether it did.
pub(crate) async fn close_funded(store: &Store, account: &str, available: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin_alone().await?;
    let closed = execute!(tx, CLOSE_FUNDED, account, available)? == 1;
    tx.commit(closed).await.map(Committed::into_inner)
}

/// Takes the turn to try one request through the open breaker. The next turn is at `until_us`.
pub(crate) async fn allow_probe(store: &Store, account: &str, now_us: i64, until_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin_alone().await?;
    let first = execute!(tx, ALLOW_PROBE, account, now_us, until_us)? == 1;
    tx.commit(first).await.map(Committed::into_inner)
}
