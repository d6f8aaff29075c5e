//! Facts of named subjects: what finance and operators should hear of. No column of a fact takes a claim code.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Named;
use crate::identity::OwnedBy;
use crate::kernel::ProgramId;
use crate::store::{
    InstantRow, Read, Sql, StoreError, Tx, execute,
    feed::{SettledRow, settled},
    fetch_all, fetch_optional, row, statements,
};

/// The client's id is `$5`, as text `$7`; the only program that is asked for is `$6`.
macro_rules! of_client {
    () => {
        "(subject_kind = 'program' AND (CAST($6 AS TEXT) IS NULL OR subject = $6) AND subject IN \
         (SELECT p.id FROM programs p WHERE p.client_id IS NULL OR p.client_id = $5) \
         OR subject_kind = 'client' AND subject = $7 AND CAST($6 AS TEXT) IS NULL)"
    };
}

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
    /// Of the programs of one client, of those that are everybody's, of those perhaps of one program alone; and of the client itself.
    PAGE_OF_CLIENT = Sql::each(
        "facts.page_of_client",
        concat!(
            "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND id > $1 \
             AND id <= $4 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) AND ",
            of_client!(),
            " ORDER BY id LIMIT $3"
        ),
        concat!(
            "SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL AND id > $1 \
             AND id <= $4 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) AND ",
            of_client!(),
            " ORDER BY id LIMIT $3"
        ),
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
pub async fn page(on: &mut impl Read, filter: &FactFilter<'_>) -> Result<Vec<FactRow>, StoreError> {
    let settled = settled(on).await?;
    let FactFilter { after, kind, limit, shown } = filter;
    let Some(client) = shown.client else { return fetch_all!(FactRow, on, PAGE, after, kind, limit, settled) };
    let (program, name) = (shown.program.as_ref().map(ProgramId::as_str), client.to_string());
    fetch_all!(FactRow, on, PAGE_OF_CLIENT, after, kind, limit, settled, client.uuid(), program, name)
}

/// Which facts a reader asks for.
#[derive(Debug, Clone)]
pub struct FactFilter<'a> {
    /// Those after this one.
    pub after: i64,
    /// Those of this kind.
    pub kind: Option<&'a str>,
    /// At most this many.
    pub limit: i64,
    /// Those about what is shown to the reader.
    pub shown: OwnedBy,
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
