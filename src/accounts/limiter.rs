//! Amazon's rate, shared by all replicas: one row per account, changed by guarded updates.
//!
//! Requests leave one after the other, a fixed spacing apart, so that no second ever holds more than the account may
//! send, however many replicas there are. Times are microseconds since 1970, by `Ambient`'s clock.
//!
//! An instant that lies farther ahead than anyone sets one was set by a clock that has gone back since (a node without a
//! battery before NTP reached it, a server's fail-over). To wait for it would be to send nothing for a day, so it counts
//! as past; [`STRAY_US`] is more than the clocks of two replicas may differ.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::word_methods;
use crate::store::{Committed, Sql, Store, StoreError, execute, fetch_optional, row, statements};

/// Microseconds beyond the farthest that an instant is ever set ahead: what lies there is no instant of this clock. The
/// statements say it in figures.
pub const STRAY_US: i64 = 10_000_000;

statements! {
    ENSURE = Sql::same(
        "upstream.ensure",
        "INSERT INTO upstream (account, next_send_us, urgent_until_us, next_funds_us, breaker_until_us) \
         VALUES ($1, 0, 0, 0, 0) ON CONFLICT (account) DO NOTHING",
    );
    /// Takes the next slot when it is due by $4; the ordinary yield while something urgent waits.
    TAKE = Sql::same(
        "upstream.take",
        "UPDATE upstream SET next_send_us = (CASE WHEN next_send_us > $2 AND next_send_us <= $4 \
         THEN next_send_us ELSE $2 END) + $3 \
         WHERE account = $1 AND (next_send_us <= $4 OR next_send_us > $2 + 10000000) \
         AND (urgent_until_us <= $2 OR urgent_until_us > $2 + 10000000 OR $5) RETURNING next_send_us",
    );
    EASE = Sql::same(
        "upstream.ease",
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
    /// $3 is $2 less what the question has to be apart from the last one beyond Amazon's second.
    TAKE_FUNDS = Sql::same(
        "upstream.take_funds",
        "UPDATE upstream SET next_funds_us = $2 + 1000000 WHERE account = $1 \
         AND (next_funds_us <= $3 OR next_funds_us > $2 + 11000000)",
    );
    TAKE_ACTIVITY = Sql::same(
        "upstream.take_activity",
        "UPDATE upstream SET next_activity_us = $3 WHERE account = $1 AND next_activity_us <= $2",
    );
    TRIP = Sql::same("upstream.trip", "UPDATE upstream SET breaker = $2, breaker_until_us = $3 WHERE account = $1");
    CLEAR = Sql::same(
        "upstream.clear",
        "UPDATE upstream SET breaker = NULL WHERE account = $1 AND breaker IS NOT NULL",
    );
    PROBE = Sql::same(
        "upstream.probe",
        "UPDATE upstream SET breaker_until_us = $3 WHERE account = $1 AND breaker IS NOT NULL \
         AND (breaker_until_us <= $2 OR breaker_until_us > $3 + 10000000)",
    );
}

/// Why new rewards of an account are refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Breaker {
    /// Its funds are used up.
    Funds,
    /// Amazon refuses the account.
    Account,
}
word_methods!(Breaker);

row! {
    struct SlotRow { next_send_us: i64 }
}

row! {
    struct LimiterRow { next_send_us: i64, urgent_until_us: i64, breaker: Option<String>, breaker_until_us: i64 }
}

/// What the row says.
#[derive(Debug, Clone, Copy)]
pub struct Limiter {
    /// When the next request may leave.
    pub next_send_us: i64,
    /// Until when the urgent go first.
    pub urgent_until_us: i64,
    /// Why new rewards are refused, and until when.
    pub breaker: Option<(Breaker, i64)>,
}

/// Who asks for a slot, and from when to when it is good.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The present instant.
    pub now_us: i64,
    /// How far ahead a slot may be taken.
    pub by_us: i64,
    /// How far apart requests leave.
    pub spacing_us: i64,
    /// A cancel, or recovery.
    pub urgent: bool,
}

/// Makes the account's row.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn ensure(store: &Store, account: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, ENSURE, account)?;
    tx.commit(()).await.map(|_done| ())
}

/// Takes the next slot, if it is due, and says when it is. An urgent one that comes too early makes the ordinary yield
/// for another two slots.
///
/// # Errors
/// [`StoreError`] from the database: without it nothing may be sent.
pub async fn take(store: &Store, account: &str, ask: Ask) -> Result<Option<i64>, StoreError> {
    let mut tx = store.begin().await?;
    let row = fetch_optional!(SlotRow, tx, TAKE, account, ask.now_us, ask.spacing_us, ask.by_us, ask.urgent)?;
    if row.is_none() && ask.urgent {
        let until = ask.now_us.saturating_add(ask.spacing_us.saturating_mul(2));
        execute!(tx, URGE, account, until)?;
    }
    let slot_us = row.map(|row| row.next_send_us.saturating_sub(ask.spacing_us));
    tx.commit(slot_us).await.map(Committed::into_inner)
}

/// Lets nothing leave before `until_us`.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn ease(store: &Store, account: &str, until_us: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, EASE, account, until_us)?;
    tx.commit(()).await.map(|_done| ())
}

/// Reads the account's row.
///
/// # Errors
/// [`StoreError`] from the database, also when there is no row.
pub async fn look(store: &Store, account: &str) -> Result<Limiter, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "upstream", column };
    let mut snapshot = store.snapshot().await?;
    let row = fetch_optional!(LimiterRow, snapshot, LOOK, account)?.ok_or_else(|| bad("account"))?;
    let breaker = match row.breaker.as_deref() {
        Some(word) => Some((Breaker::from_word(word).ok_or_else(|| bad("breaker"))?, row.breaker_until_us)),
        None => None,
    };
    Ok(Limiter { next_send_us: row.next_send_us, urgent_until_us: row.urgent_until_us, breaker })
}

/// Takes the right to ask for the balance: the last question of any replica was `every_us` ago, and never less than the
/// second that Amazon demands.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn take_funds(store: &Store, account: &str, now_us: i64, every_us: i64) -> Result<bool, StoreError> {
    let beyond = every_us.saturating_sub(1_000_000).max(0);
    let mut tx = store.begin().await?;
    let taken = execute!(tx, TAKE_FUNDS, account, now_us, now_us.saturating_sub(beyond))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Takes the right to ask for a page of the activity report, once in `every_us` over all replicas.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn take_activity(store: &Store, account: &str, now_us: i64, every_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let taken = execute!(tx, TAKE_ACTIVITY, account, now_us, now_us.saturating_add(every_us))? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Refuses new rewards of the account until then.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn trip(store: &Store, account: &str, why: Breaker, until_us: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, TRIP, account, why.as_str(), until_us)?;
    tx.commit(()).await.map(|_done| ())
}

/// Takes new rewards again; says whether they were refused before.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn clear(store: &Store, account: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let cleared = execute!(tx, CLEAR, account)? == 1;
    tx.commit(cleared).await.map(Committed::into_inner)
}

/// Whether the caller may be the one who tries while new rewards are refused; the next may not before `until_us`.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn probe(store: &Store, account: &str, now_us: i64, until_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let first = execute!(tx, PROBE, account, now_us, until_us)? == 1;
    tx.commit(first).await.map(Committed::into_inner)
}
