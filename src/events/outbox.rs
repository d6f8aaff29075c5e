//! What finance and operators should hear of, written in the transaction that makes it true, in the order of writing.
//! Rewards have timelines of their own. Never a claim code: a check of the column refuses one.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements};

statements! {
    INSERT = Sql::same("events.insert", "INSERT INTO events (at, kind, subject, data) VALUES ($1, $2, $3, $4)");
    PAGE = Sql::same(
        "events.page",
        "SELECT id, at, kind, subject, data FROM events WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) \
         ORDER BY id LIMIT $3",
    );
}

row! {
    /// One event as it is stored.
    pub struct EventRow {
        /// Counts up, with gaps.
        pub id: i64,
        /// When it was written.
        pub at: DateTime<Utc>,
        /// What happened: a word of `conventions.md` part 3.
        pub kind: String,
        /// To whom: a program, an account.
        pub subject: String,
        /// More, as a JSON object.
        pub data: Option<String>,
    }
}

/// Writes an event.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn write(
    tx: &mut Tx,
    kind: &'static str,
    subject: &str,
    data: Option<&Value>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, INSERT, at, kind, subject, data.map(Value::to_string)).map(|_one| ())
}

/// Events after this one, oldest first, of one kind or of all.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn page(
    snapshot: &mut Snapshot,
    after: i64,
    kind: Option<&str>,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    fetch_all!(EventRow, snapshot, PAGE, after, kind, limit)
}
