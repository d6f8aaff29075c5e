//! Facts of named subjects: what finance and operators should hear of. No column of a fact takes a claim code.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Named;
use crate::store::{
    InstantRow, Read, Sql, StoreError, Tx, execute,
    feed::{SettledRow, settled},
    fetch_all, fetch_optional, row, statements,
};

statements! {
    INSERT = Sql::same(
        "facts.insert_named",
        "INSERT INTO facts (at, kind, subject_kind, subject, account, data) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    // SQLite's planner would go by the id, through the entries of all timelines.
    PAGE = Sql::each(
        "facts.page_named",
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND id > $1 \
         AND id <= $4 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) ORDER BY id LIMIT $3",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL AND id > $1 \
         AND id <= $4 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) ORDER BY id LIMIT $3",
    );
    SETTLED = settled!(
        "facts.settled_named",
        "facts INDEXED BY facts_named WHERE subject_id IS NULL",
        "facts WHERE subject_id IS NULL",
        "28262"
    );
    HELD = Sql::each(
        "facts.held_named",
        "SELECT MIN(at) AS at FROM (SELECT at FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND id > $1 \
         ORDER BY id LIMIT 1) AS next",
        "SELECT MIN(at) AS at FROM (SELECT at FROM facts WHERE subject_id IS NULL AND id > $1 ORDER BY id LIMIT 1) AS next",
    );
    LATEST = Sql::each(
        "facts.latest_named",
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND kind = $1 \
         ORDER BY id DESC LIMIT 1",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL AND kind = $1 ORDER BY id DESC LIMIT 1",
    );
    NEXT = Sql::each(
        "facts.next_named",
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND id > $1 \
         AND kind = $2 AND subject = $3 ORDER BY id LIMIT 1",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL AND id > $1 \
         AND kind = $2 AND subject = $3 ORDER BY id LIMIT 1",
    );
    YOUNGEST = Sql::each(
        "facts.youngest_named",
        "SELECT MAX(at) AS at FROM facts INDEXED BY facts_named WHERE subject_id IS NULL",
        "SELECT MAX(at) AS at FROM facts WHERE subject_id IS NULL",
    );
}

row! {
    /// A fact as it is stored.
    pub struct FactRow {
        /// Counts up, with gaps.
        pub id: i64,
        /// When it was written.
        pub at: DateTime<Utc>,
        /// What happened.
        pub kind: String,
        /// To whom: a program, an account, the database.
        pub subject: String,
        /// More, as a JSON object.
        pub data: Option<String>,
    }
}

/// Writes a fact.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn write(
    tx: &mut Tx,
    kind: &'static str,
    subject: Named<'_>,
    data: Option<&Value>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let data = data.map(Value::to_string);
    execute!(tx, INSERT, at, kind, subject.kind(), subject.name(), subject.account(), data).map(|_one| ())
}

async fn settled(on: &mut impl Read) -> Result<i64, StoreError> {
    Ok(fetch_optional!(SettledRow, on, SETTLED)?.map_or(0, |row| row.id))
}

/// When the first fact was written that is not shown yet, because one with a smaller id can still be committed.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn held_since(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    let settled = settled(on).await?;
    Ok(fetch_optional!(InstantRow, on, HELD, settled)?.and_then(|row| row.at))
}

/// Facts after this one, oldest first, of one kind or of all. None is shown while one with a smaller id can still be committed.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn page(on: &mut impl Read, after: i64, kind: Option<&str>, limit: i64) -> Result<Vec<FactRow>, StoreError> {
    let settled = settled(on).await?;
    fetch_all!(FactRow, on, PAGE, after, kind, limit, settled)
}

/// The last fact of a kind.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn latest(on: &mut impl Read, kind: &'static str) -> Result<Option<FactRow>, StoreError> {
    fetch_optional!(FactRow, on, LATEST, kind)
}

/// The first fact of a kind and a subject after this one.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn next(
    on: &mut impl Read,
    after: i64,
    kind: &'static str,
    subject: Named<'_>,
) -> Result<Option<FactRow>, StoreError> {
    fetch_optional!(FactRow, on, NEXT, after, kind, subject.name())
}

/// When the youngest was written.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, on, YOUNGEST)?.and_then(|row| row.at))
}
