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

/// A page of facts by one of their indexes. SQLite's planner would go by the id, through the entries of all timelines.
macro_rules! page {
    ($name:literal, $index:literal, $of:literal) => {
        Sql::each(
            $name,
            concat!(
                "SELECT id, at, kind, subject, data FROM facts INDEXED BY ",
                $index,
                " WHERE ",
                $of,
                " AND id > $1 AND id <= $3 ORDER BY id LIMIT $2"
            ),
            concat!(
                "SELECT id, at, kind, subject, data FROM facts WHERE ",
                $of,
                " AND id > $1 AND id <= $3 ORDER BY id LIMIT $2"
            ),
        )
    };
}

/// What a client sees: the facts of its programs, of those that are everybody's, and of itself (its id is `$4`, as text `$5`). The first of
/// each are looked up, and of these the first.
macro_rules! page_of_client {
    ($name:literal, $index:literal, $of:literal) => {
        Sql::each(
            $name,
            concat!(
                "SELECT id, at, kind, subject, data FROM facts WHERE id IN (SELECT one.id FROM (",
                seen_by_client!(),
                ") AS seen CROSS JOIN facts one WHERE one.id IN (SELECT f.id FROM facts f INDEXED BY ",
                $index,
                " WHERE ",
                $of,
                " AND f.subject_kind = seen.kind AND f.subject = seen.name AND f.id > $1 AND f.id <= $3 ORDER BY f.id LIMIT $2) ORDER BY one.id LIMIT $2) ORDER BY id"
            ),
            concat!(
                "SELECT one.id, one.at, one.kind, one.subject, one.data FROM (",
                seen_by_client!(),
                ") AS seen CROSS JOIN LATERAL (SELECT f.id, f.at, f.kind, f.subject, f.data FROM facts f \
                 WHERE ",
                $of,
                " AND f.subject_kind = seen.kind AND f.subject = seen.name AND f.id > $1 AND f.id <= $3 ORDER BY f.id LIMIT $2) one ORDER BY one.id LIMIT $2"
            ),
        )
    };
}

macro_rules! seen_by_client {
    () => {
        "SELECT 'program' AS kind, p.id AS name FROM programs p WHERE p.client_id IS NULL OR p.client_id = $4 \
         UNION ALL SELECT 'client', CAST($5 AS TEXT)"
    };
}

statements! {
    INSERT = Sql::same(
        "facts.insert_named",
        "INSERT INTO facts (at, kind, subject_kind, subject, account, data) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    PAGE = page!("facts.page_named", "facts_named", "subject_id IS NULL");
    PAGE_OF_KIND = page!("facts.page_of_kind", "facts_of_kind", "subject IS NOT NULL AND kind = $4");
    /// Of a program that the client may see.
    PAGE_OF_PROGRAM = page!(
        "facts.page_of_program",
        "facts_of_subject",
        "subject_id IS NULL AND subject_kind = 'program' AND subject = $5 \
         AND EXISTS (SELECT 1 FROM programs p WHERE p.id = $5 AND (p.client_id IS NULL OR p.client_id = $4))"
    );
    PAGE_OF_PROGRAM_AND_KIND = page!(
        "facts.page_of_program_and_kind",
        "facts_of_subject_and_kind",
        "subject IS NOT NULL AND subject_kind = 'program' AND subject = $5 AND kind = $6 \
         AND EXISTS (SELECT 1 FROM programs p WHERE p.id = $5 AND (p.client_id IS NULL OR p.client_id = $4))"
    );
    PAGE_OF_CLIENT = page_of_client!("facts.page_of_client", "facts_of_subject", "f.subject_id IS NULL");
    PAGE_OF_CLIENT_AND_KIND =
        page_of_client!("facts.page_of_client_and_kind", "facts_of_subject_and_kind", "f.subject IS NOT NULL AND f.kind = $6");
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
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_of_kind WHERE subject IS NOT NULL AND kind = $1 \
         ORDER BY id DESC LIMIT 1",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject IS NOT NULL AND kind = $1 ORDER BY id DESC LIMIT 1",
    );
    NEXT = Sql::each(
        "facts.next_named",
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_of_subject_and_kind WHERE subject IS NOT NULL AND id > $1 \
         AND kind = $2 AND subject_kind = $4 AND subject = $3 ORDER BY id LIMIT 1",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject IS NOT NULL AND id > $1 \
         AND kind = $2 AND subject_kind = $4 AND subject = $3 ORDER BY id LIMIT 1",
    );
    ONE = Sql::each(
        "facts.one_named",
        "SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL AND id = $1",
        "SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL AND id = $1",
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
    let Some(client) = shown.client else {
        return match kind {
            None => fetch_all!(FactRow, on, PAGE, after, limit, settled),
            Some(kind) => fetch_all!(FactRow, on, PAGE_OF_KIND, after, limit, settled, kind),
        };
    };
    match (shown.program.as_ref().map(ProgramId::as_str), kind) {
        (None, None) => {
            fetch_all!(FactRow, on, PAGE_OF_CLIENT, after, limit, settled, client.uuid(), client.to_string())
        }
        (None, Some(kind)) => {
            let name = client.to_string();
            fetch_all!(FactRow, on, PAGE_OF_CLIENT_AND_KIND, after, limit, settled, client.uuid(), name, kind)
        }
        (Some(program), None) => {
            fetch_all!(FactRow, on, PAGE_OF_PROGRAM, after, limit, settled, client.uuid(), program)
        }
        (Some(program), Some(kind)) => {
            fetch_all!(FactRow, on, PAGE_OF_PROGRAM_AND_KIND, after, limit, settled, client.uuid(), program, kind)
        }
    }
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
    fetch_optional!(FactRow, on, NEXT, after, kind, subject.name(), subject.kind())
}

/// The fact of this id.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn find(on: &mut impl Read, id: i64) -> Result<Option<FactRow>, StoreError> {
    fetch_optional!(FactRow, on, ONE, id)
}

/// When the youngest was written.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, on, YOUNGEST)?.and_then(|row| row.at))
}
