//! The row of an account in which all replicas meet: its statements, each one guarded update.
//!
//! Times are microseconds since 1970, by `Ambient`'s clock. An instant that lies farther ahead than anyone sets one was
//! set by a clock that has gone back since (a node without a battery before NTP reached it, a server's fail-over). Waiting
//! for it would stop the account for as long as that clock was wrong, so it counts as past. [`crate::kernel::horizon`] says how
//! much farther, and the statements say it in figures.

use super::breaker::{BreakerCause, OpenBreaker};
use crate::store::{Committed, Sql, Store, StoreError, execute, fetch_optional, row, statements};

statements! {
    ENSURE = Sql::same(
        "upstream.ensure",
        "INSERT INTO upstream (account, next_send_us, urgent_until_us, next_funds_us, breaker_until_us) \
         VALUES ($1, 0, 0, 0, 0) ON CONFLICT (account) DO NOTHING",
    );
    /// Takes the next slot when it is due by $4. Ordinary requests yield while an urgent one waits.
    TAKE = Sql::same(
        "upstream.take",
        "UPDATE upstream SET next_send_us = (CASE WHEN next_send_us > $2 AND next_send_us <= $4 \
         THEN next_send_us ELSE $2 END) + $3 \
         WHERE account = $1 AND (next_send_us <= $4 OR next_send_us > $2 + 10000000) \
         AND (urgent_until_us <= $2 OR urgent_until_us > $2 + 10000000 OR $5) RETURNING next_send_us",
    );
    BACK_OFF = Sql::same(
        "upstream.back_off",
        "UPDATE upstream SET next_send_us = $2 WHERE account = $1 AND next_send_us < $2",
    );
    URGE = Sql::same(
        "upstream.urge",
        "UPDATE upstream SET urgent_until_us = $2 WHERE account = $1 \
         AND (urgent_until_us < $2 OR urgent_until_us > $2 + 10000000)",
    );
    LOOK = Sql::same(
        "upstream.look",
        "SELECT next_send_us, urgent_until_us, breaker, breaker_until_us FROM upstream WHERE account = $1",
    );
    /// $3 is the present instant less the wanted distance from the last question, as far as that exceeds Amazon's second.
    TAKE_FUNDS = Sql::same(
        "upstream.take_funds",
        "UPDATE upstream SET next_funds_us = $2 + 1000000 WHERE account = $1 \
         AND (next_funds_us <= $3 OR next_funds_us > $2 + 11000000)",
    );
    TAKE_ACTIVITY = Sql::same(
        "upstream.take_activity",
        "UPDATE upstream SET next_activity_us = $3 WHERE account = $1 AND next_activity_us <= $2",
    );
    OPEN_BREAKER = Sql::same(
        "upstream.open_breaker",
        "UPDATE upstream SET breaker = $2, breaker_until_us = $3 WHERE account = $1",
    );
    CLOSE_BREAKER = Sql::same(
        "upstream.close_breaker",
        "UPDATE upstream SET breaker = NULL WHERE account = $1 AND breaker IS NOT NULL",
    );
    ALLOW_PROBE = Sql::same(
        "upstream.allow_probe",
        "UPDATE upstream SET breaker_until_us = $3 WHERE account = $1 AND breaker IS NOT NULL \
         AND (breaker_until_us <= $2 OR breaker_until_us > $3 + 10000000)",
    );
}

row! {
    struct SlotRow { next_send_us: i64 }
}

row! {
    struct LimiterRow { next_send_us: i64, urgent_until_us: i64, breaker: Option<String>, breaker_until_us: i64 }
}

/// The row, as far as a dispatcher needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limiter {
    /// When the next request may leave.
    pub(crate) next_send_us: i64,
    /// Until when only urgent requests take slots.
    pub(crate) urgent_until_us: i64,
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
    /// Whether the request goes before ordinary ones.
    pub(crate) urgent: bool,
}

/// Makes the account's row, unless it exists.
pub(crate) async fn ensure(store: &Store, account: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, ENSURE, account)?;
    tx.commit(()).await.map(|_done| ())
}

/// Takes the next slot if it is due, and returns its instant. An urgent request that comes too early makes the ordinary
/// ones yield for two slots.
///
/// # Errors
/// [`StoreError`] from the database: without it nothing may be sent.
pub(crate) async fn take(store: &Store, account: &str, ask: SlotRequest) -> Result<Option<i64>, StoreError> {
    let mut tx = store.begin().await?;
    let row = fetch_optional!(SlotRow, tx, TAKE, account, ask.now_us, ask.spacing_us, ask.by_us, ask.urgent)?;
    if row.is_none() && ask.urgent {
        let until = ask.now_us.saturating_add(ask.spacing_us.saturating_mul(2));
        execute!(tx, URGE, account, until)?;
    }
    let slot_us = row.map(|row| row.next_send_us.saturating_sub(ask.spacing_us));
    tx.commit(slot_us).await.map(Committed::into_inner)
}

/// Moves the next slot to `until_us`, unless it lies later already.
pub(crate) async fn back_off(store: &Store, account: &str, until_us: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, BACK_OFF, account, until_us)?;
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
            Some(OpenBreaker { cause, until_us: row.breaker_until_us })
        }
        None => None,
    };
    Ok(Limiter { next_send_us: row.next_send_us, urgent_until_us: row.urgent_until_us, breaker })
}

/// Takes the turn to ask for the balance, if the last question of any replica is `every_us` old, and at least the second
/// that Amazon demands.
pub(crate) async fn take_funds(store: &Store, account: &str, now_us: i64, every_us: i64) -> Result<bool, StoreError> {
    let beyond = every_us.saturating_sub(1_000_000).max(0);
    let mut tx = store.begin().await?;
    let taken = execute!(tx, TAKE_FUNDS, account, now_us, now_us.saturating_sub(beyond))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Takes the turn to ask for a page of the activity report, once in `every_us` over all replicas.
pub(crate) async fn take_activity(
    store: &Store,
    account: &str,
    now_us: i64,
    every_us: i64,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let taken = execute!(tx, TAKE_ACTIVITY, account, now_us, now_us.saturating_add(every_us))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Opens the account's breaker until then.
pub(crate) async fn open_breaker(
    store: &Store,
    account: &str,
    why: BreakerCause,
    until_us: i64,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, OPEN_BREAKER, account, why.as_str(), until_us)?;
    tx.commit(()).await.map(|_done| ())
}

/// Closes the breaker. Returns whether it was open.
pub(crate) async fn close_breaker(store: &Store, account: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let closed = execute!(tx, CLOSE_BREAKER, account)? == 1;
    tx.commit(closed).await.map(Committed::into_inner)
}

/// Takes the turn to try one request through the open breaker. The next turn is at `until_us`.
pub(crate) async fn allow_probe(store: &Store, account: &str, now_us: i64, until_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let first = execute!(tx, ALLOW_PROBE, account, now_us, until_us)? == 1;
    tx.commit(first).await.map(Committed::into_inner)
}
